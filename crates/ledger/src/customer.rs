//! Customers: who signs in by name and password, each with exactly one account.
//!
//! The account's id follows from the name (see [`crate::ids`]) and its owner is the name, so a customer is found by name
//! without an index of names. What makes an account a customer's is that it was opened as one.

use crate::ids::AccountId;
use crate::secret::Secret;

/// Whether a customer's account may be debited.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Lock {
    Unlocked,
    /// No new transfer and no new hold debits the account. Credits, and the ends of holds placed before, go on.
    Locked,
}

impl Lock {
    pub fn new(locked: bool) -> Lock {
        if locked { Lock::Locked } else { Lock::Unlocked }
    }
}

/// A customer as a reader sees them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Customer {
    pub account: AccountId,
    pub secret: Secret,
    pub locked: bool,
}
