//! One node of a group as a value that can be stepped: Paxos, the desk of its callers, the queue of a proposer.
//!
//! ```text
//!            Submit, Read        Received, Connected, Tick        Released        Applied, Checkpointed
//!                 │                        │                          │                    │
//!                 ▼                        ▼                          ▼                    ▼
//!   ┌──────────────────────────────── Replica::step ─────────────────────────────────────────────┐
//!   │ desk ──at hand──► queue ──batch──► Paxos         reads ──one round for all──► Paxos         │
//!   └───┬──────────────────┬──────────────────────┬─────────────────┬───────────────────┬────────┘
//!       ▼                  ▼                      ▼                 ▼                   ▼
//!   refuse            send (beside the sync)   unsynced          apply              reads, serve, trim
//! ```
//!
//! It performs no IO and knows no clock. Promises, acceptances, its own vote and the Prepare of a new ballot come out
//! as [`Unsynced`]: only the log's proof of sync turns them into messages, by way of [`Input::Released`].
//!
//! Not here: what passes to other nodes (`forwarding`), applying (see [`crate::Applier`]) and the answers of what was applied, which go from there to who waits.

mod forwarding;

use crate::control::Checks;
use crate::desk::{Desk, Kind, Place, Refusal, Taken};
use crate::divergence::Digests;
use crate::group::{self, Group, Mode};
use crate::input::{Input, Settings, Vows};
use crate::log_time::LogTime;
use crate::message::Message;
use crate::output::Output;
use crate::queue::{Queue, Waiting};
use crate::reads::Reads;
use crate::receive::Receiving;
use crate::request::{self, Tag, Tagged};
use crate::tail::Tail;
use bytes::Bytes;
use paxos::{Batch, Effects, Event, NodeId, Now, Paxos, Slot, Status};
use std::collections::VecDeque;
use storage::LogRecord;

/// One node. See the module's picture.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    pub(crate) settings: Settings,
    pub(crate) me: NodeId,
    pub(crate) paxos: Paxos,
    pub(crate) now_us: u64,
    /// The group as of the last slot chosen here, or, while the state is received, of the last one in place.
    pub(crate) group: Group,
    /// The group as the configuration has it.
    pub(crate) configured: Group,
    pub(crate) group_rules: group::Rules,
    pub(crate) checks: Checks,
    pub(crate) digests: Digests,
    pub(crate) receiving: Receiving,
    tail: Tail,
    pub(crate) desk: Desk,
    pub(crate) queue: Queue,
    reads: Reads,
    /// Sizes of batches handed out and not applied yet.
    backlog: VecDeque<(Slot, usize)>,
    backlog_bytes: usize,
    trimmed: Slot,
    leader: Option<NodeId>,
    log_time: LogTime,
    leaving: bool,
    #[cfg(feature = "controls")]
    trim_before_checkpoint: bool,
}

impl Replica {
    /// A node whose state machine has applied what Paxos knows to be applied; `group` is the group after that, and
    /// `configured` what the configuration says.
    pub fn new(settings: Settings, me: NodeId, paxos: Paxos, (group, configured): (Group, Group)) -> Self {
        let leader = paxos.leader();
        Self {
            settings,
            me,
            paxos,
            now_us: 0,
            group,
            configured,
            group_rules: group::Rules::default(),
            checks: Checks::default(),
            digests: Digests::default(),
            receiving: Receiving::default(),
            tail: Tail::default(),
            desk: Desk::default(),
            queue: Queue::default(),
            reads: Reads::default(),
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            trimmed: Slot::ZERO,
            leader,
            log_time: LogTime::default(),
            leaving: false,
            #[cfg(feature = "controls")]
            trim_before_checkpoint: false,
        }
    }

    /// Control: the log is trimmed up to what is applied, checkpoint or not.
    #[cfg(feature = "controls")]
    pub fn trim_before_checkpoint(&mut self) {
        self.trim_before_checkpoint = true;
    }

    /// Control: two votes change at once.
    #[cfg(feature = "controls")]
    pub fn set_group_rules(&mut self, rules: group::Rules) {
        self.group_rules = rules;
    }

    /// Paxos's own view: role, leader, ballot, slots, peers.
    pub fn status(&self) -> Status {
        self.paxos.status()
    }

    /// The protocol's state, for checkers.
    pub fn paxos(&self) -> &Paxos {
        &self.paxos
    }

    /// Requests of this node's callers whose slot is not known yet.
    pub fn requests_waiting(&self) -> usize {
        self.desk.len()
    }

    /// Requests that wait here to be proposed.
    pub fn queue_len(&self) -> usize {
        self.queue.len()
    }

    /// The log's time, in Unix milliseconds, as far as this node knows: what a batch would get that it proposed now.
    pub fn log_time_ms(&mut self, now: Now) -> u64 {
        self.paxos.clock_ms(now).max(self.log_time.at(now.mono_us))
    }

    /// By how much the log's time is ahead of what the group's clocks say, in milliseconds.
    pub fn log_ahead_ms(&mut self, now: Now) -> u64 {
        self.log_time_ms(now).saturating_sub(self.paxos.group_clock_ms())
    }

    /// The state machine has come to this time.
    pub(crate) fn note_log_time(&mut self, now: Now, time_ms: u64) {
        self.log_time.note(time_ms, now.mono_us);
    }

    /// The time of the next batch. A batch before it never has a later one, as far as this node knows of it.
    pub(crate) fn next_log_time_ms(&mut self, now: Now) -> u64 {
        let time_ms = self.log_time_ms(now);
        self.log_time.note(time_ms, now.mono_us);
        time_ms
    }

    /// One thing happened at `now`; what follows from it is added to `out`.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Output) {
        self.take(now, input, out);
        self.move_on(now, out);
    }

    /// As [`Replica::step`], but what waits is neither proposed nor passed on before [`Replica::move_on`]: whoever has
    /// several things at hand tells them all first, and they go into one batch.
    pub fn take(&mut self, now: Now, input: Input, out: &mut Output) {
        let mut fx = Effects::default();
        self.now_us = self.now_us.max(now.mono_us);
        match input {
            Input::Tick => self.on_tick(now, &mut fx, out),
            Input::Received { from, message } => self.on_message(now, from, message, &mut fx, out),
            Input::Connected(peer) => self.paxos.on_connected(now, peer, &mut fx),
            Input::Disconnected(peer) => self.on_disconnected(now, peer, &mut fx),
            Input::Released(vows) => self.on_released(now, vows, &mut fx, out),
            Input::Submit { seq, request, deadline_us } => {
                self.on_submit(now, (seq, Kind::Request, request), deadline_us, out);
            }
            Input::Change { seq, change, deadline_us } => {
                self.on_submit(now, (seq, Kind::Change, group::encode(&change)), deadline_us, out);
            }
            Input::Read { seq, deadline_us } => self.on_read(seq, deadline_us, out),
            Input::Applied(slot) => self.on_applied(slot, out),
            Input::Checkpointed(slot) => self.on_checkpointed(slot),
            Input::Digest { slot, digest } => self.on_own_digest(slot, digest, out),
            Input::Receiving(mark) => self.on_receiving(now, mark, out),
            Input::JournalRefused(mark) => self.on_journal_refused(now, mark, out),
            Input::Installed { mark, group } => self.on_installed(now, (mark, group), &mut fx, out),
            Input::Elect => self.paxos.elect(now, &mut fx),
            Input::Leave => {
                self.leaving = true;
                self.paxos.resign(now, &mut fx);
            }
        }
        self.absorb(now, fx, out);
        self.follow_leader(out);
    }

    fn on_tick(&mut self, now: Now, fx: &mut Effects, out: &mut Output) {
        self.paxos.on_tick(now, fx);
        self.refuse_orders(|desk| desk.expire(now.mono_us), out);
        if self.is_removed() {
            // The others soon stop telling this node what is chosen: whoever can still go elsewhere, goes.
            self.refuse_orders(Desk::leave, out);
        }
        out.reads_refused.extend(self.reads.expire(now.mono_us));
        let stale_us = now.mono_us.saturating_sub(self.settings.resend_us);
        self.desk.recall(|place| match place {
            Place::Forwarded { at_us, .. } => at_us < stale_us,
            Place::Resting { until_us } => until_us <= now.mono_us,
            Place::AtHand | Place::Queued | Place::Proposed => false,
        });
        self.seek_sender(now, out);
        let begin = self.tail.begin(self.paxos.checkpoint(), self.settings);
        self.trim(begin, out);
    }

    fn refuse_orders(&mut self, take: impl FnOnce(&mut Desk) -> Vec<(u64, Refusal)>, out: &mut Output) {
        for (seq, refusal) in take(&mut self.desk) {
            self.queue.withdraw(self.own_tag(seq));
            out.refuse.push((seq, refusal));
        }
    }

    /// The newest group that this node knows of, by its log or by what others told it, is one without it.
    fn is_removed(&self) -> bool {
        let newest = self.group();
        newest.is_founded() && newest.role(self.me).is_none()
    }

    fn on_message(&mut self, now: Now, from: NodeId, message: Message, fx: &mut Effects, out: &mut Output) {
        match message {
            Message::Paxos(message) => {
                if !self.is_too_much(&message) {
                    self.look_for_own(now, &message);
                    self.paxos.on_message(now, from, message, fx);
                }
            }
            Message::Forward(requests) => self.on_forward(from, requests, out),
            Message::ForwardRefused(refused) => {
                self.on_forward_refused(now, from, refused, out);
            }
            Message::ForwardChange(change) => self.on_forward_change(from, change, out),
            Message::Nudge(through) => self.paxos.nudge(through, fx),
            Message::Digest { slot, digest } => self.on_digest(from, slot, digest, out),
            Message::FetchJournal { from_place } => out.journal_read.push((from, from_place)),
            Message::Journal { from_place, mark, records } => {
                self.on_piece(now, from, (from_place, mark, records), out)
            }
        }
    }

    /// A node that applies more slowly than the others choose would hold more and more in memory: it rather accepts
    /// nothing for a while, and is resent what it missed.
    fn is_too_much(&self, message: &paxos::Message) -> bool {
        let brings_batches = matches!(message, paxos::Message::Accept { .. } | paxos::Message::Learned { .. });
        brings_batches && self.backlog_bytes > self.settings.backlog_bytes_max
    }

    fn on_disconnected(&mut self, now: Now, peer: NodeId, fx: &mut Effects) {
        self.paxos.on_disconnected(now, peer, fx);
        self.desk.recall(|place| matches!(place, Place::Forwarded { to, .. } if to == peer));
    }

    fn on_released(&mut self, now: Now, vows: Vows, fx: &mut Effects, out: &mut Output) {
        for (to, vow) in vows.0 {
            self.paxos.on_synced(&vow);
            if to == self.me {
                self.paxos.on_message(now, to, vow.into_message(), fx);
            } else {
                out.send.push((to, Message::Paxos(vow.into_message())));
            }
        }
    }

    fn on_submit(&mut self, now: Now, order: (u64, Kind, Bytes), deadline_us: u64, out: &mut Output) {
        let (seq, kind, request) = order;
        let fits = self.desk.len() < self.settings.requests_max
            && self.desk.bytes() + request.len() <= self.settings.request_bytes_max;
        if self.leaving || self.is_removed() {
            out.refuse.push((seq, Refusal::Leaving));
        } else if !self.serves() {
            out.refuse.push((seq, Refusal::Receiving));
        } else if fits {
            self.desk.put(seq, kind, request, now.mono_us, deadline_us);
        } else {
            out.refuse.push((seq, Refusal::Overloaded));
        }
    }

    fn on_read(&mut self, seq: u64, deadline_us: u64, out: &mut Output) {
        if self.leaving || self.is_removed() || !self.serves() || self.reads.len() >= self.settings.reads_max {
            out.reads_refused.push(seq);
        } else {
            self.reads.put(seq, deadline_us);
        }
    }

    fn on_applied(&mut self, slot: Slot, out: &mut Output) {
        if self.receiving.is_under_way() {
            // The shell may have reopened the state machine already: `Installed` will say so.
            return;
        }
        self.note_applied(slot);
        self.paxos.on_applied(slot);
        #[cfg(feature = "controls")]
        if self.trim_before_checkpoint {
            self.trim(slot, out);
        }
        let _ = out;
    }

    fn on_checkpointed(&mut self, slot: Slot) {
        if !self.receiving.is_under_way() {
            self.paxos.set_checkpoint(slot);
        }
    }

    pub(crate) fn note_applied(&mut self, slot: Slot) {
        while let Some((_, bytes)) = self.backlog.pop_front_if(|(applied, _)| *applied <= slot) {
            self.backlog_bytes -= bytes;
        }
    }

    /// Requests of this node's callers that stand in somebody's accept are on their way.
    fn look_for_own(&mut self, now: Now, message: &paxos::Message) {
        if let paxos::Message::Accept { ballot, batch, .. } = message
            && self.group.mode == Mode::Leaderless
            && self.desk.len() > 0
        {
            request::for_each_tag(batch, |tag| {
                if tag.origin == self.me.get() && tag.boot == self.settings.boot {
                    self.desk.saw(tag.seq, *ballot, now.mono_us);
                }
            });
        }
    }

    /// Carries over what Paxos wants done.
    fn absorb(&mut self, now: Now, fx: Effects, out: &mut Output) {
        out.records.extend(fx.persist.into_iter().map(log_record));
        out.vows.extend(fx.vows);
        out.send.extend(fx.send.into_iter().map(|(to, message)| (to, Message::Paxos(message))));
        out.send.extend(fx.nudges.into_iter().map(|(to, through)| (to, Message::Nudge(through))));
        out.serve.extend(fx.serve);
        let mut more = Effects::default();
        for (slot, batch) in fx.chosen {
            self.on_chosen(now, slot, &batch);
            self.hand_over(now, slot, batch, &mut more, out);
        }
        if let Some(peer) = fx.behind {
            self.on_behind(now, peer, out);
        }
        for (round, after) in fx.reads {
            out.reads.extend(self.reads.finish_round(round, after));
        }
        for event in fx.events {
            match event {
                Event::BecameProposer(_) => self.on_became_proposer(),
                Event::NoLongerProposer { .. } => self.on_ceased_to_propose(out),
                Event::Leader(_)
                | Event::ClockOff { .. }
                | Event::ClockFine
                | Event::ClockJumped { .. }
                | Event::ClockSteady
                | Event::Quorum(_)
                | Event::Forgetful { .. }
                | Event::NotMember { .. } => {}
            }
            out.events.push(event);
        }
        if !more.is_empty() {
            self.absorb(now, more, out);
        }
    }

    fn on_chosen(&mut self, now: Now, slot: Slot, batch: &Batch) {
        self.backlog.push_back((slot, batch.bytes().len()));
        self.backlog_bytes += batch.bytes().len();
        self.tail.note(slot, batch.bytes().len());
        self.log_time.note_batch(batch, now.mono_us);
        let mut oldest_us = None;
        request::for_each_tag(batch, |tag| {
            self.queue.chosen(tag);
            if tag.origin == self.me.get() && tag.boot == self.settings.boot {
                oldest_us = oldest_us.into_iter().chain(self.desk.settle(tag.seq)).min();
            }
        });
        if let Some(since_us) = oldest_us {
            self.paxos.took(now.mono_us.saturating_sub(since_us));
        }
    }

    /// A new proposer finishes what was accepted under older ones, but not what never reached an acceptor: whatever was
    /// proposed under this node's last ballot goes its way again, and the ids inside see to it that it acts once.
    fn on_became_proposer(&mut self) {
        self.checks.founding = false;
        self.queue.forget_in_flight();
        self.desk.recall(|place| place == Place::Proposed);
    }

    /// What was proposed under a lost ballot may still be chosen, or not; what only waited for it was not proposed.
    fn on_ceased_to_propose(&mut self, out: &mut Output) {
        self.queue.forget_in_flight();
        self.desk.recall(|place| matches!(place, Place::Queued | Place::Proposed));
        if !self.is_or_becomes_proposer() {
            self.refuse_waiting(out);
        }
    }

    /// An elected node that still prepares takes what is passed on to it: it will propose that in a moment.
    fn is_or_becomes_proposer(&self) -> bool {
        self.paxos.is_proposer() || self.paxos.leader() == Some(self.me)
    }

    /// What was passed on to somebody who leads no longer is passed on anew; what was passed on to this node, which
    /// leads no longer, goes back.
    fn follow_leader(&mut self, out: &mut Output) {
        let leader = self.paxos.leader();
        if leader == self.leader {
            return;
        }
        self.leader = leader;
        self.desk.recall(|place| match place {
            Place::Forwarded { to, .. } => Some(to) != leader,
            Place::Resting { .. } => true,
            Place::AtHand | Place::Queued | Place::Proposed => false,
        });
        if !self.is_or_becomes_proposer() {
            self.desk.recall(|place| place == Place::Queued);
            self.refuse_waiting(out);
        }
    }

    /// Moves requests as far as they can go now, and asks for waiting reads.
    pub fn move_on(&mut self, now: Now, out: &mut Output) {
        let mut fx = Effects::default();
        if self.paxos.is_proposer() {
            self.queue_own();
            self.propose_control(now, &mut fx);
            self.propose(now, &mut fx);
        } else if let Some(to) = self.paxos.next_hop() {
            self.forward_own(now, to, out);
        }
        self.tell_what_waits();
        if let Some(round) = self.reads.start_round() {
            self.paxos.read(now, round, &mut fx);
        }
        self.absorb(now, fx, out);
    }

    fn queue_own(&mut self) {
        while self.queue.has_room()
            && let Some(Taken { seq, kind, request, .. }) = self.desk.take_at_hand(Place::Queued)
        {
            let request = Tagged { tag: self.own_tag(seq), request };
            let _ = self.queue.push(Waiting { request, kind, from: None });
        }
    }

    #[expect(clippy::expect_used, reason = "whether it can propose was just asked")]
    fn propose(&mut self, now: Now, fx: &mut Effects) {
        while self.paxos.can_propose() && self.paxos.in_flight() < self.in_flight_max() && self.queue.len() > 0 {
            let (kind, requests) = self.queue.next_batch();
            let time_ms = self.next_log_time_ms(now);
            let batch = match kind {
                Kind::Request => request::encode(time_ms, &requests),
                Kind::Change => request::encode_control_bytes(time_ms, &requests[0]),
            };
            self.paxos.propose(batch, fx).expect("it can propose, as was just asked");
            for Tagged { tag, .. } in requests {
                if tag.origin == self.me.get() && tag.boot == self.settings.boot {
                    self.desk.mark_proposed(tag.seq);
                }
            }
        }
        self.paxos.announce(fx);
    }

    fn in_flight_max(&self) -> usize {
        let is_small = self.queue.bytes() < self.settings.small_bytes;
        if is_small { self.settings.small_in_flight_max } else { self.settings.in_flight_max }
    }

    fn trim(&mut self, below: Slot, out: &mut Output) {
        if below > self.trimmed {
            self.trimmed = below;
            out.trim = Some(below);
        }
    }

    pub(crate) fn own_tag(&self, seq: u64) -> Tag {
        Tag { origin: self.me.get(), boot: self.settings.boot, seq }
    }
}

/// Paxos's record in the log's plain terms.
fn log_record(record: paxos::Record) -> LogRecord {
    match record {
        paxos::Record::Promised(ballot) => LogRecord::Promised { round: ballot.round, node: ballot.node },
        paxos::Record::Accepted { slot, ballot, batch } => LogRecord::Accepted {
            slot: slot.get(),
            round: ballot.round,
            node: ballot.node,
            batch: batch.bytes().clone(),
        },
        paxos::Record::Learned { slot, batch } => LogRecord::Learned { slot: slot.get(), batch: batch.bytes().clone() },
        paxos::Record::Chosen { through } => LogRecord::Chosen { through: through.get() },
    }
}
