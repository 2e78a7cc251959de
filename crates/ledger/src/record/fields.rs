//! Where the fields of a record stand, and how numbers are put there and read: little endian, by hand.

use super::{RecordBytes, U48_MAX};
use crate::money::TOTAL_MAX;

pub(super) mod at {
    pub(crate) const KIND: usize = 0;
    pub(crate) const REJECTION: usize = 2;
    pub(crate) const TIME: usize = 4;
    pub(crate) const SLOT: usize = 10;
    pub(crate) const PLACE: usize = 16;
    pub(crate) const CURRENCY: usize = 22;
    pub(crate) const ID: usize = 24;
    pub(crate) const DEBIT: usize = 40;
    pub(crate) const CREDIT: usize = 56;
    pub(crate) const AMOUNT: usize = 72;
    pub(crate) const PLACER: usize = 84;
    pub(crate) const REFERENCE: usize = 92;
    pub(crate) const DEBIT_PREVIOUS: usize = 128;
    pub(crate) const CREDIT_PREVIOUS: usize = 134;
    pub(crate) const DEBIT_AFTER: usize = 140;
    pub(crate) const CREDIT_AFTER: usize = 196;
    /// Of a transfer and of a hold that was placed: nothing was rejected there.
    pub(crate) const FLAGS: usize = REJECTION;
    /// Of a rejection.
    pub(crate) const FIRST_VALUE: usize = 128;
    pub(crate) const SECOND_VALUE: usize = 144;
    /// Of a closing: the account, where a transfer has the debited one.
    pub(crate) const ACCOUNT: usize = DEBIT;
    /// Of an opening and of a new customer the account's number, of a setting the version, where a transfer has the debited
    /// account.
    pub(crate) const NUMBER: usize = DEBIT;
    /// Of an opening, and of a rejected one.
    pub(crate) const OWNER: usize = 160;
    /// Of a setting, and of a rejected one.
    pub(crate) const CHANGE: usize = 160;
    /// Of everything about a customer.
    pub(crate) const NAME: usize = 160;
    /// Of a new customer and of a new secret, where a transfer has the reference.
    pub(crate) const SECRET: usize = REFERENCE;
    /// Of a lock, and of a rejected one, one byte where a transfer has the debited account.
    pub(crate) const LOCKED: usize = DEBIT;
    /// Of a note about a hold, where a transfer has the reference.
    pub(crate) const NOTE: usize = REFERENCE;
    /// Of a fence, where a transfer has the debited account: epoch u32, caught up u32, complete through u64, and of what was
    /// lost after u64, through u64.
    pub(crate) const FENCE: usize = DEBIT;
    /// Of an idempotency key, where a transfer has its accounts; the key itself has the place of the id.
    pub(crate) const DIGEST: usize = DEBIT;
    pub(crate) const BASE: usize = CREDIT;
}

pub(super) fn put<const LEN: usize>(out: &mut RecordBytes, at: usize, bytes: [u8; LEN]) {
    out[at..at + LEN].copy_from_slice(&bytes);
}

pub(super) fn put_u16(out: &mut RecordBytes, at: usize, value: u16) {
    put(out, at, value.to_le_bytes());
}

pub(super) fn put_u48(out: &mut RecordBytes, at: usize, value: u64) {
    assert!(value <= U48_MAX, "slots, places and times of the ledger are below 2^48");
    out[at..at + 6].copy_from_slice(&value.to_le_bytes()[..6]);
}

pub(super) fn put_u64(out: &mut RecordBytes, at: usize, value: u64) {
    put(out, at, value.to_le_bytes());
}

pub(super) fn put_u112(out: &mut RecordBytes, at: usize, value: u128) {
    assert!(value <= TOTAL_MAX, "the rules bound every total");
    out[at..at + 14].copy_from_slice(&value.to_le_bytes()[..14]);
}

pub(super) fn put_u128(out: &mut RecordBytes, at: usize, value: u128) {
    put(out, at, value.to_le_bytes());
}

#[expect(clippy::expect_used, reason = "as many bytes as the field has")]
pub(super) fn get<const LEN: usize>(bytes: &RecordBytes, at: usize) -> [u8; LEN] {
    bytes[at..at + LEN].try_into().expect("as many bytes as the field has")
}

pub(super) fn get_u16(bytes: &RecordBytes, at: usize) -> u16 {
    u16::from_le_bytes(get(bytes, at))
}

pub(super) fn get_u48(bytes: &RecordBytes, at: usize) -> u64 {
    let mut wide = [0; 8];
    wide[..6].copy_from_slice(&bytes[at..at + 6]);
    u64::from_le_bytes(wide)
}

pub(super) fn get_u64(bytes: &RecordBytes, at: usize) -> u64 {
    u64::from_le_bytes(get(bytes, at))
}

pub(super) fn get_u112(bytes: &RecordBytes, at: usize) -> u128 {
    let mut wide = [0; 16];
    wide[..14].copy_from_slice(&bytes[at..at + 14]);
    u128::from_le_bytes(wide)
}

pub(super) fn get_u128(bytes: &RecordBytes, at: usize) -> u128 {
    u128::from_le_bytes(get(bytes, at))
}
