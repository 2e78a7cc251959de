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
//! A transfer has a placer only if somebody else than the bank's own operators ordered it.
//! What was done has no rejection but flags in its place: 1 the first debit on its UTC day of a customer's account, 2 booked
//! again after a restore.
//! Rejections have two values at 128 and 144 instead of previous places and balances. The records about accounts,
//! customers and settings put their few other fields into the same places, named where they are written.

mod decode;
mod encode;
mod fields;

use crate::account::{Balances, Place};
use crate::currency::Currency;
use crate::customer_name::CustomerName;
use crate::fence::Fence;
use crate::ids::{AccountId, Placer, TransferId};
use crate::key::RecordKey;
use crate::movement::Movement;
use crate::outcome::Rejected;
use crate::secret::Secret;
use crate::settings::SettingChange;
use crate::text::{Counterparty, Owner};
use fields::{at, get_u16, get_u48, get_u128, put_u48};

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

/// What else is to be known of a movement that was booked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags {
    /// The debited account is a customer's, and this its first debit on that day: see [`crate::day`].
    pub begins_day: bool,
    /// It was booked again by a restored bank, so a side of it may stand on `suspense` instead of the account that was ordered.
    pub replayed: bool,
}

/// What happened. One variant per kind. A new customer's account follows from the name and has that number. A secret that was refused is
/// kept nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    AccountOpened { account: AccountId, owner: Owner, currency: Currency, number: u64 },
    AccountClosed { id: TransferId, account: AccountId },
    TransferPosted { placer: Option<Placer>, movement: Movement, debit: Side, credit: Side, flags: Flags },
    HoldPlaced { placer: Placer, movement: Movement, debit: Side, credit: Side, flags: Flags },
    HoldPosted { placer: Placer, movement: Movement, debit: Side, credit: Side },
    HoldVoided { placer: Placer, movement: Movement, debit: Side, credit: Side },
    Tombstone { id: TransferId },
    SettingChanged { replaced_version: u64, change: SettingChange },
    CustomerAdded { name: CustomerName, currency: Currency, number: u64, secret: Secret },
    SecretChanged { id: TransferId, name: CustomerName, secret: Secret },
    LockChanged { id: TransferId, name: CustomerName, locked: bool },
    HoldNoted { id: TransferId, placer: Placer, counterparty: Counterparty },
    FenceRaised { placer: Placer, fence: Fence },
    KeyClaimed { key: u128, digest: u128, base: u128 },
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
    pub const KEY_CLAIMED: u16 = 14;
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

/// The flag of a first debit, and of what was booked again.
const BEGINS_DAY: u8 = 1;
const REPLAYED: u8 = 2;

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
            | Body::KeyClaimed { .. }
            | Body::SettingChanged { .. }
            | Body::CustomerAdded { .. }
            | Body::OpenRejected { .. }
            | Body::SettingRejected { .. }
            | Body::CustomerRejected { .. } => None,
        }
    }
}

/// The key under which the index leads to this record, or `None` if no retry will ever look for it. Reads only what it
/// needs, for starts read millions of records.
pub fn record_key(bytes: &RecordBytes) -> Option<RecordKey> {
    let key: fn(TransferId) -> RecordKey = match get_u16(bytes, at::KIND) {
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
        | kind::LOCK_REJECTED => RecordKey::outcome,
        kind::HOLD_POSTED | kind::HOLD_VOIDED => RecordKey::hold_end,
        kind::HOLD_NOTED => RecordKey::hold_note,
        kind::KEY_CLAIMED => return Some(RecordKey::idempotency(get_u128(bytes, at::ID))),
        _ => return None,
    };
    TransferId::new(get_u128(bytes, at::ID)).map(key)
}

impl Body {
    /// Whether this is the first outcome of what somebody ordered: the same movement, but for a side that a restored bank had
    /// to book on `suspense`. False for whatever is no transfer and no hold.
    pub fn is_of_order(&self, ordered: &Movement) -> bool {
        let (movement, replayed) = match self {
            Body::TransferPosted { movement, flags, .. } | Body::HoldPlaced { movement, flags, .. } => {
                (movement, flags.replayed)
            }
            Body::TransferRejected { movement, .. } | Body::HoldRejected { movement, .. } => (movement, false),
            _ => return false,
        };
        let suspense = AccountId::suspense(movement.currency);
        let meant = |booked: AccountId, meant: AccountId| if replayed && booked == suspense { meant } else { booked };
        let (debit, credit) = (meant(movement.debit, ordered.debit), meant(movement.credit, ordered.credit));
        Movement { debit, credit, ..*movement } == *ordered
    }

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
            | Body::FenceRaised { .. }
            | Body::KeyClaimed { .. } => false,
        }
    }
}
