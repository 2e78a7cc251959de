//! How a log is opened, and what becomes of damage.
//!
//! ```text
//!   Log::find ── reads only ──► LogFound ── open(checkpoint) ──► tails removed, last group written again
//!                                                            ──► a new epoch begins
//!                                                            ──► after damage: what binds this node is written anew
//! ```
//!
//! What was damaged, and what then holds:
//!
//! | damage | meaning |
//! |---|---|
//! | one place of a promise or a vote | nothing is lost |
//! | up to a word of a batch | it is set right |
//! | more of a batch of a vote | the vote stands with its digest; the batch is a peer's to give |
//! | a batch that is chosen, covered by the checkpoint | it cannot be given to peers |
//! | a batch that is chosen, beyond the checkpoint | only what is before it counts as chosen: it is learned again |
//! | both places of any record that was synced | it may have been a vote: this node never votes again |
//! | the last group | what is known as a whole stands, what is not never left |
//!
//! A node that lowers what it takes as chosen has its votes above that, so it can report them: a chosen value
//! that fewer than a majority remembers would be no chosen value any more. After damage everything that binds the node is written
//! into a fresh segment (after a torn last group into the same one) and synced before anything else: first the
//! lowered mark, so that no copy that is written behind it can pass for a chosen one, last the word that all of it is there.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::append::Draft;
use super::index::Index;
use super::record::{HEADER, Kind, Position};
use super::recover::{LastGroup, Scan, Source, scan};
use super::segment::{Found, VOTELESS, segment_path};
use super::{Log, LogOptions, LogRecovered, LogRot, LogVote, PAGE, SPARES};
use crate::directory::make_durable;
use crate::{Disk, DiskFile, LogError, OpenError, Owner, StorageError};

static NEXT_LOG: AtomicU64 = AtomicU64::new(1);

/// A log that was read and not yet changed.
pub struct LogFound<D: Disk> {
    log: Log<D>,
    found: Found,
    /// None if there is no segment.
    scan: Option<Scan<D>>,
}

/// What the damage of a log comes to.
struct Damage {
    rotten: Vec<LogRot>,
    /// Something must be written anew.
    any: bool,
    /// Through where all was marked as chosen.
    marked: u64,
}

impl<D: Disk> LogFound<D> {
    /// Through which slot the log surely marks all as chosen: a checkpoint that is made before the log is opened may
    /// not reach further.
    pub fn chosen(&self) -> u64 {
        self.scan.as_ref().map_or(0, Scan::chosen_for_good)
    }

    /// The highest slot that it holds anything of, chosen or only voted for.
    pub fn held(&self) -> u64 {
        self.scan.as_ref().map_or(0, |scan| scan.index.highest().max(scan.chosen))
    }

    /// The oldest slot from which on it holds the batches of all that it marks as chosen.
    pub fn first_slot(&self) -> u64 {
        let first = |scan: &Scan<D>| scan.index.first_of_unbroken(scan.chosen).max(scan.trimmed_below);
        self.scan.as_ref().map_or(1, first)
    }

    /// Breaks a rule, for the simulator; the same each time that this log is opened.
    #[cfg(feature = "controls")]
    pub fn set_control(&mut self, control: Option<crate::Control>) {
        self.log.control = control;
    }

    /// Opens it. `checkpoint` is the slot through which all is applied and durable elsewhere: damage to what the log holds
    /// of those slots makes nobody learn them again.
    ///
    /// The last group is written and synced again before it counts: after a sync that failed, or a process that died
    /// before it, the page cache may show bytes that the disk never got.
    pub fn open(self, checkpoint: u64) -> Result<(Log<D>, LogRecovered), OpenError> {
        let LogFound { mut log, found, scan } = self;
        log.sort_out_spares(&found)?;
        let (mut torn_bytes, mut damage) = (0, Damage { rotten: Vec::new(), any: false, marked: 0 });
        if let Some(scan) = scan {
            torn_bytes = scan.torn_bytes;
            let is_restated = scan.voteless;
            damage = log.take_over(scan, checkpoint)?;
            damage.any |= found.voteless && !is_restated;
        }
        if found.voteless {
            log.votes = false;
        }
        if !log.votes {
            log.mark_voteless()?;
        }
        let marked = damage.marked;
        log.begin_epoch()?;
        let votes = log.votes_above_chosen()?;
        if damage.any {
            log.restate(&votes, &damage.rotten)?;
        }
        log.sync()?;
        log.first_slot = log.first_readable();
        let recovered = LogRecovered {
            promised: log.promised,
            accepted: votes,
            chosen: log.chosen,
            held: log.index.highest().max(marked),
            votes: log.votes,
            rotten: damage.rotten,
            first_slot: log.first_slot,
            torn_bytes,
        };
        Ok((log, recovered))
    }
}

impl<D: Disk> Log<D> {
    /// Opens the log in `dir/log`, where `dir` is the node's directory, or begins it: for a node without a checkpoint.
    pub fn open(disk: D, dir: &Path, owner: Owner, options: LogOptions) -> Result<(Log<D>, LogRecovered), OpenError> {
        Log::find(disk, dir, owner, options)?.open(0)
    }

    /// Reads the log in `dir/log`, where `dir` is the node's directory.
    pub fn find(disk: D, dir: &Path, owner: Owner, options: LogOptions) -> Result<LogFound<D>, OpenError> {
        assert!(options.segment_bytes >= 4 * PAGE && options.segment_bytes <= 1 << 31, "a segment is 16 KiB to 2 GiB");
        let dir = dir.join("log");
        make_durable(&disk, &dir)?;
        let found = Found::in_dir(&disk, &dir)?;
        let source = Source { disk: &disk, dir: &dir, owner, numbers: &found.segments };
        let scan = if found.segments.is_empty() { None } else { Some(scan(&source)?) };
        let log = Log {
            disk,
            dir,
            owner,
            options,
            segments: std::collections::BTreeMap::new(),
            spares: Vec::new(),
            next_spare: found.next_spare,
            spare_under_way: Arc::new(()),
            index: Index::default(),
            promised: (0, 0),
            chosen: 0,
            trimmed_below: 0,
            votes: true,
            first_slot: 1,
            epoch: 0,
            end: Position { segment: 0, offset: 0 },
            synced: Position { segment: 0, offset: 0 },
            unsynced_segments: std::collections::BTreeSet::new(),
            previous_end: 0,
            buffer: Vec::new(),
            buffer_at: 0,
            entries: Vec::new(),
            id: NEXT_LOG.fetch_add(1, Ordering::Relaxed),
            groups: 0,
            failed: None,
            #[cfg(feature = "controls")]
            control: None,
        };
        Ok(LogFound { log, found, scan })
    }

    /// Before anything of this opening is written: whatever becomes of the log, it votes no more.
    fn mark_voteless(&self) -> Result<(), LogError> {
        let path = self.dir.join(VOTELESS);
        if !self.disk.exists(&path).map_err(StorageError::io("looking for", &path, None))? {
            self.disk.create(&path).map_err(StorageError::io("making", &path, None))?;
            self.sync_names()?;
        }
        Ok(())
    }

    fn sort_out_spares(&mut self, found: &Found) -> Result<(), LogError> {
        for path in &found.half_prepared {
            self.remove(path)?;
        }
        for path in &found.spares {
            let file = self.disk.open(path).map_err(StorageError::io("opening", path, None))?;
            let len = file.len().map_err(StorageError::io("measuring", path, None))?;
            if len == self.options.segment_bytes && self.spares.len() < SPARES {
                self.spares.push(path.clone());
            } else {
                self.remove(path)?;
            }
        }
        Ok(())
    }

    /// Takes what was read, says what its damage means, and drops a torn tail.
    fn take_over(&mut self, scan: Scan<D>, checkpoint: u64) -> Result<Damage, LogError> {
        let (rotten, half_written, lost) = (scan.rotten(&self.dir), scan.is_half_written(), scan.has_lost());
        let last_group: Vec<LastGroup> = scan.last_group().collect();
        self.segments = scan.segments.into_iter().collect();
        (self.index, self.promised) = (scan.index, scan.promised);
        (self.chosen, self.trimmed_below) = (scan.chosen, scan.trimmed_below);
        (self.epoch, self.end, self.synced) = (scan.latest_epoch, scan.end, scan.synced);
        if self.segments.is_empty() {
            // The very first segment was never finished: begin it again, under the same number.
            self.end = Position { segment: 0, offset: 0 };
        }
        self.previous_end = self.end.offset;
        // From the newest to the oldest, so that a crash in between leaves no gap in the numbers.
        for &number in scan.dropped.iter().rev() {
            let path = segment_path(&self.dir, number);
            self.remove(&path)?;
            self.sync_names()?;
        }
        self.write_mended(&scan.mended)?;
        self.write_again(&last_group)?;
        let written = self.chosen;
        // What was trimmed was chosen, and so is what the checkpoint covers, whatever became of the marks.
        self.chosen = self.chosen.max(self.trimmed_below.saturating_sub(1));
        if lost || scan.voteless {
            self.chosen = self.chosen.max(checkpoint);
        }
        let marked = self.chosen;
        let first = self.trimmed_below.max(checkpoint + 1);
        if let Some(slot) = self.index.first_unreadable(first..=self.chosen) {
            self.chosen = slot - 1;
        }
        let unknown_vote =
            self.index.accepted_above(self.chosen).any(|(.., held)| held.digest.is_none() && held.batch.is_none());
        self.votes = !(scan.voteless || lost || unknown_vote);
        #[cfg(feature = "controls")]
        if self.control == Some(crate::Control::VotesInOnePlace) {
            self.votes = true;
        }
        let any = !rotten.is_empty() || half_written || self.chosen != written;
        Ok(Damage { rotten, any, marked })
    }

    fn write_mended(&mut self, mended: &[(Position, Vec<u8>)]) -> Result<(), LogError> {
        for (at, bytes) in mended {
            self.segments[&at.segment].write(u64::from(at.offset), bytes)?;
            self.unsynced_segments.insert(at.segment);
        }
        Ok(())
    }

    fn write_again(&mut self, last_group: &[LastGroup]) -> Result<(), LogError> {
        for LastGroup { number, places } in last_group {
            let segment = self.segments.get_mut(number).expect("the group lies in segments that stand");
            for place in places {
                let bytes = segment.read(place.start, (place.end - place.start) as usize)?;
                if !bytes.is_empty() {
                    segment.write(place.start, &bytes)?;
                }
            }
            // What is written next shares no page with what may have been synced.
            segment.low -= segment.low % PAGE;
            self.unsynced_segments.insert(*number);
        }
        Ok(())
    }

    /// Nothing of a dropped tail may ever join what is written from now on: that is what the epoch is for. It is synced
    /// with what is written anew, before anything else of this opening.
    fn begin_epoch(&mut self) -> Result<(), LogError> {
        self.epoch = self.epoch.checked_add(1).expect("a node is started fewer than four billion times");
        self.make_room(1, HEADER as u64)?;
        self.encode_next(Kind::Opened, 0, (0, 0), &[]);
        self.flush()
    }

    fn votes_above_chosen(&self) -> Result<Vec<LogVote>, LogError> {
        let mut votes = Vec::new();
        for (slot, ballot, held) in self.index.accepted_above(self.chosen) {
            let batch = match held.batch.map(|location| self.read_batch(location)).transpose() {
                // It was whole a moment ago.
                Err(error) if error.is_rot() && held.digest.is_some() => None,
                batch => batch?,
            };
            let digest = held.digest.or_else(|| batch.as_ref().map(|batch| *blake3::hash(batch).as_bytes()));
            // Of a vote that is known by nothing but its slot and ballot nothing can be said: this node does not vote.
            if let Some(digest) = digest {
                votes.push((slot, ballot, digest, batch));
            }
        }
        Ok(votes)
    }

    /// Writes all that binds this node anew, in one group.
    fn restate(&mut self, votes: &[LogVote], rotten: &[LogRot]) -> Result<(), LogError> {
        if !rotten.is_empty() {
            self.begin_segment()?;
        }
        let plain = |kind, slot, ballot| Draft { kind, slot, ballot, batch: Bytes::new() };
        let mut records = vec![plain(Kind::Lowered, self.chosen, (0, 0)), plain(Kind::Promised, 0, self.promised)];
        if !self.votes {
            records.push(plain(Kind::Voteless, 0, (0, 0)));
        }
        records.extend(votes.iter().map(|(slot, ballot, digest, batch)| match batch {
            Some(batch) => Draft { kind: Kind::Accepted, slot: *slot, ballot: *ballot, batch: batch.clone() },
            None => {
                let digest = Bytes::copy_from_slice(digest);
                Draft { kind: Kind::Voted, slot: *slot, ballot: *ballot, batch: digest }
            }
        }));
        records.push(plain(Kind::Restated, 0, (0, 0)));
        self.write_all(&records)
    }
}

impl<D: Disk> std::fmt::Debug for LogFound<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogFound").field("log", &self.log).finish_non_exhaustive()
    }
}
