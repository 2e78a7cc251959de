//! Amounts: whole numbers of a currency's minor unit, exact from text to text.
//!
//! An amount is at least 1 and at most 2^96 − 1. Balances add amounts up in `u128`, each total at most [`TOTAL_MAX`].
//! There are no floats here or anywhere else: a JSON number is parsed from its literal text.
//!
//! The one grammar, for JSON numbers and strings alike, is that of a JSON number without sign and exponent: `12`, `12.5`,
//! `12.50`, `0.05`. An exponent is refused even where its value would be exact (`1e2`): a person who writes an amount
//! that way has more likely made a mistake than meant a hundred. Digits beyond the minor unit are refused, also zeros.

use crate::currency::Currency;

/// Money moved by one transfer, in minor units: 1 ..= 2^96 − 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Amount(u128);

/// No total of an account (posted or held, debits or credits, and posted plus held) passes 2^112 − 1, so that the
/// balances of both accounts of a transfer, eight totals of 14 bytes, fit into one journal record.
pub const TOTAL_MAX: u128 = (1 << 112) - 1;

impl Amount {
    /// The largest amount, 2^96 − 1.
    pub const MAX: Amount = Amount((1 << 96) - 1);

    /// An amount of that many minor units; `None` for zero and for what is larger than [`Amount::MAX`].
    pub const fn new(minor: u128) -> Option<Amount> {
        if minor == 0 || minor > Amount::MAX.0 { None } else { Some(Amount(minor)) }
    }

    /// The number of minor units.
    pub const fn minor(self) -> u128 {
        self.0
    }

    #[expect(clippy::expect_used, reason = "twelve bytes of sixteen are twelve bytes")]
    pub(crate) fn to_bytes(self) -> [u8; 12] {
        let wide = self.0.to_le_bytes();
        wide[..12].try_into().expect("twelve bytes of sixteen")
    }

    pub(crate) fn from_bytes(bytes: [u8; 12]) -> Option<Amount> {
        let mut wide = [0; 16];
        wide[..12].copy_from_slice(&bytes);
        Amount::new(u128::from_le_bytes(wide))
    }
}

/// Why a text is no amount of a currency. Each is a sentence fit for the caller's eyes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AmountError {
    #[error("the amount is empty")]
    Empty,
    #[error("the amount is not a decimal number; write it like 12.50")]
    NotANumber,
    #[error("the amount uses a comma; write decimals after a point and no thousands marks, like 1250.50")]
    Comma,
    #[error("the amount has an exponent; write all its digits out, like 1200.00")]
    Exponent,
    #[error("the amount is negative; amounts are positive, the direction is in the accounts")]
    Negative,
    #[error("the amount has a plus sign; write it without")]
    PlusSign,
    #[error("the amount is zero; the smallest is one minor unit")]
    Zero,
    #[error("the amount has more decimals than {currency} knows: at most {allowed}")]
    TooManyDecimals { currency: Currency, allowed: u8 },
    #[error("the amount is too large; the largest is 2^96 - 1 minor units")]
    TooLarge,
}

/// Reads an amount exactly from text or from the literal of a JSON number. See the top of this module for the grammar.
pub fn parse_decimal(text: &str, currency: Currency) -> Result<Amount, AmountError> {
    let (whole, decimals) = split_number(text)?;
    let allowed = currency.exponent();
    if decimals.len() > usize::from(allowed) {
        return Err(AmountError::TooManyDecimals { currency, allowed });
    }
    let padding = usize::from(allowed) - decimals.len();
    let digits = whole.bytes().chain(decimals.bytes()).map(|digit| u128::from(digit - b'0'));
    let mut minor = 0u128;
    for digit in digits.chain(std::iter::repeat_n(0, padding)) {
        // The value stays below 2^96 after every step, so ten times it plus a digit is far below 2^128.
        minor = minor * 10 + digit;
        if minor > Amount::MAX.0 {
            return Err(AmountError::TooLarge);
        }
    }
    Amount::new(minor).ok_or(AmountError::Zero)
}

/// Digits before and after the point, or the reason why the text is not a plain decimal number.
fn split_number(text: &str) -> Result<(&str, &str), AmountError> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let no_leading_zero = whole == "0" || !whole.starts_with('0');
    if plain(whole) && plain(decimals) && no_leading_zero {
        return Ok((whole, if text.contains('.') { decimals } else { "" }));
    }
    Err(why_not_plain(text))
}

/// The most helpful reason, by the first mark in the text that says what its writer meant.
fn why_not_plain(text: &str) -> AmountError {
    if text.is_empty() {
        return AmountError::Empty;
    }
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.,eE".contains(&byte));
    if !numeric || !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return AmountError::NotANumber;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned.starts_with(['e', 'E']) {
        AmountError::NotANumber
    } else if unsigned.contains(['e', 'E']) {
        AmountError::Exponent
    } else if unsigned.contains(',') {
        AmountError::Comma
    } else if text.starts_with('-') {
        AmountError::Negative
    } else if text.starts_with('+') {
        AmountError::PlusSign
    } else {
        AmountError::NotANumber
    }
}

/// Minor units as a decimal text with all decimals of the currency: `12.50`.
pub fn format(minor: u128, currency: Currency) -> String {
    let exponent = usize::from(currency.exponent());
    if exponent == 0 {
        return minor.to_string();
    }
    let digits = format!("{minor:0>width$}", width = exponent + 1);
    let (whole, decimals) = digits.split_at(digits.len() - exponent);
    format!("{whole}.{decimals}")
}

/// The same for a balance, which is below zero in a vault: `-12.50`.
pub fn format_signed(minor: i128, currency: Currency) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}", format(minor.unsigned_abs(), currency))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::from_code(code).expect("a code of the table")
    }

    #[test]
    fn amounts_are_read_exactly() {
        let cases = [
            ("12.5", "EUR", 1250),
            ("12.50", "EUR", 1250),
            ("12", "EUR", 1200),
            ("0.01", "EUR", 1),
            ("0.1", "EUR", 10),
            ("7", "JPY", 7),
            ("1.234", "KWD", 1234),
            ("0.0001", "CLF", 1),
            ("90071992547409.93", "EUR", 9_007_199_254_740_993),
            ("792281625142643375935439503.35", "EUR", Amount::MAX.0),
            ("79228162514264337593543950335", "JPY", Amount::MAX.0),
        ];
        for (text, code, minor) in cases {
            assert_eq!(parse_decimal(text, currency(code)).map(Amount::minor), Ok(minor), "{text} {code}");
        }
    }

    #[test]
    fn each_bad_amount_has_its_own_reason() {
        let too_many = |code, allowed| AmountError::TooManyDecimals { currency: currency(code), allowed };
        let cases = [
            ("", "EUR", AmountError::Empty),
            ("0", "EUR", AmountError::Zero),
            ("0.00", "EUR", AmountError::Zero),
            ("-1", "EUR", AmountError::Negative),
            ("-0.5", "EUR", AmountError::Negative),
            ("+1", "EUR", AmountError::PlusSign),
            ("NaN", "EUR", AmountError::NotANumber),
            ("Infinity", "EUR", AmountError::NotANumber),
            ("-Infinity", "EUR", AmountError::NotANumber),
            ("twelve", "EUR", AmountError::NotANumber),
            (" 12", "EUR", AmountError::NotANumber),
            ("12 ", "EUR", AmountError::NotANumber),
            ("12.50 EUR", "EUR", AmountError::NotANumber),
            ("0x10", "EUR", AmountError::NotANumber),
            ("1_000", "EUR", AmountError::NotANumber),
            ("١٢", "EUR", AmountError::NotANumber),
            (".5", "EUR", AmountError::NotANumber),
            ("5.", "EUR", AmountError::NotANumber),
            (".", "EUR", AmountError::NotANumber),
            ("1.2.3", "EUR", AmountError::NotANumber),
            ("007", "EUR", AmountError::NotANumber),
            ("--1", "EUR", AmountError::Negative),
            ("12,50", "EUR", AmountError::Comma),
            ("1,250.00", "EUR", AmountError::Comma),
            ("1e2", "EUR", AmountError::Exponent),
            ("1e400", "EUR", AmountError::Exponent),
            ("1E-2", "EUR", AmountError::Exponent),
            ("1.5e1", "EUR", AmountError::Exponent),
            ("e5", "EUR", AmountError::NotANumber),
            ("0.001", "EUR", too_many("EUR", 2)),
            ("12.500", "EUR", too_many("EUR", 2)),
            ("1.0", "JPY", too_many("JPY", 0)),
            ("1.2345", "KWD", too_many("KWD", 3)),
            ("79228162514264337593543950336", "JPY", AmountError::TooLarge),
            ("792281625142643375935439503.36", "EUR", AmountError::TooLarge),
            ("79228162514264337593543950336", "EUR", AmountError::TooLarge),
        ];
        for (text, code, reason) in cases {
            assert_eq!(parse_decimal(text, currency(code)), Err(reason), "{text:?} {code}");
        }
        let endless = "9".repeat(1_000_000);
        assert_eq!(parse_decimal(&endless, Currency::EUR), Err(AmountError::TooLarge));
    }

    #[test]
    fn every_reason_is_a_sentence_of_its_own() {
        let reasons = [
            AmountError::Empty,
            AmountError::NotANumber,
            AmountError::Comma,
            AmountError::Exponent,
            AmountError::Negative,
            AmountError::PlusSign,
            AmountError::Zero,
            AmountError::TooManyDecimals { currency: Currency::EUR, allowed: 2 },
            AmountError::TooLarge,
        ];
        let mut sentences: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        assert_eq!(sentences[7], "the amount has more decimals than EUR knows: at most 2");
        sentences.sort();
        sentences.dedup();
        assert_eq!(sentences.len(), reasons.len());
    }

    #[test]
    fn amounts_are_written_with_all_their_decimals() {
        let cases = [
            (0, "EUR", "0.00"),
            (1, "EUR", "0.01"),
            (1250, "EUR", "12.50"),
            (7, "JPY", "7"),
            (5, "CLF", "0.0005"),
            (u128::MAX, "EUR", "3402823669209384634633746074317682114.55"),
        ];
        for (minor, code, text) in cases {
            assert_eq!(format(minor, currency(code)), text);
        }
        assert_eq!(format_signed(-1250, Currency::EUR), "-12.50");
        assert_eq!(format_signed(-5, Currency::EUR), "-0.05");
        assert_eq!(format_signed(0, Currency::EUR), "0.00");
        assert_eq!(format_signed(i128::MIN, currency("JPY")), "-170141183460469231731687303715884105728");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(minor in 1..=Amount::MAX.0, number in 0usize..154) {
            let currency = Currency::all().nth(number).unwrap_or(Currency::EUR);
            let read = parse_decimal(&format(minor, currency), currency);
            proptest::prop_assert_eq!(read.map(Amount::minor), Ok(minor));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.,eE ]{0,40}|\\PC{0,20}") {
            let _ = parse_decimal(&text, Currency::EUR);
        }
    }
}
