//! A disk in memory that does everything a real one is allowed to do to a node.
//!
//! * At a [`FaultyDisk::crash`] each write that was not synced is kept, lost, or torn at any byte, each on its own and
//!   in any order; so is each name that was made, changed or removed and whose directory was not synced.
//! * A failed sync keeps an unknown part, and *never* more: what it covered stays visible to reads, but no later sync
//!   brings it to the disk. That is what Linux does, and why a failed sync must not be retried.
//! * Errors can be injected at any operation, room can run out in the middle of a write, bytes can rot.
//! * Handles from before a crash are dead.
//!
//! To damage one record of a node's files, ask [`FaultyDisk::targets`] where they lie.
//!
//! Everything follows from the seed and the calls, so a run can be repeated byte for byte. The handle is shared:
//! clones are the same disk.

mod aim;
mod copies;
mod names;
mod pages;
mod rng;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::{Disk, DiskFile};
pub use aim::{LogPlace, Target};
use names::{Entry, Names};
use pages::{Change, Pages};
use rng::Rng;

/// A disk in memory; clones share it.
#[derive(Clone)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

/// A file of a [`FaultyDisk`]; dead after the next crash.
pub struct FaultyFile {
    disk: FaultyDisk,
    pages: Arc<Mutex<Pages>>,
    path: PathBuf,
    crashes: u64,
}

/// What a crash did to the changes that were not synced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CrashReport {
    pub kept: u64,
    pub lost: u64,
    pub torn: u64,
}

struct State {
    rng: Rng,
    names: Names,
    crashes: u64,
    operations: u64,
    failure: Option<Failure>,
    /// The most bytes that all files together may hold.
    budget: Option<u64>,
}

#[derive(Clone, Copy)]
struct Failure {
    at_operation: u64,
    kind: io::ErrorKind,
    lasts: Lasts,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lasts {
    Once,
    UntilHealed,
}

/// Whether an operation may fail for want of room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Room,
    Nothing,
}

impl FaultyDisk {
    pub fn new(seed: u64) -> FaultyDisk {
        FaultyDisk {
            state: Arc::new(Mutex::new(State {
                rng: Rng::new(seed),
                names: Names::default(),
                crashes: 0,
                operations: 0,
                failure: None,
                budget: None,
            })),
        }
    }

    /// The power goes: each change that was not synced is kept, lost or torn, as the seed says; old handles are dead.
    /// Injected errors and the bound on room stay as they are.
    pub fn crash(&self, seed: u64) -> CrashReport {
        let mut state = self.lock();
        state.crashes += 1;
        let mut rng = Rng::new(seed);
        let mut report = CrashReport::default();
        for pages in state.names.files() {
            pages_of(&pages).crash(&mut rng, &mut report);
        }
        state.names.crash(&mut rng, &mut report);
        report
    }

    /// After `operations` more operations every one that can fail in this way does, until [`FaultyDisk::heal`].
    /// `ErrorKind::StorageFull` fails only what needs room.
    pub fn fail_after(&self, operations: u64, kind: io::ErrorKind) {
        self.inject(operations, kind, Lasts::UntilHealed);
    }

    /// The first operation that can fail in this way after `operations` more does, once.
    pub fn fail_once_after(&self, operations: u64, kind: io::ErrorKind) {
        self.inject(operations, kind, Lasts::Once);
    }

    /// No more than this many bytes in all files together; None for no bound.
    pub fn full(&self, bytes: Option<u64>) {
        self.lock().budget = bytes;
    }

    /// Ends all injected errors and the bound on room.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.failure = None;
        state.budget = None;
    }

    /// Damages one byte of a file, on the disk and for every reader, as rot does.
    ///
    /// # Panics
    /// If there is no such file or it ends before `offset`: a test that damages nothing proves nothing.
    pub fn flip(&self, path: &Path, offset: u64) {
        let file = self.lock().names.file(path).unwrap_or_else(|| panic!("{} to damage exists", path.display()));
        pages_of(&file).flip(offset as usize);
    }

    /// Operations so far, failed ones included.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Bytes in all files.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    fn inject(&self, operations: u64, kind: io::ErrorKind, lasts: Lasts) {
        let mut state = self.lock();
        let at_operation = state.operations + operations + 1;
        state.failure = Some(Failure { at_operation, kind, lasts });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics between two changes")
    }

    fn handle(&self, state: &State, path: &Path, pages: Arc<Mutex<Pages>>) -> FaultyFile {
        FaultyFile { disk: self.clone(), pages, path: path.to_path_buf(), crashes: state.crashes }
    }
}

impl fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("FaultyDisk")
            .field("operations", &state.operations)
            .field("crashes", &state.crashes)
            .finish_non_exhaustive()
    }
}

impl State {
    fn step(&mut self, needs: Needs) -> io::Result<()> {
        self.operations += 1;
        let Some(failure) = self.failure else { return Ok(()) };
        let possible = failure.kind != io::ErrorKind::StorageFull || needs == Needs::Room;
        if self.operations < failure.at_operation || !possible {
            return Ok(());
        }
        if failure.lasts == Lasts::Once {
            self.failure = None;
        }
        Err(io::Error::new(failure.kind, "input/output error (injected)"))
    }

    fn used(&self) -> u64 {
        self.names.seen_files().map(|pages| pages_of(pages).len() as u64).sum()
    }

    /// How far a file of `len` bytes may grow.
    fn room(&self, len: u64) -> u64 {
        match self.budget {
            Some(budget) => len + budget.saturating_sub(self.used()),
            None => u64::MAX,
        }
    }
}

impl Disk for FaultyDisk {
    type File = FaultyFile;

    fn create(&self, path: &Path) -> io::Result<FaultyFile> {
        let mut state = self.lock();
        state.step(Needs::Room)?;
        let pages = Arc::new(Mutex::new(Pages::default()));
        state.names.create(path, Entry::File(pages.clone()))?;
        Ok(self.handle(&state, path, pages))
    }

    fn open(&self, path: &Path) -> io::Result<FaultyFile> {
        let mut state = self.lock();
        state.step(Needs::Nothing)?;
        let pages = state.names.file(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(&state, path, pages))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.lock().names.exists(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.lock().names.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step(Needs::Room)?;
        state.names.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step(Needs::Nothing)?;
        state.names.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step(Needs::Nothing)?;
        state.names.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step(Needs::Nothing)?;
        state.names.sync(dir);
        Ok(())
    }
}

impl FaultyFile {
    /// Whoever holds a handle over a crash is a process that died in it.
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        if state.crashes == self.crashes {
            Ok(state)
        } else {
            Err(io::Error::new(io::ErrorKind::NotConnected, "this handle is from before the crash"))
        }
    }

    fn grow(&self, change: Change) -> io::Result<()> {
        let mut state = self.alive()?;
        let injected = state.step(Needs::Room);
        let len = pages_of(&self.pages).len() as u64;
        let room = state.room(len).max(len);
        let mut pages = pages_of(&self.pages);
        if let Err(error) = injected {
            let part = state.rng.below(change.end() + 1);
            pages.change(change.cut(part));
            return Err(error);
        }
        if change.end() > room {
            pages.change(change.cut(room));
            return Err(io::ErrorKind::StorageFull.into());
        }
        pages.change(change);
        Ok(())
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.alive()?.step(Needs::Nothing)?;
        Ok(pages_of(&self.pages).read(offset as usize, buf))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.grow(Change::Write { offset, bytes: bytes.to_vec() })
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.alive()?;
        match state.step(Needs::Nothing) {
            Ok(()) => {
                pages_of(&self.pages).sync();
                Ok(())
            }
            Err(error) => {
                let seed = state.rng.next();
                pages_of(&self.pages).fail_sync(&mut Rng::new(seed));
                Err(error)
            }
        }
    }

    fn len(&self) -> io::Result<u64> {
        let _alive = self.alive()?;
        Ok(pages_of(&self.pages).len() as u64)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        let now = self.len()?;
        if now < len { self.grow(Change::Extend { from: now, len }) } else { Ok(()) }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut state = self.alive()?;
        state.step(Needs::Nothing)?;
        pages_of(&self.pages).change(Change::Truncate { len });
        Ok(())
    }

    /// Which bytes memory holds makes no difference here.
    fn forget(&self, _offset: u64, _len: u64) {}
}

impl fmt::Debug for FaultyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyFile").field("path", &self.path).finish_non_exhaustive()
    }
}

fn pages_of(pages: &Mutex<Pages>) -> MutexGuard<'_, Pages> {
    pages.lock().expect("no holder of this lock panics between two changes")
}
