//! A look at a journal that nobody is to write any more: what its files hold, whatever a checkpoint or log would count of it.

use std::path::Path;

use super::files::Files;
use super::{HEADER_KIND, JournalRecord, RECORD, RECORDS_PER_FILE, sum};
use crate::{Disk, Owner, StorageError};

/// Gives `each` the records of the journal under `dir`, from the place `from` on, up to its end or the first that is not
/// whole; headers of batches are left out. Changes nothing. Returns the place behind the last one that was good.
///
/// # Errors
/// When the disk fails.
pub fn leftovers<D: Disk>(
    disk: &D,
    dir: &Path,
    owner: Owner,
    from: u64,
    mut each: impl FnMut(u64, &JournalRecord),
) -> Result<u64, StorageError> {
    let files = Files::new(disk.clone(), dir.join("journal"), owner, RECORDS_PER_FILE, 0);
    let end = files.extent()?;
    let mut record = [0; RECORD];
    for place in from..end {
        if !files.read(place, &mut record)? {
            return Ok(place);
        }
        if record[..2] == HEADER_KIND.to_le_bytes() {
            continue;
        }
        match sum::check(&record, place, owner) {
            Some(record) => each(place, &record),
            None => return Ok(place),
        }
    }
    Ok(end.max(from))
}
