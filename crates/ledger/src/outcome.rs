//! What becomes of a command: one id, one outcome, forever.
//!
//! A rejection is an outcome like any other: business data, decided the same on every node, stored under its id, and
//! answered again to whoever repeats the command. Its numbers are in journals: keep them stable.

use crate::account::BalancesAfter;
use crate::currency::Currency;
use crate::fence::Fence;
use crate::hold::HoldState;
use crate::ids::AccountId;
use crate::money::Amount;

/// The answer to one command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    pub outcome: Outcome,
    /// The command had its outcome before; this is that first answer again (a hold's present state apart).
    pub replay: bool,
    /// Place in the journal of the record that holds the outcome; for [`Rejected::IdReused`] of the id's first one.
    pub place: u64,
}

/// What became of a command. `time_ms` is the ledger's time then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Opened {
        time_ms: u64,
        number: u64,
    },
    Closed {
        time_ms: u64,
    },
    Posted {
        time_ms: u64,
        debit: BalancesAfter,
        credit: BalancesAfter,
    },
    /// The hold was placed; `now` is what has become of it by the time of this answer.
    Held {
        time_ms: u64,
        now: HoldState,
        debit: BalancesAfter,
        credit: BalancesAfter,
    },
    HoldPosted {
        time_ms: u64,
        debit: BalancesAfter,
        credit: BalancesAfter,
    },
    HoldVoided {
        time_ms: u64,
        debit: BalancesAfter,
        credit: BalancesAfter,
    },
    /// The id had no outcome and now never moves money: a tombstone.
    Voided {
        time_ms: u64,
    },
    SettingChanged {
        time_ms: u64,
        version: u64,
    },
    SecretChanged {
        time_ms: u64,
    },
    LockChanged {
        time_ms: u64,
        locked: bool,
    },
    Noted {
        time_ms: u64,
    },
    /// What the books know of the placer from now on.
    Fenced {
        time_ms: u64,
        fence: Fence,
    },
    /// What an idempotency key stands for: the request's ids are made of that base.
    KeyClaimed {
        time_ms: u64,
        base: u128,
    },
    Rejected {
        time_ms: u64,
        rejection: Rejected,
    },
}

impl Outcome {
    pub fn rejection(&self) -> Option<&Rejected> {
        match self {
            Outcome::Rejected { rejection, .. } => Some(rejection),
            Outcome::Opened { .. }
            | Outcome::Closed { .. }
            | Outcome::Posted { .. }
            | Outcome::Held { .. }
            | Outcome::HoldPosted { .. }
            | Outcome::HoldVoided { .. }
            | Outcome::Voided { .. }
            | Outcome::SettingChanged { .. }
            | Outcome::SecretChanged { .. }
            | Outcome::LockChanged { .. }
            | Outcome::Noted { .. }
            | Outcome::Fenced { .. }
            | Outcome::KeyClaimed { .. } => None,
        }
    }

    /// The ledger's time at which it was decided.
    pub fn time_ms(&self) -> u64 {
        match *self {
            Outcome::Opened { time_ms, .. }
            | Outcome::Closed { time_ms }
            | Outcome::Posted { time_ms, .. }
            | Outcome::Held { time_ms, .. }
            | Outcome::HoldPosted { time_ms, .. }
            | Outcome::HoldVoided { time_ms, .. }
            | Outcome::Voided { time_ms }
            | Outcome::SettingChanged { time_ms, .. }
            | Outcome::SecretChanged { time_ms }
            | Outcome::LockChanged { time_ms, .. }
            | Outcome::Noted { time_ms }
            | Outcome::Fenced { time_ms, .. }
            | Outcome::KeyClaimed { time_ms, .. }
            | Outcome::Rejected { time_ms, .. } => time_ms,
        }
    }
}

/// Why the books refuse a command, with the data that explains it. Amounts are minor units of the command's currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Rejected {
    #[error("both sides are the same account")]
    SameAccount,
    #[error("the account to debit, {account}, does not exist")]
    UnknownDebitAccount { account: AccountId },
    #[error("the account to credit, {account}, does not exist")]
    UnknownCreditAccount { account: AccountId },
    #[error("account {account} is kept in {kept_in}")]
    CurrencyMismatch { account: AccountId, kept_in: Currency },
    #[error("account {account} is closed")]
    AccountClosed { account: AccountId },
    #[error("more than the limit of one transfer")]
    LimitExceeded { limit: Amount, asked: Amount },
    #[error("not enough money")]
    InsufficientFunds { available: u128, needed: Amount },
    #[error("the totals of account {account} would pass the largest that can be kept")]
    BalanceOverflow { account: AccountId },
    #[error("the books hold as much as they can")]
    BooksFull,
    #[error("the id was voided before this command came")]
    Voided,
    #[error("the id was used before, for something else")]
    IdReused,
    #[error("item {index} of the linked request failed, so none was done")]
    LinkedFailed { index: u32 },
    #[error("there is no hold of that id")]
    HoldNotFound,
    #[error("the hold was placed by somebody else")]
    NotYourHold,
    #[error("the hold was posted before")]
    HoldAlreadyPosted,
    #[error("the hold was voided before")]
    HoldAlreadyVoided,
    #[error("account {account} does not exist")]
    UnknownAccount { account: AccountId },
    #[error("the account has money on hold")]
    AccountHasHolds,
    #[error("the account still has a balance")]
    AccountNotEmpty { balance: u128 },
    #[error("{account} is one of the bank's own accounts")]
    InternalAccount { account: AccountId },
    #[error("the settings are at version {actual}, not {expected}")]
    VersionMismatch { expected: u64, actual: u64 },
    #[error("there is a customer of that name, with an account kept in {kept_in}")]
    CustomerExists { kept_in: Currency },
    #[error("the account that would be the customer's, {account}, was opened for something else")]
    AccountExists { account: AccountId },
    #[error("there is no customer of that name")]
    UnknownCustomer,
    #[error("the customer of account {account} is locked")]
    CustomerLocked { account: AccountId },
    #[error("more than the limit of one customer's debits in one day")]
    DailyLimitExceeded { limit: Amount, spent: u128 },
    #[error("a newer incarnation of who asks was heard: {known}")]
    StaleFence { known: u32 },
    #[error("the idempotency key was used before, for another request")]
    KeyReused,
    #[error("{account} is an id that only a customer's account can have")]
    ReservedAccount { account: AccountId },
    #[error("payment number {number} is none that these books lost when they were restored")]
    NotLost { number: u64 },
}

/// A rejection in the journal: its number and up to two values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StoredRejection {
    pub(crate) code: u16,
    pub(crate) first: u128,
    pub(crate) second: u128,
}

impl Rejected {
    /// The stable number of this rejection.
    pub fn code(&self) -> u16 {
        self.to_stored().code
    }

    /// What a rejection of that stable number says, without its data; `None` for a number that no rejection has.
    pub fn words_of(code: u16) -> Option<&'static str> {
        Some(match code {
            1 => "both sides are the same account",
            2 => "the account to debit does not exist",
            3 => "the account to credit does not exist",
            4 => "an account is kept in another currency",
            5 => "an account is closed",
            6 => "more than the limit of one transfer",
            7 => "not enough money",
            8 => "the totals of an account would pass the largest that can be kept",
            9 => "the books hold as much as they can",
            10 => "the id was voided before",
            11 => "the id was used before, for something else",
            12 => "another item of the same request failed, so none was done",
            13 => "there is no hold of that id",
            14 => "the hold was placed by somebody else",
            15 => "the hold was posted before",
            16 => "the hold was voided before",
            17 => "the account does not exist",
            18 => "the account has money on hold",
            19 => "the account still has a balance",
            20 => "the account is one of the bank's own",
            21 => "the settings have changed meanwhile",
            22 => "there is a customer of that name, with an account in another currency",
            23 => "the account that would be the customer's was opened for something else",
            24 => "there is no customer of that name",
            25 => "the customer is locked",
            26 => "more than the customer may spend in one day",
            27 => "a newer incarnation of who asks was heard",
            28 => "the idempotency key was used before, for another request",
            29 => "only a customer's account can have that id",
            30 => "the payment is none that the bank lost when it was restored",
            _ => return None,
        })
    }

    pub(crate) fn to_stored(self) -> StoredRejection {
        let (code, first, second) = match self {
            Rejected::SameAccount => (1, 0, 0),
            Rejected::UnknownDebitAccount { account } => (2, account.get(), 0),
            Rejected::UnknownCreditAccount { account } => (3, account.get(), 0),
            Rejected::CurrencyMismatch { account, kept_in } => (4, account.get(), u128::from(kept_in.number())),
            Rejected::AccountClosed { account } => (5, account.get(), 0),
            Rejected::LimitExceeded { limit, asked } => (6, limit.minor(), asked.minor()),
            Rejected::InsufficientFunds { available, needed } => (7, available, needed.minor()),
            Rejected::BalanceOverflow { account } => (8, account.get(), 0),
            Rejected::BooksFull => (9, 0, 0),
            Rejected::Voided => (10, 0, 0),
            Rejected::IdReused => (11, 0, 0),
            Rejected::LinkedFailed { index } => (12, u128::from(index), 0),
            Rejected::HoldNotFound => (13, 0, 0),
            Rejected::NotYourHold => (14, 0, 0),
            Rejected::HoldAlreadyPosted => (15, 0, 0),
            Rejected::HoldAlreadyVoided => (16, 0, 0),
            Rejected::UnknownAccount { account } => (17, account.get(), 0),
            Rejected::AccountHasHolds => (18, 0, 0),
            Rejected::AccountNotEmpty { balance } => (19, balance, 0),
            Rejected::InternalAccount { account } => (20, account.get(), 0),
            Rejected::VersionMismatch { expected, actual } => (21, u128::from(expected), u128::from(actual)),
            Rejected::CustomerExists { kept_in } => (22, u128::from(kept_in.number()), 0),
            Rejected::AccountExists { account } => (23, account.get(), 0),
            Rejected::UnknownCustomer => (24, 0, 0),
            Rejected::CustomerLocked { account } => (25, account.get(), 0),
            Rejected::DailyLimitExceeded { limit, spent } => (26, limit.minor(), spent),
            Rejected::StaleFence { known } => (27, u128::from(known), 0),
            Rejected::KeyReused => (28, 0, 0),
            Rejected::ReservedAccount { account } => (29, account.get(), 0),
            Rejected::NotLost { number } => (30, u128::from(number), 0),
        };
        StoredRejection { code, first, second }
    }

    /// `None` for a number or values that no rejection has.
    pub(crate) fn from_stored(stored: StoredRejection) -> Option<Rejected> {
        let StoredRejection { code, first, second } = stored;
        let account = || AccountId::new(first);
        let currency = |value: u128| Currency::from_number(u16::try_from(value).ok()?);
        Some(match code {
            1 => Rejected::SameAccount,
            2 => Rejected::UnknownDebitAccount { account: account()? },
            3 => Rejected::UnknownCreditAccount { account: account()? },
            4 => Rejected::CurrencyMismatch { account: account()?, kept_in: currency(second)? },
            5 => Rejected::AccountClosed { account: account()? },
            6 => Rejected::LimitExceeded { limit: Amount::new(first)?, asked: Amount::new(second)? },
            7 => Rejected::InsufficientFunds { available: first, needed: Amount::new(second)? },
            8 => Rejected::BalanceOverflow { account: account()? },
            9 => Rejected::BooksFull,
            10 => Rejected::Voided,
            11 => Rejected::IdReused,
            12 => Rejected::LinkedFailed { index: u32::try_from(first).ok()? },
            13 => Rejected::HoldNotFound,
            14 => Rejected::NotYourHold,
            15 => Rejected::HoldAlreadyPosted,
            16 => Rejected::HoldAlreadyVoided,
            17 => Rejected::UnknownAccount { account: account()? },
            18 => Rejected::AccountHasHolds,
            19 => Rejected::AccountNotEmpty { balance: first },
            20 => Rejected::InternalAccount { account: account()? },
            21 => {
                Rejected::VersionMismatch { expected: u64::try_from(first).ok()?, actual: u64::try_from(second).ok()? }
            }
            22 => Rejected::CustomerExists { kept_in: currency(first)? },
            23 => Rejected::AccountExists { account: account()? },
            24 => Rejected::UnknownCustomer,
            25 => Rejected::CustomerLocked { account: account()? },
            26 => Rejected::DailyLimitExceeded { limit: Amount::new(first)?, spent: second },
            27 => Rejected::StaleFence { known: u32::try_from(first).ok()? },
            28 => Rejected::KeyReused,
            29 => Rejected::ReservedAccount { account: account()? },
            30 => Rejected::NotLost { number: u64::try_from(first).ok()? },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_a_rejection_has_words_and_no_other_has() {
        // The euro's number is an account, an amount and a number of everything else as well.
        let exists = |code| Rejected::from_stored(StoredRejection { code, first: 978, second: 978 }).is_some();
        for code in 0..=u16::MAX {
            assert_eq!(Rejected::words_of(code).is_some(), exists(code), "{code}");
        }
        assert!(exists(30) && !exists(31), "with the next rejection this line is the place to think of its words");
    }
}
