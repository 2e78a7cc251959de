//! Consul: where a network's nodes say that they are there, and find each other.
//!
//! ```text
//! service rialto-bank, rialto-gateway    an instance a node: where it serves gRPC, meta group and node, a check
//! key     cert/<group>/<node>            the node's public certificate
//! key     cert/ca                        the network's CA, for customers who have none yet
//! ```
//!
//! Consul is asked for addresses, never for trust: a certificate found there must be of the pinned CA and of the node that
//! it is filed under, and the node that is then called must show one itself. What Consul does not know for a while is
//! still known here: whoever was found once stays known until somebody else is found in its place.

mod client;
mod find;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod present;

pub use client::{Check, Consul, ConsulConfig, ConsulError};
pub(crate) use find::follow_banks;
pub use find::{Instance, Service, authority, follow_gateways, gateways};
pub(crate) use present::Present;
