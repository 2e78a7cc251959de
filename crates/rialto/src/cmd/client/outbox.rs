//! `rialto outbox`: the record of what was ordered here, and the hands on what has no end yet.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Args, Subcommand};
use clearing::PaymentId;
use clearing::outbox::ItemState;
use wallet::{DropResult, Entry, now_ms};

use super::pay::{changed_since, open_besides, print_others};
use super::payment::id;
use super::waiting::{Until, wait_for, wait_for_all};
use super::{ClientArgs, Colours, Desk, of_outbox, print_json, say};
use crate::failure::{Code, Failure};
use crate::out;

const EXAMPLES: &str = "\
Examples:
  rialto outbox list                     the newest 20 payments that were ordered here
  rialto outbox list --open --json       those without an end
  rialto outbox run                      send what waits, until nothing is left
  rialto outbox retry                    try all of it now, however long it has been backing off
  rialto outbox drop 018f3a2c-1b2d-7c3e-9f40-112233445566

A payment that was never sent is dropped at once. One that may have arrived belongs to the gateway: it is asked to decide
void, and what it decides is reported, also if that is: paid.
Exit codes: 0 as asked; 1 a payment was refused, or was paid and could not be dropped; 8 the gateway cannot be
reached; 9 one waits for a sign-in, or nobody has signed in yet; all: rialto help exit-codes";

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
        OutboxCommand::Run { with } => send_all(&with, &with.client.open()?, Until::Over).await,
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
    wait_for_all(&running, &mut outbox, until, &mut tell).await?;
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
    Ok(worst)
}

/// One code for many payments: a refusal before a sign-in that is missing, that before none.
fn worse(one: Code, other: Code) -> Code {
    let is = |code| one == code || other == code;
    match (is(Code::Failed), is(Code::NotSignedIn)) {
        (true, _) => Code::Failed,
        (false, true) => Code::NotSignedIn,
        (false, false) => one,
    }
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
