//! The acceptor: one promise for the whole log, one vote per slot above the floor.
//!
//! Invariants: the promise only rises; every vote's ballot is at most the promise; votes exist only above the floor and
//! not further above it than the bound. All at or below the floor is chosen and was handed out to be applied, so what is
//! kept in memory is what is in flight. Whatever it answers that binds it goes out as a vow, behind its record.

use crate::config::Recovered;
use crate::controls::{Control, Rules};
use crate::effects::{Effects, Record};
use crate::ids::{Ballot, Batch, Digest, NodeId, Slot};
use crate::message::{Message, Report, Vow};
use std::collections::BTreeMap;

/// How many windows of the pipeline an acceptor keeps above its floor. The proposer's own window starts where *it* has
/// applied to; a voter that lags by one more window still votes, one that lags further catches up first.
const WINDOWS_KEPT: u64 = 2;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Vote {
    pub(crate) ballot: Ballot,
    pub(crate) copy: Copy,
}

/// What is left of the batch that was voted for. The vote stands either way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Copy {
    Whole(Batch),
    /// Its record has rotted; the digest stood in the second place.
    Lost(Digest),
}

impl Vote {
    pub(crate) fn batch(&self) -> Option<&Batch> {
        match &self.copy {
            Copy::Whole(batch) => Some(batch),
            Copy::Lost(_) => None,
        }
    }

    fn digest(&self) -> Digest {
        match &self.copy {
            Copy::Whole(batch) => batch.digest(),
            Copy::Lost(digest) => *digest,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Acceptor {
    promised: Ballot,
    votes: BTreeMap<Slot, Vote>,
    floor: Slot,
    /// How far above the floor a slot may lie.
    bound: u64,
    rules: Rules,
    /// Where the promise begins to bind if `PromiseOnlyFromSlot` is switched off; otherwise unused.
    binds_from: Slot,
}

impl Acceptor {
    pub(crate) fn new(recovered: Recovered, alpha: u64, rules: Rules) -> Acceptor {
        let mut promised = recovered.promised;
        let mut votes = BTreeMap::new();
        for (slot, ballot, digest, batch) in recovered.accepted {
            // A vote is a promise too, even if its ballot's promise was never written by itself.
            promised = promised.max(ballot);
            if slot > recovered.chosen {
                let copy = batch.map_or(Copy::Lost(digest), Copy::Whole);
                votes.insert(slot, Vote { ballot, copy });
            }
        }
        let bound = alpha.saturating_mul(WINDOWS_KEPT);
        Acceptor { promised, votes, floor: recovered.chosen, bound, rules, binds_from: Slot::ZERO }
    }

    pub(crate) fn promised(&self) -> Ballot {
        self.promised
    }

    /// Everything at or below it is chosen.
    pub(crate) fn floor(&self) -> Slot {
        self.floor
    }

    pub(crate) fn votes(&self) -> &BTreeMap<Slot, Vote> {
        &self.votes
    }

    pub(crate) fn vote(&self, slot: Slot) -> Option<&Vote> {
        self.votes.get(&slot)
    }

    /// What a read asks for: the highest slot accepted, or the floor if nothing is accepted above it. It may count votes
    /// that are not on disk yet; that only makes a reader wait for more than it must.
    pub(crate) fn highest(&self) -> Slot {
        self.votes.last_key_value().map_or(self.floor, |(slot, _)| (*slot).max(self.floor))
    }

    pub(crate) fn bound(&self) -> u64 {
        self.bound
    }

    /// Promises `ballot` to `from`, or refuses. A prepare that is heard again is answered again.
    pub(crate) fn on_prepare(&mut self, own: bool, from: NodeId, ballot: Ballot, fx: &mut Effects) {
        if ballot < self.promised {
            fx.send.push((from, Message::Refused { ballot, promised: self.promised }));
            return;
        }
        self.binds_from = self.highest().next();
        if own || self.rules.hold(Control::ForgetPromise) {
            self.promise(ballot, fx);
        }
        let accepted = self
            .votes
            .iter()
            .map(|(slot, vote)| Report { slot: *slot, ballot: vote.ballot, digest: vote.digest() })
            .collect();
        let promise = Message::Promise { ballot, floor: self.floor, accepted };
        fx.vows.push((from, Vow::new(promise, self.floor)));
    }

    /// Votes for `batch`, or refuses a ballot below the promise, or is silent where it has nothing to say.
    pub(crate) fn on_accept(&mut self, from: NodeId, ballot: Ballot, slot: Slot, batch: Batch, fx: &mut Effects) {
        if ballot < self.promised && self.promise_binds(slot) {
            fx.send.push((from, Message::Refused { ballot, promised: self.promised }));
            return;
        }
        if slot <= self.floor {
            // Chosen long ago; the sender's next heartbeat round tells it so. A vote here would be a lie.
            if !self.rules.hold(Control::IgnoreFloors) {
                fx.vows.push((from, Vow::new(Message::Accepted { ballot, slot }, self.floor)));
            }
            return;
        }
        if slot > self.floor.plus(self.bound) {
            return;
        }
        // One (ballot, slot) carries one batch for ever, so a copy heard again needs no second record, only an answer. But
        // where the copy is lost, this one takes its place.
        if self.vote(slot).is_none_or(|vote| vote.ballot != ballot || vote.batch().is_none()) {
            self.promise(ballot.max(self.promised), fx);
            fx.persist.push(Record::Accepted { slot, ballot, batch: batch.clone() });
            self.votes.insert(slot, Vote { ballot, copy: Copy::Whole(batch) });
        }
        fx.vows.push((from, Vow::new(Message::Accepted { ballot, slot }, self.floor)));
    }

    /// The slot above the floor is chosen: the floor rises over it and its vote leaves memory.
    pub(crate) fn raise_floor(&mut self, slot: Slot) -> Option<Vote> {
        assert_eq!(slot, self.floor.next(), "the floor rises slot by slot");
        self.floor = slot;
        self.votes.remove(&slot)
    }

    /// State that was made elsewhere covers everything through `slot`: the votes at and below it have done their work.
    pub(crate) fn jump(&mut self, slot: Slot) {
        assert!(slot >= self.floor, "the floor never falls: {slot} after {}", self.floor);
        self.floor = slot;
        self.votes = self.votes.split_off(&slot.next());
    }

    fn promise(&mut self, ballot: Ballot, fx: &mut Effects) {
        assert!(ballot >= self.promised, "a promise only rises: {ballot} after {}", self.promised);
        if ballot > self.promised {
            self.promised = ballot;
            fx.persist.push(Record::Promised(ballot));
        }
    }

    fn promise_binds(&self, slot: Slot) -> bool {
        self.rules.hold(Control::PromiseOnlyFromSlot) || slot >= self.binds_from
    }
}
