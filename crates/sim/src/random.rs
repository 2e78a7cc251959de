//! The one source of chance of a run: xoshiro256** seeded by SplitMix64 (Blackman and Vigna, 2018).
//!
//! Our own, because a seed written down in a bug report must mean the same run next year: no crate's new version and no
//! platform may change the sequence. It is not for secrets. Chances are given in parts per thousand, never as floats.

#[derive(Debug, Clone)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    pub fn new(seed: u64) -> Random {
        let mut mix = seed;
        let state = [(); 4].map(|()| split_mix(&mut mix));
        Random { state }
    }

    /// A generator of its own, so that drawing more in one place does not shift what another draws.
    pub fn fork(&mut self) -> Random {
        Random::new(self.next())
    }

    #[expect(clippy::should_implement_trait, reason = "an endless sequence is no iterator worth the adaptors")]
    pub fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number below `bound`, which is not zero. The bias of a plain modulo is below 2^-40 for the bounds used here.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing is below zero");
        self.next() % bound
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in `per_mille` of a thousand draws.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// An index into something of that length, which is not empty.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// Mostly near `typical`, now and then up to `longest`: the shape of network delays and of disk syncs.
    pub fn long_tailed(&mut self, typical: u64, longest: u64) -> u64 {
        let spread = self.between(typical / 2, typical * 3 / 2).max(1);
        if self.chance(20) { self.between(spread, longest.max(spread)) } else { spread }
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_sequence_for_ever() {
        let mut random = Random::new(0);
        // The first values of xoshiro256** whose state is SplitMix64's first four outputs for seed 0.
        assert_eq!([(); 2].map(|()| random.next()), [0x99ec_5f36_cb75_f2b4, 0xbf6e_1f78_4956_452a]);
    }

    #[test]
    fn chances_come_out_about_as_often_as_they_say() {
        let mut random = Random::new(7);
        let hits = (0..100_000).filter(|_| random.chance(250)).count();
        assert!((24_000..26_000).contains(&hits), "{hits} of 100000 at 250 per mille");
    }
}
