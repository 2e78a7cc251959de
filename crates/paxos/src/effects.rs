//! What the shell must do after a call: the crate itself does no IO.
//!
//! The order matters in one place only: `persist` is appended to the log before anything in `vows` leaves (after a
//! sync) and before anything in `chosen` is applied (no sync needed).

use crate::ids::{Ballot, Batch, NodeId, Slot};
use crate::message::{Message, Vow};

/// What must go to the log, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    Promised(Ballot),
    Accepted {
        slot: Slot,
        ballot: Ballot,
        batch: Batch,
    },
    /// The chosen batch of the slot after the last chosen one. It replaces what was accepted there, and by itself marks
    /// everything through `slot` as chosen, so that a crash between it and the `Chosen` behind it loses nothing.
    Learned {
        slot: Slot,
        batch: Batch,
    },
    /// Everything through this slot is chosen; the last record of each slot is what was chosen there.
    Chosen {
        through: Slot,
    },
}

/// A peer asks for chosen batches: the shell reads them from the log and sends one bounded `Learned`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Serve {
    pub to: NodeId,
    pub from: Slot,
}

/// What an operator may want to know. Nothing depends on anybody reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// This node may send accepts.
    BecameProposer(Ballot),
    /// It may not any more; `to` is the ballot that it was shown, or its own if it stepped down.
    NoLongerProposer {
        to: Ballot,
    },
    /// Who leads, as far as this node knows, changed.
    Leader(Option<NodeId>),
    /// This node's clock is off by this much (positive: ahead) from the majority's median: in leader mode it neither leads
    /// nor stands.
    ClockOff {
        skew_ms: i64,
    },
    ClockFine,
    /// The wall clock moved by this much against the monotonic clock, and is not believed: time goes on without it.
    ClockJumped {
        by_ms: i64,
    },
    /// The wall clock is believed again: it came back, a majority says the same, or it stayed where it is.
    ClockSteady,
    /// A majority answers this node again, or no longer does.
    Quorum(bool),
    /// A peer has heard more from this node than it holds: its disk is wiped, another's, or an older copy. It votes no
    /// more in this process.
    Forgetful {
        by: NodeId,
        ballot: Ballot,
        slot: Slot,
    },
    /// A peer says that this node is not a member any more, as of that version of the group. Only a hint: what counts
    /// is the log, which this node has still to learn.
    NotMember {
        by: NodeId,
        version: u64,
    },
}

/// Filled by the calls of [`crate::Paxos`]; the caller empties it by acting on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Effects {
    pub persist: Vec<Record>,
    /// To be sent at once.
    pub send: Vec<(NodeId, Message)>,
    /// To be sent (or, if addressed to this node, given to `on_message`) once `persist` is synced.
    pub vows: Vec<(NodeId, Vow)>,
    /// Contiguous and in order: to be applied, after `persist` was appended.
    pub chosen: Vec<(Slot, Batch)>,
    pub serve: Vec<Serve>,
    /// This read may be answered once everything through that slot is applied.
    pub reads: Vec<(u64, Slot)>,
    /// Ask that leader to propose no-ops through the slot.
    pub nudges: Vec<(NodeId, Slot)>,
    pub events: Vec<Event>,
    /// That peer's log begins only after what this node needs next: it must be sent state.
    pub behind: Option<NodeId>,
}

impl Effects {
    pub fn is_empty(&self) -> bool {
        let Effects { persist, send, vows, chosen, serve, reads, nudges, events, behind } = self;
        persist.is_empty()
            && send.is_empty()
            && vows.is_empty()
            && chosen.is_empty()
            && serve.is_empty()
            && reads.is_empty()
            && nudges.is_empty()
            && events.is_empty()
            && behind.is_none()
    }
}
