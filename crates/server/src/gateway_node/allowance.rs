//! How many payments a customer may send to this node, and how much a bank may have it look into: a token bucket for each,
//! refilled with time. A bank pays for each of its calls, and for each payment that it tells of when a restored gateway asks
//! what was forgotten. All nodes of a bank have one bucket, since they speak with one voice.
//!
//! Rate and size are settings in the gateway's log, the buckets are this node's own and in its memory. They decide no
//! outcome: whoever has used up theirs is refused before anything is proposed, and no id is burnt. So they need not be
//! replicated; a node that starts anew gives one more bucket, and each node of the gateway one of its own. What is refused
//! on record has a bucket in the replicated state: see `clearing`.

use api::code::Code;
use api::problem::Problem;
use clearing::{BankName, NamedParty, Settings};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Those whose bucket is not full, at most, before full ones are looked for.
const KEPT_MAX: usize = 50_000;

/// The buckets of all customers, or of all banks.
#[derive(Debug)]
pub(super) struct Allowance<Who> {
    began: Instant,
    buckets: Mutex<Buckets<Who>>,
}

/// How much each may have: for ever, and at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Rate {
    pub(super) per_second: u64,
    pub(super) burst: u64,
}

impl Rate {
    /// Payments that a customer sends.
    pub(super) fn of_customers(settings: &Settings) -> Rate {
        Rate { per_second: settings.taken_per_second, burst: settings.taken_burst }
    }

    /// What a bank has this node look into.
    pub(super) fn of_banks(settings: &Settings) -> Rate {
        Rate { per_second: settings.asked_per_second, burst: settings.asked_burst }
    }
}

#[derive(Debug)]
struct Buckets<Who> {
    rate: Rate,
    /// When each is full again, in microseconds after the beginning.
    full_at_us: BTreeMap<Who, u64>,
}

impl Allowance<NamedParty> {
    /// Takes as many tokens as there are payments, or none.
    ///
    /// # Errors
    /// When there are too few.
    pub(super) fn send(&self, customer: &NamedParty, payments: usize, now: Instant) -> Result<(), Problem> {
        self.take(customer, payments, now).map_err(|wait| {
            let detail = "you send more payments than one customer may; nothing was taken, send it again later";
            Problem::new(Code::TooManyPayments, detail).retry_after_ms(whole_ms(wait))
        })
    }
}

impl Allowance<BankName> {
    /// Takes a token for a bank's call.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn call(&self, bank: &BankName, now: Instant) -> Result<(), Problem> {
        self.take(bank, 1, now).map_err(|wait| {
            let detail =
                format!("bank {bank} asks more of this node than one bank may; nothing was changed, ask again later");
            Problem::new(Code::TooManyBankCalls, detail).retry_after_ms(whole_ms(wait))
        })
    }
}

impl<Who: Ord + Copy> Allowance<Who> {
    pub(super) fn new(rate: Rate) -> Allowance<Who> {
        Allowance { began: Instant::now(), buckets: Mutex::new(Buckets { rate, full_at_us: BTreeMap::new() }) }
    }

    /// The settings as of a moment ago.
    pub(super) fn set(&self, rate: Rate) {
        self.lock().rate = rate;
    }

    /// Takes as many tokens as that, or none.
    ///
    /// # Errors
    /// With how long to wait, when there are too few.
    pub(super) fn take(&self, who: &Who, tokens: usize, now: Instant) -> Result<(), Duration> {
        let now_us = u64::try_from(now.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX);
        let wait_us = self.lock().take(who, tokens as u64, now_us);
        wait_us.map_or(Ok(()), |wait_us| Err(Duration::from_micros(wait_us)))
    }

    /// Only whole entries are put in.
    fn lock(&self) -> MutexGuard<'_, Buckets<Who>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rounded up: whoever waits so long finds what it waited for.
fn whole_ms(wait: Duration) -> u64 {
    u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

impl<Who: Ord + Copy> Buckets<Who> {
    /// How long to wait until there are as many, if there are not now. Whoever wants more than a whole bucket waits for a full
    /// one.
    fn take(&mut self, who: &Who, tokens: u64, now_us: u64) -> Option<u64> {
        let token_us = (1_000_000 / self.rate.per_second.max(1)).max(1);
        let full_at_us = self.full_at_us.get(who).copied().unwrap_or(0).max(now_us);
        let spare_us = self.rate.burst.saturating_sub(tokens).saturating_mul(token_us);
        if full_at_us - now_us > spare_us {
            return Some(full_at_us - now_us - spare_us);
        }
        if self.full_at_us.len() >= KEPT_MAX {
            self.full_at_us.retain(|_, full_at_us| *full_at_us > now_us);
        }
        self.full_at_us.insert(*who, full_at_us.saturating_add(tokens.saturating_mul(token_us)));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(name: &str) -> NamedParty {
        format!("{name}@alpha").parse().expect("a customer")
    }

    #[test]
    fn a_customer_sends_as_many_as_the_settings_say_and_hinders_nobody_else() {
        let allowance = Allowance::new(Rate::of_customers(&Settings::default()));
        allowance.set(Rate { per_second: 100, burst: 1_000 });
        let (alice, now) = (customer("alice"), Instant::now());
        assert!(allowance.send(&alice, 600, now).is_ok());
        let refused = allowance.send(&alice, 600, now).expect_err("400 are left");
        assert_eq!((refused.code, refused.retry_after_ms), (Code::TooManyPayments, Some(2_000)));
        assert!(allowance.send(&alice, 400, now).is_ok(), "what was refused took nothing");
        assert!(allowance.send(&customer("bob"), 1_000, now).is_ok());
        assert!(allowance.send(&alice, 1, now).is_err());
        assert!(allowance.send(&alice, 100, now + Duration::from_secs(1)).is_ok());
        // A call larger than the bucket is not refused for ever.
        assert!(allowance.send(&customer("carol"), 2_000, now).is_ok());
    }

    #[test]
    fn a_bank_that_asks_without_end_is_told_when_to_come_back_and_slows_no_other() {
        let allowance = Allowance::new(Rate { per_second: 10, burst: 500 });
        let bank = |name| BankName::new(name).expect("a name");
        let (alpha, evil, now) = (bank("alpha"), bank("evil"), Instant::now());
        let (mut answered, mut refused) = (0, Vec::new());
        for _ in 0..10_000 {
            match allowance.call(&evil, now) {
                Ok(()) => answered += 1,
                Err(problem) => refused.push((problem.code, problem.retry_after_ms)),
            }
        }
        assert_eq!((answered, refused.len()), (500, 9_500));
        assert!(
            refused.iter().all(|told| *told == (Code::TooManyBankCalls, Some(100))),
            "what is refused costs nothing"
        );
        assert!(allowance.call(&alpha, now).is_ok());
        assert!(allowance.call(&evil, now + Duration::from_millis(100)).is_ok());
        // What it tells of comes out of the same bucket: it cannot ask and tell as much as two.
        assert_eq!(allowance.take(&evil, 300, now + Duration::from_millis(100)), Err(Duration::from_secs(30)));
    }

    #[test]
    fn an_honest_bank_tells_a_restored_gateway_of_two_hundred_thousand_payments_without_waiting() {
        let allowance = Allowance::new(Rate::of_banks(&Settings::default()));
        let (alpha, now) = (BankName::new("alpha").expect("a name"), Instant::now());
        for page in 0..200 {
            assert_eq!(allowance.take(&alpha, 1_000, now), Ok(()), "page {page}");
        }
        assert_eq!(allowance.take(&alpha, 1_000, now), Err(Duration::from_millis(500)));
    }

    #[test]
    fn what_is_kept_of_customers_is_bounded_by_those_who_send() {
        let allowance = Allowance::new(Rate::of_customers(&Settings::default()));
        let mut now = Instant::now();
        for number in 0..4 * KEPT_MAX {
            now += Duration::from_millis(1);
            allowance.send(&customer(&format!("customer-{number}")), 1, now).expect("each sends one");
        }
        assert!(allowance.lock().full_at_us.len() <= KEPT_MAX);
    }
}
