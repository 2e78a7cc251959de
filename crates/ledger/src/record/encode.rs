//! From an outcome to its bytes.

use super::fields::{at, put, put_u16, put_u48, put_u64, put_u112, put_u128};
use super::{BEGINS_DAY, Body, Flags, REPLAYED, RecordBytes, Side, U48_MAX, kind};
use crate::account::{Balances, Place};
use crate::currency::Currency;
use crate::customer_name::CustomerName;
use crate::ids::{AccountId, Placer, TransferId};
use crate::movement::Movement;
use crate::outcome::{Rejected, StoredRejection};
use crate::text::{Line, Owner};

impl Body {
    pub(super) fn encode(&self, out: &mut RecordBytes) {
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
            Body::TransferPosted { placer, movement, debit, credit, flags } => {
                put_u16(out, at::KIND, kind::TRANSFER_POSTED);
                out[at::FLAGS] = flag_bits(*flags);
                put_u64(out, at::PLACER, placer.map_or(0, Placer::get));
                put_movement(out, movement);
                put_sides(out, debit, credit);
            }
            Body::HoldPlaced { placer, movement, debit, credit, flags } => {
                put_u16(out, at::KIND, kind::HOLD_PLACED);
                out[at::FLAGS] = flag_bits(*flags);
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
                put_u64(out, at::FENCE + 16, fence.lost.after);
                put_u64(out, at::FENCE + 24, fence.lost.through);
            }
            Body::KeyClaimed { key, digest, base } => {
                put_u16(out, at::KIND, kind::KEY_CLAIMED);
                put_u128(out, at::ID, *key);
                put_u128(out, at::DIGEST, *digest);
                put_u128(out, at::BASE, *base);
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

fn flag_bits(flags: Flags) -> u8 {
    let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    bit(flags.begins_day, BEGINS_DAY) | bit(flags.replayed, REPLAYED)
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
