//! Transfers per second over the last two minutes, from a count that only grows.

use std::collections::VecDeque;

/// Seconds that are remembered.
pub(super) const SECONDS: usize = 120;
const SECOND_MS: u64 = 1000;

/// The rates of whole seconds, and of the second that just went by.
#[derive(Debug, Default)]
pub(super) struct History {
    /// One a second, oldest first.
    per_second: VecDeque<u64>,
    /// Where the second that is being counted began: (milliseconds, count).
    began: Option<(u64, u64)>,
    /// What was noted in about the last second, oldest first.
    recent: VecDeque<(u64, u64)>,
}

impl History {
    /// Notes the count at a moment of a monotonic clock. Says whether a second was completed. After a pause of several
    /// seconds what happened meanwhile is spread over them evenly: when it happened is not known.
    pub(super) fn note(&mut self, now_ms: u64, count: u64) -> bool {
        self.recent.push_back((now_ms, count));
        // The oldest one kept is at least a second old, so that the rate is one of a whole second.
        while self.recent.get(1).is_some_and(|(at_ms, _)| now_ms.saturating_sub(*at_ms) >= SECOND_MS) {
            self.recent.pop_front();
        }
        let Some((began_ms, began_count)) = self.began else {
            self.began = Some((now_ms, count));
            return false;
        };
        let seconds = now_ms.saturating_sub(began_ms) / SECOND_MS;
        if seconds == 0 {
            return false;
        }
        let rate = count.saturating_sub(began_count) / seconds;
        for _ in 0..seconds.min(SECONDS as u64) {
            if self.per_second.len() == SECONDS {
                self.per_second.pop_front();
            }
            self.per_second.push_back(rate);
        }
        self.began = Some((began_ms + seconds * SECOND_MS, count));
        true
    }

    /// Transfers in the last second or, where notes are rarer, a second's share since the one before.
    #[expect(clippy::expect_used, reason = "a rate is at most what was counted")]
    pub(super) fn rate(&self) -> u64 {
        let (Some((first_ms, first)), Some((last_ms, last))) = (self.recent.front(), self.recent.back()) else {
            return 0;
        };
        let elapsed_ms = u128::from(last_ms.saturating_sub(*first_ms)).max(u128::from(SECOND_MS));
        let counted = u128::from(last.saturating_sub(*first)) * u128::from(SECOND_MS);
        u64::try_from(counted / elapsed_ms).expect("at most what was counted, since at least a second went by")
    }

    /// Whole seconds, oldest first; always as many, zero before there was anything.
    pub(super) fn per_second(&self) -> Vec<u64> {
        let missing = SECONDS - self.per_second.len();
        std::iter::repeat_n(0, missing).chain(self.per_second.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_own_rate() {
        let mut history = History::default();
        assert!(!history.note(5_000, 100), "the count before the first note is no rate");
        assert!(!history.note(5_500, 103));
        assert!(history.note(6_000, 110));
        assert!(history.note(7_000, 115));
        assert_eq!(history.per_second()[SECONDS - 3..], [0, 10, 5]);
    }

    #[test]
    fn a_pause_is_spread_over_its_seconds() {
        let mut history = History::default();
        history.note(0, 0);
        history.note(4_000, 40);
        assert_eq!(history.per_second()[SECONDS - 5..], [0, 10, 10, 10, 10]);
    }

    #[test]
    fn only_two_minutes_are_remembered_however_long_the_pause() {
        let mut history = History::default();
        history.note(0, 0);
        history.note(u64::MAX / 2, u64::MAX);
        for second in 0..500 {
            history.note(u64::MAX / 2 + second * SECOND_MS, u64::MAX);
        }
        assert_eq!(history.per_second(), vec![0; SECONDS]);
        assert!(history.recent.len() <= 2);
    }

    #[test]
    fn the_rate_is_that_of_the_last_second() {
        let mut history = History::default();
        assert_eq!(history.rate(), 0);
        for quarter in 0..=40 {
            history.note(quarter * 250, quarter * 5);
        }
        assert_eq!(history.rate(), 20);
        for quarter in 41..=44 {
            history.note(quarter * 250, 200);
        }
        assert_eq!(history.rate(), 0);
    }

    #[test]
    fn a_count_that_shrinks_is_no_rate() {
        let mut history = History::default();
        history.note(0, 1_000);
        history.note(1_000, 10);
        assert_eq!(history.rate(), 0);
        assert_eq!(history.per_second(), vec![0; SECONDS]);
    }
}
