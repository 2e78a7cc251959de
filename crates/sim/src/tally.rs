//! What a run, or many, went through: so that a green result can be told from one in which nothing happened.

use std::fmt;

macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident: $label:literal,)*) => {
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Tally {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Tally {
            pub fn add(&mut self, other: &Tally) {
                $(self.$name += other.$name;)*
            }

            /// Every count with its label, in the order shown.
            pub fn counts(&self) -> Vec<(&'static str, u64)> {
                vec![$(($label, self.$name),)*]
            }
        }
    };
}

tally! {
    seeds: "seeds",
    virtual_ms: "virtual ms",
    steps: "steps",
    messages: "messages",
    slots: "slots",
    crashes: "crashes",
    /// Crashes in the middle of an operation of the disk.
    crashes_in_disk: "…at a disk operation",
    /// Crashes in the middle of a fold.
    crashes_in_fold: "…in a fold",
    power_cuts: "power cuts",
    shutdowns: "orderly shutdowns",
    torn_writes: "torn writes",
    disks_full: "full disks",
    disks_slow: "slow disks",
    cuts: "cuts",
    disconnects: "lost connections",
    clock_jumps: "clock jumps",
    mode_changes: "changes of mode",
    admitted: "nodes admitted",
    promoted: "nodes promoted",
    removed: "nodes removed",
    retired: "nodes switched off",
    changes_refused: "changes refused",
    state_transfers: "state transfers",
    wiped: "wiped disks",
    older_copies: "older copies of disks",
    forgetful: "…refused a vote",
    rotten: "bytes rotten",
    rot_found: "…found",
    voteless: "…that cost a vote",
    flipped: "balances flipped",
    diverged: "…noticed",
    elections: "elections",
    folds: "folds",
    trims: "trims",
    /// Requests answered with an outcome.
    answered: "requests answered",
    unknown: "outcomes unknown",
    transfers: "transfers acknowledged",
    rejections: "rejections acknowledged",
    holds: "holds acknowledged",
    replays: "replays",
    reads: "linearizable reads",
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (label, count) in self.counts() {
            writeln!(out, "  {label:<24} {:>14}", grouped(count))?;
        }
        Ok(())
    }
}

/// Thousands set apart: 1234567 is "1 234 567".
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1 000", "1 234 567"]);
    }

    #[test]
    fn tallies_add_up() {
        let mut sum = Tally { crashes: 1, ..Tally::default() };
        sum.add(&Tally { crashes: 2, steps: 5, ..Tally::default() });
        assert_eq!((sum.crashes, sum.steps), (3, 5));
    }
}
