//! The shell: one node of a bank or of the gateway as a process, with its threads, its peers, HTTP, gRPC and the web page.
//!
//! In reading order: `node` (how the parts are put together), `replica_loop` and `apply_loop` (the two threads that
//! own all state), `peers`, `handle` (what the edges use), `edge` (HTTP and gRPC), `page`, `serve`.
//!
//! The protocol and the rules of money are not here: this crate gives them threads, sockets, files and the time.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    reason = "no data from outside may end a node: each exception says why it cannot be reached"
)]

mod apply_loop;
mod attempts;
pub mod audit;
mod bank_edges;
mod callers;
mod chores;
mod clock;
mod config;
pub mod consul;
pub mod dns;
pub mod edge;
mod expiry;
mod feeder;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod gateway_node;
mod gauges;
mod handle;
mod housekeeping;
mod joining;
mod lending;
mod library;
mod listeners;
mod log_alert;
mod memory;
mod mending;
mod node;
pub mod page;
mod passwords;
mod peers;
mod replica_loop;
pub mod restoring;
mod rot;
mod scrub;
mod serve;
mod service;
pub mod skipped;
mod start;
mod stop;
mod turns;
mod waiting_room;
mod writeback;

pub use config::{AlsoListen, BankNodeConfig, Exit, FailureKind, GatewayNodeConfig, NodeConfig, NodeError};
pub use listeners::ListensAt;
pub use node::{run_bank_node, run_gateway_node};
pub use replica::group::Address;
