//! One node's part in the log: the calls that the shell makes, and which sub-state each message goes to.
//!
//! Every call that brings something new ends in `settle`, which does whatever has become possible.

use crate::acceptor::Acceptor;
use crate::active_proposer::ActiveProposer;
use crate::clock::{self, Clock, Offset};
use crate::config::{Config, Mode, Now, Recovered};
use crate::controls::{Control, Rules};
use crate::effects::Effects;
use crate::election::Election;
use crate::ids::{Ballot, Batch, NodeId, Slot};
use crate::learner::Learner;
use crate::members::Members;
use crate::message::{ChosenMark, Message, Pulse};
use crate::peers::{Link, Peer, Peers};
use crate::proposer::Proposer;
use crate::reads::Reads;
use crate::status::{PeerStatus, Role, Status};
use crate::trust::{Kept, Trust};
use crate::turns::Turns;
use std::collections::BTreeSet;

/// Why a batch was not proposed; it comes back, and nobody has heard of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProposed {
    #[error("this node is not the proposer")]
    NotProposer(Batch),
    #[error("the pipeline is full")]
    WindowFull(Batch),
}

impl NotProposed {
    pub fn into_batch(self) -> Batch {
        match self {
            NotProposed::NotProposer(batch) | NotProposed::WindowFull(batch) => batch,
        }
    }
}

/// A node of one group: acceptor, proposer and learner of its log. A value: equal states do equal things.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Paxos {
    pub(crate) config: Config,
    pub(crate) rules: Rules,
    pub(crate) members: Members,
    pub(crate) now: Now,
    pub(crate) acceptor: Acceptor,
    pub(crate) proposer: Proposer,
    pub(crate) learner: Learner,
    pub(crate) peers: Peers,
    pub(crate) election: Election,
    pub(crate) mode: Mode,
    pub(crate) turns: Turns,
    pub(crate) clock: Clock,
    pub(crate) reads: Reads,
    pub(crate) trust: Trust,
    pub(crate) kept: Kept,
    /// The highest slot that the log knew anything of when this node started.
    pub(crate) held_at_start: Slot,
    /// Whether this node was ever seen in an epoch.
    pub(crate) was_member: bool,
    pub(crate) checkpoint: Slot,
    /// The last chosen slot for which a `Record::Chosen` went out.
    pub(crate) marked: Slot,
    /// What the events last said.
    pub(crate) told_leader: Option<NodeId>,
    pub(crate) told_quorum: bool,
}

impl Paxos {
    /// A node as its log left it. Only what is durably marked chosen counts as chosen; the rest waits to be learned.
    /// Nothing counts as applied yet: call `on_applied` once what was replayed at start is applied, or the pipeline stays
    /// shut beyond the first `alpha` slots.
    ///
    /// # Panics
    /// If `alpha` is 0.
    pub fn new(config: Config, recovered: Recovered, now: Now) -> Paxos {
        assert!(config.alpha > 0, "alpha is at least 1: with 0 nothing could ever be proposed");
        let rules = Rules::of(&config);
        let members = Members::new(config.me, config.epochs.clone(), rules);
        let marked = recovered.chosen;
        let held_at_start = recovered.held;
        let trust = if recovered.votes { Trust::Asking { told: BTreeSet::new() } } else { Trust::Never };
        let acceptor = Acceptor::new(recovered, config.alpha, rules);
        let mut peers = Peers::new(&members);
        // Whoever stood with a ballot that is known here has promised it.
        for ballot in acceptor.votes().values().map(|vote| vote.ballot).chain([acceptor.promised()]) {
            if let Some(owner) = ballot.owner() {
                peers.remember(owner, ballot, Slot::ZERO);
            }
        }
        let mut paxos = Paxos {
            rules,
            now,
            proposer: Proposer::Idle,
            learner: Learner::new(now),
            peers,
            mode: config.mode,
            turns: Turns::new(config.seed, config.me),
            trust,
            kept: Kept { promised: acceptor.promised(), accepted: acceptor.highest(), chosen: acceptor.floor() },
            held_at_start,
            // A newcomer starts with the group that let it in, so who is in none of its epochs was removed.
            was_member: members.epochs().iter().any(|(_, membership)| !membership.voters.is_empty()),
            election: Election::new(acceptor.promised()),
            clock: Clock::new(config.clock_skew_max_ms, config.jump_trusted_us, now),
            reads: Reads::new(now),
            checkpoint: Slot::ZERO,
            marked,
            told_leader: None,
            told_quorum: false,
            config,
            members,
            acceptor,
        };
        paxos.settle_trust();
        paxos
    }

    /// A message from a peer, or a released vow of this node's own. What makes no sense is ignored.
    pub fn on_message(&mut self, now: Now, from: NodeId, message: Message, fx: &mut Effects) {
        self.enter(now);
        if !self.is_credible(from, &message) {
            return;
        }
        if from != self.members.me() && !self.members.knows(from) {
            return self.on_stranger(from, &message, fx);
        }
        match message {
            Message::Prepare { ballot } => self.on_prepare(from, ballot, fx),
            Message::Promise { ballot, floor, accepted } => {
                self.peers.heard_chosen(from, floor);
                self.peers.remember(from, ballot, accepted.last().map_or(floor, |last| last.slot));
                self.proposer.on_promise(self.now, from, (ballot, floor, accepted));
            }
            Message::Refused { ballot: _, promised } => self.observe(promised, fx),
            Message::FetchBatch { slot, ballot } => self.on_fetch_batch(from, slot, ballot, fx),
            Message::FetchedBatch { slot, ballot, batch } => self.proposer.on_fetched(self.now, slot, ballot, batch),
            Message::Accept { ballot, slot, batch, chosen } => {
                self.observe(ballot, fx);
                self.hear(from);
                if self.may_vote() {
                    self.acceptor.on_accept(from, ballot, slot, batch, fx);
                }
                self.on_mark(from, chosen, fx);
            }
            Message::Accepted { ballot, slot } => {
                self.peers.remember(from, ballot, slot);
                if let Some(active) = self.proposer.active_mut()
                    && active.ballot == ballot
                {
                    active.on_accepted(from, slot, &self.members);
                }
            }
            Message::Chosen(mark) => self.on_mark(from, Some(mark), fx),
            Message::Learn { from: first } => self.serve(from, first, fx),
            Message::Learned { from: first, batches } => self.on_learned(from, first, batches, fx),
            Message::Heartbeat { round, pulse } => {
                self.on_pulse(from, &pulse, fx);
                fx.send.push((from, Message::HeartbeatReply { round, pulse: self.pulse() }));
            }
            Message::HeartbeatReply { round, pulse } => {
                self.on_pulse(from, &pulse, fx);
                self.on_answer(from, round, &pulse, fx);
            }
            Message::ReadQuery { read } => {
                if self.may_vote() {
                    fx.send.push((from, Message::ReadReply { read, accepted: self.acceptor.highest() }));
                }
            }
            Message::ReadReply { read, accepted } => self.reads.on_reply(self.now, from, read, accepted),
            Message::Remember => self.tell_memory(from, fx),
            Message::Memory { promised, accepted } => self.on_memory(from, promised, accepted, fx),
            Message::NotMember { floor, version } => self.on_not_member(from, floor, version, fx),
            Message::Behind { from: slot, first } => self.on_behind(from, slot, first, fx),
        }
        self.settle(fx);
    }

    /// A connection to the peer stands: what may have been lost with the old one is sent again.
    pub fn on_connected(&mut self, now: Now, peer: NodeId, fx: &mut Effects) {
        self.enter(now);
        let Some(known) = self.peers.get_mut(peer) else { return };
        known.link = Link::Open;
        self.tell_memory(peer, fx);
        if matches!(self.trust, Trust::Asking { .. }) {
            fx.send.push((peer, Message::Remember));
        }
        if self.election.round > 0 {
            fx.send.push((peer, Message::Heartbeat { round: self.election.round, pulse: self.pulse() }));
        }
        self.proposer.resend_to(peer, &self.members, self.acceptor.floor(), fx);
        self.settle(fx);
    }

    /// A closed connection is a missed heartbeat; if it was the leader's, the reaction is immediate.
    pub fn on_disconnected(&mut self, now: Now, peer: NodeId, fx: &mut Effects) {
        self.enter(now);
        let Some(known) = self.peers.get_mut(peer) else { return };
        known.close();
        self.learner.on_disconnected(peer);
        self.settle(fx);
    }

    /// Puts the batch into the next slot and sends it to all at once. Until it comes back as chosen its fate is open, also
    /// if this node stops being the proposer.
    pub fn propose(&mut self, batch: Batch, fx: &mut Effects) -> Result<Slot, NotProposed> {
        self.finish_found(fx);
        if !self.is_proposer() {
            return Err(NotProposed::NotProposer(batch));
        }
        if !self.can_propose() {
            return Err(NotProposed::WindowFull(batch));
        }
        let (active, mut desk) = self.active_and_desk().expect("is_proposer was asked above");
        Ok(active.propose(batch, &mut desk, fx))
    }

    /// It is the proposer, has finished what others left, and the pipeline is not full.
    pub fn can_propose(&self) -> bool {
        let may_propose = |active: &ActiveProposer| active.may_propose(self.learner.applied, &self.members, self.rules);
        self.proposer.active().is_some_and(|active| active.has_finished_found() && may_propose(active))
    }

    /// Slots proposed and not yet chosen.
    pub fn in_flight(&self) -> usize {
        self.proposer.active().map_or(0, ActiveProposer::in_flight)
    }

    pub fn is_proposer(&self) -> bool {
        self.proposer.active().is_some()
    }

    /// Whom to pass requests to; `None` while nobody is known to lead. In leaderless mode that is the last proposer,
    /// while it is heard.
    pub fn leader(&self) -> Option<NodeId> {
        match self.mode {
            Mode::Leader => self.election.leader(self.sight(), self.is_proposer()),
            Mode::Leaderless => {
                let is_able = |owner: &NodeId| *owner != self.members.me() || self.is_proposer();
                self.election.hears_owner(self.sight()).filter(is_able)
            }
        }
    }

    /// Whom to pass requests to now, so that they reach the leader: the leader itself, or, where this node and the leader
    /// do not hear each other, somebody whom both hear. `None` if this node leads, or while nobody is known to.
    pub fn next_hop(&self) -> Option<NodeId> {
        let (round, lead) = (self.election.round, self.election.lead);
        let leader = self.leader().filter(|leader| *leader != self.members.me())?;
        let is_near = self.peers.get(leader).is_some_and(|peer| peer.answers(round));
        if is_near || self.mode == Mode::Leaderless {
            return Some(leader);
        }
        let follows = |peer: &Peer| peer.is_heard(round) && peer.happy && peer.leader == lead;
        let mut hubs = self.peers.answering(round).filter(|(_, peer)| follows(peer)).map(|(node, _)| node);
        Some(hubs.next().unwrap_or(leader))
    }

    /// The proposer, or the node that is about to be it, as far as this node knows from it.
    pub fn known_proposer(&self) -> Option<NodeId> {
        let lead = self.election.lead;
        let says_so = |owner: &NodeId| self.peers.get(*owner).is_some_and(|peer| peer.leader == lead && peer.happy);
        let heard = self.election.hears_owner(self.sight()).filter(says_so);
        if self.is_proposer() { Some(self.members.me()) } else { heard }
    }

    /// The policy changes: a command of the log says so. Safe at any time, also while other nodes follow the old one.
    pub fn set_mode(&mut self, now: Now, mode: Mode, fx: &mut Effects) {
        self.enter(now);
        if mode != self.mode {
            self.mode = mode;
            self.turns.begin_anew(self.now.mono_us);
        }
        self.settle(fx);
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Since when this node's oldest request waits, in monotonic time: since it came, or since it was last seen in an
    /// accept of the proposer. Only leaderless mode looks at it, at the next call.
    pub fn waits(&mut self, since_us: Option<u64>) {
        self.turns.waits(since_us);
    }

    /// So long a request of this node took from at hand to chosen.
    pub fn took(&mut self, took_us: u64) {
        self.turns.took(took_us);
    }

    /// When `on_tick` is due at the latest, if something waits: a turn of leaderless mode may come between two ticks.
    pub fn turn_due_at_us(&self) -> Option<u64> {
        self.turns.due_at_us().filter(|_| self.mode == Mode::Leaderless && self.proposer == Proposer::Idle)
    }

    /// Tells all what was chosen since they were last told: for when there is nothing to propose that it could ride on.
    pub fn announce(&mut self, fx: &mut Effects) {
        let chosen = self.acceptor.floor();
        if let Some(active) = self.proposer.active_mut() {
            active.announce(&self.members, chosen, fx);
        }
    }

    /// The state machine has applied everything through this slot.
    pub fn on_applied(&mut self, slot: Slot) {
        assert!(slot <= self.acceptor.floor(), "{slot} was applied and is not chosen");
        self.learner.applied = self.learner.applied.max(slot);
    }

    /// Everything through this slot is in this node's durable checkpoint; the others hear of it with the heartbeats.
    pub fn set_checkpoint(&mut self, slot: Slot) {
        self.checkpoint = self.checkpoint.max(slot);
        self.kept.chosen = self.kept.chosen.max(slot);
        self.kept.accepted = self.kept.accepted.max(slot);
    }

    /// Everything through this slot is chosen, as far as this node knows.
    pub fn floor(&self) -> Slot {
        self.acceptor.floor()
    }

    /// The last slot of this node's durable checkpoint.
    pub fn checkpoint(&self) -> Slot {
        self.checkpoint
    }

    /// The lowest of all members' checkpoints: nobody needs a slot at or below it from anybody's log. `Slot::ZERO` while
    /// one of them has not been heard.
    pub fn trim_point(&self) -> Slot {
        let peers = self.peers.iter().map(|(_, peer)| peer.checkpoint.unwrap_or_default());
        peers.min().unwrap_or(self.checkpoint).min(self.checkpoint)
    }

    /// The member whose checkpoint keeps this node from trimming up to its own.
    pub fn held_back_by(&self) -> Option<NodeId> {
        let trim_point = self.trim_point();
        let at_fault = |(node, checkpoint): (NodeId, Slot)| (checkpoint == trim_point).then_some(node);
        let mut peers = self.peers.iter().map(|(node, peer)| (node, peer.checkpoint.unwrap_or_default()));
        if trim_point < self.checkpoint { peers.find_map(at_fault) } else { None }
    }

    /// Begins a linearizable read; `read` comes back in `Effects::reads`.
    pub fn read(&mut self, now: Now, read: u64, fx: &mut Effects) {
        self.enter(now);
        let (reads, view) = self.reads_and_view();
        reads.read(read, view, fx);
        self.settle(fx);
    }

    /// Proposes no-ops through the slot, as far as the pipeline allows, if this node is the proposer: somebody's read waits
    /// for a slot that nobody decides.
    pub fn nudge(&mut self, through: Slot, fx: &mut Effects) {
        self.finish_found(fx);
        while self.can_propose() {
            let Some((active, mut desk)) = self.active_and_desk() else { return };
            if active.next > through {
                return;
            }
            active.propose(Batch::noop(), &mut desk, fx);
        }
    }

    /// An operator asked for an election: this node stands now, whoever leads, if a majority answers it. Safe at any time.
    pub fn elect(&mut self, now: Now, fx: &mut Effects) {
        self.enter(now);
        if self.may_stand() && self.election.has_quorum(self.sight()) {
            self.stand(fx);
        }
        self.settle(fx);
    }

    /// Orderly shutdown: steps down as proposer, stands no more and says so at once. It still votes.
    pub fn resign(&mut self, now: Now, fx: &mut Effects) {
        self.enter(now);
        self.announce(fx);
        self.election.resigned = true;
        self.give_up(fx);
        self.settle(fx);
    }

    pub fn status(&self) -> Status {
        let role = match self.proposer {
            Proposer::Idle => Role::Follower,
            Proposer::Standing(_) => Role::Standing,
            Proposer::Active(_) => Role::Leader,
        };
        let membership = self.members.of(self.acceptor.floor().next());
        let peers = self.peers.iter().map(|(node, peer)| PeerStatus {
            node,
            voter: membership.is_voter(node),
            connected: peer.link == Link::Open || (peer.link == Link::Untold && peer.answers(self.election.round)),
            answers: peer.answers(self.election.round),
            promised: peer.promised,
            chosen: peer.chosen,
            checkpoint: peer.checkpoint.unwrap_or_default(),
            heard_us_ago: peer.heard_us.map(|heard_us| self.now.mono_us.saturating_sub(heard_us)),
        });
        Status {
            role,
            leader: self.leader(),
            ballot: self.election.lead,
            promised: self.acceptor.promised(),
            accepted: self.acceptor.highest(),
            chosen: self.acceptor.floor(),
            applied: self.learner.applied,
            checkpoint: self.checkpoint,
            peers: peers.collect(),
            clock_skew_ms: self.clock.skew_ms(),
            clock_off: self.clock.is_off(),
            clock_jumped: self.clock.has_jumped(),
            group_clock_ms: self.clock.group_ms(),
            quorum: self.election.has_quorum(self.sight()),
            mode: self.mode,
            proposer: self.known_proposer(),
            votes: self.may_vote(),
            may_leave: self.may_leave(),
            membership: membership.clone(),
            next_membership: Some(self.members.newest()).filter(|(_, newest)| newest != membership).cloned(),
        }
    }

    pub(crate) fn enter(&mut self, now: Now) {
        self.now = Now { mono_us: now.mono_us.max(self.now.mono_us), wall_ms: now.wall_ms };
        if let Some(by_ms) = self.clock.follow(self.now) {
            self.peers.own_clock_was_set(by_ms);
        }
    }

    /// Whether this sender could have said this, in its own name and with ballots that somebody can make, perhaps one that
    /// is no member any more. Another node's words are a failure of theirs, never a bug of ours.
    fn is_credible(&self, from: NodeId, message: &Message) -> bool {
        let known = |ballot: &Ballot| *ballot == Ballot::ZERO || ballot.is_possible();
        let by = |node: NodeId, ballot: &Ballot| ballot.is_possible() && ballot.node == node.get();
        let me = self.members.me();
        if from == me && !matches!(message, Message::Promise { .. } | Message::Accepted { .. }) {
            return false;
        }
        match message {
            Message::Prepare { ballot } => by(from, ballot),
            Message::Promise { ballot, floor, accepted } => {
                let last = floor.plus(self.acceptor.bound());
                by(me, ballot)
                    && accepted.iter().all(|report| {
                        report.slot > *floor && report.slot <= last && known(&report.ballot) && report.ballot <= *ballot
                    })
            }
            Message::Refused { ballot, promised } => by(me, ballot) && known(promised),
            Message::Accept { ballot, slot, batch: _, chosen } => {
                by(from, ballot) && *slot > Slot::ZERO && chosen.is_none_or(|mark| by(from, &mark.ballot))
            }
            Message::Accepted { ballot, slot } => by(me, ballot) && *slot > Slot::ZERO,
            Message::Chosen(ChosenMark { through: _, ballot }) => by(from, ballot),
            Message::Heartbeat { round: _, pulse } | Message::HeartbeatReply { round: _, pulse } => {
                known(&pulse.promised) && known(&pulse.leader)
            }
            Message::FetchBatch { .. }
            | Message::FetchedBatch { .. }
            | Message::Learn { .. }
            | Message::Learned { .. }
            | Message::ReadQuery { .. }
            | Message::ReadReply { .. }
            | Message::Remember
            | Message::NotMember { .. }
            | Message::Behind { .. } => true,
            Message::Memory { promised, accepted: _ } => known(promised),
        }
    }

    /// The round trip is known of the round under way and of the one before it. Who answers an older one does not count
    /// as answering, so the clock of everybody who counts was compared.
    fn on_answer(&mut self, from: NodeId, round: u64, pulse: &Pulse, fx: &mut Effects) {
        let (steady_ms, now_us) = (self.clock.steady_ms(), self.now.mono_us);
        let began_us = self.election.began_at_us(round);
        let Some(peer) = self.peers.get_mut(from).filter(|_| round <= self.election.round) else { return };
        peer.answered = peer.answered.max(round);
        if let Some(began_us) = began_us {
            let ahead_ms = clock::ahead_ms(pulse.clock_ms, steady_ms, now_us.saturating_sub(began_us));
            peer.clock = Some(Offset { ahead_ms, jumped: pulse.clock_jumped });
            self.compare_clocks(fx);
        }
    }

    /// The time that this node may propose with, in Unix milliseconds: its clock without jumps, and no further ahead than a
    /// majority of clocks allows.
    pub fn clock_ms(&mut self, now: Now) -> u64 {
        self.enter(now);
        if self.rules.hold(Control::OwnClock) { self.clock.allowed_ms() } else { now.wall_ms }
    }

    /// What the group's clocks say, as far as this node knows, in Unix milliseconds.
    pub fn group_clock_ms(&self) -> u64 {
        self.clock.group_ms()
    }

    /// This node's own clock without jumps, whatever the others' say, in Unix milliseconds.
    pub fn steady_clock_ms(&self) -> u64 {
        self.clock.steady_ms()
    }
}
