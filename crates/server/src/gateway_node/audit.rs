//! `GET /v1/audit` of the gateway: what this node holds, to be compared with the others, and whether it holds together.
//!
//! A gateway has no money: what is counted again from the journals is the banks'. Here the chain of the journal and the
//! digest of the whole state make nodes comparable, and the relations between payments, numbers and positions are checked.

use super::desk::Desk;
use crate::audit::{AuditReport, ChainAt, no_audit};
use crate::edge::answer::Refusal;
use crate::edge::body::Call;
use crate::edge::port::NodePort;
use crate::handle::hex;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use clearing::invariant;
use paxos::Slot;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    slot: Option<u64>,
    #[serde(default)]
    chain_only: bool,
}

pub(super) async fn audit(State(desk): State<Desk>, call: Call) -> Result<Response, Refusal> {
    let asked: Asked = call.query()?;
    let status = desk.gateway.status();
    let report = desk.gateway.look(move |applier| {
        let clearing = applier.machine().clearing();
        let mark = applier.mark();
        let chain_at = |slot| Some(ChainAt { slot, chain: hex(&applier.chain_at(Slot::new(slot))?) });
        let (state, broken) = match asked.chain_only {
            true => (String::new(), None),
            false => (hex(&clearing.digest()), invariant::check(clearing).err()),
        };
        AuditReport {
            group: status.group,
            node: status.node,
            slot: mark.slot,
            chain: hex(&mark.chain),
            asked: asked.slot.and_then(chain_at),
            state,
            accounts: clearing.payment_count(),
            holds: 0,
            outcomes: mark.places.saturating_sub(mark.slot),
            totals: Vec::new(),
            broken: broken.into_iter().map(|broken| broken.to_string()).collect(),
        }
    });
    match report.await {
        Some(report) => Ok(Json(report).into_response()),
        None => Err(no_audit().into()),
    }
}
