//! Two sums over a batch that let a little damage be undone.
//!
//! Rot usually takes a few bits; a write that was cut short by a power failure takes whole sectors. So a batch that is whole
//! again after one word was set right had rotted, and one that is not was probably never written as a whole. That is
//! what tells the two apart in the last group, of which nothing says whether it was synced.
//!
//! For words `w` of 32 bits: `Σ w` and `Σ i·w`. If just one word is wrong by `d`, the sums are wrong by `d` and `i·d`, and give both.
//! Whether that was so, the batch's digest tells.

use super::Digest;

const WORD: usize = 4;
/// Words that are summed side by side.
const LANES: usize = 8;
const ROW: usize = LANES * WORD;

/// The two sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Parity {
    pub(super) plain: u64,
    pub(super) weighted: u64,
}

impl Parity {
    pub(super) fn of(batch: &[u8]) -> Parity {
        // By rows of `LANES` words from the last to the first: a lane's weighted sum is the sum of its plain sums on the
        // way, so there is nothing but additions, and the lanes go side by side.
        let (rows, rest) = batch.as_chunks::<ROW>();
        let mut last = [0; ROW];
        last[..rest.len()].copy_from_slice(rest);
        let (mut plain, mut by_row) = ([0_u64; LANES], [0_u64; LANES]);
        for row in [&last].into_iter().chain(rows.iter().rev()) {
            for lane in 0..LANES {
                let word = u32::from_le_bytes([row[4 * lane], row[4 * lane + 1], row[4 * lane + 2], row[4 * lane + 3]]);
                by_row[lane] = by_row[lane].wrapping_add(plain[lane]);
                plain[lane] = plain[lane].wrapping_add(u64::from(word));
            }
        }
        let mut parity = Parity::default();
        for (lane, (plain, by_row)) in plain.into_iter().zip(by_row).enumerate() {
            let weighted = by_row.wrapping_mul(LANES as u64).wrapping_add(plain.wrapping_mul(lane as u64));
            parity.plain = parity.plain.wrapping_add(plain);
            parity.weighted = parity.weighted.wrapping_add(weighted);
        }
        parity
    }

    /// The batch as it was, if at most one word of these bytes is not what it was.
    pub(super) fn mend(&self, damaged: &[u8], digest: &Digest) -> Option<Vec<u8>> {
        let is_right = |batch: &[u8]| blake3::hash(batch).as_bytes() == digest;
        if is_right(damaged) {
            return Some(damaged.to_vec());
        }
        let found = Parity::of(damaged);
        let wrong_by = self.plain.wrapping_sub(found.plain) as i64;
        let weighted = self.weighted.wrapping_sub(found.weighted) as i64;
        if wrong_by == 0 || weighted % wrong_by != 0 {
            return None;
        }
        let at = usize::try_from(weighted / wrong_by).ok()?.checked_mul(WORD)?;
        let mut batch = damaged.to_vec();
        let here = batch.get_mut(at..)?;
        let len = here.len().min(WORD);
        let mut word = [0; WORD];
        word[..len].copy_from_slice(&here[..len]);
        let right = i64::from(u32::from_le_bytes(word)).checked_add(wrong_by)?;
        here[..len].copy_from_slice(&u32::try_from(right).ok()?.to_le_bytes()[..len]);
        is_right(&batch).then_some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_those_that_the_module_names() {
        for len in [0, 1, 3, 4, 31, 32, 33, 64, 65, 1031] {
            let batch: Vec<u8> = (0..len).map(|n| (n * 37 % 251) as u8).collect();
            let mut named = Parity::default();
            for (place, word) in batch.chunks(WORD).enumerate() {
                let mut whole = [0; WORD];
                whole[..word.len()].copy_from_slice(word);
                let word = u64::from(u32::from_le_bytes(whole));
                named.plain += word;
                named.weighted += word * place as u64;
            }
            assert_eq!(Parity::of(&batch), named, "{len} bytes");
        }
    }

    #[test]
    fn any_one_word_is_set_right_and_nothing_more_is_taken_for_right() {
        for len in [1, 3, 4, 5, 300, 1031] {
            let batch: Vec<u8> = (0..len).map(|n| (n * 37 % 251) as u8).collect();
            let (parity, digest) = (Parity::of(&batch), *blake3::hash(&batch).as_bytes());
            assert_eq!(parity.mend(&batch, &digest).as_ref(), Some(&batch));
            for at in 0..len {
                for flip in [1, 0x10, 0x80, 0xFF] {
                    let mut damaged = batch.clone();
                    damaged[at] ^= flip;
                    assert_eq!(parity.mend(&damaged, &digest).as_ref(), Some(&batch), "{at} of {len}");
                    if at + 8 < len {
                        damaged[at + 8] ^= 1;
                        assert_eq!(parity.mend(&damaged, &digest), None, "{at} and one more of {len}");
                    }
                }
            }
        }
    }
}
