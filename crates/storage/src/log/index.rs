//! Where in the log the batch of each slot lies.
//!
//! A learned batch counts before an accepted one whatever the order of their records: it is known to be chosen. Where it
//! has rotted, an accepted batch stands in for it only if it is the same one.

use std::collections::BTreeMap;

use super::Digest;
use super::record::{Header, Kind, Position};

/// A whole record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) at: Position,
    pub(super) len: u32,
}

pub(super) type Ballot = (u64, u16);

/// What is known of one record that holds, or held, a slot's batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) at: Position,
    /// None if the batch is not whole.
    pub(super) batch: Option<Location>,
    /// None if only the batch itself can tell.
    pub(super) digest: Option<Digest>,
}

impl Held {
    /// What is written anew after damage may be torn itself: an older copy of the same batch is as good.
    fn or_batch_of(self, older: Option<Held>) -> Held {
        let same = |older: &Held| older.digest.is_some() && older.digest == self.digest;
        Held { batch: self.batch.or(older.filter(same).and_then(|older| older.batch)), ..self }
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct SlotRecords {
    accepted: Option<(Ballot, Held)>,
    learned: Option<Held>,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    slots: BTreeMap<u64, SlotRecords>,
    /// A record before this of which nothing is known could have said that something else was learned than was accepted
    /// before it.
    doubt_before: Option<Position>,
}

impl Index {
    pub(super) fn note(&mut self, header: &Header, held: Held) {
        if header.kind.has_slot() {
            let records = self.slots.entry(header.slot).or_default();
            let ballot = (header.round, header.node);
            if header.kind == Kind::Learned {
                records.learned = Some(held.or_batch_of(records.learned));
            } else {
                let same = records.accepted.filter(|(before, _)| *before == ballot).map(|(_, held)| held);
                records.accepted = Some((ballot, held.or_batch_of(same)));
            }
        }
    }

    /// Nothing is known of a record at this place.
    pub(super) fn doubt(&mut self, before: Position) {
        self.doubt_before = self.doubt_before.max(Some(before));
    }

    /// The batch to apply in a slot that is chosen, if it is whole and surely the chosen one.
    pub(super) fn chosen(&self, slot: u64) -> Option<Location> {
        let records = self.slots.get(&slot)?;
        let accepted = records.accepted.map(|(_, held)| held);
        match records.learned {
            Some(learned) => learned.batch.or_else(|| {
                let same = |held: &Held| held.digest.is_some() && held.digest == learned.digest;
                accepted.filter(same)?.batch
            }),
            None => accepted.filter(|held| self.doubt_before.is_none_or(|place| held.at > place))?.batch,
        }
    }

    pub(super) fn accepted_above(&self, slot: u64) -> impl Iterator<Item = (u64, Ballot, Held)> + '_ {
        self.slots
            .range(slot + 1..)
            .filter_map(|(slot, records)| records.accepted.map(|(ballot, held)| (*slot, ballot, held)))
    }

    /// The highest slot of which any record is known; 0 if none.
    pub(super) fn highest(&self) -> u64 {
        self.slots.last_key_value().map_or(0, |(slot, _)| *slot)
    }

    /// The oldest slot from which on all through `chosen` can be read; `chosen + 1` if there is none.
    pub(super) fn first_of_unbroken(&self, chosen: u64) -> u64 {
        let mut first = chosen + 1;
        for (slot, _) in self.slots.range(..=chosen).rev() {
            if *slot + 1 != first || self.chosen(*slot).is_none() {
                break;
            }
            first = *slot;
        }
        first
    }

    /// The oldest slot in this range that cannot be read.
    pub(super) fn first_unreadable(&self, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let mut expected = *range.start();
        if range.is_empty() {
            return None;
        }
        for (slot, _) in self.slots.range(range.clone()) {
            if *slot != expected || self.chosen(*slot).is_none() {
                break;
            }
            expected = *slot + 1;
        }
        range.contains(&expected).then_some(expected)
    }

    /// Forgets the slots through this one.
    pub(super) fn forget_through(&mut self, slot: u64) {
        self.slots = self.slots.split_off(&(slot + 1));
    }

    /// Forgets every record in segments before this one.
    pub(super) fn forget_before(&mut self, segment: u64) {
        let what_stays = |held: Held| {
            let batch = held.batch.filter(|location| location.at.segment >= segment);
            (held.at.segment >= segment).then_some(Held { batch, ..held })
        };
        self.slots.retain(|_, records| {
            records.accepted = records.accepted.and_then(|(ballot, held)| Some((ballot, what_stays(held)?)));
            records.learned = records.learned.and_then(what_stays);
            records.accepted.is_some() || records.learned.is_some()
        });
        self.doubt_before = self.doubt_before.filter(|place| place.segment >= segment);
    }
}
