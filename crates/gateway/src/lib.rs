//! The gateway: payments between banks as the state machine of a replicated group.
//!
//! [`clearing`] knows nothing of logs, the replica nothing of payments; this crate is the seam, and nothing else: it
//! decides nothing, performs no IO, and cannot fail. [`Machine`] applies, [`GatewayView`] answers questions.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    reason = "no data from outside may end a node: each exception says why it cannot be reached"
)]

mod machine;
mod view;

pub use machine::{GatewayAnswer, Machine, paid};
pub use view::{DecidedPage, GatewayView, Known, PastError};
