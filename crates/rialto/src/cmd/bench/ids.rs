//! UUIDs for a load: a generator seeded by the operating system once, so that ids cost nanoseconds.

use super::Ids;
use ledger::TransferId;
use std::time::{SystemTime, UNIX_EPOCH};

/// One caller's generator (SplitMix64, Steele et al., OOPSLA 2014).
#[derive(Debug, Clone)]
pub(crate) struct Generator {
    state: u64,
}

impl Generator {
    pub(crate) fn new() -> Self {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        Self { state: high ^ low.rotate_left(32) }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, near enough to uniform for a load.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let scaled = (u128::from(self.next()) * bound as u128) >> 64;
        usize::try_from(scaled).expect("below a usize")
    }

    /// An id of the wanted version (RFC 9562).
    pub(crate) fn id(&mut self, version: Ids) -> TransferId {
        let random = (u128::from(self.next()) << 64) | u128::from(self.next());
        let bits = match version {
            Ids::V4 => random,
            Ids::V7 => (random & (u128::MAX >> 48)) | (u128::from(unix_ms()) << 80),
        };
        let number: u128 = match version {
            Ids::V4 => 4,
            Ids::V7 => 7,
        };
        let versioned = (bits & !(0xf << 76) & !(0x3 << 62)) | (number << 76) | (0x2 << 62);
        TransferId::new(versioned).expect("a UUID with a version is not nil")
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0) & 0xffff_ffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_version_and_variant() {
        let mut generator = Generator::new();
        for (version, number) in [(Ids::V4, 4), (Ids::V7, 7)] {
            let id = uuid::Uuid::from_u128(generator.id(version).get());
            assert_eq!(id.get_version_num(), number);
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        }
    }

    #[test]
    fn ids_of_version_7_are_of_now() {
        let id = uuid::Uuid::from_u128(Generator::new().id(Ids::V7).get());
        let (seconds, _) = id.get_timestamp().expect("version 7 has a time").to_unix();
        assert!(seconds.abs_diff(unix_ms() / 1000) <= 1);
    }
}
