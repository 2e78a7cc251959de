//! (being filled in)
use crate::{Disk, DiskFile};
use std::io;
use std::path::Path;

/// A disk in memory that loses, tears and damages what a real one may.
#[derive(Debug, Clone)]
pub struct FaultyDisk {}

/// What a crash did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CrashReport {
    pub kept: u64,
    pub lost: u64,
    pub torn: u64,
}

/// A file of a [`FaultyDisk`].
#[derive(Debug)]
pub struct FaultyFile {}

impl FaultyDisk {
    pub fn new(seed: u64) -> FaultyDisk {
        todo!()
    }
    /// The power goes: each write and each name that was not synced is kept, lost or torn; old handles are dead.
    pub fn crash(&self, seed: u64) -> CrashReport {
        todo!()
    }
    /// After `operations` more operations all that can fail in this way do, until `heal`.
    pub fn fail_after(&self, operations: u64, kind: io::ErrorKind) {
        todo!()
    }
    /// The operation after `operations` more fails in this way, once.
    pub fn fail_once_after(&self, operations: u64, kind: io::ErrorKind) {
        todo!()
    }
    /// No more than this many bytes in all files; None for no bound.
    pub fn full(&self, bytes: Option<u64>) {
        todo!()
    }
    /// Ends all injected errors and bounds.
    pub fn heal(&self) {
        todo!()
    }
    /// Damages one byte, as rot does.
    pub fn flip(&self, path: &Path, offset: u64) {
        todo!()
    }
    /// Operations so far.
    pub fn operations(&self) -> u64 {
        todo!()
    }
    /// Bytes in all files.
    pub fn used(&self) -> u64 {
        todo!()
    }
}

impl Disk for FaultyDisk {
    type File = FaultyFile;
    fn create(&self, path: &Path) -> io::Result<FaultyFile> {
        todo!()
    }
    fn open(&self, path: &Path) -> io::Result<FaultyFile> {
        todo!()
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        todo!()
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        todo!()
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        todo!()
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        todo!()
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        todo!()
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        todo!()
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        todo!()
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        todo!()
    }
    fn sync(&self) -> io::Result<()> {
        todo!()
    }
    fn len(&self) -> io::Result<u64> {
        todo!()
    }
    fn preallocate(&self, len: u64) -> io::Result<()> {
        todo!()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        todo!()
    }
}
