//! What the Paxos acceptor of a node must not forget, on disk before anybody hears of it.
//!
//! Records go into numbered segments of fixed size, each append is one write, one sync serves all that was appended
//! before it (group commit). A group begins at a fresh page, so no write ever touches bytes that were synced before.
//! After one failed write or sync the log is closed to this process: what is on the disk is not known any more, and
//! only reading it anew at the next start can tell.
//!
//! Every record stands in two places of its segment, megabytes apart and made durable by the same sync: as it is, and
//! small, without its batch (`second.rs`). What an opening makes of damage to either is told in `recover.rs` and `open.rs`.
//!
//! It deliberately knows nothing of ballots' meaning: it keeps records, the newest for each slot, and the highest
//! promise and chosen mark.

mod append;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod index;
mod open;
mod parity;
mod places;
mod record;
mod recover;
mod second;
mod segment;
mod unsynced;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Disk, DiskFile, LogError, Owner, Part, StorageError};
use index::{Ballot, Index, Location};
use record::{HEADER, Kind, Position, whole_record};
use second::ENTRY;
use segment::Segment;

pub use open::LogFound;
pub(crate) use places::records_in;
pub use segment::{Spare, SpareJob};
pub use unsynced::{LogRecord, Pending, Synced, Unsynced};

/// A group begins at a multiple of this.
const PAGE: u64 = 4096;
/// No batch is larger; a frame from a peer that says so is refused before it comes here.
const LARGEST_BATCH: u64 = 8 << 20;
/// Head, promise, chosen mark, what was trimmed, and whether votes were lost, at the beginning of a segment.
const SEGMENT_HEAD: u64 = 5 * HEADER as u64;
/// The same in the second place, and a record's own entry, take no more than this.
const SEGMENT_FOOT: u64 = PAGE;
/// Trimmed segments beyond this many spares are removed.
const SPARES: usize = 2;

/// How a log is laid out.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Size of one segment file, at most 2 GiB. It also bounds the largest batch.
    pub segment_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions { segment_bytes: 64 << 20 }
    }
}

/// The BLAKE3 hash of a batch.
pub type Digest = [u8; 32];

/// Slot, ballot (round, node), digest of the batch, and the batch if it is whole.
pub type LogVote = (u64, (u64, u16), Digest, Option<Bytes>);

/// A record of the log that was safe on the disk and is not whole any more in one of its places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRot {
    pub file: PathBuf,
    pub offset: u64,
    /// What it is and what it means, in words.
    pub what: String,
    /// The slot that the record speaks of, if it still can be known.
    pub slot: Option<u64>,
}

/// What a log held when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecovered {
    /// (round, node); zeros when nothing was promised.
    pub promised: (u64, u16),
    /// What was accepted above `chosen`, by slot: the last vote in each, as (slot, (round, node), digest, batch). A vote
    /// whose batch has rotted or was torn is a vote all the same; peers have the batch.
    pub accepted: Vec<LogVote>,
    /// Through here every slot is chosen, and the log or the checkpoint has its batch. Lower than what was marked where a
    /// chosen batch beyond the checkpoint has rotted: it is to be learned again.
    pub chosen: u64,
    /// The highest slot that the log knows anything of, chosen or accepted, its batch whole or not: what tells a node that
    /// holds less than its peers remember from one whose batches have rotted.
    pub held: u64,
    /// False if a promise or a vote may have been lost, now or in an earlier life: this node must not promise, vote,
    /// answer reads or stand any more.
    pub votes: bool,
    /// What was found damaged and was safe on the disk before.
    pub rotten: Vec<LogRot>,
    /// The oldest slot still readable; `chosen + 1` when there is none.
    pub first_slot: u64,
    /// Bytes of the last, unsynced group that were dropped because they were torn.
    pub torn_bytes: u64,
}

/// The log of one node.
pub struct Log<D: Disk> {
    disk: D,
    dir: PathBuf,
    owner: Owner,
    options: LogOptions,
    segments: BTreeMap<u64, Segment<D>>,
    spares: Vec<PathBuf>,
    next_spare: u64,
    spare_under_way: Arc<()>,
    index: Index,
    promised: Ballot,
    chosen: u64,
    trimmed_below: u64,
    /// No promise and no vote was ever lost.
    votes: bool,
    first_slot: u64,
    epoch: u32,
    /// Where the last record ends.
    end: Position,
    /// Everything before this is on the disk.
    synced: Position,
    unsynced_segments: BTreeSet<u64>,
    /// Where the last record ends, in whatever segment: what the next one states.
    previous_end: u32,
    /// Encoded, not yet written: at most one group.
    buffer: Vec<u8>,
    /// Where in the last segment the buffer belongs.
    buffer_at: u64,
    /// Entries for the second place, encoded, not yet written; the last record's first.
    entries: Vec<[u8; ENTRY]>,
    /// Tells this opening of this log from all others in the process, for the proofs.
    id: u64,
    /// Groups appended so far.
    groups: u64,
    failed: Option<Arc<str>>,
    #[cfg(feature = "controls")]
    control: Option<crate::Control>,
}

impl<D: Disk> Log<D> {
    /// Writes a group's records at once; what it holds waits in the answer for the proof of a sync.
    pub fn append<T>(&mut self, group: Unsynced<T>) -> Result<Pending<T>, LogError> {
        self.still_open()?;
        self.all_fit(&group.records)?;
        self.write_records(&group.records).map_err(|error| self.close_after(error))?;
        self.groups += 1;
        Ok(Pending { log: self.id, group: self.groups, held: group.held })
    }

    /// Returns once everything appended before is on the disk; the answer is the proof.
    pub fn sync(&mut self) -> Result<Synced, LogError> {
        self.still_open()?;
        while let Some(number) = self.unsynced_segments.first().copied() {
            let segment = &self.segments[&number];
            let synced = segment.file.sync().map_err(StorageError::io("syncing", &segment.path, None));
            synced.map_err(|error| self.close_after(error))?;
            self.unsynced_segments.remove(&number);
        }
        self.synced = self.end;
        Ok(Synced { log: self.id, through: self.groups })
    }

    /// Batches of chosen slots from `from` on, without gap: as many as fit into `max_bytes`, but at least one if
    /// there is one. Empty when `from` is above what is chosen. Rot is never given out: the answer ends before it.
    ///
    /// # Errors
    /// [`StorageError::Absent`] if the log does not hold `from`, [`StorageError::Rot`] if just that batch has rotted. The
    /// log is as good as before: whoever asked asks another node, and the next start mends it.
    pub fn read_chosen(&self, from: u64, max_bytes: usize) -> Result<Vec<Bytes>, LogError> {
        if from < self.first_slot && from <= self.chosen {
            return Err(StorageError::Absent { path: self.dir.clone(), wanted: from, end: self.first_slot });
        }
        let mut batches = Vec::new();
        let mut bytes = 0;
        for slot in from..=self.chosen {
            let Some(location) = self.index.chosen(slot) else { break };
            bytes += location.len as usize;
            if bytes > max_bytes && !batches.is_empty() {
                break;
            }
            match self.read_batch(location) {
                Err(error) if error.is_rot() && !batches.is_empty() => break,
                batch => batches.push(batch?),
            }
        }
        if batches.is_empty() && from <= self.chosen {
            return Err(StorageError::Absent { path: self.dir.clone(), wanted: from, end: self.first_readable() });
        }
        Ok(batches)
    }

    /// Gives up the slots below `below`, as far as whole segments hold nothing else. Never gives up a slot above what
    /// is chosen. The caller has made sure that nobody needs them.
    pub fn trim(&mut self, below: u64) -> Result<(), LogError> {
        self.still_open()?;
        let below = below.min(self.chosen + 1);
        let spent = self.spent_segments(below);
        let Some(&(newest, _)) = spent.last() else { return Ok(()) };
        let highest = spent.iter().map(|(_, highest_slot)| *highest_slot).max().unwrap_or(0);
        self.drop_segments(newest, highest).map_err(|error| self.close_after(error))?;
        self.first_slot = self.first_readable();
        Ok(())
    }

    /// The state through this slot comes from elsewhere: all slots through it are chosen, and the log does not hold them
    /// any more. Returns when that is on the disk, which is before a checkpoint made of that state may count.
    pub fn install(&mut self, through: u64) -> Result<(), LogError> {
        self.still_open()?;
        self.note_installed(through).map_err(|error| self.close_after(error))?;
        self.index.forget_through(through);
        self.first_slot = self.first_readable();
        Ok(())
    }

    fn note_installed(&mut self, through: u64) -> Result<(), LogError> {
        self.make_room(2, 2 * HEADER as u64)?;
        // Both in one group and the mark first: what was given up is never more than what is chosen.
        self.encode_next(Kind::Chosen, through, (0, 0), &[]);
        self.encode_next(Kind::Trimmed, through + 1, (0, 0), &[]);
        self.flush()?;
        self.sync().map(drop)
    }

    /// The oldest slot that can still be read.
    pub fn first_slot(&self) -> u64 {
        self.first_slot
    }

    /// False if a promise or a vote may have been lost, now or in an earlier life.
    pub fn votes(&self) -> bool {
        self.votes
    }

    /// Bytes that the segments occupy on the disk, spares not counted.
    pub fn size_bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.capacity).sum()
    }

    /// Work for a background thread that prepares the next segment; None while one is ready or being prepared.
    /// Without it the log prepares a segment when it needs one, and whoever appends waits for that.
    pub fn spare_job(&mut self) -> Option<SpareJob<D>> {
        if !self.spares.is_empty() || Arc::strong_count(&self.spare_under_way) > 1 {
            return None;
        }
        Some(self.new_spare_job())
    }

    /// Takes over what a [`SpareJob`] has prepared.
    pub fn put_spare(&mut self, spare: Spare) {
        self.spares.push(spare.path);
    }

    /// The oldest segments, as far as they hold no slot from `below` on: number and highest slot.
    fn spent_segments(&self, below: u64) -> Vec<(u64, u64)> {
        self.segments
            .iter()
            .map(|(number, segment)| (*number, segment.highest_slot))
            .take_while(|(number, highest_slot)| *number != self.end.segment && *highest_slot < below)
            .collect()
    }

    /// A learned batch may go with its segment while an older accepted one of the same slot stays in a later segment
    /// and would pass for the chosen one; so it is on the disk that the slots are given up, before they are. The same
    /// sync brings the heads of the later segments, which repeat promise and chosen mark, to the disk.
    fn drop_segments(&mut self, newest: u64, highest_slot: u64) -> Result<(), LogError> {
        self.make_room(1, HEADER as u64)?;
        self.encode_next(Kind::Trimmed, highest_slot + 1, (0, 0), &[]);
        self.flush()?;
        self.sync()?;
        while let Some(oldest) = self.segments.keys().next().copied().filter(|oldest| *oldest <= newest) {
            self.give_up(oldest)?;
        }
        self.index.forget_before(newest + 1);
        Ok(())
    }

    fn first_readable(&self) -> u64 {
        self.index.first_of_unbroken(self.chosen).max(self.trimmed_below)
    }

    fn new_spare_job(&mut self) -> SpareJob<D> {
        let number = self.next_spare;
        self.next_spare += 1;
        SpareJob {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            number,
            bytes: self.options.segment_bytes,
            _under_way: self.spare_under_way.clone(),
        }
    }

    fn read_batch(&self, Location { at, len }: Location) -> Result<Bytes, LogError> {
        let segment = &self.segments[&at.segment];
        let offset = u64::from(at.offset);
        let bytes = segment.read(offset, HEADER + len as usize)?;
        match whole_record(bytes.into(), &segment.seal, offset) {
            Some((_, batch)) => Ok(batch),
            None => Err(StorageError::rot(
                Part::Log,
                &segment.path,
                offset,
                "a record that was whole before is not any more",
            )),
        }
    }
}

impl<D: Disk> fmt::Debug for Log<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("dir", &self.dir)
            .field("end", &self.end)
            .field("synced", &self.synced)
            .field("chosen", &self.chosen)
            .finish_non_exhaustive()
    }
}
