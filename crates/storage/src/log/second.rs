//! The second place: every record's metadata again, small, at the other end of the segment.
//!
//! ```text
//!   segment: │ head … record │ record │ record ──►          ◄── entry │ entry │ entry … head's │
//!
//!   an entry:   0  sum of the rest     32  round                64  digest of the batch
//!               8  "RLg2"              40  everything before    96  two sums that let a
//!              12  kind, version, node     this place was          word be set right
//!              16  length, 20 epoch        synced            112  zeros
//!              24  slot                52  where the record before ended
//!                                      56  where the record begins
//! ```
//!
//! Both places are written by one append and made durable by one `fdatasync`, megabytes apart. An entry says everything but the
//! batch itself, so a vote whose record has rotted is still known, and so is what the chain of records needs to go on
//! behind it. All kinds have entries: a record of which nothing is known could have been a vote, or could have said that
//! another record does not count.
//!
//! Groups begin on a fresh page here too, so no write ever touches a page that was synced before.

use super::Digest;
use super::parity::Parity;
use super::record::{Header, Position, Written, kind_of, u32_at, u64_at};
use crate::checksum::Seal;

pub(super) const ENTRY: usize = 128;
const MAGIC: &[u8; 4] = b"RLg2";
const VERSION: u8 = 1;

/// What the second place holds of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) header: Header,
    /// Where the record begins in this segment.
    pub(super) place: u32,
    /// Of the batch; zeros for kinds without one.
    pub(super) digest: Digest,
    /// Of the batch.
    pub(super) parity: Parity,
}

impl Entry {
    /// The bytes that will lie at `offset` of the segment.
    pub(super) fn encode(&self, seal: &Seal, offset: u64) -> [u8; ENTRY] {
        let header = &self.header;
        let mut bytes = [0; ENTRY];
        bytes[8..12].copy_from_slice(MAGIC);
        bytes[12] = header.kind as u8;
        bytes[13] = VERSION;
        bytes[14..16].copy_from_slice(&header.node.to_le_bytes());
        bytes[16..20].copy_from_slice(&header.len.to_le_bytes());
        bytes[20..24].copy_from_slice(&header.epoch.to_le_bytes());
        bytes[24..32].copy_from_slice(&header.slot.to_le_bytes());
        bytes[32..40].copy_from_slice(&header.round.to_le_bytes());
        bytes[40..48].copy_from_slice(&header.synced.segment.to_le_bytes());
        bytes[48..52].copy_from_slice(&header.synced.offset.to_le_bytes());
        bytes[52..56].copy_from_slice(&header.previous_end.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.place.to_le_bytes());
        bytes[64..96].copy_from_slice(&self.digest);
        bytes[96..104].copy_from_slice(&self.parity.plain.to_le_bytes());
        bytes[104..112].copy_from_slice(&self.parity.weighted.to_le_bytes());
        let sum = seal.sum(offset, &bytes[8..]);
        bytes[..8].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The entry at `offset` of a segment, if it is whole.
    pub(super) fn decode(bytes: &[u8], seal: &Seal, offset: u64) -> Option<Entry> {
        let bytes = bytes.get(..ENTRY)?;
        if &bytes[8..12] != MAGIC || bytes[13] != VERSION || seal.sum(offset, &bytes[8..]) != u64_at(bytes, 0) {
            return None;
        }
        let header = Header {
            kind: kind_of(bytes[12])?,
            written: Written::Twice,
            node: u16::from_le_bytes([bytes[14], bytes[15]]),
            len: u32_at(bytes, 16),
            epoch: u32_at(bytes, 20),
            slot: u64_at(bytes, 24),
            round: u64_at(bytes, 32),
            synced: Position { segment: u64_at(bytes, 40), offset: u32_at(bytes, 48) },
            previous_end: u32_at(bytes, 52),
        };
        let digest = bytes[64..96].try_into().expect("32 bytes were taken");
        let parity = Parity { plain: u64_at(bytes, 96), weighted: u64_at(bytes, 104) };
        Some(Entry { header, place: u32_at(bytes, 56), digest, parity })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Owner;
    use crate::checksum::FileKind;
    use crate::log::record::Kind;

    #[test]
    fn an_entry_is_read_as_it_was_written_and_any_damaged_byte_is_seen() {
        let header = Header {
            kind: Kind::Accepted,
            written: Written::Twice,
            node: 3,
            len: 100,
            epoch: 9,
            slot: 17,
            round: 5,
            synced: Position { segment: 2, offset: 4096 },
            previous_end: 4032,
        };
        let entry = Entry { header, place: 8192, digest: [7; 32], parity: Parity { plain: 3, weighted: 4 } };
        let seal = Seal::new(Owner { cluster: 1, node: 3 }, FileKind::Log, 2);
        let bytes = entry.encode(&seal, 65408);
        assert_eq!(Entry::decode(&bytes, &seal, 65408), Some(entry));
        assert_eq!(Entry::decode(&bytes, &seal, 65280), None, "elsewhere");
        for at in 0..ENTRY {
            let mut damaged = bytes;
            damaged[at] ^= 1;
            assert_eq!(Entry::decode(&damaged, &seal, 65408), None, "byte {at}");
        }
    }
}
