//! The active proposer: a node that a majority has promised its ballot to. It finishes what its predecessors left, then
//! sends its own batches, pipelined, until it is shown a higher ballot.
//!
//! Invariants: nothing is ever proposed at or below `base`, the highest floor reported with the promises; each slot is
//! proposed once under this ballot, sent to the voters of its epoch, and only their votes count; `next` is at most alpha
//! slots above what this node has applied, so its epoch is known, and that epoch is one for which a majority's promises
//! were collected. Because each proposal
//! goes to the own acceptor first, a slot counted as chosen here is the own acceptor's copy under this ballot.

use crate::acceptor::Acceptor;
use crate::controls::{Control, Rules};
use crate::effects::Effects;
use crate::ids::{Ballot, Batch, NodeId, Slot};
use crate::members::Members;
use crate::message::{ChosenMark, Message};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ActiveProposer {
    pub(crate) ballot: Ballot,
    pub(crate) base: Slot,
    pub(crate) next: Slot,
    /// What predecessors left and is still to be proposed; a slot through `found_through` that is not in here is a gap.
    found: BTreeMap<Slot, Batch>,
    found_through: Slot,
    in_flight: BTreeMap<Slot, InFlight>,
    /// The last mark that was sent to all.
    told: Slot,
    /// The last epoch for which promises were collected.
    epoch: Slot,
    alpha: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct InFlight {
    batch: Batch,
    votes: BTreeSet<NodeId>,
    sent_us: u64,
}

/// What a batch that was learned to be chosen says about the proposer that learned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is what this proposer proposed there, or would have.
    Kept,
    /// It can only have been chosen under a higher ballot.
    Lost,
}

/// Everything outside of the active proposer that it needs to propose.
pub(crate) struct Desk<'a> {
    pub(crate) members: &'a Members,
    pub(crate) acceptor: &'a mut Acceptor,
    pub(crate) applied: Slot,
    pub(crate) now_us: u64,
    pub(crate) rules: Rules,
}

/// What was last sent before then is sent again now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resend {
    pub(crate) before_us: u64,
    pub(crate) now_us: u64,
}

impl ActiveProposer {
    pub(crate) fn new(
        ballot: Ballot,
        base: Slot,
        epoch: Slot,
        found: BTreeMap<Slot, Batch>,
        alpha: u64,
    ) -> ActiveProposer {
        let found_through = found.last_key_value().map_or(base, |(slot, _)| *slot);
        let in_flight = BTreeMap::new();
        ActiveProposer { ballot, base, next: base.next(), found, found_through, in_flight, told: base, epoch, alpha }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(crate) fn in_flight_slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.in_flight.keys().copied()
    }

    pub(crate) fn has_finished_found(&self) -> bool {
        self.next > self.found_through
    }

    /// Whether the next slot may be proposed: its epoch is known, and promises were collected for it.
    pub(crate) fn may_propose(&self, applied: Slot, members: &Members, rules: Rules) -> bool {
        self.knows_next(applied, rules) && members.epoch_of(self.next) <= self.epoch
    }

    /// Whether the next slot lies in an epoch that begins after all that promises were collected for. All before it is chosen
    /// then, so that nothing is under way when the holder prepares again.
    pub(crate) fn must_cross(&self, applied: Slot, members: &Members, rules: Rules) -> bool {
        self.in_flight.is_empty() && self.knows_next(applied, rules) && members.epoch_of(self.next) > self.epoch
    }

    fn knows_next(&self, applied: Slot, rules: Rules) -> bool {
        let windows = if rules.hold(Control::ProposePastAlpha) { 1 } else { 2 };
        self.next <= applied.plus(self.alpha.saturating_mul(windows))
    }

    /// Proposes what was found, and no-ops in its gaps, as far as the window allows.
    pub(crate) fn finish_found(&mut self, desk: &mut Desk<'_>, fx: &mut Effects) {
        while !self.has_finished_found() && self.may_propose(desk.applied, desk.members, desk.rules) {
            let batch = self.found.remove(&self.next).unwrap_or_default();
            self.propose(batch, desk, fx);
        }
    }

    /// Sends the accept to all at once; the own vote goes through the own acceptor and counts when it is on disk.
    pub(crate) fn propose(&mut self, batch: Batch, desk: &mut Desk<'_>, fx: &mut Effects) -> Slot {
        let slot = self.next;
        let may = self.may_propose(desk.applied, desk.members, desk.rules);
        assert!(may, "{slot} is not this proposer's to propose: applied {}, taken for {}", desk.applied, self.epoch);
        assert!(slot > self.base, "{slot} lies below the base {}", self.base);
        self.next = slot.next();
        let chosen = self.mark(desk.acceptor.floor());
        let me = desk.members.me();
        let voters = desk.members.of(slot);
        for peer in voters.voters.iter().copied().filter(|peer| *peer != me) {
            let accept = Message::Accept { ballot: self.ballot, slot, batch: batch.clone(), chosen };
            fx.send.push((peer, accept));
        }
        self.told = self.told.max(desk.acceptor.floor());
        desk.acceptor.on_accept(me, self.ballot, slot, batch.clone(), fx);
        let mut votes = BTreeSet::new();
        if !desk.rules.hold(Control::CountOwnVoteEarly) && voters.is_voter(me) {
            votes.insert(me);
        }
        self.in_flight.insert(slot, InFlight { batch, votes, sent_us: desk.now_us });
        slot
    }

    /// Only the votes of the slot's own voters count.
    pub(crate) fn on_accepted(&mut self, from: NodeId, slot: Slot, members: &Members) {
        if let Some(proposal) = self.in_flight.get_mut(&slot)
            && members.of(slot).is_voter(from)
        {
            proposal.votes.insert(from);
        }
    }

    /// The next slot above `floor`, if a majority has accepted it: it is in flight no more.
    pub(crate) fn take_chosen(&mut self, floor: Slot, members: &Members) -> Option<(Slot, Batch)> {
        let first = self.in_flight.first_entry()?;
        assert_eq!(*first.key(), floor.next(), "what is in flight begins right above the floor");
        if first.get().votes.len() < members.of(*first.key()).majority() {
            return None;
        }
        let (slot, proposal) = first.remove_entry();
        Some((slot, proposal.batch))
    }

    /// Another node said what is chosen in `slot`, the next above the floor. As long as it agrees with what this ballot
    /// carries there, the marks of this ballot stay true.
    pub(crate) fn on_learned(&mut self, slot: Slot, batch: &Batch) -> Verdict {
        let own = if slot < self.next {
            self.in_flight.remove(&slot).map(|proposal| proposal.batch)
        } else if slot <= self.found_through {
            self.next = slot.next();
            Some(self.found.remove(&slot).unwrap_or_default())
        } else {
            None
        };
        if own.as_ref() == Some(batch) { Verdict::Kept } else { Verdict::Lost }
    }

    /// Tells everybody what was chosen since they were last told.
    pub(crate) fn announce(&mut self, members: &Members, chosen: Slot, fx: &mut Effects) {
        if chosen <= self.told {
            return;
        }
        self.told = chosen;
        if let Some(mark) = self.mark(chosen) {
            fx.send.extend(members.others().map(|peer| (peer, Message::Chosen(mark))));
        }
    }

    /// Tells one node again, because a mark may have been lost.
    pub(crate) fn tell(&self, peer: NodeId, chosen: Slot, fx: &mut Effects) {
        if let Some(mark) = self.mark(chosen) {
            fx.send.push((peer, Message::Chosen(mark)));
        }
    }

    /// Sends again, to the voters that have not voted and can be reached, what was last sent too long ago.
    pub(crate) fn resend(
        &mut self,
        members: &Members,
        reachable: impl Fn(NodeId) -> bool,
        sent: Resend,
        chosen: Slot,
        fx: &mut Effects,
    ) {
        let mark = self.mark(chosen);
        for (slot, proposal) in &mut self.in_flight {
            if proposal.sent_us >= sent.before_us {
                continue;
            }
            proposal.sent_us = sent.now_us;
            let silent = |peer: &NodeId| *peer != members.me() && !proposal.votes.contains(peer) && reachable(*peer);
            for peer in members.of(*slot).voters.iter().copied().filter(silent) {
                let batch = proposal.batch.clone();
                fx.send.push((peer, Message::Accept { ballot: self.ballot, slot: *slot, batch, chosen: mark }));
            }
        }
    }

    /// A peer's connection is new: whatever it has not voted for may have been lost with the old one.
    pub(crate) fn resend_to(&self, peer: NodeId, members: &Members, chosen: Slot, fx: &mut Effects) {
        let mark = self.mark(chosen);
        let owed = |slot: Slot, votes: &BTreeSet<NodeId>| members.of(slot).is_voter(peer) && !votes.contains(&peer);
        for (slot, proposal) in self.in_flight.iter().filter(|(slot, proposal)| owed(**slot, &proposal.votes)) {
            let batch = proposal.batch.clone();
            fx.send.push((peer, Message::Accept { ballot: self.ballot, slot: *slot, batch, chosen: mark }));
        }
    }

    /// Of each slot in flight, only its own voters are counted.
    pub(crate) fn check_epochs(&self, members: &Members) {
        for (slot, proposal) in &self.in_flight {
            let voters = members.of(*slot);
            assert!(proposal.votes.iter().all(|node| voters.is_voter(*node)), "{slot} counts votes of others");
        }
    }

    /// True also at or below `base`: nobody has a copy of those slots under this ballot.
    fn mark(&self, chosen: Slot) -> Option<ChosenMark> {
        (chosen > Slot::ZERO).then_some(ChosenMark { through: chosen, ballot: self.ballot })
    }
}
