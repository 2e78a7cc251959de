//! `GET /v1/audit`: this node counts its books again from its journal, and tells what it found.
//!
//! The books in memory are copied at one slot; then the journal is read from its first record through that slot and compared
//! with the copy, by a thread of its own. Chain digests at a named slot make two nodes comparable while money moves.

use crate::edge::answer::Refusal;
use crate::edge::body::Call;
use crate::edge::port::NodePort;
use crate::handle::{Bank, hex};
use crate::library;
use api::code::Code;
use api::problem::Problem;
use api::status::NodeStatus;
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bank::{BankView, HistoryError, Mismatch, Recount};
use ledger::Ledger;
use paxos::Slot;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::thread;
use storage::{JournalMark, JournalReader, RealDisk, StorageError};
use tokio::sync::{Semaphore, oneshot};

pub use crate::edge::{AuditedTransfer, AuditedTransfers};

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
    /// Money set aside and not yet moved: holds that are open.
    #[serde(default)]
    pub holds: u64,
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

async fn audit(State(auditor): State<Auditor>, call: Call) -> Result<Response, Refusal> {
    let asked: Asked = call.query()?;
    let Ok(_turn) = auditor.turn.try_acquire() else {
        let detail = "an audit of this node is under way; try again later";
        return Err(Problem::new(Code::Overloaded, detail).retry_after_ms(AUDIT_RETRY_MS).into());
    };
    let report = if asked.chain_only {
        chain_only(&auditor.bank, asked.slot).await
    } else {
        count(&auditor.bank, asked.slot).await
    };
    match report {
        Some(report) => Ok(Json(report).into_response()),
        None => Err(no_audit().into()),
    }
}

/// A count of the whole journal takes about as long.
const AUDIT_RETRY_MS: u64 = 5_000;

/// Of a node that cannot look at its books now.
pub(crate) fn no_audit() -> Problem {
    Problem::new(Code::Unavailable, "the node is too busy, or stops; try again").retry_after_ms(1_000)
}

async fn chain_only(bank: &Bank, slot: Option<u64>) -> Option<AuditReport> {
    let status = bank.status();
    bank.look(move |books| report(&BankView::new(books), &status, slot)).await
}

/// The books are copied between two batches (a quarter of a second for a million accounts), and everything that takes
/// long is done on the copy: payments do not wait for an audit.
async fn count(bank: &Bank, slot: Option<u64>) -> Option<AuditReport> {
    let status = bank.status();
    let copied = bank.look(move |books| {
        let view = BankView::new(books);
        (report(&view, &status, slot), view.ledger().clone(), view.reader(), view.mark())
    });
    let (report, books, journal, end) = copied.await?;
    let (sender, receiver) = oneshot::channel();
    let bank = bank.clone();
    let run = move || {
        library::give_way();
        let counted = counted(report, (&books, &journal, end), |found| bank.mend(found));
        let _ = sender.send(counted);
    };
    thread::Builder::new().name("audit".to_owned()).spawn(run).ok()?;
    receiver.await.ok()
}

/// What can be told at once.
fn report(view: &BankView<'_, RealDisk>, status: &NodeStatus, asked: Option<u64>) -> AuditReport {
    let mark = view.mark();
    let totals = view.ledger().totals().into_iter().map(|totals| CurrencyTotals {
        currency: totals.currency.code().to_owned(),
        debits: totals.sums.posted_debits.to_string(),
        credits: totals.sums.posted_credits.to_string(),
    });
    let asked = asked.and_then(|slot| {
        let chain = view.chain_at(Slot::new(slot))?;
        Some(ChainAt { slot, chain: hex(&chain) })
    });
    AuditReport {
        group: status.group.clone(),
        node: status.node,
        slot: mark.slot,
        chain: hex(&mark.chain),
        asked,
        state: String::new(),
        accounts: view.ledger().account_count(),
        holds: view.ledger().hold_count(),
        outcomes: 0,
        totals: totals.collect(),
        broken: Vec::new(),
    }
}

/// Counts the journal from its first record through `end`, and compares with the books as they were then.
fn counted(
    report: AuditReport,
    (books, journal, end): (&Ledger, &JournalReader<RealDisk>, JournalMark),
    on_failure: impl FnOnce(&StorageError),
) -> AuditReport {
    let mut recount = Recount::default();
    let read = bank::recount_through(&mut recount, journal, JournalMark::START, end);
    if let Err(HistoryError::Storage(found)) = &read {
        on_failure(found);
    }
    let compared = read
        .map_err(|error: HistoryError| error.to_string())
        .and_then(|()| recount.compare(books).map(drop).map_err(|mismatch: Mismatch| mismatch.to_string()));
    AuditReport {
        state: hex(&books.digest()),
        outcomes: recount.outcomes(),
        broken: compared.err().into_iter().collect(),
        ..report
    }
}
