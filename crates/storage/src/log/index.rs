//! Where in the log the batch of each slot lies.
//!
//! A learned batch counts before an accepted one whatever the order of their records: it is known to be chosen.

use std::collections::BTreeMap;

use super::record::{Header, Kind, Position};

/// A whole record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) at: Position,
    pub(super) len: u32,
}

pub(super) type Ballot = (u64, u16);

#[derive(Debug, Default, Clone, Copy)]
struct SlotRecords {
    accepted: Option<(Ballot, Location)>,
    learned: Option<Location>,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    slots: BTreeMap<u64, SlotRecords>,
}

impl Index {
    pub(super) fn note(&mut self, header: &Header, at: Position) {
        let location = Location { at, len: header.len };
        match header.kind {
            Kind::Accepted => {
                self.slots.entry(header.slot).or_default().accepted = Some(((header.round, header.node), location));
            }
            Kind::Learned => self.slots.entry(header.slot).or_default().learned = Some(location),
            Kind::Head | Kind::Opened | Kind::Promised | Kind::Chosen | Kind::Trimmed => {}
        }
    }

    /// The batch to apply in a slot that is chosen.
    pub(super) fn chosen(&self, slot: u64) -> Option<Location> {
        let records = self.slots.get(&slot)?;
        records.learned.or(records.accepted.map(|(_, location)| location))
    }

    pub(super) fn accepted_above(&self, slot: u64) -> impl Iterator<Item = (u64, Ballot, Location)> + '_ {
        self.slots
            .range(slot + 1..)
            .filter_map(|(slot, records)| records.accepted.map(|(ballot, location)| (*slot, ballot, location)))
    }

    /// The oldest slot from which on all through `chosen` are held; `chosen + 1` if there is none.
    pub(super) fn first_of_unbroken(&self, chosen: u64) -> u64 {
        let mut first = chosen + 1;
        for (slot, _) in self.slots.range(..=chosen).rev() {
            if *slot + 1 != first {
                break;
            }
            first = *slot;
        }
        first
    }

    /// Forgets the slots through this one.
    pub(super) fn forget_through(&mut self, slot: u64) {
        self.slots = self.slots.split_off(&(slot + 1));
    }

    /// Forgets every record in segments before this one.
    pub(super) fn forget_before(&mut self, segment: u64) {
        let gone = |location: &Location| location.at.segment < segment;
        self.slots.retain(|_, records| {
            records.accepted = records.accepted.filter(|(_, location)| !gone(location));
            records.learned = records.learned.filter(|location| !gone(location));
            records.accepted.is_some() || records.learned.is_some()
        });
    }
}
