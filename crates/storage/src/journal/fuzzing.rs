//! Bytes of an input as batches of a journal, their sums and hashes right: see [`crate::fuzzing`].

use super::batch::{BatchHeader, chain_through};
use super::{JournalMark, RECORD};
use crate::Owner;

/// Bytes of the input for each batch.
const CHOICES: usize = 4;

/// Batches that go on the chain, save where the input wants something else.
pub(crate) fn batches(bytes: &[u8], owner: Owner) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut place, mut slot, mut chain) = (0, 0, JournalMark::START.chain);
    let (choices, rest) = bytes.as_chunks::<CHOICES>();
    for [count, fill, step, odd] in choices.iter().copied().take(64) {
        let records = vec![fill; usize::from(count % 8) * RECORD];
        slot += u64::from(step);
        let header = BatchHeader {
            slot,
            place: if odd & 1 == 0 { place } else { u64::from(odd) << 56 },
            count: if odd & 2 == 0 { u32::from(count % 8) } else { u32::MAX - u32::from(count) },
            chain_before: if odd & 4 == 0 { chain } else { [odd; 32] },
            records_hash: if odd & 8 == 0 { *blake3::hash(&records).as_bytes() } else { [fill; 32] },
        };
        let header = header.encode(owner);
        out.extend_from_slice(&header);
        out.extend_from_slice(&records);
        place += 1 + u64::from(count % 8);
        chain = chain_through(&header);
        if odd & 16 != 0 {
            let at = out.len() - 1 - usize::from(fill);
            out[at] ^= 1;
        }
    }
    out.extend_from_slice(rest);
    out
}
