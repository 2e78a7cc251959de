//! Names with several addresses: how nodes are found in Kubernetes, where the name of a headless service has an address for
//! each of its pods that is ready
//! (<https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/>). Any other DNS does as well.
//!
//! `dns:alpha.rialto.svc.cluster.local:7111` stands for all that the name has, now and later. As with Consul, a name gives
//! addresses and never trust: whoever is called there shows a certificate, where the network has them. And whoever was found
//! stays known until somebody else is found in their place.

use crate::skipped::Skipped;
use clearing::BankName;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tracing::{info, warn};

/// What an address begins with that stands for all that the name behind it has.
pub const PREFIX: &str = "dns:";

/// Addresses of one name that are looked at, at most.
const ADDRESSES_MAX: usize = 64;
/// Shorter than names are kept by Kubernetes' own DNS (5 s).
const LOOK_PERIOD: Duration = Duration::from_secs(2);

/// Sees whether it is `dns:HOST:PORT`, or an address that stands for itself.
///
/// # Errors
/// What is wrong with a name, in words.
pub fn check(address: &str) -> Result<(), String> {
    let Some(name) = address.strip_prefix(PREFIX) else { return Ok(()) };
    match name.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(()),
        Some(_) | None => Err(format!("`{address}` names no port: write {PREFIX}HOST:PORT")),
    }
}

/// What addresses were found, and what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    addresses: Vec<String>,
    skipped: Skipped,
    /// The first lookup that failed.
    failed: Option<(io::ErrorKind, String)>,
}

/// The addresses themselves, `host:port`, each once and in order: names are looked up, other addresses stay as they are. A
/// name that has none takes nothing away from the others.
///
/// # Errors
/// When there is no address at all.
pub async fn addresses(given: &[String]) -> io::Result<Vec<String>> {
    match look_up(given).await {
        Found { addresses, failed: Some((kind, why)), .. } if addresses.is_empty() => Err(io::Error::new(kind, why)),
        Found { addresses, .. } => Ok(addresses),
    }
}

async fn look_up(given: &[String]) -> Found {
    let mut found = Found::default();
    for address in given {
        match address.strip_prefix(PREFIX) {
            None => found.addresses.push(address.clone()),
            Some(name) => match lookup(name.to_owned()).await {
                Ok(answer) => found.add(name, answer),
                Err(error) => {
                    found.skipped.note(|| error.to_string());
                    found.failed.get_or_insert_with(|| (error.kind(), error.to_string()));
                }
            },
        }
    }
    found.addresses.sort_unstable();
    found.addresses.dedup();
    found
}

impl Found {
    /// What a name was answered with. An address that is there twice takes no other's place.
    fn add(&mut self, name: &str, answer: impl IntoIterator<Item = SocketAddr>) {
        let answer: BTreeSet<SocketAddr> = answer.into_iter().collect();
        for (place, address) in answer.into_iter().enumerate() {
            if place < ADDRESSES_MAX {
                self.addresses.push(address.to_string());
            } else {
                self.skipped.note(|| format!("{name} has more than {ADDRESSES_MAX} addresses"));
            }
        }
    }
}

async fn lookup(name: String) -> io::Result<impl Iterator<Item = SocketAddr>> {
    let found = tokio::net::lookup_host(name.clone()).await;
    found.map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))
}

/// Whether any of these is a name that is to be followed.
pub(crate) fn has_names(given: &[String]) -> bool {
    given.iter().any(|address| address.starts_with(PREFIX))
}

/// Keeps a gateway's node knowing where the banks are whose names were given. Runs as long as the node serves.
pub(crate) async fn follow_banks(
    banks: Vec<(BankName, Vec<String>)>,
    know: impl Fn(&[(BankName, Vec<String>)]) + Send,
) {
    let mut seen: BTreeMap<BankName, Found> = BTreeMap::new();
    loop {
        for (bank, given) in &banks {
            let found = look_up(given).await;
            if seen.get(bank) == Some(&found) {
                continue;
            }
            let Found { addresses, skipped, .. } = &found;
            if !skipped.is_empty() {
                warn!(event = "bank_names", bank = %bank, why = %skipped, count = skipped.count(), effect = "what is known goes on working");
            }
            if !addresses.is_empty() {
                info!(event = "bank_names", bank = %bank, addresses = %addresses.join(" "));
                know(&[(*bank, addresses.clone())]);
            }
            seen.insert(*bank, found);
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}

/// Bytes of an input as what DNS answers: see [`crate::fuzzing`]. The packet itself is read by the system's resolver.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    #![allow(clippy::expect_used, reason = "it is run by tests and fuzz targets, which find what is wrong by a panic")]

    use super::{ADDRESSES_MAX, BTreeSet, Found};
    use std::net::{IpAddr, SocketAddr};

    /// Each address is found once, as far as there is room, and what is left out is counted.
    pub(crate) fn answer(bytes: &[u8]) {
        let address = |bytes: &[u8]| match bytes.first_chunk::<16>() {
            Some(six) if six[0] & 1 == 0 => IpAddr::from(*six),
            Some(_) | None => IpAddr::from([0, 1, 2, 3].map(|at| bytes.get(at).copied().unwrap_or(0))),
        };
        let answer: Vec<SocketAddr> = bytes.chunks(16).map(|piece| SocketAddr::new(address(piece), 7_111)).collect();
        let mut found = Found::default();
        found.add("alpha.example", answer.iter().copied());
        let named: BTreeSet<SocketAddr> = answer.into_iter().collect();
        assert_eq!(found.addresses.len(), named.len().min(ADDRESSES_MAX));
        assert_eq!(found.addresses.len() + found.skipped.count(), named.len());
        for address in &found.addresses {
            assert!(named.contains(&address.parse().expect("as addresses are written")), "{address}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_named_again_and_again_hides_no_other() {
        let address = |last: u8| SocketAddr::from(([10, 0, 0, last], 7_111));
        let mut found = Found::default();
        found.add("alpha", std::iter::repeat_n(address(9), 1_000).chain([address(1)]));
        assert_eq!(found.addresses, ["10.0.0.1:7111", "10.0.0.9:7111"]);
        assert!(found.skipped.is_empty(), "{found:?}");
        found.add("beta", (0..=255).map(address));
        assert_eq!((found.addresses.len(), found.skipped.count()), (2 + ADDRESSES_MAX, 256 - ADDRESSES_MAX));
    }

    #[test]
    fn a_name_needs_a_port_and_other_addresses_stand_for_themselves() {
        for good in ["dns:alpha.rialto:7111", "alpha.rialto:7111", "10.0.0.1:7111", "https://10.0.0.1:7111"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["dns:alpha.rialto", "dns:alpha.rialto:", "dns::7111", "dns:alpha:http", "dns:alpha:0"] {
            assert!(check(bad).expect_err(bad).contains("dns:HOST:PORT"), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_name_stands_for_all_its_addresses_and_one_that_is_not_there_is_told() {
        let given = ["dns:localhost:7111", "10.0.0.1:7112", "10.0.0.1:7112"].map(str::to_owned);
        let found = addresses(&given).await.expect("every machine has a localhost");
        assert!(
            found.contains(&"127.0.0.1:7111".to_owned()) && found.contains(&"10.0.0.1:7112".to_owned()),
            "{found:?}"
        );
        assert_eq!(found.iter().filter(|address| address.starts_with("10.")).count(), 1);
        let nowhere =
            addresses(&["dns:nowhere.invalid:7111".to_owned()]).await.expect_err("RFC 6761 keeps .invalid free");
        assert!(nowhere.to_string().contains("nowhere.invalid"), "{nowhere}");
        // One that is not there takes nothing away from the others, and is named.
        let given = ["dns:nowhere.invalid:7111", "dns:localhost:7111"].map(str::to_owned);
        let found = look_up(&given).await;
        assert!(found.addresses.contains(&"127.0.0.1:7111".to_owned()), "{found:?}");
        assert!(found.skipped.count() == 1 && found.skipped.to_string().contains("nowhere.invalid"), "{found:?}");
        assert_eq!(addresses(&given).await.expect("one is there"), found.addresses);
    }
}
