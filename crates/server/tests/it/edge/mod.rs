//! The edges through real sockets, over a bank that is one ledger in memory.

mod audited;
mod bad_input;
mod connections;
mod fate;
mod first_calls;
mod group;
mod grpc;
mod half_closed;
mod idempotency;
mod memory_bank;
mod node_calls;
mod payment_calls;
mod pushed;
mod raw_http;
mod raw_http2;
mod reflection;
mod safety;
mod sdk;
mod served;
mod sign_in;
mod slow_readers;
mod tls;
mod v1;
