//! Names and numbers of who takes part: banks, customers, nodes, sessions, keys, incarnations.
//!
//! Outside, banks and customers go by name; customers' names are the ledger's, for it is banks that know customers. Inside
//! the gateway's state a bank goes by the number that it got when it registered, which is small and never given again.

use crate::bytes::{Bad, In, Out, Stored};
pub use ledger::CustomerName;
use ledger::text::Line;
use std::fmt;

/// Why a text is no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    #[error("a bank's name has 1 to {} characters of a-z, 0-9 and '-', and begins with a letter", BankName::MAX)]
    NotABank,
    #[error(transparent)]
    NotACustomer(#[from] ledger::NotACustomerName),
}

/// A bank's name: unique in the network, pinned to the group that registered it, and part of certificates and addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BankName(Line<{ BankName::MAX }>);

impl BankName {
    pub const MAX: usize = 32;

    /// # Errors
    /// When the text is longer, or has other characters, than a name may have.
    pub fn new(text: &str) -> Result<BankName, NameError> {
        let begins_well = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        let is_plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let line = Line::new(text).map_err(|_| NameError::NotABank)?;
        if begins_well && is_plain { Ok(BankName(line)) } else { Err(NameError::NotABank) }
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Ord for BankName {
    fn cmp(&self, other: &BankName) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for BankName {
    fn partial_cmp(&self, other: &BankName) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for BankName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for BankName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The bytes of both names are those of their text. A customer's was judged when it entered.
macro_rules! name {
    ($name:ident, $read:ident, $field:literal) => {
        impl Stored for $name {
            fn put(&self, out: &mut Out) {
                out.text(self.as_str());
            }

            fn take(from: &mut In<'_>) -> Result<$name, Bad> {
                $name::$read(from.text($field)?).map_err(|_| Bad { field: $field })
            }
        }
    };
}

name!(BankName, new, "bank's name");
name!(CustomerName, stored, "customer's name");

/// A number that is never zero, with its bytes.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $put:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($inner);

        impl $name {
            /// `None` for zero, which names nothing.
            pub const fn new(number: $inner) -> Option<$name> {
                if number == 0 { None } else { Some($name(number)) }
            }

            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}#{:x}", $field, self.0)
            }
        }

        impl Stored for $name {
            fn put(&self, out: &mut Out) {
                out.$put(self.0);
            }

            fn take(from: &mut In<'_>) -> Result<$name, Bad> {
                $name::new(from.$put($field)?).ok_or(Bad { field: $field })
            }
        }
    };
}

number! {
    /// A bank inside the gateway's state: banks are numbered from 1 in the order of their registration.
    BankNumber, u16, u16, "bank"
}
number! {
    /// A node of the gateway.
    NodeNumber, u16, u16, "node"
}
number! {
    /// What a bank's name is pinned to: made once, at random, with the group itself.
    GroupId, u128, u128, "group"
}
number! {
    /// A sign-in: the `jti` of its token.
    SessionId, u128, u128, "session"
}
number! {
    /// The `kid` of a key that signs tokens.
    KeyId, u64, u64, "key"
}
number! {
    /// An incarnation of a whole group: restoring it from a backup makes the next one.
    Epoch, u32, u32, "epoch"
}

impl Epoch {
    /// The incarnation that no restore came before.
    pub const FIRST: Epoch = Epoch(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_an_address_can_hold() {
        for text in ["a", "alpha", "bank-2", &"a".repeat(32)] {
            assert_eq!(BankName::new(text).map(|name| name.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "2a", "-a", "Alpha", "a b", "a@b", "é", &"a".repeat(33)] {
            assert_eq!(BankName::new(text), Err(NameError::NotABank), "{text}");
        }
    }

    #[test]
    fn zero_names_nothing() {
        assert_eq!((BankNumber::new(0), Epoch::new(0)), (None, None));
        assert_eq!(Epoch::new(1), Some(Epoch::FIRST));
    }
}
