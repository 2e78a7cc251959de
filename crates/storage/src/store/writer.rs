//! Writing a large file beside a log that must stay quick.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Disk, DiskFile, Part, StorageError};

/// One write.
const BUFFER: usize = 1 << 20;
/// A sync now and then keeps the amount small that the log's own sync may have to wait behind.
const SYNC_EVERY: u64 = 8 << 20;

/// Writes one new file from its beginning to its end.
pub(super) struct FileWriter<D: Disk> {
    file: Arc<D::File>,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Where the buffer belongs.
    offset: u64,
    synced: u64,
}

impl<D: Disk> FileWriter<D> {
    /// Makes the file; what an earlier attempt left under its name goes.
    pub(super) fn create(disk: &D, path: &Path) -> Result<FileWriter<D>, StorageError> {
        if disk.exists(path).map_err(StorageError::io("looking for", path, None))? {
            disk.remove(path).map_err(StorageError::io("removing", path, None))?;
        }
        let file = disk.create(path).map_err(StorageError::io("creating", path, None))?;
        Ok(FileWriter { file: Arc::new(file), path: path.to_path_buf(), buffer: Vec::new(), offset: 0, synced: 0 })
    }

    /// Where the next byte goes.
    pub(super) fn position(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(())
    }

    /// Returns the file, all of it on the disk, and its length.
    pub(super) fn finish(mut self) -> Result<(Arc<D::File>, u64), StorageError> {
        self.flush()?;
        self.sync()?;
        Ok((self.file, self.offset))
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        if !self.buffer.is_empty() {
            self.file.write_at(self.offset, &self.buffer).map_err(StorageError::io(
                "writing",
                &self.path,
                self.offset,
            ))?;
            self.offset += self.buffer.len() as u64;
            self.buffer.clear();
        }
        if self.offset - self.synced >= SYNC_EVERY { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.synced = self.offset;
        self.file.sync().map_err(StorageError::io("syncing", &self.path, None))
    }
}

/// Opens a file that the manifest lists: if it is gone, that is damage.
pub(super) fn open_listed<D: Disk>(disk: &D, (part, path): (Part, &Path)) -> Result<D::File, StorageError> {
    match disk.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(StorageError::rot(part, path, 0, "it is missing, and the manifest lists it"))
        }
        opened => opened.map_err(StorageError::io("opening", path, None)),
    }
}

/// Reads exactly so many bytes of a file that is known to hold them.
pub(super) fn read_exactly<F: DiskFile>(
    file: &F,
    (part, path): (Part, &Path),
    offset: u64,
    bytes: &mut [u8],
) -> Result<(), StorageError> {
    let read = file.read_at(offset, bytes).map_err(StorageError::io("reading", path, offset))?;
    if read == bytes.len() {
        Ok(())
    } else {
        Err(StorageError::rot(part, path, offset + read as u64, "it ends too early"))
    }
}
