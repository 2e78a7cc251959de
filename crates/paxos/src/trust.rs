//! Whether this node may bind itself: whether its disk holds all that it has ever promised and voted.
//!
//! A node that starts on an empty disk, another's, or an older copy of its own would break promises that it does not know
//! of. Its peers know some: what it told them in promises and votes, and with every heartbeat what it knows to be on its
//! disk. So a node that starts asks them, and until a majority, itself included, has told it promises nothing, votes for
//! nothing, answers no read and does not stand. All others may have their say: it waits for the ones that are late a few
//! rounds more. If one knows of more than the disk holds, the node never votes again; it must be replaced.
//!
//! What peers say is a lower bound of what was on the disk at the time, so a node whose disk is whole always holds it, and
//! what comes late is compared too. Peers remember in memory, and what is younger than the last heartbeat only those know
//! who were told: the rule finds what an operator does, it is no proof against a disk that goes back by a millisecond.

use crate::controls::Control;
use crate::effects::{Effects, Event};
use crate::ids::{Ballot, NodeId, Slot};
use crate::message::{Message, Vow};
use crate::paxos::Paxos;
use std::collections::BTreeSet;

/// Rounds that a starting node waits for peers that are late, once a majority has told.
const ROUNDS_FOR_LATECOMERS: u64 = 3;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Trust {
    /// Just started: those have told what they remember, and none of it was news.
    Asking { told: BTreeSet<NodeId> },
    /// It binds itself like everybody.
    Sure,
    /// A promise or a vote is lost: never, in this process.
    Never,
}

/// What is known to be on this node's disk, from the vows that were released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kept {
    pub(crate) promised: Ballot,
    pub(crate) accepted: Slot,
    pub(crate) chosen: Slot,
}

impl Paxos {
    /// This vow has left, so it and all before it is on disk.
    pub fn on_synced(&mut self, vow: &Vow) {
        let (ballot, slot) = match vow.peek() {
            Message::Accepted { ballot, slot } => (*ballot, *slot),
            Message::Promise { ballot, accepted, .. } => {
                (*ballot, accepted.last().map_or(Slot::ZERO, |last| last.slot))
            }
            Message::Prepare { ballot } => (*ballot, Slot::ZERO),
            _ => (Ballot::ZERO, Slot::ZERO),
        };
        let kept = &mut self.kept;
        kept.promised = kept.promised.max(ballot).min(self.acceptor.promised());
        kept.chosen = kept.chosen.max(vow.floor());
        kept.accepted = kept.accepted.max(slot).max(kept.chosen);
    }

    pub(crate) fn may_vote(&self) -> bool {
        self.trust == Trust::Sure
    }

    /// Tells a peer what is remembered of it.
    pub(crate) fn tell_memory(&self, to: NodeId, fx: &mut Effects) {
        if let Some(peer) = self.peers.get(to) {
            let (promised, accepted) = peer.vowed;
            fx.send.push((to, Message::Memory { promised, accepted }));
        }
    }

    /// Asks those that have not told yet.
    pub(crate) fn ask_memories(&self, fx: &mut Effects) {
        if let Trust::Asking { told } = &self.trust {
            let silent = self.members.others().filter(|peer| !told.contains(peer));
            fx.send.extend(silent.map(|peer| (peer, Message::Remember)));
        }
    }

    pub(crate) fn on_memory(&mut self, from: NodeId, promised: Ballot, accepted: Slot, fx: &mut Effects) {
        let held = (self.acceptor.promised(), self.acceptor.highest().max(self.held_at_start));
        if self.trust == Trust::Never {
            return;
        }
        if (promised > held.0 || accepted > held.1) && self.is_checked(held) {
            self.trust = Trust::Never;
            self.give_up(fx);
            fx.events.push(Event::Forgetful { by: from, ballot: promised, slot: accepted });
        } else if let Trust::Asking { told } = &mut self.trust {
            told.insert(from);
        }
    }

    /// Enough have told, and none knew of more: from now on this node votes.
    pub(crate) fn settle_trust(&mut self) {
        let Trust::Asking { told } = &self.trust else { return };
        let (me, window) = (self.members.me(), self.window());
        let has_told = |node: NodeId| node == me || told.contains(&node);
        let epochs = self.members.within(window);
        let all = epochs.iter().all(|(_, membership)| membership.voters.iter().all(|voter| has_told(*voter)));
        let is_late = self.election.round > ROUNDS_FOR_LATECOMERS;
        if (all || is_late) && self.members.is_majority(window, has_told) {
            self.trust = Trust::Sure;
        }
    }

    fn is_checked(&self, held: (Ballot, Slot)) -> bool {
        // Who forgets its promises on purpose is to be found by what that breaks.
        if !self.rules.hold(Control::ForgetPromise) {
            return false;
        }
        let is_empty = held == (Ballot::ZERO, Slot::ZERO);
        self.rules.hold(if is_empty { Control::WipedDiskVotes } else { Control::OlderCopyVotes })
    }
}
