//! `sim`: runs whole networks on simulated machines, one seed a run.
//!
//! ```text
//! sim --seeds 2000 [--first 0] [--jobs 2]       many seeds; exit code 1 and the seed on a violation
//! sim --seed 17 [--trace]                       one seed, to be followed line by line
//! sim --control NAME [--seeds 500]              one safety rule off: the violation must be found
//! sim --list-controls
//!
//! with [--nodes 3|5] [--mode leader|leaderless|mixed] [--scene tour|slow-disks|deaf-node|even-load]
//! ```

use sim::campaign;
use sim::control::{self, Control};
use sim::plan::Scene;
use sim::run::{ModeChoice, Setup};
use sim::tally::Tally;
use sim::trace::Show;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "usage: sim --seeds N [--first SEED] [--jobs N]
       sim --seed SEED [--trace] [--control NAME]
       sim --control NAME [--seeds N] [--jobs N]
       sim --list-controls
with   [--nodes 3|5] [--mode leader|leaderless|mixed] [--scene tour|slow-disks|deaf-node|even-load]";

struct Flags {
    first: u64,
    seeds: u64,
    jobs: usize,
    show: Show,
    one: bool,
    list: bool,
    setup: Setup,
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
        for control in control::ALL {
            println!("{:<24} {}", control.name(), control.rule());
        }
        return ExitCode::SUCCESS;
    }
    if flags.one { one_seed(&flags) } else { many_seeds(&flags) }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Flags, String> {
    let setup = Setup::default();
    let mut flags = Flags { first: 0, seeds: 100, jobs: 2, show: Show::Nothing, one: false, list: false, setup };
    let mut seeds = None;
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--seeds" => seeds = Some(number(&flag, &value()?)?),
            "--first" => flags.first = number(&flag, &value()?)?,
            "--seed" => {
                flags.first = number(&flag, &value()?)?;
                flags.one = true;
            }
            "--jobs" => flags.jobs = number(&flag, &value()?)? as usize,
            "--nodes" => {
                let nodes = number(&flag, &value()?)?;
                if !(1..=7).contains(&nodes) {
                    return Err(format!("a group of {nodes} nodes is not simulated; 1 to 7 are"));
                }
                flags.setup.nodes = Some(nodes as usize);
            }
            "--control" => {
                let name = value()?;
                let control =
                    Control::named(&name).ok_or_else(|| format!("no control {name}; --list-controls shows them"))?;
                flags.setup.control = Some(control);
            }
            "--mode" => {
                let name = value()?;
                let known = || format!("no mode {name}; leader, leaderless and mixed are");
                flags.setup.mode = ModeChoice::named(&name).ok_or_else(known)?;
            }
            "--scene" => {
                let name = value()?;
                let scene = Scene::named(&name).ok_or_else(|| format!("no scene {name}"))?;
                flags.setup.scene = Some(scene);
            }
            "--trace" => flags.show = Show::Lines,
            "--list-controls" => flags.list = true,
            other => return Err(format!("unknown flag {other}")),
        }
    }
    flags.seeds = seeds.unwrap_or(if flags.setup.control.is_some() { 500 } else { 100 });
    Ok(flags)
}

fn number(flag: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{flag} needs a whole number, not {text}"))
}

fn one_seed(flags: &Flags) -> ExitCode {
    let run = campaign::run_one(flags.first, &flags.setup, flags.show);
    print!("seed {}\n{}", flags.first, run.tally);
    println!("  {:<24} {:>14x}", "trace hash", run.trace_hash);
    match run.violation {
        None => {
            println!("no violation");
            ExitCode::SUCCESS
        }
        Some(violation) => {
            println!("violation: {violation}");
            ExitCode::FAILURE
        }
    }
}

fn many_seeds(flags: &Flags) -> ExitCode {
    let started = Instant::now();
    let mut bar = Bar::new(flags.seeds);
    let seeds = flags.first..flags.first + flags.seeds;
    let outcome = campaign::run_seeds(seeds, flags.jobs, &flags.setup, |done, tally| bar.show(done, tally));
    bar.clear();
    let seconds = started.elapsed().as_secs_f64();
    print!("{}", outcome.tally);
    println!("  {:<24} {:>14.1}", "seeds a second", outcome.tally.seeds as f64 / seconds.max(0.001));
    match (outcome.found, flags.setup.control) {
        (None, None) => {
            println!("no violation");
            ExitCode::SUCCESS
        }
        (None, Some(control)) => {
            println!("NOT FOUND: with \"{}\" off, {} seeds showed no violation", control.rule(), flags.seeds);
            ExitCode::FAILURE
        }
        (Some((seed, violation)), _) => {
            println!("violation at seed {seed}: {violation}");
            let flags = flags_of(&flags.setup);
            println!("follow it: cargo run -p sim --release -- --seed {seed}{flags} --trace");
            ExitCode::FAILURE
        }
    }
}

/// What has to be said again to see the same run.
fn flags_of(setup: &Setup) -> String {
    let flag = |name: &str, value: Option<String>| value.map(|value| format!(" --{name} {value}")).unwrap_or_default();
    let mode = (setup.mode != ModeChoice::default()).then(|| setup.mode.name().to_owned());
    [
        flag("nodes", setup.nodes.map(|nodes| nodes.to_string())),
        flag("mode", mode),
        flag("scene", setup.scene.map(|scene| scene.name().to_owned())),
        flag("control", setup.control.map(|control| control.name().to_owned())),
    ]
    .concat()
}

/// A progress bar, on terminals only.
struct Bar {
    seeds: u64,
    shown: Option<Instant>,
    terminal: bool,
}

impl Bar {
    fn new(seeds: u64) -> Bar {
        Bar { seeds, shown: None, terminal: std::io::stderr().is_terminal() }
    }

    fn show(&mut self, done: u64, tally: &Tally) {
        let recently = self.shown.is_some_and(|shown| shown.elapsed().as_millis() < 100);
        if !self.terminal || (recently && done < self.seeds) {
            return;
        }
        self.shown = Some(Instant::now());
        let full = (done * 30 / self.seeds.max(1)) as usize;
        let bar = format!("{}{}", "▇".repeat(full), "·".repeat(30 - full));
        eprint!("\r{bar} {done}/{} seeds, {} crashes, {} cuts ", self.seeds, tally.crashes, tally.cuts);
        let _ = std::io::stderr().flush();
    }

    fn clear(&self) {
        if self.terminal {
            eprint!("\r{:79}\r", "");
        }
    }
}
