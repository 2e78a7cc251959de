//! Names with several addresses: how nodes are found in Kubernetes, where the name of a headless service has an address for
//! each of its pods that is ready
//! (<https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/>). Any other DNS does as well.
//!
//! `dns:alpha.rialto.svc.cluster.local:7111` stands for all that the name has, now and later. As with Consul, a name gives
//! addresses and never trust: whoever is called there shows a certificate, where the network has them. And whoever was found
//! stays known until somebody else is found in their place.

use clearing::BankName;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tracing::{info, warn};

/// What an address begins with that stands for all that the name behind it has.
pub const PREFIX: &str = "dns:";

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

/// The addresses themselves, `host:port`, each once and in order: names are looked up, other addresses stay as they are.
///
/// # Errors
/// When a name has no address, or there is nobody to ask.
pub async fn addresses(given: &[String]) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for address in given {
        match address.strip_prefix(PREFIX) {
            Some(name) => found.extend(lookup(name.to_owned()).await?),
            None => found.push(address.clone()),
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

async fn lookup(name: String) -> io::Result<Vec<String>> {
    let found = tokio::net::lookup_host(&name)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    Ok(found.map(|address| address.to_string()).collect())
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
    let mut seen: BTreeMap<BankName, Result<Vec<String>, String>> = BTreeMap::new();
    loop {
        for (bank, given) in &banks {
            let found = addresses(given).await.map_err(|error| error.to_string());
            if seen.get(bank) == Some(&found) {
                continue;
            }
            match &found {
                Ok(addresses) => {
                    info!(event = "bank_names", bank = %bank, addresses = %addresses.join(" "));
                    know(&[(*bank, addresses.clone())]);
                }
                Err(why) => {
                    warn!(event = "bank_names", bank = %bank, why = %why, effect = "what is known goes on working")
                }
            }
            seen.insert(*bank, found);
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
