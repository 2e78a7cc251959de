//! Who may speak to this node, and where the others are: made anew whenever the group changes.
//!
//! A member that was removed is still spoken to until the others have all that it had: only then it may go. After that
//! its number is remembered, and whoever comes under it is told that it was removed.

use paxos::NodeId;
use std::collections::BTreeMap;

/// Who this node is to its peers.
#[derive(Clone, Debug)]
pub(crate) struct Me {
    pub(crate) cluster: u128,
    pub(crate) group: String,
    pub(crate) node: NodeId,
    /// Tells this node's disk from any other that was made for the same node.
    pub(crate) disk: u64,
}

/// One of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contact {
    /// `host:port`, looked up whenever it is dialled.
    pub(crate) address: String,
    /// The only disk that may speak for it, if the log says so.
    pub(crate) pin: Option<u64>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roster {
    /// The group's version.
    pub(crate) version: u64,
    /// Everybody but this node.
    pub(crate) others: BTreeMap<NodeId, Contact>,
    /// Numbers below this one belong to members, or to nodes that were removed.
    pub(crate) next_number: u32,
    /// A majority of the present members has everything that was chosen with those who were removed.
    pub(crate) settled: bool,
}

/// What a node is here by its number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing<'a> {
    Known(&'a Contact),
    Removed,
    Stranger,
}

impl Roster {
    pub(crate) fn standing(&self, node: NodeId) -> Standing<'_> {
        match self.others.get(&node) {
            Some(contact) => Standing::Known(contact),
            None if u32::from(node.get()) < self.next_number => Standing::Removed,
            None => Standing::Stranger,
        }
    }
}
