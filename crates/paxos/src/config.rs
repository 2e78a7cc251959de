//! What a node is told from outside: its group, its bounds, the time, and what it had on disk.

use crate::ids::{Ballot, Batch, Digest, NodeId, Slot};
use crate::members::Membership;

/// Monotonic and wall time, given by the caller with every call: the crate has no clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Now {
    /// Never goes back while the process lives.
    pub mono_us: u64,
    /// May jump. Compared with the monotonic clock and with the other nodes' clocks; never used to order anything.
    pub wall_ms: u64,
}

/// The policy about who becomes the proposer. Safety never depends on it, so nodes may differ about it for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// The elected node holds it.
    #[default]
    Leader,
    /// Nobody is elected: whoever's requests wait too long takes it.
    Leaderless,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    pub me: NodeId,
    /// Whose slots are: each epoch with its first slot, as known from the checkpoint and from what was replayed behind
    /// it. This node need not be a member.
    pub epochs: Vec<(Slot, Membership)>,
    pub mode: Mode,
    /// For the jitter of leaderless mode: another number on every node and at every start.
    pub seed: u64,
    /// Nobody proposes slot s before having applied slot s − alpha. At least 1.
    pub alpha: u64,
    /// Length of a heartbeat round.
    pub heartbeat_us: u64,
    /// A node whose clock is further than this from the majority's median does not lead, and a clock that moves further
    /// than this against the monotonic one has jumped.
    pub clock_skew_max_ms: u64,
    /// A wall clock that has jumped, and is then consistent for so long, is believed.
    pub jump_trusted_us: u64,
    /// The one safety rule that is switched off, for the simulator.
    #[cfg(feature = "controls")]
    pub control: Option<crate::Control>,
}

impl Config {
    /// A node of the given founders in leader mode, with every rule on.
    pub fn new(me: NodeId, founders: Vec<NodeId>, alpha: u64, heartbeat_us: u64, clock_skew_max_ms: u64) -> Config {
        Config {
            me,
            epochs: vec![(Slot::ZERO, Membership::founders(founders))],
            mode: Mode::Leader,
            seed: u64::from(me.get()),
            alpha,
            heartbeat_us,
            clock_skew_max_ms,
            jump_trusted_us: JUMP_TRUSTED_US,
            #[cfg(feature = "controls")]
            control: None,
        }
    }
}

/// A clock that was set on purpose counts after five minutes: long enough for a mistake to be seen and taken back.
const JUMP_TRUSTED_US: u64 = 300_000_000;

/// What the log held when the node started.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recovered {
    pub promised: Ballot,
    /// Only slots above `chosen`, at most one entry each: the last one accepted there. A vote whose batch is rotten still
    /// stands, by its digest.
    pub accepted: Vec<(Slot, Ballot, Digest, Option<Batch>)>,
    pub chosen: Slot,
    /// The highest slot that the log knew anything of, if `chosen` is lower because chosen batches are rotten. Only
    /// compared with what the peers remember.
    pub held: Slot,
    /// False if a promise or a vote was lost: the node learns and serves what is chosen, and binds itself to nothing.
    pub votes: bool,
}

/// An empty log, which may vote.
impl Default for Recovered {
    fn default() -> Recovered {
        Recovered { promised: Ballot::ZERO, accepted: Vec::new(), chosen: Slot::ZERO, held: Slot::ZERO, votes: true }
    }
}
