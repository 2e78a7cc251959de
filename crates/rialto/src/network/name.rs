//! The name of a bank: part of paths, of account names and of what people type, so it is short and plain.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Lower-case letters, digits and hyphens, beginning with a letter, at most 32 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct BankName(String);

/// What the gateway of a network that `up` runs is called; no bank may be.
pub(crate) const GATEWAY_NAME: &str = "gateway";

const CHARACTERS_MAX: usize = 32;

/// What sentences call a group: "bank alpha", or "gateway".
pub(crate) fn group_text(group: &str) -> String {
    if group == GATEWAY_NAME { group.to_owned() } else { format!("bank {group}") }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` cannot name a bank: use lower-case letters, digits and hyphens, a letter first, at most 32 characters"
)]
pub(crate) struct BadBankName {
    given: String,
}

impl BankName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BankName {
    type Err = BadBankName;

    fn from_str(text: &str) -> Result<BankName, BadBankName> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let first_is_letter = text.starts_with(|c: char| c.is_ascii_lowercase());
        if first_is_letter && text.len() <= CHARACTERS_MAX && text.chars().all(plain) {
            Ok(BankName(text.to_owned()))
        } else {
            Err(BadBankName { given: text.to_owned() })
        }
    }
}

impl TryFrom<String> for BankName {
    type Error = BadBankName;

    fn try_from(text: String) -> Result<BankName, BadBankName> {
        text.parse()
    }
}

impl From<BankName> for String {
    fn from(name: BankName) -> String {
        name.0
    }
}

impl fmt::Display for BankName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_safe_as_a_directory() {
        for good in ["alpha", "a", "bank-2", &"x".repeat(32)] {
            assert_eq!(good.parse::<BankName>().map(|n| n.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "Alpha", "2nd", "..", "a/b", "a b", "-a", "ä", &"x".repeat(33)] {
            assert!(bad.parse::<BankName>().is_err(), "{bad:?} was taken");
        }
    }
}
