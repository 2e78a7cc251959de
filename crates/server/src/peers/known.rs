//! The disks of the other members, as they were first met: `DIR/members`, a line each.
//!
//! ```text
//! 2 1790000000000 0123456789abcdef     node 2 has the disk whose identity was made then; the line's sum
//! ```
//!
//! A line that has rotted is left out, and the member is met for the first time again: with a wrong number in it this node
//! would send a sound member away. That a disk was emptied is noticed all the same, by what the others remember of its votes.

use paxos::NodeId;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use xxhash_rust::xxh3::xxh3_64;

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
    /// Reads what earlier starts of this node have noted, and how many lines of it have rotted.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn load(dir: &Path) -> io::Result<(Self, usize)> {
        let path = dir.join("members");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let (disks, rotten) = members_of(&bytes);
        Ok((Self { disks: Mutex::new(disks), path }, rotten))
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
        let text = text_of(disks);
        let new = self.path.with_extension("new");
        let mut file = storage::private::make_file(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}

pub(super) fn text_of(disks: &BTreeMap<NodeId, u64>) -> String {
    disks.iter().map(|(node, disk)| line_of(*node, *disk)).collect()
}

/// The members of a file, and how many lines of it have rotted.
pub(super) fn members_of(bytes: &[u8]) -> (BTreeMap<NodeId, u64>, usize) {
    let text = String::from_utf8_lossy(bytes);
    let disks: BTreeMap<NodeId, u64> = text.lines().filter_map(member_of).collect();
    let rotten = text.lines().count().saturating_sub(disks.len());
    (disks, rotten)
}

fn line_of(node: NodeId, disk: u64) -> String {
    let said = format!("{node} {disk}");
    format!("{said} {:016x}\n", xxh3_64(said.as_bytes()))
}

/// None for a line that is not whole. One without a sum was written before lines had one.
fn member_of(line: &str) -> Option<(NodeId, u64)> {
    let mut words = line.split(' ');
    let (node, disk) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let member = (NodeId::new(node)?, disk);
    let is_whole = match words.next() {
        Some(_) => line_of(member.0, disk).trim_end() == line,
        None => true,
    };
    is_whole.then_some(member)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_known_for_good_from_the_first_meeting_on() {
        let dir = std::env::temp_dir().join(format!("rialto-known-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a temporary directory");
        let node = NodeId::new(2).expect("not zero");
        let (known, _) = KnownDisks::load(&dir).expect("nothing is noted yet");
        assert_eq!(known.recognize(node, 7).expect("written"), Recognized::Yes);
        let (known, rotten) = KnownDisks::load(&dir).expect("just written");
        assert_eq!(rotten, 0);
        assert_eq!(known.recognize(node, 7).expect("known"), Recognized::Yes);
        assert_eq!(known.recognize(node, 8).expect("known"), Recognized::Other { known: 7 });
        fs::write(dir.join("members"), "two seven\n3 9\n").expect("written");
        let (known, rotten) = KnownDisks::load(&dir).expect("it can be read");
        let third = NodeId::new(3).expect("not zero");
        assert_eq!(
            (known.disk_of(node), known.disk_of(third), rotten),
            (None, Some(9), 1),
            "a line without a sum counts"
        );
        fs::remove_dir_all(&dir).expect("made above");
    }

    #[test]
    fn whichever_bit_rots_no_member_gets_another_disk() {
        let dir = std::env::temp_dir().join(format!("rialto-known-rot-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a temporary directory");
        let (known, _) = KnownDisks::load(&dir).expect("nothing is noted yet");
        let nodes = [2, 3].map(|node| NodeId::new(node).expect("not zero"));
        for node in nodes {
            known.recognize(node, 1_790_000_000_000).expect("written");
        }
        let whole = fs::read(dir.join("members")).expect("just written");
        for bit in 0..whole.len() * 8 {
            let mut rotten = whole.clone();
            rotten[bit / 8] ^= 1 << (bit % 8);
            fs::write(dir.join("members"), &rotten).expect("written");
            let (known, lines) = KnownDisks::load(&dir).expect("it can be read");
            let disks = nodes.map(|node| known.disk_of(node));
            assert!(disks.iter().all(|disk| disk.is_none_or(|disk| disk == 1_790_000_000_000)), "bit {bit}: {disks:?}");
            assert!(disks.contains(&None) == (lines > 0), "bit {bit}: {lines} lines, {disks:?}");
        }
        fs::remove_dir_all(&dir).expect("made above");
    }
}
