//! What the index finds a record by.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// An id and the kind of thing that it names. Ids of different kinds never meet, whatever their numbers are: so what a
/// node derives from an id that a caller chose cannot be taken by a caller.
///
/// Kept as two halves, so that a key and the place of its record take 32 bytes in a hash map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexKey {
    high: u64,
    low: u64,
    kind: u8,
}

impl IndexKey {
    /// The kinds are the state machine's own; their numbers are stored, so they must stay as they are.
    pub const fn new(kind: u8, id: u128) -> IndexKey {
        IndexKey { high: (id >> 64) as u64, low: id as u64, kind }
    }

    pub const fn id(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    pub const fn kind(self) -> u8 {
        self.kind
    }
}

/// By id, and then by kind. As one number of 128 bits, which a fold sorts quicker than two halves one after the other.
impl Ord for IndexKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id().cmp(&other.id()).then(self.kind.cmp(&other.kind))
    }
}

impl PartialOrd for IndexKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// One word of 128 bits, as quick as hashing the id alone. Keys of one id in several kinds are few and still differ.
impl Hash for IndexKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.id() ^ u128::from(self.kind) << 56);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_by_id_and_then_by_kind() {
        let ids = [0, 1, u128::from(u64::MAX), 1 << 64, u128::MAX];
        let keys: Vec<IndexKey> = ids.iter().flat_map(|id| [0, 1, 255].map(|kind| IndexKey::new(kind, *id))).collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
        assert!(keys.iter().zip(ids.iter().flat_map(|id| [id; 3])).all(|(key, id)| key.id() == *id));
        assert_eq!(size_of::<(IndexKey, u64)>(), 32);
    }
}
