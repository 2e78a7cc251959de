//! `GET /v1/audit`: this node counts its books again from its journal, and tells what it found.
//!
//! The journal is read from its first record by a thread of its own; only the last stretch, and the comparison with
//! memory, stop the node for a moment. Chain digests at a named slot make two nodes comparable while money moves.

use crate::bank::{Bank, hex};
use crate::edge::port::BankPort;
use axum::Json;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bank::{BankView, HistoryError, Mismatch, Recount};
use paxos::Slot;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use storage::{JournalMark, RealDisk};
use tokio::sync::Semaphore;

/// What one node found in its own books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    pub group: String,
    pub node: u16,
    /// The last slot that the count covers.
    pub slot: u64,
    /// Head of the journal's hash chain after that slot, in hex.
    pub chain: String,
    /// The slot that was asked for, and the head of the chain after it; absent if it is too long ago, or not applied.
    pub asked: Option<ChainAt>,
    /// Digest of all accounts, holds and settings after `slot`, in hex.
    pub state: String,
    pub accounts: u64,
    /// Outcomes in the journal: transfers, holds, rejections and all else.
    pub outcomes: u64,
    pub totals: Vec<CurrencyTotals>,
    /// What does not add up, a sentence each; empty if all does.
    pub broken: Vec<String>,
}

/// The head of the journal's hash chain after a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainAt {
    pub slot: u64,
    pub chain: String,
}

/// Everything ever posted in one currency, in minor units, as decimal text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrencyTotals {
    pub currency: String,
    pub debits: String,
    pub credits: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    slot: Option<u64>,
    /// Leave out the count, only compare chains.
    #[serde(default)]
    chain_only: bool,
}

/// What the routes share.
#[derive(Clone, Debug)]
struct Auditor {
    bank: Bank,
    /// One count at a time: it reads the whole journal.
    turn: Arc<Semaphore>,
}

/// The route, to be merged with the others behind the guard.
pub(crate) fn router(bank: Bank) -> Router {
    Router::new().route("/v1/audit", get(audit)).with_state(Auditor { bank, turn: Arc::new(Semaphore::new(1)) })
}

async fn audit(State(auditor): State<Auditor>, Query(asked): Query<Asked>) -> Response {
    let Ok(_turn) = auditor.turn.try_acquire() else {
        return (StatusCode::TOO_MANY_REQUESTS, "an audit of this node is under way; try again later").into_response();
    };
    let report = if asked.chain_only {
        chain_only(&auditor.bank, asked.slot).await
    } else {
        count(&auditor.bank, asked.slot).await
    };
    match report {
        Some(report) => Json(report).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the node is too busy, or stops; try again").into_response(),
    }
}

async fn chain_only(bank: &Bank, slot: Option<u64>) -> Option<AuditReport> {
    let status = bank.status();
    let (group, node) = (status.group, status.node);
    bank.look(move |view| report(view, group, node, slot, None)).await
}

async fn count(bank: &Bank, slot: Option<u64>) -> Option<AuditReport> {
    let (reader, end) = bank.look(|view| (view.reader(), view.mark())).await?;
    let counted = tokio::task::spawn_blocking(move || {
        let mut recount = Recount::default();
        let result = bank::recount_through(&mut recount, &reader, JournalMark::START, end);
        (recount, result.map_err(|error| error.to_string()))
    });
    let (recount, result) = counted.await.ok()?;
    let status = bank.status();
    let (group, node) = (status.group, status.node);
    bank.look(move |view| report(view, group, node, slot, Some((recount, end, result)))).await
}

fn report(
    view: &BankView<'_, RealDisk>,
    group: String,
    node: u16,
    slot: Option<u64>,
    counted: Option<(Recount, JournalMark, Result<(), String>)>,
) -> AuditReport {
    let mark = view.mark();
    let mut broken = Vec::new();
    let mut outcomes = 0;
    let mut state = String::new();
    if let Some((mut recount, end, result)) = counted {
        let compared = result.and_then(|()| finish(view, &mut recount, end));
        broken.extend(compared.err());
        outcomes = recount.outcomes();
        state = hex(&view.ledger().digest());
    }
    let totals = view.ledger().totals().into_iter().map(|totals| CurrencyTotals {
        currency: totals.currency.code().to_owned(),
        debits: totals.sums.posted_debits.to_string(),
        credits: totals.sums.posted_credits.to_string(),
    });
    let asked = slot.and_then(|slot| {
        let chain = view.chain_at(Slot::new(slot))?;
        Some(ChainAt { slot, chain: hex(&chain) })
    });
    AuditReport {
        group,
        node,
        slot: mark.slot,
        chain: hex(&mark.chain),
        asked,
        state,
        accounts: view.ledger().account_count(),
        outcomes,
        totals: totals.collect(),
        broken,
    }
}

/// Counts what came while the journal was read, and compares.
fn finish(view: &BankView<'_, RealDisk>, recount: &mut Recount, from: JournalMark) -> Result<(), String> {
    bank::recount_through(recount, &view.reader(), from, view.mark())
        .map_err(|error: HistoryError| error.to_string())?;
    recount.compare(view.ledger()).map(drop).map_err(|mismatch: Mismatch| mismatch.to_string())
}
