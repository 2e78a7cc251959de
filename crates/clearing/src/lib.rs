//! Payments between banks: what the gateway's group replicates, and the rules of a client's outbox.
//!
//! One deterministic state machine, [`Clearing`]. Requests come in as bytes, in the order of the log; every outcome and
//! change is a record in the journal, from which the state can be made again. Beside it, as values without IO: the agenda
//! of what is still to do, the driver of one payment, and the outbox of a client that is often offline.
//!
//! ```text
//! client ── outbox ──► Take ─► rules ─► record ─► journal ─ fold ─► checkpoint
//!                               │                                       │
//!                             state ◄───────────── restore ─────────────┘
//!                               │
//!                             agenda ─► driver ─► calls ─► banks
//!                               ▲         └─ Report, TimeOut, Delivered ─► log
//!                               └─────────────── chosen ◄──────────────────┘
//! ```
//!
//! What is not here: no file, no clock, no randomness, no network, no thread, no float, and no order that comes from
//! hashing. Nothing that arrives from outside can make it panic; a broken relation inside does, before money moves on.
//! Passwords, tokens and private keys are never here either: sessions have numbers, keys their public half.
//!
//! Reading order: [`names`], [`order`], [`finding`], [`outcome`]: the values. [`payment`]: its phases. [`command`]: what
//! goes in; `rules` (private): what decides. [`agenda`], [`driver`], [`replay`], [`told`]: what a node does about it.
//! [`request`], [`record`], [`checkpoint`]: the bytes. [`outbox`]: the client's side. [`invariant`]: what must hold after
//! every step.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    reason = "no data from outside may end a node: each exception says why it cannot be reached"
)]

pub mod agenda;
pub mod bank;
mod bytes;
mod charge;
pub mod checkpoint;
mod clearing;
pub mod command;
pub mod control;
pub mod driver;
pub mod finding;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod invariant;
pub mod names;
pub mod order;
pub mod outbox;
pub mod outcome;
pub mod payment;
pub mod position;
pub mod record;
pub mod replay;
pub mod request;
mod restore;
mod rules;
mod seed;
pub mod session;
pub mod settings;
mod state;
pub mod told;

pub use agenda::{Call, CallKind};
pub use bank::Recall;
pub use bytes::Bad;
pub use checkpoint::fold_effects;
pub use clearing::Clearing;
pub use command::{Command, PaymentRequest};
pub use driver::{Action, Driver, Reply};
pub use finding::{Finding, Reported, Vote, Word};
pub use names::{BankName, BankNumber, CustomerName, Epoch, GroupId, KeyId, NodeNumber, SessionId};
pub use order::{Holder, NamedParty, Order, Pair, Party, PaymentId, Side, Terms};
pub use outcome::{Answer, Delivery, Outcome, Reason, Refusal, Status, Verdict};
pub use payment::{Cause, OperatorName, Origin, Owed, Payment, Phase, Risk, Wish};
pub use position::{Position, PositionKey};
pub use record::{Body, Record, RecordError, decision_key, payment_key, record_key};
pub use request::{Malformed, Request};
pub use restore::RestoreError;
pub use seed::Seed;
pub use settings::{SettingChange, SettingEntry, Settings};
