//! The open loop: calls leave when they are due, whatever became of those before.
//!
//! This is what many independent customers are like, and it hides nothing: a latency counts from the moment when a call *should*
//! have left, so what waits because something else was slow waits on record. Gaps are random (exponential, as of independent
//! customers), so calls do not march in step with anything.
//!
//! One thread keeps the time, since timers of the runtime have steps of a millisecond, which is a third of the latency to
//! be measured. It wakes at most every 100 µs and sends all that is due.

use super::homes::Home;
use super::load::{Load, Orders, Sender};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// The thread sleeps at least so long: with thousands of calls a second it would else never sleep.
const STEP: Duration = Duration::from_micros(100);

/// Starts the thread; `done` gets one task that ends when all that was sent has ended.
pub(super) fn start(load: &Load, homes: &[Home], per_second: u32, until: Instant, done: &mut JoinSet<()>) {
    let (load, homes, runtime) = (load.clone(), homes.to_vec(), Handle::current());
    let (told, ended) = oneshot::channel();
    let pace = move || {
        let _ = told.send(pace(&load, &homes, per_second, until, &runtime));
    };
    std::thread::Builder::new().name("pace".to_owned()).spawn(pace).expect("the machine has room for one thread more");
    done.spawn(async move {
        if let Ok(mut calls) = ended.await {
            while calls.join_next().await.is_some() {}
        }
    });
}

fn pace(load: &Load, homes: &[Home], per_second: u32, until: Instant, runtime: &Handle) -> JoinSet<()> {
    let _inside = runtime.enter();
    let senders: Vec<Sender> = homes.iter().map(|home| Sender::new(load, &home.client)).collect();
    let mut orders = Orders::new(load);
    let mut calls = JoinSet::new();
    let mut due = Instant::now();
    let mut turn = 0;
    while due < until {
        let now = Instant::now();
        if now < due {
            std::thread::sleep((due - now).max(STEP));
            continue;
        }
        while due <= Instant::now() && due < until {
            let (home, sender) = (homes[turn].clone(), senders[turn].clone());
            let (transfers, intended) = (orders.next_call(), due);
            calls.spawn_on(
                async move {
                    match sender.send(&transfers).await {
                        Ok(answers) => {
                            let took = intended.elapsed();
                            home.count(|tally| tally.count(&answers, took, Duration::ZERO));
                            home.pulse.beat(answers.len() as u64);
                        }
                        Err(_) => {
                            home.count(|tally| tally.unknown += transfers.len() as u64);
                            home.pulse.fail();
                        }
                    }
                },
                runtime,
            );
            turn = (turn + 1) % homes.len();
            due += gap(per_second, orders.dice(1 << 24));
        }
        // What has ended is forgotten now and then, so that a long run does not keep it all.
        while calls.try_join_next().is_some() {}
    }
    calls
}

/// An exponential gap around `1 / per_second`, from a number of 24 random bits.
fn gap(per_second: u32, dice: usize) -> Duration {
    let uniform = (dice as f64 + 0.5) / f64::from(1 << 24);
    Duration::from_secs_f64(-uniform.ln() / f64::from(per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_as_long_as_they_should_be_on_average() {
        let steps = 10_000;
        let sum: Duration = (0..steps).map(|step| gap(1_000, step * ((1 << 24) / steps))).sum();
        let mean_us = sum.as_micros() / steps as u128;
        assert!((980..=1_020).contains(&mean_us), "{mean_us} µs");
    }
}
