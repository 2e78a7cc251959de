//! `AuditPayments`: what the gateway has decided within one bank, for the audit to hold against that bank's books.
//!
//! Pages go back through the journal along the bank's own chain of payments, so a gateway of any age is read in bounded steps.

use super::desk::Desk;
use api::code::Code;
use api::grpc::uuid;
use api::payment::{bank_name, message, payment_id};
use api::problem::Problem;
use api::proto;
use clearing::{Clearing, Order, PaymentId, Status};
use gateway::{GatewayView, PastError};
use storage::RealDisk;

/// Payments that are looked at between two batches, and ids of one call, at most.
const LOOKED_AT: usize = 500;
const IDS_MAX: usize = 1_000;

pub(super) async fn payments(
    desk: &Desk,
    request: &proto::AuditPaymentsRequest,
) -> Result<proto::AuditPaymentsResponse, Problem> {
    if request.ids.is_empty() { page(desk, request).await } else { known(desk, request).await }
}

async fn page(desk: &Desk, request: &proto::AuditPaymentsRequest) -> Result<proto::AuditPaymentsResponse, Problem> {
    let (name, cursor) = (bank_name("bank", &request.bank)?, request.cursor);
    let unknown = || Problem::new(Code::UnknownBank, format!("no bank {name} has registered here"));
    let found = desk.read(move |view| {
        let bank = view.clearing().bank_named(&name)?;
        Some(page_of(view, bank.number, start(cursor, bank.last_place)))
    });
    found.await?.ok_or_else(unknown)?.map_err(|error| match (&error, cursor) {
        (PastError::Record(_) | PastError::OffChain { .. }, Some(_)) => {
            let detail = "cursor: it is none; send next_cursor of the page before, unchanged";
            Problem::new(Code::InvalidCursor, detail).with("field", "cursor")
        }
        (PastError::Storage(_) | PastError::Record(_) | PastError::OffChain { .. } | PastError::Lacks { .. }, _) => {
            desk.unreadable(&error)
        }
    })
}

/// Only places up to the newest of the bank's payments are on its chain; others may not even exist.
fn start(cursor: Option<u64>, newest: Option<u64>) -> Option<u64> {
    newest.map(|newest| cursor.map_or(newest, |cursor| cursor.min(newest)))
}

fn page_of(
    view: &GatewayView<'_, RealDisk>,
    bank: clearing::BankNumber,
    start: Option<u64>,
) -> Result<proto::AuditPaymentsResponse, PastError> {
    let clearing = view.clearing();
    let page = start.map(|place| view.decided_within(bank, place, LOOKED_AT)).transpose()?.unwrap_or_default();
    let payments =
        page.payments.iter().map(|(order, status)| audited(clearing, order.id, Some(order), *status)).collect();
    Ok(proto::AuditPaymentsResponse { payments, next_cursor: page.next, gateway_epoch: clearing.epoch().get() })
}

async fn known(desk: &Desk, request: &proto::AuditPaymentsRequest) -> Result<proto::AuditPaymentsResponse, Problem> {
    if request.ids.len() > IDS_MAX {
        let detail = format!("{} ids were asked for; at most {IDS_MAX} are answered in one call", request.ids.len());
        return Err(Problem::new(Code::BatchTooLarge, detail).with("limit", IDS_MAX));
    }
    let ids = request.ids.iter().map(|id| payment_id(Some(id))).collect::<Result<Vec<PaymentId>, Problem>>()?;
    let mut payments = Vec::new();
    // A few at a time: between two batches of the log nobody waits for long.
    for some in ids.chunks(LOOKED_AT) {
        let some = some.to_vec();
        let found = desk.read(move |view| {
            let of = |id: &PaymentId| {
                let known = view.payment(*id)?;
                Ok(known.map(|known| audited(view.clearing(), *id, known.order.as_ref(), known.status)))
            };
            some.iter().filter_map(|id| of(id).transpose()).collect::<Result<Vec<_>, PastError>>()
        });
        payments.extend(found.await?.map_err(|error| desk.unreadable(&error))?);
    }
    let gateway_epoch = desk.peek(|clearing| clearing.epoch().get()).await?;
    Ok(proto::AuditPaymentsResponse { payments, next_cursor: None, gateway_epoch })
}

fn audited(clearing: &Clearing, id: PaymentId, order: Option<&Order>, status: Status) -> proto::AuditedPayment {
    let state = match status {
        Status::Undecided => proto::PaymentState::Undecided,
        Status::Paid { .. } => proto::PaymentState::Paid,
        Status::Refused { .. } => proto::PaymentState::Refused,
    };
    let payment = order.map(|order| message(&clearing.terms(order)));
    proto::AuditedPayment { id: Some(uuid(id.get())), state: state.into(), payment }
}
