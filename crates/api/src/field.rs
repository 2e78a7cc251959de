//! Texts of requests become values of the domain, or a problem that names the field.

use ledger::money::{self, AmountError};
use ledger::{AccountId, Amount, Currency, LineError, Owner, Reference, TransferId};

use crate::code::Code;
use crate::json::Digits;
use crate::problem::Problem;

/// How many items a page has when the caller does not say, and at most.
pub const PAGE_DEFAULT: usize = 100;
pub const PAGE_MAX: usize = 1000;

pub fn account_id(field: &str, text: &str) -> Result<AccountId, Problem> {
    text.parse().map_err(|reason| malformed_id(field, text, &reason))
}

pub fn transfer_id(field: &str, text: &str) -> Result<TransferId, Problem> {
    text.parse().map_err(|reason| malformed_id(field, text, &reason))
}

pub fn amount(field: &str, digits: &Digits, currency: Currency) -> Result<Amount, Problem> {
    money::parse_decimal(&digits.0, currency).map_err(|reason| {
        let detail = format!("{field}: {} is no amount: {reason}", quoted(&digits.0));
        Problem::new(amount_code(reason), detail).with("field", field)
    })
}

pub fn currency(field: &str, code: &str) -> Result<Currency, Problem> {
    Currency::from_code(code).ok_or_else(|| {
        let detail =
            format!("{field}: {} is no currency; send an ISO 4217 code in capitals, such as EUR", quoted(code));
        Problem::new(Code::UnknownCurrency, detail).with("field", field)
    })
}

/// Composed, where it is not (Unicode NFC); see [`ledger::characters`] for what it may hold.
pub fn owner(field: &str, text: &str) -> Result<Owner, Problem> {
    Owner::enforce(text)
        .map_err(|reason| Problem::new(Code::InvalidOwner, format!("{field}: {reason}")).with("field", field))
}

/// Composed, where it is not (Unicode NFC); see [`ledger::characters`] for what it may hold.
pub fn reference(field: &str, text: &str) -> Result<Reference, Problem> {
    Reference::enforce(text).map_err(|reason| bad_reference(field, reason))
}

/// A reference that was judged where it entered the network.
pub fn known_reference(field: &str, text: &str) -> Result<Reference, Problem> {
    Reference::stored(text).map_err(|reason| bad_reference(field, reason))
}

fn bad_reference(field: &str, reason: LineError) -> Problem {
    Problem::new(Code::InvalidReference, format!("{field}: {reason}")).with("field", field)
}

/// The size of a page, from the text of a query.
pub fn limit(text: Option<&str>) -> Result<usize, Problem> {
    let Some(text) = text else { return Ok(PAGE_DEFAULT) };
    match text.parse() {
        Ok(limit @ 1..=PAGE_MAX) => Ok(limit),
        _ => Err(Problem::new(
            Code::InvalidLimit,
            format!("limit: {} is not a number from 1 to {PAGE_MAX}", quoted(text)),
        )
        .with("field", "limit")),
    }
}

/// Debit and credit must differ; found before anything is proposed, so it burns no id.
pub fn two_accounts(debit: AccountId, credit: AccountId) -> Result<(), Problem> {
    if debit != credit {
        return Ok(());
    }
    let detail = format!("source and destination are both account {debit}; money moves between two accounts");
    Err(Problem::new(Code::SameAccount, detail).with("account_id", debit.to_string()))
}

fn amount_code(reason: AmountError) -> Code {
    match reason {
        AmountError::Empty
        | AmountError::NotANumber
        | AmountError::Comma
        | AmountError::Exponent
        | AmountError::PlusSign => Code::AmountNotANumber,
        AmountError::Negative => Code::AmountNegative,
        AmountError::Zero => Code::AmountZero,
        AmountError::TooManyDecimals { .. } => Code::AmountTooPrecise,
        AmountError::TooLarge => Code::AmountTooLarge,
    }
}

fn malformed_id(field: &str, text: &str, reason: &dyn std::fmt::Display) -> Problem {
    Problem::new(Code::MalformedId, format!("{field}: {} cannot be used as an id: {reason}", quoted(text)))
        .with("field", field)
}

/// What was sent, cut to a length that fits a sentence.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("{start:?}… ({} bytes)", text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_amount_has_its_code_and_says_why() {
        let cases = [
            ("0", Code::AmountZero, "zero"),
            ("-1", Code::AmountNegative, "negative"),
            ("NaN", Code::AmountNotANumber, "not a decimal number"),
            ("1e400", Code::AmountNotANumber, "exponent"),
            ("0.001", Code::AmountTooPrecise, "at most 2"),
            ("12,50", Code::AmountNotANumber, "comma"),
            ("79228162514264337593543950336", Code::AmountTooLarge, "2^96"),
        ];
        for (text, code, part) in cases {
            let problem = amount("amount", &Digits(text.into()), Currency::EUR).expect_err(text);
            assert_eq!(problem.code, code, "{text}");
            assert!(problem.detail.contains(part), "{}", problem.detail);
            assert_eq!(problem.member("field"), Some(&"amount".into()));
        }
    }

    #[test]
    fn a_long_text_is_not_sent_back_whole() {
        let problem = account_id("account_id", &"x".repeat(5000)).expect_err("no id");
        assert!(problem.detail.len() < 300, "{}", problem.detail.len());
    }

    #[test]
    fn limits_are_bounded() {
        assert_eq!(limit(None), Ok(PAGE_DEFAULT));
        assert_eq!(limit(Some("1000")), Ok(1000));
        for bad in ["0", "1001", "-1", "ten", ""] {
            assert_eq!(limit(Some(bad)).expect_err(bad).code, Code::InvalidLimit);
        }
    }
}
