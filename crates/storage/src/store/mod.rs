//! The store (being filled in).
use crate::{Disk, JournalMark, JournalReader, JournalRecord, OpenError, Owner, StorageError};
use std::path::Path;

/// What a journal record means for the checkpoint. Rules have no state: the same record always means the same.
pub trait FoldRules {
    /// Calls `put` for each key that the record gives another value (None removes it).
    fn effects(record: &JournalRecord, put: &mut dyn FnMut(&[u8], Option<&[u8]>));
    /// The id whose outcome the record is, if it is one.
    fn id(record: &JournalRecord) -> Option<u128>;
}

/// The checkpoint of one node and the index of ids.
pub struct Store<D: Disk> {
    disk: D,
}

impl<D: Disk> Store<D> {
    /// `dir` is the node's directory; the checkpoint lives in `dir/store`, the runs in `dir/ids`.
    pub fn open(disk: D, dir: &Path, owner: Owner) -> Result<Store<D>, OpenError> {
        todo!()
    }
    /// What the checkpoint covers.
    pub fn mark(&self) -> JournalMark {
        todo!()
    }
    pub fn entries(&self) -> Entries<D> {
        todo!()
    }
    pub fn maybe_contains(&self, id: u128) -> bool {
        todo!()
    }
    pub fn find(&self, id: u128) -> Result<Option<u64>, StorageError> {
        todo!()
    }
    pub fn fold<F: FoldRules>(&self, journal: JournalReader<D>, to: JournalMark, _rules: F) -> FoldJob<D> {
        todo!()
    }
    pub fn install(&mut self, done: Folded<D>) {
        todo!()
    }
    /// Breaks a rule, for the simulator.
    #[cfg(feature = "controls")]
    pub fn set_control(&mut self, control: Option<crate::Control>) {
        todo!()
    }
}

/// The checkpoint's entries in the order of their keys.
pub struct Entries<D: Disk> {
    disk: D,
}

impl<D: Disk> Iterator for Entries<D> {
    type Item = Result<(Vec<u8>, Vec<u8>), StorageError>;
    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}

/// One step of the checkpoint, for a background thread.
pub struct FoldJob<D: Disk> {
    disk: D,
}

impl<D: Disk> FoldJob<D> {
    pub fn run(self) -> Result<Folded<D>, StorageError> {
        todo!()
    }
}

/// A finished step, on the disk, to be taken over by [`Store::install`].
pub struct Folded<D: Disk> {
    disk: D,
}

impl<D: Disk> Folded<D> {
    pub fn mark(&self) -> JournalMark {
        todo!()
    }
}
