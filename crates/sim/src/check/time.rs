//! The log's time against the clocks: never further ahead than a majority of them allowed, at any moment before.
//!
//! What counts as a node's clock is its steady one (`paxos`'s `clock`): its wall clock without the jumps that it has not
//! come to believe. So a wall clock that jumps by days allows nothing, and those of a majority that starts while its clocks
//! are wrong allow everything.

use super::{Violation, must};
use std::collections::BTreeMap;

/// What a proposer may be ahead of a majority, and what messages and ticks take.
const AHEAD_MAX_MS: u64 = 1_000 + 300;

#[derive(Debug, Default)]
pub struct Time {
    /// By node, as of its last tick: its clock, less the time since the run began.
    clocks_ms: BTreeMap<usize, i128>,
    /// The least that was ever a majority.
    majority: usize,
    /// What a majority has allowed so far, as of that moment.
    allowed_ms: i128,
    at_ms: u64,
}

impl Time {
    /// A node looked at its clock; `majority` is how many nodes of the present group are one.
    pub fn note(&mut self, node: usize, clock_ms: u64, now_us: u64, majority: usize) {
        let now_ms = now_us / 1_000;
        self.majority = if self.majority == 0 { majority } else { self.majority.min(majority) };
        self.clocks_ms.insert(node, i128::from(clock_ms) - i128::from(now_ms));
        // What is ahead of the clocks goes on at half their speed.
        self.allowed_ms += i128::from(now_ms.saturating_sub(self.at_ms)) / 2;
        self.at_ms = now_ms;
        let mut clocks_ms: Vec<i128> = self.clocks_ms.values().copied().collect();
        clocks_ms.sort_unstable();
        if let Some(clock_ms) = clocks_ms.len().checked_sub(self.majority).and_then(|at| clocks_ms.get(at)) {
            self.allowed_ms = self.allowed_ms.max(clock_ms + i128::from(now_ms));
        }
    }

    /// After a slot the log's time is this.
    pub fn check(&self, slot: u64, log_ms: u64) -> Result<(), Violation> {
        let ahead_ms = i128::from(log_ms) - self.allowed_ms;
        must(ahead_ms <= i128::from(AHEAD_MAX_MS), || {
            format!("time: slot {slot} brings the log's time {ahead_ms} ms ahead of what a majority of clocks allows")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_clock_ahead_allows_nothing_and_two_of_three_do() {
        let mut time = Time::default();
        (0..3).for_each(|node| time.note(node, 1_000_000, 0, 2));
        time.note(0, 1_100_500, 500_000, 2);
        assert!(time.check(1, 1_001_799).is_ok());
        assert!(time.check(1, 1_100_500).is_err());
        time.note(1, 1_100_500, 500_000, 2);
        assert!(time.check(1, 1_100_500).is_ok());
        (0..2).for_each(|node| time.note(node, 1_001_000, 1_000_000, 2));
        assert!(time.check(2, 1_100_500 + 250 + 1_300).is_ok(), "half the time that has passed, and what is allowed");
        assert!(time.check(2, 1_100_500 + 250 + 1_301).is_err());
    }
}
