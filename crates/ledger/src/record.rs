//! The journal's record of one outcome: 256 bytes, written and read by hand.
//!
//! A record alone gives the first answer again, tells whether a retry has the same content, restores what it changed, and
//! leads to the previous record of each of its accounts. Layout, little endian, zero where a kind has no such field:
//!
//! ```text
//!   0 kind u16            2 rejection u16, flags 4 time ms u48     10 slot u48      16 place u48   22 currency u16
//!  24 id u128            40 debit u128         56 credit u128     72 amount u96    84 placer u64
//!  92 length u8, reference 35 bytes
//! 128 previous u48: record before this one of the debited account, 134 of the credited (all ones: none)
//! 140 balances after of the debited account, 4 × u112; 196 of the credited
//! 252 zero: the journal's own
//! ```
//!
//! What was done has no rejection but flags in its place: 1 the first debit on its UTC day of a customer's account.
//! Rejections have two values at 128 and 144 instead of previous places and balances. The records about accounts,
//! customers and settings put their few other fields into the same places, named where they are written.

use crate::account::{Balances, Place};
use crate::currency::Currency;
use crate::customer_name::CustomerName;
use crate::fence::Fence;
use crate::hold;
use crate::ids::{AccountId, Placer, TransferId};
use crate::money::Amount;
use crate::movement::Movement;
use crate::outcome::{Rejected, StoredRejection};
use crate::record_fields::{
    at, get, get_u16, get_u48, get_u64, get_u112, get_u128, put, put_u16, put_u48, put_u64, put_u112, put_u128,
};
use crate::secret::{SECRET_BYTES, Secret};
use crate::settings::{CHANGE_BYTES, SettingChange};
use crate::text::Line;
use crate::text::{Counterparty, Owner};

/// Length of a record.
pub const RECORD_BYTES: usize = 256;

/// A record as it stands in the journal.
pub type RecordBytes = [u8; RECORD_BYTES];

/// The largest time and slot that a record can hold: the year 10889; 8,900 years at a thousand slots a second.
pub const U48_MAX: u64 = (1 << 48) - 1;

/// One outcome with all that is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    pub time_ms: u64,
    pub slot: u64,
    pub place: u64,
    pub body: Body,
}

/// One account's side of a movement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Side {
    pub after: Balances,
    /// The record before this one in the account's statement.
    pub previous: Option<Place>,
}

/// What happened. One variant per kind. `begins_day`: the debited account is a customer's, and this its first debit on that
/// day (see [`crate::day`]). A new customer's account follows from the name and has that number. A secret that was refused is
/// kept nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    AccountOpened { account: AccountId, owner: Owner, currency: Currency, number: u64 },
    AccountClosed { id: TransferId, account: AccountId },
    TransferPosted { movement: Movement, debit: Side, credit: Side, begins_day: bool },
    HoldPlaced { placer: Placer, movement: Movement, debit: Side, credit: Side, begins_day: bool },
    HoldPosted { placer: Placer, movement: Movement, debit: Side, credit: Side },
    HoldVoided { placer: Placer, movement: Movement, debit: Side, credit: Side },
    Tombstone { id: TransferId },
    SettingChanged { replaced_version: u64, change: SettingChange },
    CustomerAdded { name: CustomerName, currency: Currency, number: u64, secret: Secret },
    SecretChanged { id: TransferId, name: CustomerName, secret: Secret },
    LockChanged { id: TransferId, name: CustomerName, locked: bool },
    HoldNoted { id: TransferId, placer: Placer, counterparty: Counterparty },
    FenceRaised { placer: Placer, fence: Fence },
    OpenRejected { account: AccountId, owner: Owner, currency: Currency, rejection: Rejected },
    CloseRejected { id: TransferId, account: AccountId, rejection: Rejected },
    TransferRejected { movement: Movement, rejection: Rejected },
    HoldRejected { placer: Placer, movement: Movement, rejection: Rejected },
    PostHoldRejected { id: TransferId, placer: Placer, rejection: Rejected },
    VoidHoldRejected { id: TransferId, placer: Placer, rejection: Rejected },
    VoidTransferRejected { id: TransferId, rejection: Rejected },
    SettingRejected { expected_version: u64, change: SettingChange, rejection: Rejected },
    CustomerRejected { name: CustomerName, currency: Currency, rejection: Rejected },
    SecretRejected { id: TransferId, name: CustomerName, rejection: Rejected },
    LockRejected { id: TransferId, name: CustomerName, locked: bool, rejection: Rejected },
}

/// Numbers of the kinds. They are in journals: keep them stable.
pub mod kind {
    pub const ACCOUNT_OPENED: u16 = 1;
    pub const ACCOUNT_CLOSED: u16 = 2;
    pub const TRANSFER_POSTED: u16 = 3;
    pub const HOLD_PLACED: u16 = 4;
    pub const HOLD_POSTED: u16 = 5;
    pub const HOLD_VOIDED: u16 = 6;
    pub const TOMBSTONE: u16 = 7;
    pub const SETTING_CHANGED: u16 = 8;
    pub const CUSTOMER_ADDED: u16 = 9;
    pub const SECRET_CHANGED: u16 = 10;
    pub const LOCK_CHANGED: u16 = 11;
    pub const HOLD_NOTED: u16 = 12;
    pub const FENCE_RAISED: u16 = 13;
    pub const OPEN_REJECTED: u16 = 33;
    pub const CLOSE_REJECTED: u16 = 34;
    pub const TRANSFER_REJECTED: u16 = 35;
    pub const HOLD_REJECTED: u16 = 36;
    pub const POST_HOLD_REJECTED: u16 = 37;
    pub const VOID_HOLD_REJECTED: u16 = 38;
    pub const VOID_TRANSFER_REJECTED: u16 = 39;
    pub const SETTING_REJECTED: u16 = 40;
    pub const CUSTOMER_REJECTED: u16 = 41;
    pub const SECRET_REJECTED: u16 = 42;
    pub const LOCK_REJECTED: u16 = 43;
}

/// Why bytes are not a record of the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    #[error("kind {kind} is none of the ledger's")]
    Kind { kind: u16 },
    #[error("a record of kind {kind} has a bad {field}")]
    Field { kind: u16, field: &'static str },
}

/// The flag of a first debit.
const BEGINS_DAY: u8 = 1;

impl Record {
    /// Panics if slot, time or a total is past the bounds that the rules keep.
    pub fn encode(&self) -> RecordBytes {
        let mut out = [0; RECORD_BYTES];
        put_u48(&mut out, at::TIME, self.time_ms);
        put_u48(&mut out, at::SLOT, self.slot);
        put_u48(&mut out, at::PLACE, self.place);
        self.body.encode(&mut out);
        out
    }

    /// Reads a record back. A batch header is not one.
    pub fn decode(bytes: &RecordBytes) -> Result<Record, RecordError> {
        Ok(Record {
            time_ms: get_u48(bytes, at::TIME),
            slot: get_u48(bytes, at::SLOT),
            place: get_u48(bytes, at::PLACE),
            body: Body::decode(bytes)?,
        })
    }
}

impl Record {
    /// The id that has one outcome forever, if the record is about one.
    pub fn id(&self) -> Option<TransferId> {
        match &self.body {
            Body::TransferPosted { movement, .. }
            | Body::HoldPlaced { movement, .. }
            | Body::HoldPosted { movement, .. }
            | Body::HoldVoided { movement, .. }
            | Body::TransferRejected { movement, .. }
            | Body::HoldRejected { movement, .. } => Some(movement.id),
            Body::AccountClosed { id, .. }
            | Body::Tombstone { id }
            | Body::CloseRejected { id, .. }
            | Body::PostHoldRejected { id, .. }
            | Body::VoidHoldRejected { id, .. }
            | Body::VoidTransferRejected { id, .. }
            | Body::SecretChanged { id, .. }
            | Body::LockChanged { id, .. }
            | Body::SecretRejected { id, .. }
            | Body::LockRejected { id, .. }
            | Body::HoldNoted { id, .. } => Some(*id),
            Body::AccountOpened { .. }
            | Body::FenceRaised { .. }
            | Body::SettingChanged { .. }
            | Body::CustomerAdded { .. }
            | Body::OpenRejected { .. }
            | Body::SettingRejected { .. }
            | Body::CustomerRejected { .. } => None,
        }
    }
}

/// The id under which the index leads to this record, or `None` if no retry will ever look for it. At most one record has
/// an id: a hold's end is found under an id of its own. Reads only what it needs, for starts read millions of records.
pub fn record_id(bytes: &RecordBytes) -> Option<u128> {
    match get_u16(bytes, at::KIND) {
        kind::ACCOUNT_CLOSED
        | kind::TRANSFER_POSTED
        | kind::HOLD_PLACED
        | kind::TOMBSTONE
        | kind::CLOSE_REJECTED
        | kind::TRANSFER_REJECTED
        | kind::HOLD_REJECTED
        | kind::SECRET_CHANGED
        | kind::LOCK_CHANGED
        | kind::SECRET_REJECTED
        | kind::LOCK_REJECTED => Some(get_u128(bytes, at::ID)),
        kind::HOLD_POSTED | kind::HOLD_VOIDED => TransferId::new(get_u128(bytes, at::ID)).map(hold::end_id),
        kind::HOLD_NOTED => TransferId::new(get_u128(bytes, at::ID)).map(hold::note_id),
        _ => None,
    }
}

impl Body {
    pub fn is_rejection(&self) -> bool {
        match self {
            Body::OpenRejected { .. }
            | Body::CloseRejected { .. }
            | Body::TransferRejected { .. }
            | Body::HoldRejected { .. }
            | Body::PostHoldRejected { .. }
            | Body::VoidHoldRejected { .. }
            | Body::VoidTransferRejected { .. }
            | Body::SettingRejected { .. }
            | Body::CustomerRejected { .. }
            | Body::SecretRejected { .. }
            | Body::LockRejected { .. } => true,
            Body::AccountOpened { .. }
            | Body::AccountClosed { .. }
            | Body::TransferPosted { .. }
            | Body::HoldPlaced { .. }
            | Body::HoldPosted { .. }
            | Body::HoldVoided { .. }
            | Body::Tombstone { .. }
            | Body::SettingChanged { .. }
            | Body::CustomerAdded { .. }
            | Body::SecretChanged { .. }
            | Body::LockChanged { .. }
            | Body::HoldNoted { .. }
            | Body::FenceRaised { .. } => false,
        }
    }

    fn encode(&self, out: &mut RecordBytes) {
        match self {
            Body::AccountOpened { account, owner, currency, number } => {
                put_u16(out, at::KIND, kind::ACCOUNT_OPENED);
                put_u64(out, at::NUMBER, *number);
                put_opening(out, *account, owner, *currency);
            }
            Body::AccountClosed { id, account } => {
                put_u16(out, at::KIND, kind::ACCOUNT_CLOSED);
                put_u128(out, at::ID, id.get());
                put_u128(out, at::ACCOUNT, account.get());
            }
            Body::TransferPosted { movement, debit, credit, begins_day } => {
                put_u16(out, at::KIND, kind::TRANSFER_POSTED);
                out[at::FLAGS] = flags(*begins_day);
                put_movement(out, movement);
                put_sides(out, debit, credit);
            }
            Body::HoldPlaced { placer, movement, debit, credit, begins_day } => {
                put_u16(out, at::KIND, kind::HOLD_PLACED);
                out[at::FLAGS] = flags(*begins_day);
                put_hold(out, *placer, movement, debit, credit);
            }
            Body::HoldPosted { placer, movement, debit, credit } => {
                put_u16(out, at::KIND, kind::HOLD_POSTED);
                put_hold(out, *placer, movement, debit, credit);
            }
            Body::HoldVoided { placer, movement, debit, credit } => {
                put_u16(out, at::KIND, kind::HOLD_VOIDED);
                put_hold(out, *placer, movement, debit, credit);
            }
            Body::Tombstone { id } => {
                put_u16(out, at::KIND, kind::TOMBSTONE);
                put_u128(out, at::ID, id.get());
            }
            Body::SettingChanged { replaced_version, change } => {
                put_u16(out, at::KIND, kind::SETTING_CHANGED);
                put_u64(out, at::NUMBER, *replaced_version);
                put(out, at::CHANGE, change.to_bytes());
            }
            Body::CustomerAdded { name, currency, number, secret } => {
                put_u16(out, at::KIND, kind::CUSTOMER_ADDED);
                put_u16(out, at::CURRENCY, currency.number());
                put_u64(out, at::NUMBER, *number);
                put_line(out, at::NAME, name.line());
                put(out, at::SECRET, secret.to_bytes());
            }
            Body::SecretChanged { id, name, secret } => {
                put_u16(out, at::KIND, kind::SECRET_CHANGED);
                put_u128(out, at::ID, id.get());
                put_line(out, at::NAME, name.line());
                put(out, at::SECRET, secret.to_bytes());
            }
            Body::LockChanged { id, name, locked } => {
                put_u16(out, at::KIND, kind::LOCK_CHANGED);
                put_lock(out, *id, name, *locked);
            }
            Body::HoldNoted { id, placer, counterparty } => {
                put_u16(out, at::KIND, kind::HOLD_NOTED);
                put_ending(out, *id, *placer);
                put_line(out, at::NOTE, counterparty);
            }
            Body::FenceRaised { placer, fence } => {
                put_u16(out, at::KIND, kind::FENCE_RAISED);
                put_u64(out, at::PLACER, placer.get());
                put(out, at::FENCE, fence.epoch.to_le_bytes());
                put(out, at::FENCE + 4, fence.caught_up.to_le_bytes());
                put_u64(out, at::FENCE + 8, fence.complete_through);
            }
            Body::OpenRejected { account, owner, currency, rejection } => {
                put_u16(out, at::KIND, kind::OPEN_REJECTED);
                put_opening(out, *account, owner, *currency);
                put_rejection(out, *rejection);
            }
            Body::CloseRejected { id, account, rejection } => {
                put_u16(out, at::KIND, kind::CLOSE_REJECTED);
                put_u128(out, at::ID, id.get());
                put_u128(out, at::ACCOUNT, account.get());
                put_rejection(out, *rejection);
            }
            Body::TransferRejected { movement, rejection } => {
                put_u16(out, at::KIND, kind::TRANSFER_REJECTED);
                put_movement(out, movement);
                put_rejection(out, *rejection);
            }
            Body::HoldRejected { placer, movement, rejection } => {
                put_u16(out, at::KIND, kind::HOLD_REJECTED);
                put_u64(out, at::PLACER, placer.get());
                put_movement(out, movement);
                put_rejection(out, *rejection);
            }
            Body::PostHoldRejected { id, placer, rejection } => {
                put_u16(out, at::KIND, kind::POST_HOLD_REJECTED);
                put_ending(out, *id, *placer);
                put_rejection(out, *rejection);
            }
            Body::VoidHoldRejected { id, placer, rejection } => {
                put_u16(out, at::KIND, kind::VOID_HOLD_REJECTED);
                put_ending(out, *id, *placer);
                put_rejection(out, *rejection);
            }
            Body::VoidTransferRejected { id, rejection } => {
                put_u16(out, at::KIND, kind::VOID_TRANSFER_REJECTED);
                put_u128(out, at::ID, id.get());
                put_rejection(out, *rejection);
            }
            Body::SettingRejected { expected_version, change, rejection } => {
                put_u16(out, at::KIND, kind::SETTING_REJECTED);
                put_u64(out, at::NUMBER, *expected_version);
                put(out, at::CHANGE, change.to_bytes());
                put_rejection(out, *rejection);
            }
            Body::CustomerRejected { name, currency, rejection } => {
                put_u16(out, at::KIND, kind::CUSTOMER_REJECTED);
                put_u16(out, at::CURRENCY, currency.number());
                put_line(out, at::NAME, name.line());
                put_rejection(out, *rejection);
            }
            Body::SecretRejected { id, name, rejection } => {
                put_u16(out, at::KIND, kind::SECRET_REJECTED);
                put_u128(out, at::ID, id.get());
                put_line(out, at::NAME, name.line());
                put_rejection(out, *rejection);
            }
            Body::LockRejected { id, name, locked, rejection } => {
                put_u16(out, at::KIND, kind::LOCK_REJECTED);
                put_lock(out, *id, name, *locked);
                put_rejection(out, *rejection);
            }
        }
    }

    fn decode(bytes: &RecordBytes) -> Result<Body, RecordError> {
        let from = Fields { bytes, kind: get_u16(bytes, at::KIND) };
        Ok(match from.kind {
            kind::ACCOUNT_OPENED => Body::AccountOpened {
                account: from.account(at::ID, "account")?,
                owner: from.line(at::OWNER, "owner")?,
                currency: from.currency()?,
                number: get_u64(bytes, at::NUMBER),
            },
            kind::ACCOUNT_CLOSED => {
                Body::AccountClosed { id: from.id()?, account: from.account(at::ACCOUNT, "account")? }
            }
            kind::TRANSFER_POSTED => {
                let (movement, (debit, credit)) = (from.movement()?, from.sides());
                let begins_day = from.begins_day(&movement, &debit)?;
                Body::TransferPosted { movement, debit, credit, begins_day }
            }
            kind::HOLD_PLACED => {
                let (movement, (debit, credit)) = (from.movement()?, from.sides());
                let begins_day = from.begins_day(&movement, &debit)?;
                Body::HoldPlaced { placer: from.placer()?, movement, debit, credit, begins_day }
            }
            kind::HOLD_POSTED => {
                let (debit, credit) = from.sides();
                Body::HoldPosted { placer: from.placer()?, movement: from.movement()?, debit, credit }
            }
            kind::HOLD_VOIDED => {
                let (debit, credit) = from.sides();
                Body::HoldVoided { placer: from.placer()?, movement: from.movement()?, debit, credit }
            }
            kind::TOMBSTONE => Body::Tombstone { id: from.id()? },
            kind::SETTING_CHANGED => {
                Body::SettingChanged { replaced_version: get_u64(bytes, at::NUMBER), change: from.change()? }
            }
            kind::CUSTOMER_ADDED => Body::CustomerAdded {
                name: from.name()?,
                currency: from.currency()?,
                number: get_u64(bytes, at::NUMBER),
                secret: from.secret(),
            },
            kind::SECRET_CHANGED => Body::SecretChanged { id: from.id()?, name: from.name()?, secret: from.secret() },
            kind::LOCK_CHANGED => Body::LockChanged { id: from.id()?, name: from.name()?, locked: from.locked()? },
            kind::HOLD_NOTED => Body::HoldNoted {
                id: from.id()?,
                placer: from.placer()?,
                counterparty: from.line(at::NOTE, "counterparty")?,
            },
            kind::FENCE_RAISED => Body::FenceRaised { placer: from.placer()?, fence: from.fence() },
            kind::OPEN_REJECTED => Body::OpenRejected {
                account: from.account(at::ID, "account")?,
                owner: from.line(at::OWNER, "owner")?,
                currency: from.currency()?,
                rejection: from.rejection()?,
            },
            kind::CLOSE_REJECTED => Body::CloseRejected {
                id: from.id()?,
                account: from.account(at::ACCOUNT, "account")?,
                rejection: from.rejection()?,
            },
            kind::TRANSFER_REJECTED => {
                Body::TransferRejected { movement: from.movement()?, rejection: from.rejection()? }
            }
            kind::HOLD_REJECTED => {
                Body::HoldRejected { placer: from.placer()?, movement: from.movement()?, rejection: from.rejection()? }
            }
            kind::POST_HOLD_REJECTED => {
                Body::PostHoldRejected { id: from.id()?, placer: from.placer()?, rejection: from.rejection()? }
            }
            kind::VOID_HOLD_REJECTED => {
                Body::VoidHoldRejected { id: from.id()?, placer: from.placer()?, rejection: from.rejection()? }
            }
            kind::VOID_TRANSFER_REJECTED => Body::VoidTransferRejected { id: from.id()?, rejection: from.rejection()? },
            kind::SETTING_REJECTED => Body::SettingRejected {
                expected_version: get_u64(bytes, at::NUMBER),
                change: from.change()?,
                rejection: from.rejection()?,
            },
            kind::CUSTOMER_REJECTED => {
                Body::CustomerRejected { name: from.name()?, currency: from.currency()?, rejection: from.rejection()? }
            }
            kind::SECRET_REJECTED => {
                Body::SecretRejected { id: from.id()?, name: from.name()?, rejection: from.rejection()? }
            }
            kind::LOCK_REJECTED => Body::LockRejected {
                id: from.id()?,
                name: from.name()?,
                locked: from.locked()?,
                rejection: from.rejection()?,
            },
            kind => return Err(RecordError::Kind { kind }),
        })
    }
}

fn put_opening(out: &mut RecordBytes, account: AccountId, owner: &Owner, currency: Currency) {
    put_u128(out, at::ID, account.get());
    put_u16(out, at::CURRENCY, currency.number());
    put_line(out, at::OWNER, owner);
}

fn put_movement(out: &mut RecordBytes, movement: &Movement) {
    put_u128(out, at::ID, movement.id.get());
    put_u128(out, at::DEBIT, movement.debit.get());
    put_u128(out, at::CREDIT, movement.credit.get());
    put(out, at::AMOUNT, movement.amount.to_bytes());
    put_u16(out, at::CURRENCY, movement.currency.number());
    put_line(out, at::REFERENCE, &movement.reference);
}

fn put_hold(out: &mut RecordBytes, placer: Placer, movement: &Movement, debit: &Side, credit: &Side) {
    put_u64(out, at::PLACER, placer.get());
    put_movement(out, movement);
    put_sides(out, debit, credit);
}

fn put_ending(out: &mut RecordBytes, id: TransferId, placer: Placer) {
    put_u128(out, at::ID, id.get());
    put_u64(out, at::PLACER, placer.get());
}

fn put_lock(out: &mut RecordBytes, id: TransferId, name: &CustomerName, locked: bool) {
    put_u128(out, at::ID, id.get());
    put_line(out, at::NAME, name.line());
    out[at::LOCKED] = u8::from(locked);
}

fn put_line<const MAX: usize>(out: &mut RecordBytes, at: usize, line: &Line<MAX>) {
    out[at] = line.len_byte();
    put(out, at + 1, *line.padded());
}

fn put_sides(out: &mut RecordBytes, debit: &Side, credit: &Side) {
    put_u48(out, at::DEBIT_PREVIOUS, debit.previous.map_or(U48_MAX, Place::get));
    put_u48(out, at::CREDIT_PREVIOUS, credit.previous.map_or(U48_MAX, Place::get));
    put_balances(out, at::DEBIT_AFTER, &debit.after);
    put_balances(out, at::CREDIT_AFTER, &credit.after);
}

fn flags(begins_day: bool) -> u8 {
    if begins_day { BEGINS_DAY } else { 0 }
}

fn put_balances(out: &mut RecordBytes, at: usize, balances: &Balances) {
    put_u112(out, at, balances.posted_debits);
    put_u112(out, at + 14, balances.posted_credits);
    put_u112(out, at + 28, balances.held_debits);
    put_u112(out, at + 42, balances.held_credits);
}

fn put_rejection(out: &mut RecordBytes, rejection: Rejected) {
    let StoredRejection { code, first, second } = rejection.to_stored();
    put_u16(out, at::REJECTION, code);
    put_u128(out, at::FIRST_VALUE, first);
    put_u128(out, at::SECOND_VALUE, second);
}

/// Reads fields that can be wrong, and says which one of which kind is.
struct Fields<'a> {
    bytes: &'a RecordBytes,
    kind: u16,
}

impl Fields<'_> {
    fn movement(&self) -> Result<Movement, RecordError> {
        let amount = Amount::from_bytes(get(self.bytes, at::AMOUNT)).ok_or(self.bad("amount"))?;
        Ok(Movement {
            id: self.id()?,
            debit: self.account(at::DEBIT, "debited account")?,
            credit: self.account(at::CREDIT, "credited account")?,
            amount,
            currency: self.currency()?,
            reference: self.line(at::REFERENCE, "reference")?,
        })
    }

    fn sides(&self) -> (Side, Side) {
        let side = |previous: usize, after: usize| {
            let previous = Some(get_u48(self.bytes, previous)).filter(|place| *place != U48_MAX).map(Place::new);
            Side { after: get_balances(self.bytes, after), previous }
        };
        (side(at::DEBIT_PREVIOUS, at::DEBIT_AFTER), side(at::CREDIT_PREVIOUS, at::CREDIT_AFTER))
    }

    /// With the flag, what was debited and held before must follow from what was after.
    fn begins_day(&self, movement: &Movement, debit: &Side) -> Result<bool, RecordError> {
        match self.bytes[at::FLAGS] {
            0 => Ok(false),
            BEGINS_DAY if debit.after.debited_and_held() >= movement.amount.minor() => Ok(true),
            _ => Err(self.bad("flag")),
        }
    }

    fn id(&self) -> Result<TransferId, RecordError> {
        TransferId::new(get_u128(self.bytes, at::ID)).ok_or(self.bad("id"))
    }

    fn account(&self, at: usize, field: &'static str) -> Result<AccountId, RecordError> {
        AccountId::new(get_u128(self.bytes, at)).ok_or(self.bad(field))
    }

    fn placer(&self) -> Result<Placer, RecordError> {
        Placer::new(get_u64(self.bytes, at::PLACER)).ok_or(self.bad("placer"))
    }

    fn fence(&self) -> Fence {
        Fence {
            epoch: u32::from_le_bytes(get(self.bytes, at::FENCE)),
            caught_up: u32::from_le_bytes(get(self.bytes, at::FENCE + 4)),
            complete_through: get_u64(self.bytes, at::FENCE + 8),
        }
    }

    fn currency(&self) -> Result<Currency, RecordError> {
        Currency::from_number(get_u16(self.bytes, at::CURRENCY)).ok_or(self.bad("currency"))
    }

    fn line<const MAX: usize>(&self, at: usize, field: &'static str) -> Result<Line<MAX>, RecordError> {
        let text = self.bytes[at + 1..].get(..usize::from(self.bytes[at])).ok_or(self.bad(field))?;
        Line::from_utf8(text).map_err(|_| self.bad(field))
    }

    fn name(&self) -> Result<CustomerName, RecordError> {
        CustomerName::from_line(self.line(at::NAME, "customer's name")?).map_err(|_| self.bad("customer's name"))
    }

    fn secret(&self) -> Secret {
        Secret::from_bytes(&get::<SECRET_BYTES>(self.bytes, at::SECRET))
    }

    fn locked(&self) -> Result<bool, RecordError> {
        match self.bytes[at::LOCKED] {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.bad("lock")),
        }
    }

    fn change(&self) -> Result<SettingChange, RecordError> {
        SettingChange::from_bytes(&get::<CHANGE_BYTES>(self.bytes, at::CHANGE)).ok_or(self.bad("setting"))
    }

    fn rejection(&self) -> Result<Rejected, RecordError> {
        let stored = StoredRejection {
            code: get_u16(self.bytes, at::REJECTION),
            first: get_u128(self.bytes, at::FIRST_VALUE),
            second: get_u128(self.bytes, at::SECOND_VALUE),
        };
        Rejected::from_stored(stored).ok_or(self.bad("rejection"))
    }

    fn bad(&self, field: &'static str) -> RecordError {
        RecordError::Field { kind: self.kind, field }
    }
}

fn get_balances(bytes: &RecordBytes, at: usize) -> Balances {
    Balances {
        posted_debits: get_u112(bytes, at),
        posted_credits: get_u112(bytes, at + 14),
        held_debits: get_u112(bytes, at + 28),
        held_credits: get_u112(bytes, at + 42),
    }
}
