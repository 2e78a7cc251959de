//! The one door of the rules to the books.
//!
//! The rules read and write through [`Books`] and nothing else, so the same rules run on memory (beside this, in
//! `crate::memory`) and could run inside the database of a bank that keeps its books there.

use crate::account::Account;
use crate::command::Command;
use crate::currency::Currency;
use crate::customer::Lock;
use crate::day::Day;
use crate::fence::Fence;
use crate::hold::Hold;
use crate::ids::{AccountId, Placer, TransferId};
use crate::key::RecordKey;
use crate::record::Record;
use crate::secret::Secret;
use crate::settings::{SettingEntry, Settings};
use crate::text::Owner;

/// How an account came to be: what never changes about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    pub account: AccountId,
    pub owner: Owner,
    pub currency: Currency,
    /// Accounts are numbered from 0 in the order of their opening.
    pub number: u64,
    pub time_ms: u64,
    pub place: u64,
}

/// Accounts, holds, settings, and outcomes by id.
///
/// Between `begin` and `keep` or `undo` everything written can be taken back, records included.
pub trait Books {
    /// Called with commands that are about to be carried out, so that the books can fetch what these may touch.
    fn gather(&mut self, commands: &[Command]);

    /// Time of the newest record; the ledger's time never goes back behind it.
    fn time_ms(&self) -> u64;

    fn account(&self, id: AccountId) -> Option<Account>;
    fn opening(&self, id: AccountId) -> Option<Opening>;
    /// How many accounts were opened, and how many more can be.
    fn account_count(&self) -> u64;
    fn room_for_accounts(&self) -> u64;
    /// Adds an account under the next number, without money.
    fn open_account(&mut self, opening: &Opening) -> Account;
    /// Writes back an account that is there.
    fn put_account(&mut self, account: &Account);
    /// Closes an account that is there.
    fn close_account(&mut self, id: AccountId, time_ms: u64);

    /// Makes the account, which is there, a customer's, unlocked; or replaces the customer's secret.
    fn set_secret(&mut self, id: AccountId, secret: &Secret);
    /// Locks or unlocks a customer's account that is there.
    fn set_lock(&mut self, id: AccountId, lock: Lock);
    /// The day of a customer's last debit.
    fn day(&self, account: &Account) -> Day;
    fn begin_day(&mut self, account: &Account, day: Day);

    fn hold(&self, id: TransferId) -> Option<Hold>;
    fn put_hold(&mut self, hold: &Hold);
    fn end_hold(&mut self, id: TransferId);

    /// What is known of a placer; zeros of one never heard.
    fn fence(&self, placer: Placer) -> Fence;
    fn raise_fence(&mut self, placer: Placer, fence: Fence);

    fn settings(&self) -> &Settings;
    fn change_setting(&mut self, entry: SettingEntry);

    /// All that was ever debited in a currency plus all that is held: the sum over all accounts, kept so that it can be
    /// bounded too.
    fn pledged(&self, currency: Currency) -> u128;
    fn set_pledged(&mut self, currency: Currency, minor: u128);

    /// The record that the index has under that key.
    fn find(&self, key: RecordKey) -> Option<Record>;
    fn next_place(&self) -> u64;
    /// Writes the record to its place, which must be the next one.
    fn write(&mut self, record: &Record);

    fn begin(&mut self);
    fn keep(&mut self);
    fn undo(&mut self);
}
