//! What a node is told from outside: its group, its bounds, the time, and what it had on disk.

use crate::ids::{Ballot, Batch, NodeId, Slot};

/// Monotonic and wall time, given by the caller with every call: the crate has no clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Now {
    /// Never goes back while the process lives.
    pub mono_us: u64,
    /// May jump; only compared with the other nodes', never used to order anything.
    pub wall_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    pub me: NodeId,
    /// The nodes with a vote, this one among them.
    pub members: Vec<NodeId>,
    /// Nobody proposes slot s before having applied slot s − alpha. At least 1.
    pub alpha: u64,
    /// Length of a heartbeat round.
    pub heartbeat_us: u64,
    /// A node whose clock is further than this from the majority's median does not lead.
    pub clock_skew_max_ms: u64,
    /// The one safety rule that is switched off, for the simulator.
    #[cfg(feature = "controls")]
    pub control: Option<crate::Control>,
}

impl Config {
    /// A node with every rule on.
    pub fn new(me: NodeId, members: Vec<NodeId>, alpha: u64, heartbeat_us: u64, clock_skew_max_ms: u64) -> Config {
        Config {
            me,
            members,
            alpha,
            heartbeat_us,
            clock_skew_max_ms,
            #[cfg(feature = "controls")]
            control: None,
        }
    }
}

/// What the log held when the node started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Recovered {
    pub promised: Ballot,
    /// Only slots above `chosen`, at most one entry each: the last one accepted there.
    pub accepted: Vec<(Slot, Ballot, Batch)>,
    pub chosen: Slot,
}
