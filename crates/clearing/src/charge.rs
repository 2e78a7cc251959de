//! What payers have had refused lately: a token bucket for each, as part of the replicated state.
//!
//! A refused payment is on record for good, at the gateway and at two banks, and moves no money: without a bound, whoever
//! has no money could fill every journal. So each payer has a bucket of tokens. A refused payment takes one; tokens come
//! back with the log's time, at the rate that the settings say. An open payment holds one as well, for it may yet be
//! refused, and gives it back when it is paid: so payments that go through cost nothing, and no crowd of payments sent at
//! once gets more refusals than there are tokens.
//!
//! The bucket is kept as one time, the generic cell rate algorithm (ITU-T I.371): the moment at which it is full again. One
//! that is full is no different from one that was never used, so it may be forgotten at any time.

use crate::order::Party;
use std::collections::{BTreeMap, BTreeSet};

/// The rate and the size of a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bucket {
    /// How long one token takes to come back, microseconds.
    pub(crate) token_us: u64,
    /// Tokens of a full bucket.
    pub(crate) tokens: u64,
}

impl Bucket {
    /// Tokens that are missing now from a bucket that will be full at that moment.
    fn missing(self, full_at_us: u64, now_us: u64) -> u64 {
        full_at_us.saturating_sub(now_us).div_ceil(self.token_us)
    }

    /// When the bucket is full again, if one more token is taken now.
    pub(crate) fn take(self, full_at_us: u64, now_us: u64) -> u64 {
        self.take_many(full_at_us, now_us, 1)
    }

    /// The same, of so many tokens.
    pub(crate) fn take_many(self, full_at_us: u64, now_us: u64, tokens: u64) -> u64 {
        full_at_us.max(now_us).saturating_add(self.token_us.saturating_mul(tokens))
    }

    /// Whether there are so many tokens now.
    pub(crate) fn has(self, full_at_us: u64, now_us: u64, tokens: u64) -> bool {
        self.missing(full_at_us, now_us).saturating_add(tokens) <= self.tokens
    }

    /// How long until there is a token beyond `held` others, in milliseconds; nothing if there is one now. Only a bucket
    /// with more than `held` tokens ever has one.
    pub(crate) fn wait_ms(self, full_at_us: u64, now_us: u64, held: u64) -> Option<u64> {
        let spare = self.tokens.saturating_sub(held.saturating_add(1));
        if self.missing(full_at_us, now_us) <= spare {
            return None;
        }
        let ready_at_us = full_at_us.saturating_sub(spare.saturating_mul(self.token_us));
        Some(ready_at_us.saturating_sub(now_us).div_ceil(1_000).max(1))
    }
}

/// The buckets that were not full when they were last looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Charges {
    full_at_us: BTreeMap<Party, u64>,
    by_time: BTreeSet<(u64, Party)>,
}

impl Charges {
    /// When the payer's bucket is full again; zero for one that is not known.
    pub(crate) fn full_at_us(&self, payer: &Party) -> u64 {
        self.full_at_us.get(payer).copied().unwrap_or(0)
    }

    pub(crate) fn put(&mut self, payer: Party, full_at_us: u64) {
        self.forget(&payer);
        self.full_at_us.insert(payer, full_at_us);
        self.by_time.insert((full_at_us, payer));
    }

    pub(crate) fn forget(&mut self, payer: &Party) {
        if let Some(before) = self.full_at_us.remove(payer) {
            self.by_time.remove(&(before, *payer));
        }
    }

    /// A bucket of another payer that is full by now, if there is any.
    pub(crate) fn full_one(&self, now_us: u64, but: &Party) -> Option<Party> {
        let full = self.by_time.iter().take_while(|(full_at_us, _)| *full_at_us <= now_us);
        full.map(|(_, payer)| *payer).find(|payer| payer != but)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&Party, u64)> {
        self.full_at_us.iter().map(|(payer, full_at_us)| (payer, *full_at_us))
    }

    pub(crate) fn indexes_agree(&self) -> bool {
        self.full_at_us.len() == self.by_time.len()
            && self.full_at_us.iter().all(|(payer, full_at_us)| self.by_time.contains(&(*full_at_us, *payer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: Bucket = Bucket { token_us: 1_000_000, tokens: 3 };

    #[test]
    fn a_bucket_gives_what_it_holds_and_then_one_token_at_a_time() {
        let (now_us, mut full_at_us) = (5_000_000, 0);
        for _ in 0..3 {
            assert_eq!(BUCKET.wait_ms(full_at_us, now_us, 0), None);
            full_at_us = BUCKET.take(full_at_us, now_us);
        }
        assert_eq!(BUCKET.wait_ms(full_at_us, now_us, 0), Some(1_000));
        assert_eq!(BUCKET.wait_ms(full_at_us, now_us + 999_000, 0), Some(1), "the wait that is told is true");
        assert_eq!(BUCKET.wait_ms(full_at_us, now_us + 1_000_000, 0), None);
        assert_eq!(BUCKET.wait_ms(full_at_us, now_us + 3_000_000, 2), None, "it is full again");
    }

    #[test]
    fn what_is_held_counts_as_taken() {
        assert_eq!(BUCKET.wait_ms(0, 0, 2), None);
        let full_at_us = BUCKET.take(0, 0);
        assert_eq!(BUCKET.wait_ms(full_at_us, 0, 2), Some(1_000));
        assert_eq!(BUCKET.wait_ms(full_at_us, 0, 1), None);
    }
}
