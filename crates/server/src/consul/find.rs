//! Finding others: health-passing queries that wait for a change.

use super::client::{Consul, ConsulError};
use clearing::BankName;
use serde::Deserialize;
use std::collections::BTreeMap;
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

/// Where the gateway's nodes serve gRPC now.
///
/// # Errors
/// When Consul is away, or refuses.
pub async fn gateways(consul: &Consul) -> Result<Vec<String>, ConsulError> {
    let (found, _) = consul.passing(Service::Gateway, 0).await?;
    Ok(found.into_iter().map(|instance| instance.grpc).collect())
}

/// Keeps a gateway's node knowing where the banks are. Runs as long as the node serves.
pub(crate) async fn follow_banks(
    consul: Consul,
    tls: Option<certs::Files>,
    know: impl Fn(&[(BankName, Vec<String>)]) + Send,
) {
    let (mut index, mut is_away) = (0, false);
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
        let mut banks: BTreeMap<BankName, Vec<String>> = BTreeMap::new();
        for instance in found {
            let Ok(name) = BankName::new(&instance.group) else { continue };
            if is_believable(&consul, tls.as_ref(), &instance).await {
                banks.entry(name).or_default().push(instance.grpc);
            }
        }
        let mut banks: Vec<(BankName, Vec<String>)> = banks.into_iter().collect();
        banks.iter_mut().for_each(|(_, addresses)| addresses.sort_unstable());
        know(&banks);
        // An index that goes back is of another Consul: from the beginning.
        index = if next < index { 0 } else { next };
        if next == 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// A node whose filed certificate is not of the pinned CA, or of another node, is not called.
async fn is_believable(consul: &Consul, tls: Option<&certs::Files>, instance: &Instance) -> bool {
    let Some(files) = tls else { return true };
    let Instance { group, node, grpc } = instance;
    let Ok(subject) = certs::Subject::bank(group, *node) else { return false };
    let vouched = match consul.certificate(group, *node).await {
        Some(pem) => files.vouches_for(&pem, &subject),
        None => Err("there is none".to_owned()),
    };
    if let Err(why) = &vouched {
        warn!(event = "certificate_refused", bank = %group, node, address = %grpc, key = %key(group, *node), why = %why, effect = "it is not called");
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
