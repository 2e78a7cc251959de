//! What must hold between the parts of the state, whatever was commanded. Checked by tests and simulations after every
//! step, and when a state is restored.

use crate::clearing::Clearing;
use crate::names::BankNumber;
use crate::order::{Party, PaymentId, Side};
use crate::payment::{Phase, Wish};
use crate::position::{POSITION_MAX, Position, PositionKey};
use std::collections::BTreeMap;

/// A relation that does not hold: a bug, or a state that was tampered with.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Broken {
    #[error("{bank:?} counts {kept} open payments, there are {found}")]
    OpenCount { bank: BankNumber, kept: u64, found: u64 },
    #[error("the payers' counts of open payments differ from the payments")]
    OpenOfPayer,
    #[error("a position of {key:?} has other reservations than its undecided payments")]
    Reserved { key: PositionKey },
    #[error("the position {key:?} is out of bounds, or names a bank that is not there, or twice")]
    Position { key: PositionKey },
    #[error("payment {id} is in a phase that its banks do not allow")]
    Phase { id: PaymentId },
    #[error("payment {id} has a number that its bank has not given, or was taken in the future")]
    Number { id: PaymentId },
    #[error("the indexes of sessions differ from the sessions")]
    Sessions,
    #[error("the index of the payers' buckets differs from the buckets")]
    Charges,
    #[error("payment {id} is contradicted by a bank, and not listed")]
    Contradicted { id: PaymentId },
    #[error("the bank of number {bank:?} is not found under its name")]
    BankName { bank: BankNumber },
}

/// Every relation.
pub fn check(clearing: &Clearing) -> Result<(), Broken> {
    banks_are_found(clearing)?;
    payments_are_sound(clearing)?;
    counts_are_right(clearing)?;
    positions_are_right(clearing)?;
    let is_unlisted = |(id, _): &&(PaymentId, Side)| !clearing.state.listed.contains(id);
    if let Some((id, _)) = clearing.state.contradicted.iter().find(is_unlisted) {
        return Err(Broken::Contradicted { id: *id });
    }
    if !clearing.state.charges.indexes_agree() {
        return Err(Broken::Charges);
    }
    if clearing.state.sessions.indexes_agree() { Ok(()) } else { Err(Broken::Sessions) }
}

fn banks_are_found(clearing: &Clearing) -> Result<(), Broken> {
    for (index, bank) in clearing.state.banks.iter().enumerate() {
        let is_found = clearing.state.bank_names.get(&bank.name) == Some(&bank.number);
        if usize::from(bank.number.get()) != index + 1 || !is_found {
            return Err(Broken::BankName { bank: bank.number });
        }
    }
    Ok(())
}

fn payments_are_sound(clearing: &Clearing) -> Result<(), Broken> {
    let state = &clearing.state;
    for (id, payment) in &state.payments {
        let one_bank = payment.order.is_within_one_bank();
        let fits = match payment.phase {
            Phase::AtBank(Wish::Transfer | Wish::Void(_)) => one_bank,
            // Within one bank the decision is the bank's, so nobody is left to be told of it.
            Phase::Voting(_) | Phase::Asking { .. } | Phase::Delivering { .. } => !one_bank,
        };
        if !fits || payment.order.id != *id || payment.order.payer == payment.order.payee {
            return Err(Broken::Phase { id: *id });
        }
        let numbered = |side: &Side| *payment.numbers.of(*side) <= state.bank(payment.order.bank(*side)).last_number;
        if !Side::BOTH.iter().all(numbered) || payment.taken_ms > state.time_ms || payment.epoch > state.epoch {
            return Err(Broken::Number { id: *id });
        }
    }
    Ok(())
}

fn counts_are_right(clearing: &Clearing) -> Result<(), Broken> {
    let mut open: BTreeMap<BankNumber, u64> = BTreeMap::new();
    let mut of_payers: BTreeMap<Party, u64> = BTreeMap::new();
    for payment in clearing.state.payments.values() {
        for side in Side::BOTH.into_iter().filter(|side| payment.is_open_at(*side)) {
            *open.entry(payment.order.bank(side)).or_default() += 1;
            if side == Side::Debit {
                *of_payers.entry(payment.order.payer).or_default() += 1;
            }
        }
    }
    if clearing.state.open_of != of_payers {
        return Err(Broken::OpenOfPayer);
    }
    for bank in &clearing.state.banks {
        let found = open.get(&bank.number).copied().unwrap_or(0);
        let numbered = clearing.state.open_numbers.range((bank.number, 0)..=(bank.number, u64::MAX)).count() as u64;
        if bank.open != found || numbered != found {
            return Err(Broken::OpenCount { bank: bank.number, kept: bank.open, found });
        }
    }
    Ok(())
}

fn positions_are_right(clearing: &Clearing) -> Result<(), Broken> {
    let mut reserved: BTreeMap<PositionKey, Position> = BTreeMap::new();
    for payment in clearing.state.payments.values().filter(|payment| payment.reserves()) {
        let (key, direction) = PositionKey::of(&payment.order);
        *reserved.entry(key).or_default().reserved_mut(direction) += payment.order.amount.minor();
    }
    let banks = clearing.state.banks.len();
    for (key, position) in &clearing.state.positions {
        let found = reserved.remove(key).unwrap_or_default();
        if (position.reserved_low, position.reserved_high) != (found.reserved_low, found.reserved_high) {
            return Err(Broken::Reserved { key: *key });
        }
        let most = position.low_owes.unsigned_abs().max(position.reserved_low).max(position.reserved_high);
        if most > POSITION_MAX || key.low >= key.high || usize::from(key.high.get()) > banks {
            return Err(Broken::Position { key: *key });
        }
    }
    reserved.into_keys().next().map_or(Ok(()), |key| Err(Broken::Reserved { key }))
}
