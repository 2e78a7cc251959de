//! The one door to files.
//!
//! Every byte that a node keeps goes through [`Disk`], so that the simulator can put a disk under it that loses, tears
//! and damages what a real one may lose, tear and damage. Nothing else in this crate touches `std::fs`.
//!
//! The rules that both implementations keep, and that the rest of the crate relies on:
//! * what was written is seen by every later read, but is on the disk only after [`DiskFile::sync`];
//! * a name (created, renamed, removed) is on the disk only after [`Disk::sync_dir`] of its directory;
//! * a file that is open stays readable after its name was removed or given to another file;
//! * after a sync that failed nobody knows what is on the disk, and a later sync that succeeds proves nothing.

use std::io;
use std::path::Path;

/// Directories and names.
pub trait Disk: Clone + Send + Sync + 'static {
    type File: DiskFile;

    /// Makes a new, empty file; fails if the name exists.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    /// Opens a file for reading and writing; fails if the name does not exist.
    fn open(&self, path: &Path) -> io::Result<Self::File>;
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// The names in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Gives the file another name, replacing what had that name, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Returns once every name made, changed or removed in this directory before is on the disk.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// One open file; reads and writes name their place, so a handle can be shared between threads.
pub trait DiskFile: Send + Sync + 'static {
    /// Reads up to `buf.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes all the bytes or fails; a failed write may have written any part of them.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// `fdatasync`: the bytes and the length are on the disk.
    fn sync(&self) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    /// Makes the file at least `len` bytes long with zeros that really occupy the disk: a later write
    /// into them needs no room and no change of metadata.
    fn preallocate(&self, len: u64) -> io::Result<()>;
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Advice that may be ignored: these bytes are on the disk and will hardly be read soon, so memory need not hold them.
    /// What is not synced yet stays as it is.
    fn forget(&self, offset: u64, len: u64);

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}
