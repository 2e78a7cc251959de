//! What lies between the banks: what they owe each other by the gateway's count, held against what their own books say.
//!
//! ```text
//!   gateway: alpha owes beta 12.50        alpha's books: interbank:beta +12.50       beta's books: interbank:alpha -12.50
//!   gateway: nothing on its way           alpha's, beta's books: nothing set aside
//! ```
//!
//! While payments move the three are never seen at one moment. So it is done again until the gateway tells the same before
//! and after the banks were asked, with nothing on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use api::client::gateway::{BankPosition, GatewayClient, Operator, PaymentsWanted};
use hyper::StatusCode;
use ledger::{AccountId, Currency, money};
use serde::Deserialize;
use server::audit::AuditReport;
use tokio::time::{Instant, sleep};

use super::{TlsArgs, Verdict, sides};
use crate::failure::Failure;
use crate::http::{Address, Client};
use crate::network::network_file::NetworkFile;

/// A moment without payments is waited for so long.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
const ASK_PATIENCE: Duration = Duration::from_secs(20);

/// What one bank owes another, less what that owes it: by debtor, creditor and currency, in minor units. Of each pair the one
/// whose name comes first is the debtor.
type Net = BTreeMap<(String, String, Currency), i128>;

/// Adds what it finds to the verdict.
pub(super) async fn audit(dir: &Path, tls: &TlsArgs, verdict: &mut Verdict) -> Result<(), Failure> {
    let network = NetworkFile::load(dir)?;
    let Some(gateway) = &network.gateway else { return Ok(()) };
    let client = GatewayClient::connect_with([&gateway.grpc], tls.of_gateway(Some(dir))?)
        .and_then(|client| client.operator(None))
        .map_err(|error| Failure::new(error.to_string()))?;
    match compare(&client, &network).await {
        Ok(Compared::Agree { pairs, away }) => {
            verdict.compared.push(format!(
                "between banks: nothing on its way and nothing set aside; {} positions are what both banks' books say",
                pairs.len()
            ));
            for (bank, other) in &away {
                verdict.unproved.push(format!(
                    "between banks: bank {bank} or {other} does not run here, so their books were not compared"
                ));
            }
            one_by_one(&network, &pairs, verdict).await;
        }
        Ok(Compared::Differ(findings)) => verdict.findings.extend(findings),
        Ok(Compared::NeverQuiet { open }) => verdict.unproved.push(format!(
            "between banks: payments were moving all the time ({open} on their way), so positions were not compared; \
             audit again in a quiet moment, or see: rialto payments"
        )),
        Err(why) => verdict.findings.push(format!("between banks: {why}")),
    }
    Ok(())
}

/// Each payment has one outcome, the same on both sides.
async fn one_by_one(network: &NetworkFile, pairs: &[(String, String, Currency)], verdict: &mut Verdict) {
    let mut both_have = 0;
    for (low, high, currency) in pairs {
        match sides::compare(network, (low, high, *currency)).await {
            Ok(Ok(count)) => both_have += count,
            Ok(Err(findings)) => return verdict.findings.extend(findings),
            Err(why) => return verdict.findings.push(format!("between banks: {why}")),
        }
    }
    verdict.compared.push(format!("between banks: {both_have} payments, each once and alike in both books"));
}

/// The same, for who only wants to know whether all is well.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Judged {
    Agrees,
    Unproved { why: String },
}

/// Compares once payments have come to rest.
pub(crate) async fn judged(dir: &Path, tls: &TlsArgs) -> Judged {
    let mut verdict = Verdict::default();
    match audit(dir, tls, &mut verdict).await {
        Err(failure) => Judged::Unproved { why: failure.to_string() },
        Ok(()) if verdict.compared.is_empty() || !verdict.findings.is_empty() => {
            let said = verdict.findings.into_iter().chain(verdict.unproved).next();
            Judged::Unproved { why: said.unwrap_or_else(|| "there is no gateway".to_owned()) }
        }
        Ok(()) => Judged::Agrees,
    }
}

enum Compared {
    Agree {
        /// Whose positions were compared.
        pairs: Vec<(String, String, Currency)>,
        /// Pairs of which one does not run here.
        away: Vec<(String, String)>,
    },
    Differ(Vec<String>),
    NeverQuiet {
        open: u64,
    },
}

async fn compare(gateway: &Operator, network: &NetworkFile) -> Result<Compared, String> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let before = look(gateway).await?;
        let books = books(network, &before.positions).await?;
        let after = look(gateway).await?;
        if before.open == 0 && before == after {
            return Ok(judge(&before.positions, &books));
        }
        if Instant::now() >= give_up {
            return Ok(Compared::NeverQuiet { open: after.open });
        }
        sleep(PAUSE).await;
    }
}

/// The gateway's word.
#[derive(PartialEq, Eq)]
struct Seen {
    positions: Net,
    /// Payments that are undecided or undelivered.
    open: u64,
}

async fn look(gateway: &Operator) -> Result<Seen, String> {
    let (_, open) = gateway.payments(PaymentsWanted::Open, 1).await.map_err(|error| error.to_string())?;
    let positions = gateway.positions().await.map_err(|error| error.to_string())?;
    Ok(Seen { positions: net(&positions), open })
}

fn net(positions: &[BankPosition]) -> Net {
    let mut net = Net::new();
    for BankPosition { debtor, creditor, currency, owed, .. } in positions {
        let (low, high, change) =
            if debtor < creditor { (debtor, creditor, *owed) } else { (creditor, debtor, -*owed) };
        *net.entry((low.clone(), high.clone(), *currency)).or_default() += change;
    }
    net
}

/// What the banks' own books say.
struct Books {
    /// Of a bank: the balance of its account for another.
    interbank: BTreeMap<(String, String, Currency), i128>,
    /// Holds that are open, by bank.
    holds: BTreeMap<String, u64>,
}

async fn books(network: &NetworkFile, positions: &Net) -> Result<Books, String> {
    let mut books = Books { interbank: BTreeMap::new(), holds: BTreeMap::new() };
    let currencies: BTreeSet<Currency> = positions.keys().map(|(_, _, currency)| *currency).collect();
    for (bank, entry) in &network.banks {
        let mut client = Client::new(Address::parse(&entry.http).map_err(|error| error.to_string())?);
        let report: AuditReport = match ask(&mut client, "/v1/audit?chain_only=true", bank).await? {
            Some(report) => report,
            None => return Err(format!("bank {bank} tells nothing of its books")),
        };
        books.holds.insert(bank.clone(), report.holds);
        for other in network.banks.keys().filter(|other| *other != bank) {
            for currency in &currencies {
                let account = AccountId::interbank(other, *currency);
                let balance = balance(&mut client, account, *currency, bank).await?;
                books.interbank.insert((bank.clone(), other.clone(), *currency), balance);
            }
        }
    }
    Ok(books)
}

#[derive(Deserialize)]
struct Account {
    balance: String,
}

/// An account that was never used holds nothing.
async fn balance(client: &mut Client, account: AccountId, currency: Currency, bank: &str) -> Result<i128, String> {
    let Some(found) = ask::<Account>(client, &format!("/v1/accounts/{account}"), bank).await? else { return Ok(0) };
    signed(&found.balance, currency).ok_or_else(|| format!("bank {bank} told a balance of {:?}", found.balance))
}

fn signed(text: &str, currency: Currency) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    if digits.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
        return Some(0);
    }
    Some(sign * i128::try_from(money::parse_decimal(digits, currency).ok()?.minor()).ok()?)
}

/// None where there is no such thing.
pub(super) async fn ask<T: for<'a> Deserialize<'a>>(
    client: &mut Client,
    path: &str,
    bank: &str,
) -> Result<Option<T>, String> {
    let give_up = Instant::now() + ASK_PATIENCE;
    loop {
        let answer = client.get(path, ASK_PATIENCE).await.map_err(|error| format!("bank {bank}: {error}"))?;
        match answer.status {
            StatusCode::OK => {
                let read = serde_json::from_slice(&answer.body);
                return read.map(Some).map_err(|error| format!("bank {bank} answered what nobody asked: {error}"));
            }
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE if Instant::now() < give_up => {
                sleep(PAUSE).await;
            }
            other => return Err(format!("bank {bank} answered with HTTP status {other}")),
        }
    }
}

/// With nothing on its way, everything must be equal.
fn judge(positions: &Net, books: &Books) -> Compared {
    let (mut findings, mut pairs, mut away) = (Vec::new(), Vec::new(), Vec::new());
    for ((low, high, currency), owed) in positions {
        let runs_here = |bank: &String| books.holds.contains_key(bank);
        match runs_here(low) && runs_here(high) {
            true => pairs.push((low.clone(), high.clone(), *currency)),
            false => away.push((low.clone(), high.clone())),
        }
        for (bank, other, expected) in [(low, high, *owed), (high, low, -*owed)] {
            // A bank that does not run here is not asked.
            let Some(found) = books.interbank.get(&(bank.clone(), other.clone(), *currency)) else { continue };
            if *found != expected {
                let shown = |minor| format!("{} {}", money::format_signed(minor, *currency), currency.code());
                findings.push(format!(
                    "between banks: by the gateway's count bank {bank} owes bank {other} {}, and its books say {}; keep all \
                     directories",
                    shown(expected),
                    shown(*found)
                ));
            }
        }
    }
    for (bank, holds) in books.holds.iter().filter(|(_, holds)| **holds > 0) {
        findings.push(format!(
            "between banks: bank {bank} has set money aside {holds} times, and no payment is on its way; the gateway voids such \
             holds when they grow old"
        ));
    }
    if findings.is_empty() { Compared::Agree { pairs, away } } else { Compared::Differ(findings) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(debtor: &str, creditor: &str, owed: i128) -> BankPosition {
        let (debtor, creditor) = (debtor.to_owned(), creditor.to_owned());
        BankPosition { debtor, creditor, currency: Currency::EUR, owed, reserved: 0, cap: None }
    }

    fn books(rows: &[(&str, &str, i128)], holds: u64) -> Books {
        let row = |(bank, other, balance): &(&str, &str, i128)| {
            (((*bank).to_owned(), (*other).to_owned(), Currency::EUR), *balance)
        };
        Books {
            interbank: rows.iter().map(row).collect(),
            holds: BTreeMap::from([("alpha".to_owned(), 0), ("beta".to_owned(), holds)]),
        }
    }

    fn findings(compared: Compared) -> Vec<String> {
        match compared {
            Compared::Differ(findings) => findings,
            Compared::Agree { .. } | Compared::NeverQuiet { .. } => Vec::new(),
        }
    }

    #[test]
    fn what_one_owes_the_other_has_a_claim_to() {
        let net = net(&[position("alpha", "beta", 0), position("beta", "alpha", 12_50)]);
        let good = [("alpha", "beta", -12_50), ("beta", "alpha", 12_50)];
        assert_eq!(findings(judge(&net, &books(&good, 0))), Vec::<String>::new());
        let one_cent = findings(judge(&net, &books(&[("alpha", "beta", -12_50), ("beta", "alpha", 12_51)], 0)));
        assert_eq!(one_cent.len(), 1);
        assert!(
            one_cent[0].contains("bank beta owes bank alpha 12.50 EUR, and its books say 12.51 EUR"),
            "{one_cent:?}"
        );
        let aside = findings(judge(&net, &books(&good, 2)));
        assert!(aside[0].contains("bank beta has set money aside 2 times"), "{aside:?}");
    }

    #[test]
    fn balances_are_read_with_their_sign() {
        assert_eq!(signed("-12.50", Currency::EUR), Some(-12_50));
        assert_eq!(signed("0.00", Currency::EUR), Some(0));
        assert_eq!(signed("1,0", Currency::EUR), None);
    }
}
