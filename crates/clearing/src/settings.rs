//! Settings that can change an outcome: entries in the log, so that every node decides alike and a replayed log decides
//! as it did then. A change names the version that it replaces, so a repeated one is found out by that.

use crate::bytes::{Bad, In, Out, Stored};
use crate::charge::Bucket;
use crate::names::BankNumber;
use ledger::{Amount, Currency};
use std::collections::BTreeMap;

/// One change of one setting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SettingChange {
    /// How long a payment waits for its votes: 50 to 60,000 ms.
    VoteTimeout { ms: u64 },
    /// The most that one payment in that currency may move; `None` lifts the limit.
    PaymentLimit { currency: Currency, limit: Option<Amount> },
    /// The most that one bank may owe the other; `None` lifts the cap.
    PairCap { debtor: BankNumber, creditor: BankNumber, currency: Currency, cap: Option<Amount> },
    /// How many payments of one bank may be undecided, or undelivered to it, at once: 1 to 1,000,000.
    OpenPerBank { payments: u64 },
    /// How many payments of one payer may be undecided, or undelivered to the payer's bank, at once: 1 to 1,000,000. So
    /// that one customer does not take the whole bank's room.
    OpenPerCustomer { payments: u64 },
    /// How many live sessions a customer may have: 1 to 64. One more ends the oldest.
    SessionsPerCustomer { sessions: u64 },
    /// How long the node that took a payment is left alone with it: 0 to 600,000 ms.
    TakeOver { after_ms: u64 },
    /// How many payments of one payer may be refused: `burst` at once, 1 to 1,000,000, and `per_minute` for ever, 1 to
    /// 600,000. Each is on record for good.
    RefusedPerCustomer { per_minute: u64, burst: u64 },
    /// How many payments one payer may send to one node: `burst` at once, 1 to 10,000,000, and `per_second` for ever, 1 to
    /// 1,000,000. Held by the nodes, before anything is proposed.
    TakenPerCustomer { per_second: u64, burst: u64 },
    /// How much one bank may have one node look into, its calls and each payment that it tells a restored gateway of:
    /// `burst` at once, 1 to 10,000,000, and `per_second` for ever, 1 to 1,000,000. Held by the nodes, before anything is
    /// proposed.
    AskedPerBank { per_second: u64, burst: u64 },
}

/// A change that was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SettingEntry {
    pub change: SettingChange,
    pub time_ms: u64,
    pub place: u64,
}

/// What is in force, and how it came to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    entries: Vec<SettingEntry>,
    pub vote_timeout_ms: u64,
    pub open_per_bank: u64,
    pub open_per_customer: u64,
    pub sessions_per_customer: u64,
    pub take_over_after_ms: u64,
    pub refused_per_minute: u64,
    pub refused_burst: u64,
    pub taken_per_second: u64,
    pub taken_burst: u64,
    pub asked_per_second: u64,
    pub asked_burst: u64,
    limits: BTreeMap<Currency, Amount>,
    caps: BTreeMap<(BankNumber, BankNumber, Currency), Amount>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            entries: Vec::new(),
            vote_timeout_ms: 2_000,
            open_per_bank: 10_000,
            open_per_customer: 2_000,
            sessions_per_customer: 8,
            take_over_after_ms: 1_000,
            refused_per_minute: 60,
            // As many as may be open: a customer who has had none refused never meets this first.
            refused_burst: 2_000,
            taken_per_second: 5_000,
            taken_burst: 25_000,
            // An honest bank asks next to nothing, until the gateway is restored: then it tells of all payments since the copy.
            asked_per_second: 2_000,
            asked_burst: 200_000,
            limits: BTreeMap::new(),
            caps: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Changes come by hand; ten thousand of them are a mistake, and every node keeps them all.
    pub const ENTRIES_MAX: u64 = 10_000;

    /// The version that the next change must name; 0 before the first.
    pub fn version(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The change that replaced that version.
    pub fn entry(&self, replaced_version: u64) -> Option<&SettingEntry> {
        self.entries.get(usize::try_from(replaced_version).ok()?)
    }

    /// Every change, oldest first.
    pub fn entries(&self) -> &[SettingEntry] {
        &self.entries
    }

    pub fn payment_limit(&self, currency: Currency) -> Option<Amount> {
        self.limits.get(&currency).copied()
    }

    pub fn pair_cap(&self, debtor: BankNumber, creditor: BankNumber, currency: Currency) -> Option<Amount> {
        self.caps.get(&(debtor, creditor, currency)).copied()
    }

    /// Every limit of a payment, by currency.
    pub fn payment_limits(&self) -> impl Iterator<Item = (Currency, Amount)> {
        self.limits.iter().map(|(currency, limit)| (*currency, *limit))
    }

    /// Every cap: debtor, creditor, currency, and the most that may be owed.
    pub fn pair_caps(&self) -> impl Iterator<Item = (BankNumber, BankNumber, Currency, Amount)> {
        self.caps.iter().map(|((debtor, creditor, currency), cap)| (*debtor, *creditor, *currency, *cap))
    }

    /// What a payer may have refused.
    pub(crate) fn refused_bucket(&self) -> Bucket {
        Bucket { token_us: (60_000_000 / self.refused_per_minute).max(1), tokens: self.refused_burst }
    }

    pub(crate) fn push(&mut self, entry: SettingEntry) {
        match entry.change {
            SettingChange::VoteTimeout { ms } => self.vote_timeout_ms = ms,
            SettingChange::OpenPerBank { payments } => self.open_per_bank = payments,
            SettingChange::OpenPerCustomer { payments } => self.open_per_customer = payments,
            SettingChange::SessionsPerCustomer { sessions } => self.sessions_per_customer = sessions,
            SettingChange::TakeOver { after_ms } => self.take_over_after_ms = after_ms,
            SettingChange::RefusedPerCustomer { per_minute, burst } => {
                (self.refused_per_minute, self.refused_burst) = (per_minute, burst);
            }
            SettingChange::TakenPerCustomer { per_second, burst } => {
                (self.taken_per_second, self.taken_burst) = (per_second, burst);
            }
            SettingChange::AskedPerBank { per_second, burst } => {
                (self.asked_per_second, self.asked_burst) = (per_second, burst);
            }
            SettingChange::PaymentLimit { currency, limit } => put_or_lift(&mut self.limits, currency, limit),
            SettingChange::PairCap { debtor, creditor, currency, cap } => {
                put_or_lift(&mut self.caps, (debtor, creditor, currency), cap);
            }
        }
        self.entries.push(entry);
    }
}

fn put_or_lift<K: Ord>(of: &mut BTreeMap<K, Amount>, key: K, amount: Option<Amount>) {
    match amount {
        Some(amount) => drop(of.insert(key, amount)),
        None => drop(of.remove(&key)),
    }
}

impl SettingChange {
    pub(crate) fn is_in_range(&self) -> bool {
        match *self {
            SettingChange::VoteTimeout { ms } => (50..=60_000).contains(&ms),
            SettingChange::OpenPerBank { payments } | SettingChange::OpenPerCustomer { payments } => {
                (1..=1_000_000).contains(&payments)
            }
            SettingChange::SessionsPerCustomer { sessions } => (1..=64).contains(&sessions),
            SettingChange::TakeOver { after_ms } => after_ms <= 600_000,
            SettingChange::RefusedPerCustomer { per_minute, burst } => {
                (1..=600_000).contains(&per_minute) && (1..=1_000_000).contains(&burst)
            }
            SettingChange::TakenPerCustomer { per_second, burst }
            | SettingChange::AskedPerBank { per_second, burst } => {
                (1..=1_000_000).contains(&per_second) && (1..=10_000_000).contains(&burst)
            }
            SettingChange::PaymentLimit { .. } => true,
            SettingChange::PairCap { debtor, creditor, .. } => debtor != creditor,
        }
    }
}

impl Stored for SettingChange {
    fn put(&self, out: &mut Out) {
        match self {
            SettingChange::VoteTimeout { ms } => {
                out.u8(1);
                out.u64(*ms);
            }
            SettingChange::PaymentLimit { currency, limit } => {
                out.u8(2);
                out.value(currency);
                out.value(limit);
            }
            SettingChange::PairCap { debtor, creditor, currency, cap } => {
                out.u8(3);
                out.value(debtor);
                out.value(creditor);
                out.value(currency);
                out.value(cap);
            }
            SettingChange::OpenPerBank { payments } => {
                out.u8(4);
                out.u64(*payments);
            }
            SettingChange::SessionsPerCustomer { sessions } => {
                out.u8(5);
                out.u64(*sessions);
            }
            SettingChange::TakeOver { after_ms } => {
                out.u8(6);
                out.u64(*after_ms);
            }
            SettingChange::OpenPerCustomer { payments } => {
                out.u8(7);
                out.u64(*payments);
            }
            SettingChange::RefusedPerCustomer { per_minute, burst } => {
                out.u8(8);
                out.u64(*per_minute);
                out.u64(*burst);
            }
            SettingChange::TakenPerCustomer { per_second, burst } => {
                out.u8(9);
                out.u64(*per_second);
                out.u64(*burst);
            }
            SettingChange::AskedPerBank { per_second, burst } => {
                out.u8(10);
                out.u64(*per_second);
                out.u64(*burst);
            }
        }
    }

    fn take(from: &mut In<'_>) -> Result<SettingChange, Bad> {
        Ok(match from.u8("setting")? {
            1 => SettingChange::VoteTimeout { ms: from.u64("setting")? },
            2 => SettingChange::PaymentLimit { currency: from.value()?, limit: from.value()? },
            3 => SettingChange::PairCap {
                debtor: from.value()?,
                creditor: from.value()?,
                currency: from.value()?,
                cap: from.value()?,
            },
            4 => SettingChange::OpenPerBank { payments: from.u64("setting")? },
            5 => SettingChange::SessionsPerCustomer { sessions: from.u64("setting")? },
            6 => SettingChange::TakeOver { after_ms: from.u64("setting")? },
            7 => SettingChange::OpenPerCustomer { payments: from.u64("setting")? },
            8 => SettingChange::RefusedPerCustomer { per_minute: from.u64("setting")?, burst: from.u64("setting")? },
            9 => SettingChange::TakenPerCustomer { per_second: from.u64("setting")?, burst: from.u64("setting")? },
            10 => SettingChange::AskedPerBank { per_second: from.u64("setting")?, burst: from.u64("setting")? },
            _ => return Err(Bad { field: "setting" }),
        })
    }
}
