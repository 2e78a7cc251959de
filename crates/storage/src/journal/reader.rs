//! Reading the journal beside its writer, from any thread.

use std::fmt;
use std::sync::Arc;

use super::batch::{BatchHeader, chain_through, is_header};
use super::files::Files;
use super::{JournalMark, JournalRecord, RECORD, sum};
use crate::{Disk, StorageError};

/// Records per read of a scan: 1 MiB.
const SCAN_RECORDS: u64 = 4096;

/// Sees what was written so far, synced or not; cheap to clone.
pub struct JournalReader<D: Disk> {
    pub(super) files: Arc<Files<D>>,
}

impl<D: Disk> JournalReader<D> {
    /// The number of places written so far.
    pub fn written(&self) -> u64 {
        self.files.written()
    }

    /// The record that was pushed; if its bytes are others by now, that is rot. A batch's header comes as it is.
    pub fn read(&self, place: u64) -> Result<JournalRecord, StorageError> {
        self.checked(place, &self.read_unchecked(place)?)
    }

    fn checked(&self, place: u64, record: &JournalRecord) -> Result<JournalRecord, StorageError> {
        if is_header(record) {
            return match BatchHeader::decode(record, self.files.owner) {
                Some(_) => Ok(*record),
                None => Err(self.files.rot(place, "the batch header there is not the one that was written")),
            };
        }
        sum::check(record, place, self.files.owner)
            .ok_or_else(|| self.files.rot(place, "the record there is not the one that was written"))
    }

    fn read_unchecked(&self, place: u64) -> Result<JournalRecord, StorageError> {
        let mut record = [0; RECORD];
        self.files.read_written(place, &mut record)?;
        Ok(record)
    }

    /// The bytes of the records from `from` on, for a peer that lacks them: as many as were written and fit into
    /// `max_bytes`. Whoever receives them checks them as well; here rot is found by the node that can mend it.
    pub fn read_bytes(&self, from: u64, max_bytes: usize) -> Result<Vec<u8>, StorageError> {
        let records = self.written().saturating_sub(from).min((max_bytes / RECORD) as u64);
        let mut bytes = vec![0; records as usize * RECORD];
        self.files.read_written(from, &mut bytes)?;
        for (place, record) in (from..).zip(bytes.as_chunks::<RECORD>().0) {
            self.checked(place, record)?;
        }
        Ok(bytes)
    }

    /// Calls `f(place, record)` for every record in `from..to`, headers included. Checks nothing.
    pub fn scan(&self, from: u64, to: u64, mut f: impl FnMut(u64, &JournalRecord)) -> Result<(), StorageError> {
        let mut buffer = Vec::new();
        let mut place = from;
        while place < to {
            let records = SCAN_RECORDS.min(to - place);
            buffer.resize(records as usize * RECORD, 0);
            self.files.read_written(place, &mut buffer)?;
            for record in buffer.as_chunks::<RECORD>().0 {
                f(place, &if is_header(record) { *record } else { sum::strip(*record) });
                place += 1;
            }
        }
        Ok(())
    }

    /// Returns once the first `places` records are on the disk; after one failure no later call succeeds.
    pub fn sync(&self, places: u64) -> Result<(), StorageError> {
        assert!(places <= self.written(), "only what was written can be synced");
        self.files.sync()
    }

    /// Advice that the records `from..to`, synced before, need not stay in memory: hardly anybody reads old ones.
    pub fn forget(&self, from: u64, to: u64) {
        self.files.forget(from, to.min(self.written()));
    }

    /// Follows the batches from one mark through another, checks headers, hashes and chain, and calls `f` for every
    /// record that is not a header. What was written by this process or found whole at its start and does not check
    /// any more is rot.
    pub fn check(
        &self,
        from: JournalMark,
        to: JournalMark,
        mut f: impl FnMut(u64, &JournalRecord),
    ) -> Result<(), StorageError> {
        let mut at = from;
        let mut buffer = Vec::new();
        while at.places < to.places {
            let first = at.places + 1;
            at = self.batch_after(at, to.places, &mut buffer)?;
            for (place, record) in (first..).zip(buffer.as_chunks::<RECORD>().0) {
                f(place, &sum::strip(*record));
            }
        }
        if at == to { Ok(()) } else { Err(self.files.rot(to.places, "its chain is not the one that was written")) }
    }

    /// What is to be said of a record whose bytes are good and that its reader does not know.
    pub fn unreadable(&self, place: u64, what: impl Into<String>) -> StorageError {
        StorageError::Unreadable { path: self.files.path_of(place), place, what: what.into() }
    }

    /// Checks the batches from one mark on until `places` more records are behind it or `to` is reached, and returns the
    /// mark there: a piece of a check of the whole journal that need not be done at once.
    pub fn check_some(&self, from: JournalMark, to: JournalMark, places: u64) -> Result<JournalMark, StorageError> {
        let mut at = from;
        let mut records = Vec::new();
        while at.places < to.places && at.places - from.places < places {
            at = self.batch_after(at, to.places, &mut records)?;
        }
        if at.places < to.places || at == to {
            Ok(at)
        } else {
            Err(self.files.rot(to.places, "its chain is not the one that was written"))
        }
    }

    /// The mark behind the batch at this one if that batch is whole, written by whatever process, and ends by `end`.
    pub(super) fn whole_batch_after(
        &self,
        at: JournalMark,
        end: u64,
        records: &mut Vec<u8>,
    ) -> Result<Option<JournalMark>, StorageError> {
        let mut bytes = [0; RECORD];
        if at.places >= end || !self.files.read(at.places, &mut bytes)? {
            return Ok(None);
        }
        let header = BatchHeader::decode(&bytes, self.files.owner)
            .filter(|header| header.place == at.places && header.chain_before == at.chain && header.slot > at.slot)
            .filter(|header| at.places + u64::from(header.count) < end);
        let Some(header) = header else { return Ok(None) };
        records.resize(header.count as usize * RECORD, 0);
        if !self.files.read(at.places + 1, records)? || *blake3::hash(records).as_bytes() != header.records_hash {
            return Ok(None);
        }
        let places = at.places + 1 + u64::from(header.count);
        Ok(Some(JournalMark { slot: header.slot, places, chain: chain_through(&bytes) }))
    }

    /// Leaves the batch's records in `records` and returns the mark behind it.
    fn batch_after(&self, at: JournalMark, end: u64, records: &mut Vec<u8>) -> Result<JournalMark, StorageError> {
        let bytes = self.read_unchecked(at.places)?;
        let header = BatchHeader::decode(&bytes, self.files.owner)
            .filter(|header| header.place == at.places && header.chain_before == at.chain)
            .filter(|header| at.places + u64::from(header.count) < end)
            .ok_or_else(|| self.files.rot(at.places, "the batch header there is not the one that was written"))?;
        records.resize(header.count as usize * RECORD, 0);
        self.files.read_written(at.places + 1, records)?;
        if *blake3::hash(records).as_bytes() != header.records_hash {
            return Err(self.files.rot(at.places, "the records of the batch there are not those that were written"));
        }
        let places = at.places + 1 + u64::from(header.count);
        Ok(JournalMark { slot: header.slot, places, chain: chain_through(&bytes) })
    }

    /// Whether the journal on the disk goes through this mark: its last batch ends there and has its chain.
    pub(super) fn ends_with(&self, mark: JournalMark) -> Result<bool, StorageError> {
        if mark.places == 0 {
            return Ok(mark == JournalMark::START);
        }
        let mut place = mark.places;
        while place > 0 {
            place -= 1;
            let mut bytes = [0; RECORD];
            if !self.files.read(place, &mut bytes)? {
                return Ok(false);
            }
            if is_header(&bytes) {
                return self.is_last_batch(place, &bytes, mark);
            }
        }
        Ok(false)
    }

    fn is_last_batch(&self, place: u64, bytes: &JournalRecord, mark: JournalMark) -> Result<bool, StorageError> {
        let Some(header) = BatchHeader::decode(bytes, self.files.owner) else { return Ok(false) };
        if place + 1 + u64::from(header.count) != mark.places || chain_through(bytes) != mark.chain {
            return Ok(false);
        }
        let mut records = vec![0; header.count as usize * RECORD];
        Ok(self.files.read(place + 1, &mut records)? && *blake3::hash(&records).as_bytes() == header.records_hash)
    }
}

impl<D: Disk> Clone for JournalReader<D> {
    fn clone(&self) -> JournalReader<D> {
        JournalReader { files: self.files.clone() }
    }
}

impl<D: Disk> fmt::Debug for JournalReader<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalReader").field("dir", &self.files.dir()).finish_non_exhaustive()
    }
}
