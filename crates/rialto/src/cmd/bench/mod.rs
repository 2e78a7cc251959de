//! `rialto bench`: how fast a running bank or a whole network is, over real sockets, and whether it kept its money.
//!
//! ```text
//!   accounts opened and funded ─► warm-up ─► measured ─► books read again: a benchmark that loses money has failed
//! ```
//!
//! Without `--rate`, callers are closed loops: each sends its next call when the last is answered. Latencies are corrected for
//! coordinated omission the way HdrHistogram does it: an answer that took longer than a caller's usual interval, as the
//! warm-up showed it, also counts as the shorter waits of the calls that the caller would have sent meanwhile. With `--rate` the loop
//! is open, and there is nothing to correct.

mod accounts;
mod disk;
mod homes;
mod ids;
mod kill;
mod load;
mod offer;
mod payments;
mod report;
mod tally;

use super::targets::WhichBank;
use super::tls::TlsArgs;
use crate::failure::{Code, Failure};
use crate::network::layout::Layout;
use crate::network::name::BankName;
use crate::network::network_file::{NetworkFile, State};
use crate::settings::default_dir;
use crate::waiting::waiting_for;
use accounts::Accounts;
use api::client::{Client, ClientError};
use api::cluster::ClusterPin;
use clap::{Args, ValueEnum};
use disk::Disk;
use homes::{NodeAddress, Way};
use kill::{Killer, Victim};
use load::Load;
use report::Report;
use std::path::PathBuf;
use std::time::Duration;

/// A bank that runs says within this time that it is there, also while it elects a leader.
const REACHED_WITHIN: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  rialto bench                                    batches of 8,190 transfers
  rialto bench --calls gathered --callers 512     one transfer a call, gathered into batches by the SDK
  rialto bench --calls single --callers 64        one transfer a gRPC call
  rialto bench --calls single --callers 1         one caller alone
  rialto bench --hot 10                           all transfers among ten accounts
  rialto bench --calls gathered --kill-leader-every 10 --seconds 100
  rialto bench --calls gathered --spread --rate 15000
                                                  an open loop: 5,000 transfers a second offered to each of three nodes
  rialto bench --calls gathered --spread --rate 6000 --kill-node-every 10 --seconds 105
                                                  each node killed in turn; how long callers of the others wait
  rialto bench --payments                         customers of all banks pay each other, one payment a call
  rialto bench --payments --many 500 --callers 8  500 payments a call, each with its own outcome
  rialto bench --payments --callers 1             one customer alone
  rialto bench --payments --kill-leader-every 10 --seconds 60
                                                  the gateway's leader killed again and again

Its accounts stay in the books of the bank, with the owner `bench` and the money that they were given out of the vault: the
bank's page leaves them out (searching for `bench` shows them), the API lists them.
Latencies of an open loop count from the moment when a call was due, not from when it left.
The line `disk` is of 4 KiB synced every 20 ms beside the run, by nobody's call: where that stops, every node on that disk does.
Exit codes: 0 measured, and the books balance; 1 they do not, or the outcome of a call is unknown; 2 wrong flags;
8 nobody can be reached; all: rialto help exit-codes";

/// Measure a bank that `rialto up` runs: transfers a second, latencies, pauses; and checks the books
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    /// Directory of the network that `rialto up` runs
    #[arg(long, value_name = "DIR", default_value_os_t = default_dir())]
    dir: PathBuf,
    #[command(flatten)]
    which: WhichBank,
    /// gRPC address of a node; give it once for each node, instead of --dir
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["dir", "kill_leader_every", "kill_node_every"])]
    grpc: Vec<String>,
    #[command(flatten)]
    tls: TlsArgs,
    /// How transfers are sent
    #[arg(long, value_enum, default_value_t = Calls::Batch)]
    calls: Calls,
    /// Transfers in a batch
    #[arg(long, value_name = "N", default_value_t = 8_190, value_parser = clap::value_parser!(u32).range(1..=8_190))]
    batch: u32,
    /// Concurrent callers [default: 1 of batches, 64 otherwise]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4_096))]
    callers: Option<u32>,
    /// Batches that the SDK has on their way at once, with --calls gathered
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    lanes: u32,
    /// Accounts that money moves among
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=2_000_000))]
    accounts: u32,
    /// Use only so many of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=2_000_000))]
    hot: Option<u32>,
    /// Version of the transfers' UUIDs
    #[arg(long, value_enum, default_value_t = Ids::V7)]
    ids: Ids,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// How long to warm up before
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    warm_up_seconds: u32,
    /// Spread callers evenly over the nodes, instead of sending all to the one that leads
    #[arg(long)]
    spread: bool,
    /// Offer so many calls a second in all, whatever becomes of them, instead of waiting for answers
    #[arg(long, value_name = "N", conflicts_with = "callers", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Kill the leader's process again and again, and report the longest pause after each
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(7..=3_600))]
    kill_leader_every: Option<u32>,
    /// Kill one node's process after another, and report the longest pause for callers of the others
    #[arg(long, value_name = "S", requires = "spread", conflicts_with = "kill_leader_every", value_parser = clap::value_parser!(u32).range(7..=3_600))]
    kill_node_every: Option<u32>,
    /// Payments of customers through the gateway, instead of transfers at one bank
    #[arg(long, conflicts_with_all = ["calls", "batch", "accounts", "grpc", "bank", "rate", "spread", "kill_node_every"])]
    payments: bool,
    /// Payments of one customer in a call, with --payments
    #[arg(long, value_name = "N", default_value_t = 1, requires = "payments", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    many: u32,
    /// Of a hundred payments so many go to another bank, with --payments
    #[arg(long, value_name = "PERCENT", default_value_t = 100, requires = "payments", value_parser = clap::value_parser!(u32).range(0..=100))]
    across: u32,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// How transfers are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Calls {
    /// Many transfers a call
    Batch,
    /// One transfer a caller at a time, gathered into calls by the SDK
    Gathered,
    /// One transfer a call
    Single,
}

/// Versions of UUIDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ids {
    /// Ordered by time
    V7,
    /// Random
    V4,
}

impl BenchArgs {
    fn callers(&self) -> u32 {
        self.callers.unwrap_or(match self.calls {
            Calls::Batch if !self.payments => 1,
            Calls::Batch => 64,
            Calls::Gathered | Calls::Single => 64,
        })
    }

    /// The bank that is measured.
    fn bank(&self) -> Result<BankName, Failure> {
        match self.grpc.is_empty() {
            true => self.which.of_network(&self.dir),
            false => self.which.named_or("alpha"),
        }
    }

    fn nodes(&self, bank: &BankName) -> Result<Vec<NodeAddress>, Failure> {
        if !self.grpc.is_empty() {
            return Ok(self.grpc.iter().map(|grpc| NodeAddress { node: None, grpc: grpc.clone() }).collect());
        }
        let network = NetworkFile::load(&self.dir)?;
        let of_bank = network.nodes.into_iter().filter(|node| node.group == bank.as_str());
        let (mut running, mut found) = (0_usize, Vec::new());
        for entry in of_bank {
            running += usize::from(entry.state == State::Running);
            found.push(NodeAddress { node: Some(entry.node), grpc: entry.grpc });
        }
        let of_bank = found;
        if of_bank.is_empty() {
            let banks: Vec<&str> = network.banks.keys().map(String::as_str).collect();
            let known = format!("banks there: {}", banks.join(", "));
            return Err(Failure::usage(format!("there is no bank {bank} in {}", self.dir.display())).line(known));
        }
        if running == 0 && network.up.is_none() {
            return Err(Failure::unreachable(format!("no node of bank {bank} runs"))
                .line(format!("start the network: rialto up --dir {}", self.dir.display())));
        }
        Ok(of_bank)
    }

    /// The directory's own; otherwise that of the first node that answers.
    fn cluster(&self, bank: &BankName) -> ClusterPin {
        let known = if self.grpc.is_empty() { Layout::cluster_in(&self.dir, bank.as_str()) } else { None };
        known.map_or_else(ClusterPin::default, |cluster| ClusterPin::to(cluster.number()))
    }

    fn killer(&self, bank: &BankName) -> Option<Killer> {
        let leader = self.kill_leader_every.map(|every| (every, Victim::Leader));
        let any = self.kill_node_every.map(|every| (every, Victim::Any));
        leader.or(any).map(|(every, victim)| Killer::new(&self.dir, bank.as_str(), every, victim))
    }
}

pub(crate) async fn run(args: BenchArgs) -> Result<Code, Failure> {
    if args.payments {
        return payments::run(&args).await;
    }
    let bank = args.bank()?;
    let nodes = args.nodes(&bank)?;
    let tls = args.tls.of_bank(bank.as_str(), args.grpc.is_empty().then_some(args.dir.as_path()))?;
    let way = Way { tls, cluster: args.cluster(&bank) };
    let together = homes::together(&nodes, &way)?;
    let client = &together[0].client;
    reached(client, &bank).await?;
    let failed = |doing: &'static str| move |error: api::client::ClientError| Failure::new(format!("{doing}: {error}"));
    let screen = report::Screen::new(args.json);
    let accounts = Accounts::open(client, args.accounts, &screen).await.map_err(failed("opening accounts"))?;
    let load = Load {
        calls: args.calls,
        batch: args.batch as usize,
        callers: args.callers() as usize,
        lanes: args.lanes as usize,
        ids: args.ids,
        accounts: accounts.among(args.hot),
        rate: args.rate,
    };
    let homes = if args.spread { homes::spread(&nodes, &way)? } else { together.clone() };
    let warm_up = Duration::from_secs(args.warm_up_seconds.into());
    let usual = load.run(&homes, warm_up, Duration::ZERO, None, &screen, "warming up").await;
    let usual_interval = usual.all.interval(usual.took, load.callers);
    let time = Duration::from_secs(args.seconds.into());
    let disk = args.grpc.is_empty().then(|| Disk::watch(&args.dir));
    let killer = args.killer(&bank).map(|killer| killer.beside(disk.as_ref().map(Disk::longest)));
    let measured = load.run(&homes, time, usual_interval, killer, &screen, "measuring").await;
    let syncs = disk.and_then(Disk::end);
    let books = accounts.check(client, &screen).await.map_err(failed("reading the books"))?;
    let report = Report::new((&args, &bank), &load, &measured, (&books, nodes.len())).beside(syncs.as_ref());
    screen.finish(&report);
    Ok(if books.balance() && measured.all.unknown == 0 { Code::Done } else { Code::Failed })
}

/// Nothing is opened, and no measure begun, before the bank has said a word.
async fn reached(client: &Client, bank: &BankName) -> Result<(), Failure> {
    let _waiting = waiting_for(format!("bank {bank}"));
    client.with_deadline(REACHED_WITHIN).status().await.map(drop).map_err(|error| {
        let last = match error {
            ClientError::Unavailable { last } | ClientError::OutcomeUnknown { last, .. } => last,
            other => other.to_string(),
        };
        Failure::unreachable(format!("bank {bank} cannot be reached: {last}"))
            .line("nothing was opened or sent; where it is: --dir DIR, or --grpc HOST:PORT (with --tls-dir where it speaks TLS)")
    })
}
