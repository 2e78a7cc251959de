//! The edges through real sockets, over a bank that is one ledger in memory.

mod bad_input;
mod connections;
mod fate;
mod first_calls;
mod group;
mod grpc;
mod idempotency;
mod memory_bank;
mod node_calls;
mod payment_calls;
mod raw_http;
mod safety;
mod sdk;
mod served;
mod tls;
mod v1;
