//! One step of the checkpoint: what the journal says between two marks becomes part of table and runs.
//!
//! ```text
//!   1 journal synced through the new mark          2 its batches checked and read: changed keys, new ids
//!   3 old table + changed keys → new table, synced     4 new ids (+ small runs that are due) → new run, synced
//!   5 names synced          6 manifest switched        7 files that count no more removed
//! ```
//!
//! The order is the rule: nothing counts on bytes that are not on the disk, and a run of ids reaches exactly as far as the
//! checkpoint. If it reached further, a batch applied again after a crash would find its own ids and not post.
//! Memory is bounded by the records between the two marks; tables and runs are streamed.

use std::cmp::Ordering;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::changes::Changes;
use super::key::IndexKey;
use super::manifest::{Listed, Manifest};
use super::run::{Run, RunCursor, RunWriter};
use super::table::{Table, TableCursor, TableWriter};
use super::{Place, Put, Version};
use crate::{Disk, JournalMark, JournalReader, JournalRecord, StorageError};

/// So many runs of about the same size become one.
const FAN_IN: usize = 8;

/// Calls back for each key that a record changes.
type Effects = fn(&JournalRecord, Put<'_>) -> Result<(), String>;

/// One step of the checkpoint, for a background thread.
pub struct FoldJob<D: Disk> {
    pub(super) place: Place<D>,
    pub(super) from: Arc<Version<D>>,
    pub(super) journal: JournalReader<D>,
    pub(super) to: JournalMark,
    pub(super) effects: Effects,
    pub(super) key: fn(&JournalRecord) -> Option<IndexKey>,
    #[cfg(feature = "controls")]
    pub(super) control: Option<crate::Control>,
}

/// A finished step, on the disk, to be taken over by [`crate::Store::install`].
pub struct Folded<D: Disk> {
    pub(super) version: Arc<Version<D>>,
}

impl<D: Disk> Folded<D> {
    /// What the new checkpoint covers.
    pub fn mark(&self) -> JournalMark {
        self.version.manifest.mark
    }
}

impl<D: Disk> FoldJob<D> {
    /// What the new checkpoint will cover.
    pub fn mark(&self) -> JournalMark {
        self.to
    }

    /// Does the work. If it fails for want of room the old checkpoint counts as before and another job may be tried;
    /// after a failed sync of the journal or the switch none can.
    pub fn run(self) -> Result<Folded<D>, StorageError> {
        self.place.still_open()?;
        let (table, run) = (self.from.manifest.next_file, self.from.manifest.next_file + 1);
        let version = self.write_files(table, run).inspect_err(|_| self.remove_quietly(&[table, run]))?;
        // From here on nobody knows which manifest is on the disk until the switch has succeeded.
        let switched = version.manifest.switch(&self.place.disk, &self.place.store_dir, self.place.owner);
        switched.map_err(|error| self.place.close_after(error))?;
        // What remains of them after a failure is removed at the next start.
        let _ = self.place.remove_unlisted(&version.manifest);
        Ok(Folded { version: Arc::new(version) })
    }

    fn write_files(&self, table: u64, run: u64) -> Result<Version<D>, StorageError> {
        self.journal.sync(self.to.places)?;
        let (changes, ids) = self.read_journal()?;
        let table = Arc::new(self.write_table(table, &changes)?);
        let runs = self.write_run(run, ids)?;
        self.place.sync_names()?;
        let manifest = Manifest {
            mark: self.to,
            next_file: run + 1,
            table: Some(Listed { number: run - 1, len: table.len }),
            runs: runs.iter().map(|run| Listed { number: run.number, len: run.len }).collect(),
        };
        Ok(Version { manifest, table: Some(table), runs })
    }

    /// The table's changed keys, and the index's new ones in their order, each once with its first place.
    fn read_journal(&self) -> Result<(Changes, Vec<KeyPlace>), StorageError> {
        let mut changes = Changes::default();
        let (mut ids, mut unreadable) = (Vec::new(), None);
        self.journal.check(self.from.manifest.mark, self.to, |place, record| {
            let read = (self.effects)(record, &mut |key, value| changes.note(key, value));
            if let Err(what) = read
                && unreadable.is_none()
            {
                unreadable = Some((place, what));
            }
            ids.extend((self.key)(record).map(|key| (key, place)));
        })?;
        if let Some((place, what)) = unreadable {
            return Err(self.journal.unreadable(place, what));
        }
        #[cfg(feature = "controls")]
        if self.control == Some(crate::Control::RunPastCheckpoint) {
            self.journal.scan(self.to.places, self.journal.written(), |place, record| {
                if record[..2] != crate::HEADER_KIND.to_le_bytes() {
                    ids.extend((self.key)(record).map(|key| (key, place)));
                }
            })?;
        }
        ids.sort_unstable();
        ids.dedup_by_key(|(key, _)| *key);
        Ok((changes, ids))
    }

    fn write_table(&self, number: u64, changes: &Changes) -> Result<Table<D>, StorageError> {
        let mut old = TableCursor::new(self.from.table.clone())?;
        let mut new = TableWriter::create(&self.place.disk, &self.place.store_dir, number, self.place.owner)?;
        let mut changes = changes.sorted().peekable();
        loop {
            let order = match (old.current(), changes.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((key, _)), Some((changed, _))) => key.cmp(changed.as_slice()),
            };
            if order == Ordering::Less {
                let (key, value) = old.current().expect("an old entry comes first");
                new.put(key, value)?;
            } else if let Some((key, Some(value))) = changes.next() {
                new.put(key.as_slice(), value)?;
            }
            if order != Ordering::Greater {
                old.advance()?;
            }
        }
        new.finish()
    }

    /// All runs that count from now on.
    fn write_run(&self, number: u64, ids: Vec<KeyPlace>) -> Result<Vec<Arc<Run<D>>>, StorageError> {
        let mut runs = self.from.runs.clone();
        if ids.is_empty() {
            return Ok(runs);
        }
        let sizes: Vec<u64> = runs.iter().map(|run| run.ids).collect();
        let due = runs.split_off(runs.len() - due_for_merge(&sizes, ids.len() as u64));
        let most = due.iter().map(|run| run.ids).sum::<u64>() + ids.len() as u64;
        let mut writer = RunWriter::create(&self.place.disk, &self.place.ids_dir, number, self.place.owner, most)?;
        let mut merge = Merge::of(due, ids)?;
        while let Some((key, place)) = merge.next()? {
            writer.put(key, place)?;
        }
        runs.push(Arc::new(writer.finish()?));
        Ok(runs)
    }

    /// Gives the room of a failed step back; the failure itself is what is reported.
    fn remove_quietly(&self, numbers: &[u64]) {
        for number in numbers {
            let _ = self.place.disk.remove(&super::table::table_path(&self.place.store_dir, *number));
            let _ = self.place.disk.remove(&super::run::run_path(&self.place.ids_dir, *number));
        }
    }
}

/// How many of the newest runs (sizes from the oldest to the newest) become one with a new one of `new` ids: a run joins
/// when at least [`FAN_IN`] would be of its size class or a smaller one. So each id is written about log₈ times.
fn due_for_merge(sizes: &[u64], new: u64) -> usize {
    let (mut due, mut merged) = (0, new);
    loop {
        let class = merged.max(1).ilog(FAN_IN as u64);
        let older = &sizes[..sizes.len() - due];
        let alike = older.iter().rev().take_while(|size| size.max(&&1).ilog(FAN_IN as u64) <= class).count();
        if alike + 1 < FAN_IN {
            return due;
        }
        merged += older.iter().rev().take(alike).sum::<u64>();
        due += alike;
    }
}

/// A key and the place of its record.
type KeyPlace = (IndexKey, u64);

/// Several sorted sources as one; a key in several of them comes once, with its first place.
struct Merge<D: Disk> {
    runs: Vec<(RunCursor<D>, Option<KeyPlace>)>,
    new: std::iter::Peekable<std::vec::IntoIter<KeyPlace>>,
}

impl<D: Disk> Merge<D> {
    fn of(runs: Vec<Arc<Run<D>>>, new: Vec<KeyPlace>) -> Result<Merge<D>, StorageError> {
        let mut merge = Merge { runs: Vec::new(), new: new.into_iter().peekable() };
        for run in runs {
            let mut cursor = RunCursor::new(run);
            let first = cursor.next()?;
            merge.runs.push((cursor, first));
        }
        Ok(merge)
    }

    fn next(&mut self) -> Result<Option<KeyPlace>, StorageError> {
        let heads = self.runs.iter().filter_map(|(_, head)| *head);
        let Some(smallest) = heads.chain(self.new.peek().copied()).min() else { return Ok(None) };
        for (cursor, head) in &mut self.runs {
            while head.is_some_and(|(key, _)| key == smallest.0) {
                *head = cursor.next()?;
            }
        }
        while self.new.next_if(|(key, _)| *key == smallest.0).is_some() {}
        Ok(Some(smallest))
    }
}

impl<D: Disk> fmt::Debug for FoldJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoldJob").field("from", &self.from.manifest.mark).field("to", &self.to).finish_non_exhaustive()
    }
}

impl<D: Disk> fmt::Debug for Folded<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folded").field("mark", &self.mark()).finish_non_exhaustive()
    }
}

/// The files that count.
pub(super) fn listed_paths(manifest: &Manifest, store_dir: &Path, ids_dir: &Path) -> Vec<PathBuf> {
    let table = manifest.table.iter().map(|table| super::table::table_path(store_dir, table.number));
    let runs = manifest.runs.iter().map(|run| super::run::run_path(ids_dir, run.number));
    table.chain(runs).collect()
}

#[cfg(test)]
mod tests {
    use super::due_for_merge;

    #[test]
    fn eight_runs_of_a_size_become_one() {
        let (large, small, alike) = (8_000, 1_000, [1_000; 7]);
        assert_eq!(due_for_merge(&[], small), 0);
        assert_eq!(due_for_merge(&alike[1..], small), 0);
        assert_eq!(due_for_merge(&alike, small), 7);
        assert_eq!(due_for_merge(&[&[large], alike.as_slice()].concat(), small), 7, "the large one waits for its like");
        let with_larges = [[large; 7].as_slice(), alike.as_slice()].concat();
        assert_eq!(due_for_merge(&with_larges, small), 14, "and then goes along");
        assert_eq!(due_for_merge(&[10_000_000, 10, 10], 1_000_000), 0);
        assert_eq!(due_for_merge(&[10; 7], 1_000_000), 7, "smaller ones in the way go along");
    }

    #[test]
    fn each_size_class_keeps_seven_runs_at_most_whatever_comes() {
        // The most there can be: seven of the largest class, then seven of each smaller one.
        let most: Vec<u64> = [64, 8, 1].into_iter().flat_map(|size| [size; 7]).collect();
        let mut sizes: Vec<u64> = Vec::new();
        for new in &most {
            assert_eq!(due_for_merge(&sizes, *new), 0, "{new} joins {sizes:?}");
            sizes.push(*new);
        }
        assert_eq!(due_for_merge(&sizes, 1), 21, "the eighth of the smallest makes an eighth of each");
        assert_eq!(due_for_merge(&sizes, 64), 21, "and so does a larger one");
    }

    #[test]
    fn there_are_never_many_runs() {
        let mut sizes: Vec<u64> = Vec::new();
        for _ in 0..2000 {
            let due = due_for_merge(&sizes, 1000);
            let merged = sizes.split_off(sizes.len() - due).iter().sum::<u64>() + 1000;
            sizes.push(merged);
            assert!(sizes.len() <= 30, "{sizes:?}");
        }
    }
}
