//! Who has a vote.
//!
//! All counting of promises, votes and answers asks here, so that "a majority of whom" is decided in one place.

use crate::ids::{Ballot, NodeId};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Members {
    me: NodeId,
    /// Sorted, without duplicates.
    all: Vec<NodeId>,
}

impl Members {
    pub(crate) fn new(me: NodeId, mut all: Vec<NodeId>) -> Members {
        all.sort_unstable();
        all.dedup();
        assert!(all.contains(&me), "node {me} is not a member of its own group {all:?}");
        Members { me, all }
    }

    pub(crate) fn me(&self) -> NodeId {
        self.me
    }

    pub(crate) fn contains(&self, node: NodeId) -> bool {
        self.all.binary_search(&node).is_ok()
    }

    pub(crate) fn majority(&self) -> usize {
        self.all.len() / 2 + 1
    }

    pub(crate) fn others(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.all.iter().copied().filter(|node| *node != self.me)
    }

    /// Whether a member could have made this ballot.
    pub(crate) fn could_propose(&self, ballot: Ballot) -> bool {
        ballot.round > 0
            && ballot.round < Ballot::ROUND_LIMIT
            && ballot.owner().is_some_and(|owner| self.contains(owner))
    }
}
