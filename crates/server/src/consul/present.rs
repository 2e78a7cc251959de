//! Saying that one is there: a registration with a check that is kept alive, and the public certificate beside it.

use super::client::{Check, Consul, ConsulError};
use super::find::{AUTHORITY, Service, key};
use crate::config::{NodeConfig, NodeError};
use crate::handle::Handle;
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// Consul takes a node for gone when it has not been heard for so long.
const TTL: Duration = Duration::from_secs(10);
/// So a word that is lost is no loss.
const BEAT: Duration = Duration::from_secs(2);
/// And forgets it after so long.
const FORGOTTEN_AFTER: &str = "60m";
/// How long a node that stops waits for Consul to take note.
const GOODBYE: Duration = Duration::from_secs(1);

/// A node's presence in Consul; it ends with [`Present::leave`], or when the process dies and its time runs out.
#[derive(Debug)]
pub(crate) struct Present {
    consul: Consul,
    id: String,
    beating: JoinHandle<()>,
}

impl Present {
    /// Begins to say that the node is there. Consul may be away: then it is told when it is back.
    ///
    /// # Errors
    /// When Consul's address cannot be used.
    pub(crate) fn begin<S: crate::service::Service>(
        config: &NodeConfig,
        node: &Handle<S>,
    ) -> Result<Option<Present>, NodeError> {
        let Some(settings) = &config.consul else { return Ok(None) };
        let consul = Consul::new(settings).map_err(|error| NodeError::Config(error.to_string()))?;
        let service = if S::KIND == "bank" { Service::Bank } else { Service::Gateway };
        let id = format!("{}-{}-{}", service.name(), config.group, config.node);
        let word = Word { consul: consul.clone(), service, id: id.clone(), config: config.clone() };
        let node = node.clone();
        let is_well = move || {
            let status = node.node_status();
            status.quorum && !status.clock_off
        };
        let beating = tokio::spawn(async move { word.keep(is_well).await });
        Ok(Some(Present { consul, id, beating }))
    }

    /// The node stops, and says so.
    pub(crate) async fn leave(self) {
        self.beating.abort();
        let path = format!("/v1/agent/service/deregister/{}", self.id);
        let told = tokio::time::timeout(GOODBYE, self.consul.put(&path, String::new())).await;
        if !matches!(told, Ok(Ok(()))) {
            warn!(event = "consul_not_told", effect = "Consul takes this node for gone when its time has run out");
        }
    }
}

/// What is said of one node.
struct Word {
    consul: Consul,
    service: Service,
    id: String,
    config: NodeConfig,
}

impl Word {
    async fn keep(&self, is_well: impl Fn() -> bool) {
        let (mut is_there, mut told, mut filed) = (false, None, None);
        loop {
            let said = self.say(&mut is_there, is_well(), &mut filed).await;
            match said {
                Ok(()) if told != Some(true) => {
                    told = Some(true);
                    info!(event = "consul_registered", service = self.service.name(), id = %self.id);
                }
                Ok(()) => {}
                Err(error) => {
                    // It may have forgotten this node: next time from the beginning.
                    (is_there, filed) = (false, None);
                    if told.replace(false) != Some(false) || matches!(error, ConsulError::Refused { .. }) {
                        warn!(event = "consul_away", why = %error, effect = "others do not learn of this node; what they know goes on working");
                    }
                }
            }
            tokio::time::sleep(BEAT).await;
        }
    }

    async fn say(&self, is_there: &mut bool, is_well: bool, filed: &mut Option<String>) -> Result<(), ConsulError> {
        if !*is_there {
            self.register().await?;
            *is_there = true;
        }
        self.file_certificate(filed).await?;
        if self.kind() == Check::Grpc {
            // The agent asks by itself; only whether it still knows of this node is looked at.
            return self.consul.get(&format!("/v1/agent/service/{}", self.id), Duration::ZERO).await.map(drop);
        }
        let (status, output) = if is_well {
            ("passing", "it serves")
        } else {
            ("critical", "no majority of its group answers it, or its clock is off")
        };
        let body = json!({"Status": status, "Output": output}).to_string();
        self.consul.put(&format!("/v1/agent/check/update/service:{}", self.id), body).await
    }

    async fn register(&self) -> Result<(), ConsulError> {
        let grpc = self.config.grpc;
        // A node that listens everywhere is where its agent is.
        let address = if grpc.ip().is_unspecified() { String::new() } else { grpc.ip().to_string() };
        let body = json!({
            "ID": self.id,
            "Name": self.service.name(),
            "Tags": [self.config.group],
            "Address": address,
            "Port": grpc.port(),
            "Meta": {"group": self.config.group, "node": self.config.node.to_string()},
            "Check": self.check(),
        });
        self.consul.put("/v1/agent/service/register?replace-existing-checks=true", body.to_string()).await
    }

    fn kind(&self) -> Check {
        self.config.consul.as_ref().map(|consul| consul.check).unwrap_or_default()
    }

    /// The node speaks for itself, or the agent asks it: over TLS with a certificate of its own, which it shows only if it
    /// was told to (`enable_agent_tls_for_checks`).
    fn check(&self) -> serde_json::Value {
        let tls = self.config.tls.is_some();
        match self.kind() {
            Check::Grpc => json!({
                "GRPC": self.config.grpc.to_string(),
                "GRPCUseTLS": tls,
                // The name of its CA's certificates is no host's: who it is, its caller's own TLS looks at.
                "TLSSkipVerify": tls,
                "Interval": format!("{}s", BEAT.as_secs()),
                "Timeout": format!("{}s", BEAT.as_secs()),
                "DeregisterCriticalServiceAfter": FORGOTTEN_AFTER,
            }),
            Check::Ttl => json!({
                "TTL": format!("{}s", TTL.as_secs()),
                "DeregisterCriticalServiceAfter": FORGOTTEN_AFTER,
            }),
        }
    }

    /// The public certificate, again when it is another one.
    async fn file_certificate(&self, filed: &mut Option<String>) -> Result<(), ConsulError> {
        let Some(files) = &self.config.tls else { return Ok(()) };
        let Ok(pem) = std::fs::read_to_string(files.certificate()) else { return Ok(()) };
        if filed.as_ref() == Some(&pem) {
            return Ok(());
        }
        self.consul.put(&format!("/v1/kv/{}", key(&self.config.group, self.config.node)), pem.clone()).await?;
        if let Ok(authority) = std::fs::read_to_string(files.authority()) {
            self.consul.put(&format!("/v1/kv/{AUTHORITY}"), authority).await?;
        }
        *filed = Some(pem);
        Ok(())
    }
}
