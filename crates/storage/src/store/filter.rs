//! Tells of most keys that a run does not hold them, without reading it.
//!
//! A split-block Bloom filter (Putze, Sanders, Singler 2007; the variant of Apache Parquet): a key sets one bit in each
//! of eight words of one 32-byte block, so a question costs one cache line. With 16 bits a key about one question in
//! a thousand is answered "maybe" wrongly; "no" is never wrong. It can be built id by id, unlike filters that are solved for
//! (xor, fuse), which need all ids in memory at once.

use super::key::IndexKey;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const BITS_PER_ID: u64 = 16;
const WORDS: usize = 8;
const BLOCK_BYTES: usize = WORDS * 4;
/// Odd numbers, one a word, from the Parquet format.
const SALTS: [u32; WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

#[derive(Debug)]
pub(super) struct Filter {
    blocks: Vec<[u32; WORDS]>,
}

impl Filter {
    /// Bytes of the smallest.
    pub(super) const BYTES_MIN: u64 = BLOCK_BYTES as u64;

    /// For about so many ids; more make it less exact, never wrong.
    pub(super) fn for_ids(ids: u64) -> Filter {
        let blocks = (ids * BITS_PER_ID).div_ceil(BLOCK_BYTES as u64 * 8).max(1);
        Filter { blocks: vec![[0; WORDS]; blocks as usize] }
    }

    pub(super) fn insert(&mut self, key: IndexKey) {
        let (block, mask) = self.bits(key);
        for (word, bit) in self.blocks[block].iter_mut().zip(mask) {
            *word |= bit;
        }
    }

    pub(super) fn maybe_contains(&self, key: IndexKey) -> bool {
        let (block, mask) = self.bits(key);
        self.blocks[block].iter().zip(mask).all(|(word, bit)| word & bit != 0)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.blocks.iter().flatten().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Filter {
        let block = |bytes: &[u8; BLOCK_BYTES]| {
            let words = bytes.as_chunks::<4>().0;
            std::array::from_fn(|n| u32::from_le_bytes(words[n]))
        };
        Filter { blocks: bytes.as_chunks::<BLOCK_BYTES>().0.iter().map(block).collect() }
    }

    fn bits(&self, key: IndexKey) -> (usize, [u32; WORDS]) {
        let hash = xxh3_64_with_seed(&key.id().to_le_bytes(), u64::from(key.kind()));
        // The upper half picks the block (scaled instead of divided), the lower the bits.
        let block = ((hash >> 32) * self.blocks.len() as u64) >> 32;
        let low = hash as u32;
        (block as usize, SALTS.map(|salt| 1 << (low.wrapping_mul(salt) >> 27)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_is_never_wrong_and_maybe_seldom() {
        let mut filter = Filter::for_ids(10_000);
        let id = |n: u128| IndexKey::new(0, n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
        (0..10_000).for_each(|n| filter.insert(id(n)));
        let filter = Filter::from_bytes(&filter.to_bytes());
        assert!((0..10_000).all(|n| filter.maybe_contains(id(n))));
        let wrong = (10_000..110_000).filter(|n| filter.maybe_contains(id(*n))).count();
        assert!(wrong < 400, "{wrong} of 100,000 were wrong");
        let of_another_kind = |n| IndexKey::new(1, id(n).id());
        let wrong = (0..10_000).filter(|n| filter.maybe_contains(of_another_kind(*n))).count();
        assert!(wrong < 40, "{wrong} of 10,000 were wrong");
    }
}
