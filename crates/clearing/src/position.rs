//! What two banks owe each other, as the gateway's decisions make it.
//!
//! One number for each pair and currency, so positions sum to zero by construction; that the banks' own `interbank:`
//! accounts agree with it is for the audit to see. A payment that is undecided reserves its amount in its direction, so a
//! cap that was kept when it was taken is kept when it is posted.

use crate::bytes::{Bad, In, Out, Stored};
use crate::names::BankNumber;
use crate::order::Order;
use ledger::Currency;

/// No position passes 2^112 − 1, the bound of an account's totals at the banks.
pub const POSITION_MAX: u128 = (1 << 112) - 1;

/// Two banks, the lower number first, and a currency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PositionKey {
    pub low: BankNumber,
    pub high: BankNumber,
    pub currency: Currency,
}

/// Which of the two pays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    LowPays,
    HighPays,
}

/// What lies between two banks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Position {
    /// What the lower-numbered bank owes the other; below zero if it is owed.
    pub low_owes: i128,
    /// What undecided payments from the lower-numbered bank may add.
    pub reserved_low: u128,
    /// The same of the other bank's.
    pub reserved_high: u128,
}

impl PositionKey {
    /// The position that a payment between two banks moves, and which way.
    pub fn of(order: &Order) -> (PositionKey, Direction) {
        PositionKey::between(order.payer.bank, order.payee.bank, order.currency)
    }

    pub fn between(debtor: BankNumber, creditor: BankNumber, currency: Currency) -> (PositionKey, Direction) {
        match debtor < creditor {
            true => (PositionKey { low: debtor, high: creditor, currency }, Direction::LowPays),
            false => (PositionKey { low: creditor, high: debtor, currency }, Direction::HighPays),
        }
    }
}

impl Position {
    /// What the paying bank owes the other now; nothing if it is owed.
    pub fn owed(&self, direction: Direction) -> u128 {
        u128::try_from(self.signed(direction)).unwrap_or(0)
    }

    /// What it would owe if all that is undecided in that direction were posted, and nothing of the other.
    #[expect(
        clippy::expect_used,
        reason = "nothing is reserved beyond POSITION_MAX, and a checkpoint with more is refused"
    )]
    pub fn owed_at_worst(&self, direction: Direction) -> u128 {
        let reserved = i128::try_from(self.reserved(direction)).expect("reservations are bounded");
        u128::try_from(self.signed(direction) + reserved).unwrap_or(0)
    }

    pub fn reserved(&self, direction: Direction) -> u128 {
        match direction {
            Direction::LowPays => self.reserved_low,
            Direction::HighPays => self.reserved_high,
        }
    }

    pub(crate) fn reserved_mut(&mut self, direction: Direction) -> &mut u128 {
        match direction {
            Direction::LowPays => &mut self.reserved_low,
            Direction::HighPays => &mut self.reserved_high,
        }
    }

    /// The position after that much was paid.
    #[expect(clippy::expect_used, reason = "amounts are below 2^96 by their type")]
    pub(crate) fn paid(&self, direction: Direction, minor: u128) -> i128 {
        let minor = i128::try_from(minor).expect("amounts are below 2^96");
        match direction {
            Direction::LowPays => self.low_owes + minor,
            Direction::HighPays => self.low_owes - minor,
        }
    }

    /// Whether that much more may be taken without a position ever passing its bound.
    pub(crate) fn has_room(&self, direction: Direction, minor: u128) -> bool {
        self.low_owes.unsigned_abs() + self.reserved(direction) + minor <= POSITION_MAX
    }

    fn signed(&self, direction: Direction) -> i128 {
        match direction {
            Direction::LowPays => self.low_owes,
            Direction::HighPays => -self.low_owes,
        }
    }
}

impl Stored for PositionKey {
    fn put(&self, out: &mut Out) {
        out.value(&self.low);
        out.value(&self.high);
        out.value(&self.currency);
    }

    fn take(from: &mut In<'_>) -> Result<PositionKey, Bad> {
        Ok(PositionKey { low: from.value()?, high: from.value()?, currency: from.value()? })
    }
}
