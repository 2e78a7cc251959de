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

use super::tls::TlsArgs;
use crate::failure::{Code, Failure};
use crate::network::network_file::NetworkFile;
use accounts::Accounts;
use clap::{Args, ValueEnum};
use disk::Disk;
use homes::NodeAddress;
use kill::{Killer, Victim};
use load::Load;
use report::Report;
use std::path::PathBuf;
use std::time::Duration;

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

Latencies of an open loop count from the moment when a call was due, not from when it left.
The line `disk` is of 4 KiB synced every 20 ms beside the run, by nobody's call: where that stops, every node on that disk does.
Exit codes: 0 measured, and the books balance; 1 they do not, or the outcome of a call is unknown; 2 wrong flags";

/// Measures a bank that `rialto up` runs: transfers a second, latencies, pauses; and checks the books
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    /// Directory of the network that `rialto up` runs
    #[arg(long, value_name = "DIR", default_value = "./rialto-data")]
    dir: PathBuf,
    /// Which bank
    #[arg(long, value_name = "NAME", default_value = "alpha")]
    bank: String,
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

    fn nodes(&self) -> Result<Vec<NodeAddress>, Failure> {
        if !self.grpc.is_empty() {
            return Ok(self.grpc.iter().map(|grpc| NodeAddress { node: None, grpc: grpc.clone() }).collect());
        }
        let network = NetworkFile::load(&self.dir)?;
        let of_bank = network.nodes.into_iter().filter(|node| node.group == self.bank);
        let of_bank: Vec<NodeAddress> =
            of_bank.map(|entry| NodeAddress { node: Some(entry.node), grpc: entry.grpc }).collect();
        if of_bank.is_empty() {
            let banks: Vec<&str> = network.banks.keys().map(String::as_str).collect();
            let known = format!("banks there: {}", banks.join(", "));
            return Err(Failure::usage(format!("there is no bank {} in {}", self.bank, self.dir.display())).line(known));
        }
        Ok(of_bank)
    }

    fn killer(&self) -> Option<Killer> {
        let leader = self.kill_leader_every.map(|every| (every, Victim::Leader));
        let any = self.kill_node_every.map(|every| (every, Victim::Any));
        leader.or(any).map(|(every, victim)| Killer::new(&self.dir, &self.bank, every, victim))
    }
}

pub(crate) async fn run(args: BenchArgs) -> Result<Code, Failure> {
    if args.payments {
        return payments::run(&args).await;
    }
    let nodes = args.nodes()?;
    let tls = args.tls.of_bank(&args.bank, args.grpc.is_empty().then_some(args.dir.as_path()))?;
    let together = homes::together(&nodes, tls.as_ref())?;
    let client = &together[0].client;
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
    let homes = if args.spread { homes::spread(&nodes, tls.as_ref())? } else { together.clone() };
    let warm_up = Duration::from_secs(args.warm_up_seconds.into());
    let usual = load.run(&homes, warm_up, Duration::ZERO, None, &screen, "warming up").await;
    let usual_interval = usual.all.interval(usual.took, load.callers);
    let time = Duration::from_secs(args.seconds.into());
    let disk = args.grpc.is_empty().then(|| Disk::watch(&args.dir));
    let killer = args.killer().map(|killer| killer.beside(disk.as_ref().map(Disk::longest)));
    let measured = load.run(&homes, time, usual_interval, killer, &screen, "measuring").await;
    let syncs = disk.and_then(Disk::end);
    let books = accounts.check(client, &screen).await.map_err(failed("reading the books"))?;
    let report = Report::new(&args, &load, &measured, &books, nodes.len()).beside(syncs.as_ref());
    screen.finish(&report);
    Ok(if books.balance() && measured.all.unknown == 0 { Code::Done } else { Code::Failed })
}
