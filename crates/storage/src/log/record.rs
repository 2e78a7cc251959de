//! One record of the log as bytes, in the first place: a header of 64 bytes, then the batch, padded to 64.
//!
//! ```text
//!  0  sum of the header (8..64)        32  slot
//!  8  sum of the batch                 40  round
//! 16  "RLog"                           48  everything before this segment …
//! 20  kind, version, node              56  … and this offset was synced when this was written
//! 24  length of the batch              60  where the record before this one ends
//! 28  epoch: which opening of the log
//! ```
//!
//! The header has a sum of its own, because a torn record whose header reached the disk still tells the truth about
//! what was synced before it: that is what tells rot from a torn tail. Version 2 has an entry in the second place
//! (`second.rs`), version 1 has none.
//! The end of the record before makes the chain gapless although a group begins at a fresh page. The epoch rises each
//! time the log is opened, so that records of a torn tail can never join what is written in their place later.

use bytes::Bytes;

use super::LogRecord;
use super::index::Ballot;
use crate::checksum::Seal;

pub(super) const HEADER: usize = 64;
const MAGIC: &[u8; 4] = b"RLog";
/// Written before there was a second place; still read.
const VERSION_ONCE: u8 = 1;
const VERSION_TWICE: u8 = 2;

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) segment: u64,
    pub(super) offset: u32,
}

/// Numbered for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// First in every segment.
    Head = 1,
    /// First after the log was opened; begins an epoch.
    Opened = 2,
    Promised = 3,
    Accepted = 4,
    Learned = 5,
    Chosen = 6,
    /// Slots below this one were given up: what the log still holds of them is not all that it held.
    Trimmed = 7,
    /// A vote without its batch, which has rotted: what stands where a batch would is its digest.
    Voted = 8,
    /// After damage: only slots through this one count as chosen, whatever was marked before.
    Lowered = 9,
    /// A promise or a vote was lost for good.
    Voteless = 10,
    /// After damage: all that binds this node stands between the last `Lowered` and here, or behind.
    Restated = 11,
}

impl Kind {
    /// Whether a slot's batch, or what is left of it, lies behind the header.
    pub(super) fn has_slot(self) -> bool {
        matches!(self, Kind::Accepted | Kind::Learned | Kind::Voted)
    }
}

/// Whether a record is also in the second place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Once,
    Twice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) written: Written,
    pub(super) node: u16,
    pub(super) len: u32,
    pub(super) epoch: u32,
    pub(super) slot: u64,
    pub(super) round: u64,
    /// Everything before this place was synced when the record was written.
    pub(super) synced: Position,
    pub(super) previous_end: u32,
}

impl Header {
    /// Bytes that the record takes.
    pub(super) fn size(&self) -> u64 {
        padded(u64::from(self.len))
    }
}

/// Bytes that a record with a batch of this length takes.
pub(super) fn padded(batch_len: u64) -> u64 {
    HEADER as u64 + batch_len.next_multiple_of(HEADER as u64)
}

/// Kind, slot, ballot and batch of a record.
pub(super) fn parts(record: &LogRecord) -> (Kind, u64, Ballot, Bytes) {
    match record {
        LogRecord::Promised { round, node } => (Kind::Promised, 0, (*round, *node), Bytes::new()),
        LogRecord::Accepted { slot, round, node, batch } => (Kind::Accepted, *slot, (*round, *node), batch.clone()),
        LogRecord::Learned { slot, batch } => (Kind::Learned, *slot, (0, 0), batch.clone()),
        LogRecord::Chosen { through } => (Kind::Chosen, *through, (0, 0), Bytes::new()),
    }
}

/// Adds a record that will lie at `offset` of its segment.
pub(super) fn encode(header: &Header, batch: &[u8], seal: &Seal, offset: u64, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + HEADER, 0);
    out.extend_from_slice(batch);
    out.resize(start + header.size() as usize, 0);
    let head = &mut out[start..start + HEADER];
    head[8..16].copy_from_slice(&batch_sum(seal, offset, batch).to_le_bytes());
    head[16..20].copy_from_slice(MAGIC);
    head[20] = header.kind as u8;
    head[21] = match header.written {
        Written::Once => VERSION_ONCE,
        Written::Twice => VERSION_TWICE,
    };
    head[22..24].copy_from_slice(&header.node.to_le_bytes());
    head[24..28].copy_from_slice(&header.len.to_le_bytes());
    head[28..32].copy_from_slice(&header.epoch.to_le_bytes());
    head[32..40].copy_from_slice(&header.slot.to_le_bytes());
    head[40..48].copy_from_slice(&header.round.to_le_bytes());
    head[48..56].copy_from_slice(&header.synced.segment.to_le_bytes());
    head[56..60].copy_from_slice(&header.synced.offset.to_le_bytes());
    head[60..64].copy_from_slice(&header.previous_end.to_le_bytes());
    let sum = seal.sum(offset, &head[8..]);
    head[..8].copy_from_slice(&sum.to_le_bytes());
}

/// The header at `offset` of a segment, if it is whole; says nothing about the batch behind it.
pub(super) fn header_at(bytes: &[u8], seal: &Seal, offset: u64) -> Option<Header> {
    let head = bytes.get(..HEADER)?;
    // Cheap before dear: most places that are looked at hold no record.
    if &head[16..20] != MAGIC || seal.sum(offset, &head[8..]) != u64_at(head, 0) {
        return None;
    }
    Some(Header {
        kind: kind_of(head[20])?,
        written: match head[21] {
            VERSION_ONCE => Written::Once,
            VERSION_TWICE => Written::Twice,
            _ => return None,
        },
        node: u16::from_le_bytes([head[22], head[23]]),
        len: u32_at(head, 24),
        epoch: u32_at(head, 28),
        slot: u64_at(head, 32),
        round: u64_at(head, 40),
        synced: Position { segment: u64_at(head, 48), offset: u32_at(head, 56) },
        previous_end: u32_at(head, 60),
    })
}

/// The batch behind a header, if it is whole.
pub(super) fn batch_at<'a>(bytes: &'a [u8], header: &Header, seal: &Seal, offset: u64) -> Option<&'a [u8]> {
    let batch = bytes.get(HEADER..HEADER + header.len as usize)?;
    (batch_sum(seal, offset, batch) == u64_at(bytes, 8)).then_some(batch)
}

/// A record as it was read back, with its batch taken out of the bytes without a copy.
pub(super) fn whole_record(bytes: Bytes, seal: &Seal, offset: u64) -> Option<(Header, Bytes)> {
    let header = header_at(&bytes, seal, offset)?;
    batch_at(&bytes, &header, seal, offset)?;
    let batch = bytes.slice(HEADER..HEADER + header.len as usize);
    Some((header, batch))
}

fn batch_sum(seal: &Seal, offset: u64, batch: &[u8]) -> u64 {
    seal.sum(offset + HEADER as u64, batch)
}

pub(super) fn kind_of(number: u8) -> Option<Kind> {
    const KINDS: [Kind; 11] = [
        Kind::Head,
        Kind::Opened,
        Kind::Promised,
        Kind::Accepted,
        Kind::Learned,
        Kind::Chosen,
        Kind::Trimmed,
        Kind::Voted,
        Kind::Lowered,
        Kind::Voteless,
        Kind::Restated,
    ];
    KINDS.into_iter().find(|kind| *kind as u8 == number)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were taken"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were taken"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Owner;
    use crate::checksum::FileKind;

    fn sample() -> (Header, Seal) {
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
        (header, Seal::new(Owner { cluster: 1, node: 3 }, FileKind::Log, 2))
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let (header, seal) = sample();
        let mut bytes = Vec::new();
        encode(&header, &[7; 100], &seal, 8192, &mut bytes);
        assert_eq!(bytes.len() as u64, header.size());
        let (read, batch) = whole_record(bytes.into(), &seal, 8192).expect("it is whole");
        assert_eq!(read, header);
        assert_eq!(batch, &[7; 100][..]);
    }

    #[test]
    fn any_damaged_byte_is_seen() {
        let (header, seal) = sample();
        let mut bytes = Vec::new();
        encode(&header, &[7; 100], &seal, 8192, &mut bytes);
        for at in 0..HEADER + 100 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(whole_record(damaged.into(), &seal, 8192), None, "byte {at}");
        }
    }
}
