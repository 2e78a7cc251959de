//! The disks of the other members, as they were first met: `DIR/members`, a line each.
//!
//! ```text
//! 2 1790000000000      node 2 has the disk whose identity was made then
//! ```

use paxos::NodeId;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Members and the disks that they were first met with.
#[derive(Debug)]
pub(crate) struct KnownDisks {
    path: PathBuf,
    disks: Mutex<BTreeMap<NodeId, u64>>,
}

/// Whether a member's disk is the one that is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recognized {
    Yes,
    /// It was first met with this disk.
    Other {
        known: u64,
    },
}

impl KnownDisks {
    /// Reads what earlier starts of this node have noted.
    ///
    /// # Errors
    /// When the file cannot be read, or is not one of ours.
    pub(crate) fn load(dir: &Path) -> io::Result<Self> {
        let path = dir.join("members");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let line = |line: &str| {
            let (node, disk) = line.split_once(' ')?;
            Some((NodeId::new(node.parse().ok()?)?, disk.parse().ok()?))
        };
        let disks: Option<BTreeMap<NodeId, u64>> = text.lines().map(line).collect();
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", path.display()));
        Ok(Self { disks: Mutex::new(disks.ok_or_else(damaged)?), path })
    }

    /// Compares a member's disk with the known one, or notes it durably if it is met for the first time.
    pub(crate) fn recognize(&self, node: NodeId, disk: u64) -> io::Result<Recognized> {
        let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        match disks.get(&node) {
            Some(known) if *known == disk => Ok(Recognized::Yes),
            Some(known) => Ok(Recognized::Other { known: *known }),
            None => {
                let mut more = disks.clone();
                more.insert(node, disk);
                self.write(&more)?;
                *disks = more;
                Ok(Recognized::Yes)
            }
        }
    }

    /// The disk that a member was first met with.
    pub(crate) fn disk_of(&self, node: NodeId) -> Option<u64> {
        self.disks.lock().unwrap_or_else(PoisonError::into_inner).get(&node).copied()
    }

    fn write(&self, disks: &BTreeMap<NodeId, u64>) -> io::Result<()> {
        let text: String = disks.iter().map(|(node, disk)| format!("{node} {disk}\n")).collect();
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_known_for_good_from_the_first_meeting_on() {
        let dir = std::env::temp_dir().join(format!("rialto-known-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a temporary directory");
        let node = NodeId::new(2).expect("not zero");
        let known = KnownDisks::load(&dir).expect("nothing is noted yet");
        assert_eq!(known.recognize(node, 7).expect("written"), Recognized::Yes);
        let known = KnownDisks::load(&dir).expect("just written");
        assert_eq!(known.recognize(node, 7).expect("known"), Recognized::Yes);
        assert_eq!(known.recognize(node, 8).expect("known"), Recognized::Other { known: 7 });
        fs::write(dir.join("members"), "two seven\n").expect("written");
        assert!(KnownDisks::load(&dir).is_err());
        fs::remove_dir_all(&dir).expect("made above");
    }
}
