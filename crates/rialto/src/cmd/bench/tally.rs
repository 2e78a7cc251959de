//! What is measured: outcomes, latencies, and how long nobody was answered.

use api::client::{Answered, Outcome};
use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(crate) const LATENCY_US_MAX: u64 = 120_000_000;

/// What came of the calls of one caller, of one node's callers, or of all.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) posted: u64,
    pub(crate) rejected: u64,
    pub(crate) unknown: u64,
    /// Microseconds of a call.
    pub(crate) latencies: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("fixed and sensible bounds");
        Self { calls: 0, posted: 0, rejected: 0, unknown: 0, latencies }
    }

    /// Time from one call of a caller to its next.
    pub(crate) fn interval(&self, took: Duration, callers: usize) -> Duration {
        let calls_of_one = (self.calls / callers.max(1) as u64).max(1);
        took / u32::try_from(calls_of_one).unwrap_or(u32::MAX)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.posted += other.posted;
        self.rejected += other.rejected;
        self.unknown += other.unknown;
        self.latencies.add(&other.latencies).expect("same bounds");
    }

    /// A call was answered after so long. `usual` corrects for coordinated omission; zero leaves it as it is.
    pub(crate) fn count(&mut self, answers: &[Answered], took: Duration, usual: Duration) {
        self.count_call(took, usual);
        for answer in answers {
            match answer.outcome {
                Outcome::Posted { .. } => self.posted += 1,
                Outcome::Held { .. } | Outcome::Voided | Outcome::Rejected { .. } => self.rejected += 1,
            }
        }
    }

    /// The same of a call whose outcomes are counted elsewhere.
    pub(crate) fn count_call(&mut self, took: Duration, usual: Duration) {
        self.calls += 1;
        let took_us = micros(took).clamp(1, LATENCY_US_MAX);
        self.latencies.record_correct(took_us, micros(usual)).expect("clamped to the bounds");
    }
}

/// When the last answer came at one node, and the longest time between two since somebody looked.
#[derive(Debug)]
pub(crate) struct Pulse {
    start: Instant,
    last_us: AtomicU64,
    longest_us: AtomicU64,
    posted: AtomicU64,
    failed: AtomicU64,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        let zero = AtomicU64::default;
        Self { start: Instant::now(), last_us: zero(), longest_us: zero(), posted: zero(), failed: zero() }
    }

    pub(crate) fn beat(&self, posted: u64) {
        self.look();
        self.posted.fetch_add(posted, Ordering::Relaxed);
    }

    pub(crate) fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn look(&self) {
        let now_us = micros(self.start.elapsed());
        let last_us = self.last_us.fetch_max(now_us, Ordering::Relaxed);
        self.longest_us.fetch_max(now_us.saturating_sub(last_us), Ordering::Relaxed);
    }

    /// The longest pause since the last look, one that still lasts included, and a new start.
    pub(crate) fn take_longest_us(&self) -> u64 {
        let lasting_us = micros(self.start.elapsed()).saturating_sub(self.last_us.load(Ordering::Relaxed));
        self.longest_us.swap(0, Ordering::Relaxed).max(lasting_us)
    }

    pub(crate) fn posted(&self) -> u64 {
        self.posted.load(Ordering::Relaxed)
    }

    /// Calls that ended without an outcome.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_still_lasts_is_a_pause() {
        let pulse = Pulse::new();
        pulse.beat(1);
        pulse.take_longest_us();
        std::thread::sleep(Duration::from_millis(20));
        assert!(pulse.take_longest_us() >= 20_000);
        pulse.beat(1);
        assert!(pulse.take_longest_us() >= 20_000, "the answer that ended it came after the look");
        assert!(pulse.take_longest_us() < 20_000);
    }

    #[test]
    fn a_call_that_took_long_counts_for_those_that_were_not_sent_meanwhile() {
        let mut tally = Tally::new();
        tally.count(&[], Duration::from_millis(10), Duration::from_millis(1));
        assert_eq!((tally.calls, tally.latencies.len()), (1, 10));
        tally.count(&[], Duration::from_millis(10), Duration::ZERO);
        assert_eq!((tally.calls, tally.latencies.len()), (2, 11));
    }
}
