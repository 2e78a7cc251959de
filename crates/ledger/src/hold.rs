//! Holds: money set aside and not yet moved.
//!
//! A hold stands between two accounts, in a payment between banks a customer's and an interbank account, and counts as a
//! held debit of the one and a held credit of the other. It ends once: posted, it becomes a transfer; voided, nothing.
//! The bank never ends a hold by itself; only its placer does.

use crate::ids::Placer;
use crate::movement::Movement;

/// An open hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    pub placer: Placer,
    pub movement: Movement,
    /// When and where in the journal it was placed.
    pub time_ms: u64,
    pub place: u64,
}

/// What has become of a hold by now. Every answer about a hold carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HoldState {
    Held,
    Posted,
    Voided,
}
