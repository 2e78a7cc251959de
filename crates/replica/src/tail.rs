//! How much of the log is kept below the own checkpoint: enough for a node that lags a little, whoever lags more. That
//! one is sent state instead, and the log has a bound.

use crate::input::Settings;
use paxos::Slot;
use std::collections::VecDeque;

/// Sizes are noted once for so many bytes of batches.
const STRIDE: u64 = 1 << 20;

/// Where in the log so many bytes have come together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tail {
    /// Bytes chosen since the start.
    bytes: u64,
    /// First slots after each stride, with the bytes before them.
    marks: VecDeque<(Slot, u64)>,
}

impl Tail {
    /// A batch of that size was chosen.
    pub(crate) fn note(&mut self, slot: Slot, bytes: usize) {
        let noted = self.marks.back().map_or(0, |(_, bytes)| *bytes);
        self.bytes += bytes as u64;
        if self.marks.is_empty() || self.bytes - noted >= STRIDE {
            self.marks.push_back((slot.next(), self.bytes));
        }
    }

    /// The first slot to be kept when the checkpoint covers everything through `checkpoint`.
    pub(crate) fn begin(&mut self, checkpoint: Slot, settings: Settings) -> Slot {
        let by_slots = Slot::new(checkpoint.next().get().saturating_sub(settings.tail_slots));
        let covered = self.marks.iter().take_while(|(slot, _)| *slot <= checkpoint.next()).last();
        let limit = covered.map_or(0, |(_, bytes)| bytes.saturating_sub(settings.tail_bytes));
        while self.marks.get(1).is_some_and(|(slot, bytes)| *bytes <= limit && *slot <= checkpoint.next()) {
            self.marks.pop_front();
        }
        let by_bytes = self.marks.front().filter(|(_, bytes)| *bytes <= limit && limit > 0).map(|(slot, _)| *slot);
        by_bytes.map_or(by_slots, |slot| slot.max(by_slots)).min(checkpoint.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(tail_slots: u64, tail_bytes: u64) -> Settings {
        Settings { tail_slots, tail_bytes, ..Settings::new(1) }
    }

    #[test]
    fn a_number_of_slots_is_kept_below_the_checkpoint() {
        let mut tail = Tail::default();
        assert_eq!(tail.begin(Slot::new(5), settings(10, u64::MAX)), Slot::ZERO);
        assert_eq!(tail.begin(Slot::new(100), settings(10, u64::MAX)), Slot::new(91));
        assert_eq!(tail.begin(Slot::new(100), settings(0, u64::MAX)), Slot::new(101));
        assert_eq!(tail.begin(Slot::new(100), settings(u64::MAX, u64::MAX)), Slot::ZERO);
    }

    #[test]
    fn large_slots_are_kept_as_far_as_their_bytes_allow() {
        let mut tail = Tail::default();
        for slot in 1..=100 {
            tail.note(Slot::new(slot), 1 << 20);
        }
        let begin = tail.begin(Slot::new(50), settings(1_000, 10 << 20));
        assert_eq!(begin, Slot::new(41));
        assert_eq!(tail.begin(Slot::new(100), settings(1_000, 10 << 20)), Slot::new(91));
        assert_eq!(tail.begin(Slot::new(100), settings(5, 10 << 20)), Slot::new(96), "whichever is less");
        assert!(tail.marks.len() <= 12, "{}", tail.marks.len());
    }

    #[test]
    fn small_slots_cost_no_memory() {
        let mut tail = Tail::default();
        for slot in 1..=100_000 {
            tail.note(Slot::new(slot), 100);
        }
        assert!(tail.marks.len() <= 12, "{}", tail.marks.len());
    }
}
