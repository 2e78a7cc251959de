//! `model`: searches every state of a small group.
//!
//! ```text
//! model [NAME…] [--small] [--threads N] [--minutes N]    the named searches, or all; exit code 1 on a violation
//! model --list
//! ```

use model::plan::{Plan, Size, plans};
use model::search::{Limits, Outcome, Progress, search};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: model [NAME…] [--small] [--threads N] [--minutes N]
       model --list";

struct Flags {
    plans: Vec<Plan>,
    limits: Limits,
    list: bool,
}

fn main() -> ExitCode {
    let flags = match parse(std::env::args().skip(1)) {
        Ok(flags) => flags,
        Err(problem) => {
            eprintln!("error: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if flags.list {
        for plan in flags.plans {
            println!("{:<28} {}", plan.name, plan.about);
        }
        return ExitCode::SUCCESS;
    }
    let mut fine = true;
    println!(
        "{:<28} {:>12} {:>13} {:>6} {:>11} {:>8} {:>10}",
        "search", "states", "steps", "depth", "node states", "seconds", "states/s"
    );
    for plan in &flags.plans {
        let outcome = search(&plan.setup, flags.limits, |progress| show(plan, progress));
        clear();
        fine &= report(plan, &outcome);
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Flags, String> {
    let limits = Limits { threads: 2, time: Duration::from_secs(3600) };
    let mut flags = Flags { plans: Vec::new(), limits, list: false };
    let mut all = plans();
    while let Some(arg) = args.next() {
        let mut number = || -> Result<u64, String> {
            let text = args.next().ok_or_else(|| format!("{arg} needs a number"))?;
            text.parse().map_err(|_| format!("{arg} needs a whole number, not {text}"))
        };
        match arg.as_str() {
            "--list" => flags.list = true,
            "--small" => all.retain(|plan| plan.size == Size::Small),
            "--threads" => flags.limits.threads = number()?.clamp(1, 64) as usize,
            "--minutes" => flags.limits.time = Duration::from_secs(number()?.saturating_mul(60)),
            flag if flag.starts_with("--") => return Err(format!("unknown flag {flag}")),
            name => {
                let plan = plans().into_iter().find(|plan| plan.name == name);
                flags.plans.push(plan.ok_or_else(|| format!("no search {name}; --list shows them"))?);
            }
        }
    }
    if flags.plans.is_empty() {
        flags.plans = all;
    }
    Ok(flags)
}

/// One line of the table, and below it what is missing or wrong.
fn report(plan: &Plan, outcome: &Outcome) -> bool {
    let Progress { states, transitions, depth, took } = outcome.progress;
    let seconds = took.as_secs_f64();
    println!(
        "{:<28} {states:>12} {transitions:>13} {depth:>6} {:>11} {seconds:>8.1} {:>10.0}",
        plan.name,
        outcome.node_states,
        states as f64 / seconds.max(0.001)
    );
    if let Some(violation) = &outcome.violation {
        println!("violation: {}\n{}", violation.wrong.rule(), violation.tale);
        return false;
    }
    let mut fine = true;
    if !outcome.exhausted {
        println!("  stopped by the time limit: not all states were visited");
    }
    for (sight, count) in outcome.sights.iter().filter(|(_, count)| *count > 0) {
        println!("  {:>12} × {}", count, sight.name());
    }
    for sight in plan.sights.iter().filter(|sight| outcome.exhausted && !outcome.saw(**sight)) {
        println!("  never seen: {}", sight.name());
        fine = false;
    }
    fine
}

fn show(plan: &Plan, progress: Progress) {
    if std::io::stderr().is_terminal() {
        let rate = progress.states as f64 / progress.took.as_secs_f64().max(0.001);
        eprint!("\r{}: {} states, {rate:.0}/s, depth {}   ", plan.name, progress.states, progress.depth);
        flush();
    }
}

fn clear() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
        flush();
    }
}

fn flush() {
    // Progress is for people: a closed terminal is no reason to stop.
    let _not_shown = std::io::stderr().flush();
}
