//! Copies of a whole disk, as a backup or a cloned machine makes them, and what is on one.
//!
//! A copy holds what readers saw in one moment, all of it safe, and shares nothing with the disk that it was made of.

use super::names::{Entry, Names};
use super::pages::Pages;
use super::{FaultyDisk, pages_of};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

impl FaultyDisk {
    /// Another disk with everything that is on this one now. Injected errors and the bound on room stay behind.
    pub fn copy(&self, seed: u64) -> FaultyDisk {
        let copy = FaultyDisk::new(seed);
        copy.lock().names = self.lock().names.copy();
        copy
    }

    /// Every file with its length, in the order of the names.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let state = self.lock();
        let files = state.names.seen_entries().filter_map(|(path, entry)| match entry {
            Entry::File(pages) => Some((path.clone(), pages_of(pages).len() as u64)),
            Entry::Dir => None,
        });
        files.collect()
    }

    /// The bytes of a file as readers see them; none when there is no such file. No operation in the sense of
    /// [`FaultyDisk::fail_after`]: this is for whoever looks on.
    pub fn peek(&self, path: &std::path::Path) -> Vec<u8> {
        let file = self.lock().names.file(path);
        file.map_or(Vec::new(), |pages| pages_of(&pages).seen().to_vec())
    }
}

impl Names {
    fn copy(&self) -> Names {
        let copied = self.seen_entries().map(|(path, entry)| {
            let entry = match entry {
                Entry::Dir => Entry::Dir,
                Entry::File(pages) => Entry::File(Arc::new(Mutex::new(Pages::holding(pages_of(pages).seen())))),
            };
            (path.clone(), entry)
        });
        Names::holding(copied.collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Disk, DiskFile, FaultyDisk};
    use std::path::Path;

    fn read(disk: &FaultyDisk, path: &str) -> Vec<u8> {
        let mut bytes = vec![0; 10];
        let read = disk.open(Path::new(path)).and_then(|file| file.read_at(0, &mut bytes)).expect("the file is there");
        bytes.truncate(read);
        bytes
    }

    #[test]
    fn a_copy_holds_what_was_seen_and_shares_nothing() {
        let disk = FaultyDisk::new(1);
        let file = disk.create(Path::new("/a")).expect("no error was injected");
        file.write_at(0, b"old").expect("no error was injected");
        let copy = disk.copy(2);
        file.write_at(0, b"new").expect("no error was injected");
        copy.crash(3);
        assert_eq!(read(&copy, "/a"), b"old", "what a copy holds is safe");
        assert_eq!(read(&disk, "/a"), b"new");
        assert_eq!(copy.files(), [("/a".into(), 3)]);
        copy.flip(Path::new("/a"), 0);
        assert_eq!(copy.peek(Path::new("/a")), [b'o' ^ 0x10, b'l', b'd']);
        assert_eq!(read(&disk, "/a"), b"new");
    }
}
