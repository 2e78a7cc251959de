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

use api::client::Secret;
use api::client::gateway::{
    BankPosition, GatewayClient, GatewayError, GatewayOptions, OpenPayment, Operator, PaymentsWanted,
};
use api::network::NetworkId;
use hyper::{Method, StatusCode};
use ledger::{AccountId, Currency, money};
use serde::Deserialize;
use server::audit::AuditReport;
use tokio::time::{Instant, sleep};

use super::{Target, TlsArgs, Verdict, sides};
use crate::cmd::gateway_port::misdirected;
use crate::failure::Failure;
use crate::http::{Address, Client};
use crate::network::layout::Layout;
use crate::network::name::GATEWAY_NAME;
use crate::network::network_file::{BankEntry, NetworkFile};
use crate::plain::{counted, counted_of};
use crate::waiting::waiting_for;

/// A moment without payments is waited for so long.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
/// One question to a bank, however often it says that it cannot answer now.
const ASK_PATIENCE: Duration = Duration::from_secs(8);
/// The gateway has to answer within this, and somebody there has to listen.
const GATEWAY_PATIENCE: GatewayOptions = GatewayOptions {
    deadline: Duration::from_secs(8),
    attempt_timeout: Duration::from_millis(2_500),
    connect_patience: Duration::from_secs(2),
};
/// Payments on their way that are looked at for what their banks say, and contradictions that are told one by one.
const OPEN_MAX: u32 = 10_000;
const CONTRADICTIONS_TOLD_MAX: usize = 20;

/// What one bank owes another, less what that owes it: by debtor, creditor and currency, in minor units. Of each pair the one
/// whose name comes first is the debtor.
type Net = BTreeMap<(String, String, Currency), i128>;

/// The banks whose books are compared, and the gateway between them.
pub(super) struct Parties {
    gateway: Operator,
    /// Where the gateway was said to be, by whoever runs the command.
    named: Vec<String>,
    /// Where each bank answers.
    banks: BTreeMap<String, Target>,
}

impl Parties {
    /// Of the network that a directory's `rialto up` runs; none where it has no gateway.
    pub(super) fn here(dir: &Path, tls: &TlsArgs) -> Result<Option<Parties>, Failure> {
        let network = NetworkFile::load(dir)?;
        let Some(gateway) = &network.gateway else { return Ok(None) };
        let meant = Layout::cluster_in(dir, GATEWAY_NAME).and_then(|cluster| NetworkId::new(cluster.number()));
        let gateway = operator([&gateway.grpc], (tls, Some(dir)), (None, meant))?;
        let target = |name: &str, entry: &BankEntry| {
            Ok(Target::at(Address::parse(&entry.http).map_err(failed)?).of_cluster(Layout::cluster_in(dir, name)))
        };
        let banks = network.banks.iter().map(|(name, entry)| Ok((name.clone(), target(name, entry)?)));
        Ok(Some(Parties { gateway, named: Vec::new(), banks: banks.collect::<Result<_, Failure>>()? }))
    }

    /// Of nodes on machines of their own: of each group that was counted one, and the gateway where it was said to be.
    pub(super) fn elsewhere(
        gateways: &[String],
        tls: &TlsArgs,
        token: Option<&Secret>,
        counted: &[(Target, AuditReport)],
    ) -> Result<Parties, Failure> {
        let gateway = operator(gateways, (tls, None), (token, None))?;
        let banks = counted.iter().map(|(target, report)| (report.group.clone(), target.clone())).collect();
        Ok(Parties { gateway, named: gateways.to_vec(), banks })
    }

    pub(super) fn gateway(&self) -> &Operator {
        &self.gateway
    }

    /// The same without a bank of which no node answers.
    pub(super) fn without(mut self, bank: &str) -> Parties {
        self.banks.remove(bank);
        self
    }

    /// The gateway's answer. It is waited for by name.
    pub(super) async fn ask_gateway<T>(
        &self,
        answer: impl Future<Output = Result<T, GatewayError>>,
    ) -> Result<T, String> {
        let _waiting = waiting_for("the gateway");
        match answer.await {
            Ok(answer) => Ok(answer),
            Err(error @ GatewayError::Unreachable { .. }) => Err(match misdirected(&self.named).await {
                Some(failure) => failure.what().to_owned(),
                None => error.to_string(),
            }),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether that bank is among those whose books are compared.
    pub(super) fn has(&self, bank: &str) -> bool {
        self.banks.contains_key(bank)
    }

    /// The way to a bank's books.
    pub(super) fn client(&self, bank: &str) -> Result<Client, String> {
        let target = self.banks.get(bank).ok_or_else(|| format!("bank {bank} is not among those that are audited"))?;
        Ok(target.client())
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}

fn operator<A: AsRef<str>>(
    gateways: impl IntoIterator<Item = A>,
    (tls, dir): (&TlsArgs, Option<&Path>),
    (token, meant): (Option<&Secret>, Option<NetworkId>),
) -> Result<Operator, Failure> {
    let client = GatewayClient::connect_with(gateways, tls.of_gateway(dir)?).map_err(failed)?;
    let client = client.with_options(GATEWAY_PATIENCE);
    let client = meant.map_or(client.clone(), |network| client.pinned_to(network));
    client.operator(token).map_err(failed)
}

/// Whether the gateway has a word to hold the books against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GatewayAnswers {
    Yes,
    No,
}

/// Adds what it finds to the verdict.
pub(super) async fn audit(parties: &Parties, verdict: &mut Verdict) -> GatewayAnswers {
    if let Err(why) = look(parties).await {
        verdict.findings.push(format!("between banks: not compared: {why}"));
        return GatewayAnswers::No;
    }
    match compare(parties).await {
        Ok(Compared::Agree { pairs, away }) => {
            verdict.compared.push(format!(
                "between banks: nothing on its way and nothing set aside; {} what both banks' books say",
                counted_of(pairs.len(), "position is", "positions are")
            ));
            for (bank, other) in &away {
                verdict.unproved.push(format!(
                    "between banks: bank {bank} or {other} is not among those that are audited, so their books were not compared"
                ));
            }
            one_by_one(parties, &pairs, verdict).await;
        }
        Ok(Compared::Differ(findings)) => verdict.findings.extend(findings),
        Ok(Compared::NeverQuiet { open }) => verdict.unproved.push(format!(
            "between banks: payments were on their way all the time ({open} of them), so positions were not compared; \
             audit again in a quiet moment, or see what they wait for: rialto payments"
        )),
        Err(why) => verdict.findings.push(format!("between banks: {why}")),
    }
    let mut contradicted = Vec::new();
    // What a bank has posted though an operator had voided it is not on its way any more: it is on the list.
    for wanted in [PaymentsWanted::Open, PaymentsWanted::Listed] {
        match parties.gateway.payments(wanted, OPEN_MAX).await {
            Ok((payments, _)) => contradicted.extend(payments),
            Err(error) => verdict.findings.push(format!("between banks: {error}")),
        }
    }
    verdict.findings.extend(contradictions(&contradicted));
    GatewayAnswers::Yes
}

/// A bank that does not acknowledge what was decided, and says why it cannot be so. Each payment once, also where it is both on
/// its way and on the list.
fn contradictions(payments: &[OpenPayment]) -> Vec<String> {
    let mut told = BTreeSet::new();
    let is_contradicted = |payment: &&OpenPayment| !payment.contradiction.is_empty();
    let contradicted = payments.iter().filter(is_contradicted).filter(|payment| told.insert(payment.terms.id));
    let mut found: Vec<String> = contradicted
        .map(|OpenPayment { terms, contradiction, .. }| {
            let amount = format!("{} {}", money::format(terms.amount.minor(), terms.currency), terms.currency.code());
            let (id, payer, payee) = (terms.id, terms.payer, terms.payee);
            format!(
                "between banks: payment {id}, {amount} from {payer} to {payee}: {contradiction}; ask that bank, and keep all \
                 directories"
            )
        })
        .collect();
    let more = found.len().saturating_sub(CONTRADICTIONS_TOLD_MAX);
    found.truncate(CONTRADICTIONS_TOLD_MAX);
    if more > 0 {
        found.push(format!("between banks: and {more} more payments that a bank contradicts"));
    }
    found
}

/// Each payment has one outcome, the same on both sides.
async fn one_by_one(parties: &Parties, pairs: &[(String, String, Currency)], verdict: &mut Verdict) {
    let mut both_have = 0;
    for (low, high, currency) in pairs {
        match sides::compare(parties, (low, high, *currency)).await {
            Ok(Ok(count)) => both_have += count,
            Ok(Err(findings)) => return verdict.findings.extend(findings),
            Err(why) => return verdict.findings.push(format!("between banks: {why}")),
        }
    }
    verdict.compared.push(format!(
        "between banks: {}, each once and alike in both books",
        counted(both_have, "payment", "payments")
    ));
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
    let audited = match Parties::here(dir, tls) {
        Err(failure) => Err(failure),
        Ok(None) => Ok(()),
        Ok(Some(parties)) => {
            audit(&parties, &mut verdict).await;
            Ok(())
        }
    };
    match audited {
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

async fn compare(parties: &Parties) -> Result<Compared, String> {
    let give_up = Instant::now() + PATIENCE;
    let mut waiting = None;
    loop {
        let before = look(parties).await?;
        let books = books(parties, &before.positions).await?;
        let after = look(parties).await?;
        if before.open == 0 && before == after {
            return Ok(judge(&before.positions, &books));
        }
        if Instant::now() >= give_up {
            return Ok(Compared::NeverQuiet { open: after.open });
        }
        // Everybody has answered: only now is it payments that are waited for.
        waiting.get_or_insert_with(|| waiting_for("a moment in which no payment moves between the banks"));
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

async fn look(parties: &Parties) -> Result<Seen, String> {
    let gateway = &parties.gateway;
    let (_, open) = parties.ask_gateway(gateway.payments(PaymentsWanted::Open, 1)).await?;
    let positions = parties.ask_gateway(gateway.positions()).await?;
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

async fn books(parties: &Parties, positions: &Net) -> Result<Books, String> {
    let mut books = Books { interbank: BTreeMap::new(), holds: BTreeMap::new() };
    let currencies: BTreeSet<Currency> = positions.keys().map(|(_, _, currency)| *currency).collect();
    // A gateway's nodes may be among those that were named: they are nobody's bank.
    let registered = parties.ask_gateway(parties.gateway.banks()).await?;
    let is_bank = |name: &&String| registered.iter().any(|bank| bank.name == **name);
    for bank in parties.banks.keys().filter(is_bank) {
        let mut client = parties.client(bank)?;
        let report: AuditReport = match ask(&mut client, "/v1/audit?chain_only=true", bank).await? {
            Some(report) => report,
            None => return Err(format!("bank {bank} tells nothing of its books")),
        };
        books.holds.insert(bank.clone(), report.holds);
        for other in parties.banks.keys().filter(is_bank).filter(|other| *other != bank) {
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

/// A decimal text with its sign, in minor units.
pub(super) fn signed(text: &str, currency: Currency) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    if digits.contains('0') && digits.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
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
    ask_with(client, (Method::GET, None), path, bank).await
}

/// The same with a body: for questions that are too long for a path.
pub(super) async fn ask_with<T: for<'a> Deserialize<'a>>(
    client: &mut Client,
    (method, json): (Method, Option<String>),
    path: &str,
    bank: &str,
) -> Result<Option<T>, String> {
    let give_up = Instant::now() + ASK_PATIENCE;
    let _waiting = waiting_for(format!("bank {bank}"));
    loop {
        let answer = client.ask(method.clone(), path, json.clone(), ASK_PATIENCE).await;
        let answer = answer.map_err(|error| format!("bank {bank}: {error}"))?;
        match answer.status {
            StatusCode::OK => {
                let read = serde_json::from_slice(&answer.body);
                return read.map(Some).map_err(|error| format!("bank {bank} answered what nobody asked: {error}"));
            }
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE if Instant::now() < give_up => {
                sleep(PAUSE).await;
            }
            other => return Err(refused(bank, other, &answer.body)),
        }
    }
}

/// What a bank says instead of an answer, in its own words where it has some.
fn refused(bank: &str, status: StatusCode, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    match serde_json::from_slice::<Problem>(body) {
        Ok(Problem { detail }) => format!("bank {bank} cannot answer: {detail}"),
        Err(_) => format!("bank {bank} cannot answer: HTTP status {status}"),
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
            "between banks: bank {bank} has set money aside {}, and no payment is on its way; the gateway voids such \
             holds when they grow old",
            counted(*holds, "time", "times")
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

    #[test]
    fn a_payment_that_a_bank_contradicts_is_a_finding() {
        let open = |id: u128, contradiction: &str| OpenPayment {
            terms: clearing::Terms {
                id: ledger::TransferId::new(id).expect("not nil"),
                payer: "ghost@beta".parse().expect("an address"),
                payee: "alice@alpha".parse().expect("an address"),
                amount: ledger::Amount::new(12_50).expect("not zero"),
                currency: Currency::EUR,
                reference: ledger::Reference::EMPTY,
            },
            decided: true,
            paid: true,
            age_ms: 1,
            waits_for: "beta to acknowledge that it is paid".to_owned(),
            contradiction: contradiction.to_owned(),
        };
        assert!(contradictions(&[open(7, "")]).is_empty());
        let says = open(7, "bank beta says that it knows nothing of it, though it is paid");
        // On its way, and on the list.
        let found = contradictions(&[open(8, ""), says.clone(), says]);
        let [said] = &found[..] else { panic!("{found:?}") };
        assert!(said.contains("12.50 EUR from ghost@beta to alice@alpha: bank beta says that it knows"), "{said}");
        let many: Vec<OpenPayment> = (1..=30).map(|id| open(id, "bank beta says otherwise")).collect();
        let found = contradictions(&many);
        assert!(found.len() == 21 && found[20].contains("10 more payments"), "{found:?}");
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
