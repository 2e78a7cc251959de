//! Numbers as the digits that they are: no float ever stands between a caller's text and the ledger.

use std::fmt;

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// An amount as it was sent, a JSON number or a string: the digits, unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digits(pub String);

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Digits, D::Error> {
        let raw = Box::<RawValue>::deserialize(reader)?;
        let literal = raw.get();
        match literal.as_bytes().first() {
            Some(b'"') => serde_json::from_str(literal).map(Digits).map_err(D::Error::custom),
            Some(b'-' | b'0'..=b'9') => Ok(Digits(literal.to_owned())),
            _ => {
                Err(D::Error::custom(format!("expected a JSON number or string, such as 12.50, not {}", kind(literal))))
            }
        }
    }
}

impl Serialize for Digits {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        writer.serialize_str(&self.0)
    }
}

fn kind(literal: &str) -> &'static str {
    match literal.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'n') => "null",
        _ => "a truth value",
    }
}

/// A decimal text that is written as a JSON number, digit by digit: `12.50`.
#[derive(Clone, PartialEq, Eq)]
pub struct ExactNumber(String);

impl ExactNumber {
    /// # Panics
    /// When the text is no JSON number: the ledger's formats all are.
    pub fn new(decimal: String) -> ExactNumber {
        assert!(
            serde_json::from_str::<IgnoredAny>(&decimal).is_ok()
                && decimal.starts_with(|c: char| c == '-' || c.is_ascii_digit()),
            "{decimal:?} is a JSON number"
        );
        ExactNumber(decimal)
    }
}

impl fmt::Debug for ExactNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ExactNumber {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.0.clone()).expect("checked when it was made");
        raw.serialize(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits_through_both_directions() {
        for literal in ["12.50", "1e400", "-0", "79228162514264337593543950336", "0.1"] {
            let read: Digits = serde_json::from_str(literal).expect("a number");
            assert_eq!(read.0, literal);
        }
        let text: Digits = serde_json::from_str("\"12,50\"").expect("a string");
        assert_eq!(text.0, "12,50");
        let written = serde_json::to_string(&ExactNumber::new("792281625142643375935439503.35".into()));
        assert_eq!(written.expect("written"), "792281625142643375935439503.35");
    }

    #[test]
    fn what_is_neither_number_nor_string_is_refused() {
        for literal in ["null", "true", "{}", "[1]"] {
            assert!(serde_json::from_str::<Digits>(literal).is_err(), "{literal}");
        }
    }
}
