//! What a node has on disk: a log of records whose unsynced tail a crash may lose from any record on.
//!
//! What is synced is kept folded, as the log's own recovery would give it back, so that two histories that leave the
//! same log behind are one state. Beside it stands what the checker remembers and no node does: every vote ever cast.

use paxos::{Ballot, Batch, Record, Recovered, Slot};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    promised: Ballot,
    /// The last record of each slot.
    slots: BTreeMap<Slot, (Ballot, Batch)>,
    chosen: Slot,
    /// Votes above `chosen` whose batch has rotted: they stand, by their digest.
    rotten: BTreeSet<Slot>,
    /// All votes that were ever synced here.
    cast: BTreeMap<(Slot, Ballot), Batch>,
    /// Appended and not synced.
    tail: Vec<Record>,
}

/// A vote that can never be taken back.
pub(crate) type Cast = (Slot, Ballot, Batch);

impl Disk {
    pub(crate) fn append(&mut self, records: Vec<Record>) {
        self.tail.extend(records);
    }

    /// Makes the tail durable; answers the votes that are so from now on.
    pub(crate) fn sync(&mut self) -> Vec<Cast> {
        let tail = std::mem::take(&mut self.tail);
        tail.into_iter().filter_map(|record| self.fold(record)).collect()
    }

    /// The power goes while the tail is under way: its first `kept` records reached the disk, the others did not.
    /// A start writes and syncs what it found before it counts.
    pub(crate) fn crash(&mut self, kept: usize) -> Vec<Cast> {
        self.tail.truncate(kept);
        self.sync()
    }

    /// The votes whose batches may rot in a crash that keeps so much of the tail.
    pub(crate) fn open_votes(&self, kept: usize) -> Vec<Slot> {
        let mut after = self.clone();
        after.crash(kept);
        let open = after.slots.range(after.chosen.next()..);
        open.map(|(slot, _)| *slot).filter(|slot| !after.rotten.contains(slot)).collect()
    }

    /// The batch of a vote is lost, the vote is not: it stands in a second place.
    pub(crate) fn rot(&mut self, slot: Slot) {
        self.rotten.insert(slot);
    }

    pub(crate) fn tail(&self) -> &[Record] {
        &self.tail
    }

    pub(crate) fn cast(&self) -> &BTreeMap<(Slot, Ballot), Batch> {
        &self.cast
    }

    /// What a start finds.
    pub(crate) fn recover(&self) -> Recovered {
        let above = self.slots.range(self.chosen.next()..);
        let vote = |(slot, (ballot, batch)): (&Slot, &(Ballot, Batch))| {
            let whole = Some(batch.clone()).filter(|_| !self.rotten.contains(slot));
            (*slot, *ballot, batch.digest(), whole)
        };
        Recovered {
            promised: self.promised,
            accepted: above.map(vote).collect(),
            chosen: self.chosen,
            ..Recovered::default()
        }
    }

    /// The batches of these slots as a reader of the log finds them, the tail included: they need not be synced to be
    /// read.
    pub(crate) fn read(&self, from: Slot, through: Slot) -> Vec<(Slot, Batch)> {
        let mut all = self.clone();
        all.sync();
        let known = all.slots.range(from..).take_while(|(slot, _)| **slot <= through);
        assert!(all.rotten.iter().all(|slot| *slot > all.chosen), "a rotten batch was taken for a chosen one");
        known.map(|(slot, (_, batch))| (*slot, batch.clone())).collect()
    }

    fn fold(&mut self, record: Record) -> Option<Cast> {
        match record {
            Record::Promised(ballot) => self.promised = self.promised.max(ballot),
            Record::Accepted { slot, ballot, batch } => {
                self.promised = self.promised.max(ballot);
                self.rotten.remove(&slot);
                self.slots.insert(slot, (ballot, batch.clone()));
                self.cast.insert((slot, ballot), batch.clone());
                return Some((slot, ballot, batch));
            }
            Record::Learned { slot, batch } => {
                self.rotten.remove(&slot);
                self.slots.insert(slot, (Ballot::ZERO, batch));
                self.chosen = self.chosen.max(slot);
            }
            Record::Chosen { through } => self.chosen = self.chosen.max(through),
        }
        None
    }
}
