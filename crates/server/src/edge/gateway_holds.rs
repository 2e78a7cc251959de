//! What the gateway has set aside or moved in this bank, told as whole payments: for a gateway that was restored from a backup
//! and does not know of them any more, and for holds that grow old.
//!
//! A hold knows its accounts; whose payment it is stands in the note beside it. A payment within this bank is a transfer in the
//! gateway's name, and its two accounts are all of it.

use api::code::Code;
use api::payment::message;
use api::problem::Problem;
use api::proto;
use clearing::{BankName, CustomerName, Holder, NamedParty, Terms};
use ledger::{AccountId, AccountView, Body, Internal, Movement, Record, RecordKey, TransferId};

use super::desk::Desk;
use super::port::{BankPort, Unreadable, View, gateway_placer};

/// Payments of one answer, at most.
pub(crate) const HOLDS_MAX: usize = 1_000;
/// Records of the journal that are looked at between two batches, at most.
const LOOK_BACK: u64 = 8_192;

pub(super) async fn find<B: BankPort>(
    desk: &Desk<B>,
    request: proto::GatewayHoldsRequest,
) -> Result<proto::GatewayHoldsResponse, Problem> {
    let Ok(bank) = BankName::new(&desk.bank.status().group) else {
        // A bank whose name the network has no room for takes no part in it.
        return Ok(proto::GatewayHoldsResponse::default());
    };
    if request.recall.is_none() && request.open_for_ms == 0 {
        // What is not understood is not answered with "nothing": a gateway of another version would take that for all.
        let detail = "asked for neither a recall nor old holds: gateway and bank run versions that do not fit together";
        return Err(Problem::new(Code::MissingField, detail).with("field", "recall"));
    }
    if request.gateway_epoch > 0 {
        super::payments::listen_to(desk, request.gateway_epoch).await?;
    }
    // The log of a bank that does nothing goes on as well.
    let log_time_ms = desk.bank.status().log_time_ms;
    let look = move |view: &dyn View| match request.recall {
        Some(recall) => recalled(view, bank, &recall, request.cursor),
        None => {
            let now_ms = log_time_ms.max(view.ledger().time_ms());
            open(view, bank, now_ms.saturating_sub(request.open_for_ms))
        }
    };
    // Also of a bank that waits for its payments: what it holds is what it holds.
    Ok(desk.bank.read(look).await.map_err(|error| error.problem())??)
}

/// Those that were placed until then, by this bank's log, as their times are.
fn open(view: &dyn View, bank: BankName, until_ms: u64) -> Result<proto::GatewayHoldsResponse, Unreadable> {
    let is_old = |held: &&ledger::Hold| held.placer == gateway_placer() && held.time_ms <= until_ms;
    let mut holds = Vec::new();
    for held in view.ledger().holds(None).filter(is_old).take(HOLDS_MAX) {
        holds.extend(told(view, bank, &held.movement, held.time_ms)?);
    }
    Ok(proto::GatewayHoldsResponse { holds, next_cursor: 0 })
}

/// From the end of the journal back, or from where the answer before stopped, to a fence that knows less than the gateway
/// did: see [`ledger::Fence::ends_recall`].
fn recalled(
    view: &dyn View,
    bank: BankName,
    recall: &proto::Recall,
    cursor: u64,
) -> Result<proto::GatewayHoldsResponse, Unreadable> {
    let end = if cursor == 0 { view.places() } else { cursor.min(view.places()) };
    let last = end.saturating_sub(LOOK_BACK);
    let mut holds = Vec::new();
    for place in (last..end).rev() {
        // Headers and changes of the group are no records of the ledger.
        let Ok(record) = Record::decode(&view.record(place)?) else { continue };
        if let Body::FenceRaised { placer, fence } = record.body
            && placer == gateway_placer()
            && fence.ends_recall(recall.epoch, recall.complete_through)
        {
            return Ok(proto::GatewayHoldsResponse { holds, next_cursor: 0 });
        }
        if let Body::HoldPlaced { placer, movement, .. } = record.body
            && placer == gateway_placer()
        {
            holds.extend(told(view, bank, &movement, record.time_ms)?);
        }
        // What a restored bank was brought again names no placer, and nobody but the gateway brings it.
        if let Body::TransferPosted { placer, movement, flags, .. } = record.body
            && (placer == Some(gateway_placer()) || flags.replayed)
        {
            holds.extend(told_within(view, bank, &movement, record.time_ms));
        }
        if holds.len() == HOLDS_MAX {
            return Ok(proto::GatewayHoldsResponse { holds, next_cursor: place });
        }
    }
    Ok(proto::GatewayHoldsResponse { holds, next_cursor: last })
}

/// The payment whose half is held; none for a hold of before holds had notes.
fn told(
    view: &dyn View,
    bank: BankName,
    movement: &Movement,
    placed_ms: u64,
) -> Result<Option<proto::GatewayHold>, Unreadable> {
    let Some(other) = counterparty(view, movement.id)? else { return Ok(None) };
    let is_interbank = |account: AccountId| matches!(account.internal(), Some((Internal::Interbank, _)));
    let (own, pays) = if is_interbank(movement.credit) { (movement.debit, true) } else { (movement.credit, false) };
    let Some(own) = party_of(view, bank, own) else { return Ok(None) };
    let (payer, payee) = if pays { (own, other) } else { (other, own) };
    Ok(Some(hold_message((payer, payee), movement, placed_ms)))
}

/// The payment within this bank that a transfer is; none where a side of it stands on `suspense`, for whose it was is not
/// known then.
fn told_within(view: &dyn View, bank: BankName, movement: &Movement, placed_ms: u64) -> Option<proto::GatewayHold> {
    let (payer, payee) = (party_of(view, bank, movement.debit)?, party_of(view, bank, movement.credit)?);
    Some(hold_message((payer, payee), movement, placed_ms))
}

fn hold_message((payer, payee): (NamedParty, NamedParty), movement: &Movement, placed_ms: u64) -> proto::GatewayHold {
    let Movement { id, amount, currency, reference, .. } = *movement;
    let terms = Terms { id, payer, payee, amount, currency, reference };
    proto::GatewayHold { payment: Some(message(&terms)), placed_ms }
}

/// Whose account it is.
fn party_of(view: &dyn View, bank: BankName, account: AccountId) -> Option<NamedParty> {
    let holder = match account.internal() {
        Some((Internal::Vault, _)) => Holder::House,
        _ => Holder::Customer(view.ledger().account(account).and_then(|account| customer(&account))?),
    };
    Some(NamedParty { bank, holder })
}

fn counterparty(view: &dyn View, id: TransferId) -> Result<Option<NamedParty>, Unreadable> {
    let Some(bytes) = view.outcome_of(RecordKey::hold_note(id))? else { return Ok(None) };
    Ok(match Record::decode(&bytes).map(|record| record.body) {
        Ok(Body::HoldNoted { counterparty, .. }) => NamedParty::stored(counterparty.as_str()).ok(),
        Ok(_) | Err(_) => None,
    })
}

fn customer(account: &AccountView<'_>) -> Option<CustomerName> {
    account.customer.and_then(|_| CustomerName::stored(account.owner).ok())
}
