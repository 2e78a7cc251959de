//! The gateway: payments between banks as the state machine of a replicated group.
//!
//! [`clearing`] knows nothing of logs, the replica nothing of payments; this crate is the seam, and nothing else: it
//! decides nothing, performs no IO, and cannot fail. [`Machine`] applies, [`GatewayView`] answers questions.

mod machine;
mod view;

pub use machine::{GatewayAnswer, Machine, paid};
pub use view::{GatewayView, Known, PastError};
