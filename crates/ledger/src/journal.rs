//! The ledger's door to the journal. The shell stands behind it: it has looked up beforehand what
//! [`crate::Ledger::ids`] asked for, so that nothing here waits for a disk.

use crate::record::RecordBytes;

/// Where outcomes are found and new ones go.
pub trait JournalPort {
    /// The record that the index has under that id (see [`crate::record::record_id`]), from earlier batches or this one.
    fn find(&self, id: u128) -> Option<RecordBytes>;

    /// Appends a record, to be found under that id from now on, and returns its place.
    fn push(&mut self, id: Option<u128>, record: &RecordBytes) -> u64;

    /// The place that the next record will get.
    fn next_place(&self) -> u64;
}
