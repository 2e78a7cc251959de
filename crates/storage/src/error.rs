//! What can go wrong, in one plain sentence each: what was being done, to which file, where, and why it failed.
//!
//! [`StorageError`] is for a node that runs, [`OpenError`] for one that starts. Whoever gets a `StorageError` from the
//! log or the journal stops the node: a failed write or sync is never retried on the same files by the same process.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

/// A part of a node's files: what is damaged decides how it is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Votes, promises and batches that wait to be applied. [`crate::Log`] mends itself when it is opened.
    Log,
    /// What was applied. The rest from the first bad batch on comes from a peer: [`crate::Journal::salvage`].
    Journal,
    /// The checkpoint: thrown away with the runs and made again from the journal: [`crate::Store::discard`].
    Store,
    /// The runs of ids: as the checkpoint.
    Ids,
    /// Who the directory belongs to. Nothing here can mend that.
    Identity,
}

impl Part {
    /// The directory or file under the node's directory, which is also what people call it.
    pub fn name(self) -> &'static str {
        match self {
            Part::Log => "log",
            Part::Journal => "journal",
            Part::Store => "store",
            Part::Ids => "ids",
            Part::Identity => "identity",
        }
    }
}

/// A failure of the disk, or of what it gave back.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The disk refused an operation.
    #[error("{doing} {}: {}", At(path, *offset), plain(source))]
    Io { doing: &'static str, path: PathBuf, offset: Option<u64>, source: io::Error },
    /// Bytes that were known to be on the disk are not what was written.
    #[error("{} is damaged: {what}", At(path, Some(*offset)))]
    Rot { part: Part, path: PathBuf, offset: u64, what: String },
    /// Records that somebody sent do not go on where this journal ends, or are not what their hash says.
    #[error("{} does not take the records that were sent for {place}: {what}", path.display())]
    Refused { path: PathBuf, place: u64, what: String },
    /// What was made again from the log differs from what the journal holds.
    #[error(
        "{} holds another outcome of slot {slot} than the log gives now (record {place}): this node has diverged from itself",
        At(path, Some(*offset))
    )]
    Diverged { path: PathBuf, offset: u64, slot: u64, place: u64 },
    /// A record whose bytes are what was written, and that this build does not know.
    #[error(
        "{} holds a record, number {place}, that this version of the program cannot read: {what}; start the version that wrote it",
        path.display()
    )]
    Unreadable { path: PathBuf, place: u64, what: String },
    /// An earlier failure made this file unusable for this process.
    #[error("{} is closed to this process after an earlier failure ({first})", path.display())]
    Poisoned { path: PathBuf, first: Arc<str> },
    /// One record is larger than the log takes.
    #[error("a log record of {bytes} bytes is larger than the {limit} bytes that {} takes", path.display())]
    TooLarge { path: PathBuf, bytes: u64, limit: u64 },
    /// A place of the journal that was not written yet, or a slot that the log does not hold.
    #[error("{} holds nothing at {wanted}: it ends at {end}", path.display())]
    Absent { path: PathBuf, wanted: u64, end: u64 },
}

/// What [`crate::Log`] answers with.
pub type LogError = StorageError;

impl StorageError {
    pub(crate) fn io(
        doing: &'static str,
        path: &Path,
        offset: impl Into<Option<u64>>,
    ) -> impl FnOnce(io::Error) -> StorageError {
        let (path, offset) = (path.to_path_buf(), offset.into());
        move |source| StorageError::Io { doing, path, offset, source }
    }

    pub(crate) fn rot(part: Part, path: &Path, offset: u64, what: impl Into<String>) -> StorageError {
        StorageError::Rot { part, path: path.to_path_buf(), offset, what: what.into() }
    }

    /// The disk has no room: nothing that was acknowledged is lost, and the node starts again when there is room.
    pub fn is_full(&self) -> bool {
        matches!(self, StorageError::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// The disk itself failed (EIO and its like), as opposed to being full.
    pub fn is_disk_failure(&self) -> bool {
        matches!(self, StorageError::Io { .. }) && !self.is_full()
    }

    /// Bytes that were safe on the disk have changed or are gone.
    pub fn is_rot(&self) -> bool {
        self.rotten_part().is_some()
    }

    /// Which part it is that has rotted.
    pub fn rotten_part(&self) -> Option<Part> {
        match self {
            StorageError::Rot { part, .. } => Some(*part),
            StorageError::Io { .. }
            | StorageError::Refused { .. }
            | StorageError::Diverged { .. }
            | StorageError::Unreadable { .. }
            | StorageError::Poisoned { .. }
            | StorageError::TooLarge { .. }
            | StorageError::Absent { .. } => None,
        }
    }
}

/// Why a part of the storage does not open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Bytes that were known to be on the disk are not what was written; the node must not start on them.
    #[error("{} is damaged: {what}", At(file, Some(*offset)))]
    Rot { part: Part, file: PathBuf, offset: u64, what: String },
    /// The file belongs to another node or cluster, or was written in a format that this build does not know.
    #[error("{} cannot be used here: {what}", file.display())]
    Foreign { file: PathBuf, what: String },
    /// The disk refused an operation.
    #[error(transparent)]
    Failed(StorageError),
}

impl OpenError {
    pub fn is_full(&self) -> bool {
        matches!(self, OpenError::Failed(error) if error.is_full())
    }

    pub fn is_rot(&self) -> bool {
        self.rotten_part().is_some()
    }

    /// Which part it is that has rotted.
    pub fn rotten_part(&self) -> Option<Part> {
        match self {
            OpenError::Rot { part, .. } => Some(*part),
            OpenError::Foreign { .. } | OpenError::Failed(_) => None,
        }
    }
}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> OpenError {
        match error {
            StorageError::Rot { part, path, offset, what } => OpenError::Rot { part, file: path, offset, what },
            other @ (StorageError::Io { .. }
            | StorageError::Refused { .. }
            | StorageError::Diverged { .. }
            | StorageError::Unreadable { .. }
            | StorageError::Poisoned { .. }
            | StorageError::TooLarge { .. }
            | StorageError::Absent { .. }) => OpenError::Failed(other),
        }
    }
}

/// `alpha/2/log/000017 at 1048576`
struct At<'a>(&'a Path, Option<u64>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.display())?;
        match self.1 {
            Some(offset) => write!(f, " at {offset}"),
            None => Ok(()),
        }
    }
}

fn plain(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::StorageFull => "no space left on device".to_string(),
        io::ErrorKind::NotFound => "there is no such file".to_string(),
        io::ErrorKind::PermissionDenied => "permission denied".to_string(),
        io::ErrorKind::UnexpectedEof => "the file ends before that".to_string(),
        _ => source.to_string(),
    }
}
