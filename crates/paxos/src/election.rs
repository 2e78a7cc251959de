//! The policy of leader mode about who becomes the proposer. Safety never depends on it.
//!
//! It is ballot leader election as in OmniPaxos (Ng, Haridi, Carbone, EuroSys 2023; the refinement with "happy" nodes is
//! from its authors' library), with Paxos' own ballots in the place of a second kind. Every node asks all others once a
//! round; heartbeats and answers carry the highest ballot that the sender knows of, and whether it is *happy*:
//!
//! * the owner of that ballot is happy while it stands or is the proposer and a majority, itself included, answers it;
//! * any other node is happy while it hears that owner say so itself. Hearsay makes nobody happy, so no two nodes can
//!   keep each other content with a leader that is gone.
//!
//! An unhappy node stands when a majority answers it and nobody that it hears is happy. Hence:
//!
//! * quorum loss (the leader hears too few, one hub hears all): the leader says that it is unhappy, so the hub becomes so,
//!   so all others do, and the hub, the only one with a majority, stands;
//! * constrained election (only an outdated node hears a majority): it stands, and learns what it lacks while it gathers;
//! * chained (two ends do not hear each other, the leader is one of them): the other end is unhappy but hears a happy
//!   middle, and keeps still: no duel;
//! * one-way links: who sends but does not hear is answered by nobody, and never stands.
//!
//! A node that becomes unhappy begins a round at once, and that round tells the others: so a closed connection to the
//! leader costs one round trip, a silent leader two missed rounds and that trip.

use crate::ids::{Ballot, NodeId};
use crate::members::{Members, Window};
use crate::peers::Peers;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Election {
    /// Number of the round under way; 0 before the first.
    pub(crate) round: u64,
    pub(crate) began_us: u64,
    /// When the round before it began.
    began_before_us: u64,
    /// The highest ballot ever heard of. Its owner is whom this node takes for the leader.
    pub(crate) lead: Ballot,
    /// The first round that began after this node became unhappy; `None` while it is happy.
    unhappy_from: Option<u64>,
    /// It stood in vain and leaves it to others until then: a node whose disk hangs still hears and speaks, and would
    /// otherwise always be the first to stand again.
    pub(crate) sits_out_until_us: u64,
    /// Shutting down: stands no more.
    pub(crate) resigned: bool,
}

/// What the election looks at.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    pub(crate) members: &'a Members,
    pub(crate) peers: &'a Peers,
    /// A majority is one in every epoch that has a slot in here.
    pub(crate) window: Window,
    /// Whether this node stands, or is the proposer, with the highest ballot.
    pub(crate) leads: bool,
}

impl Election {
    pub(crate) fn new(promised: Ballot) -> Election {
        Election {
            round: 0,
            began_us: 0,
            began_before_us: 0,
            lead: promised,
            unhappy_from: Some(1),
            sits_out_until_us: 0,
            resigned: false,
        }
    }

    pub(crate) fn begin_round(&mut self, now_us: u64) {
        self.round += 1;
        self.began_before_us = std::mem::replace(&mut self.began_us, now_us);
    }

    /// When a round began, if it is the one under way or the one before it.
    pub(crate) fn began_at_us(&self, round: u64) -> Option<u64> {
        match self.round.checked_sub(round)? {
            0 => Some(self.began_us),
            1 => Some(self.began_before_us),
            _ => None,
        }
    }

    /// A majority, this node included, answers this node.
    pub(crate) fn has_quorum(&self, sight: Sight<'_>) -> bool {
        self.is_answered(sight, 1)
    }

    /// A majority, this node included, answers this node and has answered this round or a later one.
    fn is_answered(&self, sight: Sight<'_>, round: u64) -> bool {
        let answers =
            |node| sight.peers.get(node).is_some_and(|peer| peer.answers(self.round) && peer.answered >= round);
        sight.members.is_majority(sight.window, |node| node == sight.members.me() || answers(node))
    }

    pub(crate) fn is_happy(&self, sight: Sight<'_>) -> bool {
        if self.lead.owner() == Some(sight.members.me()) {
            return sight.leads && self.has_quorum(sight);
        }
        let Some(leader) = self.lead.owner().and_then(|owner| sight.peers.get(owner)) else { return false };
        leader.is_heard(self.round) && leader.leader == self.lead && leader.happy
    }

    /// Takes note of whether this node is happy; answers whether it has just ceased to be.
    pub(crate) fn note_mood(&mut self, happy: bool) -> bool {
        if happy {
            self.unhappy_from = None;
            return false;
        }
        let turned = self.unhappy_from.is_none();
        if turned {
            self.unhappy_from = Some(self.round + 1);
        }
        turned
    }

    /// Unhappy, answered by a majority since, and nobody in hearing is happy.
    pub(crate) fn should_stand(&self, sight: Sight<'_>) -> bool {
        let Some(unhappy_from) = self.unhappy_from else { return false };
        self.round >= unhappy_from
            && self.is_answered(sight, unhappy_from)
            && !sight.peers.iter().any(|(_, peer)| peer.is_heard(self.round) && peer.happy)
    }

    /// Whom to pass requests to, as far as known: the owner of the highest ballot, if somebody in hearing follows it.
    pub(crate) fn leader(&self, sight: Sight<'_>, is_proposer: bool) -> Option<NodeId> {
        let owner = self.lead.owner()?;
        if owner == sight.members.me() {
            return is_proposer.then_some(owner);
        }
        let follows =
            sight.peers.iter().any(|(_, peer)| peer.is_heard(self.round) && peer.happy && peer.leader == self.lead);
        follows.then_some(owner)
    }

    /// Whether the owner of the highest ballot has been heard of late; this node hears itself.
    pub(crate) fn hears_owner(&self, sight: Sight<'_>) -> Option<NodeId> {
        let owner = self.lead.owner()?;
        let hears = sight.peers.get(owner).is_some_and(|peer| peer.is_heard(self.round));
        (owner == sight.members.me() || hears).then_some(owner)
    }

    /// A ballot that nobody has used: one round above everything ever heard of, this node's own promises included.
    pub(crate) fn new_ballot(&self, me: NodeId) -> Ballot {
        Ballot { round: self.lead.round + 1, node: me.get() }
    }
}
