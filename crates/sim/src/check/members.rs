//! Who belongs to the group: one version after the other, one vote at a time, the same on every node after the same slot.
//!
//! The ideal machine applies the changes that stand in the log with the group's own pure rules; here its steps are looked at
//! by rules said a second time, and every node's group is compared with it.

use super::{Violation, must};
use paxos::{NodeId, Slot};
use replica::group::{Change, ChangeRefused, Group, Op, Role};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub struct Members {
    /// Each version of the group, and the slot whose change made it; the first is what the founders were told.
    versions: BTreeMap<u64, (u64, Group)>,
    /// Numbers that are members, or were.
    used: BTreeSet<NodeId>,
    /// Control: two votes may change at once; what comes of that is looked for elsewhere.
    lenient: bool,
}

impl Members {
    pub fn new(founders: Group, lenient: bool) -> Members {
        let used = founders.members.keys().copied().collect();
        Members { versions: BTreeMap::from([(founders.version, (0, founders))]), used, lenient }
    }

    /// The last version that anybody knows.
    pub fn present(&self) -> &Group {
        let (_, (_, group)) = self.versions.last_key_value().expect("there always is a first version");
        group
    }

    /// Whose vote is new with the last version, and who had one in the version before.
    pub fn came_and_went(&self) -> (BTreeSet<NodeId>, BTreeSet<NodeId>) {
        let mut latest = self.versions.values().rev().map(|(_, group)| group.voters().collect::<BTreeSet<_>>());
        let (new, old) = (latest.next().unwrap_or_default(), latest.next().unwrap_or_default());
        (new.difference(&old).copied().collect(), old.difference(&new).copied().collect())
    }

    /// Version of the group after that slot.
    pub fn version_at(&self, slot: u64) -> u64 {
        let until = self.versions.iter().rev().find(|(_, (since, _))| *since <= slot);
        until.map_or(0, |(version, _)| *version)
    }

    /// The change in that slot, the next that anybody has come to, and the group after it.
    pub fn on_change(
        &mut self,
        slot: u64,
        change: &Change,
        outcome: Result<(), ChangeRefused>,
        after: &Group,
    ) -> Result<(), Violation> {
        let before = self.present();
        if outcome.is_err() || matches!(change.op, Op::Check { .. }) {
            return must(before == after, || format!("members: slot {slot} changed the group, but {outcome:?}"));
        }
        must(after.version == before.version + 1, || {
            format!("members: slot {slot} led from version {} to {}", before.version, after.version)
        })?;
        let is_founding = matches!(change.op, Op::Found { .. });
        if !is_founding && !self.lenient {
            self.check_step(slot, change, before, after)?;
        }
        self.used.extend(after.members.keys().copied());
        self.versions.insert(after.version, (slot, after.clone()));
        Ok(())
    }

    fn check_step(&self, slot: u64, change: &Change, before: &Group, after: &Group) -> Result<(), Violation> {
        must(change.expected_version == before.version, || {
            format!(
                "members: slot {slot} took a change of version {}, it was {}",
                change.expected_version, before.version
            )
        })?;
        let (old, new): (BTreeSet<NodeId>, BTreeSet<NodeId>) = (before.voters().collect(), after.voters().collect());
        let votes_changed = old.symmetric_difference(&new).count();
        must(votes_changed <= 1 && !new.is_empty(), || {
            format!("members: slot {slot} led from voters {old:?} to {new:?} in one step")
        })?;
        let others_changed = before.members.keys().collect::<BTreeSet<_>>() != after.members.keys().collect();
        must(!(votes_changed > 0 || others_changed) || before.pending_after(Slot::new(slot)).is_none(), || {
            format!("members: slot {slot} changed members while the change before was not in force")
        })?;
        let reused = after.members.keys().find(|node| !before.members.contains_key(node) && self.used.contains(node));
        must(reused.is_none(), || format!("members: slot {slot} took the number {reused:?} a second time"))?;
        let newcomer = after.members.iter().find(|(node, _)| !before.members.contains_key(node));
        must(newcomer.is_none_or(|(_, member)| member.role == Role::Learner), || {
            format!("members: slot {slot} gave a newcomer a vote at once")
        })
    }

    /// A node's group after that slot.
    pub fn check(&self, node: usize, slot: u64, group: &Group) -> Result<(), Violation> {
        let known = self.versions.get(&self.version_at(slot)).map(|(_, group)| group);
        // Before the founding a newcomer knows nothing, and the founders what they were told.
        must(group.version == 0 || known == Some(group), || {
            let known = known.map(|known| known.version);
            format!(
                "members: node {} has version {} after slot {slot}, the log says {known:?}",
                node + 1,
                group.version
            )
        })
    }
}
