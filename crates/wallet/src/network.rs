//! The network that a profile belongs to, as it lies in the profile.
//!
//! ```text
//! rialto profile of 018f2f6c-0000-7000-8000-000000000001
//! authority 3f:0a:…      SHA-256 of a CA that was trusted for it, in hexadecimal; none without TLS
//! gateway 10.0.0.4:7311  where it was found
//! ```
//!
//! The id is what counts: a random UUID that the gateway's group was founded with, which stays when certificates, the CA,
//! nodes and addresses are replaced. In plain text anybody may claim it; over TLS the CA vouches for it, so a CA that was
//! never trusted for this network is refused, and a file of several CAs carries the trust over while one replaces another.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use api::network::NetworkId;

use crate::sign_in::replace;

/// Addresses that are remembered, at most.
const GATEWAYS_MAX: usize = 32;

/// What a profile is pinned to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub id: NetworkId,
    /// Fingerprints of the CAs that are trusted for it; empty where it was called in plain text.
    pub authorities: BTreeSet<String>,
    /// Where the gateway was found.
    pub gateways: BTreeSet<String>,
}

const FIRST: &str = "rialto profile of ";

impl Network {
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("{FIRST}{}\n", self.id);
        for authority in &self.authorities {
            text += &format!("authority {authority}\n");
        }
        for gateway in self.gateways.iter().take(GATEWAYS_MAX) {
            text += &format!("gateway {gateway}\n");
        }
        text
    }

    pub(crate) fn from_text(text: &str) -> Option<Network> {
        let mut lines = text.lines();
        let id = lines.next()?.strip_prefix(FIRST)?.parse().ok()?;
        let mut network = Network { id, authorities: BTreeSet::new(), gateways: BTreeSet::new() };
        for line in lines {
            match line.split_once(' ') {
                // Neither has a space or a control character, which would not come back as it was written.
                Some((_, value)) if !value.bytes().all(|byte| byte.is_ascii_graphic()) => false,
                Some(("authority", authority)) => network.authorities.insert(authority.to_owned()),
                Some(("gateway", gateway)) => network.gateways.insert(gateway.to_owned()),
                // Of a later version.
                Some(_) | None => false,
            };
        }
        Some(network)
    }

    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        replace(path, self.to_text().as_bytes())
    }

    /// `None` where there is no file.
    pub(crate) fn load(path: &Path) -> io::Result<Option<Network>> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let why = "it does not say which network the profile belongs to";
                Network::from_text(&text).map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, why))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_stable_and_those_of_later_versions_are_passed_by() {
        let text = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<BTreeSet<_>>();
        let id = NetworkId::new(7).expect("not nil");
        let network = Network { id, authorities: text(&["aa:bb"]), gateways: text(&["10.0.0.4:7311"]) };
        let stored = "rialto profile of 00000000-0000-0000-0000-000000000007\nauthority aa:bb\ngateway 10.0.0.4:7311\n";
        assert_eq!(network.to_text(), stored);
        assert_eq!(Network::from_text(&format!("{stored}colour blue\n")), Some(network));
        for broken in ["", "rialto profile of ", "rialto profile of alpha\n"] {
            assert_eq!(Network::from_text(broken), None, "{broken:?}");
        }
    }
}
