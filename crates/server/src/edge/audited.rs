//! `/v1/audit/transfers`: what this bank has booked as transfers, for the audit to hold against the gateway.
//!
//! ```text
//!   GET    every transfer that the gateway ordered and that was booked, oldest first, in pages
//!   POST   of the ids that are named, the transfers that were booked, whoever ordered them
//! ```
//!
//! A transfer that is not in the answer was not booked: it is unknown, refused or void.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use api::code::Code;
use api::field;
use api::problem::Problem;
use ledger::{Body, Record, RecordKey, TransferId, money};

use super::answer::{self, Freshness, Refusal};
use super::body::Call;
use super::cursor::{Tag, invalid};
use super::desk::Desk;
use super::port::{BankPort, Unreadable, View, gateway_placer};

/// Records of the journal, and ids, that are looked at between two batches, at most.
const RECORDS_LOOKED_AT: u64 = 8_192;
const IDS_LOOKED_AT: usize = 250;
/// Transfers of a page, and ids of one call, at most.
const PAGE_MAX: usize = 500;

/// A transfer that was booked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditedTransfer {
    pub id: String,
    pub debit_account: String,
    pub credit_account: String,
    /// Digits and a decimal point, as everywhere.
    pub amount: String,
    pub currency: String,
    /// The gateway ordered it.
    pub by_gateway: bool,
    /// It was booked again after a restore: a side of it may stand on `suspense`.
    pub rebooked: bool,
}

/// Transfers that were booked, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditedTransfers {
    pub transfers: Vec<AuditedTransfer>,
    /// Absent when there are no more. A page may be empty and yet not be the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    ids: Vec<String>,
}

/// `GET /v1/audit/transfers`, linearizable.
pub(super) async fn list<B: BankPort>(State(desk): State<Desk<B>>, call: Call) -> Result<Response, Refusal> {
    let page: Page = call.query()?;
    let start = page.cursor.as_deref().map_or(Ok(0), parse_cursor)?;
    let found = desk.read(move |view| by_gateway(view, start)).await??;
    Ok(answer::ok(&found, Freshness::First))
}

/// `POST /v1/audit/transfers`, linearizable.
pub(super) async fn look_up<B: BankPort>(State(desk): State<Desk<B>>, call: Call) -> Result<Response, Refusal> {
    let wanted: Wanted = call.json()?;
    if wanted.ids.is_empty() || wanted.ids.len() > PAGE_MAX {
        let detail = format!("ids: {} were sent; 1 to {PAGE_MAX} are looked up in one call", wanted.ids.len());
        let code = if wanted.ids.is_empty() { Code::BatchEmpty } else { Code::BatchTooLarge };
        return Err(Problem::new(code, detail).with("field", "ids").into());
    }
    let ids =
        wanted.ids.iter().map(|id| field::transfer_id("ids", id)).collect::<Result<Vec<TransferId>, Problem>>()?;
    let mut transfers = Vec::new();
    for some in ids.chunks(IDS_LOOKED_AT) {
        let some = some.to_vec();
        let look = move |view: &dyn View| some.iter().filter_map(|id| booked(view, *id).transpose()).collect();
        let found: Result<Vec<AuditedTransfer>, Unreadable> = desk.read(look).await?;
        transfers.extend(found?);
    }
    Ok(answer::ok(&AuditedTransfers { transfers, next_cursor: None }, Freshness::First))
}

fn booked(view: &dyn View, id: TransferId) -> Result<Option<AuditedTransfer>, Unreadable> {
    Ok(view.outcome_of(RecordKey::outcome(id))?.and_then(|bytes| audited(&Record::decode(&bytes).ok()?)))
}

/// From a place of the journal on.
fn by_gateway(view: &dyn View, start: u64) -> Result<AuditedTransfers, Unreadable> {
    let end = view.places();
    let last = start.saturating_add(RECORDS_LOOKED_AT).min(end);
    let mut transfers = Vec::new();
    for place in start..last {
        // Headers and changes of the group are no records of the ledger.
        let Ok(record) = Record::decode(&view.record(place)?) else { continue };
        transfers.extend(audited(&record).filter(|transfer| transfer.by_gateway));
        if transfers.len() == PAGE_MAX {
            return Ok(AuditedTransfers { transfers, next_cursor: Some(cursor(place.saturating_add(1))) });
        }
    }
    let next_cursor = (last < end).then(|| cursor(last));
    Ok(AuditedTransfers { transfers, next_cursor })
}

fn audited(record: &Record) -> Option<AuditedTransfer> {
    let Body::TransferPosted { placer, movement, flags, .. } = &record.body else { return None };
    Some(AuditedTransfer {
        id: movement.id.to_string(),
        debit_account: movement.debit.to_string(),
        credit_account: movement.credit.to_string(),
        amount: money::format(movement.amount.minor(), movement.currency),
        currency: movement.currency.code().to_owned(),
        // Nobody else books anything again.
        by_gateway: *placer == Some(gateway_placer()) || flags.replayed,
        rebooked: flags.replayed,
    })
}

fn tag() -> Tag {
    Tag::of(&["audited transfers"])
}

fn cursor(place: u64) -> String {
    tag().cursor(&format!("p{place}"))
}

fn parse_cursor(text: &str) -> Result<u64, Problem> {
    tag().place(text)?.strip_prefix('p').and_then(|digits| digits.parse().ok()).ok_or_else(|| invalid(text))
}
