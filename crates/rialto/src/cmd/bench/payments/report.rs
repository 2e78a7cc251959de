//! What a benchmark of payments shows.

use super::Shape;
use super::callers::Measured;
use super::town::Town;
use crate::cmd::audit::between_banks::Judged;
use crate::cmd::bench::disk::Syncs;
use crate::cmd::bench::report::{DiskBeside, Latency, ms};
use crate::plain::{counted_of, grouped};
use serde::Serialize;
use std::collections::BTreeMap;

/// The result. Latencies are of one call, in microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    banks: Vec<String>,
    nodes: usize,
    callers: usize,
    payments_a_call: usize,
    across_percent: u32,
    hot: Option<usize>,
    customers: usize,
    seconds: f64,
    payments_per_second: u64,
    paid: u64,
    refused: u64,
    refused_for: BTreeMap<String, u64>,
    unknown: u64,
    latency_us: Latency,
    disk: Option<DiskBeside>,
    longest_pause_us_each: Vec<u64>,
    longest_pause_us_median: Option<u64>,
    /// Customers whose balance is not what was paid to them and by them.
    balances_wrong: usize,
    /// What the gateway counts between banks is what their books say, and nothing is set aside.
    between_banks: Judged,
}

impl Report {
    pub(super) fn new(
        town: &Town,
        shape: Shape,
        measured: &Measured,
        (balances_wrong, between_banks): (usize, Judged),
        syncs: Option<&Syncs>,
    ) -> Report {
        let took_ms = u64::try_from(measured.took.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut pauses: Vec<u64> = measured.kills.iter().map(|kill| kill.pause_us).collect();
        let longest_pause_us_each = pauses.clone();
        pauses.sort_unstable();
        Report {
            banks: town.banks.clone(),
            nodes: town.nodes,
            callers: shape.callers,
            payments_a_call: shape.many,
            across_percent: shape.across,
            hot: shape.hot,
            customers: town.parties.len(),
            seconds: measured.took.as_secs_f64(),
            payments_per_second: measured.tally.posted * 1_000 / took_ms,
            paid: measured.tally.posted,
            refused: measured.tally.rejected,
            refused_for: measured.reasons.clone(),
            unknown: measured.tally.unknown,
            latency_us: Latency::of(&measured.tally),
            disk: syncs.map(DiskBeside::of),
            longest_pause_us_median: pauses.get(pauses.len() / 2).copied(),
            longest_pause_us_each,
            balances_wrong,
            between_banks,
        }
    }

    /// Whether all money is where it should be, and every outcome known.
    pub(super) fn holds(&self) -> bool {
        self.balances_wrong == 0 && self.unknown == 0 && self.between_banks == Judged::Agrees
    }

    pub(super) fn show(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string(self).expect("numbers and strings"));
        } else {
            print!("{}", self.table());
        }
    }

    fn table(&self) -> String {
        let hot = self.hot.map_or_else(String::new, |hot| format!(" · {hot} payees a bank"));
        let Latency { p50, p95, p99, max } = self.latency_us;
        let mut table = format!(
            "\n  banks {} and the gateway · {} · fsync and TLS on · {} · {} % to another bank{hot} · {} a call · {} · {} s\n  \
             payments/s    {:>11}   (refused {}, unknown {})\n  latency ms    p50 {}   p95 {}   p99 {}   max {}\n",
            self.banks.join(", "),
            counted_of(self.nodes, "node", "nodes"),
            counted_of(self.customers, "customer", "customers"),
            self.across_percent,
            grouped(self.payments_a_call as u64),
            counted_of(self.callers, "caller", "callers"),
            self.seconds.round(),
            grouped(self.payments_per_second),
            self.refused,
            self.unknown,
            ms(p50),
            ms(p95),
            ms(p99),
            ms(max),
        );
        for (reason, count) in &self.refused_for {
            table += &format!("    refused     {count} for {reason}\n");
        }
        table += &self.disk.as_ref().map_or_else(String::new, DiskBeside::line);
        if let Some(median) = self.longest_pause_us_median {
            let each: Vec<String> = self.longest_pause_us_each.iter().map(|us| ms(*us)).collect();
            table += &format!(
                "  gateway's leader killed {}: longest pause ms, median {}   each {}\n",
                counted_of(each.len(), "time", "times"),
                ms(median),
                each.join(" ")
            );
        }
        let balances = match self.balances_wrong {
            0 => format!("conserved   {} to the cent", counted_of(self.customers, "balance", "balances")),
            wrong => format!(
                "NOT CONSERVED   {} wrong: this benchmark has failed",
                counted_of(wrong, "balance is", "balances are")
            ),
        };
        let between = match &self.between_banks {
            Judged::Agrees => "positions are what the books say".to_owned(),
            Judged::Unproved { why } => format!("POSITIONS NOT PROVED: {why}"),
        };
        table += &format!("  money         {balances}, {between}\n");
        table + "  left behind   the customers bench-1, bench-2, … in each bank\n"
    }
}
