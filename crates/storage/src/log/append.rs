//! How records get into segments: encoded into one buffer, written with one write.

use std::path::Path;
use std::sync::Arc;

use super::record::{self, HEADER, Header, Kind, Position, encode, padded, parts};
use super::segment::{Segment, segment_path};
use super::{LARGEST_BATCH, Log, LogRecord, PAGE, SEGMENT_HEAD, SPARES};
use crate::{Disk, LogError, StorageError};

impl<D: Disk> Log<D> {
    pub(super) fn still_open(&self) -> Result<(), LogError> {
        match &self.failed {
            None => Ok(()),
            Some(first) => Err(StorageError::Poisoned { path: self.dir.clone(), first: first.clone() }),
        }
    }

    /// Nobody knows what is on the disk after a failure, so this process writes no more.
    pub(super) fn close_after(&mut self, error: LogError) -> LogError {
        self.failed = Some(Arc::from(error.to_string()));
        error
    }

    pub(super) fn all_fit(&self, records: &[LogRecord]) -> Result<(), LogError> {
        let limit = LARGEST_BATCH.min(self.options.segment_bytes - SEGMENT_HEAD - HEADER as u64);
        let largest = records.iter().map(|record| parts(record).4.len() as u64).max().unwrap_or(0);
        if largest > limit {
            return Err(StorageError::TooLarge { path: self.dir.clone(), bytes: largest, limit });
        }
        Ok(())
    }

    pub(super) fn write_records(&mut self, records: &[LogRecord]) -> Result<(), LogError> {
        let total: u64 = records.iter().map(|record| padded(parts(record).4.len() as u64)).sum();
        if total > self.room() && total <= self.options.segment_bytes - SEGMENT_HEAD {
            self.begin_segment()?;
        }
        for record in records {
            let (kind, slot, round, node, batch) = parts(record);
            if padded(batch.len() as u64) > self.room() {
                self.flush()?;
                self.begin_segment()?;
            }
            self.encode_next(kind, slot, (round, node), batch);
        }
        self.flush()
    }

    /// Takes a spare, or prepares one now, and begins it with what the segments before it may take along.
    pub(super) fn begin_segment(&mut self) -> Result<(), LogError> {
        let spare = match self.spares.pop() {
            Some(path) => path,
            None => self.new_spare_job().run()?.path,
        };
        let number = self.end.segment + 1;
        self.rename(&spare, &segment_path(&self.dir, number))?;
        self.sync_names()?;
        self.segments.insert(number, Segment::open(&self.disk, &self.dir, number, self.owner)?);
        self.previous_end = self.end.offset;
        self.end = Position { segment: number, offset: 0 };
        self.encode_next(Kind::Head, 0, (0, 0), &[]);
        self.encode_next(Kind::Promised, 0, self.promised, &[]);
        self.encode_next(Kind::Chosen, self.chosen, (0, 0), &[]);
        self.encode_next(Kind::Trimmed, self.trimmed_below, (0, 0), &[]);
        Ok(())
    }

    pub(super) fn encode_next(&mut self, kind: Kind, slot: u64, (round, node): (u64, u16), batch: &[u8]) {
        let offset = self.next_offset();
        if self.buffer.is_empty() {
            self.buffer_at = offset;
        }
        let header = Header {
            kind,
            node,
            len: u32::try_from(batch.len()).expect("a batch is at most 8 MiB"),
            epoch: self.epoch,
            slot,
            round,
            synced: self.synced,
            previous_end: self.previous_end,
        };
        let number = self.end.segment;
        let segment = self.segments.get_mut(&number).expect("the last segment is always open");
        encode(&header, batch, &segment.seal, offset, &mut self.buffer);
        let end = u32::try_from(offset + header.size()).expect("a segment is at most 2 GiB");
        (self.end.offset, self.previous_end, segment.end) = (end, end, end);
        self.remember(&header, Position { segment: number, offset: offset as u32 });
    }

    /// Writes what was encoded.
    pub(super) fn flush(&mut self) -> Result<(), LogError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.segments[&self.end.segment].write(self.buffer_at, &self.buffer)?;
        self.unsynced_segments.insert(self.end.segment);
        self.buffer.clear();
        Ok(())
    }

    /// Bytes left in the last segment.
    pub(super) fn room(&self) -> u64 {
        match self.segments.get(&self.end.segment) {
            Some(segment) => segment.capacity.saturating_sub(self.next_offset()),
            None => 0,
        }
    }

    pub(super) fn give_up(&mut self, number: u64) -> Result<(), LogError> {
        let segment = self.segments.remove(&number).expect("the caller has just found it");
        if self.spares.len() < SPARES && segment.capacity == self.options.segment_bytes {
            let spare = self.dir.join(format!("spare-{}", self.next_spare));
            self.next_spare += 1;
            self.rename(&segment.path, &spare)?;
            self.spares.push(spare);
        } else {
            self.remove(&segment.path)?;
        }
        // One by one, oldest first: a crash must never leave a gap in the numbers.
        self.sync_names()
    }

    pub(super) fn remove(&self, path: &Path) -> Result<(), LogError> {
        self.disk.remove(path).map_err(StorageError::io("removing", path, None))
    }

    pub(super) fn sync_names(&self) -> Result<(), LogError> {
        self.disk.sync_dir(&self.dir).map_err(StorageError::io("syncing the names in", &self.dir, None))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), LogError> {
        self.disk.rename(from, to).map_err(StorageError::io("renaming", from, None))
    }

    /// Right behind the last record, or on a fresh page if that one is on the disk.
    fn next_offset(&self) -> u64 {
        let end = u64::from(self.end.offset);
        if self.synced == self.end { end.next_multiple_of(PAGE) } else { end }
    }

    fn remember(&mut self, header: &record::Header, at: Position) {
        self.index.note(header, at);
        let ballot = (header.round, header.node);
        match header.kind {
            Kind::Promised => self.promised = self.promised.max(ballot),
            Kind::Accepted => {
                self.promised = self.promised.max(ballot);
                self.note_slot(header.slot);
            }
            Kind::Learned => self.note_slot(header.slot),
            Kind::Chosen => self.chosen = self.chosen.max(header.slot),
            Kind::Trimmed => self.trimmed_below = self.trimmed_below.max(header.slot),
            Kind::Head | Kind::Opened => {}
        }
    }

    fn note_slot(&mut self, slot: u64) {
        let segment = self.segments.get_mut(&self.end.segment).expect("the last segment is always open");
        segment.highest_slot = segment.highest_slot.max(slot);
    }
}
