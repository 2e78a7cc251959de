//! What can be saved of a journal that has rotted.
//!
//! A batch that is not whole breaks the chain, so the journal is good up to it. What lies behind stays where it is: once the
//! bad batch was received from a peer, the good ones behind it are taken over again, and only what is bad travels.

use std::path::Path;

use super::{Journal, JournalMark, RECORD, RECORDS_PER_FILE};
use crate::{Disk, OpenError, Owner, StorageError};

impl<D: Disk> Journal<D> {
    /// Opens the journal in `dir/journal` at its last good batch that is not above `through_slot`: what a node does whose
    /// journal does not go through its checkpoint, or whose checkpoint is gone. Reads the journal from its beginning.
    ///
    /// `through_slot` is what the log knows to be chosen: a checkpoint may not reach further.
    pub fn salvage(disk: D, dir: &Path, owner: Owner, through_slot: u64) -> Result<Journal<D>, OpenError> {
        Journal::salvage_with(disk, dir, owner, through_slot, RECORDS_PER_FILE)
    }

    /// As [`Journal::salvage`], with files of another size; the size must be the same each time.
    pub fn salvage_with(
        disk: D,
        dir: &Path,
        owner: Owner,
        through_slot: u64,
        records_per_file: u64,
    ) -> Result<Journal<D>, OpenError> {
        let mut journal = Journal::open_with(disk, dir, owner, JournalMark::START, records_per_file)?;
        journal.take_over(JournalMark { slot: through_slot, places: u64::MAX, chain: [0; 32] })?;
        Ok(journal)
    }

    /// Takes over the batches that an earlier process wrote behind this journal's end, as long as they are whole and
    /// go on its chain, but none above the slot of `through` and none that ends behind its place. They are written again.
    pub fn take_over(&mut self, through: JournalMark) -> Result<JournalMark, StorageError> {
        assert!(self.batch.is_empty(), "the batch of slot {} was not finished", self.batch_slot);
        let reader = self.reader();
        let mut records = Vec::new();
        let end = through.places.min(self.found);
        while let Some(next) = reader.whole_batch_after(self.mark, end, &mut records)? {
            if next.slot > through.slot {
                break;
            }
            // As in `finish`: it may be in the page cache only, after a sync that failed, and no later sync would bring
            // it to the disk.
            let mut header = [0; RECORD];
            self.files.read(self.mark.places, &mut header)?;
            self.files.write(self.mark.places, &header)?;
            self.files.write(self.mark.places + 1, &records)?;
            self.mark = next;
            self.partial.clear();
            self.files.set_written(next.places);
        }
        Ok(self.mark)
    }
}
