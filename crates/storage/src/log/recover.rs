//! What a log says when it is opened.
//!
//! Records are followed from the oldest segment on, each stating where the one before it ended, until one is not whole.
//! Then the question is whether that place was ever synced. Every record states through where the log was synced when
//! it was written, so the headers behind the bad place are asked:
//!
//! ```text
//!   … whole │ whole │ bad │ ?? │ header: "synced through here ─┐"     → rot: stop, say what and where
//!                   ▲     └────────────◄─────────────────────┘
//!   … whole │ whole │ bad │ ?? │ header: "synced through there"       → torn tail of the last group: dropped, reported
//!             ▲─────────────────────────────────────────┘
//! ```

use std::path::Path;

use super::index::Index;
use super::record::{HEADER, Header, Kind, Position, batch_at, header_at};
use super::segment::{Segment, segment_path};
use super::{Ballot, PAGE};
use crate::checksum::{FileKind, Seal};
use crate::{Disk, OpenError, Owner, Part, StorageError};

/// The whole records of a log and where they end.
pub(super) struct Scan<D: Disk> {
    /// By number, without gap; the first is `first_segment`.
    pub(super) segments: Vec<(u64, Segment<D>)>,
    /// Numbers of segments that hold nothing but a dropped tail.
    pub(super) dropped: Vec<u64>,
    pub(super) index: Index,
    pub(super) promised: Ballot,
    pub(super) chosen: u64,
    pub(super) trimmed_below: u64,
    pub(super) epoch: u32,
    /// Where the last whole record ends.
    pub(super) end: Position,
    /// Through where the records themselves say that the log was synced.
    pub(super) synced: Position,
    pub(super) torn_bytes: u64,
}

/// Reads the segments with these numbers (ascending, at least one).
pub(super) fn scan<D: Disk>(disk: &D, dir: &Path, owner: Owner, numbers: &[u64]) -> Result<Scan<D>, OpenError> {
    let first = numbers[0];
    let start = Position { segment: first, offset: 0 };
    let mut scan = Scan {
        segments: Vec::new(),
        dropped: Vec::new(),
        index: Index::default(),
        promised: (0, 0),
        chosen: 0,
        trimmed_below: 0,
        epoch: 0,
        end: start,
        synced: start,
        torn_bytes: 0,
    };
    // One buffer for all: segments are large.
    let mut bytes = Vec::new();
    for (expected, &number) in (first..).zip(numbers) {
        if number != expected {
            return Err(rot(&segment_path(dir, expected), 0, "it is missing, and later ones are not"));
        }
        let segment = Segment::open(disk, dir, number, owner)?;
        bytes.resize(segment.capacity as usize, 0);
        segment.read_into(0, &mut bytes)?;
        let tail = number != first && !scan.continues_in(number, &segment, &bytes);
        let from = if tail { 0 } else { scan.follow(number, segment, &bytes) };
        scan.ask_headers_behind(dir, number, &bytes, from, owner)?;
        if tail || from == 0 {
            scan.dropped.push(number);
        }
    }
    if scan.end.offset == 0 && first > 1 {
        // What came before it was trimmed, and that is done only when the next segment's head is on the disk.
        return Err(rot(&segment_path(dir, first), 0, "the head of the oldest segment is not whole"));
    }
    Ok(scan)
}

impl<D: Disk> Scan<D> {
    /// Whether this segment's head follows the last whole record.
    fn continues_in(&self, number: u64, segment: &Segment<D>, bytes: &[u8]) -> bool {
        self.end.segment + 1 == number && whole_at(bytes, segment, 0, Some(self.end.offset), self.epoch).is_some()
    }

    /// Takes the whole records of one segment and returns where they end.
    fn follow(&mut self, number: u64, mut segment: Segment<D>, bytes: &[u8]) -> u32 {
        // The head of the oldest segment states where one ended that is no longer there.
        let mut previous_end = None;
        while let Some((at, header)) = next_whole(bytes, &segment, previous_end, self.epoch) {
            self.take(&header, Position { segment: number, offset: at as u32 }, &mut segment);
            segment.end = (at as u64 + header.size()) as u32;
            previous_end = Some(segment.end);
        }
        let end = segment.end;
        self.end = Position { segment: number, offset: end };
        if end > 0 {
            self.segments.push((number, segment));
        }
        end
    }

    fn take(&mut self, header: &Header, at: Position, segment: &mut Segment<D>) {
        self.index.note(header, at);
        self.epoch = self.epoch.max(header.epoch);
        self.synced = self.synced.max(header.synced);
        match header.kind {
            Kind::Promised => self.promised = self.promised.max((header.round, header.node)),
            // Who accepts under a ballot has promised it.
            Kind::Accepted => {
                self.promised = self.promised.max((header.round, header.node));
                segment.highest_slot = segment.highest_slot.max(header.slot);
            }
            Kind::Learned => segment.highest_slot = segment.highest_slot.max(header.slot),
            Kind::Chosen => self.chosen = self.chosen.max(header.slot),
            Kind::Trimmed => self.trimmed_below = self.trimmed_below.max(header.slot),
            Kind::Head | Kind::Opened => {}
        }
    }

    /// Looks at every header behind the last whole record: does one state that something there was synced?
    fn ask_headers_behind(
        &mut self,
        dir: &Path,
        number: u64,
        bytes: &[u8],
        from: u32,
        owner: Owner,
    ) -> Result<(), OpenError> {
        let seal = Seal::new(owner, FileKind::Log, number);
        for at in (from as usize..bytes.len()).step_by(HEADER) {
            let Some(header) = header_at(&bytes[at..], &seal, at as u64) else { continue };
            if header.synced > self.end {
                let file = segment_path(dir, self.end.segment);
                let what = format!(
                    "the record there is not whole, although the one at {at} in segment {number} says that it was synced"
                );
                return Err(rot(&file, u64::from(self.end.offset), &what));
            }
            // Older epochs are tails that were dropped and reported before.
            if header.epoch >= self.epoch {
                self.torn_bytes += header.size();
            }
        }
        Ok(())
    }
}

/// The record behind `previous_end`: right there, or on the next page if a group begins with it.
fn next_whole<D: Disk>(
    bytes: &[u8],
    segment: &Segment<D>,
    previous_end: Option<u32>,
    epoch: u32,
) -> Option<(usize, Header)> {
    let end = previous_end.unwrap_or(0) as usize;
    let page = end.next_multiple_of(PAGE as usize);
    [end, page].into_iter().find_map(|at| Some((at, whole_at(bytes, segment, at, previous_end, epoch)?)))
}

fn whole_at<D: Disk>(
    bytes: &[u8],
    segment: &Segment<D>,
    at: usize,
    previous_end: Option<u32>,
    epoch: u32,
) -> Option<Header> {
    let bytes = bytes.get(at..)?;
    let header = header_at(bytes, &segment.seal, at as u64)?;
    batch_at(bytes, &header, &segment.seal, at as u64)?;
    // Only a head may be first in a segment, and what it states about the one before may be checked by nobody.
    let head_first = (header.kind == Kind::Head) == (at == 0);
    let continues = previous_end.is_none_or(|end| header.previous_end == end);
    (head_first && continues && header.epoch >= epoch).then_some(header)
}

fn rot(file: &Path, offset: u64, what: &str) -> OpenError {
    StorageError::rot(Part::Log, file, offset, what).into()
}
