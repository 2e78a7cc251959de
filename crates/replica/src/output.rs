//! What the shell has to do after a step.

use crate::desk::Refusal;
use crate::input::Vows;
use crate::message::Message;
use bytes::Bytes;
use paxos::{Batch, Event, NodeId, Serve, Slot, Vow};
use storage::{JournalMark, LogRecord, Unsynced};

/// What the shell has to do after a step. Sending and applying need not wait for the sync.
#[derive(Debug, Default)]
pub struct Output {
    pub(crate) records: Vec<LogRecord>,
    pub(crate) vows: Vec<(NodeId, Vow)>,
    /// To be sent now.
    pub send: Vec<(NodeId, Message)>,
    /// Chosen batches to be applied, in order and without gaps.
    pub apply: Vec<(Slot, Batch)>,
    /// Members that ask for chosen batches: read them from the log and send `Learned`.
    pub serve: Vec<Serve>,
    /// Callers whose request found no slot.
    pub refuse: Vec<(u64, Refusal)>,
    /// Reads that may be answered once the slot is applied.
    pub reads: Vec<(u64, Slot)>,
    /// Reads whose time was up.
    pub reads_refused: Vec<u64>,
    /// The log below this slot is needed by nobody any more.
    pub trim: Option<Slot>,
    /// Members that lack the journal from a place on: read it and send `Journal`, with the mark where it stands.
    pub journal_read: Vec<(NodeId, u64)>,
    /// The journal is to be received: apply what was handed over before, then give [`crate::Input::Receiving`] the mark
    /// where the journal stands. No batch comes to be applied until [`crate::Input::Installed`].
    pub begin_transfer: bool,
    /// Pieces to be written to the journal, each from its place on; after each give `Receiving` or `JournalRefused`.
    pub journal_write: Vec<(u64, Bytes)>,
    /// All through this mark is written: mark it as chosen in the log, synced; then make the checkpoint of it, open the
    /// applier anew and give [`crate::Input::Installed`].
    pub finish_transfer: Option<JournalMark>,
    /// This node's books differ from a majority's: keep the evidence and stop.
    pub diverged: Option<Divergence>,
    /// What an operator may want to know.
    pub events: Vec<Event>,
}

/// The evidence that a node's books differ from a majority's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The slot at which they were compared.
    pub slot: Slot,
    /// What this node found.
    pub own: [u8; 32],
    /// What the others found.
    pub others: Vec<(NodeId, [u8; 32])>,
}

impl Output {
    /// Takes what must be written and synced, together with what may leave only then; none when there is nothing.
    pub fn take_unsynced(&mut self) -> Option<Unsynced<Vows>> {
        if self.records.is_empty() && self.vows.is_empty() {
            return None;
        }
        Some(Unsynced::new(std::mem::take(&mut self.records), Vows(std::mem::take(&mut self.vows))))
    }

    /// Does anything wait for the next sync? Marks of what is chosen may ride with a later one.
    pub fn has_vows(&self) -> bool {
        !self.vows.is_empty()
    }
}
