//! Log, journal, id runs and checkpoint of one node, all through a [`Disk`] that may fail.

mod checksum;
mod directory;
mod disk;
mod error;
mod faulty_disk;
pub mod identity;
mod journal;
mod lock;
mod log;
mod real_disk;
mod store;

pub use disk::{Disk, DiskFile};
pub use error::{LogError, OpenError, StorageError};
pub use faulty_disk::{CrashReport, FaultyDisk, FaultyFile};
pub use identity::{Identity, Owner};
pub use journal::{HEADER_KIND, Journal, JournalMark, JournalReader, JournalRecord, RECORD};
pub use lock::{DirLock, LockError};
pub use log::{Log, LogOptions, LogRecord, LogRecovered, Pending, Spare, SpareJob, Synced, Unsynced};
pub use real_disk::RealDisk;
pub use store::{Entries, FoldJob, FoldRules, Folded, Store};

/// Safety rules that the simulator may switch off, one at a time.
#[cfg(feature = "controls")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// What must wait for the disk leaves at once: the caller uses `Pending::release_without_proof`.
    ReleaseUnsynced,
    /// The run of ids that a fold builds goes on to the journal's end, past the checkpoint.
    RunPastCheckpoint,
}
