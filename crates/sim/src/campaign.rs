//! Many seeds, on a few threads. Each run is alone in its thread and shares nothing, so the order in which they end does
//! not matter; the first violation stops the campaign.
//!
//! A broken assertion in the code under test is a violation like any other: it is caught here and reported with its seed.

use crate::check::Violation;
use crate::run::{self, Finished, Setup};
use crate::tally::Tally;
use crate::trace::Show;
use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

#[derive(Debug)]
pub struct Outcome {
    pub tally: Tally,
    /// The lowest seed with a violation among those run, and what it was.
    pub found: Option<(u64, Violation)>,
}

/// Runs the seeds, and tells `progress` how many are done after each.
pub fn run_seeds(
    seeds: std::ops::Range<u64>,
    jobs: usize,
    setup: &Setup,
    mut progress: impl FnMut(u64, &Tally),
) -> Outcome {
    let next = AtomicU64::new(seeds.start);
    let stop = AtomicBool::new(false);
    let (done, finished) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (done, next, stop, end) = (done.clone(), &next, &stop, seeds.end);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let run = run_one(seed, setup, Show::Nothing);
                    stop.fetch_or(run.violation.is_some(), Ordering::Relaxed);
                    if done.send((seed, run)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        let mut outcome = Outcome { tally: Tally::default(), found: None };
        for (seed, run) in finished {
            outcome.tally.add(&run.tally);
            progress(outcome.tally.seeds, &outcome.tally);
            let lower = outcome.found.as_ref().is_none_or(|(found, _)| seed < *found);
            if let Some(violation) = run.violation.filter(|_| lower) {
                outcome.found = Some((seed, violation));
            }
        }
        outcome
    })
}

thread_local! {
    /// While a run is under way in this thread: what its panic said, and where.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static RUNS: Cell<bool> = const { Cell::new(false) };
}

/// One run; a panic inside becomes its violation. Panics of other threads, and outside of runs, are shown as ever.
pub fn run_one(seed: u64, setup: &Setup, show: Show) -> Finished {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| match RUNS.get() {
            true => PANIC.set(Some(panic.to_string())),
            false => others(panic),
        }));
    });
    RUNS.set(true);
    let run = std::panic::catch_unwind(AssertUnwindSafe(|| run::run(seed, setup, show)));
    RUNS.set(false);
    run.unwrap_or_else(|_| {
        let said = PANIC.take().unwrap_or_default();
        let tally = Tally { seeds: 1, ..Tally::default() };
        Finished { tally, trace_hash: 0, violation: Some(Violation(format!("a broken assertion: {said}"))) }
    })
}
