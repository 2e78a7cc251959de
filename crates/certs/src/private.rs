//! Private keys, and the directory that they lie in, are their owner's alone.
//!
//! Whoever may write there can put another CA in place of the one that is trusted, and whoever may read a key can pose as its
//! owner. What is open to others is refused with the command that closes it. `ca.crt` and the certificates may be read by
//! everybody: they are shown to everybody who connects.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::failure::CertsError;

/// What others may do.
const OF_OTHERS: u32 = 0o077;

/// Whether a directory with keys is for its owner alone; one that is missing is.
pub(crate) fn check_dir(dir: &Path) -> Result<(), CertsError> {
    check(dir, "chmod 700")
}

/// Whether a key is for its owner alone; one that is missing is.
pub(crate) fn check_key(path: &Path) -> Result<(), CertsError> {
    check(path, "chmod 600")
}

fn check(path: &Path, close: &'static str) -> Result<(), CertsError> {
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o7777);
    if mode & OF_OTHERS == 0 { Ok(()) } else { Err(CertsError::OpenToOthers { path: path.to_owned(), mode, close }) }
}
