//! What a replicated state machine must offer, and the door through which it reaches its past.
//!
//! The machine is deterministic: the same requests in the same slots give the same answers and the same journal
//! records on every node. It keeps in memory what it needs to decide; what it decided long ago is in the journal, one
//! fixed-size record per outcome, found again by its key.

use storage::{FoldRules, IndexKey, JournalRecord};

/// Where a request stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The slot that holds it.
    pub slot: u64,
    /// The log's time when it was proposed, in Unix milliseconds: a proposal for the machine's own, never-falling time.
    pub clock_ms: u64,
}

/// The journal as the machine sees it while it applies one batch.
pub trait JournalPort {
    /// The record pushed under this key, in this batch or any earlier one.
    ///
    /// Only keys that [`StateMachine::keys`] named for the batch may be asked for: they were looked up before.
    fn find(&self, key: IndexKey) -> Option<JournalRecord>;

    /// Adds a record, findable under `key` from now on, and returns its place in the journal.
    fn push(&mut self, key: Option<IndexKey>, record: &JournalRecord) -> u64;

    /// The place that the next pushed record will get.
    fn next_place(&self) -> u64;
}

/// A deterministic state machine over a journal. `FoldRules` say how its records fold into a checkpoint.
pub trait StateMachine: FoldRules + Send + 'static {
    /// What the caller of a request is told.
    type Answer: Clone + std::fmt::Debug + Send + 'static;

    /// Adds the keys whose records this request may ask for. A request that cannot be read adds none.
    fn keys(request: &[u8], out: &mut Vec<IndexKey>);

    /// Looks whether a record of the journal is one that this build knows: only such records are found by [`JournalPort::find`].
    ///
    /// # Errors
    /// A sentence, when it is of another version's kind or format.
    fn check_record(record: &JournalRecord) -> Result<(), String>;

    /// Applies one request. Never fails: what cannot be done, or read, is an answer too.
    fn apply(&mut self, at: At, request: &[u8], journal: &mut dyn JournalPort) -> Self::Answer;

    /// The latest time, in Unix milliseconds, that anything here happened at; 0 while nothing has.
    fn time_ms(&self) -> u64;

    /// Takes one entry of the checkpoint, in the order of keys.
    ///
    /// # Errors
    /// A sentence, when the entry is not of a known format.
    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), String>;

    /// All entries of the checkpoint have been given.
    ///
    /// # Errors
    /// A sentence, when the entries do not fit together.
    fn restored(&mut self) -> Result<(), String>;

    /// Digest of the whole present state: equal on any two nodes that have applied the same slots.
    fn digest(&self) -> [u8; 32];

    /// Digest of one of `of` slices of the present state: equal on any two nodes that have applied the same slots, and
    /// quick, for payments wait meanwhile. All slices together leave nothing out.
    fn slice_digest(&self, slice: u64, of: u64) -> [u8; 32];
}
