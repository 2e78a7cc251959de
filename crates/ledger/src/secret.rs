//! What a bank keeps of a customer's password: its Argon2id hash, and how it was made.
//!
//! The ledger stores secrets and hands them out. It never sees a password and never verifies one: that is slow on purpose,
//! needs memory, and is done outside of the log, before anything is proposed.

use std::fmt;

/// What hashing the password costs: Argon2id's parameters, as in RFC 9106.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Argon2Cost {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

/// A stored password hash. It cannot be printed: whoever has one can try passwords against it at leisure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    cost: Argon2Cost,
    salt: [u8; 16],
    hash: [u8; 32],
}

/// Bytes of a secret wherever it is stored or sent: memory, passes, lanes, each u32, little endian; salt; hash.
pub(crate) const SECRET_BYTES: usize = 60;

impl Secret {
    /// A secret of whatever parts: the ledger does not judge what a hash costs.
    pub const fn from_parts(cost: Argon2Cost, salt: [u8; 16], hash: [u8; 32]) -> Secret {
        Secret { cost, salt, hash }
    }

    /// Cost, salt and hash, for whoever verifies a password.
    pub const fn into_parts(self) -> (Argon2Cost, [u8; 16], [u8; 32]) {
        (self.cost, self.salt, self.hash)
    }

    pub(crate) fn to_bytes(self) -> [u8; SECRET_BYTES] {
        let Argon2Cost { memory_kib, passes, lanes } = self.cost;
        let mut bytes = [0; SECRET_BYTES];
        bytes[..4].copy_from_slice(&memory_kib.to_le_bytes());
        bytes[4..8].copy_from_slice(&passes.to_le_bytes());
        bytes[8..12].copy_from_slice(&lanes.to_le_bytes());
        bytes[12..28].copy_from_slice(&self.salt);
        bytes[28..].copy_from_slice(&self.hash);
        bytes
    }

    #[expect(clippy::expect_used, reason = "slices of a fixed length have it")]
    pub(crate) fn from_bytes(bytes: &[u8; SECRET_BYTES]) -> Secret {
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes of sixty"));
        Secret {
            cost: Argon2Cost { memory_kib: number(0), passes: number(4), lanes: number(8) },
            salt: bytes[12..28].try_into().expect("sixteen bytes of sixty"),
            hash: bytes[28..].try_into().expect("thirty-two bytes of sixty"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::from_parts(Argon2Cost { memory_kib: 19_456, passes: 2, lanes: 1 }, [3; 16], [0xab; 32])
    }

    #[test]
    fn secrets_are_stored_by_stable_bytes() {
        let bytes = [&[0, 0x4c, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0][..], &[3; 16], &[0xab; 32]].concat();
        assert_eq!(secret().to_bytes()[..], bytes);
        assert_eq!(Secret::from_bytes(&secret().to_bytes()), secret());
        let (cost, salt, hash) = secret().into_parts();
        assert_eq!(Secret::from_parts(cost, salt, hash), secret());
    }

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", secret()), "Secret(hidden)");
        assert_eq!(format!("{:#?}", Some(secret())), "Some(\n    Secret(hidden),\n)");
    }
}
