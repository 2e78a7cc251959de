//! What the nodes of a group say to each other, and which of it must wait for the disk.
//!
//! `Accept` and `Chosen` leave at once, beside the sync. A `Promise`, an `Accepted` (the proposer's own included) and
//! the `Prepare` of a new ballot bind the node for ever, so they come out as a [`Vow`]: the shell keeps it closed until
//! everything persisted up to it is on disk.

use crate::ids::{Ballot, Batch, Digest, Slot};

/// One message between two nodes of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// "Promise me to refuse everything below this ballot, in the whole log, and tell me what you accepted."
    Prepare {
        ballot: Ballot,
    },
    /// Everything at or below `floor` is chosen and known here; above it, all that was accepted.
    Promise {
        ballot: Ballot,
        floor: Slot,
        accepted: Vec<Report>,
    },
    /// `ballot` comes too late: a higher one is promised here.
    Refused {
        ballot: Ballot,
        promised: Ballot,
    },
    /// "Send me the batch that you reported in your promise."
    FetchBatch {
        slot: Slot,
        ballot: Ballot,
    },
    FetchedBatch {
        slot: Slot,
        ballot: Ballot,
        batch: Batch,
    },
    /// The proposal of a slot; `chosen` rides along so that a busy group needs no message of its own for it.
    Accept {
        ballot: Ballot,
        slot: Slot,
        batch: Batch,
        chosen: Option<ChosenMark>,
    },
    /// A durable vote.
    Accepted {
        ballot: Ballot,
        slot: Slot,
    },
    Chosen(ChosenMark),
    /// "Send me chosen batches from this slot on." Answered by the shell, from the log, with `Learned`.
    Learn {
        from: Slot,
    },
    /// Batches that are chosen, the first at slot `from`, the others behind it without gap.
    Learned {
        from: Slot,
        batches: Vec<Batch>,
    },
    Heartbeat {
        round: u64,
        pulse: Pulse,
    },
    /// Echoes the round of the heartbeat that it answers: so the asker knows that both directions work.
    HeartbeatReply {
        round: u64,
        pulse: Pulse,
    },
    /// "What is the highest slot that you accepted, or that lies at your floor?" `read` numbers the asker's question.
    ReadQuery {
        read: u64,
    },
    ReadReply {
        read: u64,
        accepted: Slot,
    },
    /// "What is the most that you have heard from me?" Asked by a node that starts, before it binds itself to anything.
    Remember,
    /// The highest ballot and the highest slot that the sender knows its receiver to have bound itself with.
    Memory {
        promised: Ballot,
        accepted: Slot,
    },
    /// The answer to a prepare, an accept or a read of a node that is in no membership from the sender's floor on.
    NotMember {
        floor: Slot,
        version: u64,
    },
    /// The answer to `Learn { from }` where the log begins only at slot `first`. Sent by the shell.
    Behind {
        from: Slot,
        first: Slot,
    },
}

/// What a promise says of one slot above the floor. The batch itself is fetched only if the asker lacks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Report {
    pub slot: Slot,
    pub ballot: Ballot,
    pub digest: Digest,
}

/// Said by the holder of `ballot`: every slot at or below `through` is chosen, and where a node accepted such a slot under
/// *this* ballot, its copy is what was chosen. A copy accepted under any other ballot may be stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChosenMark {
    pub through: Slot,
    pub ballot: Ballot,
}

/// What every heartbeat and every reply to one tells about its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pulse {
    /// The sender's steady clock, in Unix milliseconds: its wall clock without jumps.
    pub clock_ms: u64,
    /// Whether the sender's wall clock has jumped and is not believed.
    pub clock_jumped: bool,
    /// What the sender's acceptor promised, as far as it is known to be on disk.
    pub promised: Ballot,
    /// The highest slot that the sender accepted or knows to be chosen, as far as that is known to be on disk.
    pub accepted: Slot,
    /// The highest ballot that the sender has heard of; its owner is whom it takes for the leader.
    pub leader: Ballot,
    /// Whether that leader is in sight and has its majority (for the leader itself: whether it has).
    pub happy: bool,
    /// All through here is chosen and can be learned from the sender.
    pub chosen: Slot,
    /// The same, as far as that is known to be on disk: no crash makes the sender forget it.
    pub kept: Slot,
    /// All through here is in the sender's durable checkpoint.
    pub checkpoint: Slot,
}

/// A message that binds its sender for ever: it may leave only after everything persisted up to it is on disk.
/// It can be addressed to the sender itself (its own promise, its own vote) and counts there by the same rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Vow {
    message: Message,
    /// What was chosen here when it was made. Marks are records too, so once this vow is released, so much is kept.
    floor: Slot,
}

impl Vow {
    pub(crate) fn new(message: Message, floor: Slot) -> Vow {
        debug_assert!(matches!(message, Message::Prepare { .. } | Message::Promise { .. } | Message::Accepted { .. }));
        Vow { message, floor }
    }

    /// For whoever holds the proof that the records persisted with it, and before it, are synced.
    pub fn into_message(self) -> Message {
        self.message
    }

    /// What it will say: for codecs and tests, not for sending.
    pub fn peek(&self) -> &Message {
        &self.message
    }

    pub(crate) fn floor(&self) -> Slot {
        self.floor
    }
}
