//! The one file that says what counts: checkpoint, runs and the mark that both reach exactly.
//!
//! It is replaced in one step: the new one is written beside it, synced, given its name, and the name synced. So after
//! a crash either the old checkpoint with the old runs counts or the new with the new, never one of each.

use std::path::{Path, PathBuf};

use super::writer::FileWriter;
use crate::checksum::{FileKind, Seal};
use crate::{Disk, DiskFile, JournalMark, OpenError, Owner, Part, StorageError};

const MAGIC: &[u8; 8] = b"RialtoMF";
const VERSION: u32 = 1;
const HEAD: usize = 112;
const FILE: usize = 16;
const NAME: &str = "manifest";
const NEW_NAME: &str = "manifest-new";

/// A file that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) number: u64,
    pub(super) len: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) mark: JournalMark,
    /// Above the number of every file that was ever listed.
    pub(super) next_file: u64,
    pub(super) table: Option<Listed>,
    /// From the oldest to the newest.
    pub(super) runs: Vec<Listed>,
}

pub(super) fn manifest_path(store_dir: &Path) -> PathBuf {
    store_dir.join(NAME)
}

impl Manifest {
    pub(super) const FIRST: Manifest =
        Manifest { mark: JournalMark::START, next_file: 1, table: None, runs: Vec::new() };

    pub(super) fn load<D: Disk>(disk: &D, dir: &Path, owner: Owner) -> Result<Manifest, OpenError> {
        let path = manifest_path(dir);
        if !disk.exists(&path).map_err(StorageError::io("looking for", &path, None))? {
            return Ok(Manifest::FIRST);
        }
        let file = disk.open(&path).map_err(StorageError::io("opening", &path, None))?;
        let len = file.len().map_err(StorageError::io("measuring", &path, None))?;
        let mut bytes = vec![0; len as usize];
        let read = file.read_at(0, &mut bytes).map_err(StorageError::io("reading", &path, 0))?;
        bytes.truncate(read);
        Manifest::decode(&bytes, owner).map_err(|what| match what {
            Unreadable::Damaged => StorageError::rot(Part::Store, &path, 0, "its checksum does not match").into(),
            Unreadable::Foreign(what) => OpenError::Foreign { file: path.clone(), what },
        })
    }

    /// Makes this the manifest that counts.
    pub(super) fn switch<D: Disk>(&self, disk: &D, dir: &Path, owner: Owner) -> Result<(), StorageError> {
        let (new, path) = (dir.join(NEW_NAME), dir.join(NAME));
        let mut writer = FileWriter::create(disk, &new)?;
        writer.write(&self.encode(owner))?;
        writer.finish()?;
        disk.rename(&new, &path).map_err(StorageError::io("renaming", &new, None))?;
        disk.sync_dir(dir).map_err(StorageError::io("syncing the names in", dir, None))
    }

    fn encode(&self, owner: Owner) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.runs.len() * FILE + 8);
        let table = self.table.unwrap_or(Listed { number: 0, len: 0 });
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.runs.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&owner.cluster.to_le_bytes());
        bytes.extend_from_slice(&u64::from(owner.node).to_le_bytes());
        bytes.extend_from_slice(&self.mark.slot.to_le_bytes());
        bytes.extend_from_slice(&self.mark.places.to_le_bytes());
        bytes.extend_from_slice(&self.mark.chain);
        bytes.extend_from_slice(&self.next_file.to_le_bytes());
        for listed in [table].iter().chain(&self.runs) {
            bytes.extend_from_slice(&listed.number.to_le_bytes());
            bytes.extend_from_slice(&listed.len.to_le_bytes());
        }
        let sum = seal().sum(0, &bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8], owner: Owner) -> Result<Manifest, Unreadable> {
        let (body, sum) = bytes.split_last_chunk::<8>().ok_or(Unreadable::Damaged)?;
        if body.len() < HEAD || &body[..8] != MAGIC || seal().sum(0, body) != u64::from_le_bytes(*sum) {
            return Err(Unreadable::Damaged);
        }
        let u64_at = |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().expect("eight bytes were taken"));
        let u32_at = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().expect("four bytes were taken"));
        if u32_at(8) != VERSION {
            let what = format!("its format is version {}, this program knows version {VERSION}", u32_at(8));
            return Err(Unreadable::Foreign(what));
        }
        if body[16..32] != owner.cluster.to_le_bytes() || u64_at(32) != u64::from(owner.node) {
            return Err(Unreadable::Foreign(format!("it belongs to node {} or to another cluster", u64_at(32))));
        }
        let listed = |at: usize| Listed { number: u64_at(at), len: u64_at(at + 8) };
        let runs = u32_at(12) as usize;
        if body.len() != HEAD + runs * FILE {
            return Err(Unreadable::Damaged);
        }
        let chain = body[56..88].try_into().expect("32 bytes were taken");
        Ok(Manifest {
            mark: JournalMark { slot: u64_at(40), places: u64_at(48), chain },
            next_file: u64_at(88),
            table: Some(listed(96)).filter(|table| table.number != 0),
            runs: (0..runs).map(|n| listed(HEAD + n * FILE)).collect(),
        })
    }
}

enum Unreadable {
    Damaged,
    Foreign(String),
}

/// The same for every owner: whose it is stands inside, so that another's can be told from a damaged one.
fn seal() -> Seal {
    Seal::new(Owner { cluster: 0, node: 0 }, FileKind::Manifest, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let owner = Owner { cluster: 5, node: 1 };
        let manifest = Manifest {
            mark: JournalMark { slot: 9, places: 70, chain: [3; 32] },
            next_file: 12,
            table: Some(Listed { number: 10, len: 4000 }),
            runs: vec![Listed { number: 4, len: 1 }, Listed { number: 11, len: 2 }],
        };
        let bytes = manifest.encode(owner);
        assert_eq!(Manifest::decode(&bytes, owner).ok(), Some(manifest));
        assert_eq!(Manifest::decode(&Manifest::FIRST.encode(owner), owner).ok(), Some(Manifest::FIRST));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Manifest::decode(&damaged, owner).is_err(), "byte {at}");
        }
    }
}
