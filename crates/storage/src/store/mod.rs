//! The checkpoint of state and the index of ids, switched together.
//!
//! A checkpoint is one immutable sorted table; the index is a few immutable sorted runs. One manifest lists the files
//! that count and the mark in the journal that all of them reach exactly. The next version is made beside the present one
//! by a [`FoldJob`], on any thread, and counts from the moment in which the manifest is switched.
//!
//! Readers of the present version need no lock and are not disturbed: files of an older version stay readable while
//! somebody holds them.

mod changes;
mod filter;
mod fold;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod key;
mod manifest;
mod rebuild;
mod run;
mod table;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::directory::make_durable;
use crate::{Disk, JournalMark, JournalReader, JournalRecord, OpenError, Owner, StorageError};
use manifest::Manifest;
use run::Run;
use table::{Table, TableCursor};

pub use fold::{FoldJob, Folded};
pub use key::IndexKey;

/// Takes a key and its new value; None removes the key.
pub type Put<'a> = &'a mut (dyn FnMut(&[u8], Option<&[u8]>) + 'a);

/// What a journal record means for the checkpoint. Rules have no state: the same record always means the same.
pub trait FoldRules {
    /// Calls `put` for each key (≤ 23 bytes) that the record gives another value (≤ 1 KiB; None removes the key).
    ///
    /// # Errors
    /// A sentence, when the record is none that these rules know: a checkpoint without it would lose what it says.
    fn effects(record: &JournalRecord, put: Put<'_>) -> Result<(), String>;
    /// What the index finds the record by, if anybody will ever look for it. The first record of a key is the one that counts.
    fn key(record: &JournalRecord) -> Option<IndexKey>;
}

/// The checkpoint of one node and the index of ids.
pub struct Store<D: Disk> {
    place: Place<D>,
    version: Arc<Version<D>>,
    #[cfg(feature = "controls")]
    control: Option<crate::Control>,
}

/// The files that count, opened.
struct Version<D: Disk> {
    manifest: Manifest,
    table: Option<Arc<Table<D>>>,
    runs: Vec<Arc<Run<D>>>,
}

/// Where a store lives.
struct Place<D: Disk> {
    disk: D,
    store_dir: PathBuf,
    ids_dir: PathBuf,
    owner: Owner,
    /// The first failure after which nobody knows which manifest is on the disk.
    failed: Arc<Mutex<Option<Arc<str>>>>,
}

impl<D: Disk> Store<D> {
    /// Opens the checkpoint in `dir/store` and the runs in `dir/ids`, where `dir` is the node's directory, or begins
    /// with an empty one. Files that an unfinished fold left are removed.
    pub fn open(disk: D, dir: &Path, owner: Owner) -> Result<Store<D>, OpenError> {
        let place = Place::of(disk, dir, owner);
        make_durable(&place.disk, &place.store_dir)?;
        make_durable(&place.disk, &place.ids_dir)?;
        // The name may be that of a switch whose last sync failed or never ran: it must be on the disk before it counts.
        place.sync_names()?;
        let manifest = Manifest::load(&place.disk, &place.store_dir, owner)?;
        place.remove_unlisted(&manifest)?;
        let version = Arc::new(Version::open(manifest, &place)?);
        Ok(Store {
            place,
            version,
            #[cfg(feature = "controls")]
            control: None,
        })
    }

    /// What the checkpoint covers.
    pub fn mark(&self) -> JournalMark {
        self.version.manifest.mark
    }

    /// All keys and values of the checkpoint, in the order of the keys.
    pub fn entries(&self) -> Entries<D> {
        Entries { state: EntriesState::NotBegun(self.version.table.clone()) }
    }

    /// Calls `f` for all keys and values in the order of the keys; as [`Store::entries`], without copies.
    pub fn for_each_entry(&self, mut f: impl FnMut(&[u8], &[u8])) -> Result<(), StorageError> {
        let mut cursor = TableCursor::new(self.version.table.clone())?;
        while let Some((key, value)) = cursor.current() {
            f(key, value);
            cursor.advance()?;
        }
        Ok(())
    }

    /// False if no run holds the key. Reads nothing.
    pub fn maybe_contains(&self, key: IndexKey) -> bool {
        self.version.runs.iter().any(|run| run.maybe_contains(key))
    }

    /// The place of the key's record in the journal, if a run holds it. Reads one block of each run whose filter
    /// cannot rule the key out.
    pub fn find(&self, key: IndexKey) -> Result<Option<u64>, StorageError> {
        // The oldest first: the first record of a key is the one that counts.
        for run in self.version.runs.iter().filter(|run| run.maybe_contains(key)) {
            if let Some(place) = run.find(key)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Prepares the next version: this one and what the journal says from its mark to `to`.
    /// One job at a time; its result goes to [`Store::install`] before the next one is made.
    pub fn fold<F: FoldRules>(&self, journal: JournalReader<D>, to: JournalMark, _rules: F) -> FoldJob<D> {
        self.job::<F>(journal, to)
    }

    fn job<F: FoldRules>(&self, journal: JournalReader<D>, to: JournalMark) -> FoldJob<D> {
        assert!(to.places >= self.mark().places && to.slot >= self.mark().slot, "a checkpoint only goes forward");
        FoldJob {
            place: self.place.clone(),
            from: self.version.clone(),
            journal,
            to,
            effects: F::effects,
            key: F::key,
            #[cfg(feature = "controls")]
            control: self.control,
        }
    }

    /// From now on the new version is read.
    pub fn install(&mut self, done: Folded<D>) {
        let next = done.version.manifest.next_file;
        assert!(next > self.version.manifest.next_file, "versions are installed in their order");
        self.version = done.version;
    }

    /// Bytes of the files that count.
    pub fn size_bytes(&self) -> u64 {
        let manifest = &self.version.manifest;
        manifest.table.iter().chain(&manifest.runs).map(|listed| listed.len).sum()
    }

    /// Bytes of the table: what the next step of the checkpoint writes again.
    pub fn table_bytes(&self) -> u64 {
        self.version.manifest.table.as_ref().map_or(0, |table| table.len)
    }

    /// Number of runs, for status.
    pub fn runs(&self) -> usize {
        self.version.runs.len()
    }

    /// Breaks a rule, for the simulator.
    #[cfg(feature = "controls")]
    pub fn set_control(&mut self, control: Option<crate::Control>) {
        self.control = control;
    }
}

impl<D: Disk> Version<D> {
    fn open(manifest: Manifest, place: &Place<D>) -> Result<Version<D>, OpenError> {
        let table = manifest.table.map(|listed| {
            Table::open(&place.disk, &place.store_dir, listed.number, place.owner, listed.len).map(Arc::new)
        });
        let runs = manifest
            .runs
            .iter()
            .map(|listed| Run::open(&place.disk, &place.ids_dir, listed.number, place.owner, listed.len).map(Arc::new));
        let (table, runs) = (table.transpose()?, runs.collect::<Result<_, _>>()?);
        Ok(Version { manifest, table, runs })
    }
}

impl<D: Disk> Place<D> {
    fn of(disk: D, dir: &Path, owner: Owner) -> Place<D> {
        Place { disk, store_dir: dir.join("store"), ids_dir: dir.join("ids"), owner, failed: Arc::default() }
    }

    fn sync_names(&self) -> Result<(), StorageError> {
        for dir in [&self.store_dir, &self.ids_dir] {
            self.disk.sync_dir(dir).map_err(StorageError::io("syncing the names in", dir, None))?;
        }
        Ok(())
    }

    fn remove_unlisted(&self, manifest: &Manifest) -> Result<(), StorageError> {
        let listed = fold::listed_paths(manifest, &self.store_dir, &self.ids_dir);
        for dir in [&self.store_dir, &self.ids_dir] {
            for name in self.disk.list(dir).map_err(StorageError::io("listing", dir, None))? {
                let path = dir.join(&name);
                // Only what a fold makes; nobody else's file is ours to remove.
                let ours = ["table-", "run-", "manifest-new"].iter().any(|prefix| name.starts_with(prefix));
                if ours && !listed.contains(&path) {
                    self.disk.remove(&path).map_err(StorageError::io("removing", &path, None))?;
                }
            }
        }
        Ok(())
    }

    fn still_open(&self) -> Result<(), StorageError> {
        match &*self.failed.lock().expect("no holder of this lock panics") {
            None => Ok(()),
            Some(first) => Err(StorageError::Poisoned { path: self.store_dir.clone(), first: first.clone() }),
        }
    }

    fn close_after(&self, error: StorageError) -> StorageError {
        *self.failed.lock().expect("no holder of this lock panics") = Some(Arc::from(error.to_string()));
        error
    }
}

impl<D: Disk> Clone for Place<D> {
    fn clone(&self) -> Place<D> {
        Place {
            disk: self.disk.clone(),
            store_dir: self.store_dir.clone(),
            ids_dir: self.ids_dir.clone(),
            owner: self.owner,
            failed: self.failed.clone(),
        }
    }
}

impl<D: Disk> fmt::Debug for Store<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("dir", &self.place.store_dir).field("mark", &self.mark()).finish_non_exhaustive()
    }
}

/// The checkpoint's entries in the order of their keys; ends after the first error.
pub struct Entries<D: Disk> {
    state: EntriesState<D>,
}

enum EntriesState<D: Disk> {
    NotBegun(Option<Arc<Table<D>>>),
    At(TableCursor<D>),
    Ended,
}

impl<D: Disk> Iterator for Entries<D> {
    type Item = Result<(Vec<u8>, Vec<u8>), StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let EntriesState::NotBegun(table) = &mut self.state {
            match TableCursor::new(table.take()) {
                Ok(cursor) => self.state = EntriesState::At(cursor),
                Err(error) => return self.end_with(error),
            }
        }
        let EntriesState::At(cursor) = &mut self.state else { return None };
        let (key, value) = cursor.current()?;
        let entry = (key.to_vec(), value.to_vec());
        match cursor.advance() {
            Ok(()) => Some(Ok(entry)),
            Err(error) => self.end_with(error),
        }
    }
}

impl<D: Disk> Entries<D> {
    fn end_with(&mut self, error: StorageError) -> Option<<Entries<D> as Iterator>::Item> {
        self.state = EntriesState::Ended;
        Some(Err(error))
    }
}

impl<D: Disk> fmt::Debug for Entries<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").finish_non_exhaustive()
    }
}
