//! The way to the pen: prepare, collect a majority's promises, gather what they accepted.
//!
//! ```text
//!   Idle ──stand──► Preparing ──a majority promised──► Gathering ──floor reached, batches here──► Holding(Pen)
//!     ▲                 │                                  │                                          │
//!     └─────────────────┴───── shown a higher ballot, or gave up ─────────────────────────────────────┘
//! ```
//!
//! The prepare of a new ballot is a vow behind the own promise, so a crash at the worst moment cannot make a node use a
//! ballot twice. Nothing is proposed at or below the highest floor that was reported: those slots are chosen, and trimmed
//! perhaps, so they are learned. Promises carry digests; a batch that is not here under the same ballot is fetched.

use crate::acceptor::Acceptor;
use crate::config::Now;
use crate::effects::Effects;
use crate::ids::{Ballot, Batch, Digest, NodeId, Slot};
use crate::members::Members;
use crate::message::{Message, Report, Vow};
use crate::peers::Peers;
use crate::pen::Pen;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Proposer {
    Idle,
    Preparing(Preparing),
    Gathering(Gathering),
    Holding(Pen),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Preparing {
    ballot: Ballot,
    since_us: u64,
    sent_us: u64,
    promises: BTreeMap<NodeId, (Slot, Vec<Report>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Gathering {
    ballot: Ballot,
    /// Of the last progress.
    since_us: u64,
    floor: Slot,
    wanted: BTreeMap<Slot, Wanted>,
    batches: BTreeMap<Slot, Batch>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wanted {
    ballot: Ballot,
    digest: Digest,
    holders: Vec<NodeId>,
    asked: usize,
    asked_us: Option<u64>,
}

impl Proposer {
    pub(crate) fn ballot(&self) -> Option<Ballot> {
        match self {
            Proposer::Idle => None,
            Proposer::Preparing(preparing) => Some(preparing.ballot),
            Proposer::Gathering(gathering) => Some(gathering.ballot),
            Proposer::Holding(pen) => Some(pen.ballot),
        }
    }

    pub(crate) fn pen(&self) -> Option<&Pen> {
        match self {
            Proposer::Holding(pen) => Some(pen),
            Proposer::Idle | Proposer::Preparing(_) | Proposer::Gathering(_) => None,
        }
    }

    pub(crate) fn pen_mut(&mut self) -> Option<&mut Pen> {
        match self {
            Proposer::Holding(pen) => Some(pen),
            Proposer::Idle | Proposer::Preparing(_) | Proposer::Gathering(_) => None,
        }
    }

    /// Since when it has been standing without any progress.
    pub(crate) fn standing_since_us(&self) -> Option<u64> {
        match self {
            Proposer::Preparing(preparing) => Some(preparing.since_us),
            Proposer::Gathering(gathering) => Some(gathering.since_us),
            Proposer::Idle | Proposer::Holding(_) => None,
        }
    }

    /// Prepares `ballot`. The own acceptor promises first: its record stands before every prepare.
    pub(crate) fn prepare(
        &mut self,
        now: Now,
        ballot: Ballot,
        members: &Members,
        acceptor: &mut Acceptor,
        fx: &mut Effects,
    ) {
        acceptor.on_prepare(true, members.me(), ballot, fx);
        assert_eq!(acceptor.promised(), ballot, "a node stands only above what it has promised");
        let preparing = Preparing { ballot, since_us: now.mono_us, sent_us: now.mono_us, promises: BTreeMap::new() };
        preparing.send(members.others(), fx);
        *self = Proposer::Preparing(preparing);
    }

    pub(crate) fn on_promise(
        &mut self,
        now: Now,
        from: NodeId,
        promise: (Ballot, Slot, Vec<Report>),
        members: &Members,
    ) {
        let (ballot, floor, reports) = promise;
        let Proposer::Preparing(preparing) = self else { return };
        if ballot != preparing.ballot {
            return;
        }
        preparing.promises.insert(from, (floor, reports));
        if preparing.promises.len() < members.majority() {
            return;
        }
        let promises = std::mem::take(&mut preparing.promises);
        *self = Proposer::Gathering(Gathering::new(now, ballot, promises));
    }

    pub(crate) fn on_fetched(&mut self, now: Now, slot: Slot, ballot: Ballot, batch: Batch) {
        let Proposer::Gathering(gathering) = self else { return };
        let Some(wanted) = gathering.wanted.get(&slot) else { return };
        if wanted.ballot == ballot && wanted.digest == batch.digest() {
            gathering.wanted.remove(&slot);
            gathering.batches.insert(slot, batch);
            gathering.since_us = now.mono_us;
        }
    }

    /// The holders' floor, while this node has still to learn what lies below it.
    pub(crate) fn must_learn_through(&self) -> Option<Slot> {
        match self {
            Proposer::Gathering(gathering) => Some(gathering.floor),
            Proposer::Idle | Proposer::Preparing(_) | Proposer::Holding(_) => None,
        }
    }

    /// Does what the majority's reports demand, as far as it can be done now: takes over own copies, asks for the rest,
    /// and takes up the pen once nothing is missing.
    pub(crate) fn gather(
        &mut self,
        now: Now,
        retry_us: u64,
        alpha: u64,
        acceptor: &Acceptor,
        peers: &Peers,
        fx: &mut Effects,
    ) -> Option<Ballot> {
        let Proposer::Gathering(gathering) = self else { return None };
        gathering.take_own_copies(acceptor);
        gathering.fetch(now, retry_us, peers, fx);
        if !gathering.wanted.is_empty() || acceptor.floor() < gathering.floor {
            return None;
        }
        let ballot = gathering.ballot;
        let found = std::mem::take(&mut gathering.batches);
        *self = Proposer::Holding(Pen::new(ballot, acceptor.floor(), found, alpha));
        Some(ballot)
    }

    /// Only for the simulator's control: what lies below the reported floors is taken for undecided.
    pub(crate) fn ignore_floors(&mut self, acceptor: &Acceptor) {
        if let Proposer::Gathering(gathering) = self {
            gathering.floor = acceptor.floor();
        }
    }

    /// Something was learned: standing goes on.
    pub(crate) fn note_progress(&mut self, now: Now) {
        if let Proposer::Gathering(gathering) = self {
            gathering.since_us = now.mono_us;
        }
    }

    /// Sends a prepare again that may have been lost, to those that have not answered it.
    pub(crate) fn resend(&mut self, now: Now, retry_us: u64, members: &Members, fx: &mut Effects) {
        if let Proposer::Preparing(preparing) = self
            && preparing.sent_us + retry_us <= now.mono_us
        {
            preparing.sent_us = now.mono_us;
            let silent = members.others().filter(|peer| !preparing.promises.contains_key(peer));
            preparing.send(silent, fx);
        }
    }

    /// A peer's connection is new, so what was sent on the old one may be lost.
    pub(crate) fn resend_to(&self, peer: NodeId, chosen: Slot, fx: &mut Effects) {
        match self {
            Proposer::Idle | Proposer::Gathering(_) => {}
            Proposer::Preparing(preparing) => {
                if !preparing.promises.contains_key(&peer) {
                    preparing.send(std::iter::once(peer), fx);
                }
            }
            Proposer::Holding(pen) => pen.resend_to(peer, chosen, fx),
        }
    }
}

impl Preparing {
    fn send(&self, to: impl Iterator<Item = NodeId>, fx: &mut Effects) {
        fx.vows.extend(to.map(|peer| (peer, Vow::new(Message::Prepare { ballot: self.ballot }))));
    }
}

impl Gathering {
    fn new(now: Now, ballot: Ballot, promises: BTreeMap<NodeId, (Slot, Vec<Report>)>) -> Gathering {
        let floor = promises.values().map(|(floor, _)| *floor).max().unwrap_or_default();
        let mut wanted: BTreeMap<Slot, Wanted> = BTreeMap::new();
        for (node, (_, reports)) in promises {
            for Report { slot, ballot, digest } in reports {
                let found = Wanted { ballot, digest, holders: vec![node], asked: 0, asked_us: None };
                match wanted.get_mut(&slot) {
                    Some(best) if best.ballot > ballot => {}
                    Some(best) if best.ballot == ballot => best.holders.push(node),
                    Some(_) | None => {
                        wanted.insert(slot, found);
                    }
                }
            }
        }
        Gathering { ballot, since_us: now.mono_us, floor, wanted, batches: BTreeMap::new() }
    }

    fn take_own_copies(&mut self, acceptor: &Acceptor) {
        // What is chosen and known needs no proposal any more.
        self.wanted.retain(|slot, _| *slot > acceptor.floor());
        self.batches.retain(|slot, _| *slot > acceptor.floor());
        let batches = &mut self.batches;
        self.wanted.retain(|slot, wanted| match acceptor.vote(*slot) {
            Some(vote) if vote.ballot == wanted.ballot => {
                batches.insert(*slot, vote.batch.clone());
                false
            }
            Some(_) | None => true,
        });
    }

    fn fetch(&mut self, now: Now, retry_us: u64, peers: &Peers, fx: &mut Effects) {
        for (slot, wanted) in &mut self.wanted {
            if wanted.asked_us.is_some_and(|asked_us| asked_us + retry_us > now.mono_us) {
                continue;
            }
            // In turn, so that a holder that died after its promise is not asked for ever.
            let holders = wanted.holders.len();
            let next = (0..holders)
                .map(|step| wanted.holders[(wanted.asked + step) % holders])
                .position(|holder| !peers.is_closed(holder))
                .unwrap_or(0);
            let holder = wanted.holders[(wanted.asked + next) % holders];
            wanted.asked = (wanted.asked + next + 1) % holders;
            wanted.asked_us = Some(now.mono_us);
            fx.send.push((holder, Message::FetchBatch { slot: *slot, ballot: wanted.ballot }));
        }
    }
}
