//! Who has a vote, slot by slot.
//!
//! Slot s belongs to the last epoch that begins at or below it. A change chosen in slot c begins one at c + alpha, so
//! whoever has applied s − alpha knows whose s is. All counting of promises, votes and answers asks here, so that "a
//! majority of whom" is decided in one place. Epochs that end at or below the floor are forgotten.
//!
//! A learner hears everything and is heard, but nothing of what it says is counted.

use crate::controls::{Control, Rules};
use crate::ids::{NodeId, Slot};

/// The members of a group during one epoch. Plain data; both lists are sorted, and nobody is in both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Membership {
    /// Counts the changes of the group.
    pub version: u64,
    /// Their promises, votes and answers count.
    pub voters: Vec<NodeId>,
    /// They follow, and have no vote yet.
    pub learners: Vec<NodeId>,
}

impl Membership {
    /// Sorts, and drops what is double: who votes does not also learn.
    pub fn new(version: u64, mut voters: Vec<NodeId>, mut learners: Vec<NodeId>) -> Membership {
        voters.sort_unstable();
        voters.dedup();
        learners.retain(|node| !voters.contains(node));
        learners.sort_unstable();
        learners.dedup();
        Membership { version, voters, learners }
    }

    /// The first members of a group: all of them vote.
    pub fn founders(voters: Vec<NodeId>) -> Membership {
        Membership::new(0, voters, Vec::new())
    }

    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.binary_search(&node).is_ok()
    }

    pub fn contains(&self, node: NodeId) -> bool {
        self.is_voter(node) || self.learners.binary_search(&node).is_ok()
    }

    /// More than half of the voters; of nobody there is no majority.
    pub fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// Whether those of the voters for whom `has` holds are a majority.
    pub(crate) fn is_majority(&self, has: impl Fn(NodeId) -> bool) -> bool {
        self.voters.iter().filter(|node| has(**node)).count() >= self.majority()
    }
}

/// The slots from `first` through `last`: those that a node may have to do with next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) first: Slot,
    pub(crate) last: Slot,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Members {
    me: NodeId,
    /// By their first slots, ascending; never empty. What lies before the first epoch counts as its.
    epochs: Vec<(Slot, Membership)>,
    /// Everybody in an epoch, save this node; sorted.
    others: Vec<NodeId>,
    rules: Rules,
}

impl Members {
    pub(crate) fn new(me: NodeId, epochs: Vec<(Slot, Membership)>, rules: Rules) -> Members {
        let mut members = Members { me, epochs: Vec::new(), others: Vec::new(), rules };
        members.replace(epochs);
        members
    }

    pub(crate) fn me(&self) -> NodeId {
        self.me
    }

    /// Everybody to talk to.
    pub(crate) fn others(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.others.iter().copied()
    }

    /// Whether the node is in an epoch from the floor on.
    pub(crate) fn knows(&self, node: NodeId) -> bool {
        self.others.binary_search(&node).is_ok()
    }

    /// Whether it is settled whose the slot is, if that is known through `last`.
    pub(crate) fn knows_whose(&self, slot: Slot, last: Slot) -> bool {
        slot <= last || !self.rules.hold(Control::CountAcrossChange)
    }

    /// Whose the slot is.
    pub(crate) fn of(&self, slot: Slot) -> &Membership {
        &self.epochs[self.index_of(slot)].1
    }

    /// The first slot of the slot's epoch: names the epoch. With the rule off there is but one.
    pub(crate) fn epoch_of(&self, slot: Slot) -> Slot {
        if self.rules.hold(Control::CountAcrossChange) { self.epochs[self.index_of(slot)].0 } else { Slot::ZERO }
    }

    /// From this slot on it is known whose a slot is; before it the epochs are forgotten.
    pub(crate) fn first_known(&self) -> Slot {
        self.epochs[0].0
    }

    /// The epochs that have a slot in the window.
    pub(crate) fn within(&self, window: Window) -> &[(Slot, Membership)] {
        &self.epochs[self.index_of(window.first)..=self.index_of(window.last)]
    }

    /// Whether those for whom `has` holds are a majority in every epoch of the window.
    pub(crate) fn is_majority(&self, window: Window, has: impl Fn(NodeId) -> bool) -> bool {
        self.within(window).iter().all(|(_, membership)| membership.is_majority(&has))
    }

    /// The newest epoch that is known of, in force or not.
    pub(crate) fn newest(&self) -> &(Slot, Membership) {
        &self.epochs[self.epochs.len() - 1]
    }

    pub(crate) fn epochs(&self) -> &[(Slot, Membership)] {
        &self.epochs
    }

    /// An epoch begins. What was told before is told again at a restart.
    pub(crate) fn begin(&mut self, first: Slot, membership: Membership) {
        let Membership { version, voters, learners } = membership;
        let membership = Membership::new(version, voters, learners);
        self.epochs.retain(|(known, _)| *known < first);
        self.epochs.push((first, membership));
        self.list_others();
    }

    pub(crate) fn replace(&mut self, mut epochs: Vec<(Slot, Membership)>) {
        epochs.sort_by_key(|(first, _)| *first);
        self.epochs.clear();
        for (first, membership) in epochs {
            self.begin(first, membership);
        }
        if self.epochs.is_empty() {
            self.begin(Slot::ZERO, Membership::default());
        }
    }

    /// Everything at or below `floor` is chosen: epochs that end there are of no use any more. Answers whether one did.
    pub(crate) fn forget_below(&mut self, floor: Slot) -> bool {
        let current = self.epochs.iter().rposition(|(first, _)| *first <= floor.next()).unwrap_or(0);
        if current > 0 {
            self.epochs.drain(..current);
            self.list_others();
        }
        current > 0
    }

    /// With the rule off, one membership counts for all slots: the newest.
    fn index_of(&self, slot: Slot) -> usize {
        if !self.rules.hold(Control::CountAcrossChange) {
            return self.epochs.len() - 1;
        }
        self.epochs.iter().rposition(|(first, _)| *first <= slot).unwrap_or(0)
    }

    fn list_others(&mut self) {
        let all = self.epochs.iter().flat_map(|(_, membership)| membership.voters.iter().chain(&membership.learners));
        self.others = all.copied().filter(|node| *node != self.me).collect();
        self.others.sort_unstable();
        self.others.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u16) -> NodeId {
        NodeId::new(number).expect("not 0")
    }

    fn membership(version: u64, voters: &[u16]) -> Membership {
        Membership::new(version, voters.iter().copied().map(node).collect(), Vec::new())
    }

    #[test]
    fn a_slot_belongs_to_the_last_epoch_that_begins_at_or_below_it() {
        let epochs = vec![(Slot::new(9), membership(1, &[1, 2, 3, 4])), (Slot::ZERO, membership(0, &[3, 1, 2]))];
        let mut members = Members::new(node(1), epochs, Rules::all());
        for (slot, version) in [(0, 0), (1, 0), (8, 0), (9, 1), (1_000, 1)] {
            assert_eq!(members.of(Slot::new(slot)).version, version, "slot {slot}");
        }
        let across = Window { first: Slot::new(8), last: Slot::new(9) };
        assert!(!members.is_majority(across, |by| by < node(3)), "two of three, but not three of four");
        assert!(members.is_majority(Window { first: Slot::new(1), last: Slot::new(8) }, |by| by < node(3)));
        assert!(!members.forget_below(Slot::new(7)));
        assert!(members.forget_below(Slot::new(8)));
        assert_eq!(members.epochs().len(), 1);
    }

    #[test]
    fn of_nobody_there_is_no_majority() {
        assert!(!Membership::default().is_majority(|_| true));
    }
}
