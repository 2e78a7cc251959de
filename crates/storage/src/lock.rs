//! One process per directory.
//!
//! `DIR/lock` is held with flock for as long as the process lives: the kernel lets go of it however the process ends,
//! so a lock file that was left behind locks nothing. The holder's pid is written into it for the message that the
//! second one prints. This is about real processes, so it does not go through [`crate::Disk`].

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::private;

/// Holds a directory until dropped.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

/// Why a directory could not be taken.
#[derive(Debug, Error)]
pub enum LockError {
    #[error("{} is in use by {}", dir.display(), holder(*pid))]
    Held { dir: PathBuf, pid: Option<u32> },
    #[error("locking {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl DirLock {
    /// Takes `dir/lock`, or says who has it. The directory must exist.
    pub fn take(dir: &Path) -> Result<DirLock, LockError> {
        let path = dir.join("lock");
        let failed = |source| LockError::Io { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(private::FILE_MODE);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { dir: dir.to_path_buf(), pid: pid_in(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        write_pid(&mut file).map_err(failed)?;
        Ok(DirLock { _file: file })
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_string(),
    }
}
