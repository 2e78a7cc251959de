//! A snapshot of one node for people: tables, pages, metrics. Nothing in the protocol reads it.

use crate::config::Mode;
use crate::ids::{Ballot, NodeId, Slot};
use crate::members::Membership;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Follower,
    /// Has prepared a ballot and waits for promises, or finishes what it found.
    Standing,
    /// It is the proposer.
    Leader,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub role: Role,
    pub leader: Option<NodeId>,
    /// The highest ballot that this node has heard of.
    pub ballot: Ballot,
    pub promised: Ballot,
    /// The highest slot accepted here, or the last chosen one if that is higher.
    pub accepted: Slot,
    pub chosen: Slot,
    pub applied: Slot,
    pub checkpoint: Slot,
    pub peers: Vec<PeerStatus>,
    /// This node's wall clock minus the median of the group's clocks; positive: ahead.
    pub clock_skew_ms: i64,
    /// The clock is too far from the others': the node neither leads nor stands, and callers do better elsewhere.
    pub clock_off: bool,
    /// The wall clock has moved against the monotonic one and is not believed.
    pub clock_jumped: bool,
    /// What the group's clocks say, as far as this node knows, in Unix milliseconds.
    pub group_clock_ms: u64,
    /// Whether a majority answers this node.
    pub quorum: bool,
    pub mode: Mode,
    /// The proposer, or the node that is about to be it, as far as known here.
    pub proposer: Option<NodeId>,
    /// Whether this node promises and votes. It does not while its peers have still to tell what they remember of it, nor
    /// ever again in this process if they remember more than it holds, or if its disk has lost a vote.
    pub votes: bool,
    /// This process saw the node as a member, and the node may now be switched off for good.
    pub may_leave: bool,
    /// Whose the slot after the last chosen one is.
    pub membership: Membership,
    /// The newest change that is chosen and not in force yet, with its first slot.
    pub next_membership: Option<(Slot, Membership)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    pub node: NodeId,
    pub voter: bool,
    pub connected: bool,
    /// Whether it answered one of the last heartbeats.
    pub answers: bool,
    pub promised: Ballot,
    pub chosen: Slot,
    pub checkpoint: Slot,
    /// Since its last heartbeat or reply; `None` if it was never heard.
    pub heard_us_ago: Option<u64>,
}
