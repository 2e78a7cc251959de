//! Taking over records that another node has written.
//!
//! The journals of all nodes of a group are the same bytes, so a node that lacks some asks for them by place and takes
//! them as they are. Nothing is believed: a batch counts, and is written, only when it is here as a whole, its header is
//! this cluster's and belongs at this place, goes on the chain, and its records have the hash that the header names. Chunks
//! may end anywhere between two records: what has come of a batch waits in memory for the rest.

use super::batch::{BatchHeader, chain_through};
use super::{Journal, JournalMark, JournalRecord, RECORD};
use crate::{Disk, StorageError};

/// A header that speaks of more records is refused before anything is kept for it: 256 MiB.
const LARGEST_BATCH: u32 = 1 << 20;

/// How far a journal has come that is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Behind the last whole batch: checked and written, not yet synced.
    pub mark: JournalMark,
    /// The place from which on more is needed; not below `mark.places`.
    pub next_place: u64,
}

impl<D: Disk> Journal<D> {
    /// Takes records that another node has at `from_place` and behind it, not synced. What is here already is skipped.
    ///
    /// # Errors
    /// [`StorageError::Refused`] if they do not go on where this journal ends, or are not what hash and chain say; then
    /// [`Journal::received`] says from where on to ask again, somebody else. [`StorageError::Diverged`] if this
    /// node has itself written another whole batch there.
    pub fn receive(&mut self, from_place: u64, bytes: &[u8]) -> Result<Received, StorageError> {
        assert!(self.batch.is_empty(), "the batch of slot {} was not finished", self.batch_slot);
        if !bytes.len().is_multiple_of(RECORD) {
            return Err(self.refused(from_place, "they end inside a record"));
        }
        let next = self.received().next_place;
        if from_place > next {
            return Err(self.refused(from_place, &format!("the next place is {next}")));
        }
        let known = usize::try_from(next - from_place).unwrap_or(usize::MAX).saturating_mul(RECORD).min(bytes.len());
        self.partial.extend_from_slice(&bytes[known..]);
        if let Err(error) = self.take_whole_batches() {
            // Nobody knows where the damage is, so all of the open batch is asked for again.
            self.partial.clear();
            return Err(error);
        }
        Ok(self.received())
    }

    /// How far this journal has come.
    pub fn received(&self) -> Received {
        Received { mark: self.mark, next_place: self.mark.places + (self.partial.len() / RECORD) as u64 }
    }

    fn take_whole_batches(&mut self) -> Result<(), StorageError> {
        let mut partial = std::mem::take(&mut self.partial);
        let mut taken = 0;
        let result = loop {
            match self.take_batch(&partial[taken..]) {
                Ok(0) => break Ok(()),
                Ok(bytes) => taken += bytes,
                Err(error) => break Err(error),
            }
        };
        partial.drain(..taken);
        self.partial = partial;
        result
    }

    /// Takes the batch that these bytes begin with and returns its length, or 0 if it is not here as a whole.
    fn take_batch(&mut self, bytes: &[u8]) -> Result<usize, StorageError> {
        let Some(header) = bytes.first_chunk::<RECORD>() else { return Ok(0) };
        let found = self.header_that_goes_on(header)?;
        let len = (found.count as usize + 1) * RECORD;
        let Some(batch) = bytes.get(..len) else { return Ok(0) };
        if *blake3::hash(&batch[RECORD..]).as_bytes() != found.records_hash {
            return Err(
                self.refused(found.place, "the records of the batch there have another hash than its header says")
            );
        }
        if found.place < self.found {
            self.compare_with_found(found.slot, batch)?;
        }
        self.files.write(found.place, batch)?;
        let places = found.place + 1 + u64::from(found.count);
        self.mark = JournalMark { slot: found.slot, places, chain: chain_through(header) };
        self.files.set_written(places);
        Ok(len)
    }

    fn header_that_goes_on(&self, header: &JournalRecord) -> Result<BatchHeader, StorageError> {
        let at = self.mark;
        let refused = |what: &str| self.refused(at.places, what);
        let found = BatchHeader::decode(header, self.files.owner)
            .ok_or_else(|| refused("the first record is no batch header of this cluster"))?;
        if found.place != at.places || found.slot <= at.slot || found.count > LARGEST_BATCH {
            return Err(refused("the batch there belongs to another place"));
        }
        if found.chain_before != at.chain {
            return Err(refused("the batch there goes on another chain: one of the two nodes has diverged"));
        }
        Ok(found)
    }

    fn refused(&self, place: u64, what: &str) -> StorageError {
        StorageError::Refused { path: self.files.dir().to_path_buf(), place, what: what.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FaultyDisk, Owner};
    use std::path::Path;

    /// One that a peer has made up: everything fits but one field.
    fn made_up(place: u64, slot: u64, count: u32) -> Vec<u8> {
        let records = vec![7; count.min(2) as usize * RECORD];
        let records_hash = *blake3::hash(&records).as_bytes();
        let header = BatchHeader { slot, place, count, chain_before: [0; 32], records_hash };
        [&header.encode(OWNER)[..], &records].concat()
    }

    const OWNER: Owner = Owner { cluster: 5, node: 1 };

    #[test]
    fn a_header_that_fits_but_for_place_slot_or_length_is_refused() {
        for (place, slot, count, good) in
            [(0, 1, 2, true), (3, 1, 2, false), (0, 0, 2, false), (0, 1, LARGEST_BATCH + 1, false)]
        {
            let disk = FaultyDisk::new(1);
            let mut journal = Journal::open(disk, Path::new("alpha/1"), OWNER, JournalMark::START).expect("it opens");
            let received = journal.receive(0, &made_up(place, slot, count));
            assert_eq!(received.is_ok(), good, "place {place}, slot {slot}, {count} records: {received:?}");
        }
    }
}
