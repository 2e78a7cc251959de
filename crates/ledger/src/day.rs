//! What a customer's account was debited today.
//!
//! A day is a UTC day of the ledger's time. Beside a customer's account stands the day of its last debit, with what had
//! been debited and held before the first one of that day. What was spent on a day is how much that sum has grown since:
//!
//! ```text
//! yesterday            │ today
//! … posted + held ─────┼──► base ── first debit ── debits, holds, posts, voids ──► posted + held = base + spent
//! ```
//!
//! So a hold counts when it is placed, its post changes nothing, its void gives back. The void of an older hold gives back
//! to the day on which it comes, if the account was debited on that day before; otherwise it is over with the day on which
//! the hold was placed. Whatever is voided when: no debit brings the sum past its base plus the limit, and no day's base is
//! above the sum at the end of the day before. Over n days an account is debited n times the limit at most.
//!
//! Nothing happens when a day begins. The first debit finds another day's mark and makes its own, which its record says
//! with one bit, so that a checkpoint can be folded from the record alone.

use crate::account::Balances;
use crate::money::{Amount, TOTAL_MAX};

/// Milliseconds of a UTC day.
const DAY_MS: u64 = 86_400_000;

/// The day of a customer's last debit. The default is right for an account that was never debited: the first day of 1970,
/// before which nothing was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Day {
    /// Days since 1970 UTC.
    number: u32,
    base: u128,
}

impl Day {
    /// The day of a first debit, by its time and what was debited and held before it.
    pub(crate) fn beginning(time_ms: u64, base: u128) -> Day {
        Day { number: day_number(time_ms), base }
    }

    /// `None` for what no account can have.
    pub(crate) fn from_parts(number: u32, base: u128) -> Option<Day> {
        (base <= TOTAL_MAX).then_some(Day { number, base })
    }

    pub(crate) fn number(self) -> u32 {
        self.number
    }

    pub(crate) fn base(self) -> u128 {
        self.base
    }

    pub(crate) fn is_at(self, time_ms: u64) -> bool {
        self.number == day_number(time_ms)
    }

    /// Whether the time has not come to that day yet.
    pub(crate) fn is_after(self, time_ms: u64) -> bool {
        self.number > day_number(time_ms)
    }

    /// Whether that much more may be debited on this day. What was spent so far otherwise.
    pub(crate) fn can_spend(self, amount: Amount, limit: Amount, now: &Balances) -> Result<(), u128> {
        let sum = now.debited_and_held();
        // Both sides are below 2^113.
        let is_within = sum + amount.minor() <= self.base + limit.minor();
        // Voids of older holds may have brought the sum below the base: then nothing was spent, and more than the limit may be.
        if is_within { Ok(()) } else { Err(sum.saturating_sub(self.base)) }
    }
}

/// The ledger's times are below 2^48 ms, its days below 2^22.
#[expect(clippy::expect_used, reason = "the ledger's times are below 2^48 milliseconds")]
fn day_number(time_ms: u64) -> u32 {
    u32::try_from(time_ms / DAY_MS).expect("the ledger's times are below 2^48")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balances(posted_debits: u128, held_debits: u128) -> Balances {
        Balances { posted_debits, held_debits, ..Balances::default() }
    }

    fn amount(minor: u128) -> Amount {
        Amount::new(minor).expect("in range")
    }

    #[test]
    fn a_day_ends_with_its_last_millisecond() {
        let day = Day::beginning(3 * DAY_MS, 0);
        let rows = [(3 * DAY_MS - 1, false, true), (3 * DAY_MS, true, false), (4 * DAY_MS - 1, true, false)];
        for (time_ms, is_at, is_after) in rows {
            assert_eq!((day.is_at(time_ms), day.is_after(time_ms)), (is_at, is_after), "{time_ms}");
        }
        assert!(!day.is_at(4 * DAY_MS) && !day.is_after(4 * DAY_MS));
    }

    #[test]
    fn spent_is_what_debits_and_holds_have_grown_since_the_day_began() {
        let day = Day::beginning(0, balances(70, 30).debited_and_held());
        let can_spend = |minor, now: Balances| day.can_spend(amount(minor), amount(50), &now);
        assert_eq!(can_spend(50, balances(70, 30)), Ok(()));
        assert_eq!(can_spend(51, balances(70, 30)), Err(0));
        assert_eq!(can_spend(30, balances(80, 40)), Ok(()));
        assert_eq!(can_spend(31, balances(80, 40)), Err(20));
        assert_eq!(can_spend(80, balances(70, 0)), Ok(()), "a void of an older hold gives back");
        assert_eq!(can_spend(81, balances(70, 0)), Err(0));
    }

    #[test]
    fn no_bound_of_amounts_or_times_is_too_large() {
        let full = balances(TOTAL_MAX, 0);
        let day = Day::beginning(crate::record::U48_MAX, full.debited_and_held());
        assert_eq!(day.can_spend(Amount::MAX, Amount::MAX, &full), Ok(()));
        assert_eq!(Day::from_parts(day.number(), TOTAL_MAX), Some(day));
        assert_eq!(Day::from_parts(0, TOTAL_MAX + 1), None);
    }
}
