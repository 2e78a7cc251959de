//! Payment by payment: what moved between two banks has to be in both books, once, with the same amount.
//!
//! Both banks' accounts for each other are read from end to end and summed up id by id, in an order that does not matter, so
//! that nothing has to be kept. Only where the sums differ are the ids themselves compared; and what moved meanwhile is told
//! from what is missing by asking the other bank for it once more.

use std::collections::BTreeMap;

use ledger::{AccountId, Currency};
use serde::Deserialize;

use super::between_banks::{Parties, ask};
use crate::plain::{counted, grouped};
use crate::waiting::waiting_for;

/// Differences that are told one by one.
const TOLD_MAX: usize = 20;
/// Ids that are kept to tell which differ, at most; of longer accounts only the sums are compared.
const KEPT_MAX: usize = 1_000_000;

#[derive(Deserialize)]
struct Page {
    entries: Vec<Entry>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    transfer: String,
    kind: String,
    change: String,
}

/// What moved on one bank's account for another, in a form that two banks agree on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    hash: u128,
}

impl Sum {
    /// The same on both sides: the amount as the first bank of the pair has it.
    fn add(&mut self, id: &str, change: &str) {
        let hash = blake3::hash(format!("{id} {change}").as_bytes());
        let part = u128::from_le_bytes(hash.as_bytes()[..16].try_into().expect("sixteen bytes of thirty-two"));
        self.count += 1;
        self.hash = self.hash.wrapping_add(part);
    }
}

/// How many payments are in both books of a pair, or what differs.
pub(super) async fn compare(
    parties: &Parties,
    (low, high, currency): (&str, &str, Currency),
) -> Result<Result<u64, Vec<String>>, String> {
    let of_low = walk(parties, (low, high), currency, Sign::AsIs).await?;
    let of_high = walk(parties, (high, low), currency, Sign::Turned).await?;
    if of_low.sum == of_high.sum {
        return Ok(Ok(of_low.sum.count));
    }
    let (Some(in_low), Some(in_high)) = (&of_low.ids, &of_high.ids) else {
        return Ok(Err(vec![format!(
            "between banks: bank {low} has {} with bank {high} in its books, and bank {high} {}, or other ones",
            counted(of_low.sum.count, "payment", "payments"),
            grouped(of_high.sum.count)
        )]));
    };
    let mut findings = Vec::new();
    for (bank, other, here, there) in [(low, high, in_low, in_high), (high, low, in_high, in_low)] {
        for (id, change) in here.iter().filter(|(id, change)| there.get(*id) != Some(*change)) {
            if findings.len() == TOLD_MAX {
                break;
            }
            // It may have come to the other a moment after that was read.
            if !is_posted(parties, other, id).await? || there.contains_key(id) {
                findings.push(format!(
                    "between banks: payment {id} moved {change} {} in the books of bank {bank}, and not the same in those of bank {other}; \
                     keep all directories",
                    currency.code()
                ));
            }
        }
    }
    Ok(if findings.is_empty() { Ok(of_low.sum.count) } else { Err(findings) })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    AsIs,
    Turned,
}

struct Walked {
    sum: Sum,
    /// None when there are too many.
    ids: Option<BTreeMap<String, String>>,
}

async fn walk(
    parties: &Parties,
    (bank, other): (&str, &str),
    currency: Currency,
    sign: Sign,
) -> Result<Walked, String> {
    let mut client = parties.client(bank)?;
    let _waiting = waiting_for(format!("bank {bank} to tell every payment with bank {other}"));
    let account = AccountId::interbank(other, currency);
    let (mut walked, mut cursor) = (Walked { sum: Sum::default(), ids: Some(BTreeMap::new()) }, None);
    loop {
        let at = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let path = format!("/v1/accounts/{account}/statement?limit=1000{at}");
        let Some(page) = ask::<Page>(&mut client, &path, bank).await? else { return Ok(walked) };
        for entry in page.entries.into_iter().filter(|entry| matches!(entry.kind.as_str(), "hold_posted" | "transfer"))
        {
            let change = match (sign, entry.change.strip_prefix('-')) {
                (Sign::AsIs, _) => entry.change,
                (Sign::Turned, Some(positive)) => positive.to_owned(),
                (Sign::Turned, None) => format!("-{}", entry.change),
            };
            walked.sum.add(&entry.transfer, &change);
            if walked.sum.count > KEPT_MAX as u64 {
                walked.ids = None;
            }
            if let Some(ids) = &mut walked.ids {
                ids.insert(entry.transfer, change);
            }
        }
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(walked),
        }
    }
}

#[derive(Deserialize)]
struct Found {
    outcome: String,
}

async fn is_posted(parties: &Parties, bank: &str, id: &str) -> Result<bool, String> {
    let found: Option<Found> = ask(&mut parties.client(bank)?, &format!("/v1/transfers/{id}"), bank).await?;
    Ok(found.is_some_and(|found| found.outcome == "posted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_have_in_whatever_order_sums_up_alike_and_a_cent_does_not() {
        let sum = |rows: &[(&str, &str)]| {
            let mut sum = Sum::default();
            rows.iter().for_each(|(id, change)| sum.add(id, change));
            sum
        };
        assert_eq!(sum(&[("a", "1.00"), ("b", "-2.00")]), sum(&[("b", "-2.00"), ("a", "1.00")]));
        assert_ne!(sum(&[("a", "1.00"), ("b", "-2.00")]), sum(&[("a", "1.01"), ("b", "-2.00")]));
        assert_ne!(sum(&[("a", "1.00"), ("b", "1.00")]), sum(&[("a", "1.00"), ("c", "1.00")]));
        assert_ne!(sum(&[("a", "1.00"), ("a", "1.00")]), sum(&[("a", "1.00")]), "twice is not once");
    }
}
