//! What a benchmark shows: progress while it runs, a table or JSON at the end.

use super::accounts::Books;
use super::disk::Syncs;
use super::load::{Load, Measured};
use super::tally::Tally;
use super::{BenchArgs, Calls, Ids};
use crate::network::name::BankName;
use crate::plain::{counted, counted_of, grouped};
use api::json::BENCH_OWNER;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

const BAR: usize = 24;

/// The line of progress, on a terminal only.
#[derive(Debug)]
pub(crate) struct Screen {
    json: bool,
    live: bool,
}

impl Screen {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, live: !json && stderr().is_terminal() }
    }

    pub(crate) fn progress(&self, doing: &str, done: usize, all: usize) {
        let filled = (done.min(all) * BAR).checked_div(all).unwrap_or(BAR);
        self.line(&format!("{doing:<20} {}{}", "▇".repeat(filled), "·".repeat(BAR - filled)));
    }

    pub(crate) fn running(&self, doing: &str, passed: Duration, time: Duration, posted: u64) {
        let all_ms = usize::try_from(time.as_millis()).unwrap_or(1).max(1);
        let done_ms = usize::try_from(passed.as_millis()).unwrap_or(all_ms).min(all_ms);
        let filled = (done_ms * BAR) / all_ms;
        let per_second = posted * 1_000 / (done_ms as u64).max(1);
        let bar = format!("{}{}", "▇".repeat(filled), "·".repeat(BAR - filled));
        self.line(&format!(
            "{doing:<20} {bar} {} s of {} s   {}/s",
            passed.as_secs(),
            time.as_secs(),
            grouped(per_second)
        ));
    }

    fn line(&self, text: &str) {
        if self.live {
            let mut err = stderr().lock();
            // A terminal that is gone needs no progress.
            let _ = write!(err, "\r\x1b[2K{text}").and_then(|()| err.flush());
        }
    }

    /// Takes the line of progress away.
    pub(crate) fn close(&self) {
        self.line("");
    }

    pub(crate) fn finish(&self, report: &Report) {
        self.close();
        if self.json {
            println!("{}", serde_json::to_string(report).expect("numbers and strings"));
        } else {
            print!("{}", report.table());
        }
    }
}

/// A benchmark's result. Latencies are of one call, in microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    bank: String,
    nodes: usize,
    calls: &'static str,
    batch: Option<u32>,
    callers: u32,
    accounts: u32,
    hot: Option<u32>,
    ids: &'static str,
    seconds: f64,
    transfers_per_second: u64,
    posted: u64,
    rejected: u64,
    unknown: u64,
    latency_us: Latency,
    /// Of the directory's disk beside the run; `null` with --grpc.
    disk: Option<DiskBeside>,
    spread: bool,
    /// Calls offered a second in all; `null` for a closed loop.
    rate: Option<u32>,
    /// By node, where callers are spread.
    shares: Vec<Share>,
    /// How much less the slowest node served than the quickest, in percent.
    unfairness_percent: Option<f64>,
    kills: usize,
    killed: Vec<Killed>,
    longest_pause_us_each: Vec<u64>,
    longest_pause_us_median: Option<u64>,
    books_balance: bool,
    accounts_in_books: u64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Latency {
    pub(super) p50: u64,
    pub(super) p95: u64,
    pub(super) p99: u64,
    pub(super) max: u64,
}

/// Syncs of 4 KiB beside the run.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct DiskBeside {
    sync_us: Latency,
    /// Part of the run that passed in syncs of more than 10 ms.
    stopped_percent: f64,
}

/// What callers at home at one node got.
#[derive(Debug, Serialize)]
struct Share {
    node: Option<u16>,
    transfers_per_second: u64,
    unknown: u64,
    latency_us: Latency,
}

#[derive(Debug, Serialize)]
struct Killed {
    node: u16,
    led: bool,
    longest_pause_us: u64,
    /// The longest time that the disk took for 4 KiB meanwhile.
    disk_us: Option<u64>,
    unknown: u64,
}

impl Latency {
    pub(super) fn of(tally: &Tally) -> Latency {
        Self::of_microseconds(&tally.latencies)
    }

    fn of_microseconds(latencies: &Histogram<u64>) -> Latency {
        let at = |percent: f64| latencies.value_at_quantile(percent / 100.0);
        Latency { p50: at(50.0), p95: at(95.0), p99: at(99.0), max: latencies.max() }
    }
}

impl DiskBeside {
    pub(super) fn of(syncs: &Syncs) -> DiskBeside {
        DiskBeside {
            sync_us: Latency::of_microseconds(&syncs.latencies),
            stopped_percent: syncs.stopped.as_secs_f64() * 100.0 / syncs.took.as_secs_f64().max(0.001),
        }
    }

    pub(super) fn line(&self) -> String {
        let DiskBeside { sync_us: Latency { p50, p95, p99, max }, stopped_percent } = self;
        format!(
            "  disk ms       p50 {}   p95 {}   p99 {}   max {}   (4 KiB synced beside it; {stopped_percent:.1} % of the time in stops over 10 ms)\n",
            ms(*p50),
            ms(*p95),
            ms(*p99),
            ms(*max),
        )
    }
}

impl Report {
    pub(crate) fn new(
        (args, bank): (&BenchArgs, &BankName),
        load: &Load,
        measured: &Measured,
        (books, nodes): (&Books, usize),
    ) -> Self {
        let took_ms = u64::try_from(measured.took.as_millis()).unwrap_or(u64::MAX).max(1);
        let per_second = |tally: &Tally| tally.posted * 1_000 / took_ms;
        let mut pauses: Vec<u64> = measured.kills.iter().map(|kill| kill.pause_us).collect();
        let longest_pause_us_each = pauses.clone();
        pauses.sort_unstable();
        let share = |(node, tally): &(Option<u16>, Tally)| Share {
            node: *node,
            transfers_per_second: per_second(tally),
            unknown: tally.unknown,
            latency_us: Latency::of(tally),
        };
        let shares: Vec<Share> = measured.shares.iter().filter(|_| args.spread).map(share).collect();
        let killed = measured.kills.iter().map(|kill| Killed {
            node: kill.node,
            led: kill.led,
            longest_pause_us: kill.pause_us,
            disk_us: kill.disk_us,
            unknown: kill.failed,
        });
        Self {
            bank: bank.to_string(),
            nodes,
            calls: match load.calls {
                Calls::Batch => "batch",
                Calls::Gathered => "gathered",
                Calls::Single => "single",
            },
            batch: (load.calls == Calls::Batch).then_some(args.batch),
            callers: args.callers(),
            accounts: args.accounts,
            hot: args.hot,
            ids: match load.ids {
                Ids::V4 => "v4",
                Ids::V7 => "v7",
            },
            seconds: measured.took.as_secs_f64(),
            transfers_per_second: per_second(&measured.all),
            posted: measured.all.posted,
            rejected: measured.all.rejected,
            unknown: measured.all.unknown,
            latency_us: Latency::of(&measured.all),
            disk: None,
            spread: args.spread,
            rate: args.rate,
            unfairness_percent: unfairness(&shares),
            shares,
            kills: pauses.len(),
            killed: killed.collect(),
            longest_pause_us_median: pauses.get(pauses.len() / 2).copied(),
            longest_pause_us_each,
            books_balance: books.balance(),
            accounts_in_books: books.accounts,
        }
    }

    /// With what the disk did meanwhile.
    pub(crate) fn beside(mut self, syncs: Option<&Syncs>) -> Self {
        self.disk = syncs.map(DiskBeside::of);
        self
    }

    fn table(&self) -> String {
        let spread = self.hot.map_or_else(|| "uniform".to_owned(), |hot| format!("{hot} of them hot"));
        let calls = match self.batch {
            Some(batch) => format!("batches of {}", grouped(batch.into())),
            None => format!("{} calls", self.calls),
        };
        let callers = match self.rate {
            Some(rate) => format!("{}/s offered", grouped(rate.into())),
            None => counted(self.callers.into(), "caller", "callers"),
        };
        let Latency { p50, p95, p99, max } = self.latency_us;
        let mut table = format!(
            "\n  bank {} · {} · fsync on · {}, {spread} · ids {} · {calls} · {callers} · {} s\n\
             \x20 transfers/s   {:>11}   (rejected {}, unknown {})\n\
             \x20 latency ms    p50 {}   p95 {}   p99 {}   max {}\n",
            self.bank,
            counted_of(self.nodes, "node", "nodes"),
            counted(self.accounts.into(), "account", "accounts"),
            self.ids,
            self.seconds.round(),
            grouped(self.transfers_per_second),
            self.rejected,
            self.unknown,
            ms(p50),
            ms(p95),
            ms(p99),
            ms(max),
        );
        table += &self.disk.as_ref().map_or_else(String::new, DiskBeside::line);
        for share in &self.shares {
            let node = share.node.map_or_else(|| "?".to_owned(), |node| node.to_string());
            let Latency { p50, p95, p99, max } = share.latency_us;
            table += &format!(
                "    at node {node:<2}  {:>11}   p50 {}   p95 {}   p99 {}   max {}   (unknown {})\n",
                grouped(share.transfers_per_second),
                ms(p50),
                ms(p95),
                ms(p99),
                ms(max),
                share.unknown
            );
        }
        if let Some(percent) = self.unfairness_percent {
            table += &format!("  fairness      the slowest node served {percent:.1} % less than the quickest\n");
        }
        if let Some(median) = self.longest_pause_us_median {
            let each: Vec<String> = self.killed.iter().map(|kill| kill_in_words(kill, self.spread)).collect();
            let (what, whose) = if self.spread { ("nodes", " for callers of the others") } else { ("leader", "") };
            let unknown: u64 = self.killed.iter().map(|kill| kill.unknown).sum();
            table += &format!(
                "  {what} killed {}: longest pause ms{whose}, median {}   each {}   (their unknown: {unknown})\n",
                counted_of(self.kills, "time", "times"),
                ms(median),
                each.join(" ")
            );
            let disk: Vec<u64> = self.killed.iter().filter_map(|kill| kill.disk_us).collect();
            if !disk.is_empty() {
                let each: Vec<String> = disk.iter().map(|us| ms(*us)).collect();
                table += &format!("    the disk's longest stop in each of these times, ms: {}\n", each.join(" "));
            }
        }
        let money = if self.books_balance { "conserved" } else { "NOT CONSERVED" };
        let books =
            if self.books_balance { "books balance" } else { "the books do not balance: this benchmark has failed" };
        table += &format!(
            "  money         {money}   {}, {}, {books}\n",
            counted(self.accounts_in_books, "account", "accounts"),
            counted(self.posted, "transfer", "transfers")
        );
        table += &format!(
            "  left behind   {} with the owner {BENCH_OWNER}; not listed on the bank's page\n",
            counted(self.accounts.into(), "account", "accounts")
        );
        table
    }
}

/// How much less the slowest node served than the quickest, in percent.
fn unfairness(shares: &[Share]) -> Option<f64> {
    let served = || shares.iter().map(|share| share.transfers_per_second);
    let (least, most) = (served().min()?, served().max()?);
    // Of a benchmark's figures, never of money.
    (most > 0).then(|| (most - least) as f64 * 100.0 / most as f64)
}

/// `12.30`, or `12.30 (node 2, the proposer)` where any node may be the one that dies.
fn kill_in_words(kill: &Killed, any: bool) -> String {
    let pause = ms(kill.longest_pause_us);
    match (any, kill.led) {
        (false, _) => pause,
        (true, true) => format!("{pause} (node {}, the proposer)", kill.node),
        (true, false) => format!("{pause} (node {})", kill.node),
    }
}

/// Milliseconds with two digits below the point, from microseconds.
pub(super) fn ms(us: u64) -> String {
    format!("{}.{:02}", us / 1_000, us % 1_000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fairness_compares_the_slowest_with_the_quickest() {
        let share = |transfers_per_second| Share {
            node: None,
            transfers_per_second,
            unknown: 0,
            latency_us: Latency { p50: 0, p95: 0, p99: 0, max: 0 },
        };
        assert_eq!(unfairness(&[share(90), share(100), share(80)]), Some(20.0));
        assert_eq!(unfairness(&[]), None);
    }

    #[test]
    fn milliseconds_are_written_for_people() {
        assert_eq!([0, 999, 14_109].map(ms), ["0.00", "0.99", "14.10"]);
    }
}
