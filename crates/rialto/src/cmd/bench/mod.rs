//! `rialto bench`: how fast a running bank is, over real sockets, and whether it kept its money.
//!
//! ```text
//!   accounts opened and funded ─► warm-up ─► measured ─► books read again: a benchmark that loses money has failed
//! ```
//!
//! Callers are closed loops: each sends its next call when the last is answered. Latencies are corrected for coordinated
//! omission the way HdrHistogram does it: an answer that took longer than a caller's usual interval, as the warm-up
//! showed it, also counts as the shorter waits of the calls that the caller would have sent meanwhile.

mod accounts;
mod ids;
mod kill;
mod load;
mod report;

use crate::failure::{Code, Failure};
use crate::network::network_file::NetworkFile;
use accounts::Accounts;
use api::client::Client;
use clap::{Args, ValueEnum};
use load::{Load, Measured};
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
  rialto bench --calls gathered --kill-leader-every 10 --seconds 100";

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
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["dir", "kill_leader_every"])]
    grpc: Vec<String>,
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
    /// Kill the leader's process again and again, and report the longest pause after each
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(7..=3_600))]
    kill_leader_every: Option<u32>,
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
            Calls::Batch => 1,
            Calls::Gathered | Calls::Single => 64,
        })
    }

    fn addresses(&self) -> Result<Vec<String>, Failure> {
        if !self.grpc.is_empty() {
            return Ok(self.grpc.clone());
        }
        let network = NetworkFile::load(&self.dir)?;
        let of_bank: Vec<String> =
            network.nodes.into_iter().filter(|node| node.group == self.bank).map(|node| node.grpc).collect();
        if of_bank.is_empty() {
            let banks: Vec<&str> = network.banks.keys().map(String::as_str).collect();
            let known = format!("banks there: {}", banks.join(", "));
            return Err(Failure::usage(format!("there is no bank {} in {}", self.bank, self.dir.display())).line(known));
        }
        Ok(of_bank)
    }
}

pub(crate) async fn run(args: BenchArgs) -> Result<Code, Failure> {
    let addresses = args.addresses()?;
    let failed = |doing: &'static str| move |error: api::client::ClientError| Failure::new(format!("{doing}: {error}"));
    let client = Client::connect(&addresses).map_err(failed("connecting"))?;
    let screen = report::Screen::new(args.json);
    let accounts = Accounts::open(&client, args.accounts, &screen).await.map_err(failed("opening accounts"))?;
    let load = Load {
        calls: args.calls,
        batch: args.batch as usize,
        callers: args.callers() as usize,
        lanes: args.lanes as usize,
        ids: args.ids,
        accounts: accounts.among(args.hot),
    };
    let warm_up = Duration::from_secs(args.warm_up_seconds.into());
    let usual = load.run(&client, warm_up, Duration::ZERO, None, &screen, "warming up").await;
    let usual_interval = usual.interval(load.callers);
    let killer = args.kill_leader_every.map(|every| kill::Killer::new(&args.dir, &args.bank, every));
    let time = Duration::from_secs(args.seconds.into());
    let measured: Measured = load.run(&client, time, usual_interval, killer, &screen, "measuring").await;
    let books = accounts.check(&client, &screen).await.map_err(failed("reading the books"))?;
    let report = Report::new(&args, &load, &measured, &books, addresses.len());
    screen.finish(&report);
    Ok(if books.balance() && measured.unknown == 0 { Code::Done } else { Code::Failed })
}
