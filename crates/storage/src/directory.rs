//! Directories that are there for good.

use std::io::ErrorKind;
use std::path::Path;

use crate::{Disk, StorageError};

/// Makes `dir` and what is missing above it, and returns once all those names are on the disk.
///
/// All names up to the root are synced, not only those made now: an earlier process may have made one and died before
/// it synced it. A parent that this user may not even open was not made by an earlier process of ours.
pub(crate) fn make_durable<D: Disk>(disk: &D, dir: &Path) -> Result<(), StorageError> {
    disk.create_dir_all(dir).map_err(StorageError::io("creating", dir, None))?;
    for parent in dir.ancestors().skip(1) {
        match disk.sync_dir(parent) {
            Err(error) if error.kind() != ErrorKind::PermissionDenied => {
                return Err(StorageError::io("syncing the names in", parent, None)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
