//! What readers make of a record: the outcome it holds, the transfer it tells of, and its line in an account's statement.

use crate::account::{BalancesAfter, Place};
use crate::hold::HoldState;
use crate::ids::{AccountId, TransferId};
use crate::movement::Movement;
use crate::outcome::Outcome;
use crate::record::{Body, Record, Side};

impl Record {
    /// The outcome as it was first answered. Of a hold's placing the record knows no end: the caller says what has become
    /// of it.
    pub fn outcome(&self, hold_now: HoldState) -> Outcome {
        let time_ms = self.time_ms;
        match &self.body {
            Body::AccountOpened { number, .. } => Outcome::Opened { time_ms, number: *number },
            Body::AccountClosed { .. } => Outcome::Closed { time_ms },
            Body::TransferPosted { debit, credit, .. } => {
                Outcome::Posted { time_ms, debit: debit.after, credit: credit.after }
            }
            Body::HoldPlaced { debit, credit, .. } => {
                Outcome::Held { time_ms, now: hold_now, debit: debit.after, credit: credit.after }
            }
            Body::HoldPosted { debit, credit, .. } => {
                Outcome::HoldPosted { time_ms, debit: debit.after, credit: credit.after }
            }
            Body::HoldVoided { debit, credit, .. } => {
                Outcome::HoldVoided { time_ms, debit: debit.after, credit: credit.after }
            }
            Body::Tombstone { .. } => Outcome::Voided { time_ms },
            Body::SettingChanged { replaced_version, .. } => {
                Outcome::SettingChanged { time_ms, version: replaced_version + 1 }
            }
            Body::CustomerAdded { number, .. } => Outcome::Opened { time_ms, number: *number },
            Body::SecretChanged { .. } => Outcome::SecretChanged { time_ms },
            Body::LockChanged { locked, .. } => Outcome::LockChanged { time_ms, locked: *locked },
            Body::HoldNoted { .. } => Outcome::Noted { time_ms },
            Body::FenceRaised { fence, .. } => Outcome::Fenced { time_ms, fence: *fence },
            Body::KeyClaimed { base, .. } => Outcome::KeyClaimed { time_ms, base: *base },
            Body::OpenRejected { rejection, .. }
            | Body::CloseRejected { rejection, .. }
            | Body::TransferRejected { rejection, .. }
            | Body::HoldRejected { rejection, .. }
            | Body::PostHoldRejected { rejection, .. }
            | Body::VoidHoldRejected { rejection, .. }
            | Body::VoidTransferRejected { rejection, .. }
            | Body::SettingRejected { rejection, .. }
            | Body::CustomerRejected { rejection, .. }
            | Body::SecretRejected { rejection, .. }
            | Body::LockRejected { rejection, .. } => Outcome::Rejected { time_ms, rejection: *rejection },
        }
    }

    /// What the record moved or would have moved, if it is about money.
    pub fn movement(&self) -> Option<&Movement> {
        match &self.body {
            Body::TransferRejected { movement, .. } | Body::HoldRejected { movement, .. } => Some(movement),
            _ => self.effect().map(|effect| effect.movement),
        }
    }

    /// The line of this record in that account's statement; `None` if it changed nothing of that account.
    pub fn statement_line(&self, account: AccountId) -> Option<StatementLine> {
        let Effect { kind, movement, debit, credit } = self.effect()?;
        let (direction, counterparty, side) = if movement.debit == account {
            (Direction::Debit, movement.credit, debit)
        } else if movement.credit == account {
            (Direction::Credit, movement.debit, credit)
        } else {
            return None;
        };
        Some(StatementLine {
            kind,
            direction,
            counterparty,
            movement: *movement,
            time_ms: self.time_ms,
            place: self.place,
            after: side.after,
            previous: side.previous.map(Place::get),
        })
    }

    /// What the record did to the balances of two accounts; `None` if it did nothing to any. The one list of what does.
    pub fn effect(&self) -> Option<Effect<'_>> {
        let (kind, movement, debit, credit) = match &self.body {
            Body::TransferPosted { movement, debit, credit, .. } => (LineKind::Transfer, movement, debit, credit),
            Body::HoldPlaced { movement, debit, credit, .. } => (LineKind::HoldPlaced, movement, debit, credit),
            Body::HoldPosted { movement, debit, credit, .. } => (LineKind::HoldPosted, movement, debit, credit),
            Body::HoldVoided { movement, debit, credit, .. } => (LineKind::HoldVoided, movement, debit, credit),
            Body::AccountOpened { .. }
            | Body::AccountClosed { .. }
            | Body::Tombstone { .. }
            | Body::SettingChanged { .. }
            | Body::OpenRejected { .. }
            | Body::CloseRejected { .. }
            | Body::TransferRejected { .. }
            | Body::HoldRejected { .. }
            | Body::PostHoldRejected { .. }
            | Body::VoidHoldRejected { .. }
            | Body::VoidTransferRejected { .. }
            | Body::SettingRejected { .. }
            | Body::CustomerAdded { .. }
            | Body::SecretChanged { .. }
            | Body::LockChanged { .. }
            | Body::HoldNoted { .. }
            | Body::KeyClaimed { .. }
            | Body::FenceRaised { .. }
            | Body::CustomerRejected { .. }
            | Body::SecretRejected { .. }
            | Body::LockRejected { .. } => return None,
        };
        Some(Effect { kind, movement, debit, credit })
    }
}

/// What a record did to the balances of two accounts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effect<'a> {
    pub kind: LineKind,
    pub movement: &'a Movement,
    pub debit: &'a Side,
    pub credit: &'a Side,
}

/// What a line of a statement tells of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LineKind {
    Transfer,
    HoldPlaced,
    HoldPosted,
    HoldVoided,
}

impl LineKind {
    /// Whether the balance changed, not only what is available.
    pub fn moved_money(self) -> bool {
        match self {
            LineKind::Transfer | LineKind::HoldPosted => true,
            LineKind::HoldPlaced | LineKind::HoldVoided => false,
        }
    }
}

/// Which side of a movement an account is on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    Debit,
    Credit,
}

/// One line of an account's statement. Lines are read newest first: start at the account's `last_place`, then follow
/// `previous`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatementLine {
    pub kind: LineKind,
    pub direction: Direction,
    pub counterparty: AccountId,
    pub movement: Movement,
    pub time_ms: u64,
    pub place: u64,
    /// The account's balances after this line: the running balance.
    pub after: BalancesAfter,
    pub previous: Option<u64>,
}

/// A transfer, hold or other id'd outcome as a reader sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransferView {
    pub id: TransferId,
    /// `None` for what moves nothing: a tombstone, the closing of an account, a customer's new secret or lock.
    pub movement: Option<Movement>,
    pub outcome: Outcome,
    pub time_ms: u64,
    pub slot: u64,
    pub place: u64,
}

impl TransferView {
    /// The view of the first record under an id, with what became of a hold by now. `None` for a record without an id.
    pub fn new(record: &Record, hold_now: HoldState) -> Option<TransferView> {
        Some(TransferView {
            id: record.id()?,
            movement: record.movement().copied(),
            outcome: record.outcome(hold_now),
            time_ms: record.time_ms,
            slot: record.slot,
            place: record.place,
        })
    }
}
