//! What is known of each peer, from its heartbeats and its replies. Never more than a rumour a few milliseconds old:
//! it decides whom to ask and when to stand, never what is chosen.

use crate::clock::Offset;
use crate::config::Now;
use crate::ids::{Ballot, NodeId, Slot};
use crate::members::Members;
use crate::message::Pulse;
use std::collections::BTreeMap;

/// A peer that answered none of this many rounds in a row does not answer.
const ROUNDS_MISSED: u64 = 2;

/// What the shell said about the connection. Before it says anything, a peer counts by its answers alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Link {
    Untold,
    Open,
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    pub(crate) link: Link,
    /// The last of our rounds that it answered; 0 is none. It hears us, and we hear it.
    pub(crate) answered: u64,
    /// Our round when it last said anything about itself; 0 is none. We hear it, whether or not it hears us.
    pub(crate) spoke: u64,
    pub(crate) heard_us: Option<u64>,
    pub(crate) promised: Ballot,
    pub(crate) leader: Ballot,
    pub(crate) happy: bool,
    pub(crate) chosen: Slot,
    pub(crate) kept: Slot,
    pub(crate) checkpoint: Option<Slot>,
    /// The most that it is known to have bound itself with, on disk: what it is told when it starts again.
    pub(crate) vowed: (Ballot, Slot),
    /// What its last answer told about its clock.
    pub(crate) clock: Option<Offset>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peers(BTreeMap<NodeId, Peer>);

impl Peers {
    pub(crate) fn new(members: &Members) -> Peers {
        Peers(members.others().map(|node| (node, Peer::unheard())).collect())
    }

    /// Members have come or gone.
    pub(crate) fn follow(&mut self, members: &Members) {
        self.0.retain(|node, _| members.knows(*node));
        for node in members.others() {
            self.0.entry(node).or_insert_with(Peer::unheard);
        }
    }

    /// This node's own clock was set by so much. The others' clocks are where they were.
    pub(crate) fn own_clock_was_set(&mut self, by_ms: i64) {
        for clock in self.0.values_mut().filter_map(|peer| peer.clock.as_mut()) {
            clock.ahead_ms = clock.ahead_ms.saturating_sub(by_ms);
        }
    }

    /// Leaves only whom to ask for what is chosen.
    #[cfg(feature = "anytime")]
    pub(crate) fn forget_rumours(&mut self) {
        self.0.values_mut().for_each(Peer::forget_rumours);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.0.iter().map(|(node, peer)| (*node, peer))
    }

    pub(crate) fn get(&self, node: NodeId) -> Option<&Peer> {
        self.0.get(&node)
    }

    pub(crate) fn get_mut(&mut self, node: NodeId) -> Option<&mut Peer> {
        self.0.get_mut(&node)
    }

    /// Peers that answered us of late, so that both directions are known to work.
    pub(crate) fn answering(&self, round: u64) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.iter().filter(move |(_, peer)| peer.answers(round))
    }

    pub(crate) fn is_closed(&self, node: NodeId) -> bool {
        self.get(node).is_some_and(|peer| peer.link == Link::Closed)
    }

    pub(crate) fn on_pulse(&mut self, now: Now, round: u64, from: NodeId, pulse: &Pulse) {
        let Some(peer) = self.0.get_mut(&from) else { return };
        peer.spoke = round;
        peer.heard_us = Some(now.mono_us);
        peer.promised = pulse.promised;
        peer.leader = pulse.leader;
        peer.happy = pulse.happy;
        // Not the maximum: a peer that restarted may have forgotten that some slots are chosen, and must not be asked
        // for them.
        peer.chosen = pulse.chosen;
        peer.kept = pulse.kept;
        // A durable checkpoint never goes back, but two heartbeats may arrive in the wrong order.
        peer.checkpoint = peer.checkpoint.max(Some(pulse.checkpoint));
        self.remember(from, pulse.promised, pulse.accepted);
    }

    /// It has bound itself with this, and it was on disk when it said so.
    pub(crate) fn remember(&mut self, from: NodeId, ballot: Ballot, slot: Slot) {
        if let Some(peer) = self.0.get_mut(&from) {
            peer.vowed = (peer.vowed.0.max(ballot), peer.vowed.1.max(slot));
        }
    }

    /// It says by another message than a heartbeat that it knows everything through `chosen`.
    pub(crate) fn heard_chosen(&mut self, from: NodeId, chosen: Slot) {
        if let Some(peer) = self.0.get_mut(&from) {
            peer.chosen = peer.chosen.max(chosen);
        }
    }

    /// The highest slot that somebody within reach says is chosen.
    pub(crate) fn highest_chosen(&self) -> Slot {
        self.iter().filter(|(_, peer)| peer.link != Link::Closed).map(|(_, peer)| peer.chosen).max().unwrap_or_default()
    }
}

impl Peer {
    #[cfg(feature = "anytime")]
    fn forget_rumours(&mut self) {
        let Peer { link, answered, chosen, .. } = *self;
        *self = Peer { link, answered, chosen, ..Peer::unheard() };
    }

    fn unheard() -> Peer {
        Peer {
            link: Link::Untold,
            answered: 0,
            spoke: 0,
            heard_us: None,
            promised: Ballot::ZERO,
            leader: Ballot::ZERO,
            happy: false,
            chosen: Slot::ZERO,
            kept: Slot::ZERO,
            checkpoint: None,
            vowed: (Ballot::ZERO, Slot::ZERO),
            clock: None,
        }
    }

    pub(crate) fn answers(&self, round: u64) -> bool {
        self.link != Link::Closed && self.answered > 0 && self.answered + ROUNDS_MISSED > round
    }

    pub(crate) fn is_heard(&self, round: u64) -> bool {
        self.link != Link::Closed && self.spoke > 0 && self.spoke + ROUNDS_MISSED > round
    }

    /// The connection is gone: whatever it said of late counts as not said.
    pub(crate) fn close(&mut self) {
        self.link = Link::Closed;
        self.answered = 0;
        self.spoke = 0;
        self.happy = false;
    }
}
