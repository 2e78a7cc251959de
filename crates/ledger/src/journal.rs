//! The ledger's door to the journal. The shell stands behind it: it has looked up beforehand what
//! [`crate::Ledger::keys`] asked for, so that nothing here waits for a disk.

use crate::key::RecordKey;
use crate::record::RecordBytes;

/// Where outcomes are found and new ones go.
pub trait JournalPort {
    /// The record that the index has under that key (see [`crate::record::record_key`]), from earlier batches or this one.
    fn find(&self, key: RecordKey) -> Option<RecordBytes>;

    /// Appends a record, to be found under that key from now on, and returns its place.
    fn push(&mut self, key: Option<RecordKey>, record: &RecordBytes) -> u64;

    /// The place that the next record will get.
    fn next_place(&self) -> u64;
}
