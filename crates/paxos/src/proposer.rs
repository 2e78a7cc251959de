//! The way to become the proposer: prepare, collect promises, gather what they report.
//!
//! ```text
//!   Idle ──stand──► Standing ──a majority of every epoch promised, floor reached, batches here──► Active(…)
//!     ▲                 │                                                                            │
//!     └─────────────────┴── shown a higher ballot, gave up, or came to an epoch without promises ────┘
//! ```
//!
//! The prepare of a new ballot is a vow behind the own promise, so a crash at the worst moment cannot make a node use a
//! ballot twice. It goes to the voters of every epoch that has a slot in the window of this node, and promises are taken in
//! until they are enough: while a node that stands learns, its window moves and may come upon another epoch. Nothing is
//! proposed at or below the highest floor that was reported: those slots are chosen, and trimmed perhaps, so they are learned.
//!
//! A report counts whoever makes it, voter or not: it tells of a proposal, and of those in a slot the one with the highest
//! ballot agrees with whatever was chosen there before it. Only the majority must be the slot's own.
//!
//! Promises carry digests; a batch that is not here is fetched from those that reported it, under whatever ballot. A vote
//! may have lost its batch. If nobody has it, and those that reported it or have not promised are no majority of the slot's
//! voters, then it was not chosen and never will be, nor was anything else there: the slot is free.

use crate::acceptor::{Acceptor, Vote};
use crate::active_proposer::ActiveProposer;
use crate::config::Now;
use crate::effects::Effects;
use crate::ids::{Ballot, Batch, Digest, NodeId, Slot};
use crate::members::{Members, Window};
use crate::message::{Message, Report, Vow};
use crate::peers::Peers;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Proposer {
    Idle,
    Standing(Standing),
    Active(ActiveProposer),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Standing {
    ballot: Ballot,
    /// Of the last progress.
    since_us: u64,
    sent_us: u64,
    /// Whom the prepare was sent to.
    asked: BTreeSet<NodeId>,
    promised: BTreeSet<NodeId>,
    /// The highest reported.
    floor: Slot,
    found: BTreeMap<Slot, Found>,
}

/// What was reported of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Found {
    reports: BTreeMap<NodeId, (Ballot, Digest)>,
    /// The report with the highest ballot.
    best: (Ballot, Digest),
    /// Its batch, once it is here.
    batch: Option<Batch>,
    asked: usize,
    asked_us: Option<u64>,
}

/// Everything outside of the proposer that it needs to go on.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) now: Now,
    pub(crate) retry_us: u64,
    pub(crate) alpha: u64,
    pub(crate) window: Window,
    pub(crate) members: &'a Members,
    pub(crate) acceptor: &'a Acceptor,
    pub(crate) peers: &'a Peers,
}

impl Proposer {
    pub(crate) fn ballot(&self) -> Option<Ballot> {
        match self {
            Proposer::Idle => None,
            Proposer::Standing(standing) => Some(standing.ballot),
            Proposer::Active(active) => Some(active.ballot),
        }
    }

    pub(crate) fn active(&self) -> Option<&ActiveProposer> {
        match self {
            Proposer::Active(active) => Some(active),
            Proposer::Idle | Proposer::Standing(_) => None,
        }
    }

    pub(crate) fn active_mut(&mut self) -> Option<&mut ActiveProposer> {
        match self {
            Proposer::Active(active) => Some(active),
            Proposer::Idle | Proposer::Standing(_) => None,
        }
    }

    fn standing_mut(&mut self) -> Option<&mut Standing> {
        match self {
            Proposer::Standing(standing) => Some(standing),
            Proposer::Idle | Proposer::Active(_) => None,
        }
    }

    /// Since when it has been standing without any progress.
    pub(crate) fn standing_since_us(&self) -> Option<u64> {
        match self {
            Proposer::Standing(standing) => Some(standing.since_us),
            Proposer::Idle | Proposer::Active(_) => None,
        }
    }

    /// Begins to stand with `ballot`. The own acceptor promises first: its record stands before every prepare.
    pub(crate) fn prepare(&mut self, now: Now, ballot: Ballot, me: NodeId, acceptor: &mut Acceptor, fx: &mut Effects) {
        acceptor.on_prepare(true, me, ballot, fx);
        assert_eq!(acceptor.promised(), ballot, "a node stands only above what it has promised");
        *self = Proposer::Standing(Standing {
            ballot,
            since_us: now.mono_us,
            sent_us: now.mono_us,
            asked: BTreeSet::from([me]),
            promised: BTreeSet::new(),
            floor: Slot::ZERO,
            found: BTreeMap::new(),
        });
    }

    /// The first promise of a node counts: what it said then binds it, and nothing it says later takes from that.
    pub(crate) fn on_promise(&mut self, now: Now, from: NodeId, promise: (Ballot, Slot, Vec<Report>)) {
        let (ballot, floor, reports) = promise;
        let Some(standing) = self.standing_mut().filter(|standing| standing.ballot == ballot) else { return };
        if standing.promised.insert(from) {
            standing.since_us = now.mono_us;
            standing.floor = standing.floor.max(floor);
            for report in reports {
                standing.note(from, report);
            }
        }
    }

    pub(crate) fn on_fetched(&mut self, now: Now, slot: Slot, ballot: Ballot, batch: Batch) {
        let Some(standing) = self.standing_mut() else { return };
        let Some(found) = standing.found.get_mut(&slot) else { return };
        let was_asked = found.reports.values().any(|report| *report == (ballot, found.best.1));
        if found.batch.is_none() && was_asked && found.best.1 == batch.digest() {
            found.batch = Some(batch);
            standing.since_us = now.mono_us;
        }
    }

    /// The highest floor reported, while this node has perhaps still to learn what lies below it.
    pub(crate) fn must_learn_through(&self) -> Option<Slot> {
        match self {
            Proposer::Standing(standing) => Some(standing.floor),
            Proposer::Idle | Proposer::Active(_) => None,
        }
    }

    /// Does what can be done now: asks the voters it has not asked, takes over own copies, fetches others, and takes up
    /// the active proposer once nothing is missing.
    pub(crate) fn gather(&mut self, ground: Ground<'_>, fx: &mut Effects) -> Option<Ballot> {
        let standing = self.standing_mut()?;
        standing.ask(ground, fx);
        if !ground.members.is_majority(ground.window, |node| standing.promised.contains(&node)) {
            return None;
        }
        standing.take_own_copies(ground.acceptor);
        standing.fetch(ground, fx);
        standing.free_slots(ground);
        let missing = standing.found.values().any(|found| found.batch.is_none());
        if missing || ground.acceptor.floor() < standing.floor {
            return None;
        }
        let ballot = standing.ballot;
        let found = std::mem::take(&mut standing.found);
        let found = found.into_iter().filter_map(|(slot, found)| Some((slot, found.batch?))).collect();
        let epoch = ground.members.epoch_of(ground.window.last);
        *self = Proposer::Active(ActiveProposer::new(ballot, ground.acceptor.floor(), epoch, found, ground.alpha));
        Some(ballot)
    }

    /// Only for the simulator's control: what lies below the reported floors is taken for undecided.
    pub(crate) fn ignore_floors(&mut self, acceptor: &Acceptor) {
        if let Some(standing) = self.standing_mut() {
            standing.floor = acceptor.floor();
        }
    }

    /// Something was learned: standing goes on.
    pub(crate) fn note_progress(&mut self, now: Now) {
        if let Some(standing) = self.standing_mut() {
            standing.since_us = now.mono_us;
        }
    }

    /// A prepare may have been lost: it will be sent again to those that have not answered.
    pub(crate) fn ask_again(&mut self, now: Now, retry_us: u64) {
        if let Some(standing) = self.standing_mut()
            && standing.sent_us + retry_us <= now.mono_us
        {
            standing.sent_us = now.mono_us;
            standing.asked = standing.promised.clone();
        }
    }

    /// A peer's connection is new, so what was sent on the old one may be lost.
    pub(crate) fn resend_to(&mut self, peer: NodeId, members: &Members, chosen: Slot, fx: &mut Effects) {
        match self {
            Proposer::Idle => {}
            Proposer::Standing(standing) => {
                if !standing.promised.contains(&peer) {
                    standing.asked.remove(&peer);
                }
            }
            Proposer::Active(active) => active.resend_to(peer, members, chosen, fx),
        }
    }
}

impl Standing {
    fn note(&mut self, node: NodeId, report: Report) {
        let Report { slot, ballot, digest } = report;
        let best = (ballot, digest);
        let reports = BTreeMap::new();
        let fresh = Found { reports, best, batch: None, asked: 0, asked_us: None };
        let found = self.found.entry(slot).or_insert(fresh);
        found.reports.insert(node, best);
        if ballot > found.best.0 {
            if digest != found.best.1 {
                (found.batch, found.asked, found.asked_us) = (None, 0, None);
            }
            found.best = best;
        }
    }

    fn ask(&mut self, ground: Ground<'_>, fx: &mut Effects) {
        let me = ground.members.me();
        for (_, membership) in ground.members.within(ground.window) {
            for voter in membership.voters.iter().copied().filter(|voter| *voter != me) {
                if !self.promised.contains(&voter) && self.asked.insert(voter) {
                    let prepare = Message::Prepare { ballot: self.ballot };
                    fx.vows.push((voter, Vow::new(prepare, ground.acceptor.floor())));
                }
            }
        }
    }

    fn take_own_copies(&mut self, acceptor: &Acceptor) {
        // What is chosen and known needs no proposal any more.
        if self.found.first_key_value().is_some_and(|(slot, _)| *slot <= acceptor.floor()) {
            self.found = self.found.split_off(&acceptor.floor().next());
        }
        for (slot, found) in self.found.iter_mut().filter(|(_, found)| found.batch.is_none()) {
            let own = acceptor.vote(*slot).filter(|vote| vote.ballot == found.best.0);
            found.batch = own.and_then(Vote::batch).cloned();
        }
    }

    fn fetch(&mut self, ground: Ground<'_>, fx: &mut Effects) {
        for (slot, found) in self.found.iter_mut().filter(|(_, found)| found.batch.is_none()) {
            // In turn, so that a holder that died after its promise, or lost its copy, is not asked for ever.
            let holders = found.holders(ground);
            if found.waits(ground) || holders.is_empty() {
                continue;
            }
            let (holder, ballot) = holders[found.asked % holders.len()];
            found.asked += 1;
            found.asked_us = Some(ground.now.mono_us);
            fx.send.push((holder, Message::FetchBatch { slot: *slot, ballot }));
        }
    }

    /// A batch that nobody has, and that cannot have been chosen, holds up nothing.
    fn free_slots(&mut self, ground: Ground<'_>) {
        let (promised, floor) = (&self.promised, self.floor);
        self.found.retain(|slot, found| {
            let may_have_voted = |node: NodeId| {
                let reported = found.reports.get(&node).map(|(_, digest)| *digest);
                !promised.contains(&node) || reported == Some(found.best.1)
            };
            let is_lost = found.batch.is_none() && found.asked >= found.holders(ground).len() && !found.waits(ground);
            let is_open = *slot > floor && *slot <= ground.window.last;
            !(is_lost && is_open) || ground.members.of(*slot).is_majority(may_have_voted)
        });
    }
}

impl Found {
    /// Who may have the batch and can be asked, and under which ballot.
    fn holders(&self, ground: Ground<'_>) -> Vec<(NodeId, Ballot)> {
        let able = |node: NodeId| node != ground.members.me() && !ground.peers.is_closed(node);
        let holds = |(node, (ballot, digest)): (&NodeId, &(Ballot, Digest))| {
            (able(*node) && *digest == self.best.1).then_some((*node, *ballot))
        };
        self.reports.iter().filter_map(holds).collect()
    }

    /// An answer may still come.
    fn waits(&self, ground: Ground<'_>) -> bool {
        self.asked_us.is_some_and(|asked_us| asked_us + ground.retry_us > ground.now.mono_us)
    }
}
