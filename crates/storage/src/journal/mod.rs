//! The journal (being filled in).
use crate::{Disk, OpenError, Owner, StorageError};
use std::path::Path;
use std::sync::Arc;

/// Bytes of one record.
pub const RECORD: usize = 256;
pub type JournalRecord = [u8; RECORD];
/// The kind of a batch's header record.
pub const HEADER_KIND: u16 = 0xFFFF;

/// A point between two batches: everything through `slot`, which is the first `places` records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalMark {
    pub slot: u64,
    pub places: u64,
    pub chain: [u8; 32],
}

impl JournalMark {
    /// Before the first batch.
    pub const START: JournalMark = JournalMark { slot: 0, places: 0, chain: [0; 32] };
}

/// The journal of one node: its one writer.
pub struct Journal<D: Disk> {
    disk: D,
}

impl<D: Disk> Journal<D> {
    /// `dir` is the node's directory; the journal lives in `dir/journal`. Writing goes on at `from`.
    pub fn open(disk: D, dir: &Path, owner: Owner, from: JournalMark) -> Result<Journal<D>, OpenError> {
        todo!()
    }
    pub fn begin(&mut self, slot: u64) {
        todo!()
    }
    pub fn push(&mut self, record: &JournalRecord) -> u64 {
        todo!()
    }
    pub fn next_place(&self) -> u64 {
        todo!()
    }
    pub fn finish(&mut self) -> Result<(), StorageError> {
        todo!()
    }
    pub fn read(&self, place: u64) -> Result<JournalRecord, StorageError> {
        todo!()
    }
    pub fn chain(&self) -> [u8; 32] {
        todo!()
    }
    pub fn mark(&self) -> JournalMark {
        todo!()
    }
    /// Calls `f(place, record)` for every record in `from..to`, headers included.
    pub fn scan(&self, from: u64, to: u64, f: impl FnMut(u64, &JournalRecord)) -> Result<(), StorageError> {
        todo!()
    }
    pub fn reader(&self) -> JournalReader<D> {
        todo!()
    }
}

/// Reads what was written; cheap to clone, for other threads.
pub struct JournalReader<D: Disk> {
    shared: Arc<D>,
}

impl<D: Disk> Clone for JournalReader<D> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl<D: Disk> JournalReader<D> {
    /// The number of places written so far.
    pub fn written(&self) -> u64 {
        todo!()
    }
    pub fn read(&self, place: u64) -> Result<JournalRecord, StorageError> {
        todo!()
    }
    pub fn scan(&self, from: u64, to: u64, f: impl FnMut(u64, &JournalRecord)) -> Result<(), StorageError> {
        todo!()
    }
    /// Returns once the first `places` records are on the disk.
    pub fn sync(&self, places: u64) -> Result<(), StorageError> {
        todo!()
    }
}
