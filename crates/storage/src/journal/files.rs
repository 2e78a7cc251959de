//! Places to files: record `n` lies in file `n / records per file`. Shared by the writer and all readers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use super::RECORD;
use crate::{Disk, DiskFile, Owner, Part, StorageError};

/// The files of one journal and how far they are written and synced.
pub(super) struct Files<D: Disk> {
    disk: D,
    dir: PathBuf,
    pub(super) owner: Owner,
    records_per_file: u64,
    open: RwLock<BTreeMap<u64, Arc<D::File>>>,
    /// Places below this can be read.
    written: AtomicU64,
    unsynced: Mutex<Unsynced>,
    syncing: Mutex<()>,
}

#[derive(Default)]
struct Unsynced {
    files: BTreeSet<u64>,
    names: bool,
    failed: Option<Arc<str>>,
}

/// A run of records inside one file.
struct Piece {
    file: u64,
    offset: u64,
    bytes: std::ops::Range<usize>,
}

impl<D: Disk> Files<D> {
    pub(super) fn new(disk: D, dir: PathBuf, owner: Owner, records_per_file: u64, written: u64) -> Files<D> {
        Files {
            disk,
            dir,
            owner,
            records_per_file,
            open: RwLock::new(BTreeMap::new()),
            written: AtomicU64::new(written),
            unsynced: Mutex::new(Unsynced::default()),
            syncing: Mutex::new(()),
        }
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(super) fn set_written(&self, places: u64) {
        self.written.store(places, Ordering::Release);
    }

    /// How many places the files could hold by their lengths.
    pub(super) fn extent(&self) -> Result<u64, StorageError> {
        let mut extent = 0;
        for name in self.disk.list(&self.dir).map_err(StorageError::io("listing", &self.dir, None))? {
            let Ok(number) = name.parse::<u64>() else { continue };
            let path = self.path(number);
            let file = self.file(number)?;
            let len = file.len().map_err(StorageError::io("measuring", &path, None))?;
            if len > 0 {
                extent = extent.max(number * self.records_per_file + len.div_ceil(RECORD as u64));
            }
        }
        Ok(extent)
    }

    /// Reads whole records; false if the files end before them.
    pub(super) fn read(&self, place: u64, bytes: &mut [u8]) -> Result<bool, StorageError> {
        for piece in self.pieces(place, bytes.len()) {
            let path = self.path(piece.file);
            if !self.has(piece.file)? {
                return Ok(false);
            }
            let file = self.file(piece.file)?;
            let part = &mut bytes[piece.bytes];
            let read = file.read_at(piece.offset, part).map_err(StorageError::io("reading", &path, piece.offset))?;
            if read < part.len() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn read_written(&self, place: u64, bytes: &mut [u8]) -> Result<(), StorageError> {
        let end = self.written();
        if place + (bytes.len() / RECORD) as u64 > end {
            return Err(StorageError::Absent { path: self.dir.clone(), wanted: place, end });
        }
        if self.read(place, bytes)? { Ok(()) } else { Err(self.rot(place, "it ends before records that were written")) }
    }

    pub(super) fn write(&self, place: u64, bytes: &[u8]) -> Result<(), StorageError> {
        self.still_open()?;
        for piece in self.pieces(place, bytes.len()) {
            let path = self.path(piece.file);
            let written = self.file_to_write(piece.file).and_then(|file| {
                let bytes = &bytes[piece.bytes];
                file.write_at(piece.offset, bytes).map_err(StorageError::io("writing", &path, piece.offset))
            });
            written.map_err(|error| self.close_after(error))?;
            // After the write: a sync that ran between would have taken it off the list too early.
            self.unsynced().files.insert(piece.file);
        }
        Ok(())
    }

    /// Returns once everything written so far is on the disk; after one failure no later call succeeds.
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        // One at a time: the second may not return before the first has done what it took off the list.
        let _turn = self.syncing.lock().expect("no holder of this lock panics");
        self.still_open()?;
        // What is written while this runs belongs to the next sync, so the list is taken before.
        let (files, names) = {
            let mut unsynced = self.unsynced();
            (std::mem::take(&mut unsynced.files), std::mem::take(&mut unsynced.names))
        };
        for number in files {
            let path = self.path(number);
            let synced =
                self.file(number).and_then(|file| file.sync().map_err(StorageError::io("syncing", &path, None)));
            synced.map_err(|error| self.close_after(error))?;
        }
        if names {
            let synced = self.disk.sync_dir(&self.dir);
            synced
                .map_err(StorageError::io("syncing the names in", &self.dir, None))
                .map_err(|error| self.close_after(error))?;
        }
        Ok(())
    }

    /// The places `from..to` need not stay in memory.
    pub(super) fn forget(&self, from: u64, to: u64) {
        for piece in self.pieces(from, (to.saturating_sub(from) as usize).saturating_mul(RECORD)) {
            // Advice only: a file that cannot be opened says so to whoever needs it.
            if let Ok(file) = self.file(piece.file) {
                file.forget(piece.offset, piece.bytes.len() as u64);
            }
        }
    }

    /// Whatever an earlier process left unsynced becomes part of the next sync.
    pub(super) fn doubt_all_from(&self, place: u64) -> Result<(), StorageError> {
        let first = place / self.records_per_file;
        let last = self.extent()?.saturating_sub(1) / self.records_per_file;
        for number in first..=last {
            if self.has(number)? {
                self.unsynced().files.insert(number);
            }
        }
        self.unsynced().names = true;
        Ok(())
    }

    pub(super) fn rot(&self, place: u64, what: &str) -> StorageError {
        StorageError::rot(Part::Journal, &self.path_of(place), self.offset_of(place), what)
    }

    pub(super) fn path_of(&self, place: u64) -> PathBuf {
        self.path(place / self.records_per_file)
    }

    pub(super) fn offset_of(&self, place: u64) -> u64 {
        place % self.records_per_file * RECORD as u64
    }

    fn pieces(&self, place: u64, bytes: usize) -> impl Iterator<Item = Piece> + use<D> {
        let per_file = self.records_per_file;
        let mut at = 0;
        std::iter::from_fn(move || {
            if at == bytes {
                return None;
            }
            let here = place + (at / RECORD) as u64;
            let room = ((per_file - here % per_file) as usize).saturating_mul(RECORD);
            let piece = at..bytes.min(at.saturating_add(room));
            at = piece.end;
            Some(Piece { file: here / per_file, offset: here % per_file * RECORD as u64, bytes: piece })
        })
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:06}"))
    }

    fn has(&self, number: u64) -> Result<bool, StorageError> {
        if self.open.read().expect("no holder of this lock panics").contains_key(&number) {
            return Ok(true);
        }
        let path = self.path(number);
        self.disk.exists(&path).map_err(StorageError::io("looking for", &path, None))
    }

    fn file(&self, number: u64) -> Result<Arc<D::File>, StorageError> {
        if let Some(file) = self.open.read().expect("no holder of this lock panics").get(&number) {
            return Ok(file.clone());
        }
        let path = self.path(number);
        let file = Arc::new(self.disk.open(&path).map_err(StorageError::io("opening", &path, None))?);
        self.open.write().expect("no holder of this lock panics").insert(number, file.clone());
        Ok(file)
    }

    fn file_to_write(&self, number: u64) -> Result<Arc<D::File>, StorageError> {
        if !self.has(number)? {
            let path = self.path(number);
            let file = Arc::new(self.disk.create(&path).map_err(StorageError::io("creating", &path, None))?);
            self.open.write().expect("no holder of this lock panics").insert(number, file);
            self.unsynced().names = true;
        }
        self.file(number)
    }

    fn still_open(&self) -> Result<(), StorageError> {
        match &self.unsynced().failed {
            None => Ok(()),
            Some(first) => Err(StorageError::Poisoned { path: self.dir.clone(), first: first.clone() }),
        }
    }

    fn close_after(&self, error: StorageError) -> StorageError {
        self.unsynced().failed.get_or_insert_with(|| Arc::from(error.to_string()));
        error
    }

    fn unsynced(&self) -> MutexGuard<'_, Unsynced> {
        self.unsynced.lock().expect("no holder of this lock panics")
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}
