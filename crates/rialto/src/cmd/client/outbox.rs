//! `rialto outbox`: the record of what was ordered here, and the hands on what has no end yet.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Args, Subcommand};
use clearing::PaymentId;
use clearing::outbox::ItemState;
use wallet::{Condition, DropResult, Entry, now_ms};

use super::pay::{changed_since, open_besides, print_others};
use super::payment::id;
use super::waiting::{Ended, Until, wait_for, wait_for_all};
use super::{ClientArgs, Colours, Desk, of_outbox, print_json, say};
use crate::failure::{Code, Failure};
use crate::follow_up;
use crate::out;

const EXAMPLES: &str = "\
Examples:
  rialto outbox list                     the newest 20 payments that were ordered here
  rialto outbox list --open --json       those without an end
  rialto outbox run                      send what waits, until nothing is left
  rialto outbox run --timeout 3600       for an hour at most, and not for ten minutes
  rialto outbox retry                    try all of it now, however long it has been backing off
  rialto outbox drop 018f3a2c-1b2d-7c3e-9f40-112233445566

A payment that was never sent is dropped at once. One that may have arrived belongs to the gateway: it is asked to decide
void, and what it decides is reported, also if that is: paid.
Exit codes: 0 as asked; 1 a payment was refused, or was paid and could not be dropped; 8 the gateway cannot be
reached, or some have no end after --timeout; 9 one waits for a sign-in, or nobody has signed in yet; all: rialto help exit-codes";

const PATIENCE: Duration = Duration::from_secs(5);
const NOTHING_WAITS: &str = "no payment waits in the outbox";

/// List, retry or drop payments that were ordered here
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct OutboxArgs {
    #[command(subcommand)]
    command: OutboxCommand,
}

#[derive(Debug, Subcommand)]
enum OutboxCommand {
    /// Show what was ordered here, and what became of it
    List {
        /// Only what has no end yet
        #[arg(long)]
        open: bool,
        /// How many, the newest
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
        #[command(flatten)]
        with: With,
    },
    /// Try at once what waits, and say what came of it within a few seconds
    Retry {
        /// Which payments [default: all without an end]
        #[arg(value_name = "ID", value_parser = id)]
        ids: Vec<PaymentId>,
        #[command(flatten)]
        with: With,
    },
    /// Drop a payment that was never sent, or have the gateway decide whether it is too late
    Drop {
        /// Which payment
        #[arg(value_name = "ID", value_parser = id)]
        id: PaymentId,
        #[command(flatten)]
        with: With,
    },
    /// Send what waits until nothing is left but what waits for a sign-in
    Run {
        /// Give up after so many seconds; what has no end by then is kept
        #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        timeout: u64,
        #[command(flatten)]
        with: With,
    },
}

#[derive(Debug, Args)]
struct With {
    #[command(flatten)]
    client: ClientArgs,
    /// One JSON object a payment instead of text
    #[arg(long)]
    json: bool,
}

impl With {
    fn show(&self, entry: &Entry) {
        if self.json {
            print_json(&say::json(entry));
        } else {
            println!("{}", say::sentence(entry, Colours::of_stdout()));
        }
    }
}

pub(crate) async fn run(args: OutboxArgs) -> Result<Code, Failure> {
    match args.command {
        OutboxCommand::List { open, limit, with } => list(&with, open, limit),
        OutboxCommand::Retry { ids, with } => retry(&with, &ids).await,
        OutboxCommand::Drop { id, with } => drop_one(&with, id).await,
        OutboxCommand::Run { timeout, with } => {
            let until = Until::OverWithin(Duration::from_secs(timeout));
            send_all(&with, &with.client.open()?, until).await
        }
    }
}

fn list(with: &With, open: bool, limit: u32) -> Result<Code, Failure> {
    let outbox = with.client.open_here()?.outbox()?;
    let entries = if open { outbox.open_entries() } else { outbox.newest(limit) }.map_err(of_outbox)?;
    if with.json {
        entries.iter().for_each(|entry| print_json(&say::json(entry)));
    } else {
        println!("{}", table(&entries));
    }
    Ok(Code::Done)
}

/// For the shell too.
pub(super) fn table(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return "nothing is in the outbox".to_owned();
    }
    let lines = |entry: &Entry| say::lines(&say::with_reason(entry.clone(), entries), out::columns());
    entries.iter().flat_map(lines).collect::<Vec<_>>().join("\n")
}

async fn retry(with: &With, ids: &[PaymentId]) -> Result<Code, Failure> {
    let desk = with.client.open()?;
    hurry(&desk, ids)?;
    send_all(with, &desk, Until::KnownWithin(PATIENCE)).await
}

/// All that has no end when none is named.
pub(super) fn hurry(desk: &Desk, ids: &[PaymentId]) -> Result<usize, Failure> {
    let mut outbox = desk.outbox()?;
    let ids = match ids {
        [] => outbox.open_entries().map_err(of_outbox)?.iter().map(|entry| entry.terms.id).collect(),
        ids => ids.to_vec(),
    };
    for id in &ids {
        outbox.hurry(*id, now_ms()).map_err(of_outbox)?;
    }
    Ok(ids.len())
}

async fn send_all(with: &With, desk: &Desk, until: Until) -> Result<Code, Failure> {
    let mut outbox = desk.outbox()?;
    let running = desk.worker(&desk.gateway()?)?;
    let mut worst = Code::Done;
    let mut told = BTreeSet::new();
    let mut tell = |entry: &Entry| {
        told.insert(entry.terms.id);
        with.show(entry);
        worst = worse(worst, super::pay::code(entry));
    };
    let ended = wait_for_all(&running, &mut outbox, until, &mut tell).await?;
    running.stop().await;
    // What is still open is told, too: also what was known before to wait for a sign-in.
    let open = outbox.open_entries().map_err(of_outbox)?;
    for entry in open.iter().filter(|entry| !told.contains(&entry.terms.id)) {
        with.show(&say::with_reason(entry.clone(), &open));
        worst = worse(worst, super::pay::code(entry));
    }
    if told.is_empty() && open.is_empty() && !with.json {
        println!("{NOTHING_WAITS}");
    }
    match ended {
        Ended::GivenUp(condition) if !open.is_empty() => given_up(until, &condition, worst),
        // What was on its way when the waiting ended has its end now.
        Ended::GivenUp(_) | Ended::NothingLeft => Ok(worst),
    }
}

/// What is still open was told, each with its reason; here is why there is no more waiting for it.
fn given_up(until: Until, condition: &Condition, worst: Code) -> Result<Code, Failure> {
    let failure = match (condition, until) {
        (Condition::Offline { why }, _) => Failure::unreachable(format!("the gateway cannot be reached: {why}")),
        (Condition::OtherNetwork { why }, _) => Failure::new(why.clone()),
        (Condition::Broken { why }, _) => Failure::new(format!("the outbox is in trouble: {why}")),
        (Condition::Fine, Until::OverWithin(limit)) => {
            Failure::unreachable(format!("payments are without an end after {} s", limit.as_secs()))
        }
        // It was asked for what is known by now, and the gateway answers: they are on their way.
        (Condition::Fine, Until::KnownWithin(_) | Until::Over) => return Ok(worst),
    };
    let code = worse(worst, failure.code());
    let list = follow_up::command("outbox list --open");
    Err(failure.with_code(code).line(format!("the payments are kept, and go out by the next run: {list}")))
}

/// One code for many payments: a refusal before a sign-in that is missing, that before nobody who answers, that before none.
fn worse(one: Code, other: Code) -> Code {
    let worst_first = [Code::Failed, Code::NotSignedIn, Code::Unreachable];
    worst_first.into_iter().find(|code| [one, other].contains(code)).unwrap_or(one)
}

async fn drop_one(with: &With, id: PaymentId) -> Result<Code, Failure> {
    let desk = with.client.open()?;
    let mut outbox = desk.outbox()?;
    let mut others = Vec::new();
    let entry = match outbox.drop_asked(id, now_ms()).map_err(of_outbox)? {
        DropResult::Dropped(entry) | DropResult::TooLate(entry) => entry,
        DropResult::Asking(entry) if entry.waits_for_sign_in() => entry,
        DropResult::Asking(entry) => match desk.gateway() {
            Ok(gateway) => {
                let before = open_besides(&outbox, id)?;
                let running = desk.worker(&gateway)?;
                wait_for(&running, &outbox, id, Until::KnownWithin(PATIENCE)).await?;
                running.stop().await;
                others = changed_since(&mut outbox, &before)?;
                outbox.entry(id).map_err(of_outbox)?
            }
            Err(failure) => {
                eprintln!("warning: {failure}");
                entry
            }
        },
    };
    outbox.mark_seen(&entry).map_err(of_outbox)?;
    with.show(&entry);
    match with.json {
        true => others.iter().for_each(|other| with.show(other)),
        false => print_others(&others),
    }
    Ok(match entry.item.state {
        // Void, or never sent: as asked. Being asked about: kept, and reported later.
        ItemState::Refused(_) | ItemState::Dropped | ItemState::Cancelling(_) => Code::Done,
        ItemState::Done
        | ItemState::Queued(_)
        | ItemState::Trying(_)
        | ItemState::Sent(_)
        | ItemState::WaitingForSignIn(_) => Code::Failed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_payments_end_with_the_worst_of_their_codes() {
        let all = [Code::Failed, Code::NotSignedIn, Code::Unreachable, Code::Done];
        for (place, worst) in all.into_iter().enumerate() {
            for other in all.into_iter().skip(place) {
                assert_eq!((worse(worst, other), worse(other, worst)), (worst, worst));
            }
        }
    }

    #[test]
    fn a_run_that_gives_up_says_so_and_a_retry_only_where_nothing_can_be_sent() {
        let limit = Duration::from_secs(600);
        let (run, retry) = (Until::OverWithin(limit), Until::KnownWithin(limit));
        let offline = Condition::Offline { why: "connection refused".to_owned() };
        for until in [run, retry] {
            let failure = given_up(until, &offline, Code::Done).expect_err("nobody answers");
            assert_eq!(failure.code(), Code::Unreachable);
            assert!(failure.to_string().contains("are kept"), "{failure}");
            let refused = given_up(until, &offline, Code::Failed).expect_err("nobody answers");
            assert_eq!(refused.code(), Code::Failed, "one was refused, which is worse");
        }
        assert_eq!(given_up(run, &Condition::Fine, Code::Done).expect_err("it is over").code(), Code::Unreachable);
        assert_eq!(given_up(retry, &Condition::Fine, Code::Done), Ok(Code::Done));
    }
}
