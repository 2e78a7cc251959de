//! The learner: how a node that does not count votes comes to know what is chosen.
//!
//! "Chosen" is named by ballot: the own copy of a slot is taken only if it was accepted under that very ballot, because a
//! copy under another one may be stale. What cannot be taken so is learned: the node asks somebody who says that it has
//! it, in bounded chunks, one question at a time, again and again until it has caught up. A learned batch is written over
//! the accepted one before it is handed out.
//!
//! Invariants: what is chosen here is contiguous (it is the acceptor's floor) and applied ≤ chosen.

use crate::acceptor::{Acceptor, Vote};
use crate::config::Now;
use crate::effects::{Effects, Record};
use crate::ids::{Batch, NodeId, Slot};
use crate::message::{ChosenMark, Message};
use crate::peers::{Link, Peers};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Learner {
    pub(crate) applied: Slot,
    /// The last word of a holder, kept for accepts that arrive after it.
    mark: Option<ChosenMark>,
    asked: Option<Asked>,
    /// Whom the last question went to, so that the next goes to another if that one did not answer.
    last_asked: Option<NodeId>,
    /// When the floor last rose.
    progress_us: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    peer: NodeId,
    at_us: u64,
}

impl Learner {
    pub(crate) fn new(now: Now) -> Learner {
        Learner { applied: Slot::ZERO, mark: None, asked: None, last_asked: None, progress_us: now.mono_us }
    }

    pub(crate) fn on_mark(&mut self, mark: ChosenMark) {
        // Of two holders the later one has finished what the earlier one began; of one holder the later word says more.
        let supersedes = |known: ChosenMark| (mark.ballot, mark.through) > (known.ballot, known.through);
        if self.mark.is_none_or(supersedes) {
            self.mark = Some(mark);
        }
    }

    /// Takes own copies as far as the last mark covers them.
    pub(crate) fn take_marked(&mut self, now: Now, acceptor: &mut Acceptor, fx: &mut Effects) {
        let Some(mark) = self.mark else { return };
        loop {
            let slot = acceptor.floor().next();
            let vote = acceptor.vote(slot).filter(|vote| slot <= mark.through && vote.ballot == mark.ballot);
            // A vote that lost its batch says nothing here: the batch is learned.
            let Some(batch) = vote.and_then(Vote::batch).cloned() else { return };
            acceptor.raise_floor(slot);
            self.note_progress(now);
            fx.chosen.push((slot, batch));
        }
    }

    /// One learned batch, for the slot above the floor.
    pub(crate) fn take_learned(
        &mut self,
        now: Now,
        slot: Slot,
        batch: Batch,
        acceptor: &mut Acceptor,
        fx: &mut Effects,
    ) {
        let own = acceptor.raise_floor(slot);
        if own.as_ref().and_then(Vote::batch) != Some(&batch) {
            fx.persist.push(Record::Learned { slot, batch: batch.clone() });
        }
        self.note_progress(now);
        fx.chosen.push((slot, batch));
    }

    pub(crate) fn note_progress(&mut self, now: Now) {
        self.progress_us = now.mono_us;
    }

    /// Whether the last mark speaks of slots that the own copies do not give.
    pub(crate) fn has_gap(&self, acceptor: &Acceptor) -> bool {
        self.mark.is_some_and(|mark| mark.through > acceptor.floor())
    }

    pub(crate) fn on_answer(&mut self, from: NodeId) {
        if self.asked.as_ref().is_some_and(|asked| asked.peer == from) {
            self.asked = None;
            self.last_asked = None;
        }
    }

    pub(crate) fn on_disconnected(&mut self, peer: NodeId) {
        if self.asked.as_ref().is_some_and(|asked| asked.peer == peer) {
            self.asked = None;
        }
    }

    /// Whether a question to that peer is open.
    pub(crate) fn has_asked(&self, peer: NodeId) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.peer == peer)
    }

    /// Asks somebody who has more, unless a question is under way.
    pub(crate) fn ask(&mut self, now: Now, peers: &Peers, chosen: Slot, fx: &mut Effects) {
        if self.asked.is_some() {
            return;
        }
        let has_more =
            |node: &NodeId| peers.get(*node).is_some_and(|peer| peer.chosen > chosen && peer.link != Link::Closed);
        let mut able: Vec<NodeId> = peers.iter().map(|(node, _)| node).filter(has_more).collect();
        // The one that knows most first, but never twice in a row one that did not answer while there is another.
        able.sort_by_key(|node| {
            let known = peers.get(*node).map(|peer| peer.chosen);
            (self.last_asked == Some(*node), std::cmp::Reverse(known))
        });
        let Some(peer) = able.first().copied() else { return };
        self.asked = Some(Asked { peer, at_us: now.mono_us });
        self.last_asked = Some(peer);
        fx.send.push((peer, Message::Learn { from: chosen.next() }));
    }

    /// Forgets a question that got no answer, and asks when others have known more for a while and nothing happens here.
    pub(crate) fn on_tick(&mut self, now: Now, patience: Patience, peers: &Peers, chosen: Slot, fx: &mut Effects) {
        if self.asked.as_ref().is_some_and(|asked| asked.at_us + patience.retry_us <= now.mono_us) {
            self.asked = None;
        }
        let stuck = self.progress_us + patience.heartbeat_us <= now.mono_us;
        if stuck && peers.highest_chosen() > chosen {
            self.ask(now, peers, chosen, fx);
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) heartbeat_us: u64,
    pub(crate) retry_us: u64,
}
