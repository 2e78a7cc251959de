//! The load itself: callers, what they send, and what is measured of it.

use super::ids::Generator;
use super::kill::Killer;
use super::report::Screen;
use super::{Calls, Ids};
use api::client::{Answered, Batch, Client, ClientError, Gatherer, Outcome, Transfer};
use hdrhistogram::Histogram;
use ledger::{AccountId, Amount, Currency, Reference};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long a call is repeated before its outcome counts as unknown.
const DEADLINE: Duration = Duration::from_secs(30);
const LATENCY_US_MAX: u64 = 120_000_000;

/// What to send.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) calls: Calls,
    pub(crate) batch: usize,
    pub(crate) callers: usize,
    pub(crate) lanes: usize,
    pub(crate) ids: Ids,
    pub(crate) accounts: Arc<[AccountId]>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) took: Duration,
    pub(crate) calls: u64,
    pub(crate) posted: u64,
    pub(crate) rejected: u64,
    pub(crate) unknown: u64,
    /// Microseconds of a call.
    pub(crate) latencies: Histogram<u64>,
    /// The longest time without any answer after each kill of a leader.
    pub(crate) pauses_us: Vec<u64>,
}

impl Measured {
    fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("fixed and sensible bounds");
        let (took, pauses_us) = (Duration::ZERO, Vec::new());
        Self { took, calls: 0, posted: 0, rejected: 0, unknown: 0, latencies, pauses_us }
    }

    /// Time from one call of a caller to its next.
    pub(crate) fn interval(&self, callers: usize) -> Duration {
        let calls_of_one = (self.calls / callers.max(1) as u64).max(1);
        self.took / u32::try_from(calls_of_one).unwrap_or(u32::MAX)
    }

    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.posted += other.posted;
        self.rejected += other.rejected;
        self.unknown += other.unknown;
        self.latencies.add(&other.latencies).expect("same bounds");
    }

    fn count(&mut self, answers: &[Answered]) {
        for answer in answers {
            match answer.outcome {
                Outcome::Posted { .. } => self.posted += 1,
                Outcome::Held { .. } | Outcome::Voided | Outcome::Rejected { .. } => self.rejected += 1,
            }
        }
    }
}

/// When the last answer came, for all callers, and the longest time between two since somebody looked.
#[derive(Debug)]
pub(crate) struct Pulse {
    start: Instant,
    last_us: AtomicU64,
    longest_us: AtomicU64,
    posted: AtomicU64,
}

impl Pulse {
    fn new() -> Self {
        let zero = AtomicU64::default;
        Self { start: Instant::now(), last_us: zero(), longest_us: zero(), posted: zero() }
    }

    fn beat(&self, posted: u64) {
        let now_us = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let last_us = self.last_us.fetch_max(now_us, Ordering::Relaxed);
        self.longest_us.fetch_max(now_us.saturating_sub(last_us), Ordering::Relaxed);
        self.posted.fetch_add(posted, Ordering::Relaxed);
    }

    /// The longest pause since the last look, and a new start.
    pub(crate) fn take_longest_us(&self) -> u64 {
        self.longest_us.swap(0, Ordering::Relaxed)
    }

    fn posted(&self) -> u64 {
        self.posted.load(Ordering::Relaxed)
    }
}

impl Load {
    /// Runs all callers for `time`. A caller's `usual` interval corrects latencies; zero leaves them as they are.
    pub(crate) async fn run(
        &self,
        client: &Client,
        time: Duration,
        usual: Duration,
        killer: Option<Killer>,
        screen: &Screen,
        doing: &'static str,
    ) -> Measured {
        let client = client.with_deadline(DEADLINE);
        let gatherer = Gatherer::new(client.clone(), self.lanes);
        let pulse = Arc::new(Pulse::new());
        let until = Instant::now() + time;
        let usual_us = u64::try_from(usual.as_micros()).unwrap_or(0);
        let mut callers = JoinSet::new();
        for _ in 0..self.callers {
            let caller = Caller {
                load: self.clone(),
                client: client.clone(),
                gatherer: gatherer.clone(),
                pulse: Arc::clone(&pulse),
                usual_us,
                generator: Generator::new(),
                measured: Measured::new(),
            };
            callers.spawn(caller.run(until));
        }
        let killing = killer.map(|killer| tokio::spawn(killer.run(until, Arc::clone(&pulse))));
        let mut measured = Measured::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        while !callers.is_empty() {
            tokio::select! {
                Some(done) = callers.join_next() => measured.add(&done.expect("callers do not panic")),
                _ = ticks.tick() => screen.running(doing, pulse.start.elapsed(), time, pulse.posted()),
            }
        }
        measured.took = pulse.start.elapsed();
        if let Some(killing) = killing {
            measured.pauses_us = killing.await.unwrap_or_default();
        }
        measured
    }
}

struct Caller {
    load: Load,
    client: Client,
    gatherer: Gatherer,
    pulse: Arc<Pulse>,
    usual_us: u64,
    generator: Generator,
    measured: Measured,
}

impl Caller {
    async fn run(mut self, until: Instant) -> Measured {
        while Instant::now() < until {
            let transfers = self.transfers();
            let began = Instant::now();
            let answers = self.send(&transfers).await;
            let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(LATENCY_US_MAX).clamp(1, LATENCY_US_MAX);
            match answers {
                Ok(answers) => {
                    self.measured.calls += 1;
                    self.measured.count(&answers);
                    let latencies = &mut self.measured.latencies;
                    latencies.record_correct(took_us, self.usual_us).expect("clamped to the bounds");
                    self.pulse.beat(answers.len() as u64);
                }
                Err(_) => self.measured.unknown += transfers.len() as u64,
            }
        }
        self.measured
    }

    async fn send(&self, transfers: &[Transfer]) -> Result<Vec<Answered>, ClientError> {
        match (self.load.calls, transfers) {
            (Calls::Batch, transfers) => self.client.transfer_batch(transfers, Batch::Independent).await,
            (Calls::Gathered, [transfer, ..]) => Ok(vec![self.gatherer.transfer(transfer).await?]),
            (Calls::Single, [transfer, ..]) => Ok(vec![self.client.transfer(transfer).await?]),
            (Calls::Gathered | Calls::Single, []) => Ok(Vec::new()),
        }
    }

    fn transfers(&mut self) -> Vec<Transfer> {
        let count = match self.load.calls {
            Calls::Batch => self.load.batch,
            Calls::Gathered | Calls::Single => 1,
        };
        (0..count).map(|_| self.transfer()).collect()
    }

    fn transfer(&mut self) -> Transfer {
        let accounts = &self.load.accounts;
        let debit = self.generator.below(accounts.len());
        let other = self.generator.below(accounts.len() - 1);
        let credit = if other < debit { other } else { other + 1 };
        let minor = 1 + (self.generator.next() & 0xff);
        Transfer {
            id: self.generator.id(self.load.ids),
            debit: accounts[debit],
            credit: accounts[credit],
            amount: Amount::new(minor.into()).expect("at least one"),
            currency: Currency::EUR,
            reference: Reference::EMPTY,
        }
    }
}
