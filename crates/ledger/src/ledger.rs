//! The ledger: the books of one bank in memory, and the questions that can be asked of them.
//!
//! Told the same requests in the same order, two ledgers are equal, whatever their hash seeds.

use std::ops::Bound;

use crate::account::{Account, Balances, Place, Standing};
use crate::command::{Command, Request};
use crate::currency::Currency;
use crate::customer::{Customer, Lock};
use crate::customer_name::CustomerName;
use crate::fence::Fence;
use crate::hold::Hold;
use crate::ids::{AccountId, Internal, Placer, TransferId};
use crate::journal::JournalPort;
use crate::key::RecordKey;
use crate::memory::{MemoryBooks, State};
use crate::outcome::Answer;
use crate::request::Malformed;
use crate::rules::{self, Context};
use crate::settings::Settings;

/// The books of a bank.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(crate) state: State,
}

/// A rule that the simulator may turn off, to see that its loss is found out.
#[cfg(feature = "controls")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    /// Rejections are answered but leave no record, so a retry may succeed: one id, two outcomes.
    RejectionsNotJournaled,
}

/// An account as a reader sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccountView<'a> {
    pub id: AccountId,
    /// Accounts are numbered from 0 in the order of their opening.
    pub number: u64,
    pub owner: &'a str,
    pub currency: Currency,
    pub balances: Balances,
    pub opened_ms: u64,
    pub closed_ms: Option<u64>,
    /// What it is for, if it is one of the bank's own.
    pub internal: Option<Internal>,
    /// Of a customer's account, whether it may be debited; the owner is the customer's name then.
    pub customer: Option<Lock>,
    /// Place of the newest record of its statement.
    pub last_place: Option<u64>,
}

/// The sums over all accounts of a currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Totals {
    pub currency: Currency,
    /// Number of accounts, the bank's own included.
    pub accounts: u64,
    /// Sums of all four totals.
    pub sums: Balances,
    /// What the bank's customers own together.
    pub customers: i128,
}

impl Ledger {
    /// Empty books. The seed only spreads the hash index; it shows nowhere.
    pub fn new(hash_seed: u64) -> Ledger {
        Ledger { state: State::new(hash_seed) }
    }

    #[cfg(feature = "controls")]
    pub fn set_control(&mut self, control: Option<Control>) {
        self.state.control = control;
    }

    /// Control: a balance in memory is another one from now on. False if there is no such account.
    #[cfg(feature = "controls")]
    pub fn flip_balance(&mut self, account: AccountId) -> bool {
        let Some(seat) = self.state.seat(account) else { return false };
        self.state.accounts[seat].balances.posted_credits ^= 1;
        true
    }

    /// Names the keys whose records must be at hand when the request is applied. Repetitions are possible.
    pub fn keys(request: &[u8], mut name: impl FnMut(RecordKey)) -> Result<(), Malformed> {
        for command in &Request::decode(request)?.commands {
            Ledger::keys_of(command, &mut name);
        }
        Ok(())
    }

    fn keys_of(command: &Command, name: &mut impl FnMut(RecordKey)) {
        match command {
            Command::Transfer { id, .. }
            | Command::CloseAccount { id, .. }
            | Command::SetSecret { id, .. }
            | Command::LockCustomer { id, .. } => name(RecordKey::outcome(*id)),
            // The answer tells what became of the hold, so its end is looked up too.
            Command::PlaceHold { id, .. }
            | Command::PostHold { id, .. }
            | Command::VoidHold { id, .. }
            | Command::VoidTransfer { id }
            | Command::EndOrder { id, .. }
            | Command::Replay { id, .. } => {
                name(RecordKey::outcome(*id));
                name(RecordKey::hold_end(*id));
            }
            Command::NoteHold { id, .. } => name(RecordKey::hold_note(*id)),
            Command::ClaimKey { key, .. } => name(RecordKey::idempotency(*key)),
            Command::Fence { .. }
            | Command::OpenAccount { .. }
            | Command::ChangeSetting { .. }
            | Command::AddCustomer { .. } => {}
        }
    }

    /// Carries out an encoded request. Bytes that are no request change nothing.
    pub fn apply<J: JournalPort + ?Sized>(
        &mut self,
        context: Context,
        request: &[u8],
        journal: &mut J,
    ) -> Result<Vec<Answer>, Malformed> {
        Ok(self.apply_request(context, &Request::decode(request)?, journal))
    }

    /// Carries out a request: one answer for each command, in order.
    pub fn apply_request<J: JournalPort + ?Sized>(
        &mut self,
        context: Context,
        request: &Request,
        journal: &mut J,
    ) -> Vec<Answer> {
        rules::apply(&mut MemoryBooks::new(&mut self.state, journal), context, request)
    }

    /// Time of the newest record, milliseconds since 1970 UTC.
    pub fn time_ms(&self) -> u64 {
        self.state.time_ms
    }

    pub fn account(&self, id: AccountId) -> Option<AccountView<'_>> {
        Some(self.view(self.state.seat(id)?))
    }

    /// The customer of that name.
    #[expect(clippy::expect_used, reason = "a restore ends only with a secret for every customer")]
    pub fn customer(&self, name: &CustomerName) -> Option<Customer> {
        let account = AccountId::of_customer(name);
        let seat = self.state.seat(account)?;
        let locked = self.state.accounts[seat].customer? == Lock::Locked;
        let secret = *self.state.facts[seat].secret.as_deref().expect("every customer has a secret");
        Some(Customer { account, secret, locked })
    }

    pub fn account_count(&self) -> u64 {
        self.state.accounts.len() as u64
    }

    /// How many of the accounts are the bank's own.
    pub fn internal_count(&self) -> u64 {
        self.state.internals.len() as u64
    }

    /// Accounts in the order of their opening, from that number on.
    pub fn accounts(&self, from: u64) -> impl DoubleEndedIterator<Item = AccountView<'_>> + ExactSizeIterator {
        let count = self.state.accounts.len();
        let from = usize::try_from(from).unwrap_or(count).min(count);
        (from..count).map(|seat| self.view(seat))
    }

    pub fn hold(&self, id: TransferId) -> Option<&Hold> {
        self.state.holds.get(&id)
    }

    /// Open holds by id, after that one.
    pub fn holds(&self, after: Option<TransferId>) -> impl Iterator<Item = &Hold> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.state.holds.range((from, Bound::Unbounded)).map(|(_, hold)| hold)
    }

    pub fn hold_count(&self) -> u64 {
        self.state.holds.len() as u64
    }

    /// What is known of a placer; zeros of one never heard.
    pub fn fence(&self, placer: Placer) -> Fence {
        self.state.fences.get(&placer).copied().unwrap_or_default()
    }

    /// What is known of all placers.
    pub fn fences(&self) -> impl Iterator<Item = (Placer, Fence)> + '_ {
        self.state.fences.iter().map(|(placer, fence)| (*placer, *fence))
    }

    pub fn settings(&self) -> &Settings {
        &self.state.settings
    }

    /// What the customers own together, by currency: all that the bank's own accounts lack. Quick, whatever the number of
    /// accounts.
    pub fn money_held(&self) -> Vec<(Currency, i128)> {
        let mut held = std::collections::BTreeMap::new();
        for number in &self.state.internals {
            let account = &self.state.accounts[*number as usize];
            *held.entry(account.currency).or_insert(0) -= account.balances.balance();
        }
        held.into_iter().collect()
    }

    /// The sums over all accounts, by currency. Looks at every account.
    pub fn totals(&self) -> Vec<Totals> {
        let mut totals = std::collections::BTreeMap::new();
        for account in &self.state.accounts {
            let empty = Totals { currency: account.currency, accounts: 0, sums: Balances::default(), customers: 0 };
            add_up(totals.entry(account.currency).or_insert(empty), account);
        }
        totals.into_values().collect()
    }

    /// A digest of accounts, holds, settings and time: equal in every node that applied the same slots.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        crate::checkpoint::entries(self, &mut |key, value| {
            hasher.update(&(key.len() as u64).to_le_bytes());
            hasher.update(key);
            hasher.update(&(value.len() as u64).to_le_bytes());
            hasher.update(value);
        });
        *hasher.finalize().as_bytes()
    }

    fn view(&self, seat: usize) -> AccountView<'_> {
        let (account, facts) = (&self.state.accounts[seat], &self.state.facts[seat]);
        AccountView {
            id: account.id,
            number: seat as u64,
            owner: &facts.owner,
            currency: account.currency,
            balances: account.balances,
            opened_ms: facts.opened_ms,
            closed_ms: facts.closed_ms,
            internal: account.id.internal().map(|(kind, _)| kind),
            customer: account.customer,
            last_place: account.last_place.map(Place::get),
        }
    }
}

impl AccountView<'_> {
    pub fn standing(&self) -> Standing {
        if self.closed_ms.is_some() { Standing::Closed } else { Standing::Open }
    }
}

#[expect(clippy::expect_used, reason = "the rules bound the sums of a currency")]
fn add_up(totals: &mut Totals, account: &Account) {
    let add = |sum: &mut u128, total: u128| {
        *sum = sum.checked_add(total).expect("the rules bound the sums of a currency");
    };
    totals.accounts += 1;
    add(&mut totals.sums.posted_debits, account.balances.posted_debits);
    add(&mut totals.sums.posted_credits, account.balances.posted_credits);
    add(&mut totals.sums.held_debits, account.balances.held_debits);
    add(&mut totals.sums.held_credits, account.balances.held_credits);
    if !account.is_internal() {
        totals.customers += account.balances.balance();
    }
}
