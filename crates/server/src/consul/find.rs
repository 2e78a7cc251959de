//! Finding others: health-passing queries that wait for a change.

use super::client::{Consul, ConsulError};
use clearing::BankName;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::{info, warn};

/// How long a query waits for a change.
const WAIT: Duration = Duration::from_secs(30);
/// Before Consul that was away is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// A kind of node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Bank,
    Gateway,
}

impl Service {
    pub fn name(self) -> &'static str {
        match self {
            Service::Bank => "rialto-bank",
            Service::Gateway => "rialto-gateway",
        }
    }
}

/// A node that is there and well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub group: String,
    pub node: u16,
    /// Where it serves gRPC, `host:port`.
    pub grpc: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: Agent,
    service: Registered,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Agent {
    address: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Registered {
    #[serde(default)]
    address: String,
    port: u16,
    #[serde(default)]
    meta: BTreeMap<String, String>,
}

impl Consul {
    /// The nodes of a kind whose check passes; once something is another than at `index`, or a while later.
    ///
    /// # Errors
    /// When Consul is away, or refuses.
    pub(super) async fn passing(&self, service: Service, index: u64) -> Result<(Vec<Instance>, u64), ConsulError> {
        let wait = WAIT.as_secs();
        let path = format!("/v1/health/service/{}?passing=true&index={index}&wait={wait}s", service.name());
        let answer = self.get(&path, if index == 0 { Duration::ZERO } else { WAIT + WAIT / 8 }).await?;
        let entries: Vec<Entry> = serde_json::from_slice(&answer.body).map_err(|error| {
            ConsulError::Config(format!("Consul's list of {} makes no sense: {error}", service.name()))
        })?;
        // What somebody else registered under the name is none of ours.
        let instance = |Entry { node, service }: Entry| {
            let host = if service.address.is_empty() { node.address } else { service.address };
            let (group, number) = (service.meta.get("group")?.clone(), service.meta.get("node")?.parse().ok()?);
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            Some(Instance { group, node: number, grpc: format!("{host}:{}", service.port) })
        };
        Ok((entries.into_iter().filter_map(instance).collect(), answer.index))
    }

    /// The public certificate of a node, PEM, if it is filed.
    async fn certificate(&self, group: &str, node: u16) -> Option<Vec<u8>> {
        let answer = self.get(&format!("/v1/kv/{}?raw=true", key(group, node)), Duration::ZERO).await.ok()?;
        Some(answer.body.to_vec())
    }
}

/// Where a node's public certificate is filed.
pub(super) fn key(group: &str, node: u16) -> String {
    format!("cert/{group}/{node}")
}

/// Where the CA's certificate is filed, for those who have none yet.
pub(super) const AUTHORITY: &str = "cert/ca";

/// Where the gateway's nodes serve gRPC now, of those whose filed certificates can be believed.
///
/// # Errors
/// When Consul is away, or refuses.
pub async fn gateways(consul: &Consul, tls: Option<&certs::Files>) -> Result<Vec<String>, ConsulError> {
    let (found, _) = consul.passing(Service::Gateway, 0).await?;
    Ok(believable(consul, tls, Service::Gateway, found).await)
}

/// The network's CA as it is filed, PEM.
///
/// # Errors
/// When Consul is away or refuses, or none is filed.
pub async fn authority(consul: &Consul) -> Result<Vec<u8>, ConsulError> {
    Ok(consul.get(&format!("/v1/kv/{AUTHORITY}?raw=true"), Duration::ZERO).await?.body.to_vec())
}

/// Tells of the gateway's nodes whenever they are others, for whoever stays longer than for one question. Runs until it is
/// dropped; Consul that is away changes nothing.
pub async fn follow_gateways(consul: Consul, tls: Option<certs::Files>, moved: impl Fn(Vec<String>)) {
    let (mut index, mut last) = (0, Vec::new());
    loop {
        let Ok((found, next)) = consul.passing(Service::Gateway, index).await else {
            index = 0;
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let mut found = believable(&consul, tls.as_ref(), Service::Gateway, found).await;
        found.sort_unstable();
        if !found.is_empty() && found != last {
            last.clone_from(&found);
            moved(found);
        }
        index = if next < index { 0 } else { next };
        if next == 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn believable(
    consul: &Consul,
    tls: Option<&certs::Files>,
    service: Service,
    found: Vec<Instance>,
) -> Vec<String> {
    let mut believed = Vec::new();
    for instance in found {
        if is_believable(consul, tls, service, &instance).await {
            believed.push(instance.grpc);
        }
    }
    believed
}

/// Keeps a gateway's node knowing where the banks are. What was found is kept in a file, for a node that starts while Consul
/// is away. Runs as long as the node serves.
pub(crate) async fn follow_banks(
    consul: Consul,
    tls: Option<certs::Files>,
    kept: PathBuf,
    know: impl Fn(&[(BankName, Vec<String>)]) + Send,
) {
    let (mut index, mut is_away) = (0, false);
    let mut known = read(&kept);
    know(&pairs(&known));
    loop {
        let (found, next) = match consul.passing(Service::Bank, index).await {
            Ok(found) => found,
            Err(error) => {
                if !std::mem::replace(&mut is_away, true) {
                    warn!(event = "consul_away", why = %error, effect = "what is known goes on working");
                }
                index = 0;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if std::mem::replace(&mut is_away, false) {
            info!(event = "consul_back");
        }
        let mut banks = Known::new();
        for instance in found {
            let Ok(name) = BankName::new(&instance.group) else { continue };
            if is_believable(&consul, tls.as_ref(), Service::Bank, &instance).await {
                banks.entry(name.as_str().to_owned()).or_default().push(instance.grpc);
            }
        }
        banks.values_mut().for_each(|addresses| addresses.sort_unstable());
        know(&pairs(&banks));
        // Whoever is gone for the moment may be back where they were.
        let before = known.clone();
        known.extend(banks);
        if known != before
            && let Err(error) = keep(&kept, &known)
        {
            warn!(event = "banks_not_kept", file = %kept.display(), why = %error, effect = "a start while Consul is away knows them not");
        }
        // An index that goes back is of another Consul: from the beginning.
        index = if next < index { 0 } else { next };
        if next == 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Banks by name, and where their nodes serve gRPC.
type Known = BTreeMap<String, Vec<String>>;

fn pairs(known: &Known) -> Vec<(BankName, Vec<String>)> {
    known.iter().filter_map(|(name, at)| Some((BankName::new(name).ok()?, at.clone()))).collect()
}

/// What cannot be read is as good as nothing: Consul knows better.
fn read(file: &Path) -> Known {
    std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn keep(file: &Path, known: &Known) -> std::io::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, serde_json::to_vec_pretty(known)?)?;
    std::fs::rename(&new, file)
}

/// A node whose filed certificate is not of the pinned CA, or of another node, is not called.
async fn is_believable(consul: &Consul, tls: Option<&certs::Files>, service: Service, instance: &Instance) -> bool {
    let Some(files) = tls else { return true };
    let Instance { group, node, grpc } = instance;
    let subject = match service {
        Service::Bank => certs::Subject::bank(group, *node),
        Service::Gateway => certs::Subject::gateway(group, *node),
    };
    let Ok(subject) = subject else { return false };
    let vouched = match consul.certificate(group, *node).await {
        Some(pem) => files.vouches_for(&pem, &subject),
        None => Err("there is none".to_owned()),
    };
    if let Err(why) = &vouched {
        warn!(event = "certificate_refused", group = %group, node, address = %grpc, key = %key(group, *node), why = %why, effect = "it is not called");
    }
    vouched.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_consul_is_read_and_what_is_not_ours_is_left_out() {
        let text = r#"[{"Node":{"Address":"10.0.0.9","Node":"n1"},
             "Service":{"ID":"x","Service":"rialto-bank","Address":"","Port":7111,"Meta":{"group":"alpha","node":"1"}}},
            {"Node":{"Address":"10.0.0.9"},"Service":{"Address":"::1","Port":7112,"Meta":{"group":"alpha","node":"2"}}},
            {"Node":{"Address":"10.0.0.9"},"Service":{"Address":"x","Port":1,"Meta":{}}}]"#;
        let entries: Vec<Entry> = serde_json::from_str(text).expect("as Consul writes it");
        assert_eq!(entries.len(), 3);
        assert_eq!((entries[0].node.address.as_str(), entries[0].service.port), ("10.0.0.9", 7111));
        assert_eq!(entries[1].service.meta["node"], "2");
    }
}
