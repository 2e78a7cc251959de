//! The number that all members of one group share, so that no node talks with a stranger's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Written as a hyphenated UUID; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Cluster(u128);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no cluster number: it is a UUID, as `rialto bank init` prints it for the first member")]
pub(crate) struct BadCluster {
    given: String,
}

impl Cluster {
    /// A new one, that nobody else has.
    pub(crate) fn make() -> Cluster {
        Cluster(api::new_id())
    }

    pub(crate) fn number(self) -> u128 {
        self.0
    }
}

impl FromStr for Cluster {
    type Err = BadCluster;

    fn from_str(text: &str) -> Result<Cluster, BadCluster> {
        match uuid::Uuid::parse_str(text) {
            Ok(uuid) if !uuid.is_nil() => Ok(Cluster(uuid.as_u128())),
            Ok(_) | Err(_) => Err(BadCluster { given: text.to_owned() }),
        }
    }
}

impl TryFrom<String> for Cluster {
    type Error = BadCluster;

    fn try_from(text: String) -> Result<Cluster, BadCluster> {
        text.parse()
    }
}

impl From<Cluster> for String {
    fn from(cluster: Cluster) -> String {
        cluster.to_string()
    }
}

impl From<u128> for Cluster {
    fn from(number: u128) -> Cluster {
        Cluster(number)
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_u128(self.0).hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_number_survives_being_written_and_read() {
        let made = Cluster::make();
        assert_eq!(made.to_string().parse(), Ok(made));
        assert_ne!(made, Cluster::make());
    }

    #[test]
    fn zero_and_nonsense_are_no_cluster() {
        for bad in ["", "alpha", "00000000-0000-0000-0000-000000000000", "018f"] {
            assert!(bad.parse::<Cluster>().is_err(), "{bad:?} was taken");
        }
    }
}
