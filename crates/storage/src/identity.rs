//! Who a directory belongs to.
//!
//! `DIR/identity` is a small text file, made once by its own command and checked before anything else is opened, so that a
//! node started on another's directory stops before it reads a vote. A person can read it; nobody should edit it,
//! and its last line tells if somebody did.

use std::io::ErrorKind;
use std::path::Path;

use crate::checksum::{FileKind, Seal};
use crate::directory::make_durable;
use crate::{Disk, DiskFile, OpenError, Part, StorageError};

const TITLE: &str = "rialto identity 1";
const NAME: &str = "identity";
/// The line of a group that is founded without a leader.
const LEADERLESS: &str = "mode leaderless\n";
const NEW_NAME: &str = "identity-new";

/// Who a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub cluster: u128,
    /// The group's name; one line.
    pub group: String,
    pub node: u16,
    pub incarnation: u32,
    /// Number of nodes that the group is founded with; zero for a node that joins a group that is there already.
    pub nodes: u16,
    pub made_ms: u64,
    /// The first mode of a group that is founded with it: afterwards an entry of the log says so.
    pub first_mode: FirstMode,
}

/// How a group is to find who proposes until its log says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FirstMode {
    #[default]
    Leader,
    Leaderless,
}

/// Whose files these are: goes into every checksum, so that no node can mistake another's files for its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub cluster: u128,
    pub node: u16,
}

impl Identity {
    pub fn owner(&self) -> Owner {
        Owner { cluster: self.cluster, node: self.node }
    }

    fn to_text(&self) -> String {
        let body = format!(
            "{TITLE}\ncluster {:032x}\ngroup {}\nnode {}\nincarnation {}\nnodes {}\nmade_ms {}\n",
            self.cluster, self.group, self.node, self.incarnation, self.nodes, self.made_ms
        );
        // Left out where it says nothing new, so that such an identity reads as it always did.
        let mode = match self.first_mode {
            FirstMode::Leader => "",
            FirstMode::Leaderless => LEADERLESS,
        };
        let body = body + mode;
        let sum = seal().sum(0, body.as_bytes());
        format!("{body}sum {sum:016x}\n")
    }

    fn from_text(text: &str) -> Result<Identity, &'static str> {
        let sum_at = text.rfind("sum ").ok_or("it has no checksum")?;
        let (body, sum) = text.split_at(sum_at);
        let sum = u64::from_str_radix(sum[4..].trim_end(), 16).map_err(|_| "its checksum is no number")?;
        if seal().sum(0, body.as_bytes()) != sum {
            return Err("its checksum does not match");
        }
        let mut lines = body.lines();
        if lines.next() != Some(TITLE) {
            return Err("it is of a format that this program does not know");
        }
        let mut value = |name: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.ok_or("a line is missing")
        };
        let number = |_| "where a number belongs is none";
        let identity = Identity {
            cluster: u128::from_str_radix(value("cluster")?, 16).map_err(number)?,
            group: value("group")?.to_string(),
            node: value("node")?.parse().map_err(number)?,
            incarnation: value("incarnation")?.parse().map_err(number)?,
            nodes: value("nodes")?.parse().map_err(number)?,
            made_ms: value("made_ms")?.parse().map_err(number)?,
            first_mode: if body.ends_with(LEADERLESS) { FirstMode::Leaderless } else { FirstMode::Leader },
        };
        Ok(identity)
    }
}

/// Writes `dir/identity`, making `dir` if need be; refuses if there is one.
pub fn create<D: Disk>(disk: &D, dir: &Path, identity: &Identity) -> Result<(), StorageError> {
    assert!(!identity.group.contains('\n'), "a group's name is one line");
    make_durable(disk, dir)?;
    let (path, new) = (dir.join(NAME), dir.join(NEW_NAME));
    if disk.exists(&path).map_err(StorageError::io("looking for", &path, None))? {
        return Err(StorageError::io("creating", &path, None)(ErrorKind::AlreadyExists.into()));
    }
    if disk.exists(&new).map_err(StorageError::io("looking for", &new, None))? {
        disk.remove(&new).map_err(StorageError::io("removing", &new, None))?;
    }
    let file = disk.create(&new).map_err(StorageError::io("creating", &new, None))?;
    file.write_at(0, identity.to_text().as_bytes()).map_err(StorageError::io("writing", &new, 0))?;
    file.sync().map_err(StorageError::io("syncing", &new, None))?;
    disk.rename(&new, &path).map_err(StorageError::io("renaming", &new, None))?;
    disk.sync_dir(dir).map_err(StorageError::io("syncing the names in", dir, None))
}

/// Reads `dir/identity`.
pub fn load<D: Disk>(disk: &D, dir: &Path) -> Result<Identity, OpenError> {
    let path = dir.join(NAME);
    let file = disk.open(&path).map_err(StorageError::io("opening", &path, None))?;
    let len = file.len().map_err(StorageError::io("measuring", &path, None))?;
    let mut bytes = vec![0; len.min(64 << 10) as usize];
    let read = file.read_at(0, &mut bytes).map_err(StorageError::io("reading", &path, 0))?;
    let text =
        str::from_utf8(&bytes[..read]).map_err(|_| StorageError::rot(Part::Identity, &path, 0, "it is not text"))?;
    Identity::from_text(text).map_err(|what| StorageError::rot(Part::Identity, &path, 0, what).into())
}

fn seal() -> Seal {
    Seal::new(Owner { cluster: 0, node: 0 }, FileKind::Identity, 0)
}
