//! A customer's side of the network: who is signed in, and payments that outlive the process, the network and the power.
//!
//! ```text
//!   pay ──► Outbox ── on disk ──► Worker ── api::client::gateway ──► the gateway
//!             ▲                     │
//!             └── what it was told ─┘ ──► news, until it was shown
//! ```
//!
//! A payment has its id and is on disk before a byte of it leaves. What may be sent when, what may still be dropped, and
//! what an answer means are the rules of [`clearing::outbox`]; this crate keeps their items in SQLite, carries their
//! errands out, and brings back what was heard. Two processes may share one outbox: every write names the version that it
//! read, and the right to send is a lease.
//!
//! Reading order: [`profile`], `network` and [`sign_in`] (files), [`outbox`] (the store), `heard` (what an answer means to the
//! rules), [`worker`]. Nothing here prints.

mod clock;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod heard;
mod network;
pub mod outbox;
pub mod profile;
pub mod sign_in;
pub mod worker;

pub use clock::now_ms;
pub use network::Network;
pub use outbox::{DropResult, Entry, Outbox, OutboxError, Word};
pub use profile::{Profile, ProfileError, ProfileName};
pub use sign_in::SignIn;
pub use worker::{Condition, Running, Worker, WorkerOptions};
