//! One node of a replicated group as a value that can be stepped.
//!
//! ```text
//!  callers ─► Replica (Paxos, desk, queue) ─► Log ─► chosen batches ─► Applier (state machine, journal, ids) ─► answers
//! ```
//!
//! In reading order: [`group`] (who belongs to it, and how that changes), [`request`] (what a slot holds), [`message`]
//! and [`wire`] (what nodes say to each other), [`Replica`] with its `desk`, `queue`, `reads`, `control`, `divergence`, `log_time`,
//! `receive` and `transfer`, [`StateMachine`] and the [`Applier`] that runs it over a journal, and [`recover`], which opens a node from its disk.
//!
//! The crate is pure: time and randomness are arguments, the disk is behind `storage::Disk`, nothing here awaits or
//! spawns. The shell runs `Replica` and `Applier` on a thread each; the simulator steps both in one.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    reason = "no data from outside may end a node: each exception says why it cannot be reached"
)]

mod applier;
mod control;
mod desk;
mod divergence;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod group;
mod input;
mod log_time;
pub mod message;
mod output;
mod queue;
mod reads;
mod receive;
pub mod recover;
mod refound;
mod replica;
pub mod request;
mod state_machine;
mod tail;
mod transfer;
pub mod wire;

#[cfg(feature = "controls")]
pub use applier::Control as ApplierControl;
pub use applier::{Applied, Applier, ApplierSettings, ApplyError, Met, Reply, Rules as JournalRules};
pub use desk::Refusal;
pub use input::{Input, Settings, Vows};
pub use message::Message;
pub use output::{Divergence, Output};
pub use refound::{Copy, RefoundError, Refounded, Votes, refound};
pub use replica::Replica;
pub use request::{Tag, Tagged};
pub use state_machine::{At, JournalPort, StateMachine};
pub use transfer::journal_piece;
