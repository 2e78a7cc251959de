//! Persist before send, as types.
//!
//! A promise or a vote may leave the node only once it is on the disk. Here that is not a matter of care: what depends
//! on records comes as `Unsynced<T>`, and there is one way out.
//!
//! ```text
//!   Unsynced<T> ── Log::append ──► Pending<T> ── release(&Synced) ──► T
//!                                                       ▲
//!                                  Log::sync ───────────┘  the only maker of the proof
//! ```

use std::fmt;

use bytes::Bytes;

/// What the Paxos part of a node must not forget. The kinds are numbered in `record.rs`; the numbers are stable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogRecord {
    /// No ballot below this one is answered any more, at any slot.
    Promised { round: u64, node: u16 },
    /// This batch was accepted in this slot under this ballot.
    Accepted { slot: u64, round: u64, node: u16, batch: Bytes },
    /// This batch was learned to be chosen in this slot, whatever was accepted there.
    Learned { slot: u64, batch: Bytes },
    /// All slots through this one are chosen, and the batch that the log holds for each is the chosen one.
    Chosen { through: u64 },
}

/// A value that may leave only after its records are on the disk.
#[must_use = "what is held here leaves only through Log::append"]
pub struct Unsynced<T> {
    pub(crate) records: Vec<LogRecord>,
    pub(crate) held: T,
}

impl<T> Unsynced<T> {
    pub fn new(records: Vec<LogRecord>, held: T) -> Unsynced<T> {
        Unsynced { records, held }
    }

    /// The records, to look at; the held value cannot be seen.
    pub fn records(&self) -> &[LogRecord] {
        &self.records
    }
}

impl<T> fmt::Debug for Unsynced<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsynced").field("records", &self.records).finish_non_exhaustive()
    }
}

/// Written, not yet known to be on the disk.
#[must_use = "what is held here leaves only with a proof of sync"]
pub struct Pending<T> {
    pub(crate) log: u64,
    pub(crate) group: u64,
    pub(crate) held: T,
}

impl<T> Pending<T> {
    /// Gives the value out if the proof covers it, and itself back if the proof is older or of another log.
    pub fn release(self, proof: &Synced) -> Result<T, Pending<T>> {
        if proof.log == self.log && proof.through >= self.group { Ok(self.held) } else { Err(self) }
    }

    /// Breaks the rule (control `ReleaseUnsynced`): gives the value out without any proof.
    #[cfg(feature = "controls")]
    pub fn release_without_proof(self) -> T {
        self.held
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("group", &self.group).finish_non_exhaustive()
    }
}

/// The proof that everything appended to one log before one sync is on the disk. Made only by [`crate::Log::sync`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    pub(crate) log: u64,
    pub(crate) through: u64,
}
