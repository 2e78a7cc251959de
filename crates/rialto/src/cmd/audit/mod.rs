//! `rialto audit`: every node counts its books again, and what they found is compared.
//!
//! Nodes of a bank at work are never at the same slot for long. So each first counts by itself; then one slot is chosen
//! that all have applied, the lowest, and each is asked for its journal's digest right after that slot.
//!
//! Of a network with a gateway, what lies between the banks is compared too, [`between_banks`], and what the gateway ordered
//! within each of them, [`within_banks`].

pub(crate) mod between_banks;
mod pages;
mod sides;
mod within_banks;

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use hyper::StatusCode;
use serde::Serialize;
use server::audit::AuditReport;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::status;
use super::targets::{Network, Target, TargetArgs};
use super::tls::TlsArgs;
use crate::failure::{Code, Failure};
use crate::http::{HttpError, Reach};
use crate::network::name::{GATEWAY_NAME, group_text};
use crate::out;
use crate::plain::{counted, counted_of, grouped};
use crate::supervise::columns::broken;
use crate::waiting::waiting_for;
use between_banks::{GatewayAnswers, Parties};

/// A count reads a whole journal: years of it take minutes. A node that hangs is given up long before that.
const COUNT_PATIENCE: Duration = Duration::from_secs(5 * 60);
/// A node that counts still says at once that it lives; one that says nothing for so long is cut off, or hangs.
const SILENCE_MAX: Duration = Duration::from_secs(8);
const LOOK_PATIENCE: Duration = Duration::from_secs(2);
const LOOK_PAUSE: Duration = Duration::from_millis(500);
const CHAIN_PATIENCE: Duration = Duration::from_secs(10);
/// How often a common slot is looked for: a busy node keeps the digests of its latest slots only.
const COMPARISONS_MAX: u32 = 50;

const EXAMPLES: &str = "\
Examples:
  rialto audit                             the network in ./rialto-data
  rialto audit --dir /srv/rialto --json
  rialto audit --url http://10.0.0.1:7101 --url http://10.0.0.2:7101 --operator-token-file token
  rialto audit --url http://10.0.0.1:7101 --url http://10.0.1.1:7101 --gateway 10.0.2.1:7311 --tls-dir tls …
      nodes of two banks, and what lies between these: with --url the gateway is compared only where it is named

Of a network with a gateway also what banks owe each other is held against their books, what they have set aside against the
payments that are on their way, and each payment between two customers of one bank against that bank's record of it.
A count takes up to five minutes (--timeout SECONDS gives it more); a node that says nothing for eight seconds is given up.
Exit codes: 0 all nodes hold the same books and they balance; 1 something differs, or a node could not be asked;
2 wrong flags; 8 nobody can be reached; all: rialto help exit-codes";

/// Ask every node for its books, recompute them, compare them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// With --url: where a node of the gateway serves gRPC, more than once for several; what lies between banks is then
    /// compared as well
    #[arg(long = "gateway", value_name = "ADDR", requires = "url")]
    gateways: Vec<String>,
    #[command(flatten)]
    tls: TlsArgs,
    /// One JSON object instead of sentences
    #[arg(long)]
    json: bool,
}

/// What is to be said in the end.
#[derive(Debug, Default, Serialize)]
struct Verdict {
    ok: bool,
    /// What differs or could not be asked, a sentence each.
    findings: Vec<String>,
    /// What could not be compared, a sentence each: nothing speaks against it, and nothing for it.
    unproved: Vec<String>,
    /// What was compared, a sentence a bank.
    compared: Vec<String>,
    /// How the banks stand beside their books: mode, members, transfers under way, rot that was repaired.
    remarks: Vec<String>,
    nodes: Vec<AuditReport>,
}

pub(crate) async fn run(args: AuditArgs) -> Result<Code, Failure> {
    let targets = args.targets.targets()?;
    let mut verdict = Verdict::default();
    let mut counted = Vec::new();
    let mut reaches = Vec::new();
    let patience = args.targets.patience(COUNT_PATIENCE);
    for (target, report) in ask_all(&targets, "/v1/audit".to_owned(), patience).await {
        match report {
            Ok(report) => counted.push((target, report)),
            Err(NoCount { why, reach }) => {
                reaches.push(reach);
                verdict.findings.push(format!("{} could not be asked: {why}", name_of(&target)));
            }
        }
    }
    for (_, report) in &counted {
        verdict.findings.extend(own_findings(report));
    }
    let mut groups: Vec<String> = counted.iter().map(|(_, report)| report.group.clone()).collect();
    groups.sort_unstable();
    groups.dedup();
    for group in groups {
        let members: Vec<(Target, AuditReport)> =
            counted.iter().filter(|(_, report)| report.group == group).cloned().collect();
        compare(&group, members, &mut verdict).await;
    }
    let silent = silent(&targets, &counted);
    if silent.iter().any(|group| group == GATEWAY_NAME) {
        verdict.findings.push("between banks: not compared, for no node of the gateway answers".to_owned());
    } else if let Some(mut parties) = parties(&args, &counted, &mut verdict)? {
        for bank in &silent {
            parties = parties.without(bank);
            verdict.findings.push(format!("between banks: not compared with bank {bank}, for no node of it answers"));
        }
        if between_banks::audit(&parties, &mut verdict).await == GatewayAnswers::Yes {
            within_banks::audit(&parties, &mut verdict).await;
        }
    }
    verdict.remarks.extend(status::remarks_of(targets).await);
    let is_nobody_there = counted.is_empty() && !reaches.is_empty() && !reaches.contains(&Reach::Answered);
    verdict.nodes = counted.into_iter().map(|(_, report)| report).collect();
    verdict.ok = verdict.findings.is_empty() && !verdict.nodes.is_empty();
    show(&verdict, args.json);
    Ok(match (verdict.ok, is_nobody_there) {
        (true, _) => Code::Done,
        (false, true) => Code::Unreachable,
        (false, false) => Code::Failed,
    })
}

/// Groups of which no node could be asked: nobody waits for them twice.
fn silent(targets: &[Target], counted: &[(Target, AuditReport)]) -> BTreeSet<String> {
    let known = targets.iter().filter_map(|target| target.known.as_ref().map(|known| known.group.clone()));
    let mut silent: BTreeSet<String> = known.collect();
    silent.retain(|group| counted.iter().all(|(_, report)| report.group != *group));
    silent
}

/// Whose books are compared with each other's, if it is known where the gateway between them is.
fn parties(
    args: &AuditArgs,
    counted: &[(Target, AuditReport)],
    verdict: &mut Verdict,
) -> Result<Option<Parties>, Failure> {
    match args.targets.network() {
        Network::Here(dir) => Parties::here(dir, &args.tls),
        Network::Elsewhere if args.gateways.is_empty() => {
            let said = "between banks: not compared, for with --url nobody knows where the gateway is; name it with --gateway \
                        HOST:PORT, where it serves gRPC";
            // Between one bank and nobody there is nothing to prove.
            let is_one = counted.windows(2).all(|pair| pair[0].1.group == pair[1].1.group);
            let said_among = if is_one { &mut verdict.remarks } else { &mut verdict.unproved };
            said_among.push(said.to_owned());
            Ok(None)
        }
        Network::Elsewhere => {
            let token = args.targets.secret()?;
            Parties::elsewhere(&args.gateways, &args.tls, token.as_ref(), counted).map(Some)
        }
    }
}

fn show(verdict: &Verdict, json: bool) {
    if json {
        println!("{}", serde_json::to_string(verdict).expect("a verdict holds only strings, numbers and lists"));
        return;
    }
    for line in verdict.compared.iter().chain(&verdict.remarks).chain(&verdict.unproved).chain(&verdict.findings) {
        broken(line, out::columns(), (4, "")).iter().for_each(|line| println!("{line}"));
    }
    let last = match (verdict.ok, verdict.unproved.is_empty()) {
        (true, true) => "the books are in order",
        (true, false) => "the books are in order, as far as they could be compared",
        (false, _) => "the books are NOT proved to be in order",
    };
    println!("{last}");
}

/// What a node's own count found, and whether its sums are those of double entry.
fn own_findings(report: &AuditReport) -> Vec<String> {
    let who = format!("node {} of {}", report.node, group_text(&report.group));
    let broken = report.broken.iter().map(|what| format!("{who} found its books broken: {what}"));
    let unbalanced = report.totals.iter().filter(|totals| totals.debits != totals.credits).map(|totals| {
        format!(
            "{who} holds {} {} of debits against {} of credits (minor units); they must be equal",
            totals.debits, totals.currency, totals.credits
        )
    });
    broken.chain(unbalanced).collect()
}

/// Finds a slot after which all can say their digest, and compares.
async fn compare(group: &str, members: Vec<(Target, AuditReport)>, verdict: &mut Verdict) {
    for (index, (_, one)) in members.iter().enumerate() {
        let same_slot = members[..index].iter().filter(|(_, other)| other.slot == one.slot);
        let differs = same_slot.filter(|(_, other)| (&other.state, &other.chain) != (&one.state, &one.chain));
        verdict.findings.extend(differs.map(|(_, other)| disagreement(group, other.node, one.node, one.slot)));
    }
    let outcomes = members.iter().map(|(_, report)| report.outcomes).max().unwrap_or(0);
    let accounts = members.iter().map(|(_, report)| report.accounts).max().unwrap_or(0);
    let targets: Vec<Target> = members.iter().map(|(target, _)| target.clone()).collect();
    let mut slot = members.iter().map(|(_, report)| report.slot).min().unwrap_or(0);
    for _ in 0..COMPARISONS_MAX {
        let path = format!("/v1/audit?chain_only=true&slot={slot}");
        let mut chains = Vec::new();
        let mut lowest = u64::MAX;
        for (target, answer) in ask_all(&targets, path, CHAIN_PATIENCE).await {
            match answer {
                Ok(report) => {
                    lowest = lowest.min(report.slot);
                    chains.extend(report.asked.map(|at| (report.node, at.chain)));
                }
                Err(NoCount { why, .. }) => {
                    verdict.findings.push(format!("{} could not be asked again: {why}", name_of(&target)));
                    return;
                }
            }
        }
        if let [(first, chain), rest @ ..] = chains.as_slice()
            && chains.len() == targets.len()
        {
            let differing: Vec<&u16> = rest.iter().filter(|(_, other)| other != chain).map(|(node, _)| node).collect();
            verdict.findings.extend(differing.iter().map(|node| disagreement(group, *first, **node, slot)));
            if differing.is_empty() {
                verdict.compared.push(agreement(group, chains.len(), slot, accounts, outcomes));
            }
            return;
        }
        slot = lowest;
    }
    verdict.findings.push(format!(
        "{}: no slot was found that all its nodes could still speak of; one of them is far behind, ask again later",
        group_text(group)
    ));
}

fn disagreement(group: &str, one: u16, other: u16, slot: u64) -> String {
    format!(
        "{}: nodes {one} and {other} hold different books after slot {slot}; stop it and keep both directories",
        group_text(group)
    )
}

fn agreement(group: &str, nodes: usize, slot: u64, accounts: u64, outcomes: u64) -> String {
    let journals = counted_of(nodes, "journal was", "equal journals were");
    let (name, slot) = (group_text(group), grouped(slot));
    if group == GATEWAY_NAME {
        let open = counted(accounts, "payment on its way", "payments on their way");
        return format!("{name}: {journals} compared through slot {slot}; {open}");
    }
    let (accounts, outcomes) = (counted(accounts, "account", "accounts"), counted(outcomes, "outcome", "outcomes"));
    format!("{name}: {journals} compared through slot {slot}; {accounts}, {outcomes} counted again, debits = credits")
}

fn name_of(target: &Target) -> String {
    match &target.known {
        Some(known) => format!("node {} of {} ({})", known.node, group_text(&known.group), target.address),
        None => format!("the node at {}", target.address),
    }
}

async fn ask_all(targets: &[Target], path: String, patience: Duration) -> Vec<(Target, Result<AuditReport, NoCount>)> {
    let mut asking = JoinSet::new();
    for (place, target) in targets.iter().cloned().enumerate() {
        let path = path.clone();
        asking.spawn(async move {
            let report = ask(&target, &path, patience).await;
            (place, (target, report))
        });
    }
    let mut answers = asking.join_all().await;
    answers.sort_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Why a node gave no count, in words that end a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NoCount {
    why: String,
    reach: Reach,
}

impl NoCount {
    fn of_nobody(why: impl Into<String>) -> NoCount {
        NoCount { why: why.into(), reach: Reach::Nobody }
    }

    fn answered(why: impl Into<String>) -> NoCount {
        NoCount { why: why.into(), reach: Reach::Answered }
    }
}

/// Asks one node, as long as it shows that it lives.
async fn ask(target: &Target, path: &str, patience: Duration) -> Result<AuditReport, NoCount> {
    let _waiting = waiting_for(name_of(target));
    tokio::select! {
        report = ask_until_free(target, path, patience) => report,
        why = falls_silent(target) => Err(NoCount::of_nobody(why)),
    }
}

/// Asks until the node is free to answer: one that counts for somebody else, or is busy, says so.
async fn ask_until_free(target: &Target, path: &str, patience: Duration) -> Result<AuditReport, NoCount> {
    let mut client = target.client();
    let give_up = Instant::now() + patience;
    loop {
        let answer = match client.get(path, patience).await {
            Ok(answer) => answer,
            Err(HttpError::TooSlow(_)) => {
                // It lives, as it has shown meanwhile.
                let seconds = patience.as_secs();
                return Err(NoCount::answered(format!(
                    "it did not finish within {seconds} s; give it more: --timeout SECONDS"
                )));
            }
            Err(error) => return Err(NoCount::of_nobody(error.to_string())),
        };
        match answer.status {
            StatusCode::OK => {
                return serde_json::from_slice(&answer.body)
                    .map_err(|error| NoCount::answered(format!("what listens there is no Rialto node: {error}")));
            }
            StatusCode::UNAUTHORIZED => {
                return Err(NoCount::answered("it wants the operator's token: give --operator-token-file FILE"));
            }
            StatusCode::CONFLICT => return Err(NoCount::answered("at its address is a node of another cluster now")),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE if Instant::now() < give_up => {
                sleep(Duration::from_millis(200)).await;
            }
            _ if answer.is_later() => return Err(NoCount::of_nobody(answer.refusal())),
            _ => return Err(NoCount::answered(answer.refusal())),
        }
    }
}

/// Looks whether the node still says that it lives, beside the question that it works on; returns when it does no more.
async fn falls_silent(target: &Target) -> String {
    let mut client = target.client();
    let mut heard = Instant::now();
    loop {
        match client.get("/livez", LOOK_PATIENCE).await {
            Ok(_) => heard = Instant::now(),
            Err(error) if heard.elapsed() >= SILENCE_MAX => {
                return silence(&error);
            }
            Err(_) => {}
        }
        sleep(LOOK_PAUSE).await;
    }
}

/// What is said of a node that has said nothing for so long, with the end of the last look at it.
fn silence(error: &HttpError) -> String {
    let said = format!("it has said nothing for {} s, so it hangs or is cut off", SILENCE_MAX.as_secs());
    match error {
        // How long one look may take is another time, of which nobody needs to hear.
        HttpError::TooSlow(_) => said,
        HttpError::Connect(_) | HttpError::Broken(_) | HttpError::Unsendable(_) | HttpError::Body(_) => {
            format!("{said}: {error}")
        }
    }
}

/// For [`crate::fuzzing`]: all that is said of what one node counted.
#[cfg(any(test, fuzzing))]
pub(crate) fn said(report: &AuditReport) -> Vec<String> {
    let AuditReport { group, slot, accounts, outcomes, .. } = report;
    let mut said = own_findings(report);
    said.extend([agreement(group, 1, *slot, *accounts, *outcomes), disagreement(group, 1, report.node, *slot)]);
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use server::audit::CurrencyTotals;

    fn report(debits: &str, credits: &str, broken: &[&str]) -> AuditReport {
        AuditReport {
            group: "alpha".to_owned(),
            node: 2,
            slot: 5,
            chain: "aa".to_owned(),
            asked: None,
            state: "bb".to_owned(),
            accounts: 3,
            holds: 0,
            outcomes: 4,
            totals: vec![CurrencyTotals {
                currency: "EUR".to_owned(),
                debits: debits.to_owned(),
                credits: credits.to_owned(),
            }],
            broken: broken.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    #[test]
    fn books_that_do_not_balance_are_a_finding() {
        assert!(own_findings(&report("100", "100", &[])).is_empty());
        let found = own_findings(&report("100", "99", &["account 018f is 1 short"]));
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("account 018f is 1 short") && found[1].contains("they must be equal"), "{found:?}");
    }

    #[test]
    fn a_node_that_hangs_is_told_with_one_time() {
        let hangs = "it has said nothing for 8 s, so it hangs or is cut off";
        assert_eq!(silence(&HttpError::TooSlow(LOOK_PATIENCE)), hangs);
        let refused = HttpError::Connect(std::io::ErrorKind::ConnectionRefused.into());
        assert_eq!(silence(&refused), format!("{hangs}: connection refused, nothing listens there"));
    }
}
