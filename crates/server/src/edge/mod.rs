//! The edges of a bank node: HTTP for people and programs, gRPC for the fast road.
//!
//! ```text
//! socket ─ connections ─ guard ─ body ─► handlers ─ field, identity ─► port ─► the node
//!            seats,        who      whole,   first_calls, accounts,      (submit, read)
//!            time          may      bounded  transfers, node_calls,            │
//!                          call              grpc                              ▼
//! socket ◄───────────── answer, outcome: JSON, problem+json, gRPC status ◄── answers
//! ```
//!
//! An edge parses, asks the node, and prints. What is malformed never reaches the ledger and burns no id; what was
//! proposed and not answered is told as an open fate, with the id to ask again. Nothing here decides about money.

pub mod accounts;
pub mod answer;
mod asked;
mod audited;
pub mod body;
pub mod bounds;
mod connection;
pub mod connections;
mod cursor;
pub mod customer_calls;
pub mod customers;
pub(crate) mod deadline;
pub mod desk;
pub mod drain;
pub mod first_calls;
mod framing;
pub(crate) mod gateway_holds;
pub mod group;
pub mod grpc;
pub(crate) mod grpc_answers;
pub mod guard;
pub mod health;
pub mod identity;
mod in_flight;
pub mod in_path;
mod limits;
pub mod listing;
pub mod metrics;
pub mod node_calls;
pub mod origin;
pub mod outcome;
mod payments;
pub mod permits;
pub mod port;
pub mod reflection;
pub(crate) mod refusals;
pub mod rejections;
pub(crate) mod request_log;
pub mod router;
mod sources;
pub mod statement;
mod tls;
pub mod transfers;

pub use audited::{AuditedTransfer, AuditedTransfers};
