//! What a restored bank lacks: the payments between the number that its books end with and the gateway's newest.
//!
//! Each bank's payments are linked in the journal, newest first: from [`crate::bank::Bank::last_place`] back through
//! [`previous`]. The shell walks them (that reads the disk), turns round, and makes of each its call with [`call`]. What is
//! still on its way is delivered in the ordinary manner once the bank has caught up.

use crate::agenda::{Booking, Call, CallKind};
use crate::clearing::Clearing;
use crate::names::BankNumber;
use crate::order::Side;
use crate::record::{Body, Decided, Record, Taken};

/// The side of a payment that is that bank's; both are, within one bank.
fn side_of(taken: &Taken, bank: BankNumber) -> Option<Side> {
    Side::BOTH.into_iter().find(|side| taken.order.bank(*side) == bank)
}

/// The payment that a record took, with its number at that bank and the place of the one before it.
pub fn previous(record: &Record, bank: BankNumber) -> Option<(Taken, u64, Option<u64>)> {
    let Body::PaymentTaken(taken) = record.body else { return None };
    let side = side_of(&taken, bank)?;
    Some((taken, *taken.numbers.of(side), *taken.previous.of(side)))
}

/// What the bank is told of a payment that was decided: a post needs no hold then. Within one bank the transfer itself is
/// made again, or voided.
pub fn call(clearing: &Clearing, bank: BankNumber, taken: &Taken, decided: &Decided) -> Option<Call> {
    let side = side_of(taken, bank)?;
    let kind = match (taken.order.is_within_one_bank(), decided.verdict) {
        (false, verdict) => CallKind::deliver(verdict, side),
        (true, crate::outcome::Verdict::Post) => CallKind::Transfer,
        (true, crate::outcome::Verdict::Void(_)) => CallKind::VoidTransfer,
    };
    let (terms, number) = (clearing.terms(&taken.order), *taken.numbers.of(side));
    // Payments come in the order of their numbers, so that all before this one are there but those that are undecided.
    let complete_through = clearing.state.complete_through(bank).min(number - 1);
    let (gateway, booking) = (clearing.epoch(), Booking::Replayed);
    Some(Call { kind, to: bank, terms, number, complete_through, gateway, booking })
}
