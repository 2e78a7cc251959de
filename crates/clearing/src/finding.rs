//! What a bank says of its side of a payment, in the gateway's words.
//!
//! A bank's answer is taken by the *present* state of the hold, never by what was answered first: "held" is a vote only
//! while it is held. [`Finding::of`] is the one place where that is so.

use crate::bytes::{Bad, In, Out, Stored};
use crate::names::Epoch;
use crate::outcome::Reason;
use ledger::{HoldState, Outcome, Rejected};

/// How a side of a payment stands at its bank.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// Money is set aside: a vote for post.
    Held,
    /// It moved.
    Posted,
    /// It never moves: a hold that was let go, or a tombstone.
    Voided,
    /// The bank refused, and will whenever it is asked again.
    Refused(Reason),
    /// The bank knows nothing of the id. No outcome: a request may be on its way.
    NotFound,
}

/// What a bank has said, since the gateway was restored, of a payment that may be paid. Anything else would have decided it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// It has not answered.
    Silent,
    Held,
    Posted,
    /// It holds nothing, and may have lost it when it was restored.
    NotHeld,
}

impl Word {
    pub(crate) fn of(finding: Option<Finding>) -> Word {
        match finding {
            None => Word::Silent,
            Some(Finding::Held) => Word::Held,
            Some(Finding::Posted) => Word::Posted,
            Some(Finding::Voided | Finding::NotFound | Finding::Refused(_)) => Word::NotHeld,
        }
    }
}

/// A finding and the incarnation of the bank that says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reported {
    pub epoch: Epoch,
    pub finding: Finding,
}

/// What is on record of a bank's word. It counts only while neither side has come to a newer incarnation: a restore on
/// either side may have undone what it speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vote {
    /// The gateway's incarnation that asked.
    pub gateway: Epoch,
    pub reported: Reported,
}

impl Finding {
    /// What a ledger's answer to a hold, a transfer, a post or a void says about the payment.
    pub fn of(outcome: &Outcome) -> Finding {
        match outcome {
            Outcome::Held { now: HoldState::Held, .. } => Finding::Held,
            Outcome::Held { now: HoldState::Posted, .. } | Outcome::Posted { .. } | Outcome::HoldPosted { .. } => {
                Finding::Posted
            }
            Outcome::Held { now: HoldState::Voided, .. } | Outcome::Voided { .. } | Outcome::HoldVoided { .. } => {
                Finding::Voided
            }
            Outcome::Rejected { rejection, .. } => Finding::of_rejection(rejection),
            // Nothing that the gateway calls for is answered so; it says nothing about the payment.
            Outcome::Opened { .. }
            | Outcome::Closed { .. }
            | Outcome::SettingChanged { .. }
            | Outcome::SecretChanged { .. }
            | Outcome::LockChanged { .. }
            | Outcome::Noted { .. }
            | Outcome::Fenced { .. }
            | Outcome::KeyClaimed { .. } => Finding::NotFound,
        }
    }

    /// Control: what was answered first counts, whatever has become of it.
    #[cfg(feature = "controls")]
    pub fn of_first_answer(outcome: &Outcome) -> Finding {
        match outcome {
            Outcome::Held { .. } => Finding::Held,
            other => Finding::of(other),
        }
    }

    fn of_rejection(rejection: &Rejected) -> Finding {
        let reason = match *rejection {
            Rejected::Voided | Rejected::HoldAlreadyVoided => return Finding::Voided,
            Rejected::HoldAlreadyPosted => return Finding::Posted,
            Rejected::HoldNotFound => return Finding::NotFound,
            Rejected::SameAccount => Reason::OwnAccount,
            Rejected::UnknownDebitAccount { .. } => Reason::UnknownPayer,
            Rejected::UnknownCreditAccount { .. } => Reason::UnknownPayee,
            Rejected::CurrencyMismatch { .. } => Reason::OtherCurrency,
            Rejected::AccountClosed { .. } => Reason::AccountClosed,
            Rejected::LimitExceeded { limit, .. } => Reason::LimitExceeded { limit },
            Rejected::DailyLimitExceeded { limit, .. } => Reason::DailyLimitExceeded { limit },
            // Only a debit is refused for it, so it is the payer who is locked.
            Rejected::CustomerLocked { .. } => Reason::PayerLocked,
            Rejected::InsufficientFunds { available, .. } => Reason::InsufficientFunds { available },
            Rejected::BalanceOverflow { .. }
            | Rejected::BooksFull
            | Rejected::IdReused
            | Rejected::LinkedFailed { .. }
            | Rejected::NotYourHold
            | Rejected::UnknownAccount { .. }
            | Rejected::AccountHasHolds
            | Rejected::AccountNotEmpty { .. }
            | Rejected::InternalAccount { .. }
            | Rejected::VersionMismatch { .. }
            | Rejected::CustomerExists { .. }
            | Rejected::AccountExists { .. }
            | Rejected::UnknownCustomer
            | Rejected::KeyReused
            | Rejected::ReservedAccount { .. }
            | Rejected::NotLost { .. }
            | Rejected::StaleFence { .. } => Reason::BankRefused { code: rejection.code() },
        };
        Finding::Refused(reason)
    }
}

impl Stored for Finding {
    fn put(&self, out: &mut Out) {
        match self {
            Finding::Held => out.u8(1),
            Finding::Posted => out.u8(2),
            Finding::Voided => out.u8(3),
            Finding::NotFound => out.u8(4),
            Finding::Refused(reason) => {
                out.u8(5);
                out.value(reason);
            }
        }
    }

    fn take(from: &mut In<'_>) -> Result<Finding, Bad> {
        Ok(match from.u8("finding")? {
            1 => Finding::Held,
            2 => Finding::Posted,
            3 => Finding::Voided,
            4 => Finding::NotFound,
            5 => Finding::Refused(from.value()?),
            _ => return Err(Bad { field: "finding" }),
        })
    }
}

impl Stored for Reported {
    fn put(&self, out: &mut Out) {
        out.value(&self.epoch);
        out.value(&self.finding);
    }

    fn take(from: &mut In<'_>) -> Result<Reported, Bad> {
        Ok(Reported { epoch: from.value()?, finding: from.value()? })
    }
}

impl Stored for Vote {
    fn put(&self, out: &mut Out) {
        out.value(&self.gateway);
        out.value(&self.reported);
    }

    fn take(from: &mut In<'_>) -> Result<Vote, Bad> {
        Ok(Vote { gateway: from.value()?, reported: from.value()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::{AccountId, Amount};

    #[test]
    fn what_a_bank_will_not_let_its_customer_do_refuses_the_payment() {
        let account = AccountId::new(1).expect("not nil");
        let limit = Amount::new(500).expect("in range");
        let rows = [
            (Rejected::DailyLimitExceeded { limit, spent: 40 }, Reason::DailyLimitExceeded { limit }),
            (Rejected::LimitExceeded { limit, asked: Amount::MAX }, Reason::LimitExceeded { limit }),
            (Rejected::CustomerLocked { account }, Reason::PayerLocked),
            (Rejected::AccountClosed { account }, Reason::AccountClosed),
        ];
        for (rejection, reason) in rows {
            assert_eq!(Finding::of(&Outcome::Rejected { time_ms: 1, rejection }), Finding::Refused(reason));
        }
    }
}
