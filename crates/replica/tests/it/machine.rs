//! A machine small enough to see through: sums by name, each request once by its id.

use replica::{At, JournalPort, StateMachine};
use std::collections::BTreeMap;
use storage::{FoldRules, IndexKey, JournalRecord, RECORD};

/// One record: kind 1, id at 16, name at 32, sum after it at 40.
const KIND: u16 = 1;

#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) sums: BTreeMap<u8, u64>,
    /// The latest time that a request was applied at since the start; no part of the state.
    pub(crate) latest_ms: u64,
}

/// A request to add to a sum.
pub(crate) fn add(id: u128, name: u8, amount: u64) -> Vec<u8> {
    [id.to_le_bytes().as_slice(), &[name], &amount.to_le_bytes()].concat()
}

impl StateMachine for Sums {
    type Answer = u64;

    fn keys(request: &[u8], out: &mut Vec<IndexKey>) {
        out.extend(request.first_chunk::<16>().map(|id| IndexKey::new(0, u128::from_le_bytes(*id))));
    }

    fn time_ms(&self) -> u64 {
        self.latest_ms
    }

    fn check_record(record: &JournalRecord) -> Result<(), String> {
        if record[..2] == KIND.to_le_bytes() { Ok(()) } else { Err("it is none of the sums'".to_owned()) }
    }

    fn apply(&mut self, at: At, request: &[u8], journal: &mut dyn JournalPort) -> u64 {
        self.latest_ms = self.latest_ms.max(at.clock_ms);
        let (id, rest) = request.split_first_chunk::<16>().expect("tests send good requests");
        let id = u128::from_le_bytes(*id);
        if let Some(first) = journal.find(IndexKey::new(0, id)) {
            return u64::from_le_bytes(first[40..48].try_into().expect("eight bytes"));
        }
        let (name, amount) = (rest[0], u64::from_le_bytes(rest[1..9].try_into().expect("eight bytes")));
        let sum = self.sums.entry(name).or_default();
        *sum += amount;
        let mut record = [0; RECORD];
        record[..2].copy_from_slice(&KIND.to_le_bytes());
        record[16..32].copy_from_slice(&id.to_le_bytes());
        record[32] = name;
        record[40..48].copy_from_slice(&sum.to_le_bytes());
        journal.push(Some(IndexKey::new(0, id)), &record);
        *sum
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let sum = u64::from_le_bytes(value.try_into().map_err(|_| "a bad sum")?);
        self.sums.insert(key[1], sum);
        Ok(())
    }

    fn restored(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn digest(&self) -> [u8; 32] {
        self.slice_digest(0, 1)
    }

    fn slice_digest(&self, slice: u64, of: u64) -> [u8; 32] {
        let mut digest = [0; 32];
        for (name, sum) in self.sums.iter().filter(|(name, _)| u64::from(**name) % of == slice) {
            for (at, byte) in sum.to_le_bytes().iter().enumerate() {
                digest[at] = u8::rotate_left(digest[at] ^ byte, 3).wrapping_add(*name);
            }
        }
        digest
    }
}

impl FoldRules for Sums {
    fn effects(record: &JournalRecord, put: &mut dyn FnMut(&[u8], Option<&[u8]>)) -> Result<(), String> {
        assert_eq!(record[..2], KIND.to_le_bytes(), "only the machine's own records come to its rules");
        put(&[b'S', record[32]], Some(&record[40..48]));
        Ok(())
    }

    fn key(record: &JournalRecord) -> Option<IndexKey> {
        assert_eq!(record[..2], KIND.to_le_bytes(), "only the machine's own records come to its rules");
        Some(IndexKey::new(0, u128::from_le_bytes(record[16..32].try_into().expect("sixteen bytes"))))
    }
}
