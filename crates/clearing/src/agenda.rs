//! What is still to do, as a function of the state and the time alone. Any node of the gateway can read it off the log's
//! state and go on where another stopped.
//!
//! The node that took a payment drives it; the others leave it alone until it has had its time, and then every one of
//! them may: all calls are safe to repeat. A node whose own caller waits for a payment need not wait itself: whoever took it
//! may be gone, and its caller has turned here.

use crate::bank::Standing;
use crate::clearing::Clearing;
use crate::names::{BankNumber, Epoch, NodeNumber};
use crate::order::{Pair, PaymentId, Side, Terms};
use crate::outcome::Verdict;
use crate::payment::{Payment, Phase, Wish};

/// A call to a bank. It carries the whole payment, so that the bank needs to know nothing, and the gateway's incarnation,
/// so that a bank that has heard of a newer one refuses it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    pub kind: CallKind,
    pub to: BankNumber,
    pub terms: Terms,
    /// The payment's number at that bank.
    pub number: u64,
    /// The bank has every payment up to this number in its books, to its end. It keeps the largest that it has heard, and
    /// names it when it comes back from a backup: what it lacks lies behind it.
    pub complete_through: u64,
    pub gateway: Epoch,
    pub booking: Booking,
}

/// What a bank books a post from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Booking {
    /// From the hold that it placed, or from nothing if it lost the payment when it was restored: it knows the range by
    /// itself.
    Held,
    /// From nothing, if it has to: this gateway says that the bank may have lost the hold.
    Replayed,
}

/// The calls of the gateway to a bank, by the field's names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CallKind {
    /// Hold the amount from the payer toward the other bank.
    PrepareDebit,
    /// Hold the amount from the other bank toward the payee.
    PrepareCredit,
    CommitDebit,
    CommitCredit,
    /// Let the hold go, and keep it from ever being placed.
    AbortDebit,
    AbortCredit,
    /// Move the amount between two accounts of the bank.
    Transfer,
    /// Void the transfer if it has not been seen, and say what became of it.
    VoidTransfer,
    /// Say what became of the hold, changing nothing.
    HoldStatus(Side),
}

impl CallKind {
    /// Which side of the payment the bank is asked about.
    pub fn side(self) -> Side {
        match self {
            CallKind::PrepareDebit | CallKind::CommitDebit | CallKind::AbortDebit => Side::Debit,
            CallKind::PrepareCredit | CallKind::CommitCredit | CallKind::AbortCredit => Side::Credit,
            CallKind::Transfer | CallKind::VoidTransfer => Side::Debit,
            CallKind::HoldStatus(side) => side,
        }
    }

    /// Whether it tells a decision, to be acknowledged.
    pub fn is_delivery(self) -> bool {
        match self {
            CallKind::CommitDebit | CallKind::CommitCredit | CallKind::AbortDebit | CallKind::AbortCredit => true,
            CallKind::PrepareDebit
            | CallKind::PrepareCredit
            | CallKind::Transfer
            | CallKind::VoidTransfer
            | CallKind::HoldStatus(_) => false,
        }
    }

    fn prepare(side: Side) -> CallKind {
        match side {
            Side::Debit => CallKind::PrepareDebit,
            Side::Credit => CallKind::PrepareCredit,
        }
    }

    pub(crate) fn deliver(verdict: Verdict, side: Side) -> CallKind {
        match (verdict, side) {
            (Verdict::Post, Side::Debit) => CallKind::CommitDebit,
            (Verdict::Post, Side::Credit) => CallKind::CommitCredit,
            (Verdict::Void(_), Side::Debit) => CallKind::AbortDebit,
            (Verdict::Void(_), Side::Credit) => CallKind::AbortCredit,
        }
    }
}

/// The payments that a node is to drive now, the oldest first. `waits_here` says whether somebody waits at this node for one
/// that another took.
pub fn due(
    clearing: &Clearing,
    node: NodeNumber,
    now_ms: u64,
    waits_here: impl Fn(PaymentId) -> bool,
) -> Vec<PaymentId> {
    let after_ms = clearing.settings().take_over_after_ms;
    in_order(clearing.payments().filter(|payment| is_due(payment, node, now_ms, after_ms, &waits_here)))
}

/// Those of `touched` that are due, the oldest first: looked up one by one, where all of them would be too many.
pub fn due_of(
    clearing: &Clearing,
    node: NodeNumber,
    now_ms: u64,
    touched: impl IntoIterator<Item = PaymentId>,
    waits_here: impl Fn(PaymentId) -> bool,
) -> Vec<PaymentId> {
    let after_ms = clearing.settings().take_over_after_ms;
    let known = touched.into_iter().filter_map(|id| clearing.payment(id));
    in_order(known.filter(|payment| is_due(payment, node, now_ms, after_ms, &waits_here)))
}

fn is_due(
    payment: &Payment,
    node: NodeNumber,
    now_ms: u64,
    after_ms: u64,
    waits_here: &impl Fn(PaymentId) -> bool,
) -> bool {
    payment.taker == node || now_ms >= payment.phase_since_ms().saturating_add(after_ms) || waits_here(payment.order.id)
}

fn in_order<'a>(payments: impl Iterator<Item = &'a Payment>) -> Vec<PaymentId> {
    let mut payments: Vec<&Payment> = payments.collect();
    payments.sort_by_key(|payment| payment.place);
    payments.into_iter().map(|payment| payment.order.id).collect()
}

/// The calls that a payment needs in its present phase, by side: those whose answers are not on record yet. A bank that
/// is being restored is asked for nothing: the replay brings it what it lacks.
pub fn calls(clearing: &Clearing, payment: &Payment) -> Pair<Option<Call>> {
    let call = |side: Side| {
        let kind = kind_of_call(clearing, payment, side)?;
        let to = payment.order.bank(side);
        let is_live = clearing.state.bank(to).standing == Standing::Live;
        is_live.then(|| make(clearing, payment, kind))
    };
    Pair { debit: call(Side::Debit), credit: call(Side::Credit) }
}

pub(crate) fn make(clearing: &Clearing, payment: &Payment, kind: CallKind) -> Call {
    let to = payment.order.bank(kind.side());
    Call {
        kind,
        to,
        terms: clearing.state.terms(&payment.order),
        number: *payment.numbers.of(kind.side()),
        complete_through: clearing.state.complete_through(to),
        gateway: clearing.epoch(),
        booking: booking(clearing, payment, to),
    }
}

/// A payment that a restored gateway found at its banks has a new number there, by which a bank cannot tell that it lost it.
fn booking(clearing: &Clearing, payment: &Payment, bank: BankNumber) -> Booking {
    if clearing.state.both_may_have_lost(payment, bank) { Booking::Replayed } else { Booking::Held }
}

fn kind_of_call(clearing: &Clearing, payment: &Payment, side: Side) -> Option<CallKind> {
    let is_answered = |votes: &Pair<Option<crate::finding::Vote>>| {
        votes.of(side).is_some_and(|vote| clearing.state.counts(payment.order.bank(side), &vote))
    };
    match (&payment.phase, side) {
        (Phase::Voting(votes), _) => (!is_answered(votes)).then_some(CallKind::prepare(side)),
        (Phase::Asking { found, .. }, _) => (!is_answered(found)).then_some(CallKind::HoldStatus(side)),
        (Phase::AtBank(Wish::Transfer), Side::Debit) => Some(CallKind::Transfer),
        (Phase::AtBank(Wish::Void(_)), Side::Debit) => Some(CallKind::VoidTransfer),
        (Phase::AtBank(_), Side::Credit) => None,
        (Phase::Delivering { verdict, owed, .. }, _) => owed.has(side).then(|| CallKind::deliver(*verdict, side)),
    }
}

/// A payment on its way, for people: how old it is and whom it waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InDoubt {
    pub id: PaymentId,
    pub age_ms: u64,
    /// Banks that have yet to answer, and what.
    pub waits_for: Vec<(BankNumber, CallKind)>,
    pub is_decided: bool,
    /// One of these is being restored.
    pub a_bank_is_restoring: bool,
}

/// Every payment that is undecided or undelivered.
pub fn in_doubt(clearing: &Clearing, now_ms: u64) -> Vec<InDoubt> {
    let of = |payment: &Payment| {
        let waits_for: Vec<(BankNumber, CallKind)> = Side::BOTH
            .into_iter()
            .filter_map(|side| Some((payment.order.bank(side), kind_of_call(clearing, payment, side)?)))
            .collect();
        let is_restoring = |bank: &BankNumber| clearing.state.bank(*bank).standing != Standing::Live;
        InDoubt {
            id: payment.order.id,
            age_ms: now_ms.saturating_sub(payment.taken_ms),
            a_bank_is_restoring: waits_for.iter().any(|(bank, _)| is_restoring(bank)),
            waits_for,
            is_decided: !payment.is_undecided(),
        }
    };
    clearing.payments().map(of).collect()
}
