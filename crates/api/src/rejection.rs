//! The ledger's rejections as stable codes and sentences for people.

use ledger::{AccountId, Currency, Movement, Rejected, money};

use crate::code::Code;
use crate::problem::Problem;

/// The stable code of a rejection.
pub fn code(rejection: &Rejected) -> Code {
    match rejection {
        Rejected::SameAccount => Code::SameAccount,
        Rejected::UnknownDebitAccount { .. } => Code::UnknownDebitAccount,
        Rejected::UnknownCreditAccount { .. } => Code::UnknownCreditAccount,
        Rejected::CurrencyMismatch { .. } => Code::CurrencyMismatch,
        Rejected::AccountClosed { .. } => Code::AccountClosed,
        Rejected::LimitExceeded { .. } => Code::LimitExceeded,
        Rejected::InsufficientFunds { .. } => Code::InsufficientFunds,
        Rejected::BalanceOverflow { .. } => Code::BalanceOverflow,
        Rejected::BooksFull => Code::BooksFull,
        Rejected::Voided => Code::Voided,
        Rejected::IdReused => Code::IdReused,
        Rejected::LinkedFailed { .. } => Code::LinkedFailed,
        Rejected::HoldNotFound => Code::HoldNotFound,
        Rejected::NotYourHold => Code::HoldOfAnother,
        Rejected::HoldAlreadyPosted => Code::HoldPosted,
        Rejected::HoldAlreadyVoided => Code::HoldVoided,
        Rejected::UnknownAccount { .. } => Code::UnknownAccount,
        Rejected::AccountHasHolds => Code::AccountHasHolds,
        Rejected::AccountNotEmpty { .. } => Code::AccountNotEmpty,
        Rejected::InternalAccount { .. } => Code::AccountIsInternal,
        Rejected::VersionMismatch { .. } => Code::VersionMismatch,
        Rejected::CustomerExists { .. } => Code::CustomerExists,
        Rejected::AccountExists { .. } => Code::AccountExists,
        Rejected::UnknownCustomer => Code::UnknownCustomer,
        Rejected::CustomerLocked { .. } => Code::CustomerLocked,
        Rejected::DailyLimitExceeded { .. } => Code::DailyLimitExceeded,
        Rejected::StaleFence { .. } => Code::StaleEpoch,
        Rejected::KeyReused => Code::IdempotencyKeyReused,
        Rejected::ReservedAccount { .. } => Code::AccountReserved,
        Rejected::NotLost { .. } => Code::NotLost,
    }
}

/// The stable code of a rejection of which only the ledger's number is known.
pub fn code_of_number(number: u16) -> Option<Code> {
    BY_NUMBER.get(usize::from(number).checked_sub(1)?).copied()
}

/// In the order of the ledger's numbers, which begin at 1 and are stable.
const BY_NUMBER: [Code; 30] = [
    Code::SameAccount,
    Code::UnknownDebitAccount,
    Code::UnknownCreditAccount,
    Code::CurrencyMismatch,
    Code::AccountClosed,
    Code::LimitExceeded,
    Code::InsufficientFunds,
    Code::BalanceOverflow,
    Code::BooksFull,
    Code::Voided,
    Code::IdReused,
    Code::LinkedFailed,
    Code::HoldNotFound,
    Code::HoldOfAnother,
    Code::HoldPosted,
    Code::HoldVoided,
    Code::UnknownAccount,
    Code::AccountHasHolds,
    Code::AccountNotEmpty,
    Code::AccountIsInternal,
    Code::VersionMismatch,
    Code::CustomerExists,
    Code::AccountExists,
    Code::UnknownCustomer,
    Code::CustomerLocked,
    Code::DailyLimitExceeded,
    Code::StaleEpoch,
    Code::IdempotencyKeyReused,
    Code::AccountReserved,
    Code::NotLost,
];

/// A rejected transfer or hold, with what it wanted to move.
pub fn of_movement(rejection: &Rejected, movement: &Movement) -> Problem {
    let Movement { id, debit, currency, amount, .. } = *movement;
    let problem = match *rejection {
        Rejected::InsufficientFunds { available, needed } => poor(debit, available, needed.minor(), currency),
        Rejected::LimitExceeded { limit, asked } => {
            let (limit, asked) = (money::format(limit.minor(), currency), money::format(asked.minor(), currency));
            let detail = format!("one transfer may move {limit} {currency} at most, {asked} were asked for");
            Problem::new(Code::LimitExceeded, detail).with("limit", limit).with("needed", asked)
        }
        Rejected::DailyLimitExceeded { limit, spent } => {
            let [limit, spent, asked] = [limit.minor(), spent, amount.minor()].map(|sum| money::format(sum, currency));
            let detail = format!(
                "a customer may spend {limit} {currency} in one day (UTC); {spent} are spent today, {asked} were asked for"
            );
            let problem = Problem::new(Code::DailyLimitExceeded, detail);
            problem.with("limit", limit).with("spent_today", spent).with("needed", asked)
        }
        Rejected::CurrencyMismatch { account, kept_in } => {
            let detail = format!(
                "account {account} is kept in {kept_in}, the transfer is in {currency}; Rialto does not exchange"
            );
            Problem::new(Code::CurrencyMismatch, detail).with("account_currency", kept_in.code())
        }
        Rejected::IdReused => {
            let detail =
                format!("the id {id} already stands for a request with other content, so this one was not done");
            Problem::new(Code::IdReused, detail)
        }
        Rejected::Voided => Problem::new(Code::Voided, format!("the id {id} was voided and will never move money")),
        Rejected::LinkedFailed { index } => linked_failed(index),
        Rejected::SameAccount
        | Rejected::UnknownDebitAccount { .. }
        | Rejected::UnknownCreditAccount { .. }
        | Rejected::AccountClosed { .. }
        | Rejected::BalanceOverflow { .. }
        | Rejected::BooksFull
        | Rejected::HoldNotFound
        | Rejected::NotYourHold
        | Rejected::HoldAlreadyPosted
        | Rejected::HoldAlreadyVoided
        | Rejected::UnknownAccount { .. }
        | Rejected::AccountHasHolds
        | Rejected::AccountNotEmpty { .. }
        | Rejected::InternalAccount { .. }
        | Rejected::VersionMismatch { .. }
        | Rejected::CustomerExists { .. }
        | Rejected::AccountExists { .. }
        | Rejected::UnknownCustomer
        | Rejected::CustomerLocked { .. }
        | Rejected::StaleFence { .. }
        | Rejected::KeyReused
        | Rejected::ReservedAccount { .. }
        | Rejected::NotLost { .. } => of_other(rejection),
    };
    problem.with("transfer_id", id.to_string())
}

/// A rejection of a command that moves nothing: the ledger's own sentence.
pub fn of_other(rejection: &Rejected) -> Problem {
    Problem::new(code(rejection), rejection.to_string())
}

fn poor(debit: AccountId, available: u128, needed: u128, currency: Currency) -> Problem {
    let (available, needed) = (money::format(available, currency), money::format(needed, currency));
    let detail = format!("account {debit} has {available} {currency} available, {needed} {currency} were asked for");
    Problem::new(Code::InsufficientFunds, detail)
        .with("available", available)
        .with("needed", needed)
        .with("currency", currency.code())
}

fn linked_failed(index: u32) -> Problem {
    let detail = format!("item {index} of the linked batch was refused, so none of it was done");
    Problem::new(Code::LinkedFailed, detail).with("failed_item", index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::{Amount, Reference, TransferId};

    fn movement() -> Movement {
        Movement {
            id: TransferId::new(7).expect("not nil"),
            debit: AccountId::new(1).expect("not nil"),
            credit: AccountId::new(2).expect("not nil"),
            amount: Amount::new(4000).expect("in range"),
            currency: Currency::EUR,
            reference: Reference::EMPTY,
        }
    }

    #[test]
    fn a_rejection_is_known_by_its_number_too() {
        let account = AccountId::new(7).expect("not nil");
        let rejections = [
            Rejected::SameAccount,
            Rejected::AccountClosed { account },
            Rejected::BooksFull,
            Rejected::IdReused,
            Rejected::LinkedFailed { index: 1 },
            Rejected::NotYourHold,
            Rejected::HoldAlreadyVoided,
            Rejected::UnknownAccount { account },
            Rejected::InternalAccount { account },
            Rejected::VersionMismatch { expected: 1, actual: 2 },
            Rejected::UnknownCustomer,
            Rejected::CustomerLocked { account },
            Rejected::StaleFence { known: 1 },
            Rejected::KeyReused,
            Rejected::ReservedAccount { account },
            Rejected::NotLost { number: 1 },
        ];
        for rejection in rejections {
            assert_eq!(code_of_number(rejection.code()), Some(code(&rejection)), "{rejection:?}");
        }
        assert_eq!((code_of_number(0), code_of_number(31)), (None, None));
    }

    #[test]
    fn a_customer_at_the_days_limit_is_told_it_and_what_was_spent() {
        let movement = movement();
        let limit = Amount::new(5000).expect("in range");
        let problem = of_movement(&Rejected::DailyLimitExceeded { limit, spent: 1250 }, &movement);
        assert_eq!(
            problem.detail,
            "a customer may spend 50.00 EUR in one day (UTC); 12.50 are spent today, 40.00 were asked for"
        );
        assert_eq!(problem.code.text(), "daily_limit_exceeded");
        assert_eq!(problem.member("spent_today"), Some(&"12.50".into()));
    }

    #[test]
    fn a_poor_account_is_told_what_it_has_and_what_was_asked() {
        let movement = movement();
        let needed = movement.amount;
        let problem = of_movement(&Rejected::InsufficientFunds { available: 1250, needed }, &movement);
        assert_eq!(
            problem.detail,
            "account 00000000-0000-0000-0000-000000000001 has 12.50 EUR available, 40.00 EUR were asked for"
        );
        assert_eq!(problem.member("available"), Some(&"12.50".into()));
        assert_eq!(problem.member("transfer_id"), Some(&"00000000-0000-0000-0000-000000000007".into()));
    }
}
