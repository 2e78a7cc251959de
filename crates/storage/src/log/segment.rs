//! The files of the log.
//!
//! ```text
//!   preparing-7 ──(zeros written, synced)──► spare-7 ──► 000018 ──(all its slots trimmed)──► spare-8 ──► 000021 …
//! ```
//!
//! A segment is as long as it will ever be before its first record is written, so appending needs no room and changes
//! no metadata. What a crash leaves under the name `preparing-` is removed at the next start: only the rename after
//! the sync makes it a spare.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::PAGE;
use crate::checksum::{FileKind, Seal};
use crate::{Disk, DiskFile, LogError, Owner, StorageError};

/// One numbered file of records.
pub(super) struct Segment<D: Disk> {
    pub(super) file: Arc<D::File>,
    pub(super) path: PathBuf,
    pub(super) seal: Seal,
    pub(super) capacity: u64,
    /// Where the lowest entry of the second place begins.
    pub(super) low: u64,
    /// Where its last record ends.
    pub(super) end: u32,
    /// The highest slot of which it holds a batch; 0 if none.
    pub(super) highest_slot: u64,
}

pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:06}"))
}

impl<D: Disk> Segment<D> {
    pub(super) fn open(disk: &D, dir: &Path, number: u64, owner: Owner) -> Result<Segment<D>, LogError> {
        let path = segment_path(dir, number);
        let file = disk.open(&path).map_err(StorageError::io("opening", &path, None))?;
        let capacity = file.len().map_err(StorageError::io("measuring", &path, None))?;
        let seal = Seal::new(owner, FileKind::Log, number);
        let low = capacity - capacity % PAGE;
        Ok(Segment { file: Arc::new(file), path, seal, capacity, low, end: 0, highest_slot: 0 })
    }

    pub(super) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, LogError> {
        let mut bytes = vec![0; len];
        self.read_into(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads as much as there is and shortens `bytes` to that.
    pub(super) fn read_into(&self, offset: u64, bytes: &mut Vec<u8>) -> Result<(), LogError> {
        let read = self.file.read_at(offset, bytes).map_err(StorageError::io("reading", &self.path, offset))?;
        bytes.truncate(read);
        Ok(())
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), LogError> {
        self.file.write_at(offset, bytes).map_err(StorageError::io("writing", &self.path, offset))
    }
}

/// What lies in the log's directory.
#[derive(Default)]
pub(super) struct Found {
    pub(super) segments: Vec<u64>,
    pub(super) spares: Vec<PathBuf>,
    pub(super) half_prepared: Vec<PathBuf>,
    /// One more than any number that a spare has had.
    pub(super) next_spare: u64,
    pub(super) voteless: bool,
}

impl Found {
    pub(super) fn in_dir<D: Disk>(disk: &D, dir: &Path) -> Result<Found, LogError> {
        let mut found = Found { next_spare: 1, ..Found::default() };
        for name in disk.list(dir).map_err(StorageError::io("listing", dir, None))? {
            if let Ok(number) = name.parse() {
                found.segments.push(number);
            } else if let Some(number) = number_behind("spare-", &name) {
                found.next_spare = found.next_spare.max(number + 1);
                found.spares.push(dir.join(name));
            } else if name == VOTELESS {
                found.voteless = true;
            } else if number_behind("preparing-", &name).is_some() {
                found.half_prepared.push(dir.join(name));
            }
        }
        found.segments.sort_unstable();
        Ok(found)
    }
}

/// An empty file beside the segments of a log that has lost votes: for the record that says so lies in what is damaged.
pub(super) const VOTELESS: &str = "voteless";

fn number_behind(prefix: &str, name: &str) -> Option<u64> {
    name.strip_prefix(prefix)?.parse().ok()
}

/// Prepares one segment before it is needed: work for a background thread.
pub struct SpareJob<D: Disk> {
    pub(super) disk: D,
    pub(super) dir: PathBuf,
    pub(super) number: u64,
    pub(super) bytes: u64,
    /// While this lives the log asks for no second one.
    pub(super) _under_way: Arc<()>,
}

/// A segment file that is ready to be written; see [`crate::Log::put_spare`].
#[derive(Debug)]
pub struct Spare {
    pub(super) path: PathBuf,
}

impl<D: Disk> SpareJob<D> {
    /// Writes the zeros. On failure nothing of it stays, and the log is as good as before.
    pub fn run(self) -> Result<Spare, LogError> {
        let preparing = self.dir.join(format!("preparing-{}", self.number));
        let result = self.prepare(&preparing);
        if result.is_err() {
            // It may not exist, and what remains is removed at the next start.
            let _ = self.disk.remove(&preparing);
        }
        result
    }

    fn prepare(&self, preparing: &Path) -> Result<Spare, LogError> {
        let file = self.disk.create(preparing).map_err(StorageError::io("creating", preparing, None))?;
        file.preallocate(self.bytes).map_err(StorageError::io("making room in", preparing, None))?;
        file.sync().map_err(StorageError::io("syncing", preparing, None))?;
        let path = self.dir.join(format!("spare-{}", self.number));
        self.disk.rename(preparing, &path).map_err(StorageError::io("renaming", preparing, None))?;
        self.disk.sync_dir(&self.dir).map_err(StorageError::io("syncing the names in", &self.dir, None))?;
        Ok(Spare { path })
    }
}

impl<D: Disk> std::fmt::Debug for SpareJob<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpareJob").field("dir", &self.dir).field("number", &self.number).finish_non_exhaustive()
    }
}
