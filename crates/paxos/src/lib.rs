//! One Paxos log, sans-IO.

mod config;
mod effects;
mod ids;
mod message;
mod paxos;
mod status;

#[cfg(feature = "controls")]
pub use config::Control;
pub use config::{Config, Now, Recovered};
pub use effects::{Effects, Event, Record, Serve};
pub use ids::{Ballot, Batch, Digest, NodeId, Slot};
pub use message::{ChosenMark, Message, Pulse, Report, Vow};
pub use paxos::{NotProposed, Paxos};
pub use status::{PeerStatus, Role, Status};
