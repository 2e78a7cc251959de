//! The load itself: callers, what they send, and how it is repeated.
//!
//! ```text
//!   closed loop   each caller sends its next call when the last is answered        (Load::run)
//!   open loop     calls leave when they are due, whatever became of those before   (offer)
//! ```

use super::homes::Home;
use super::ids::Generator;
use super::kill::{Kill, Killer};
use super::report::Screen;
use super::tally::Tally;
use super::{Calls, Ids, offer};
use api::client::{Answered, Batch, Client, ClientError, Gatherer, Transfer};
use ledger::{AccountId, Amount, Currency, Reference};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What to send.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) calls: Calls,
    pub(crate) batch: usize,
    pub(crate) callers: usize,
    pub(crate) lanes: usize,
    pub(crate) ids: Ids,
    pub(crate) accounts: Arc<[AccountId]>,
    /// Calls a second in all; none for a closed loop.
    pub(crate) rate: Option<u32>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) took: Duration,
    pub(crate) all: Tally,
    /// By node, where callers are spread.
    pub(crate) shares: Vec<(Option<u16>, Tally)>,
    pub(crate) kills: Vec<Kill>,
}

impl Load {
    /// Runs for `time`. A caller's `usual` interval corrects latencies of a closed loop; zero leaves them as they are.
    pub(crate) async fn run(
        &self,
        homes: &[Home],
        time: Duration,
        usual: Duration,
        killer: Option<Killer>,
        screen: &Screen,
        doing: &'static str,
    ) -> Measured {
        let homes: Vec<Home> = homes.iter().map(Home::afresh).collect();
        let began = Instant::now();
        let until = began + time;
        let mut callers = JoinSet::new();
        match self.rate {
            Some(per_second) => offer::start(self, &homes, per_second, until, &mut callers),
            None => self.start_callers(&homes, usual, until, &mut callers),
        }
        let pulses = homes.iter().map(|home| (home.node, Arc::clone(&home.pulse))).collect();
        let killing = killer.map(|killer| tokio::spawn(killer.run(until, pulses)));
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        while !callers.is_empty() {
            tokio::select! {
                Some(done) = callers.join_next() => done.expect("callers do not panic"),
                _ = ticks.tick() => {
                    let posted = homes.iter().map(|home| home.pulse.posted()).sum();
                    screen.running(doing, began.elapsed(), time, posted);
                }
            }
        }
        let took = began.elapsed();
        let mut all = Tally::new();
        let shares: Vec<(Option<u16>, Tally)> = homes.iter().map(|home| (home.node, home.tally())).collect();
        shares.iter().for_each(|(_, share)| all.add(share));
        let kills = match killing {
            Some(killing) => killing.await.unwrap_or_default(),
            None => Vec::new(),
        };
        Measured { took, all, shares, kills }
    }

    fn start_callers(&self, homes: &[Home], usual: Duration, until: Instant, callers: &mut JoinSet<()>) {
        let senders: Vec<Sender> = homes.iter().map(|home| Sender::new(self, &home.client)).collect();
        for number in 0..self.callers {
            let (home, sender) = (homes[number % homes.len()].clone(), senders[number % homes.len()].clone());
            let mut orders = Orders::new(self);
            callers.spawn(async move {
                let mut tally = Tally::new();
                while Instant::now() < until {
                    let transfers = orders.next_call();
                    let began = Instant::now();
                    match sender.send(&transfers).await {
                        Ok(answers) => {
                            tally.count(&answers, began.elapsed(), usual);
                            home.pulse.beat(answers.len() as u64);
                        }
                        Err(_) => {
                            tally.unknown += transfers.len() as u64;
                            home.pulse.fail();
                        }
                    }
                }
                home.count(|all| all.add(&tally));
            });
        }
    }
}

/// How a call is sent.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    calls: Calls,
    client: Client,
    gatherer: Gatherer,
}

impl Sender {
    pub(super) fn new(load: &Load, client: &Client) -> Sender {
        Sender { calls: load.calls, client: client.clone(), gatherer: Gatherer::new(client.clone(), load.lanes) }
    }

    pub(super) async fn send(&self, transfers: &[Transfer]) -> Result<Vec<Answered>, ClientError> {
        match (self.calls, transfers) {
            (Calls::Batch, transfers) => self.client.transfer_batch(transfers, Batch::Independent).await,
            (Calls::Gathered, [transfer, ..]) => Ok(vec![self.gatherer.transfer(transfer).await?]),
            (Calls::Single, [transfer, ..]) => Ok(vec![self.client.transfer(transfer).await?]),
            (Calls::Gathered | Calls::Single, []) => Ok(Vec::new()),
        }
    }
}

/// Makes up what is sent: money from one account to another, each a new id.
#[derive(Debug)]
pub(super) struct Orders {
    generator: Generator,
    accounts: Arc<[AccountId]>,
    ids: Ids,
    count: usize,
}

impl Orders {
    pub(super) fn new(load: &Load) -> Orders {
        let count = match load.calls {
            Calls::Batch => load.batch,
            Calls::Gathered | Calls::Single => 1,
        };
        Orders { generator: Generator::new(), accounts: Arc::clone(&load.accounts), ids: load.ids, count }
    }

    pub(super) fn next_call(&mut self) -> Vec<Transfer> {
        (0..self.count).map(|_| self.transfer()).collect()
    }

    fn transfer(&mut self) -> Transfer {
        let accounts = &self.accounts;
        let debit = self.generator.below(accounts.len());
        let other = self.generator.below(accounts.len() - 1);
        let credit = if other < debit { other } else { other + 1 };
        let minor = 1 + (self.generator.next() & 0xff);
        Transfer {
            id: self.generator.id(self.ids),
            debit: accounts[debit],
            credit: accounts[credit],
            amount: Amount::new(minor.into()).expect("at least one"),
            currency: Currency::EUR,
            reference: Reference::EMPTY,
        }
    }

    /// A number below `bound`.
    pub(super) fn dice(&mut self, bound: usize) -> usize {
        self.generator.below(bound)
    }
}
