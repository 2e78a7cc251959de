//! The smallest state machine that has members: a batch of the form `members 3: 1 2 4 / 5` makes nodes 1, 2 and 4 the
//! voters and 5 a learner, if it names the version after the present one and no other change is in flight.

use crate::cluster::{ALPHA, node, slot};
use paxos::{Batch, Membership, NodeId, Slot};

#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) membership: Membership,
    /// The first slot of the last change.
    pub(crate) begins: Slot,
}

impl Group {
    pub(crate) fn of(founders: u16) -> Group {
        Group { membership: Membership::founders((1..=founders).map(node).collect()), begins: Slot::ZERO }
    }

    /// What to propose for these to be the next members.
    pub(crate) fn change(&self, voters: &[u16], learners: &[u16]) -> String {
        let list = |nodes: &[u16]| nodes.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
        format!("members {}: {} / {}", self.membership.version + 1, list(voters), list(learners))
    }

    /// The new members, if the batch is a change and is taken.
    pub(crate) fn apply(&mut self, at: Slot, batch: &Batch, two_changes: bool) -> Option<Membership> {
        let text = std::str::from_utf8(batch.bytes()).ok()?.strip_prefix("members ")?;
        let (version, lists) = text.split_once(": ")?;
        let (voters, learners) = lists.split_once(" /")?;
        let list = |text: &str| -> Vec<NodeId> {
            text.split_whitespace().filter_map(|n| Some(node(n.parse().ok()?))).collect()
        };
        let membership = Membership::new(version.parse().ok()?, list(voters), list(learners));
        let in_flight = at < self.begins && !two_changes;
        if in_flight || membership.version != self.membership.version + 1 {
            return None;
        }
        self.membership = membership.clone();
        self.begins = slot(at.get() + ALPHA);
        Some(membership)
    }
}
