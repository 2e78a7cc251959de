//! Between the messages of `rialto.v1` and the ledger: both ways, by hand, without an allocation where none is needed.

use ledger::{
    AccountId, Amount, Answer, BalancesAfter, Command, Currency, Movement, Outcome, Owner, Reference, TransferId,
};

use crate::code::Code;
use crate::field;
use crate::problem::Problem;
use crate::proto;
use crate::rejection;

pub use crate::group::{group, member_change, mode, mode_number};

/// The transfer of a message. Errors name the field.
pub fn movement(message: &proto::Transfer) -> Result<Movement, Problem> {
    let movement = Movement {
        id: transfer_id("id", message.id.as_ref())?,
        debit: account_id("debit_account", message.debit_account.as_ref())?,
        credit: account_id("credit_account", message.credit_account.as_ref())?,
        amount: amount(message)?,
        currency: currency(message.currency)?,
        reference: reference(&message.reference)?,
    };
    field::two_accounts(movement.debit, movement.credit)?;
    Ok(movement)
}

/// The order to make that transfer.
pub fn transfer_command(movement: &Movement) -> Command {
    let Movement { id, debit, credit, amount, currency, reference } = *movement;
    Command::Transfer { id, placer: None, debit, credit, amount, currency, reference }
}

pub fn transfer_message(movement: &Movement) -> proto::Transfer {
    let minor = movement.amount.minor();
    proto::Transfer {
        id: Some(uuid(movement.id.get())),
        debit_account: Some(uuid(movement.debit.get())),
        credit_account: Some(uuid(movement.credit.get())),
        amount: low_half(minor),
        amount_high: u32::try_from(minor >> 64).expect("an amount is below 2^96"),
        currency: u32::from(movement.currency.number()),
        reference: movement.reference.as_str().to_owned(),
    }
}

pub fn transfer_id(name: &str, message: Option<&proto::Uuid>) -> Result<TransferId, Problem> {
    message.and_then(|id| TransferId::new(id_bits(id))).ok_or_else(|| no_id(name))
}

pub fn account_id(name: &str, message: Option<&proto::Uuid>) -> Result<AccountId, Problem> {
    message.and_then(|id| AccountId::new(id_bits(id))).ok_or_else(|| no_id(name))
}

/// 0 stands for EUR.
pub fn currency(number: u32) -> Result<Currency, Problem> {
    if number == 0 {
        return Ok(Currency::EUR);
    }
    u16::try_from(number).ok().and_then(Currency::from_number).ok_or_else(|| {
        let detail = format!("currency: {number} is no ISO 4217 number known here; EUR is 978");
        Problem::new(Code::UnknownCurrency, detail).with("field", "currency")
    })
}

pub fn owner(text: &str) -> Result<Owner, Problem> {
    field::owner("owner", text)
}

/// 0 stands for the usual size.
pub fn limit(limit: u32) -> Result<usize, Problem> {
    match usize::try_from(limit) {
        Ok(0) => Ok(field::PAGE_DEFAULT),
        Ok(limit) if limit <= field::PAGE_MAX => Ok(limit),
        Ok(_) | Err(_) => Err(Problem::new(
            Code::InvalidLimit,
            format!("limit: {limit} is more than the {} items of a page", field::PAGE_MAX),
        )
        .with("field", "limit")),
    }
}

pub fn uuid(bits: u128) -> proto::Uuid {
    proto::Uuid { high: low_half(bits >> 64), low: low_half(bits) }
}

pub fn id_bits(id: &proto::Uuid) -> u128 {
    u128::from(id.high) << 64 | u128::from(id.low)
}

/// A signed number of minor units as two halves in two's complement.
pub fn int128(value: i128) -> proto::Int128 {
    let high = i64::try_from(value >> 64).expect("the upper half of 128 bits");
    proto::Int128 { low: low_half(value.cast_unsigned()), high }
}

pub fn int128_value(message: &proto::Int128) -> i128 {
    i128::from(message.high) << 64 | i128::from(message.low)
}

/// Balances as a caller needs them: what there is, and what can be spent where that is less.
pub fn balances(after: &BalancesAfter) -> proto::Balances {
    let (balance, available) = (after.balance(), after.available());
    proto::Balances { balance: Some(int128(balance)), available: (available != balance).then(|| int128(available)) }
}

/// What became of a transfer. `movement` is what was ordered; a void orders nothing.
pub fn transfer_outcome(answer: &Answer, movement: Option<&Movement>) -> proto::TransferOutcome {
    let mut message = proto::TransferOutcome {
        time_ms: answer.outcome.time_ms(),
        replay: answer.replay,
        ..proto::TransferOutcome::default()
    };
    match &answer.outcome {
        Outcome::Posted { debit, credit, .. } | Outcome::HoldPosted { debit, credit, .. } => {
            message.set_kind(proto::OutcomeKind::Posted);
            message.debit_after = Some(balances(debit));
            message.credit_after = Some(balances(credit));
        }
        Outcome::Held { debit, credit, .. } => {
            message.set_kind(proto::OutcomeKind::Held);
            message.debit_after = Some(balances(debit));
            message.credit_after = Some(balances(credit));
        }
        Outcome::Voided { .. } | Outcome::HoldVoided { .. } => message.set_kind(proto::OutcomeKind::Voided),
        Outcome::Rejected { rejection, .. } => {
            let problem = match movement {
                Some(movement) => rejection::of_movement(rejection, movement),
                None => rejection::of_other(rejection),
            };
            message.set_kind(proto::OutcomeKind::Rejected);
            message.code = problem.code.text().to_owned();
            message.detail = problem.detail;
            if let ledger::Rejected::InsufficientFunds { available, .. } = *rejection {
                message.available = i128::try_from(available).ok().map(int128);
            }
        }
        // These end nothing that a transfer's id can name; the kind stays unspecified.
        Outcome::Opened { .. }
        | Outcome::Closed { .. }
        | Outcome::SettingChanged { .. }
        | Outcome::SecretChanged { .. }
        | Outcome::LockChanged { .. }
        | Outcome::Noted { .. }
        | Outcome::Fenced { .. }
        | Outcome::KeyClaimed { .. } => {}
    }
    message
}

fn amount(message: &proto::Transfer) -> Result<Amount, Problem> {
    let minor = u128::from(message.amount_high) << 64 | u128::from(message.amount);
    Amount::new(minor).ok_or_else(|| {
        Problem::new(Code::AmountZero, "amount: the amount is zero; send at least one minor unit")
            .with("field", "amount")
    })
}

/// An absent reference is the empty one.
pub(crate) fn reference(text: &str) -> Result<Reference, Problem> {
    if text.is_empty() { Ok(Reference::EMPTY) } else { field::reference("reference", text) }
}

fn no_id(name: &str) -> Problem {
    Problem::new(Code::MalformedId, format!("{name}: it is missing or nil; send the UUID that you made for it"))
        .with("field", name.to_owned())
}

fn low_half(bits: u128) -> u64 {
    u64::try_from(bits & u128::from(u64::MAX)).expect("masked to 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_numbers_survive_both_ways() {
        for value in [0, 1, -1, i128::from(u64::MAX), -i128::from(u64::MAX) - 7, i128::MAX, i128::MIN] {
            assert_eq!(int128_value(&int128(value)), value);
        }
        assert_eq!(int128(-1), proto::Int128 { low: u64::MAX, high: -1 });
    }

    #[test]
    fn a_transfer_survives_both_ways() {
        let sent = Movement {
            id: TransferId::new(u128::MAX).expect("not nil"),
            debit: AccountId::new(1 << 64).expect("not nil"),
            credit: AccountId::new(2).expect("not nil"),
            amount: Amount::MAX,
            currency: Currency::from_code("JPY").expect("in the table"),
            reference: Reference::new("rent, März").expect("short"),
        };
        assert_eq!(movement(&transfer_message(&sent)), Ok(sent));
    }

    #[test]
    fn what_is_malformed_names_its_field() {
        let good = proto::Transfer {
            id: Some(uuid(1)),
            debit_account: Some(uuid(2)),
            credit_account: Some(uuid(3)),
            amount: 1,
            ..proto::Transfer::default()
        };
        assert!(movement(&good).is_ok());
        let cases = [
            (proto::Transfer { id: None, ..good.clone() }, Code::MalformedId),
            (proto::Transfer { id: Some(uuid(0)), ..good.clone() }, Code::MalformedId),
            (proto::Transfer { credit_account: None, ..good.clone() }, Code::MalformedId),
            (proto::Transfer { amount: 0, ..good.clone() }, Code::AmountZero),
            (proto::Transfer { currency: 999, ..good.clone() }, Code::UnknownCurrency),
            (proto::Transfer { currency: 70_000, ..good.clone() }, Code::UnknownCurrency),
            (proto::Transfer { credit_account: Some(uuid(2)), ..good.clone() }, Code::SameAccount),
            (proto::Transfer { reference: "x".repeat(36), ..good.clone() }, Code::InvalidReference),
            (proto::Transfer { reference: "a\nb".into(), ..good.clone() }, Code::InvalidReference),
        ];
        for (message, code) in cases {
            assert_eq!(movement(&message).expect_err("malformed").code, code, "{message:?}");
        }
    }
}
