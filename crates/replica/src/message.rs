//! What the nodes of one group say to each other: Paxos's messages, and requests passed on to who holds the pen.

use crate::request::Tagged;
use paxos::Slot;

/// One message between two members of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// Paxos's own.
    Paxos(paxos::Message),
    /// Requests of the sender's callers, for the receiver to propose if it holds the pen.
    Forward(Vec<Forwarded>),
    /// These were not proposed and will not be, as far as these attempts are concerned.
    ForwardRefused(Vec<RefusedForward>),
    /// Please see to it that every slot up to this one gets chosen; a read waits for it.
    Nudge(Slot),
}

/// A request passed on, and which of its sender's attempts this is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Forwarded {
    /// The request and who waits for it.
    pub request: Tagged,
    /// Counts the sender's attempts for this request from 1.
    pub attempt: u32,
}

/// An attempt that came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RefusedForward {
    /// Number of the request, by the node that it came from.
    pub seq: u64,
    /// The process start that it belongs to.
    pub boot: u64,
    /// Which attempt.
    pub attempt: u32,
    /// Why.
    pub why: ForwardRefusal,
}

/// Why a node does not propose what was passed on to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForwardRefusal {
    /// It does not hold the pen.
    NoPen,
    /// It holds all that it may.
    Full,
}
