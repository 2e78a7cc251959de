//! Who this directory belongs to (being filled in).
use crate::{Disk, OpenError, StorageError};
use std::path::Path;

/// Who a node is. Written once, by its own command, checked before anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub cluster: u128,
    pub group: String,
    pub node: u16,
    pub incarnation: u32,
    /// Number of nodes in the group.
    pub nodes: u16,
    pub made_ms: u64,
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
}

/// Writes `dir/identity`; refuses if there is one.
pub fn create<D: Disk>(disk: &D, dir: &Path, identity: &Identity) -> Result<(), StorageError> {
    todo!()
}

/// Reads `dir/identity`.
pub fn load<D: Disk>(disk: &D, dir: &Path) -> Result<Identity, OpenError> {
    todo!()
}
