//! Which network a gateway belongs to.

use std::fmt;
use std::str::FromStr;

/// What a network is known by: the number that its gateway's group was founded with, a random UUID. It stays when nodes are
/// replaced, when certificates and the CA are, and after a restore from a backup. Never nil.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(u128);

/// A text that is no network's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no network's id, which is a UUID")]
pub struct BadNetworkId {
    given: String,
}

impl NetworkId {
    /// None for the nil UUID.
    pub fn new(bits: u128) -> Option<NetworkId> {
        (bits != 0).then_some(NetworkId(bits))
    }

    pub fn get(self) -> u128 {
        self.0
    }
}

impl FromStr for NetworkId {
    type Err = BadNetworkId;

    fn from_str(text: &str) -> Result<NetworkId, BadNetworkId> {
        let id = uuid::Uuid::parse_str(text).ok().and_then(|id| NetworkId::new(id.as_u128()));
        id.ok_or_else(|| BadNetworkId { given: text.to_owned() })
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_u128(self.0).hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_being_written_and_read_and_nil_is_none() {
        let id = NetworkId::new(7).expect("not nil");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string(), "00000000-0000-0000-0000-000000000007");
        for bad in ["", "alpha", "00000000-0000-0000-0000-000000000000"] {
            assert!(bad.parse::<NetworkId>().is_err(), "{bad}");
        }
    }
}
