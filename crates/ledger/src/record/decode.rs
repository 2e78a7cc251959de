//! From bytes back to an outcome, or what is wrong with them.

use super::fields::{at, get, get_u16, get_u48, get_u64, get_u112, get_u128};
use super::{BEGINS_DAY, Body, Flags, REPLAYED, RecordBytes, RecordError, Side, U48_MAX, kind};
use crate::account::{Balances, Place};
use crate::currency::Currency;
use crate::customer_name::CustomerName;
use crate::fence::{Fence, Lost};
use crate::ids::{AccountId, Placer, TransferId};
use crate::money::Amount;
use crate::movement::Movement;
use crate::outcome::{Rejected, StoredRejection};
use crate::secret::{SECRET_BYTES, Secret};
use crate::settings::{CHANGE_BYTES, SettingChange};
use crate::text::Line;

impl Body {
    pub(super) fn decode(bytes: &RecordBytes) -> Result<Body, RecordError> {
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
                let flags = from.flags(&movement, &debit)?;
                let placer = Placer::new(get_u64(bytes, at::PLACER));
                Body::TransferPosted { placer, movement, debit, credit, flags }
            }
            kind::HOLD_PLACED => {
                let (movement, (debit, credit)) = (from.movement()?, from.sides());
                let flags = from.flags(&movement, &debit)?;
                Body::HoldPlaced { placer: from.placer()?, movement, debit, credit, flags }
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
            kind::KEY_CLAIMED => Body::KeyClaimed {
                key: get_u128(bytes, at::ID),
                digest: get_u128(bytes, at::DIGEST),
                base: get_u128(bytes, at::BASE),
            },
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
    fn flags(&self, movement: &Movement, debit: &Side) -> Result<Flags, RecordError> {
        let bits = self.bytes[at::FLAGS];
        let flags = Flags { begins_day: bits & BEGINS_DAY != 0, replayed: bits & REPLAYED != 0 };
        let is_known = bits & !(BEGINS_DAY | REPLAYED) == 0;
        let can_begin = !flags.begins_day || debit.after.debited_and_held() >= movement.amount.minor();
        if is_known && can_begin { Ok(flags) } else { Err(self.bad("flag")) }
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
            lost: Lost { after: get_u64(self.bytes, at::FENCE + 16), through: get_u64(self.bytes, at::FENCE + 24) },
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
