//! The wires of Rialto: what callers send, what they are answered, and the client that does both well.
//!
//! - [`code`]: the one table of stable codes; [`problem`]: one occurrence, for both wires
//! - [`json`]: the shapes of HTTP; [`field`]: their texts become values of the ledger
//! - [`idempotency`]: `Idempotency-Key` to id
//! - [`proto`]: generated from `proto/rialto/v1`; [`codec`]: its bytes; [`grpc`]: between those messages and the ledger
//! - [`status`]: one node as everyone outside sees it
//! - [`network`]: which network a gateway belongs to
//! - [`openapi`]: the description of HTTP for programs
//! - [`payment`]: between the messages of payments and the terms of one
//! - [`trace`]: which request a call belongs to
//! - [`cluster`]: which cluster a call is meant for
//! - [`client`]: the SDK over gRPC, for banks and for their customers
//!
//! This crate parses and prints. It decides nothing about money and serves nothing.

pub mod client;
pub mod cluster;
pub mod code;
pub mod codec;
pub mod field;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod group;
pub mod grpc;
mod hidden;
pub mod idempotency;
pub mod json;
pub mod network;
mod new_id;
pub mod openapi;
pub mod payment;
pub mod problem;
pub mod rejection;
pub mod span;
pub mod status;
pub mod trace;

pub use new_id::new_id;

/// Generated from `proto/rialto/v1`.
#[allow(missing_debug_implementations, unreachable_pub, reason = "generated code")]
pub mod proto {
    tonic::include_proto!("rialto.v1");

    /// The `.proto` files as they were compiled, a `google.protobuf.FileDescriptorSet`: what reflection answers from.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rialto.v1.descriptors"));
}
