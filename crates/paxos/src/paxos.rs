//! One node's part in the log: the calls that the shell makes, and which sub-state each message goes to.
//!
//! Every call that brings something new ends in `settle`, which does whatever has become possible.

use crate::acceptor::Acceptor;
use crate::clock::{self, Clock};
use crate::config::{Config, Now, Recovered};
use crate::controls::Rules;
use crate::effects::{Effects, Serve};
use crate::election::Election;
use crate::ids::{Ballot, Batch, NodeId, Slot};
use crate::learner::Learner;
use crate::members::Members;
use crate::message::{ChosenMark, Message};
use crate::peers::{Link, Peers};
use crate::pen::Pen;
use crate::proposer::Proposer;
use crate::reads::Reads;
use crate::status::{PeerStatus, Role, Status};

/// Why a batch was not proposed; it comes back, and nobody has heard of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProposed {
    #[error("this node does not hold the pen")]
    NoPen(Batch),
    #[error("the pipeline is full")]
    WindowFull(Batch),
}

impl NotProposed {
    pub fn into_batch(self) -> Batch {
        match self {
            NotProposed::NoPen(batch) | NotProposed::WindowFull(batch) => batch,
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
    pub(crate) clock: Clock,
    pub(crate) reads: Reads,
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
    /// If `config.me` is not among `config.members`, or `alpha` is 0.
    pub fn new(config: Config, recovered: Recovered, now: Now) -> Paxos {
        assert!(config.alpha > 0, "alpha is at least 1: with 0 nothing could ever be proposed");
        let rules = Rules::of(&config);
        let members = Members::new(config.me, config.members.clone());
        let marked = recovered.chosen;
        let acceptor = Acceptor::new(recovered, config.alpha, rules);
        Paxos {
            rules,
            now,
            proposer: Proposer::Idle,
            learner: Learner::new(now),
            peers: Peers::new(&members),
            election: Election::new(acceptor.promised()),
            clock: Clock::new(config.clock_skew_max_ms),
            reads: Reads::new(now),
            checkpoint: Slot::ZERO,
            marked,
            told_leader: None,
            told_quorum: false,
            config,
            members,
            acceptor,
        }
    }

    /// A message from a peer, or a released vow of this node's own. What makes no sense is ignored.
    pub fn on_message(&mut self, now: Now, from: NodeId, message: Message, fx: &mut Effects) {
        self.enter(now);
        if !self.is_credible(from, &message) {
            return;
        }
        match message {
            Message::Prepare { ballot } => self.on_prepare(from, ballot, fx),
            Message::Promise { ballot, floor, accepted } => {
                self.peers.heard_chosen(from, floor);
                self.proposer.on_promise(self.now, from, (ballot, floor, accepted), &self.members);
            }
            Message::Refused { ballot: _, promised } => self.observe(promised, fx),
            Message::FetchBatch { slot, ballot } => self.on_fetch_batch(from, slot, ballot, fx),
            Message::FetchedBatch { slot, ballot, batch } => self.proposer.on_fetched(self.now, slot, ballot, batch),
            Message::Accept { ballot, slot, batch, chosen } => {
                self.observe(ballot, fx);
                self.hear(from);
                self.acceptor.on_accept(from, ballot, slot, batch, fx);
                self.on_mark(from, chosen, fx);
            }
            Message::Accepted { ballot, slot } => {
                if let Some(pen) = self.proposer.pen_mut()
                    && pen.ballot == ballot
                {
                    pen.on_accepted(from, slot);
                }
            }
            Message::Chosen(mark) => self.on_mark(from, Some(mark), fx),
            Message::Learn { from: first } => {
                if first > Slot::ZERO && first <= self.acceptor.floor() {
                    fx.serve.push(Serve { to: from, from: first });
                }
            }
            Message::Learned { from: first, batches } => self.on_learned(from, first, batches, fx),
            Message::Heartbeat { round, pulse } => {
                self.on_pulse(from, &pulse, fx);
                fx.send.push((from, Message::HeartbeatReply { round, pulse: self.pulse() }));
            }
            Message::HeartbeatReply { round, pulse } => {
                self.on_pulse(from, &pulse, fx);
                self.on_answer(from, round, pulse.wall_ms, fx);
            }
            Message::ReadQuery { read } => {
                fx.send.push((from, Message::ReadReply { read, accepted: self.acceptor.highest() }));
            }
            Message::ReadReply { read, accepted } => self.reads.on_reply(self.now, from, read, accepted),
        }
        self.settle(fx);
    }

    /// A connection to the peer stands: what may have been lost with the old one is sent again.
    pub fn on_connected(&mut self, now: Now, peer: NodeId, fx: &mut Effects) {
        self.enter(now);
        let Some(known) = self.peers.get_mut(peer) else { return };
        known.link = Link::Open;
        if self.election.round > 0 {
            fx.send.push((peer, Message::Heartbeat { round: self.election.round, pulse: self.pulse() }));
        }
        self.proposer.resend_to(peer, self.acceptor.floor(), fx);
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
    /// if this node loses the pen.
    pub fn propose(&mut self, batch: Batch, fx: &mut Effects) -> Result<Slot, NotProposed> {
        self.finish_found(fx);
        if !self.has_pen() {
            return Err(NotProposed::NoPen(batch));
        }
        if !self.can_propose() {
            return Err(NotProposed::WindowFull(batch));
        }
        let (pen, mut desk) = self.pen_and_desk().expect("has_pen was asked above");
        Ok(pen.propose(batch, &mut desk, fx))
    }

    /// Has the pen, has finished what others left, and the pipeline is not full.
    pub fn can_propose(&self) -> bool {
        self.proposer.pen().is_some_and(|pen| pen.has_finished_found() && pen.window_is_open(self.learner.applied))
    }

    /// Slots proposed and not yet chosen.
    pub fn in_flight(&self) -> usize {
        self.proposer.pen().map_or(0, Pen::in_flight)
    }

    pub fn has_pen(&self) -> bool {
        self.proposer.pen().is_some()
    }

    /// Whom to pass requests to; `None` while nobody is known to lead.
    pub fn leader(&self) -> Option<NodeId> {
        self.election.leader(self.sight(), self.has_pen())
    }

    /// Tells all what was chosen since they were last told: for when there is nothing to propose that it could ride on.
    pub fn announce(&mut self, fx: &mut Effects) {
        let chosen = self.acceptor.floor();
        if let Some(pen) = self.proposer.pen_mut() {
            pen.announce(&self.members, chosen, fx);
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
        self.reads.read(self.now, read, &self.members, &self.acceptor, fx);
        self.settle(fx);
    }

    /// Proposes no-ops through the slot, as far as the pipeline allows, if this node holds the pen: somebody's read waits
    /// for a slot that nobody decides.
    pub fn nudge(&mut self, through: Slot, fx: &mut Effects) {
        self.finish_found(fx);
        while self.can_propose() {
            let Some((pen, mut desk)) = self.pen_and_desk() else { return };
            if pen.next > through {
                return;
            }
            pen.propose(Batch::noop(), &mut desk, fx);
        }
    }

    /// An operator asked for an election: this node stands now, whoever leads, if a majority answers it. Safe at any time.
    pub fn elect(&mut self, now: Now, fx: &mut Effects) {
        self.enter(now);
        if self.may_lead() && self.election.has_quorum(self.sight()) {
            self.stand(fx);
        }
        self.settle(fx);
    }

    /// Orderly shutdown: gives up the pen, stands no more and says so at once. It still votes.
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
            Proposer::Preparing(_) | Proposer::Gathering(_) => Role::Standing,
            Proposer::Holding(_) => Role::Leader,
        };
        let peers = self.peers.iter().map(|(node, peer)| PeerStatus {
            node,
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
            quorum: self.election.has_quorum(self.sight()),
        }
    }

    pub(crate) fn enter(&mut self, now: Now) {
        self.now = Now { mono_us: now.mono_us.max(self.now.mono_us), wall_ms: now.wall_ms };
    }

    /// Whether this sender could have said this: a member, in its own name, with ballots that members can make. Another
    /// node's words are a failure of theirs, never a bug of ours.
    fn is_credible(&self, from: NodeId, message: &Message) -> bool {
        let known = |ballot: &Ballot| *ballot == Ballot::ZERO || self.members.could_propose(*ballot);
        let by = |node: NodeId, ballot: &Ballot| self.members.could_propose(*ballot) && ballot.node == node.get();
        let me = self.members.me();
        let own_vow = matches!(message, Message::Promise { .. } | Message::Accepted { .. });
        if !self.members.contains(from) || (from == me && !own_vow) {
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
            | Message::ReadReply { .. } => true,
        }
    }

    /// The round trip was measured only if it answers the round under way.
    fn on_answer(&mut self, from: NodeId, round: u64, wall_ms: u64, fx: &mut Effects) {
        let Some(peer) = self.peers.get_mut(from).filter(|_| round <= self.election.round) else { return };
        peer.answered = peer.answered.max(round);
        if round == self.election.round {
            let round_trip_us = self.now.mono_us.saturating_sub(self.election.began_us);
            peer.ahead_ms = clock::ahead_ms(wall_ms, self.now.wall_ms, round_trip_us);
            self.compare_clocks(fx);
        }
    }
}
