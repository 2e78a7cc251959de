//! A bank: the ledger as the state machine of a replicated group.
//!
//! The ledger knows nothing of logs, the replica nothing of money; this crate is the seam, and nothing else: it decides
//! nothing, performs no IO, and cannot fail. [`Machine`] applies, [`BankView`] answers questions.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    reason = "no data from outside may end a node: each exception says why it cannot be reached"
)]

mod machine;
mod recount;
mod view;

pub use machine::{BankAnswer, Machine, posted};
pub use recount::{Mismatch, Recount, Totals, recount_through};
pub use view::{BankView, HistoryError};
