//! The keys that a stretch of the journal changes, each with its newest value.
//!
//! Every record of the journal comes through here once, and most change keys that were changed a moment before. So keys
//! lie in the table itself, and values in one buffer, where a value as long as the one before it is written over it: two
//! cache lines a change, and no allocation.

use hashbrown::HashMap;
use std::ops::Range;

/// Longest key of a checkpoint's entry.
pub(super) const LONGEST_KEY: usize = 23;
/// Stands for "removed" where a value's place would be.
const REMOVED: Stored = Stored { offset: u32::MAX, len: 0 };

/// A key, with zeros behind it: so keys compare as their bytes do, and of two that differ in zeros at their ends only the
/// shorter one comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    bytes: [u8; LONGEST_KEY],
    len: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stored {
    offset: u32,
    len: u32,
}

/// Newest values by key.
#[derive(Default)]
pub(super) struct Changes {
    keys: HashMap<Key, Stored, foldhash::fast::FixedState>,
    values: Vec<u8>,
}

impl Key {
    fn new(key: &[u8]) -> Key {
        assert!(key.len() <= LONGEST_KEY, "a key has at most {LONGEST_KEY} bytes");
        let mut bytes = [0; LONGEST_KEY];
        bytes[..key.len()].copy_from_slice(key);
        Key { bytes, len: key.len() as u8 }
    }
}

impl Stored {
    fn range(self) -> Range<usize> {
        self.offset as usize..self.offset as usize + self.len as usize
    }
}

impl Changes {
    /// The key has this value from now on; none removes it.
    pub(super) fn note(&mut self, key: &[u8], value: Option<&[u8]>) {
        let stored = self.keys.entry(Key::new(key)).or_insert(REMOVED);
        match value {
            None => *stored = REMOVED,
            Some(value) if *stored != REMOVED && stored.len as usize == value.len() => {
                self.values[stored.range()].copy_from_slice(value);
            }
            Some(value) => {
                let offset = u32::try_from(self.values.len()).expect("a fold covers far less than 4 GiB of values");
                *stored = Stored { offset, len: value.len() as u32 };
                self.values.extend_from_slice(value);
            }
        }
    }

    /// All of them in the order of keys; none for a removed one.
    pub(super) fn sorted(&self) -> impl Iterator<Item = (Key, Option<&[u8]>)> {
        // Keys lie beside each other while they are compared: behind pointers each comparison would wait for memory.
        let mut all: Vec<(Key, &Stored)> = self.keys.iter().map(|(key, stored)| (*key, stored)).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all.into_iter().map(|(key, stored)| (key, (*stored != REMOVED).then(|| &self.values[stored.range()])))
    }
}

impl Key {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_value_of_each_key_counts_in_the_order_of_keys() {
        let mut changes = Changes::default();
        changes.note(b"b", Some(b"one"));
        changes.note(b"a\0", Some(b"zero at the end"));
        changes.note(b"a", Some(b"kept"));
        changes.note(b"b", Some(b"two"));
        changes.note(b"c", Some(b"gone"));
        changes.note(b"c", None);
        changes.note(b"b", Some(b"longer"));
        changes.note(b"d", None);
        changes.note(b"d", Some(b""));
        let expected: Vec<(&[u8], Option<&[u8]>)> = vec![
            (b"a", Some(b"kept")),
            (b"a\0", Some(b"zero at the end")),
            (b"b", Some(b"longer")),
            (b"c", None),
            (b"d", Some(b"")),
        ];
        let sorted: Vec<(Key, Option<&[u8]>)> = changes.sorted().collect();
        let seen: Vec<(&[u8], Option<&[u8]>)> = sorted.iter().map(|(key, value)| (key.as_slice(), *value)).collect();
        assert_eq!(seen, expected);
    }
}
