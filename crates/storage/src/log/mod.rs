//! The log (being filled in).
mod unsynced;
pub use unsynced::{LogRecord, Pending, Synced, Unsynced};

use crate::{Disk, LogError, OpenError, Owner};
use bytes::Bytes;
use std::path::Path;

/// How a log is laid out.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Size of one segment file.
    pub segment_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions { segment_bytes: 64 << 20 }
    }
}

/// What a log held when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecovered {
    /// (round, node); zeros when nothing was promised.
    pub promised: (u64, u16),
    /// What was accepted above `chosen`, by slot.
    pub accepted: Vec<(u64, (u64, u16), Bytes)>,
    pub chosen: u64,
    /// The oldest slot still readable; `chosen + 1` when there is none.
    pub first_slot: u64,
    /// Bytes of the last, unsynced group that were dropped because they were torn.
    pub torn_bytes: u64,
}

/// The log of one node.
pub struct Log<D: Disk> {
    disk: D,
}

impl<D: Disk> Log<D> {
    /// `dir` is the node's directory; the log lives in `dir/log`.
    pub fn open(disk: D, dir: &Path, owner: Owner, options: LogOptions) -> Result<(Log<D>, LogRecovered), OpenError> {
        todo!()
    }
    pub fn append<T>(&mut self, group: Unsynced<T>) -> Result<Pending<T>, LogError> {
        todo!()
    }
    pub fn sync(&mut self) -> Result<Synced, LogError> {
        todo!()
    }
    pub fn read_chosen(&self, from: u64, max_bytes: usize) -> Result<Vec<Bytes>, LogError> {
        todo!()
    }
    pub fn trim(&mut self, below: u64) -> Result<(), LogError> {
        todo!()
    }
    pub fn size_bytes(&self) -> u64 {
        todo!()
    }
    /// The oldest slot that can still be read.
    pub fn first_slot(&self) -> u64 {
        todo!()
    }
    /// Work for a background thread: prepares the next segment before it is needed. None if one is ready or under way.
    pub fn spare_job(&self) -> Option<SpareJob<D>> {
        todo!()
    }
    /// Takes over what a [`SpareJob`] prepared.
    pub fn put_spare(&mut self, spare: Spare) {
        todo!()
    }
}

/// Prepares one segment file.
pub struct SpareJob<D: Disk> {
    disk: D,
}

impl<D: Disk> SpareJob<D> {
    pub fn run(self) -> Result<Spare, LogError> {
        todo!()
    }
}

/// A segment file that is ready to be written.
#[derive(Debug)]
pub struct Spare {}
