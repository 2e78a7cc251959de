//! Linearizable reads from any node, without a disk write.
//!
//! Voters are asked for the highest slot that they accepted, or their floor if that is higher; with m the largest answer, a
//! read may be answered once everything through m is applied here, *if* those asked are a majority of the membership of
//! slot m + 1. Say a later slot had been chosen and acknowledged before the read began: then so had m + 1, by a majority of
//! its members, one of those asked was among them, and its answer would have been higher than m. Whose m + 1 is, is known
//! once m + 1 − alpha is applied here; until then the round stays open, and whoever has not answered is asked again. The
//! same holds for any number above m, so where the epoch of m + 1 is forgotten already, the first known one counts.
//!
//! Reads share rounds: a round serves only reads that arrived before it was sent, those that arrive while it is under way
//! wait for the next. Lost questions are asked again under the same number (the answers only come later, which is no harm);
//! a read that finds no majority for seconds is forgotten, its caller has given up long before.

use crate::acceptor::Acceptor;
use crate::config::Now;
use crate::effects::Effects;
use crate::ids::{NodeId, Slot};
use crate::members::Members;
use crate::message::Message;
use crate::turns::mix;
use std::collections::BTreeMap;

/// Callers wait for two seconds at most.
const FORGOTTEN_AFTER_US: u64 = 5_000_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reads {
    /// Number of the last round.
    last_round: u64,
    waiting: Vec<Waiting>,
    round: Option<Round>,
    /// The highest slot that a read waits for, while it is not chosen.
    tail: Option<Tail>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Waiting {
    read: u64,
    since_us: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Round {
    number: u64,
    sent_us: u64,
    reads: Vec<Waiting>,
    answers: BTreeMap<NodeId, Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tail {
    through: Slot,
    since_us: u64,
    nudged_us: u64,
}

/// Everything outside of the reads that they look at.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) now: Now,
    pub(crate) members: &'a Members,
    pub(crate) acceptor: &'a Acceptor,
    pub(crate) applied: Slot,
    pub(crate) alpha: u64,
    /// Whether this node's own word counts.
    pub(crate) votes: bool,
}

impl Reads {
    /// Numbers of rounds begin somewhere else after each start, so that an answer to a question of the process that ran
    /// here before is never taken for one to ours.
    pub(crate) fn new(now: Now) -> Reads {
        let last_round = mix(now.wall_ms ^ mix(now.mono_us)) >> 1;
        Reads { last_round, waiting: Vec::new(), round: None, tail: None }
    }

    pub(crate) fn read(&mut self, read: u64, view: View<'_>, fx: &mut Effects) {
        self.waiting.push(Waiting { read, since_us: view.now.mono_us });
        self.next_round(view, fx);
    }

    pub(crate) fn on_reply(&mut self, now: Now, from: NodeId, number: u64, accepted: Slot) {
        if let Some(round) = &mut self.round
            && round.number == number
        {
            let answer = round.answers.entry(from).or_insert(accepted);
            *answer = (*answer).max(accepted);
            // An answer shows that nothing is lost at the moment.
            round.sent_us = round.sent_us.max(now.mono_us);
        }
    }

    /// Ends the round if the right ones have answered, and begins the next if reads wait.
    pub(crate) fn settle(&mut self, view: View<'_>, fx: &mut Effects) {
        while let Some(round) = &self.round {
            if let Some(tail) = round.tail(view)
                && self.tail.is_none_or(|known| known.through < tail.through)
            {
                self.tail = Some(tail);
            }
            let Some(through) = round.through(view) else { break };
            fx.reads.extend(round.reads.iter().map(|waiting| (waiting.read, through)));
            self.round = None;
            self.next_round(view, fx);
        }
        if self.tail.is_some_and(|tail| tail.through <= view.acceptor.floor()) {
            self.tail = None;
        }
    }

    /// Since when reads have waited for a slot that nobody has decided yet.
    pub(crate) fn tail_since_us(&self) -> Option<u64> {
        self.tail.map(|tail| tail.since_us)
    }

    /// Asks again what may have been lost, and forgets reads that nobody waits for any more.
    pub(crate) fn on_tick(&mut self, now: Now, retry_us: u64, members: &Members, fx: &mut Effects) {
        let fresh = |waiting: &Waiting| waiting.since_us + FORGOTTEN_AFTER_US > now.mono_us;
        self.waiting.retain(fresh);
        let Some(round) = &mut self.round else { return };
        round.reads.retain(fresh);
        if round.reads.is_empty() && self.waiting.is_empty() {
            self.round = None;
        } else if round.sent_us + retry_us <= now.mono_us {
            round.sent_us = now.mono_us;
            round.ask(members, fx);
        }
    }

    /// The slot that reads have waited for longer than it should take to be chosen; asks once per `patience_us`.
    pub(crate) fn undecided_tail(&mut self, now: Now, patience_us: u64) -> Option<Slot> {
        let tail = self.tail.as_mut().filter(|tail| tail.nudged_us + patience_us <= now.mono_us)?;
        tail.nudged_us = now.mono_us;
        Some(tail.through)
    }

    fn next_round(&mut self, view: View<'_>, fx: &mut Effects) {
        if self.round.is_some() || self.waiting.is_empty() {
            return;
        }
        self.last_round += 1;
        let reads = std::mem::take(&mut self.waiting);
        let own = view.votes.then(|| (view.members.me(), view.acceptor.highest()));
        let answers = own.into_iter().collect();
        let round = Round { number: self.last_round, sent_us: view.now.mono_us, reads, answers };
        round.ask(view.members, fx);
        self.round = Some(round);
    }
}

impl Round {
    /// The slot that its reads must wait for, if those that answered are the right ones to say so.
    fn through(&self, view: View<'_>) -> Option<Slot> {
        let highest = self.answers.values().copied().max()?;
        let through = highest.max(view.members.first_known().prev());
        let next = through.next();
        let is_known = view.members.knows_whose(next, view.applied.plus(view.alpha));
        let is_majority = view.members.of(next).is_majority(|node| self.answers.contains_key(&node));
        (is_known && is_majority).then_some(through)
    }

    /// What somebody has accepted and nobody decided, as far as known here. It must be decided even if these answers are
    /// not enough yet, because whose the next slot is may depend on it.
    fn tail(&self, view: View<'_>) -> Option<Tail> {
        let through = self.answers.values().copied().max().filter(|through| *through > view.acceptor.floor())?;
        Some(Tail { through, since_us: view.now.mono_us, nudged_us: view.now.mono_us })
    }

    /// Everybody who has a vote, now or soon.
    fn ask(&self, members: &Members, fx: &mut Effects) {
        let votes = |peer: &NodeId| members.epochs().iter().any(|(_, membership)| membership.is_voter(*peer));
        let silent = members.others().filter(|peer| votes(peer) && !self.answers.contains_key(peer));
        fx.send.extend(silent.map(|peer| (peer, Message::ReadQuery { read: self.number })));
    }
}
