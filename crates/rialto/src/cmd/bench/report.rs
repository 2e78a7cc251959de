//! What a benchmark shows: progress while it runs, a table or JSON at the end.

use super::accounts::Books;
use super::load::{Load, Measured};
use super::{BenchArgs, Calls, Ids};
use crate::supervise::screen::grouped;
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

    pub(crate) fn finish(&self, report: &Report) {
        self.line("");
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
    kills: usize,
    longest_pause_us_each: Vec<u64>,
    longest_pause_us_median: Option<u64>,
    books_balance: bool,
    accounts_in_books: u64,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: u64,
    p95: u64,
    p99: u64,
    max: u64,
}

impl Report {
    pub(crate) fn new(args: &BenchArgs, load: &Load, measured: &Measured, books: &Books, nodes: usize) -> Self {
        let at = |percent: f64| measured.latencies.value_at_quantile(percent / 100.0);
        let took_ms = u64::try_from(measured.took.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut pauses = measured.pauses_us.clone();
        pauses.sort_unstable();
        Self {
            bank: args.bank.clone(),
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
            transfers_per_second: measured.posted * 1_000 / took_ms,
            posted: measured.posted,
            rejected: measured.rejected,
            unknown: measured.unknown,
            latency_us: Latency { p50: at(50.0), p95: at(95.0), p99: at(99.0), max: measured.latencies.max() },
            kills: pauses.len(),
            longest_pause_us_median: pauses.get(pauses.len() / 2).copied(),
            longest_pause_us_each: measured.pauses_us.clone(),
            books_balance: books.balance(),
            accounts_in_books: books.accounts,
        }
    }

    fn table(&self) -> String {
        let spread = self.hot.map_or_else(|| "uniform".to_owned(), |hot| format!("{hot} of them hot"));
        let calls = match self.batch {
            Some(batch) => format!("batches of {}", grouped(batch.into())),
            None => format!("{} calls", self.calls),
        };
        let Latency { p50, p95, p99, max } = self.latency_us;
        let mut table = format!(
            "\n  bank {} · {} nodes · fsync on · {} accounts, {spread} · ids {} · {calls} · {} callers · {} s\n\
             \x20 transfers/s   {:>11}   (rejected {}, unknown {})\n\
             \x20 latency ms    p50 {}   p95 {}   p99 {}   max {}\n",
            self.bank,
            self.nodes,
            grouped(self.accounts.into()),
            self.ids,
            self.callers,
            self.seconds.round(),
            grouped(self.transfers_per_second),
            self.rejected,
            self.unknown,
            ms(p50),
            ms(p95),
            ms(p99),
            ms(max),
        );
        if let Some(median) = self.longest_pause_us_median {
            let each: Vec<String> = self.longest_pause_us_each.iter().map(|us| ms(*us)).collect();
            table += &format!(
                "  leader killed {} times: longest pause ms, median {}   each {}\n",
                self.kills,
                ms(median),
                each.join(" ")
            );
        }
        let money = if self.books_balance { "conserved" } else { "NOT CONSERVED" };
        let books =
            if self.books_balance { "books balance" } else { "the books do not balance: this benchmark has failed" };
        table += &format!(
            "  money         {money}   {} accounts, {} transfers, {books}\n",
            grouped(self.accounts_in_books),
            grouped(self.posted)
        );
        table
    }
}

/// Milliseconds with two digits below the point, from microseconds.
fn ms(us: u64) -> String {
    format!("{}.{:02}", us / 1_000, us % 1_000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_written_for_people() {
        assert_eq!([0, 999, 14_109].map(ms), ["0.00", "0.99", "14.10"]);
    }
}
