//! Do this node's books say what the others' say? Each node tells all others what it found at every check; a node that a
//! majority of the voters contradicts, with one voice, knows that it is the one that is wrong.

use crate::output::Divergence;
use paxos::{NodeId, Slot};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Checks remembered of each node: nodes apply the same slot at different times.
const CHECKS: usize = 16;

/// What each node found at the last checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Digests {
    found: BTreeMap<NodeId, VecDeque<(Slot, [u8; 32])>>,
}

impl Digests {
    /// A node says what it found.
    pub(crate) fn note(&mut self, node: NodeId, slot: Slot, digest: [u8; 32]) {
        let found = self.found.entry(node).or_default();
        if found.len() >= CHECKS {
            found.pop_front();
        }
        found.push_back((slot, digest));
    }

    /// Forgets who is no member any more.
    pub(crate) fn keep(&mut self, is_member: impl Fn(NodeId) -> bool) {
        self.found.retain(|node, _| is_member(*node));
    }

    /// Does a majority of the voters agree on another digest than `me` has?
    pub(crate) fn divergence(&self, me: NodeId, slot: Slot, voters: &BTreeSet<NodeId>) -> Option<Divergence> {
        let own = self.at(me, slot)?;
        let others: Vec<(NodeId, [u8; 32])> = self
            .found
            .keys()
            .filter(|node| **node != me)
            .filter_map(|node| Some((*node, self.at(*node, slot)?)))
            .collect();
        let of_voters = || others.iter().filter(|(node, _)| voters.contains(node)).map(|(_, digest)| *digest);
        let agree = |digest: [u8; 32]| of_voters().filter(|other| *other == digest).count();
        let outvoted = of_voters().any(|digest| digest != own && agree(digest) > voters.len() / 2);
        outvoted.then_some(Divergence { slot, own, others })
    }

    /// Does another voter, other than `except`, say the same as `me` at this slot?
    pub(crate) fn is_confirmed(&self, me: NodeId, slot: Slot, by: impl Fn(NodeId) -> bool) -> bool {
        let own = self.at(me, slot);
        own.is_some() && self.found.keys().any(|node| *node != me && by(*node) && self.at(*node, slot) == own)
    }

    fn at(&self, node: NodeId, slot: Slot) -> Option<[u8; 32]> {
        self.found.get(&node)?.iter().find(|(of, _)| *of == slot).map(|(_, digest)| *digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::tests::node;

    const SLOT: Slot = Slot::new(40);

    /// Digests by node; `me` is node 1.
    fn digests(found: &[(u16, u8)]) -> Digests {
        let mut digests = Digests::default();
        for (number, byte) in found {
            digests.note(node(*number), SLOT, [*byte; 32]);
        }
        digests
    }

    fn diverges(found: &[(u16, u8)], voters: u16) -> bool {
        let voters = (1..=voters).map(node).collect();
        digests(found).divergence(node(1), SLOT, &voters).is_some()
    }

    #[test]
    fn only_a_majority_with_one_voice_contradicts() {
        assert!(!diverges(&[(1, 7)], 3), "nobody else has spoken");
        assert!(!diverges(&[(1, 7), (2, 8)], 3), "one of three");
        assert!(diverges(&[(1, 7), (2, 8), (3, 8)], 3));
        assert!(!diverges(&[(1, 7), (2, 8), (3, 9)], 3), "they do not agree");
        assert!(!diverges(&[(1, 7), (2, 7), (3, 8)], 3), "the other is the one that is wrong");
        assert!(!diverges(&[(2, 8), (3, 8)], 3), "nothing was found here yet");
        assert!(!diverges(&[(1, 7), (2, 8), (4, 8)], 3), "a learner does not count");
        assert!(diverges(&[(1, 7), (2, 8), (3, 8)], 3) && !diverges(&[(1, 7), (2, 8), (3, 8)], 5));
        assert!(!diverges(&[(1, 7), (2, 8)], 2), "one of two is no majority");
    }

    #[test]
    fn another_slot_says_nothing() {
        let mut digests = digests(&[(1, 7)]);
        for number in [2, 3] {
            digests.note(node(number), SLOT.next(), [8; 32]);
        }
        let voters = (1..=3).map(node).collect();
        assert_eq!(digests.divergence(node(1), SLOT, &voters), None);
        assert_eq!(digests.divergence(node(1), SLOT.next(), &voters), None);
    }

    #[test]
    fn a_learner_is_contradicted_too_and_confirmed_by_any_voter() {
        let voters = (2..=4).map(node).collect();
        assert!(digests(&[(1, 7), (2, 8), (3, 8)]).divergence(node(1), SLOT, &voters).is_some());
        let confirmed = digests(&[(1, 7), (2, 8), (3, 7)]);
        assert!(confirmed.is_confirmed(node(1), SLOT, |by| by == node(3)));
        assert!(!confirmed.is_confirmed(node(1), SLOT, |by| by == node(2)));
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut digests = digests(&[(1, 7)]);
        for slot in 41..41 + CHECKS as u64 {
            digests.note(node(1), Slot::new(slot), [7; 32]);
        }
        assert_eq!(digests.at(node(1), SLOT), None);
        assert!(digests.at(node(1), Slot::new(41)).is_some());
        digests.keep(|_| false);
        assert_eq!(digests.at(node(1), Slot::new(41)), None);
    }
}
