//! The way to the gateway: the addresses, and how they are spoken to.
//!
//! Addresses come from `--gateway`, from Consul, or from the `network.json` of a network's directory, in this order.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::client::gateway::{GatewayClient, GatewayError, GatewayOptions};
use api::network::NetworkId;
use server::consul::{Consul, ConsulConfig, ConsulError};
use tokio::runtime::Handle;

use super::of_gateway;
use crate::cmd::gateway_file::{self, Known};
use crate::cmd::gateway_port::misdirected;
use crate::failure::Failure;

/// How long a look at the gateway may take.
const LOOK: GatewayOptions = GatewayOptions {
    deadline: Duration::from_secs(5),
    attempt_timeout: Duration::from_millis(2_500),
    connect_patience: Duration::from_secs(1),
};
/// How long the gateway may take to say which network it is.
const WHO: GatewayOptions = GatewayOptions {
    deadline: Duration::from_secs(3),
    attempt_timeout: Duration::from_secs(2),
    connect_patience: Duration::ZERO,
};

/// Addresses of the gateway that a profile keeps, at most.
const GATEWAYS_MAX: usize = 16;

/// What was said of it.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) gateways: Vec<String>,
    pub(super) consul: Option<ConsulConfig>,
    pub(super) tls_dir: Option<PathBuf>,
    /// The directory of a network.
    pub(super) dir: PathBuf,
}

/// Addresses, and the directory with certificates where they speak TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) addresses: Vec<String>,
    tls: Option<PathBuf>,
}

impl Way {
    /// Whether it was said where the gateway is, so that no directory needs to know.
    pub(super) fn is_named(&self) -> bool {
        !self.gateways.is_empty() || self.consul.is_some()
    }

    /// Which network it is, as far as the network's own directory says so.
    pub(super) fn network(&self) -> Option<NetworkId> {
        gateway_file::read(&self.dir).ok().filter(|_| !self.is_named())?.network
    }

    /// Where the gateway is. `kept` is the file in which Consul's answer is kept for while Consul is away.
    pub(super) fn find(&self, kept: Option<&Path>) -> Result<Found, Failure> {
        let given = match &self.consul {
            Some(consul) if self.gateways.is_empty() => self.in_consul(consul, kept)?,
            Some(_) | None => self.gateways.clone(),
        };
        let Found { addresses, tls } = self.of(given)?;
        Ok(Found { addresses: looked_up(addresses)?, tls })
    }

    /// Addresses that were given, or else those of the directory.
    fn of(&self, given: Vec<String>) -> Result<Found, Failure> {
        if given.is_empty() {
            let Known { addresses, tls, network: _ } = gateway_file::read(&self.dir)?;
            return Ok(Found { addresses, tls: self.tls_dir.clone().or(tls) });
        }
        // A node by its address is one of the network that the directory tells of, unless it is called in plain text.
        let is_plain = given.iter().any(|address| address.starts_with("http://"));
        let known = if is_plain { None } else { gateway_file::read(&self.dir).ok() };
        Ok(Found { addresses: given, tls: self.tls_dir.clone().or(known.and_then(|known| known.tls)) })
    }

    /// Fingerprints of the CAs that are trusted for it: none in plain text. `None` where it is not known where the gateway is.
    pub(super) fn authorities(&self) -> Result<Option<BTreeSet<String>>, Failure> {
        let in_consul = self.consul.is_some() && self.gateways.is_empty();
        let tls = match in_consul {
            true => self.tls_dir.clone(),
            false => match self.of(self.gateways.clone()) {
                Ok(found) => found.tls,
                Err(_) => return Ok(None),
            },
        };
        tls.map_or(Ok(Some(BTreeSet::new())), |dir| authorities(&dir).map(Some))
    }

    /// A client, which has asked nothing yet.
    pub(super) fn connect(found: &Found) -> Result<GatewayClient, Failure> {
        let tls = found.tls.clone().map(|dir| {
            let files = certs::Files::new(dir, certs::Subject::Client);
            certs::Client::new(files, certs::Expected::NodeOfAnyGateway, certs::Protocol::Grpc).map(Arc::new)
        });
        let tls = tls.transpose().map_err(|error| Failure::new(error.to_string()))?;
        let gateway = GatewayClient::connect_with(&found.addresses, tls).map_err(of_gateway)?;
        Ok(gateway.with_options(LOOK))
    }

    /// Asks the gateway which network it is. `None` where it cannot be reached.
    ///
    /// # Errors
    /// Among others where something else than the gateway answers.
    pub(super) fn ask(found: &Found, gateway: &GatewayClient) -> Result<Option<NetworkId>, Failure> {
        let gateway = gateway.with_options(WHO);
        match blocking(gateway.ask_network()) {
            Ok(network) => Ok(Some(network)),
            Err(GatewayError::Unreachable { .. } | GatewayError::Overloaded { .. }) => {
                blocking(misdirected(&found.addresses)).map_or(Ok(None), Err)
            }
            Err(error) => Err(of_gateway(error)),
        }
    }

    /// This client's certificate and the CA that it trusts, where they were given.
    pub(super) fn files(&self) -> Option<certs::Files> {
        self.tls_dir.clone().map(|dir| certs::Files::new(dir, certs::Subject::Client))
    }

    /// Where Consul says that the gateway is; while Consul is away, where it was.
    fn in_consul(&self, config: &ConsulConfig, kept: Option<&Path>) -> Result<Vec<String>, Failure> {
        let away =
            |error: ConsulError| Failure::unreachable(error.to_string()).line("given by --consul, or RIALTO_CONSUL");
        let consul = Consul::new(config).map_err(away)?;
        let files = self.files();
        if let Some(files) = &files {
            pin_authority(&consul, files)?;
        }
        match blocking(server::consul::gateways(&consul, files.as_ref())) {
            Ok(found) if found.is_empty() => Err(Failure::unreachable(format!(
                "Consul at {} knows of no node of the gateway that is well",
                config.url
            ))
            .line("is the gateway started with --consul? rialto up --consul URL")),
            Ok(found) => {
                let Some(kept) = kept else { return Ok(found) };
                // What Consul names comes first; where the gateway was before stays behind it, should that be wrong.
                let found = with_former(found, kept_gateways(kept));
                // No command fails because it cannot be kept.
                let _ = std::fs::write(kept, serde_json::json!(found).to_string());
                Ok(found)
            }
            Err(error) => {
                let known = kept.map(kept_gateways).unwrap_or_default();
                if known.is_empty() {
                    return Err(away(error));
                }
                let why = match error {
                    ConsulError::Away { .. } => format!("Consul at {} cannot be reached", config.url),
                    ConsulError::Config(_) | ConsulError::Refused { .. } => error.to_string(),
                };
                eprintln!("warning: {why}; the gateway is looked for where it was");
                Ok(known)
            }
        }
    }

    /// Keeps a client that stays at the gateway wherever that goes, as long as the client is used.
    pub(super) fn follow(&self, gateway: &GatewayClient) -> Option<tokio::task::JoinHandle<()>> {
        let consul = self.consul.as_ref().filter(|_| self.gateways.is_empty())?;
        let (consul, gateway) = (Consul::new(consul).ok()?, gateway.clone());
        let former = Mutex::new(Vec::new());
        let moved = move |addresses: Vec<String>| {
            let mut former = former.lock().unwrap_or_else(PoisonError::into_inner);
            *former = with_former(addresses, std::mem::take(&mut *former));
            drop(gateway.move_to(former.clone()));
        };
        Some(tokio::spawn(server::consul::follow_gateways(consul, self.files(), moved)))
    }
}

/// Where the gateway was, newest first, as far as it can be read.
fn kept_gateways(file: &Path) -> Vec<String> {
    std::fs::read(file).ok().map_or_else(Vec::new, |text| listed_gateways(&text))
}

/// Each by itself: what is no text is passed by.
pub(crate) fn listed_gateways(text: &[u8]) -> Vec<String> {
    let listed: Vec<serde_json::Value> = serde_json::from_slice(text).unwrap_or_default();
    listed.into_iter().filter_map(|it| it.as_str().map(str::to_owned)).take(GATEWAYS_MAX).collect()
}

/// Addresses of the gateway that are named now, and behind them those of before, each once.
fn with_former(named: Vec<String>, former: Vec<String>) -> Vec<String> {
    let mut known: Vec<String> = Vec::new();
    for address in named.into_iter().chain(former) {
        if known.len() < GATEWAYS_MAX && !known.contains(&address) {
            known.push(address);
        }
    }
    known
}

fn blocking<T>(work: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| Handle::current().block_on(work))
}

fn authorities(dir: &Path) -> Result<BTreeSet<String>, Failure> {
    let path = certs::Files::new(dir, certs::Subject::Client).authority();
    let found = certs::fingerprints(&path).map_err(|error| Failure::new(error.to_string()))?;
    Ok(found.into_iter().collect())
}

/// A client that has a certificate and no CA takes the one that the network has filed, once: from then on it is pinned.
fn pin_authority(consul: &Consul, files: &certs::Files) -> Result<(), Failure> {
    let path = files.authority();
    if path.exists() || !files.certificate().exists() {
        return Ok(());
    }
    let filed = blocking(server::consul::authority(consul)).map_err(|error| {
        Failure::new(format!("there is no {}, and Consul has none to give: {error}", path.display()))
            .line("copy the network's ca.crt there")
    })?;
    // Only what is a certificate takes its place: what is there once is believed for ever.
    let offered = path.with_extension("crt.offered");
    let failed = |error: String| Failure::new(format!("{}: {error}", offered.display()));
    std::fs::write(&offered, filed).map_err(|error| failed(error.to_string()))?;
    let facts = certs::Facts::read(&offered).map_err(|error| failed(error.to_string()))?;
    let fingerprint = facts.ok_or_else(|| failed("it is gone".to_owned()))?.fingerprint;
    std::fs::rename(&offered, &path).map_err(|error| failed(error.to_string()))?;
    eprintln!(
        "note: the network's CA was taken from Consul, and is the one that is trusted from now on: {}",
        path.display()
    );
    eprintln!("note: compare it with what the network's operator tells you (rialto certs show): SHA-256 {fingerprint}");
    Ok(())
}

/// Names stand for every address that they have at present.
fn looked_up(given: Vec<String>) -> Result<Vec<String>, Failure> {
    given.iter().try_for_each(|address| server::dns::check(address)).map_err(Failure::usage)?;
    if !given.iter().any(|address| address.starts_with(server::dns::PREFIX)) {
        return Ok(given);
    }
    let found = blocking(server::dns::addresses(&given));
    found.map_err(|error| Failure::unreachable(error.to_string()).line("given by --gateway, or RIALTO_GATEWAY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_gateway_was_stays_known_behind_what_is_named_now() {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
        assert_eq!(with_former(list(&["c", "a"]), list(&["a", "b"])), list(&["c", "a", "b"]));
        let many: Vec<String> = (0..100).map(|number| format!("10.0.0.{number}:7311")).collect();
        let known = with_former(many, list(&["a"]));
        assert_eq!((known.len(), known[0].as_str()), (GATEWAYS_MAX, "10.0.0.0:7311"));
        let file = std::env::temp_dir().join(format!("rialto-gateways-{}", std::process::id()));
        assert_eq!(kept_gateways(&file), list(&[]), "there is none");
        std::fs::write(&file, r#"["a", null, 7, "b"]"#).expect("there is room");
        assert_eq!(kept_gateways(&file), list(&["a", "b"]), "what can be read is");
        std::fs::remove_file(&file).expect("it was written");
    }
}
