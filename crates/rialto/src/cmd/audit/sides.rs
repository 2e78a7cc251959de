//! Payment by payment: what moved between two banks has to be in both books, once, with the same amount.
//!
//! Both banks' accounts for each other are read from end to end and summed up id by id, in an order that does not matter, so
//! that nothing has to be kept. Only where the sums differ are the ids themselves compared; and what moved meanwhile is told
//! from what is missing by asking the other bank for it once more.

use std::collections::BTreeMap;

use ledger::{AccountId, Currency, TransferId, money};
use serde::Deserialize;

use super::between_banks::{Parties, ask, signed};
use super::pages::Pages;
use crate::http::Client;
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
    fn add(&mut self, id: TransferId, change: i128) {
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
    let of_low = walk(&mut parties.client(low)?, (low, high), currency, Sign::AsIs).await?;
    let of_high = walk(&mut parties.client(high)?, (high, low), currency, Sign::Turned).await?;
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
            if !is_posted(parties, other, *id).await? || there.contains_key(id) {
                findings.push(format!(
                    "between banks: payment {id} moved {} {} in the books of bank {bank}, and not the same in those of bank {other}; \
                     keep all directories",
                    money::format_signed(*change, currency),
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
    ids: Option<BTreeMap<TransferId, i128>>,
}

async fn walk(
    client: &mut Client,
    (bank, other): (&str, &str),
    currency: Currency,
    sign: Sign,
) -> Result<Walked, String> {
    let _waiting = waiting_for(format!("bank {bank} to tell every payment with bank {other}"));
    let account = AccountId::interbank(other, currency);
    let mut walked = Walked { sum: Sum::default(), ids: Some(BTreeMap::new()) };
    let (mut pages, mut at) = (Pages::begin(), String::new());
    loop {
        let path = format!("/v1/accounts/{account}/statement?limit=1000{at}");
        let Some(page) = ask::<Page>(client, &path, bank).await? else { return Ok(walked) };
        for entry in page.entries.into_iter().filter(|entry| matches!(entry.kind.as_str(), "hold_posted" | "transfer"))
        {
            let Entry { transfer, change, .. } = &entry;
            let id = transfer.parse::<TransferId>();
            let id = id.map_err(|_| format!("bank {bank} told of a payment {transfer:?}, which is no id"))?;
            let change = signed(change, currency)
                .ok_or_else(|| format!("bank {bank} told that payment {id} moved {change:?}, which is no amount"))?;
            let change = match sign {
                Sign::AsIs => change,
                Sign::Turned => -change,
            };
            walked.sum.add(id, change);
            if walked.sum.count > KEPT_MAX as u64 {
                walked.ids = None;
            }
            if let Some(ids) = &mut walked.ids {
                ids.insert(id, change);
            }
        }
        match page.next_cursor {
            Some(next) => at = format!("&cursor={}", pages.turn_to(&next, bank)?),
            None => return Ok(walked),
        }
    }
}

#[derive(Deserialize)]
struct Found {
    outcome: String,
}

async fn is_posted(parties: &Parties, bank: &str, id: TransferId) -> Result<bool, String> {
    let found: Option<Found> = ask(&mut parties.client(bank)?, &format!("/v1/transfers/{id}"), bank).await?;
    Ok(found.is_some_and(|found| found.outcome == "posted"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[test]
    fn what_both_have_in_whatever_order_sums_up_alike_and_a_cent_does_not() {
        let sum = |rows: &[(u128, i128)]| {
            let mut sum = Sum::default();
            rows.iter().for_each(|(id, change)| sum.add(TransferId::new(*id).expect("not nil"), *change));
            sum
        };
        assert_eq!(sum(&[(1, 1_00), (2, -2_00)]), sum(&[(2, -2_00), (1, 1_00)]));
        assert_ne!(sum(&[(1, 1_00), (2, -2_00)]), sum(&[(1, 1_01), (2, -2_00)]));
        assert_ne!(sum(&[(1, 1_00), (2, 1_00)]), sum(&[(1, 1_00), (3, 1_00)]));
        assert_ne!(sum(&[(1, 1_00), (1, 1_00)]), sum(&[(1, 1_00)]), "twice is not once");
    }

    /// A bank that gives the last of these pages whose question it finds in the request.
    async fn telling(pages: &'static [(&'static str, &'static str)]) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                let mut head = [0; 4096];
                let read = caller.read(&mut head).await.unwrap_or(0);
                let asked = String::from_utf8_lossy(&head[..read]).into_owned();
                let page = pages.iter().rev().find(|(question, _)| asked.contains(question)).map_or("", |page| page.1);
                let length = page.len();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{page}");
                let _ = caller.write_all(answer.as_bytes()).await;
            }
        });
        Client::new(address.into())
    }

    const FIRST: &str = "limit=1000 ";

    async fn walked(pages: &'static [(&'static str, &'static str)]) -> Result<Walked, String> {
        let mut client = telling(pages).await;
        let walking = walk(&mut client, ("evil", "alpha"), Currency::EUR, Sign::Turned);
        tokio::time::timeout(Duration::from_secs(20), walking).await.expect("it comes to an end")
    }

    #[tokio::test]
    async fn pages_without_end_end_the_audit_of_that_bank() {
        let pages = [
            (FIRST, r#"{"entries":[],"next_cursor":"a b"}"#),
            ("cursor=a%20b ", r#"{"entries":[],"next_cursor":"b"}"#),
            ("cursor=b ", r#"{"entries":[],"next_cursor":"a b"}"#),
        ];
        let why = walked(Box::leak(Box::new(pages))).await.err().expect("they alternate");
        assert!(why.contains("bank evil names a page again"), "{why}");
    }

    #[tokio::test]
    async fn an_entry_without_an_id_or_an_amount_is_a_finding() {
        let why = walked(&[(FIRST, r#"{"entries":[{"transfer":"x y","kind":"transfer","change":"1.00"}]}"#)]).await;
        assert!(why.err().is_some_and(|why| why.contains("which is no id")));
        let id =
            r#"{"entries":[{"transfer":"018f2f6c-0000-7000-8000-000000000001","kind":"transfer","change":"lots"}]}"#;
        let why = walked(Box::leak(Box::new([(FIRST, id)]))).await;
        assert!(why.err().is_some_and(|why| why.contains("which is no amount")));
        let id =
            r#"{"entries":[{"transfer":"018f2f6c-0000-7000-8000-000000000001","kind":"transfer","change":"-1.00"}]}"#;
        let read = walked(Box::leak(Box::new([(FIRST, id)]))).await.expect("it is one");
        let changes: Vec<i128> = read.ids.into_iter().flatten().map(|(_, change)| change).collect();
        assert_eq!((read.sum.count, changes), (1, vec![1_00]));
    }
}
