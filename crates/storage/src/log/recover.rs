//! What a log says when it is opened.
//!
//! Records are followed from the oldest segment on, each stating where the one before it ended. One that is whole in either of
//! its two places lets the next be found. Where neither is, the question is whether that place was ever synced. Every
//! record states through where the log was synced when it was written, so all that can still be read is asked:
//!
//! ```text
//!   … whole │ whole │ bad in both │ ?? │ "synced through here ─┐"     → rot: something is lost; go on behind it
//!                   ▲             └────◄───────────────────────┘
//!   … whole │ whole │ bad in both │ ?? │ "synced through there"       → torn tail of the last group: dropped
//!             ▲───────────────────────────────────────────┘
//! ```
//!
//! A record before that statement that is bad in one place is rot as well, but nothing is lost with it, or only its batch. One
//! behind it, in the last group, may have left the node or be torn. It stands if all of it is known: whole in the first place, or
//! from the second, with a batch that is whole but for a word that could be set right. Otherwise it never left: a tear
//! takes whole sectors, rot a few bits. Were it to stand without a batch that nobody else ever had, its slot could never be
//! finished while any other voter is away, and a power failure would do what only rot may do.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::index::{Held, Index, Location};
use super::places::{First, Follows, Places, Seen, Stated};
use super::record::{Kind, Position};
use super::second::ENTRY;
use super::segment::{Segment, segment_path};
use super::{Ballot, LogRot};
use crate::{Disk, OpenError, Owner, Part, StorageError};

/// The records of a log that stand, and where they end.
pub(super) struct Scan<D: Disk> {
    /// By number.
    pub(super) segments: Vec<(u64, Segment<D>)>,
    /// Numbers of segments that hold nothing but a dropped tail.
    pub(super) dropped: Vec<u64>,
    pub(super) index: Index,
    pub(super) promised: Ballot,
    pub(super) chosen: u64,
    pub(super) trimmed_below: u64,
    epoch: u32,
    /// The latest epoch that was ever used, in a dropped tail too.
    pub(super) latest_epoch: u32,
    /// Where the last record that stands ends.
    pub(super) end: Position,
    /// Through where the records themselves say that the log was synced.
    pub(super) synced: Position,
    pub(super) torn_bytes: u64,
    /// An earlier life has lost a promise or a vote.
    pub(super) voteless: bool,
    /// All that binds this node stands behind the damage that came before this.
    restated_at: Option<Position>,
    /// Records that stand but are not whole.
    damaged: Vec<(Position, Seen)>,
    /// What is to be written over records that could be mended.
    pub(super) mended: Vec<(Position, Vec<u8>)>,
    /// Places that were synced and of whose record nothing is known.
    lost: Vec<Position>,
    /// Records that may belong to the last group, and where their entries lie.
    entries: Vec<(Position, u32)>,
    /// Marks of what is chosen, and where they lie.
    marks: Vec<(Position, Kind, u64)>,
}

/// How the log goes on in a segment.
enum Begin {
    With(Seen),
    /// It does, but of what it held there nothing is left.
    NothingLeft,
    /// It does not: what is there is the tail of a group that never left.
    Tail,
}

/// The bytes of the last group that lie in one segment.
pub(super) struct LastGroup {
    pub(super) number: u64,
    pub(super) places: Vec<Range<u64>>,
}

/// The files that are read.
pub(super) struct Source<'a, D: Disk> {
    pub(super) disk: &'a D,
    pub(super) dir: &'a Path,
    pub(super) owner: Owner,
    /// Ascending, at least one.
    pub(super) numbers: &'a [u64],
}

impl<D: Disk> Source<'_, D> {
    /// Opens a segment and reads all of it.
    fn read(&self, number: u64, bytes: &mut Vec<u8>) -> Result<Segment<D>, OpenError> {
        let segment = Segment::open(self.disk, self.dir, number, self.owner)?;
        bytes.resize(segment.capacity as usize, 0);
        segment.read_into(0, bytes)?;
        Ok(segment)
    }

    /// What the segments behind this one state. Read only when something is amiss, or at the end.
    fn stated_behind(&self, number: u64) -> Result<Stated, OpenError> {
        let mut stated = Stated::default();
        let mut bytes = Vec::new();
        for &later in self.numbers.iter().filter(|later| **later > number) {
            let segment = self.read(later, &mut bytes)?;
            stated.merge(Places::new(&bytes, &segment.seal).stated());
        }
        Ok(stated)
    }
}

/// Reads all segments.
pub(super) fn scan<D: Disk>(source: &Source<'_, D>) -> Result<Scan<D>, OpenError> {
    let first = source.numbers[0];
    let start = Position { segment: first, offset: 0 };
    let mut scan = Scan {
        segments: Vec::new(),
        dropped: Vec::new(),
        index: Index::default(),
        promised: (0, 0),
        chosen: 0,
        trimmed_below: 0,
        epoch: 0,
        latest_epoch: 0,
        end: start,
        synced: start,
        torn_bytes: 0,
        voteless: false,
        restated_at: None,
        damaged: Vec::new(),
        mended: Vec::new(),
        lost: Vec::new(),
        entries: Vec::new(),
        marks: Vec::new(),
    };
    // One buffer for all: segments are large.
    let mut bytes = Vec::new();
    for &number in source.numbers {
        let segment = source.read(number, &mut bytes)?;
        let seal = segment.seal;
        scan.take_segment(number, segment, &Places::new(&bytes, &seal), source)?;
        let synced = scan.synced;
        scan.entries.retain(|(at, _)| *at >= synced);
    }
    if scan.segments.is_empty() && first > 1 {
        // What came before it was trimmed, and that is done only when the next segment's head is on the disk.
        let what = "the head of the oldest segment is not whole, and nothing else is";
        return Err(StorageError::rot(Part::Log, &segment_path(source.dir, first), 0, what).into());
    }
    scan.synced = scan.synced.min(scan.end);
    Ok(scan)
}

impl<D: Disk> Scan<D> {
    fn take_segment(
        &mut self,
        number: u64,
        mut segment: Segment<D>,
        places: &Places<'_>,
        source: &Source<'_, D>,
    ) -> Result<(), OpenError> {
        let here = Position { segment: number, offset: 0 };
        match self.begin(number, places, source)? {
            Begin::Tail => {
                self.drop_tail(places, 0);
                self.dropped.push(number);
                return Ok(());
            }
            Begin::NothingLeft => self.end = here,
            Begin::With(head) => {
                self.end = here;
                self.take(head, &mut segment);
            }
        }
        loop {
            match places.behind(segment.end, self.epoch) {
                Some(seen) if seen.stands() => self.take(seen, &mut segment),
                // Of a batch that is in no place only a statement can tell that it once was.
                Some(seen) if self.was_synced(number, seen.offset, places, source)? => self.take(seen, &mut segment),
                Some(_) | None => match self.behind_the_lost(&segment, number, places, source)? {
                    Some(seen) => self.take(seen, &mut segment),
                    None => break,
                },
            }
        }
        self.drop_tail(places, segment.end);
        self.segments.push((number, segment));
        Ok(())
    }

    /// Whether and how the log goes on in a segment.
    fn begin(&mut self, number: u64, places: &Places<'_>, source: &Source<'_, D>) -> Result<Begin, OpenError> {
        let oldest = number == source.numbers[0];
        if oldest || self.end.segment + 1 == number {
            // The head of the oldest segment states where one ended that is no longer there.
            let previous_end = (!oldest).then_some(self.end.offset);
            let head = places.at(0, Follows { previous_end, epoch: self.epoch }).filter(Seen::stands);
            if let Some(head) = head {
                return Ok(Begin::With(head));
            }
        }
        let mut stated = places.stated();
        stated.merge(source.stated_behind(number)?);
        self.note_stated(stated);
        // The file of a segment in between is gone, or a record at the end of the one before, or the head itself.
        let gone = !oldest && self.end.segment + 1 != number && self.dropped.is_empty();
        if !gone && stated.synced <= Some(self.end) {
            return Ok(Begin::Tail);
        }
        let follows = Follows { previous_end: None, epoch: self.epoch };
        let head = places.at(0, follows).filter(Seen::stands);
        self.lose(if head.is_some() { self.end } else { Position { segment: number, offset: 0 } });
        let first = head.or_else(|| places.resume_after(0, self.epoch));
        Ok(first.map_or(Begin::NothingLeft, Begin::With))
    }

    /// Where nothing can be read at a segment's end: the record to go on with, if something was lost there.
    fn behind_the_lost(
        &mut self,
        segment: &Segment<D>,
        number: u64,
        places: &Places<'_>,
        source: &Source<'_, D>,
    ) -> Result<Option<Seen>, OpenError> {
        let next = places.resume_after(segment.end, self.epoch);
        let newest = source.numbers.last() == Some(&number);
        if next.is_none() && !newest {
            // Nothing here: whether a record was lost, the next segment's head can tell.
            return Ok(None);
        }
        if !self.was_synced(number, segment.end, places, source)? {
            return Ok(None);
        }
        self.lose(self.end);
        Ok(next)
    }

    /// Whether anything that can still be read says that this place of the segment was synced.
    fn was_synced(
        &mut self,
        number: u64,
        offset: u32,
        places: &Places<'_>,
        source: &Source<'_, D>,
    ) -> Result<bool, OpenError> {
        let place = Position { segment: number, offset };
        let mut stated = places.stated();
        if stated.synced <= Some(place) {
            stated.merge(source.stated_behind(number)?);
        }
        self.note_stated(stated);
        Ok(self.synced > place)
    }

    fn note_stated(&mut self, stated: Stated) {
        self.synced = stated.synced.map_or(self.synced, |synced| self.synced.max(synced));
        self.latest_epoch = self.latest_epoch.max(stated.epoch);
    }

    fn lose(&mut self, place: Position) {
        self.lost.push(place);
        self.index.doubt(place);
    }

    fn take(&mut self, mut seen: Seen, segment: &mut Segment<D>) {
        let at = Position { segment: self.end.segment, offset: seen.offset };
        self.mended.extend(seen.mended.take().map(|bytes| (at, bytes)));
        let (header, end, entry_at) = (seen.header, seen.end(), seen.entry_at);
        let has_batch = seen.has_batch() && header.kind != Kind::Voted;
        let batch = has_batch.then_some(Location { at, len: header.len });
        self.index.note(&header, Held { at, batch, digest: seen.digest });
        if !seen.is_whole() {
            self.damaged.push((at, seen));
        }
        self.epoch = self.epoch.max(header.epoch);
        self.latest_epoch = self.latest_epoch.max(header.epoch);
        self.synced = self.synced.max(header.synced);
        match header.kind {
            Kind::Promised => self.promised = self.promised.max((header.round, header.node)),
            // Who accepts under a ballot has promised it.
            Kind::Accepted | Kind::Voted => self.promised = self.promised.max((header.round, header.node)),
            Kind::Chosen => self.chosen = self.chosen.max(header.slot),
            Kind::Lowered => self.chosen = header.slot,
            Kind::Trimmed => self.trimmed_below = self.trimmed_below.max(header.slot),
            Kind::Voteless => self.voteless = true,
            Kind::Restated => self.restated_at = Some(at),
            Kind::Head | Kind::Opened | Kind::Learned => {}
        }
        if header.kind.has_slot() {
            segment.highest_slot = segment.highest_slot.max(header.slot);
        }
        if matches!(header.kind, Kind::Chosen | Kind::Lowered) {
            self.marks.push((at, header.kind, header.slot));
        }
        segment.end = end;
        if let Some(entry_at) = entry_at {
            segment.low = segment.low.min(u64::from(entry_at));
            self.entries.push((at, entry_at));
        }
        self.end.offset = segment.end;
    }

    /// What lies behind the last record that stands never left, whatever it is; but no later opening may use its epoch.
    fn drop_tail(&mut self, places: &Places<'_>, from: u32) {
        for (_, header) in places.headers_from(from) {
            // Older epochs are tails that were dropped and reported before.
            if header.epoch >= self.epoch {
                self.torn_bytes += header.size();
                self.latest_epoch = self.latest_epoch.max(header.epoch);
            }
        }
    }

    /// What is surely marked as chosen on the disk, even if the last group is lost at the next moment.
    pub(super) fn chosen_for_good(&self) -> u64 {
        let sure = self.marks.iter().filter(|(at, ..)| *at < self.synced);
        sure.fold(0, |chosen, (_, kind, slot)| if *kind == Kind::Lowered { *slot } else { chosen.max(*slot) })
    }

    /// What may not be on the disk yet, although it can be read.
    pub(super) fn last_group(&self) -> impl Iterator<Item = LastGroup> + '_ {
        let touched = self.segments.iter().filter(|(number, _)| *number >= self.synced.segment);
        touched.map(|(number, segment)| {
            let from = if *number == self.synced.segment { self.synced.offset } else { 0 };
            let records = u64::from(from)..u64::from(segment.end.max(from));
            let of_group = self.entries.iter().filter(|(at, _)| at.segment == *number && *at >= self.synced);
            let entries = of_group.map(|(_, entry_at)| u64::from(*entry_at));
            let lowest = entries.clone().min();
            let entries = lowest.zip(entries.max()).map(|(low, high)| low..high + ENTRY as u64);
            LastGroup { number: *number, places: [Some(records), entries].into_iter().flatten().collect() }
        })
    }

    /// The last group was not written as a whole in both places.
    pub(super) fn is_half_written(&self) -> bool {
        self.damaged.iter().any(|(at, _)| *at >= self.synced)
    }

    /// Whether a record was lost of which nothing is known, since what binds this node was last written anew.
    pub(super) fn has_lost(&self) -> bool {
        self.lost.iter().any(|at| Some(*at) > self.restated_at)
    }

    /// All damage to what was synced, except what was dealt with in an earlier life.
    pub(super) fn rotten(&self, dir: &Path) -> Vec<LogRot> {
        let new = |at: &Position| *at < self.synced && Some(*at) > self.restated_at;
        let known = self.damaged.iter().filter(|(at, _)| new(at)).map(|(at, seen)| rot_of(dir, *at, seen));
        let lost = self.lost.iter().filter(|at| Some(**at) > self.restated_at).map(|at| LogRot {
            file: segment_path(dir, at.segment),
            offset: u64::from(at.offset),
            what: "nothing is known of the record there, which was synced".to_string(),
            slot: None,
        });
        known.chain(lost).collect()
    }
}

fn rot_of(dir: &Path, at: Position, seen: &Seen) -> LogRot {
    let kind = seen.header.kind;
    let what = match seen.first {
        First::Whole => format!("the entry in the second place of the record there ({kind:?}) is not whole"),
        First::Mended => format!("the record there ({kind:?}) was not whole and is now"),
        First::HeaderOnly => format!("the batch of the record there ({kind:?}) is not whole"),
        First::Bad => format!("the record there ({kind:?}) is not whole and known only from its second place"),
    };
    let file: PathBuf = segment_path(dir, at.segment);
    LogRot { file, offset: u64::from(at.offset), what, slot: kind.has_slot().then_some(seen.header.slot) }
}
