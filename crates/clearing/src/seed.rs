//! What the ids behind idempotency keys are made of.

use crate::bytes::{Bad, In, Out, Stored};
use std::fmt;

/// A secret of the gateway, of 32 random bytes. It is kept before the first customer signs in, and so it is in every copy of
/// the gateway: one that was put back from a copy, and has forgotten a key, makes the same ids of it. Who does not know the
/// secret cannot foretell them, and so takes none in advance.
///
/// It cannot be printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A seed of 32 bytes that nobody can guess.
    pub const fn new(bytes: [u8; 32]) -> Seed {
        Seed(bytes)
    }

    /// What the ids of a key's request are made of: a UUID of version 8 (RFC 9562).
    pub(crate) fn base(&self, key: u128) -> u128 {
        const VERSION: u128 = 0x8 << 76;
        const VARIANT: u128 = 0b10 << 62;
        let hash = blake3::keyed_hash(&self.0, &key.to_le_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_bytes()[..16]);
        u128::from_be_bytes(bytes) & !(0xf << 76) & !(0b11 << 62) | VERSION | VARIANT
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(hidden)")
    }
}

impl Stored for Seed {
    fn put(&self, out: &mut Out) {
        out.array(&self.0);
    }

    fn take(from: &mut In<'_>) -> Result<Seed, Bad> {
        from.array("seed").map(Seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_uuids_of_version_8_that_follow_from_seed_and_key() {
        let (one, other) = (Seed::new([1; 32]), Seed::new([2; 32]));
        let base = one.base(7);
        assert_eq!((base >> 76 & 0xf, base >> 62 & 0b11), (8, 0b10));
        assert_eq!(base, one.base(7));
        assert_ne!(base, one.base(8));
        assert_ne!(base, other.base(7));
        assert_eq!(format!("{one:?}"), "Seed(hidden)");
    }
}
