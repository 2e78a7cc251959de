//! The load: callers that pay, each in their own name, until the time is up.

use super::Shape;
use super::town::Town;
use crate::cmd::bench::Ids;
use crate::cmd::bench::ids::Generator;
use crate::cmd::bench::kill::{Kill, Killer};
use crate::cmd::bench::report::Screen;
use crate::cmd::bench::tally::{Pulse, Tally};
use api::client::gateway::{Customer, PaymentAnswer, Standing};
use clearing::{NamedParty, Terms};
use ledger::{Amount, Currency, Reference};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What came of it.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) took: Duration,
    pub(super) tally: Tally,
    /// Why payments were refused, and how many.
    pub(super) reasons: BTreeMap<String, u64>,
    /// By how much each customer's balance changed, in minor units.
    pub(super) moved: Vec<i128>,
    pub(super) kills: Vec<Kill>,
}

/// One caller's part.
struct Part {
    tally: Tally,
    reasons: BTreeMap<String, u64>,
    moved: Vec<i128>,
}

/// Runs for `time`. A caller's `usual` interval corrects latencies; zero leaves them as they are.
pub(super) async fn run(
    town: &Town,
    shape: Shape,
    (time, usual): (Duration, Duration),
    killer: Option<Killer>,
    screen: &Screen,
    doing: &'static str,
) -> Measured {
    let began = Instant::now();
    let until = began + time;
    let (pulse, mut calling) = (Arc::new(Pulse::new()), JoinSet::new());
    let parties: Arc<[NamedParty]> = town.parties.clone().into();
    for (number, customer) in &town.callers {
        let payer = Payer {
            number: *number,
            customer: customer.clone(),
            parties: Arc::clone(&parties),
            each: town.each(),
            shape,
            generator: Generator::new(),
            pulse: Arc::clone(&pulse),
        };
        calling.spawn(payer.pay(until, usual));
    }
    let killing = killer.map(|killer| tokio::spawn(killer.run(until, vec![(None, Arc::clone(&pulse))])));
    let mut all = Part { tally: Tally::new(), reasons: BTreeMap::new(), moved: vec![0; town.parties.len()] };
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    while !calling.is_empty() {
        tokio::select! {
            Some(part) = calling.join_next() => all.add(part.expect("callers do not panic")),
            _ = ticks.tick() => screen.running(doing, began.elapsed(), time, pulse.posted()),
        }
    }
    let took = began.elapsed();
    let kills = match killing {
        Some(killing) => killing.await.unwrap_or_default(),
        None => Vec::new(),
    };
    Measured { took, tally: all.tally, reasons: all.reasons, moved: all.moved, kills }
}

impl Part {
    fn add(&mut self, other: Part) {
        self.tally.add(&other.tally);
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        self.moved.iter_mut().zip(other.moved).for_each(|(all, moved)| *all += moved);
    }
}

/// One customer at work.
struct Payer {
    number: usize,
    customer: Customer,
    parties: Arc<[NamedParty]>,
    /// Customers of a bank.
    each: usize,
    shape: Shape,
    generator: Generator,
    pulse: Arc<Pulse>,
}

impl Payer {
    async fn pay(mut self, until: Instant, usual: Duration) -> Part {
        let mut part = Part { tally: Tally::new(), reasons: BTreeMap::new(), moved: vec![0; self.parties.len()] };
        while Instant::now() < until {
            let (payees, terms): (Vec<usize>, Vec<Terms>) = (0..self.shape.many).map(|_| self.order()).unzip();
            let began = Instant::now();
            let mut open: Vec<usize> = (0..terms.len()).collect();
            let mut paid = 0;
            // What is undecided, or was not taken, is sent again as it is: an id has one outcome.
            while !open.is_empty() && began.elapsed() < Duration::from_secs(30) {
                let sent: Vec<Terms> = open.iter().map(|at| terms[*at]).collect();
                let Ok(answers) = self.customer.pay_many(&sent).await else { break };
                let asked = std::mem::take(&mut open);
                for (at, answer) in asked.into_iter().zip(answers) {
                    match self.outcome(&mut part, (payees[at], &terms[at]), answer) {
                        Outcome::Paid => paid += 1,
                        Outcome::Refused => {}
                        Outcome::Again => open.push(at),
                    }
                }
                if !open.is_empty() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            part.tally.count_call(began.elapsed(), usual);
            part.tally.posted += paid;
            if open.is_empty() {
                self.pulse.beat(paid);
            } else {
                part.tally.unknown += open.len() as u64;
                self.pulse.fail();
            }
        }
        part
    }

    fn outcome(&self, part: &mut Part, (payee, terms): (usize, &Terms), answer: PaymentAnswer) -> Outcome {
        match answer.standing {
            Standing::Paid { .. } => {
                let minor = i128::try_from(terms.amount.minor()).expect("below 2^96");
                part.moved[self.number] -= minor;
                part.moved[payee] += minor;
                Outcome::Paid
            }
            Standing::Refused { code, .. } => {
                part.tally.rejected += 1;
                *part.reasons.entry(code).or_default() += 1;
                Outcome::Refused
            }
            Standing::Undecided { .. } | Standing::NotTaken { .. } => Outcome::Again,
        }
    }

    /// A payment to somebody else, and who that is.
    fn order(&mut self) -> (usize, Terms) {
        let banks = self.parties.len() / self.each;
        let own = self.number / self.each;
        let is_across = banks > 1 && self.generator.below(100) < self.shape.across as usize;
        let bank = if is_across { (own + 1 + self.generator.below(banks - 1)) % banks } else { own };
        let payees = self.shape.hot.unwrap_or(self.each).clamp(2, self.each);
        let mut payee = bank * self.each + self.generator.below(payees);
        if payee == self.number {
            payee = bank * self.each + (payee % self.each + 1) % self.each;
        }
        let terms = Terms {
            id: self.generator.id(Ids::V7),
            payer: self.parties[self.number],
            payee: self.parties[payee],
            amount: Amount::new((1 + (self.generator.next() & 0xff)).into()).expect("at least one"),
            currency: Currency::EUR,
            reference: Reference::EMPTY,
        };
        (payee, terms)
    }
}

enum Outcome {
    Paid,
    Refused,
    Again,
}
