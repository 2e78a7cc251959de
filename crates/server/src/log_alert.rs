//! Tells when the log's time is ahead of the clocks, by how much, and when that is over.
//!
//! The log's time never goes back, so after a majority's clocks were wrong it stays ahead of them. Nothing is refused for
//! that: deadlines and expiry are counted in it. But what an operator reads there (days of limits, times of transfers) is
//! not what the wall says, and it is said again and again until it is over.

use api::span::span;
use tracing::{info, warn};

/// From here on it is told; clocks that are right, and a leader a little ahead, come to less.
pub(crate) const TOLD_FROM_MS: u64 = 5_000;
/// And only if it lasts: a node that has just started has yet to compare its clock with the others'.
const LASTS_US: u64 = 10_000_000;
/// Below this it is over.
const OVER_BELOW_MS: u64 = 2_000;
/// Told again so often.
const AGAIN_US: u64 = 600_000_000;

/// What was told last.
#[derive(Debug, Default)]
pub(crate) struct LogAlert {
    since_us: Option<u64>,
    told_us: Option<u64>,
}

/// What is to be told now.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    Ahead,
    Over,
    Nothing,
}

impl LogAlert {
    /// The log's time is so far ahead of the group's clocks.
    pub(crate) fn look(&mut self, ahead_ms: u64, now_us: u64) {
        match self.word(ahead_ms, now_us) {
            Word::Nothing => {}
            Word::Over => info!(event = "log_time_fine", ahead_ms),
            Word::Ahead => warn!(
                event = "log_time_ahead",
                ahead_ms,
                by = %span(ahead_ms),
                effect = "payments and sign-ins go on, counted in the log's time, which runs at half speed until the clocks have come after it",
                todo = "see that the clocks of all nodes are right; nothing else: docs/clocks.md"
            ),
        }
    }

    fn word(&mut self, ahead_ms: u64, now_us: u64) -> Word {
        let since_us = self.since_us.filter(|_| ahead_ms >= TOLD_FROM_MS);
        self.since_us = since_us.or_else(|| (ahead_ms >= TOLD_FROM_MS).then_some(now_us));
        let lasts = since_us.is_some_and(|since_us| now_us.saturating_sub(since_us) >= LASTS_US);
        match self.told_us {
            None if lasts => {}
            Some(_) if ahead_ms < OVER_BELOW_MS => {
                self.told_us = None;
                return Word::Over;
            }
            Some(told_us) if now_us.saturating_sub(told_us) >= AGAIN_US => {}
            None | Some(_) => return Word::Nothing,
        }
        self.told_us = Some(now_us);
        Word::Ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_when_it_lasts_then_now_and_then_and_once_when_it_is_over() {
        let mut alert = LogAlert::default();
        let day_ms = 86_400_000;
        assert_eq!(alert.word(4_999, 0), Word::Nothing);
        assert_eq!(alert.word(day_ms, 1), Word::Nothing);
        assert_eq!(alert.word(0, 2), Word::Nothing, "it was the node's own clock");
        assert_eq!(alert.word(day_ms, 3), Word::Nothing);
        assert_eq!(alert.word(day_ms, 3 + LASTS_US), Word::Ahead);
        assert_eq!(alert.word(day_ms, 4 + LASTS_US), Word::Nothing);
        let again_us = 3 + LASTS_US + AGAIN_US;
        assert_eq!(alert.word(day_ms, again_us), Word::Ahead);
        assert_eq!(alert.word(3_000, again_us + 1), Word::Nothing);
        assert_eq!(alert.word(1_999, again_us + 2), Word::Over);
        assert_eq!(alert.word(1_999, again_us + 3), Word::Nothing);
    }
}
