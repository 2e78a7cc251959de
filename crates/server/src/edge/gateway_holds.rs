//! What the gateway has set aside in this bank, told as whole payments: for a gateway that was restored from a backup and
//! does not know of them any more, and for holds that grow old.
//!
//! A hold knows its accounts; whose payment it is stands in the note beside it.

use api::payment::message;
use api::problem::Problem;
use api::proto;
use clearing::{BankName, CustomerName, Holder, NamedParty, Terms};
use ledger::{AccountView, Body, Internal, Movement, Record, TransferId, hold};

use super::desk::Desk;
use super::port::{BankPort, Unreadable, View, gateway_placer};

/// Holds of one answer, at most.
const HOLDS_MAX: usize = 1_000;
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
    if request.gateway_epoch > 0 {
        super::payments::listen_to(desk, request.gateway_epoch).await?;
    }
    let look = move |view: &dyn View| match request.open_since_before_ms {
        0 => placed_since(view, bank, request.placed_since_ms, request.cursor),
        before_ms => open(view, bank, before_ms),
    };
    // Also of a bank that waits for its payments: what it holds is what it holds.
    Ok(desk.bank.read(look).await.map_err(|error| error.problem())??)
}

fn open(view: &dyn View, bank: BankName, before_ms: u64) -> Result<proto::GatewayHoldsResponse, Unreadable> {
    let is_old = |held: &&ledger::Hold| held.placer == gateway_placer() && held.time_ms < before_ms;
    let mut holds = Vec::new();
    for held in view.ledger().holds(None).filter(is_old).take(HOLDS_MAX) {
        holds.extend(told(view, bank, &held.movement, held.time_ms)?);
    }
    Ok(proto::GatewayHoldsResponse { holds, next_cursor: 0 })
}

/// From the end of the journal back, or from where the answer before stopped.
fn placed_since(
    view: &dyn View,
    bank: BankName,
    since_ms: u64,
    cursor: u64,
) -> Result<proto::GatewayHoldsResponse, Unreadable> {
    let end = if cursor == 0 { view.places() } else { cursor.min(view.places()) };
    let last = end.saturating_sub(LOOK_BACK);
    let mut holds = Vec::new();
    for place in (last..end).rev() {
        // Headers and changes of the group are no records of the ledger.
        let Ok(record) = Record::decode(&view.record(place)?) else { continue };
        if record.time_ms < since_ms {
            return Ok(proto::GatewayHoldsResponse { holds, next_cursor: 0 });
        }
        if let Body::HoldPlaced { placer, movement, .. } = record.body
            && placer == gateway_placer()
        {
            holds.extend(told(view, bank, &movement, record.time_ms)?);
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
    let is_interbank = |account: ledger::AccountId| matches!(account.internal(), Some((Internal::Interbank, _)));
    let (own, pays) = if is_interbank(movement.credit) { (movement.debit, true) } else { (movement.credit, false) };
    let holder = match own.internal() {
        Some((Internal::Vault, _)) => Holder::House,
        _ => match view.ledger().account(own).and_then(|account| customer(&account)) {
            Some(name) => Holder::Customer(name),
            None => return Ok(None),
        },
    };
    let own = NamedParty { bank, holder };
    let (payer, payee) = if pays { (own, other) } else { (other, own) };
    let Movement { id, amount, currency, reference, .. } = *movement;
    let terms = Terms { id, payer, payee, amount, currency, reference };
    Ok(Some(proto::GatewayHold { payment: Some(message(&terms)), placed_ms }))
}

fn counterparty(view: &dyn View, id: TransferId) -> Result<Option<NamedParty>, Unreadable> {
    let Some(bytes) = view.outcome_of(hold::note_id(id))? else { return Ok(None) };
    Ok(match Record::decode(&bytes).map(|record| record.body) {
        Ok(Body::HoldNoted { counterparty, .. }) => counterparty.as_str().parse().ok(),
        Ok(_) | Err(_) => None,
    })
}

fn customer(account: &AccountView<'_>) -> Option<CustomerName> {
    account.customer.and_then(|_| CustomerName::new(account.owner).ok())
}
