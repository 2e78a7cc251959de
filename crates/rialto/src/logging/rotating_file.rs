//! A log file of bounded size: `node.log`, and the older `node.log.1` to `node.log.3`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const BYTES_MAX: u64 = 8 << 20;
const OLD_FILES: u32 = 3;

#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl RotatingFile {
    pub(super) fn open(path: &Path) -> io::Result<RotatingFile> {
        RotatingFile::with_limit(path, BYTES_MAX)
    }

    fn with_limit(path: &Path, bytes_max: u64) -> io::Result<RotatingFile> {
        let file = append_to(path)?;
        let bytes = file.metadata()?.len();
        Ok(RotatingFile { path: path.to_owned(), file, bytes, bytes_max })
    }

    /// Every file moves one number up; the oldest one's place is taken.
    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..OLD_FILES).rev() {
            let from = numbered(&self.path, number);
            if from.exists() {
                fs::rename(from, numbered(&self.path, number + 1))?;
            }
        }
        fs::rename(&self.path, numbered(&self.path, 1))?;
        self.file = append_to(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

impl Write for RotatingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.bytes >= self.bytes_max {
            self.rotate()?;
        }
        let written = self.file.write(line)?;
        self.bytes += u64::try_from(written).expect("a line is shorter than 2^64 bytes");
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    storage::private::append_to(path)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    #[test]
    fn the_newest_lines_stay_and_the_size_is_bounded() {
        let dir = TestDir::new();
        let path = dir.path().join("node.log");
        let mut log = RotatingFile::with_limit(&path, 100).expect("a new file");
        for number in 0..1000 {
            writeln!(log, "line {number}").expect("there is room");
        }
        let read = |path: &Path| fs::read_to_string(path).expect("it is there");
        assert!(read(&path).ends_with("line 999\n"));
        assert!(!numbered(&path, OLD_FILES + 1).exists());
        let total: u64 = fs::read_dir(dir.path())
            .expect("it is there")
            .map(|entry| entry.and_then(|e| e.metadata()).expect("it is there").len())
            .sum();
        assert!(total <= 4 * 110, "{total} bytes");
    }

    #[test]
    fn a_log_is_continued_after_a_restart() {
        let dir = TestDir::new();
        let path = dir.path().join("node.log");
        for line in ["first\n", "second\n"] {
            RotatingFile::open(&path).expect("it opens").write_all(line.as_bytes()).expect("there is room");
        }
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "first\nsecond\n");
    }
}
