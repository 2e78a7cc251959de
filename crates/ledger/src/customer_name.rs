//! The name of a customer.
//!
//! Unique in its bank, part of the address `name@bank`, and so without anything that would make an address hard to read
//! or to tell from another line. The customer's account follows from it; see [`crate::ids`].

use std::fmt;

use crate::text::{Line, LineError, Owner};

/// A customer's name, unique in their bank: 1 to 48 bytes of UTF-8 without whitespace, control characters and '@'.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CustomerName(Line<{ CustomerName::MAX }>);

/// Why a text is not a customer's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a customer's name has 1 to {} bytes, without spaces, control characters and '@'", CustomerName::MAX)]
pub struct NotACustomerName;

impl From<LineError> for NotACustomerName {
    fn from(_: LineError) -> NotACustomerName {
        NotACustomerName
    }
}

impl CustomerName {
    pub const MAX: usize = 48;

    /// # Errors
    /// When the text is longer, or has other characters, than a name may have.
    pub fn new(text: &str) -> Result<CustomerName, NotACustomerName> {
        CustomerName::from_line(Line::new(text)?)
    }

    /// A line is short enough and has no control characters; the rest is looked at here.
    pub(crate) fn from_line(line: Line<{ CustomerName::MAX }>) -> Result<CustomerName, NotACustomerName> {
        let is_strange = |character: char| character.is_whitespace() || character == '@';
        if line.is_empty() || line.as_str().contains(is_strange) {
            Err(NotACustomerName)
        } else {
            Ok(CustomerName(line))
        }
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn line(&self) -> &Line<{ CustomerName::MAX }> {
        &self.0
    }

    /// The owner of the customer's account.
    pub(crate) fn owner(&self) -> Owner {
        Owner::new(self.as_str()).expect("a name is shorter than an owner may be")
    }
}

impl Ord for CustomerName {
    fn cmp(&self, other: &CustomerName) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for CustomerName {
    fn partial_cmp(&self, other: &CustomerName) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for CustomerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CustomerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_an_address_can_hold() {
        for text in ["a", "Alice", "zoë.müller", &"a".repeat(48)] {
            assert_eq!(CustomerName::new(text).map(|name| name.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "a b", "a@b", "a\n", "a\u{a0}b", &"a".repeat(49)] {
            assert_eq!(CustomerName::new(text), Err(NotACustomerName), "{text}");
        }
    }

    #[test]
    fn every_name_can_own_an_account() {
        let longest = CustomerName::new(&"a".repeat(48)).expect("it fits");
        assert_eq!(longest.owner().as_str(), longest.as_str());
    }
}
