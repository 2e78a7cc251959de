//! Linearizability: what callers saw fits one order in which every operation happened at one moment between its call
//! and its answer.
//!
//! The log gives that order, so nothing has to be searched for: an operation that changes the books stands at its
//! (slot, place in the journal), a read stands behind all of the slot that it was answered from. What is left to check
//! is that this order respects real time: what had been answered before another operation was called comes before it.
//! It is enough to remember, at each call, how far along the log anything answered so far stands; an answer must stand
//! further on (a read may stand where another read stood). That the answers are those of this order is checked by
//! `mirror`, by the balances that each slot leaves behind.

use super::{Violation, must};

/// Where in the order an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    slot: u64,
    place: u64,
}

impl Moment {
    pub const BEGINNING: Moment = Moment { slot: 0, place: 0 };

    pub fn write(slot: u64, place: u64) -> Moment {
        assert!(place < u64::MAX, "the last place belongs to reads");
        Moment { slot, place }
    }

    pub fn read(slot: u64) -> Moment {
        Moment { slot, place: u64::MAX }
    }

    fn is_read(self) -> bool {
        self.place == u64::MAX
    }
}

/// Taken when an operation is called and given back when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Called {
    answered_before: Moment,
}

#[derive(Debug)]
pub struct History {
    answered: Moment,
}

impl Default for History {
    fn default() -> History {
        History { answered: Moment::BEGINNING }
    }
}

impl History {
    /// An operation is called now. An operation tried again keeps what its first call was given.
    pub fn call(&self) -> Called {
        Called { answered_before: self.answered }
    }

    /// It is answered now, with what happened at that moment of the log.
    pub fn answer(&mut self, called: Called, at: Moment) -> Result<(), Violation> {
        let before = called.answered_before;
        must(at > before || (at == before && at.is_read()), || {
            format!(
                "history: {} answered from {} though {} had been answered before it was called",
                if at.is_read() { "a read was" } else { "a request was" },
                at.name(),
                before.name()
            )
        })?;
        self.answered = self.answered.max(at);
        Ok(())
    }
}

impl Moment {
    fn name(self) -> String {
        if self.is_read() { format!("slot {}", self.slot) } else { format!("slot {} place {}", self.slot, self.place) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_misses_an_answered_write_is_stale() {
        let mut history = History::default();
        let write = history.call();
        history.answer(write, Moment::write(5, 12)).expect("nothing came before");
        let read = history.call();
        let violation = history.answer(read, Moment::read(4)).expect_err("slot 5 had been answered");
        assert!(violation.0.starts_with("history: a read was answered from slot 4"), "{violation}");
    }

    #[test]
    fn operations_under_way_together_may_stand_in_either_order() {
        let mut history = History::default();
        let (first, second) = (history.call(), history.call());
        history.answer(first, Moment::write(5, 12)).expect("nothing came before");
        history.answer(second, Moment::read(4)).expect("it was called before the other was answered");
    }

    #[test]
    fn reads_may_share_a_moment_and_never_go_back() {
        let mut history = History::default();
        for slot in [3, 3, 4] {
            let read = history.call();
            history.answer(read, Moment::read(slot)).expect("reads go on");
        }
        let read = history.call();
        assert!(history.answer(read, Moment::read(3)).is_err());
    }
}
