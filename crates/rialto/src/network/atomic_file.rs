//! Replacing a small file so that a reader sees the old one or the new one, never a part, also after a power cut. The file
//! is its owner's alone.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes beside `path` and renames over it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = storage::private::make_file(Path::new(&beside))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(dir)?.sync_all()
}
