//! Everything that was applied, in order: one record of 256 bytes for each outcome, in batches, hashed into a chain.
//!
//! The journal is written without a sync while batches are applied: the log can always make it again. It is synced in
//! the background before a checkpoint counts on it. So after a crash what lies beyond the checkpoint may be whole,
//! torn or absent, and the batches are made again from the log. Then a batch that is whole on the disk must be the same,
//! byte for byte, otherwise this node gave two outcomes to one slot and must stop ([`StorageError::Diverged`]);
//! what is torn or absent is written anew.
//!
//! Each place holds one record, headers of batches included; places are numbered from 0 over all files. The last four bytes
//! of a record are its sum, the journal's own: a batch is checked by its hash, but one record that is read to give its
//! answer again is read without its batch.

mod batch;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod leftovers;
mod reader;
mod receive;
mod salvage;
mod sum;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::directory::make_durable;
use crate::{Disk, OpenError, Owner, StorageError};
use batch::{BatchHeader, chain_through};
use files::Files;

pub use leftovers::leftovers;
pub use reader::JournalReader;
pub use receive::Received;

/// Bytes of one record.
pub const RECORD: usize = 256;
/// Bytes of a record that are the state machine's; those behind them it leaves zero.
pub const RECORD_BODY: usize = RECORD - 4;
/// One record; its first two bytes are its kind (little-endian), which belongs to the state machine.
pub type JournalRecord = [u8; RECORD];
/// The kind of a batch's header record, which no other record may have.
pub const HEADER_KIND: u16 = 0xFFFF;
/// Records per file: 256 MiB.
const RECORDS_PER_FILE: u64 = 1 << 20;

/// A point between two batches: everything through `slot`, which is the first `places` records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    files: Arc<Files<D>>,
    mark: JournalMark,
    /// Header and records of the open batch, or empty.
    batch: Vec<u8>,
    batch_slot: u64,
    /// What has come of the batch that is being received.
    partial: Vec<u8>,
    /// Below this an earlier process may have written something.
    found: u64,
}

impl<D: Disk> Journal<D> {
    /// Opens the journal in `dir/journal`, where `dir` is the node's directory; writing goes on at `from`, the mark of
    /// the checkpoint. Everything before `from` was synced: if it is not there, that is damage.
    pub fn open(disk: D, dir: &Path, owner: Owner, from: JournalMark) -> Result<Journal<D>, OpenError> {
        Journal::open_with(disk, dir, owner, from, RECORDS_PER_FILE)
    }

    /// As [`Journal::open`], with files of another size; the size must be the same each time.
    pub fn open_with(
        disk: D,
        dir: &Path,
        owner: Owner,
        from: JournalMark,
        records_per_file: u64,
    ) -> Result<Journal<D>, OpenError> {
        let dir = dir.join("journal");
        make_durable(&disk, &dir)?;
        let files = Arc::new(Files::new(disk, dir, owner, records_per_file, from.places));
        let reader = JournalReader { files: files.clone() };
        if !reader.ends_with(from)? {
            let what = "the checkpoint was made from a journal that goes on to here, and this one does not";
            return Err(files.rot(from.places.saturating_sub(1), what).into());
        }
        let found = files.extent()?;
        // Also when nothing lies beyond the mark: a process that died right after it made a file left a name that this
        // one finds, and that the disk may not have.
        files.doubt_all_from(from.places)?;
        Ok(Journal { files, mark: from, batch: Vec::new(), batch_slot: 0, partial: Vec::new(), found })
    }

    /// Begins the batch of a slot.
    pub fn begin(&mut self, slot: u64) {
        assert!(self.batch.is_empty(), "the batch of slot {} was not finished", self.batch_slot);
        assert!(slot > self.mark.slot, "slot {slot} is not above {}, which was written before", self.mark.slot);
        self.batch_slot = slot;
        self.partial.clear();
        self.batch.resize(RECORD, 0);
    }

    /// Adds a record to the open batch and returns its place.
    pub fn push(&mut self, record: &JournalRecord) -> u64 {
        assert!(!self.batch.is_empty(), "a record belongs to a batch");
        let place = self.next_place();
        self.batch.extend_from_slice(&sum::seal(record, place, self.files.owner));
        place
    }

    /// The place that the next record gets. Between two batches the next place is a header's: the first record of the
    /// next batch comes one later.
    pub fn next_place(&self) -> u64 {
        self.mark.places + (self.batch.len() / RECORD) as u64
    }

    /// Writes the open batch, without a sync. After a failure nothing more is written by this process.
    pub fn finish(&mut self) -> Result<(), StorageError> {
        assert!(!self.batch.is_empty(), "a batch was begun");
        let header = self.header().encode(self.files.owner);
        self.batch[..RECORD].copy_from_slice(&header);
        let place = self.mark.places;
        if place < self.found {
            self.compare_with_found(self.batch_slot, &self.batch)?;
        }
        // A batch that was found whole is written again too: it may be in the page cache only, after a sync that
        // failed, and then no later sync would bring it to the disk.
        self.files.write(place, &self.batch)?;
        self.mark = JournalMark { slot: self.batch_slot, places: self.next_place(), chain: chain_through(&header) };
        self.files.set_written(self.mark.places);
        self.batch.clear();
        Ok(())
    }

    /// A record that was written, or pushed to the open batch, as it was pushed; if it no longer is, that is rot.
    pub fn read(&self, place: u64) -> Result<JournalRecord, StorageError> {
        // The header of the open batch does not exist yet.
        if place > self.mark.places && place < self.next_place() {
            let at = (place - self.mark.places) as usize * RECORD;
            return Ok(sum::strip(self.batch[at..at + RECORD].try_into().expect("a record's bytes were taken")));
        }
        self.reader().read(place)
    }

    /// The chain through the last finished batch.
    pub fn chain(&self) -> [u8; 32] {
        self.mark.chain
    }

    /// Behind the last finished batch.
    pub fn mark(&self) -> JournalMark {
        self.mark
    }

    /// Calls `f(place, record)` for every written record in `from..to`, headers included.
    pub fn scan(&self, from: u64, to: u64, f: impl FnMut(u64, &JournalRecord)) -> Result<(), StorageError> {
        self.reader().scan(from, to, f)
    }

    pub fn reader(&self) -> JournalReader<D> {
        JournalReader { files: self.files.clone() }
    }

    fn header(&self) -> BatchHeader {
        let records = &self.batch[RECORD..];
        BatchHeader {
            slot: self.batch_slot,
            place: self.mark.places,
            count: u32::try_from(records.len() / RECORD).expect("a batch has fewer than four billion records"),
            chain_before: self.mark.chain,
            records_hash: *blake3::hash(records).as_bytes(),
        }
    }

    /// If an earlier process wrote a whole batch at the journal's end, it must be the one that is being written now.
    fn compare_with_found(&self, slot: u64, batch: &[u8]) -> Result<(), StorageError> {
        let place = self.mark.places;
        let mut header = [0; RECORD];
        if !self.files.read(place, &mut header)? {
            return Ok(());
        }
        let Some(found) = BatchHeader::decode(&header, self.files.owner).filter(|found| found.place == place) else {
            return Ok(());
        };
        let places = u64::from(found.count) + 1;
        if place + places > self.found {
            return Ok(());
        }
        let mut records = vec![0; found.count as usize * RECORD];
        let whole =
            self.files.read(place + 1, &mut records)? && *blake3::hash(&records).as_bytes() == found.records_hash;
        if whole && (batch[..RECORD] != header || batch[RECORD..] != records) {
            return Err(StorageError::Diverged {
                path: self.files.path_of(place),
                offset: self.files.offset_of(place),
                slot,
                place,
            });
        }
        Ok(())
    }
}

impl<D: Disk> fmt::Debug for Journal<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("dir", &self.files.dir()).field("mark", &self.mark).finish_non_exhaustive()
    }
}
