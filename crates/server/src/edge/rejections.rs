//! How many fresh rejections one caller may cause.
//!
//! A rejection is an outcome and is kept for good, so whoever sends nonsense under ever new ids fills the journal without
//! moving a cent. Each caller has a budget that refills with time; who has used it up is refused for load, before
//! anything is proposed, and burns no id. Replays cost nothing. Until callers sign in, all callers of a node are one.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Rejections a second that a caller may cause for ever: 2.5 MB of journal.
const REFILL_PER_MS: u64 = 10;
/// Rejections that a caller may cause at once.
const BURST: u64 = 200_000;

/// One caller's budget.
#[derive(Debug)]
pub struct Rejections {
    spent: Mutex<Spent>,
}

#[derive(Debug, Clone, Copy)]
struct Spent {
    rejections: u64,
    at: Instant,
}

impl Spent {
    /// What is still spent at a later moment.
    fn later(self, now: Instant) -> Spent {
        let passed_ms = u64::try_from(now.saturating_duration_since(self.at).as_millis()).unwrap_or(u64::MAX);
        let left = self.rejections.saturating_sub(passed_ms.saturating_mul(REFILL_PER_MS));
        // Parts of a millisecond are not lost: the moment moves only as far as it was counted.
        if passed_ms == 0 { self } else { Spent { rejections: left, at: now } }
    }
}

impl Default for Rejections {
    fn default() -> Rejections {
        Rejections { spent: Mutex::new(Spent { rejections: 0, at: Instant::now() }) }
    }
}

impl Rejections {
    /// May this caller ask for more? Otherwise, in how many milliseconds again.
    pub fn admit(&self, now: Instant) -> Result<(), u64> {
        let spent = self.update(now, 0);
        if spent <= BURST { Ok(()) } else { Err((spent - BURST).div_ceil(REFILL_PER_MS)) }
    }

    /// So many commands of this caller were rejected for the first time.
    pub fn spend(&self, now: Instant, rejections: u64) {
        self.update(now, rejections);
    }

    fn update(&self, now: Instant, more: u64) -> u64 {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        *spent = spent.later(now);
        spent.rejections = spent.rejections.saturating_add(more);
        spent.rejections
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_budget_that_is_used_up_refills_with_time() {
        let rejections = Rejections::default();
        let now = Instant::now();
        rejections.spend(now, BURST);
        assert_eq!(rejections.admit(now), Ok(()));
        rejections.spend(now, 5_000);
        assert_eq!(rejections.admit(now), Err(500));
        assert_eq!(rejections.admit(now + Duration::from_millis(499)), Err(1));
        assert_eq!(rejections.admit(now + Duration::from_millis(500)), Ok(()));
    }
}
