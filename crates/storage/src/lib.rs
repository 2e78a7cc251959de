//! Log, journal, id runs and checkpoint of one node, all through a [`Disk`] that may fail.
//!
//! ```text
//!   DIR/identity   who the node is                      DIR/lock      held by the process that runs it
//!   DIR/log/       [`Log`]: promises, votes and chosen marks; synced before anybody hears of them
//!   DIR/journal/   [`Journal`]: every outcome, in order; written while applied, synced in the background
//!   DIR/store/     [`Store`]: the checkpoint, and the manifest that says which files count
//!   DIR/ids/       its runs: id → place in the journal
//! ```
//!
//! The order of syncs, which every reader of these files relies on:
//! the journal through a mark; then the table and the runs made from it, which reach exactly that mark; then the manifest
//! that makes them count; and only then may the log be trimmed below it, which the replica asks for.
//!
//! After a crash each part says what it holds: the log drops a torn tail of its last unsynced group (and reports it), the
//! journal writes torn batches anew and refuses to write other ones over whole ones, the store has either the old
//! version or the new.
//!
//! Bytes that were synced and are not what was written are *rot*. The log opens on it and says what is lost ([`LogRecovered`]).
//! The others do not open, or fail when they read it, and say which [`Part`] it is, which file, where and what. What then:
//!
//! ```text
//!   Log::find ─► chosen                                    what may be rebuilt reaches no further
//!   Store::open: rot ─► Store::discard, Store::open        an empty one, to be rebuilt
//!   Journal::open(store.mark()): rot ─► Journal::salvage   good up to a batch; that one comes from a peer: Journal::receive,
//!                                                          the good ones behind it are there still: Journal::take_over
//!   Store::rebuild                                         table and runs are functions of the journal
//!   LogFound::open(checkpoint)
//! ```
//!
//! This crate starts no thread, knows no clock and no randomness, and reads and writes only through the disk it is
//! given. What takes long is a value with a `run`: [`FoldJob`], [`SpareJob`].

mod checksum;
mod directory;
mod disk;
mod error;
mod faulty_disk;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod identity;
mod journal;
mod lock;
mod log;
pub mod private;
mod real_disk;
mod store;

pub use disk::{Disk, DiskFile};
pub use error::{LogError, OpenError, Part, StorageError};
pub use faulty_disk::{CrashReport, FaultyDisk, FaultyFile, LogPlace, Target};
pub use identity::{FirstMode, Identity, Owner};
pub use journal::{
    HEADER_KIND, Journal, JournalMark, JournalReader, JournalRecord, RECORD, RECORD_BODY, Received, leftovers,
};
pub use lock::{DirLock, LockError};
pub use log::{
    Digest, Log, LogFound, LogOptions, LogRecord, LogRecovered, LogRot, LogVote, Pending, Spare, SpareJob, Synced,
    Unsynced,
};
pub use real_disk::RealDisk;
pub use store::{Entries, FoldJob, FoldRules, Folded, IndexKey, Put, Store};

/// Safety rules that the simulator may switch off, one at a time.
#[cfg(feature = "controls")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// What must wait for the disk leaves at once: the caller uses `Pending::release_without_proof`.
    ReleaseUnsynced,
    /// Promises and votes stand in the first place of the log only, and one that was lost there counts as never given.
    VotesInOnePlace,
    /// The run of ids that a fold builds goes on to the journal's end, past the checkpoint.
    RunPastCheckpoint,
}
