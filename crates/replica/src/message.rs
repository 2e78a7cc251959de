//! What the nodes of one group say to each other: Paxos's messages, requests passed on to the proposer, digests to
//! compare, and the journal for who lacks it.

use crate::group::Change;
use crate::request::{Tag, Tagged};
use bytes::Bytes;
use paxos::Slot;
use storage::JournalMark;

/// One message between two members of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// Paxos's own.
    Paxos(paxos::Message),
    /// Requests of the sender's callers, for the receiver to propose if it is the proposer, or to relay to who does where
    /// the sender has no connection to that node.
    Forward(Vec<Forwarded>),
    /// These were not proposed and will not be, as far as these attempts are concerned.
    ForwardRefused(Vec<RefusedForward>),
    /// Please see to it that every slot up to this one gets chosen; a read waits for it.
    Nudge(Slot),
    /// As `Forward`, for a change of the group.
    ForwardChange(ForwardedChange),
    /// What the sender's books are after this slot, as far as a check looks at them.
    Digest {
        /// The slot that holds the check.
        slot: Slot,
        /// Of the journal's chain and of the slice that the check names.
        digest: [u8; 32],
    },
    /// Please send the journal's records from this place on.
    FetchJournal {
        /// The first place that the sender lacks.
        from_place: u64,
    },
    /// A piece of the sender's journal.
    Journal {
        /// Place of the first record.
        from_place: u64,
        /// Where the sender's journal stands.
        mark: JournalMark,
        /// Whole records, at most [`JOURNAL_BYTES_MAX`]; none when there is nothing from that place on.
        records: Bytes,
    },
}

/// Most bytes of records in one message.
pub const JOURNAL_BYTES_MAX: usize = 1 << 20;

/// A change of the group passed on, and which of its sender's attempts this is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ForwardedChange {
    /// Who waits for it.
    pub tag: Tag,
    /// Counts the sender's attempts from 1.
    pub attempt: u32,
    /// The change.
    pub change: Change,
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
    /// Number of the node whose caller waits for the request: another than the receiver where that one relayed it.
    pub origin: u16,
    /// Number of the request, by that node.
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
    /// It is not the proposer.
    NotProposer,
    /// It holds all that it may.
    Full,
}
