//! Bytes of an input as records of a segment, their sums right: see [`crate::fuzzing`].

use super::parity::Parity;
use super::record::{self, HEADER, Header, Position, Written, kind_of};
use super::second::{ENTRY, Entry};
use crate::Owner;
use crate::checksum::{FileKind, Seal};

/// Bytes of the input for each record.
const CHOICES: usize = 8;

/// Records one behind the other, each chosen by eight bytes; those of version 2 also in the second place, at the end.
pub(crate) fn segment(bytes: &[u8], owner: Owner) -> Vec<u8> {
    const CAPACITY: usize = 16 << 10;
    let seal = Seal::new(owner, FileKind::Log, 1);
    let mut out = Vec::new();
    let (mut entries, mut entry_at, mut previous_end) = (Vec::new(), CAPACITY, 0);
    let (choices, rest) = bytes.as_chunks::<CHOICES>();
    for [kind, slot, round, node, len, epoch, synced, odd] in choices.iter().copied() {
        let offset = out.len();
        if offset + 512 > CAPACITY / 2 {
            break;
        }
        let batch = vec![slot; usize::from(len)];
        let digest = *blake3::hash(&batch).as_bytes();
        let is_vote = kind_of(kind) == Some(record::Kind::Voted);
        let batch = if is_vote { digest.to_vec() } else { batch };
        let header = Header {
            kind: kind_of(kind % 12).unwrap_or(record::Kind::Accepted),
            written: if odd & 1 == 0 { Written::Twice } else { Written::Once },
            node: u16::from(node),
            len: if odd & 2 == 0 { batch.len() as u32 } else { u32::from(len) << 24 },
            epoch: u32::from(epoch),
            slot: if odd & 4 == 0 { u64::from(slot) } else { u64::MAX - u64::from(slot) },
            round: if odd & 8 == 0 { u64::from(round) } else { u64::MAX },
            synced: Position { segment: u64::from(odd & 16 == 0), offset: u32::from(synced) * HEADER as u32 },
            previous_end: if odd & 32 == 0 { previous_end } else { u32::from(synced) << 8 },
        };
        if odd & 2 == 0 {
            record::encode(&header, &batch, &seal, offset as u64, &mut out);
        } else {
            // A header that promises more than there is.
            let short = Header { len: batch.len() as u32, ..header };
            record::encode(&short, &batch, &seal, offset as u64, &mut out);
            let head = &mut out[offset..offset + HEADER];
            head[24..28].copy_from_slice(&header.len.to_le_bytes());
            let sum = seal.sum(offset as u64, &head[8..]);
            head[..8].copy_from_slice(&sum.to_le_bytes());
        }
        previous_end = out.len() as u32;
        if header.written == Written::Twice && odd & 64 == 0 {
            entry_at -= ENTRY;
            let parity = Parity::of(&batch);
            let entry = Entry { header, place: offset as u32, digest, parity };
            entries.push((entry_at, entry.encode(&seal, entry_at as u64)));
        }
        if odd & 128 != 0 {
            out[offset + usize::from(synced) % HEADER] ^= 1;
        }
    }
    out.extend_from_slice(rest);
    out.resize(CAPACITY, 0);
    for (at, entry) in entries {
        out[at..at + ENTRY].copy_from_slice(&entry);
    }
    out
}
