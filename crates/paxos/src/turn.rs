//! One turn of the wheel: what a node does on a tick, and after each call with whatever has become possible.

use crate::acceptor::Vote;
use crate::active_proposer::{ActiveProposer, Desk, Resend, Verdict};
use crate::clock::{self, Offset, Seen};
use crate::config::{Mode, Now};
use crate::controls::Control;
use crate::effects::{Effects, Event};
use crate::election::Sight;
use crate::ids::{Ballot, Batch, NodeId, Slot};
use crate::learner::Patience;
use crate::message::{ChosenMark, Message, Pulse};
use crate::paxos::Paxos;
use crate::peers::Link;
use crate::proposer::{Ground, Proposer};
use crate::reads::{Reads, View};
use crate::trust::Trust;

/// Heartbeat rounds after which an unanswered message counts as lost. Well above one slow sync, so that a slow disk does
/// not double the traffic.
const ROUNDS_UNTIL_RESENT: u64 = 5;

/// Heartbeat rounds after which a node that stands and gets nowhere gives up, and for which it then leaves it to others.
const ROUNDS_STANDING: u64 = 50;

impl Paxos {
    /// To be called every few milliseconds: time passes only through the calls.
    pub fn on_tick(&mut self, now: Now, fx: &mut Effects) {
        self.enter(now);
        if self.election.round == 0 {
            self.trust_votes_at_start(fx);
        }
        if self.election.round == 0 || self.election.began_us + self.config.heartbeat_us <= self.now.mono_us {
            self.begin_round(fx);
        }
        let limit_us = ROUNDS_STANDING * self.config.heartbeat_us;
        if self.proposer.standing_since_us().is_some_and(|since_us| since_us + limit_us < self.now.mono_us) {
            self.election.sits_out_until_us = self.now.mono_us + limit_us;
            self.give_up(fx);
        }
        self.compare_clocks(fx);
        let patience = self.patience();
        self.proposer.ask_again(self.now, patience.retry_us);
        self.resend_accepts(patience, fx);
        self.learner.on_tick(self.now, patience, &self.peers, self.acceptor.floor(), fx);
        self.reads.on_tick(self.now, 2 * patience.heartbeat_us, &self.members, fx);
        if let Some(through) = self.reads.undecided_tail(self.now, patience.heartbeat_us) {
            self.decide_tail(through, fx);
        }
        self.settle(fx);
    }

    /// Does whatever the last input made possible.
    pub(crate) fn settle(&mut self, fx: &mut Effects) {
        self.settle_trust();
        self.count_votes(fx);
        self.gather(fx);
        self.cross(fx);
        self.finish_found(fx);
        let (reads, view) = self.reads_and_view();
        reads.settle(view, fx);
        self.mark_chosen(fx);
        self.forget_epochs();
        self.review(fx);
    }

    pub(crate) fn on_prepare(&mut self, from: NodeId, ballot: Ballot, fx: &mut Effects) {
        // Its own promise was on disk before its prepare left.
        self.peers.remember(from, ballot, Slot::ZERO);
        if self.may_vote() {
            self.acceptor.on_prepare(false, from, ballot, fx);
        }
        self.observe(ballot, fx);
        // Who prepares the highest ballot had a majority a moment ago: reason enough to wait for its heartbeats.
        if self.election.lead == ballot {
            self.hear(from);
            if let Some(peer) = self.peers.get_mut(from) {
                peer.leader = ballot;
                peer.happy = true;
            }
        }
    }

    /// It spoke, if not of itself.
    pub(crate) fn hear(&mut self, from: NodeId) {
        let round = self.election.round;
        if let Some(peer) = self.peers.get_mut(from) {
            peer.spoke = round;
        }
    }

    pub(crate) fn on_pulse(&mut self, from: NodeId, pulse: &Pulse, fx: &mut Effects) {
        self.peers.on_pulse(self.now, self.election.round, from, pulse);
        self.observe(pulse.promised.max(pulse.leader), fx);
    }

    /// A ballot was seen. One that is higher than the own ends the own: it would only be refused from now on.
    pub(crate) fn observe(&mut self, ballot: Ballot, fx: &mut Effects) {
        if ballot > self.election.lead {
            self.election.lead = ballot;
            self.turns.begin_anew(self.now.mono_us);
        }
        if self.proposer.ballot().is_some_and(|own| own < self.election.lead) {
            self.step_down(self.election.lead, fx);
        }
    }

    pub(crate) fn on_fetch_batch(&mut self, from: NodeId, slot: Slot, ballot: Ballot, fx: &mut Effects) {
        let vote = self.acceptor.vote(slot).filter(|vote| vote.ballot == ballot);
        if let Some(batch) = vote.and_then(Vote::batch).cloned() {
            fx.send.push((from, Message::FetchedBatch { slot, ballot, batch }));
        }
    }

    /// The own copies are looked at again even without a new mark: an accept may have come after the mark that covers it.
    pub(crate) fn on_mark(&mut self, from: NodeId, mark: Option<ChosenMark>, fx: &mut Effects) {
        if let Some(mark) = mark {
            self.peers.heard_chosen(from, mark.through);
            self.learner.on_mark(mark);
        }
        let before = fx.chosen.len();
        self.learner.take_marked(self.now, &mut self.acceptor, fx);
        self.compare_with_proposed(before, fx);
        if self.learner.has_gap(&self.acceptor) {
            self.learner.ask(self.now, &self.peers, self.acceptor.floor(), fx);
        }
    }

    pub(crate) fn on_learned(&mut self, from: NodeId, first: Slot, batches: Vec<Batch>, fx: &mut Effects) {
        let before = fx.chosen.len();
        let mut slot = first;
        for batch in batches {
            if slot == self.acceptor.floor().next() {
                self.learner.take_learned(self.now, slot, batch, &mut self.acceptor, fx);
            }
            slot = slot.next();
        }
        if fx.chosen.len() == before {
            return;
        }
        self.learner.on_answer(from);
        self.learner.take_marked(self.now, &mut self.acceptor, fx);
        self.compare_with_proposed(before, fx);
        if self.peers.highest_chosen() > self.acceptor.floor() {
            self.learner.ask(self.now, &self.peers, self.acceptor.floor(), fx);
        }
    }

    pub(crate) fn pulse(&self) -> Pulse {
        Pulse {
            clock_ms: self.clock.steady_ms(),
            clock_jumped: self.clock.has_jumped(),
            promised: self.kept.promised,
            accepted: self.kept.accepted,
            leader: self.election.lead,
            happy: self.election.is_happy(self.sight()),
            chosen: self.acceptor.floor(),
            kept: self.kept.chosen,
            checkpoint: self.checkpoint,
        }
    }

    pub(crate) fn reads_and_view(&mut self) -> (&mut Reads, View<'_>) {
        let view = View {
            now: self.now,
            members: &self.members,
            acceptor: &self.acceptor,
            applied: self.learner.applied,
            alpha: self.config.alpha,
            votes: self.trust == Trust::Sure,
        };
        (&mut self.reads, view)
    }

    pub(crate) fn sight(&self) -> Sight<'_> {
        let leads = self.may_lead() && self.proposer.ballot() == Some(self.election.lead);
        Sight { members: &self.members, peers: &self.peers, window: self.window(), leads }
    }

    /// In leaderless mode a node proposes what it is asked, for want of others: its clock says what a majority allows.
    pub(crate) fn may_lead(&self) -> bool {
        !self.election.resigned && (!self.clock.is_off() || self.mode == Mode::Leaderless)
    }

    /// A node that has yet to apply more than it could propose, because it receives its state, would only be in the way.
    pub(crate) fn may_stand(&self) -> bool {
        let keeps_up = self.learner.applied.plus(self.config.alpha) >= self.acceptor.floor();
        self.may_lead() && self.may_vote() && self.is_voter() && keeps_up
    }

    pub(crate) fn compare_clocks(&mut self, fx: &mut Effects) {
        if self.election.has_quorum(self.sight()) {
            let seen = self.seen_clocks();
            self.clock.compare(&seen);
        }
        self.clock.judge(fx);
        if self.clock.is_off() && self.mode == Mode::Leader {
            self.announce(fx);
            self.give_up(fx);
        }
    }

    fn seen_clocks(&self) -> Seen {
        let (me, window) = (self.members.me(), self.window());
        // What a voter last said of its clock counts also while it does not answer: clocks go on by themselves, and a
        // judgement that came and went with every late answer would help nobody.
        let clock_of = |node: NodeId| {
            let own = (node == me).then_some(Offset { ahead_ms: 0, jumped: self.clock.has_jumped() });
            own.or_else(|| self.peers.get(node).and_then(|peer| peer.clock))
        };
        // Whoever has no vote cannot lead for them, however right its clock is.
        let is_voter = |node: &NodeId| self.members.within(window).iter().any(|(_, voters)| voters.is_voter(*node));
        let ahead_of = |node: NodeId| clock_of(node).map(|clock| clock.ahead_ms);
        let ahead_ms: Vec<i64> = self.members.others().filter(is_voter).filter_map(ahead_of).collect();
        let answering = self.peers.answering(self.election.round).map(|(node, _)| node);
        let answering_ms = answering.filter(is_voter).filter_map(ahead_of).collect();
        let has_come_to = |offset: i64| {
            self.members.is_majority(window, |node| clock_of(node).is_some_and(|clock| clock.ahead_ms >= offset))
        };
        let all = ahead_ms.iter().copied().chain([0]).collect();
        Seen {
            majority_ahead_ms: clock::highest_of_majority(all, has_come_to).unwrap_or(0),
            majority_has_not_jumped: self.members.is_majority(window, |node| {
                let is_near = |clock: Offset| clock.ahead_ms.unsigned_abs() <= self.config.clock_skew_max_ms;
                node != me && clock_of(node).is_some_and(|clock| !clock.jumped && is_near(clock))
            }),
            ahead_ms,
            answering_ms,
        }
    }

    /// Stands with a ballot that nobody has used.
    pub(crate) fn stand(&mut self, fx: &mut Effects) {
        let me = self.members.me();
        let mut ballot = self.election.new_ballot(me);
        if !self.rules.hold(Control::ReuseBallot) && self.election.lead.owner() == Some(me) {
            ballot = self.election.lead;
        }
        self.step_down(ballot, fx);
        self.election.lead = ballot;
        self.turns.on_stand();
        self.proposer.prepare(self.now, ballot, me, &mut self.acceptor, fx);
        self.ask_promises(fx);
    }

    /// Steps down, or stands no longer, without having been shown a higher ballot.
    pub(crate) fn give_up(&mut self, fx: &mut Effects) {
        if let Some(own) = self.proposer.ballot() {
            self.step_down(own, fx);
        }
    }

    pub(crate) fn finish_found(&mut self, fx: &mut Effects) {
        if let Some((active, mut desk)) = self.active_and_desk() {
            active.finish_found(&mut desk, fx);
        }
    }

    pub(crate) fn active_and_desk(&mut self) -> Option<(&mut ActiveProposer, Desk<'_>)> {
        let active = self.proposer.active_mut()?;
        let desk = Desk {
            members: &self.members,
            acceptor: &mut self.acceptor,
            applied: self.learner.applied,
            now_us: self.now.mono_us,
            rules: self.rules,
        };
        Some((active, desk))
    }

    fn step_down(&mut self, to: Ballot, fx: &mut Effects) {
        if self.is_proposer() {
            fx.events.push(Event::NoLongerProposer { to });
        }
        if self.proposer != Proposer::Idle {
            self.turns.on_lost(self.now.mono_us);
        }
        self.proposer = Proposer::Idle;
    }

    fn patience(&self) -> Patience {
        let heartbeat_us = self.config.heartbeat_us;
        Patience { heartbeat_us, retry_us: ROUNDS_UNTIL_RESENT * heartbeat_us }
    }

    /// Tells everybody how this node is and asks how they are; who missed what was chosen is told again.
    fn begin_round(&mut self, fx: &mut Effects) {
        self.election.begin_round(self.now.mono_us);
        let heartbeat = Message::Heartbeat { round: self.election.round, pulse: self.pulse() };
        fx.send.extend(self.members.others().map(|peer| (peer, heartbeat.clone())));
        self.ask_memories(fx);
        let chosen = self.acceptor.floor();
        if let Some(active) = self.proposer.active() {
            for (node, _) in self.peers.answering(self.election.round).filter(|(_, peer)| peer.chosen < chosen) {
                active.tell(node, chosen, fx);
            }
        }
    }

    fn resend_accepts(&mut self, patience: Patience, fx: &mut Effects) {
        let now_us = self.now.mono_us;
        let Some(before_us) = now_us.checked_sub(patience.retry_us) else { return };
        let reachable = |node: NodeId| self.peers.get(node).is_some_and(|peer| peer.link != Link::Closed);
        let chosen = self.acceptor.floor();
        if let Some(active) = self.proposer.active_mut() {
            active.resend(&self.members, reachable, Resend { before_us, now_us }, chosen, fx);
        }
    }

    fn decide_tail(&mut self, through: Slot, fx: &mut Effects) {
        if self.is_proposer() {
            self.nudge(through, fx);
        } else if let Some(leader) = self.leader() {
            fx.nudges.push((leader, through));
        }
    }

    fn count_votes(&mut self, fx: &mut Effects) {
        let Some(active) = self.proposer.active_mut() else { return };
        while let Some((slot, batch)) = active.take_chosen(self.acceptor.floor(), &self.members) {
            self.acceptor.raise_floor(slot);
            self.learner.note_progress(self.now);
            self.turns.on_success();
            fx.chosen.push((slot, batch));
        }
    }

    fn gather(&mut self, fx: &mut Effects) {
        if !self.rules.hold(Control::IgnoreFloors) {
            self.proposer.ignore_floors(&self.acceptor);
        }
        if let Some(ballot) = self.ask_promises(fx) {
            fx.events.push(Event::BecameProposer(ballot));
        } else if self.proposer.must_learn_through().is_some_and(|floor| floor > self.acceptor.floor()) {
            self.learner.ask(self.now, &self.peers, self.acceptor.floor(), fx);
        }
    }

    fn ask_promises(&mut self, fx: &mut Effects) -> Option<Ballot> {
        let ground = Ground {
            now: self.now,
            retry_us: self.patience().retry_us,
            alpha: self.config.alpha,
            window: self.window(),
            members: &self.members,
            acceptor: &self.acceptor,
            peers: &self.peers,
        };
        self.proposer.gather(ground, fx)
    }

    /// What became chosen otherwise than by the proposer's own count must be what it proposed, or its ballot is lost.
    fn compare_with_proposed(&mut self, before: usize, fx: &mut Effects) {
        self.proposer.note_progress(self.now);
        for index in before..fx.chosen.len() {
            let Some(active) = self.proposer.active_mut() else { return };
            let (slot, batch) = &fx.chosen[index];
            if active.on_learned(*slot, batch) == Verdict::Lost {
                self.step_down(self.election.lead, fx);
            }
        }
    }

    /// Looks around: who leads, is there a majority, is it time to stand.
    fn review(&mut self, fx: &mut Effects) {
        let happy = self.election.is_happy(self.sight());
        let turned = self.election.note_mood(happy);
        if turned && self.election.round > 0 {
            self.begin_round(fx);
        }
        let sits_out = self.now.mono_us < self.election.sits_out_until_us;
        if !sits_out && self.may_stand() && self.wants_to_propose() {
            self.stand(fx);
        }
        let quorum = self.election.has_quorum(self.sight());
        if quorum != self.told_quorum {
            self.told_quorum = quorum;
            fx.events.push(Event::Quorum(quorum));
        }
        let leader = self.leader();
        if leader != self.told_leader {
            self.told_leader = leader;
            fx.events.push(Event::Leader(leader));
        }
    }

    /// What the policy says.
    fn wants_to_propose(&mut self) -> bool {
        match self.mode {
            Mode::Leader => self.election.should_stand(self.sight()),
            Mode::Leaderless if self.proposer != Proposer::Idle => false,
            Mode::Leaderless => {
                // What nobody decides must be decided too, if somebody reads it.
                let since_us = [self.turns.since_us(), self.reads.tail_since_us()].into_iter().flatten().min();
                let is_due = self.turns.is_due(self.now.mono_us, since_us, self.has_no_proposer());
                is_due && self.election.has_quorum(self.sight())
            }
        }
    }

    /// There is no proposer, as far as can be seen: the last one is not heard, or says itself that it has no majority.
    fn has_no_proposer(&self) -> bool {
        let lead = self.election.lead;
        let gave_up = |owner| self.peers.get(owner).is_some_and(|peer| peer.leader == lead && !peer.happy);
        self.leader().is_none_or(gave_up)
    }

    fn trust_votes_at_start(&mut self, fx: &mut Effects) {
        if self.rules.hold(Control::ApplyUnchosenAtStart) {
            return;
        }
        while let Some(batch) = self.acceptor.vote(self.acceptor.floor().next()).and_then(Vote::batch).cloned() {
            let slot = self.acceptor.floor().next();
            self.acceptor.raise_floor(slot);
            fx.chosen.push((slot, batch));
        }
    }
}
