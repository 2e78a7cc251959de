//! What becomes of a command, with stable numbers.
//!
//! An [`Outcome`] is on record and stays: one id, one outcome, forever. A [`Refusal`] leaves no trace and burns no id: who
//! asked may not, asked too early, or came when there was no room. Why a payment moved no money is a [`Reason`].

use crate::bytes::{Bad, In, Out, Stored};
use crate::finding::Word;
use crate::names::{BankNumber, Epoch, SessionId};
use crate::order::{Pair, Side};
use ledger::{Amount, Rejected};

/// The answer to one command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Done {
        outcome: Outcome,
        /// The command had its outcome before; this is it, as far as it has come by now.
        replay: bool,
    },
    Refused(Refusal),
}

impl Answer {
    /// What is known of the payment that was asked about.
    pub fn status(&self) -> Option<Status> {
        match self {
            Answer::Done { outcome: Outcome::Payment(status), .. } => Some(*status),
            Answer::Done { .. } | Answer::Refused(_) => None,
        }
    }
}

/// What became of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    EpochBegan {
        epoch: Epoch,
    },
    BankRegistered {
        number: BankNumber,
        epoch: Epoch,
    },
    BankCaughtUp,
    BankRecalled,
    SessionOpened {
        ended_instead: Option<SessionId>,
    },
    SessionEnded,
    KeyKept,
    KeyRetired,
    SettingChanged {
        version: u64,
    },
    Payment(Status),
    /// The side's acknowledgement is on record, or nothing was owed to it any more.
    Delivered,
    Acknowledged,
    /// There is a seed, this one or the one of before.
    SeedKept,
    /// What an idempotency key stands for: the ids of the request are made of that base.
    KeyClaimed {
        base: u128,
    },
}

/// How far a payment has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It has its id and goes to its end by itself.
    Undecided,
    /// Decided post: it is paid, whatever happens.
    Paid { delivery: Delivery },
    /// Refused at once or decided void: it moves no money, ever.
    Refused { reason: Reason, delivery: Delivery },
}

/// Whether both banks have acknowledged the decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    Pending,
    Done,
}

/// The gateway's durable word on a payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Post,
    Void(Reason),
}

impl Verdict {
    pub fn status(self, delivery: Delivery) -> Status {
        match self {
            Verdict::Post => Status::Paid { delivery },
            Verdict::Void(reason) => Status::Refused { reason, delivery },
        }
    }
}

/// Why a payment moves no money. Amounts are minor units of the payment's currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Reason {
    #[error("not enough money")]
    InsufficientFunds { available: u128 },
    #[error("the payee's bank has no such customer")]
    UnknownPayee,
    #[error("there is no such bank in the network")]
    UnknownBank,
    #[error("a bank did not answer in time")]
    BankUnavailable,
    #[error("the account is kept in another currency")]
    OtherCurrency,
    #[error("payer and payee are the same account")]
    OwnAccount,
    #[error("more than the limit of one payment")]
    LimitExceeded { limit: Amount },
    #[error("the payer's bank owes the payee's bank too much already")]
    CapExceeded { cap: Amount, owed: u128 },
    #[error("the payer's bank does not know the payer")]
    UnknownPayer,
    #[error("an account is closed")]
    AccountClosed,
    #[error("the payer asked for it to be voided")]
    VoidedByPayer,
    #[error("an operator voided it")]
    VoidedByOperator,
    #[error("a bank's books have it voided")]
    VoidedAtBank { side: Side },
    #[error("its banks were asked, and not both had set the money aside")]
    NotHeldAtBoth,
    /// The bank of that side said that it had moved the money before anybody had decided so.
    #[error("a bank says that it moved the money before that was decided")]
    ContradictedByBank { side: Side },
    /// The number of a rejection of the ledger that has no word of its own here.
    #[error("{}", refused_by_bank(*code))]
    BankRefused { code: u16 },
    #[error("more than the payer may spend in one day")]
    DailyLimitExceeded { limit: Amount },
    #[error("the payer's bank has locked the account against debits")]
    PayerLocked,
    /// A bank had not said, since the gateway was restored, whether it had moved the money, and the operator took that risk.
    #[error("an operator voided it, although it may have been paid before the gateway was restored")]
    VoidedAtRisk,
}

/// Why a command is not taken. It leaves no record and burns no id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("no such session")]
    NoSession,
    #[error("the session is over its time")]
    SessionExpired,
    #[error("the session was ended")]
    SessionEnded,
    #[error("the id was used before, for something else")]
    IdReused,
    #[error("the deadline has passed")]
    DeadlinePassed,
    #[error("the bank is being restored")]
    BankRestoring { bank: BankNumber },
    #[error("too many payments of the bank are open")]
    BankBusy { bank: BankNumber },
    #[error("too many payments of the payer are open")]
    PayerBusy,
    #[error("too many of the payer's payments were refused")]
    TooManyRefused { retry_after_ms: u64 },
    #[error("there is no such bank in the network")]
    UnknownBank,
    #[error("the name belongs to another group")]
    NameTaken,
    #[error("a newer incarnation is known")]
    StaleEpoch { known: Epoch },
    #[error("there is no payment of that id")]
    UnknownPayment,
    #[error("neither of the payment's sides is this bank's")]
    NotYours,
    #[error("the payment is within its time")]
    TooEarly { vote_by_ms: u64 },
    #[error("the payment has no decision yet")]
    NotDecided,
    #[error("the settings are at version {actual}")]
    VersionMismatch { actual: u64 },
    #[error("the setting is out of its bounds")]
    OutOfRange,
    #[error("the bank's incarnation is further ahead than a restore makes it: incarnation {} is known", known.get())]
    EpochTooFar { known: Epoch },
    #[error(
        "the idempotency key was used before, for another request; nothing of this one was done, use a new key for it"
    )]
    KeyReused,
    #[error("there is no room for more")]
    Full,
    #[error("it would be over before it began")]
    Expired,
    #[error("the bank owes less than that")]
    MoreThanOwed { owed: u128 },
    /// An operator wants it void, and takes no risk: what each side's bank has said.
    #[error("it may be paid: since the gateway was restored not both of its banks have said what became of it")]
    MayBePaid { said: Pair<Word> },
}

/// In words that a payer understands, also where the bank is of a newer version than this program.
fn refused_by_bank(code: u16) -> String {
    match Rejected::words_of(code) {
        Some(words) => format!("a bank refused it: {words}"),
        None => format!(
            "a bank refused it for a reason that this version of the program does not know (number {code} of the bank's refusals)"
        ),
    }
}

impl Reason {
    /// The stable number of this reason.
    pub fn code(&self) -> u16 {
        match self {
            Reason::InsufficientFunds { .. } => 1,
            Reason::UnknownPayee => 2,
            Reason::UnknownBank => 3,
            Reason::BankUnavailable => 4,
            Reason::OtherCurrency => 5,
            Reason::OwnAccount => 6,
            Reason::LimitExceeded { .. } => 7,
            Reason::CapExceeded { .. } => 8,
            Reason::UnknownPayer => 9,
            Reason::AccountClosed => 10,
            Reason::VoidedByPayer => 11,
            Reason::VoidedByOperator => 12,
            Reason::VoidedAtBank { .. } => 13,
            Reason::NotHeldAtBoth => 14,
            Reason::BankRefused { .. } => 15,
            Reason::DailyLimitExceeded { .. } => 16,
            Reason::PayerLocked => 17,
            Reason::ContradictedByBank { .. } => 18,
            Reason::VoidedAtRisk => 19,
        }
    }
}

impl Refusal {
    /// The stable number of this refusal; none is a reason's.
    pub fn code(&self) -> u16 {
        match self {
            Refusal::NoSession => 101,
            Refusal::SessionExpired => 102,
            Refusal::SessionEnded => 103,
            Refusal::IdReused => 104,
            Refusal::DeadlinePassed => 105,
            Refusal::BankRestoring { .. } => 106,
            Refusal::BankBusy { .. } => 107,
            Refusal::PayerBusy => 120,
            Refusal::TooManyRefused { .. } => 121,
            Refusal::UnknownBank => 108,
            Refusal::NameTaken => 109,
            Refusal::StaleEpoch { .. } => 110,
            Refusal::UnknownPayment => 111,
            Refusal::NotYours => 112,
            Refusal::TooEarly { .. } => 113,
            Refusal::NotDecided => 114,
            Refusal::VersionMismatch { .. } => 115,
            Refusal::OutOfRange => 116,
            Refusal::Full => 117,
            Refusal::Expired => 118,
            Refusal::MoreThanOwed { .. } => 119,
            Refusal::EpochTooFar { .. } => 130,
            Refusal::KeyReused => 131,
            Refusal::MayBePaid { .. } => 132,
        }
    }
}

impl Reason {
    /// Whether it is for the payer to see to that it does not happen again. What banks, operators and time have to answer
    /// for is not.
    pub(crate) fn is_of_payer(&self) -> bool {
        match self {
            Reason::InsufficientFunds { .. }
            | Reason::UnknownPayee
            | Reason::UnknownBank
            | Reason::OtherCurrency
            | Reason::OwnAccount
            | Reason::LimitExceeded { .. }
            | Reason::CapExceeded { .. }
            | Reason::UnknownPayer
            | Reason::AccountClosed
            | Reason::VoidedByPayer
            | Reason::BankRefused { .. }
            | Reason::DailyLimitExceeded { .. }
            | Reason::PayerLocked => true,
            Reason::BankUnavailable
            | Reason::VoidedByOperator
            | Reason::VoidedAtBank { .. }
            | Reason::NotHeldAtBoth
            | Reason::ContradictedByBank { .. }
            | Reason::VoidedAtRisk => false,
        }
    }

    /// What is stored beside the code.
    fn values(&self) -> (u128, u128) {
        match *self {
            Reason::InsufficientFunds { available } => (available, 0),
            Reason::LimitExceeded { limit } | Reason::DailyLimitExceeded { limit } => (limit.minor(), 0),
            Reason::CapExceeded { cap, owed } => (cap.minor(), owed),
            Reason::VoidedAtBank { side } | Reason::ContradictedByBank { side } => match side {
                Side::Debit => (1, 0),
                Side::Credit => (2, 0),
            },
            Reason::BankRefused { code } => (u128::from(code), 0),
            Reason::UnknownPayee
            | Reason::UnknownBank
            | Reason::BankUnavailable
            | Reason::OtherCurrency
            | Reason::OwnAccount
            | Reason::UnknownPayer
            | Reason::AccountClosed
            | Reason::VoidedByPayer
            | Reason::VoidedByOperator
            | Reason::NotHeldAtBoth
            | Reason::PayerLocked
            | Reason::VoidedAtRisk => (0, 0),
        }
    }

    /// The reason of that stable number, as a bank tells it with one value; `None` for what no bank says.
    pub fn told_by_bank(code: u16, value: u128) -> Option<Reason> {
        let reason = Reason::from_stored(code, value, 0)?;
        let is_gateways = matches!(
            reason,
            Reason::UnknownBank
                | Reason::BankUnavailable
                | Reason::CapExceeded { .. }
                | Reason::VoidedByPayer
                | Reason::VoidedByOperator
                | Reason::NotHeldAtBoth
                | Reason::ContradictedByBank { .. }
                | Reason::VoidedAtRisk
        );
        (!is_gateways).then_some(reason)
    }

    /// The stable number and the first value: all that a bank's reason has.
    pub fn for_gateway(&self) -> (u16, u128) {
        (self.code(), self.values().0)
    }

    /// `None` for a code or values that no reason has.
    fn from_stored(code: u16, first: u128, second: u128) -> Option<Reason> {
        let reason = match code {
            1 => Reason::InsufficientFunds { available: first },
            2 => Reason::UnknownPayee,
            3 => Reason::UnknownBank,
            4 => Reason::BankUnavailable,
            5 => Reason::OtherCurrency,
            6 => Reason::OwnAccount,
            7 => Reason::LimitExceeded { limit: Amount::new(first)? },
            8 => Reason::CapExceeded { cap: Amount::new(first)?, owed: second },
            9 => Reason::UnknownPayer,
            10 => Reason::AccountClosed,
            11 => Reason::VoidedByPayer,
            12 => Reason::VoidedByOperator,
            13 if first == 1 => Reason::VoidedAtBank { side: Side::Debit },
            13 => Reason::VoidedAtBank { side: Side::Credit },
            14 => Reason::NotHeldAtBoth,
            15 => Reason::BankRefused { code: u16::try_from(first).ok()? },
            16 => Reason::DailyLimitExceeded { limit: Amount::new(first)? },
            17 => Reason::PayerLocked,
            18 if first == 1 => Reason::ContradictedByBank { side: Side::Debit },
            18 => Reason::ContradictedByBank { side: Side::Credit },
            19 => Reason::VoidedAtRisk,
            _ => return None,
        };
        // What is read is what would be written: no second way to say the same.
        (reason.values() == (first, second)).then_some(reason)
    }
}

/// The code, and two values.
impl Stored for Reason {
    fn put(&self, out: &mut Out) {
        let (first, second) = self.values();
        out.u16(self.code());
        out.u128(first);
        out.u128(second);
    }

    fn take(from: &mut In<'_>) -> Result<Reason, Bad> {
        let (code, first, second) = (from.u16("reason")?, from.u128("reason")?, from.u128("reason")?);
        Reason::from_stored(code, first, second).ok_or(Bad { field: "reason" })
    }
}

impl Stored for Verdict {
    fn put(&self, out: &mut Out) {
        match self {
            Verdict::Post => out.u8(1),
            Verdict::Void(reason) => {
                out.u8(2);
                out.value(reason);
            }
        }
    }

    fn take(from: &mut In<'_>) -> Result<Verdict, Bad> {
        match from.u8("verdict")? {
            1 => Ok(Verdict::Post),
            2 => Ok(Verdict::Void(from.value()?)),
            _ => Err(Bad { field: "verdict" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_number_a_bank_refuses_with_is_said_in_words() {
        for code in 0..=u16::MAX {
            let said = Reason::BankRefused { code }.to_string();
            match Rejected::words_of(code) {
                Some(words) => assert_eq!(said, format!("a bank refused it: {words}")),
                None => assert!(said.contains("does not know") && said.contains(&code.to_string()), "{said}"),
            }
            assert!(!said.contains("with code"), "{said}");
        }
    }
}
