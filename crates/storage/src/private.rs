//! Files and directories for their owner alone, whatever the umask is.
//!
//! A node's files hold references of payments and hashes of passwords: whoever else is on the machine must not read them.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const DIR_MODE: u32 = 0o700;
pub(crate) const FILE_MODE: u32 = 0o600;
/// What others may do.
const OF_OTHERS: u32 = 0o077;

/// A directory that others may look into.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} is open to other users of this machine (mode {mode:04o}), and what is kept in it is not for them; close it: \
     chmod 700 {}",
    dir.display(),
    dir.display()
)]
pub struct OpenToOthers {
    pub dir: PathBuf,
    pub mode: u32,
}

/// Makes a directory and what is missing above it, each for its owner alone. One that is there stays as it is.
///
/// # Errors
/// When it cannot be made.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)?;
    // The umask can only take away, and might take away the owner's own.
    fs::set_permissions(dir, Permissions::from_mode(DIR_MODE))
}

/// Makes a file, or empties one that is there, and closes it to others.
///
/// # Errors
/// When it cannot be made.
pub fn make_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)?;
    close_file(&file)?;
    Ok(file)
}

/// A file that is appended to, made if it is missing, and closed to others.
///
/// # Errors
/// When it cannot be opened.
pub fn append_to(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(path)?;
    close_file(&file)?;
    Ok(file)
}

fn close_file(file: &File) -> io::Result<()> {
    match file.metadata()?.permissions().mode() & 0o777 {
        FILE_MODE => Ok(()),
        _ => file.set_permissions(Permissions::from_mode(FILE_MODE)),
    }
}

/// Whether a directory is for its owner alone; one that is missing is.
///
/// # Errors
/// When others may look into it.
pub fn check_dir(dir: &Path) -> Result<(), OpenToOthers> {
    let mode = fs::metadata(dir).map_or(0, |metadata| metadata.permissions().mode() & 0o7777);
    if mode & OF_OTHERS == 0 { Ok(()) } else { Err(OpenToOthers { dir: dir.to_owned(), mode }) }
}

/// Takes away from others what they may do with a directory. True if that was anything.
///
/// # Errors
/// When it is not ours to change.
pub fn close_dir(dir: &Path) -> io::Result<bool> {
    let mode = fs::metadata(dir)?.permissions().mode();
    if mode & OF_OTHERS == 0 {
        return Ok(false);
    }
    fs::set_permissions(dir, Permissions::from_mode(mode & 0o7777 & !OF_OTHERS))?;
    Ok(true)
}

/// Takes away from others what they may do with whatever is in a directory, however deep. Gives how many there were. Links
/// are not followed.
///
/// # Errors
/// When something is not ours to change.
pub fn close_all(dir: &Path) -> io::Result<usize> {
    let mut closed = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let found = match entry.metadata() {
            // What a process that ends takes away meanwhile needs no closing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found?,
        };
        if found.is_symlink() {
            continue;
        }
        let mode = found.permissions().mode() & 0o7777;
        if mode & OF_OTHERS != 0 {
            fs::set_permissions(entry.path(), Permissions::from_mode(mode & !OF_OTHERS))?;
            closed += 1;
        }
        if found.is_dir() {
            closed += close_all(&entry.path())?;
        }
    }
    Ok(closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_closed_and_what_is_open_is_told() {
        let top = std::env::temp_dir().join(format!("rialto-private-{}", std::process::id()));
        let _ = fs::remove_dir_all(&top);
        let dir = top.join("a/b");
        make_dir(&dir).expect("there is room");
        assert_eq!((mode(&top), mode(&top.join("a")), mode(&dir)), (0o700, 0o700, 0o700));
        let file = dir.join("file");
        drop(make_file(&file).expect("there is room"));
        drop(append_to(&dir.join("log")).expect("there is room"));
        assert_eq!((mode(&file), mode(&dir.join("log"))), (0o600, 0o600));
        // One that an older version left open is closed when it is written again.
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("it is ours");
        drop(make_file(&file).expect("it is there"));
        assert_eq!(mode(&file), 0o600);

        assert!(check_dir(&dir).is_ok() && check_dir(&top.join("missing")).is_ok());
        fs::set_permissions(&dir, Permissions::from_mode(0o750)).expect("it is ours");
        let said = check_dir(&dir).expect_err("others may look into it").to_string();
        assert!(said.contains("mode 0750") && said.ends_with(&format!("chmod 700 {}", dir.display())), "{said}");
        assert!(close_dir(&dir).expect("it is ours"));
        assert!(!close_dir(&dir).expect("it is ours"));
        assert_eq!(mode(&dir), 0o700);
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).expect("it is ours");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("it is ours");
        assert_eq!(close_all(&top).expect("it is ours"), 2);
        assert_eq!((mode(&dir), mode(&file), close_all(&top).expect("it is ours")), (0o700, 0o600, 0));
        let _ = fs::remove_dir_all(&top);
    }
}
