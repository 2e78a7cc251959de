//! A node of the gateway: signs customers in, takes their payments, and drives them to their end.
//!
//! ```text
//! client ─ grpc, http ─ permits ─► sign_in ─► tokens, banks            the bank says whether it is the password
//!                                  payments ─► log (Take) ─► waiting ◄──┐ decided
//!                                                 │ chosen              │
//!          banks ◄── calls ◄── drive ◄────────────┴── log (Report, Delivered)
//!            └──── replies ──────┘
//! ```
//!
//! What is decided, is decided in the log, by [`clearing`]; here it is asked for, waited for and carried about. All of this
//! can end at any moment: what is under way is in the replicated state, and any node takes it up.

mod allowance;
mod audit;
mod audited;
mod authentication;
mod banks;
mod contradicted;
mod customer_http;
mod desk;
mod discovery;
mod drive;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod grpc;
mod http;
mod kept_banks;
mod operators;
mod payments;
mod permits;
mod places;
mod reads;
mod recall;
mod registry;
mod replaying;
mod settings;
mod sign_in;
#[cfg(test)]
mod slow_bank;
mod tokens;
mod trials;
mod waiting;
mod way;

use crate::config::{GatewayNodeConfig, NodeError};
use crate::consul::{self, Consul};
use crate::dns;
use crate::edge::metrics::Metrics;
use crate::handle::Handle;
use crate::serve::{self, Edges};
use allowance::{Allowance, Rate};
use banks::Banks;
use clearing::NodeNumber;
use contradicted::Contradicted;
use desk::Desk;
use kept_banks::KeptBanks;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokens::Tokens;
use tokio::sync::mpsc;
use waiting::Waiting;

/// The handle of a gateway's node.
pub(crate) type Gateway = Handle<gateway::Machine>;

/// Replies of banks that wait for the driver, at most: beyond it their senders wait.
const REPLIES_MAX: usize = 16_384;
/// Words to the driver that wait for it, at most: each may be about many payments.
const NUDGES_MAX: usize = 1_024;

pub(crate) fn edges(config: &GatewayNodeConfig, gateway: &Gateway, metrics: &Metrics) -> Result<Edges, NodeError> {
    let node =
        NodeNumber::new(config.node.node).ok_or_else(|| NodeError::Config("members are numbered from 1".to_owned()))?;
    let (replies, heard) = mpsc::channel(REPLIES_MAX);
    let (nudges, nudged) = mpsc::channel(NUDGES_MAX);
    let tokens = Tokens::new(&config.node.group, config.token_ms)
        .map_err(|why| NodeError::Config(format!("the key that signs tokens cannot be made: {why}")))?;
    let desk = Desk {
        gateway: gateway.clone(),
        node,
        banks: Arc::new(Banks::new(replies, config.node.tls.clone())),
        tokens: Arc::new(tokens),
        waiting: Arc::new(Waiting::default()),
        contradicted: Arc::new(Contradicted::default()),
        vote_timeout_ms: Arc::new(AtomicU64::new(clearing::Settings::default().vote_timeout_ms)),
        allowance: Arc::new(Allowance::new(Rate::of_customers(&clearing::Settings::default()))),
        bank_allowance: Arc::new(Allowance::new(Rate::of_banks(&clearing::Settings::default()))),
        nudges,
        guard: serve::guard(&config.node)?,
        metrics: metrics.clone(),
    };
    let (named, fixed): (Vec<_>, Vec<_>) = config.banks.iter().cloned().partition(|(_, given)| dns::has_names(given));
    desk.banks.know(&fixed);
    let mut tasks = vec![
        tokio::spawn(drive::run(desk.clone(), heard, nudged)),
        tokio::spawn(registry::run(desk.clone())),
        tokio::spawn(recall::run(desk.clone())),
        tokio::spawn(tokens::run(desk.clone())),
    ];
    if let Some(ms) = config.vote_timeout_ms {
        tasks.push(tokio::spawn(settings::put_in_force(desk.clone(), ms)));
    }
    if !named.is_empty() {
        let banks = Arc::clone(&desk.banks);
        tasks.push(tokio::spawn(dns::follow_banks(named, move |found| banks.know(found))));
    }
    if let Some(file) = &config.network_file {
        tasks.push(tokio::spawn(discovery::run(desk.clone(), file.clone())));
    }
    if let Some(settings) = &config.node.consul {
        let consul = Consul::new(settings).map_err(|error| NodeError::Config(error.to_string()))?;
        let banks = Arc::clone(&desk.banks);
        let kept = KeptBanks::new(config.node.data.join("banks.json"));
        banks.know(&kept.read());
        banks.wait_for_consul(true);
        let know = move |found: &[(clearing::BankName, Vec<String>)]| {
            banks.know(found);
            banks.wait_for_consul(false);
        };
        tasks.push(tokio::spawn(consul::follow_banks(consul, config.node.tls.clone(), know)));
        tasks.push(tokio::spawn(kept.keep(Arc::clone(&desk.banks))));
    }
    Ok(Edges { http: http::router(&desk), grpc: grpc::router(&desk), tasks })
}
