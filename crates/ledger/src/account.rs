//! An account's totals and what follows from them.
//!
//! Totals only ever grow with what is posted; a balance is the difference of two of them. Each stays at or below
//! [`TOTAL_MAX`], and so does posted plus held on either side: the rules see to it before anything is placed, which is
//! why posting a hold later cannot overflow.

use crate::currency::Currency;
use crate::customer::Lock;
use crate::ids::AccountId;
use crate::money::{Amount, TOTAL_MAX};

/// The four totals of an account, in minor units.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Balances {
    pub posted_debits: u128,
    pub posted_credits: u128,
    pub held_debits: u128,
    pub held_credits: u128,
}

/// The balances of an account right after an outcome.
pub type BalancesAfter = Balances;

impl Balances {
    /// Posted credits less posted debits: below zero only in the bank's own accounts.
    pub fn balance(&self) -> i128 {
        signed(self.posted_credits) - signed(self.posted_debits)
    }

    /// What may be spent: the balance less what is held. Held credits count for nothing until they are posted.
    pub fn available(&self) -> i128 {
        self.balance() - signed(self.held_debits)
    }

    pub fn has_holds(&self) -> bool {
        self.held_debits != 0 || self.held_credits != 0
    }

    /// All that was ever debited and all that is held to be.
    pub(crate) fn debited_and_held(&self) -> u128 {
        self.posted_debits + self.held_debits
    }

    /// Whether that much more may be debited, now or by a hold, without passing the bound of a total.
    pub(crate) fn has_room_for_debit(&self, amount: Amount) -> bool {
        self.debited_and_held() + amount.minor() <= TOTAL_MAX
    }

    /// The same on the credit side.
    pub(crate) fn has_room_for_credit(&self, amount: Amount) -> bool {
        self.posted_credits + self.held_credits + amount.minor() <= TOTAL_MAX
    }

    pub(crate) fn are_bounded(&self) -> bool {
        let sum_is_bounded = |posted: u128, held: u128| posted.checked_add(held).is_some_and(|sum| sum <= TOTAL_MAX);
        sum_is_bounded(self.posted_debits, self.held_debits) && sum_is_bounded(self.posted_credits, self.held_credits)
    }
}

/// Totals are below 2^112, so they and their differences fit with room to spare.
#[expect(
    clippy::expect_used,
    reason = "no total passes TOTAL_MAX: the rules refuse it, and a record or checkpoint with more is not read"
)]
fn signed(total: u128) -> i128 {
    i128::try_from(total).expect("totals are bounded by TOTAL_MAX")
}

/// Whether an account takes part in anything new.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Standing {
    Open,
    Closed,
}

/// What the rules need of an account, and all that changes often: kept small and apart from what only a reader asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Account {
    pub id: AccountId,
    /// Accounts are numbered from 0 in the order of their opening; where the books keep it.
    pub number: u32,
    pub currency: Currency,
    pub standing: Standing,
    /// Of a customer's account, whether it may be debited; `None` for every other.
    pub customer: Option<Lock>,
    pub balances: Balances,
    /// Place of the newest record that changed the balances: the head of the account's statement.
    pub last_place: Option<Place>,
}

/// A place in the journal, kept in the form that leaves room for "none" without more bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place(std::num::NonZeroU64);

impl Place {
    /// Places, slots and times are stored in 48 bits, all ones standing for "none": at a million records a second the
    /// journal would reach this one after nine years and 64 petabytes.
    pub const MAX: u64 = (1 << 48) - 2;

    /// Panics past [`Place::MAX`], which no disk reaches.
    pub fn new(place: u64) -> Place {
        assert!(place <= Place::MAX, "the journal has more than 2^48 records");
        Place(std::num::NonZeroU64::MIN.saturating_add(place))
    }

    pub fn get(self) -> u64 {
        self.0.get() - 1
    }
}

impl Account {
    pub(crate) fn new(id: AccountId, number: u32, currency: Currency) -> Account {
        Account {
            id,
            number,
            currency,
            standing: Standing::Open,
            customer: None,
            balances: Balances::default(),
            last_place: None,
        }
    }

    /// The bank's own accounts have no floor: a vault's balance is below zero by what it has paid in.
    pub fn is_internal(&self) -> bool {
        self.id.internal().is_some()
    }

    /// Whether the account may be debited that much now: the available balance rule. The data of the refusal otherwise.
    #[expect(clippy::expect_used, reason = "only customers' accounts are asked, and none of them is overdrawn")]
    pub(crate) fn can_spend(&self, amount: Amount) -> Result<(), u128> {
        if self.is_internal() {
            return Ok(());
        }
        let available =
            u128::try_from(self.balances.available()).expect("a customer's available balance is never negative");
        if amount.minor() <= available { Ok(()) } else { Err(available) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_debits_reduce_what_is_available_and_held_credits_do_not_raise_it() {
        let balances = Balances { posted_debits: 30, posted_credits: 100, held_debits: 20, held_credits: 500 };
        assert_eq!(balances.balance(), 70);
        assert_eq!(balances.available(), 50);
        assert!(balances.has_holds());
    }

    #[test]
    fn room_counts_what_is_held_already() {
        let amount = Amount::new(10).expect("not zero");
        let with = |posted, held| Balances { posted_debits: posted, held_debits: held, ..Balances::default() };
        assert!(with(TOTAL_MAX - 10, 0).has_room_for_debit(amount));
        assert!(!with(TOTAL_MAX - 9, 0).has_room_for_debit(amount));
        assert!(!with(TOTAL_MAX - 10, 1).has_room_for_debit(amount));
        assert!(with(TOTAL_MAX - 10, 10).are_bounded());
        assert!(!with(TOTAL_MAX - 10, 11).are_bounded());
        assert!(!with(u128::MAX, 1).are_bounded());
    }

    #[test]
    fn whether_an_account_is_a_customers_costs_no_room() {
        assert_eq!(std::mem::size_of::<Account>(), 96);
    }

    #[test]
    fn a_place_survives_and_none_is_free() {
        assert_eq!(Place::new(0).get(), 0);
        assert_eq!(Place::new(Place::MAX).get(), Place::MAX);
        assert_eq!(std::mem::size_of::<Option<Place>>(), 8);
    }
}
