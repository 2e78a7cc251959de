//! The books in memory.
//!
//! Accounts stand in a vector by number, and a hash index leads from id to number. What the rules touch for each transfer
//! (id, totals, standing, lock: 96 bytes) is kept apart from what only readers ask for. The index is used for lookups alone:
//! whatever has an order that can be seen comes from the vector or from an ordered map, so the seed changes nothing.

#![expect(
    clippy::expect_used,
    reason = "the rules change only what they have just read here: what is missing then is a bug of ours, and going on with corrupt books is worse"
)]

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};

use crate::account::{Account, Standing};
use crate::books::{Books, Opening};
use crate::command::Command;
use crate::currency::Currency;
use crate::customer::Lock;
use crate::day::Day;
use crate::fence::Fence;
use crate::hold::Hold;
use crate::ids::{AccountId, Placer, TransferId};
use crate::journal::JournalPort;
use crate::key::RecordKey;
use crate::record::{Record, RecordBytes, record_key};
use crate::secret::Secret;
use crate::settings::{SettingEntry, Settings};
use crate::text::Owner;

/// What only readers ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Facts {
    pub(crate) owner: Box<str>,
    pub(crate) opened_ms: u64,
    pub(crate) opened_place: u64,
    pub(crate) closed_ms: Option<u64>,
    /// Of a customer's account.
    pub(crate) secret: Option<Box<Secret>>,
}

/// Leads to an account. The hash lies beside the number, so that a growing index need not look at every account.
#[derive(Debug, Clone, Copy)]
struct Indexed {
    hash: u64,
    number: u32,
}

/// All accounts, holds and settings of a bank.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) accounts: Vec<Account>,
    pub(crate) facts: Vec<Facts>,
    /// Days of the customers' last debits, by number of the account, as far as there are any.
    pub(crate) days: Vec<Day>,
    index: HashTable<Indexed>,
    hasher: FixedState,
    /// Numbers of the bank's own accounts, few.
    pub(crate) internals: Vec<u32>,
    pub(crate) holds: BTreeMap<TransferId, Hold>,
    /// What is known of each placer, few.
    pub(crate) fences: BTreeMap<Placer, Fence>,
    pub(crate) settings: Settings,
    pub(crate) time_ms: u64,
    /// Where the last totals of a checkpoint went; unused otherwise.
    pub(crate) restored: usize,
    /// By ISO number.
    pub(crate) pledged: Vec<u128>,
    #[cfg(feature = "controls")]
    pub(crate) control: Option<crate::ledger::Control>,
}

impl State {
    pub(crate) fn new(hash_seed: u64) -> State {
        State {
            accounts: Vec::new(),
            facts: Vec::new(),
            days: Vec::new(),
            index: HashTable::new(),
            hasher: FixedState::with_seed(hash_seed),
            internals: Vec::new(),
            holds: BTreeMap::new(),
            fences: BTreeMap::new(),
            settings: Settings::default(),
            time_ms: 0,
            restored: 0,
            pledged: vec![0; 1000],
            #[cfg(feature = "controls")]
            control: None,
        }
    }

    /// Where the account stands in the vectors: its number.
    pub(crate) fn seat(&self, id: AccountId) -> Option<usize> {
        let hash = self.hasher.hash_one(id);
        let found = self.index.find(hash, |of| of.hash == hash && self.accounts[of.number as usize].id == id);
        found.map(|of| of.number as usize)
    }

    /// As [`State::seat`], but looks behind `last` first: who comes in the order of ids, and has ids that were made in the
    /// order of opening, needs no index.
    pub(crate) fn seat_near(&self, last: usize, id: AccountId) -> Option<usize> {
        let near = last..self.accounts.len().min(last + 8);
        near.into_iter().find(|seat| self.accounts[*seat].id == id).or_else(|| self.seat(id))
    }

    pub(crate) fn open(&mut self, opening: &Opening) -> Account {
        let number = u32::try_from(self.accounts.len()).expect("the rules bound the number of accounts");
        let hash = self.hasher.hash_one(opening.account);
        self.index.insert_unique(hash, Indexed { hash, number }, |of| of.hash);
        self.seat_new(opening, number)
    }

    /// As [`State::open`], unless an account of that id is there: one look at the index for both.
    pub(crate) fn open_if_new(&mut self, opening: &Opening) -> bool {
        let hash = self.hasher.hash_one(opening.account);
        let is_same = |of: &Indexed| of.hash == hash && self.accounts[of.number as usize].id == opening.account;
        let hashbrown::hash_table::Entry::Vacant(vacant) = self.index.entry(hash, is_same, |of| of.hash) else {
            return false;
        };
        let number = u32::try_from(self.accounts.len()).expect("the rules bound the number of accounts");
        vacant.insert(Indexed { hash, number });
        self.seat_new(opening, number);
        true
    }

    fn seat_new(&mut self, opening: &Opening, number: u32) -> Account {
        assert_eq!(opening.number, u64::from(number), "accounts are numbered in order");
        let account = Account::new(opening.account, number, opening.currency);
        self.accounts.push(account);
        self.facts.push(Facts {
            owner: opening.owner.as_str().into(),
            opened_ms: opening.time_ms,
            opened_place: opening.place,
            closed_ms: None,
            secret: None,
        });
        if opening.account.internal().is_some() {
            self.internals.push(number);
        }
        account
    }

    fn unopen(&mut self) {
        let account = self.accounts.pop().expect("only an opened account is taken back");
        self.facts.pop();
        let number = u32::try_from(self.accounts.len()).expect("it was one before");
        if account.is_internal() {
            self.internals.pop();
        }
        let entry = self.index.find_entry(self.hasher.hash_one(account.id), |of| of.number == number);
        entry.expect("every account is in the index").remove();
    }

    pub(crate) fn opening(&self, id: AccountId) -> Option<Opening> {
        let seat = self.seat(id)?;
        let facts = &self.facts[seat];
        Some(Opening {
            account: id,
            owner: Owner::stored(&facts.owner).expect("it was an owner when the account was opened"),
            currency: self.accounts[seat].currency,
            number: seat as u64,
            time_ms: facts.opened_ms,
            place: facts.opened_place,
        })
    }

    pub(crate) fn close(&mut self, seat: usize, time_ms: u64) {
        self.accounts[seat].standing = Standing::Closed;
        self.facts[seat].closed_ms = Some(time_ms);
    }

    /// An account with a secret is a customer's.
    pub(crate) fn set_secret(&mut self, seat: usize, secret: &Secret) {
        self.accounts[seat].customer.get_or_insert(Lock::Unlocked);
        self.facts[seat].secret = Some(Box::new(*secret));
    }

    pub(crate) fn day(&self, seat: usize) -> Day {
        self.days.get(seat).copied().unwrap_or_default()
    }

    pub(crate) fn set_day(&mut self, seat: usize, day: Day) {
        if self.days.len() <= seat {
            self.days.resize(seat + 1, Day::default());
        }
        self.days[seat] = day;
    }
}

/// The state together with the journal of one request.
pub(crate) struct MemoryBooks<'a, J: JournalPort + ?Sized> {
    state: &'a mut State,
    journal: &'a mut J,
    linked: Option<Linked>,
}

/// What a linked request has done so far and how to take it back.
#[derive(Default)]
struct Linked {
    undo: Vec<Undo>,
    records: Vec<(Option<RecordKey>, RecordBytes)>,
    /// Position in `records` by key; lookups only.
    by_key: HashMap<RecordKey, usize, FixedState>,
}

/// One step back.
enum Undo {
    Open,
    Account { seat: usize, before: Account, closed_ms: Option<u64> },
    Secret { seat: usize, before: Option<Box<Secret>> },
    Day { seat: usize, before: Day },
    HoldPut(TransferId),
    HoldEnded(Hold),
    Fence { placer: Placer, before: Option<Fence> },
    Setting,
    Pledged { currency: Currency, before: u128 },
    Time(u64),
}

impl<'a, J: JournalPort + ?Sized> MemoryBooks<'a, J> {
    pub(crate) fn new(state: &'a mut State, journal: &'a mut J) -> MemoryBooks<'a, J> {
        MemoryBooks { state, journal, linked: None }
    }

    fn remember(&mut self, step: Undo) {
        if let Some(linked) = &mut self.linked {
            linked.undo.push(step);
        }
    }

    fn remember_account(&mut self, seat: usize) {
        if self.linked.is_some() {
            let (before, closed_ms) = (self.state.accounts[seat], self.state.facts[seat].closed_ms);
            self.remember(Undo::Account { seat, before, closed_ms });
        }
    }

    fn take_back(&mut self, step: Undo) {
        match step {
            Undo::Open => self.state.unopen(),
            Undo::Account { seat, before, closed_ms } => {
                self.state.accounts[seat] = before;
                self.state.facts[seat].closed_ms = closed_ms;
            }
            Undo::Secret { seat, before } => self.state.facts[seat].secret = before,
            Undo::Day { seat, before } => self.state.set_day(seat, before),
            Undo::HoldPut(id) => drop(self.state.holds.remove(&id)),
            Undo::HoldEnded(hold) => drop(self.state.holds.insert(hold.movement.id, hold)),
            Undo::Fence { placer, before: Some(before) } => drop(self.state.fences.insert(placer, before)),
            Undo::Fence { placer, before: None } => drop(self.state.fences.remove(&placer)),
            Undo::Setting => self.state.settings.pop(),
            Undo::Pledged { currency, before } => self.state.pledged[usize::from(currency.number())] = before,
            Undo::Time(before) => self.state.time_ms = before,
        }
    }

    #[cfg(feature = "controls")]
    fn drops(&self, record: &Record) -> bool {
        self.state.control == Some(crate::ledger::Control::RejectionsNotJournaled) && record.body.is_rejection()
    }

    #[cfg(not(feature = "controls"))]
    fn drops(&self, _: &Record) -> bool {
        false
    }
}

impl<J: JournalPort + ?Sized> Books for MemoryBooks<'_, J> {
    /// Looks every account up once, for nothing but to have it in the cache: these loads do not wait for each other, those
    /// of the rules would.
    fn gather(&mut self, commands: &[Command]) {
        let account = |id: AccountId| self.state.seat(id).map(|seat| &self.state.accounts[seat]);
        let balances = |account: &Account| account.balances.held_credits;
        let day = |account: &Account| account.customer.map_or(0, |_| self.state.day(account.number as usize).base());
        for command in commands {
            if let Command::Transfer { debit, credit, .. } | Command::PlaceHold { debit, credit, .. } = command {
                let debit = account(*debit).map_or(0, |debit| balances(debit) ^ day(debit));
                let credit = account(*credit).map_or(0, balances);
                std::hint::black_box(debit ^ credit);
            }
        }
    }

    fn time_ms(&self) -> u64 {
        self.state.time_ms
    }

    fn account(&self, id: AccountId) -> Option<Account> {
        Some(self.state.accounts[self.state.seat(id)?])
    }

    fn opening(&self, id: AccountId) -> Option<Opening> {
        self.state.opening(id)
    }

    fn account_count(&self) -> u64 {
        self.state.accounts.len() as u64
    }

    fn room_for_accounts(&self) -> u64 {
        u64::from(u32::MAX) - self.account_count()
    }

    fn open_account(&mut self, opening: &Opening) -> Account {
        self.remember(Undo::Open);
        self.state.open(opening)
    }

    fn put_account(&mut self, account: &Account) {
        let seat = account.number as usize;
        assert_eq!(self.state.accounts[seat].id, account.id, "an account is written back where it was read");
        self.remember_account(seat);
        self.state.accounts[seat] = *account;
    }

    fn close_account(&mut self, id: AccountId, time_ms: u64) {
        let seat = self.state.seat(id).expect("only an account that was read is closed");
        self.remember_account(seat);
        self.state.close(seat, time_ms);
    }

    fn set_secret(&mut self, id: AccountId, secret: &Secret) {
        let seat = self.state.seat(id).expect("only an account that was read is a customer's");
        self.remember_account(seat);
        if self.linked.is_some() {
            let before = self.state.facts[seat].secret.clone();
            self.remember(Undo::Secret { seat, before });
        }
        self.state.set_secret(seat, secret);
    }

    fn set_lock(&mut self, id: AccountId, lock: Lock) {
        let seat = self.state.seat(id).expect("only an account that was read is locked");
        assert!(self.state.accounts[seat].customer.is_some(), "only a customer's account is locked");
        self.remember_account(seat);
        self.state.accounts[seat].customer = Some(lock);
    }

    fn day(&self, account: &Account) -> Day {
        self.state.day(account.number as usize)
    }

    fn begin_day(&mut self, account: &Account, day: Day) {
        assert!(account.customer.is_some(), "only customers' days are counted");
        let seat = account.number as usize;
        self.remember(Undo::Day { seat, before: self.state.day(seat) });
        self.state.set_day(seat, day);
    }

    fn hold(&self, id: TransferId) -> Option<Hold> {
        self.state.holds.get(&id).copied()
    }

    fn put_hold(&mut self, hold: &Hold) {
        let before = self.state.holds.insert(hold.movement.id, *hold);
        assert!(before.is_none(), "one id places one hold");
        self.remember(Undo::HoldPut(hold.movement.id));
    }

    fn end_hold(&mut self, id: TransferId) {
        let hold = self.state.holds.remove(&id).expect("only an open hold is ended");
        self.remember(Undo::HoldEnded(hold));
    }

    fn fence(&self, placer: Placer) -> Fence {
        self.state.fences.get(&placer).copied().unwrap_or_default()
    }

    fn raise_fence(&mut self, placer: Placer, fence: Fence) {
        let before = self.state.fences.insert(placer, fence);
        self.remember(Undo::Fence { placer, before });
    }

    fn settings(&self) -> &Settings {
        &self.state.settings
    }

    fn change_setting(&mut self, entry: SettingEntry) {
        self.state.settings.push(entry);
        self.remember(Undo::Setting);
    }

    fn pledged(&self, currency: Currency) -> u128 {
        self.state.pledged[usize::from(currency.number())]
    }

    fn set_pledged(&mut self, currency: Currency, minor: u128) {
        let before = std::mem::replace(&mut self.state.pledged[usize::from(currency.number())], minor);
        self.remember(Undo::Pledged { currency, before });
    }

    fn find(&self, key: RecordKey) -> Option<Record> {
        let staged = self.linked.as_ref().and_then(|linked| Some(linked.records[*linked.by_key.get(&key)?].1));
        let bytes = staged.or_else(|| self.journal.find(key))?;
        Some(Record::decode(&bytes).expect("the journal returns what the ledger wrote"))
    }

    fn next_place(&self) -> u64 {
        let staged = self.linked.as_ref().map_or(0, |linked| linked.records.len() as u64);
        self.journal.next_place() + staged
    }

    fn write(&mut self, record: &Record) {
        assert!(record.time_ms >= self.state.time_ms, "the ledger's time never goes back");
        if self.drops(record) {
            return;
        }
        let bytes = record.encode();
        let key = record_key(&bytes);
        self.remember(Undo::Time(self.state.time_ms));
        self.state.time_ms = record.time_ms;
        if let Some(linked) = &mut self.linked {
            linked.by_key.extend(key.map(|key| (key, linked.records.len())));
            linked.records.push((key, bytes));
            return;
        }
        let place = self.journal.push(key, &bytes);
        assert_eq!(place, record.place, "a record goes to the place that it names");
    }

    fn begin(&mut self) {
        assert!(self.linked.is_none(), "linked requests do not nest");
        self.linked = Some(Linked::default());
    }

    fn keep(&mut self) {
        let linked = self.linked.take().expect("what is kept was begun");
        for (key, bytes) in linked.records {
            self.journal.push(key, &bytes);
        }
    }

    fn undo(&mut self) {
        let linked = self.linked.take().expect("what is undone was begun");
        for step in linked.undo.into_iter().rev() {
            self.take_back(step);
        }
    }
}
