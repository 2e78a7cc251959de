//! How records get into segments: encoded into one buffer for each place, written with one write each.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::index::{Ballot, Held, Location};
use super::parity::Parity;
use super::record::{HEADER, Header, Kind, Position, Written, encode, padded, parts};
use super::second::{ENTRY, Entry};
use super::segment::{Segment, segment_path};
use super::{LARGEST_BATCH, Log, LogRecord, PAGE, SEGMENT_FOOT, SEGMENT_HEAD, SPARES};
use crate::{Disk, LogError, StorageError};

/// A record that has no place yet.
pub(super) struct Draft {
    pub(super) kind: Kind,
    pub(super) slot: u64,
    pub(super) ballot: Ballot,
    pub(super) batch: Bytes,
}

impl Draft {
    fn of(record: &LogRecord) -> Draft {
        let (kind, slot, ballot, batch) = parts(record);
        Draft { kind, slot, ballot, batch }
    }

    fn size(&self) -> u64 {
        padded(self.batch.len() as u64)
    }
}

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
        let page = self.options.segment_bytes - self.options.segment_bytes % PAGE;
        let limit = LARGEST_BATCH.min(page - SEGMENT_FOOT - SEGMENT_HEAD - HEADER as u64);
        let largest = records.iter().map(|record| parts(record).3.len() as u64).max().unwrap_or(0);
        if largest > limit {
            return Err(StorageError::TooLarge { path: self.dir.clone(), bytes: largest, limit });
        }
        Ok(())
    }

    pub(super) fn write_records(&mut self, records: &[LogRecord]) -> Result<(), LogError> {
        let drafts: Vec<Draft> = records.iter().map(Draft::of).collect();
        self.write_all(&drafts)
    }

    pub(super) fn write_all(&mut self, drafts: &[Draft]) -> Result<(), LogError> {
        let total: u64 = drafts.iter().map(Draft::size).sum();
        let entries = (drafts.len() * ENTRY) as u64;
        let in_one = self.options.segment_bytes.saturating_sub(SEGMENT_HEAD + SEGMENT_FOOT + PAGE);
        if !self.has_room(drafts.len(), total) && total + entries <= in_one {
            self.begin_segment()?;
        }
        for draft in drafts {
            self.make_room(1, draft.size())?;
            self.encode_next(draft.kind, draft.slot, draft.ballot, &draft.batch);
        }
        self.flush()
    }

    /// Begins a segment if so many records of so many bytes have no room in the last one.
    pub(super) fn make_room(&mut self, records: usize, bytes: u64) -> Result<(), LogError> {
        if self.has_room(records, bytes) {
            return Ok(());
        }
        self.flush()?;
        self.begin_segment()
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
        if !self.votes {
            self.encode_next(Kind::Voteless, 0, (0, 0), &[]);
        }
        Ok(())
    }

    pub(super) fn encode_next(&mut self, kind: Kind, slot: u64, (round, node): (u64, u16), batch: &[u8]) {
        let (offset, low) = (self.next_offset(), self.next_low());
        if self.buffer.is_empty() {
            self.buffer_at = offset;
        }
        let digest = match kind {
            Kind::Accepted | Kind::Learned => *blake3::hash(batch).as_bytes(),
            Kind::Voted => batch.try_into().expect("what stands for a batch is its digest"),
            _ => [0; 32],
        };
        let header = Header {
            kind,
            written: self.places(),
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
        let place = offset as u32;
        if header.written == Written::Twice {
            segment.low = low - ENTRY as u64;
            self.entries
                .push(Entry { header, place, digest, parity: Parity::of(batch) }.encode(&segment.seal, segment.low));
        }
        let end = u32::try_from(offset + header.size()).expect("a segment is at most 2 GiB");
        (self.end.offset, self.previous_end, segment.end) = (end, end, end);
        let at = Position { segment: number, offset: place };
        let batch = (kind != Kind::Voted).then_some(Location { at, len: header.len });
        self.remember(&header, Held { at, batch, digest: Some(digest) });
    }

    /// Writes what was encoded, in both places.
    pub(super) fn flush(&mut self) -> Result<(), LogError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let segment = &self.segments[&self.end.segment];
        // Up to the end of the page, and down to the beginning of one: what is there holds nothing yet, and a page that
        // is written as a whole need not be read first if the page cache has lost it.
        let end = self.buffer_at + self.buffer.len() as u64;
        self.buffer.resize((end.next_multiple_of(PAGE) - self.buffer_at) as usize, 0);
        segment.write(self.buffer_at, &self.buffer)?;
        if !self.entries.is_empty() {
            let from = segment.low - segment.low % PAGE;
            self.buffer.clear();
            self.buffer.resize((segment.low - from) as usize, 0);
            self.buffer.extend(self.entries.iter().rev().flatten());
            segment.write(from, &self.buffer)?;
        }
        self.unsynced_segments.insert(self.end.segment);
        self.buffer.clear();
        self.entries.clear();
        Ok(())
    }

    /// Whether the last segment takes so many more records of so many bytes. The two places never share a page.
    fn has_room(&self, records: usize, bytes: u64) -> bool {
        let end = (self.next_offset() + bytes).next_multiple_of(PAGE);
        let entries = (records * ENTRY) as u64;
        self.segments.contains_key(&self.end.segment) && end + entries.next_multiple_of(PAGE) <= self.next_low()
    }

    #[cfg_attr(not(feature = "controls"), expect(clippy::unused_self, reason = "a control switches the second off"))]
    fn places(&self) -> Written {
        #[cfg(feature = "controls")]
        if self.control == Some(crate::Control::VotesInOnePlace) {
            return Written::Once;
        }
        Written::Twice
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

    /// Below which the next entry goes: right below the last one, or on a fresh page if that one is on the disk.
    fn next_low(&self) -> u64 {
        let low = self.segments.get(&self.end.segment).map_or(0, |segment| segment.low);
        if self.synced == self.end { low - low % PAGE } else { low }
    }

    fn remember(&mut self, header: &Header, held: Held) {
        self.index.note(header, held);
        let ballot = (header.round, header.node);
        match header.kind {
            Kind::Promised => self.promised = self.promised.max(ballot),
            Kind::Accepted | Kind::Voted => {
                self.promised = self.promised.max(ballot);
                self.note_slot(header.slot);
            }
            Kind::Learned => self.note_slot(header.slot),
            Kind::Chosen => self.chosen = self.chosen.max(header.slot),
            Kind::Trimmed => self.trimmed_below = self.trimmed_below.max(header.slot),
            // Written only by an opening, which has already done what they say.
            Kind::Head | Kind::Opened | Kind::Lowered | Kind::Voteless | Kind::Restated => {}
        }
    }

    fn note_slot(&mut self, slot: u64) {
        let segment = self.segments.get_mut(&self.end.segment).expect("the last segment is always open");
        segment.highest_slot = segment.highest_slot.max(slot);
    }
}
