//! Linearizable reads from any node, without a disk write.
//!
//! A majority is asked for the highest slot that it accepted, or its floor if that is higher; with m the largest answer, a
//! read may be answered once everything through m is applied here. Whatever was chosen before the read began was accepted
//! by a majority, which has a node in common with those asked, so m covers it.
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
    nudged_us: u64,
}

impl Reads {
    /// Numbers of rounds begin somewhere else after each start, so that an answer to a question of the process that ran
    /// here before is never taken for one to ours.
    pub(crate) fn new(now: Now) -> Reads {
        let last_round = mix(now.wall_ms ^ mix(now.mono_us)) >> 1;
        Reads { last_round, waiting: Vec::new(), round: None, tail: None }
    }

    pub(crate) fn read(&mut self, now: Now, read: u64, members: &Members, acceptor: &Acceptor, fx: &mut Effects) {
        self.waiting.push(Waiting { read, since_us: now.mono_us });
        self.next_round(now, members, acceptor, fx);
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

    /// Ends the round if a majority has answered, and begins the next if reads wait.
    pub(crate) fn settle(&mut self, now: Now, members: &Members, acceptor: &Acceptor, fx: &mut Effects) {
        while self.round.as_ref().is_some_and(|round| round.answers.len() >= members.majority()) {
            let Some(round) = self.round.take() else { return };
            let through = round.answers.values().copied().max().unwrap_or_default();
            fx.reads.extend(round.reads.iter().map(|waiting| (waiting.read, through)));
            let known = self.tail.map_or(Slot::ZERO, |tail| tail.through);
            if through > acceptor.floor() && through > known {
                self.tail = Some(Tail { through, nudged_us: now.mono_us });
            }
            self.next_round(now, members, acceptor, fx);
        }
        if self.tail.is_some_and(|tail| tail.through <= acceptor.floor()) {
            self.tail = None;
        }
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

    fn next_round(&mut self, now: Now, members: &Members, acceptor: &Acceptor, fx: &mut Effects) {
        if self.round.is_some() || self.waiting.is_empty() {
            return;
        }
        self.last_round += 1;
        let reads = std::mem::take(&mut self.waiting);
        let answers = BTreeMap::from([(members.me(), acceptor.highest())]);
        let round = Round { number: self.last_round, sent_us: now.mono_us, reads, answers };
        round.ask(members, fx);
        self.round = Some(round);
        if members.majority() == 1 {
            self.settle(now, members, acceptor, fx);
        }
    }
}

impl Round {
    fn ask(&self, members: &Members, fx: &mut Effects) {
        let silent = members.others().filter(|peer| !self.answers.contains_key(peer));
        fx.send.extend(silent.map(|peer| (peer, Message::ReadQuery { read: self.number })));
    }
}

/// The finalizer of SplitMix64: neighbours in, strangers out.
fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
