//! The header record of a batch: what makes a batch recognisable as whole, and chains it to the one before.
//!
//! ```text
//!   0  kind 0xFFFF       16  cluster        64  hash of the header before (the chain)
//!   2  version           32  slot           96  blake3 of the batch's records
//!   4  records behind it 40  place         248  sum of the header
//! ```
//!
//! The chain through a batch is the blake3 of its header, which holds the chain before it and the hash of its records:
//! equal chains mean equal journals. The node's number is not in it, so the journals of all nodes are the same bytes.

use super::{HEADER_KIND, JournalRecord, RECORD};
use crate::Owner;
use crate::checksum::{FileKind, Seal};

const VERSION: u16 = 1;
const SUM_AT: usize = RECORD - 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BatchHeader {
    pub(super) slot: u64,
    pub(super) place: u64,
    /// Records behind the header.
    pub(super) count: u32,
    pub(super) chain_before: [u8; 32],
    pub(super) records_hash: [u8; 32],
}

impl BatchHeader {
    pub(super) fn encode(&self, owner: Owner) -> JournalRecord {
        let mut bytes = [0; RECORD];
        bytes[..2].copy_from_slice(&HEADER_KIND.to_le_bytes());
        bytes[2..4].copy_from_slice(&VERSION.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.count.to_le_bytes());
        bytes[16..32].copy_from_slice(&owner.cluster.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.slot.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.place.to_le_bytes());
        bytes[64..96].copy_from_slice(&self.chain_before);
        bytes[96..128].copy_from_slice(&self.records_hash);
        let sum = seal(owner).sum(0, &bytes[..SUM_AT]);
        bytes[SUM_AT..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The header, if these bytes are one of this cluster and whole.
    pub(super) fn decode(bytes: &JournalRecord, owner: Owner) -> Option<BatchHeader> {
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were taken"));
        let hash_at = |at: usize| bytes[at..at + 32].try_into().expect("32 bytes were taken");
        let is_header = is_header(bytes)
            && bytes[2..4] == VERSION.to_le_bytes()
            && bytes[16..32] == owner.cluster.to_le_bytes()
            && u64_at(SUM_AT) == seal(owner).sum(0, &bytes[..SUM_AT]);
        is_header.then(|| BatchHeader {
            slot: u64_at(32),
            place: u64_at(40),
            count: u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes were taken")),
            chain_before: hash_at(64),
            records_hash: hash_at(96),
        })
    }
}

pub(super) fn is_header(bytes: &JournalRecord) -> bool {
    bytes[..2] == HEADER_KIND.to_le_bytes()
}

pub(super) fn chain_through(header: &JournalRecord) -> [u8; 32] {
    *blake3::hash(header).as_bytes()
}

fn seal(owner: Owner) -> Seal {
    // The same for all nodes of a cluster; the place is in the header itself.
    Seal::new(Owner { cluster: owner.cluster, node: 0 }, FileKind::Journal, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_and_any_damage_is_seen() {
        let owner = Owner { cluster: 77, node: 2 };
        let header = BatchHeader { slot: 3, place: 90, count: 8, chain_before: [1; 32], records_hash: [2; 32] };
        let bytes = header.encode(owner);
        assert_eq!(BatchHeader::decode(&bytes, owner), Some(header));
        assert_eq!(BatchHeader::decode(&bytes, Owner { cluster: 78, node: 2 }), None);
        for at in 0..RECORD {
            let mut damaged = bytes;
            damaged[at] ^= 4;
            assert_eq!(BatchHeader::decode(&damaged, owner), None, "byte {at}");
        }
    }
}
