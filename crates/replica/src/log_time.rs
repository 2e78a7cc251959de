//! The log's time, as one node knows it: the latest time of a batch that it has seen, and how long ago that was.
//!
//! The time of a batch is never behind that of a batch before it. It follows the clocks where a majority allows it
//! ([`paxos::Paxos::clock_ms`]). Where the log's time is ahead of those, because clocks were wrong when earlier batches got
//! theirs, it goes on at half the speed of the monotonic clock until the clocks have come after it. So whatever is
//! counted in the log's time (deadlines, expiry) comes to its end at the latest after twice as long, and the distance
//! only shrinks.

use paxos::Batch;

use crate::request;

/// Later times are no times: state machines keep theirs in six bytes.
const LATEST_MS: u64 = (1 << 48) - 1;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct LogTime {
    latest_ms: u64,
    /// When that was seen, by the monotonic clock.
    at_us: u64,
}

impl LogTime {
    /// Some batch, or the state machine, has come to this time.
    pub(crate) fn note(&mut self, time_ms: u64, now_us: u64) {
        let time_ms = time_ms.min(LATEST_MS);
        if time_ms > self.at(now_us) {
            *self = LogTime { latest_ms: time_ms, at_us: now_us };
        }
    }

    pub(crate) fn note_batch(&mut self, batch: &Batch, now_us: u64) {
        if let Some(time_ms) = request::clock_ms(batch) {
            self.note(time_ms, now_us);
        }
    }

    /// The log's time now, if no batch came meanwhile.
    pub(crate) fn at(&self, now_us: u64) -> u64 {
        let passed_ms = now_us.saturating_sub(self.at_us) / 1_000;
        self.latest_ms.saturating_add(passed_ms / 2).min(LATEST_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_goes_on_at_half_speed_and_never_back() {
        let mut time = LogTime::default();
        time.note(10_000, 1_000_000);
        assert_eq!((time.at(1_000_000), time.at(3_000_000), time.at(0)), (10_000, 11_000, 10_000));
        time.note(10_900, 3_000_000);
        assert_eq!(time.at(5_000_000), 12_000, "what is behind moves nothing");
        time.note(12_001, 5_000_000);
        assert_eq!(time.at(5_000_000), 12_001);
        time.note(u64::MAX, 5_000_000);
        assert_eq!(time.at(u64::MAX), LATEST_MS);
    }
}
