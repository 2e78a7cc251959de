//! Clients: each asks for one thing at a time, through any node, and asks again, in the same words, until it knows the
//! outcome; what it hears is checked against the log.
//!
//! ```text
//! Act ──► Arrive at a node ──► Reply: an outcome ──► checked, then the next Act
//!   ▲                             │ refused, closed, unknown, or nothing in time
//!   └──────── again ◄─────────────┘
//! ```

use crate::check::history::{Called, Moment};
use crate::check::{Told, Violation, must};
use crate::control::Control;
use crate::node::{Caller, Fate};
use crate::plan::Plan;
use crate::random::Random;
use crate::trace::Who;
use crate::workload::{Ask, Town};
use crate::world::{Event, Step, World};
use bytes::Bytes;
use ledger::{Answer, Balances, Outcome};
use replica::{Input, Refusal};

#[derive(Debug)]
pub(crate) enum ClientEvent {
    Act { client: usize },
    Arrive { client: usize, attempt: u64, node: usize },
    Reply { client: usize, attempt: u64, reply: Reply },
    TimeOut { client: usize, attempt: u64 },
}

#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Answered {
        slot: u64,
        answers: Vec<Answer>,
    },
    Read {
        slot: u64,
        balances: Option<Balances>,
    },
    Refused(Refusal),
    ReadRefused,
    /// The connection to the node was refused or ended.
    Closed,
}

impl Reply {
    /// In few words, for who follows a run.
    fn in_short(&self) -> String {
        match self {
            Reply::Answered { slot, answers } => {
                let answers: Vec<String> = answers.iter().map(outcome_in_short).collect();
                format!("from slot {slot}: {}", answers.join(", "))
            }
            Reply::Read { slot, balances } => {
                format!("{} as of slot {slot}", balances.map_or(0, |balances| balances.balance()))
            }
            Reply::Refused(refusal) => format!("{refusal:?}"),
            Reply::ReadRefused => "no read in time".to_owned(),
            Reply::Closed => "connection closed".to_owned(),
        }
    }
}

fn outcome_in_short(answer: &Answer) -> String {
    let replay = if answer.replay { " (again)" } else { "" };
    let outcome = match &answer.outcome {
        Outcome::Rejected { rejection, .. } => format!("rejected, {rejection}"),
        other @ (Outcome::Opened { .. }
        | Outcome::Closed { .. }
        | Outcome::Posted { .. }
        | Outcome::Held { .. }
        | Outcome::HoldPosted { .. }
        | Outcome::HoldVoided { .. }
        | Outcome::Voided { .. }
        | Outcome::SettingChanged { .. }
        | Outcome::SecretChanged { .. }
        | Outcome::LockChanged { .. }
        | Outcome::Noted { .. }
        | Outcome::Fenced { .. }
        | Outcome::KeyClaimed { .. }) => {
            let shown = format!("{other:?}");
            shown.split(' ').next().unwrap_or_default().to_lowercase()
        }
    };
    format!("{outcome}{replay}")
}

#[derive(Debug)]
pub(crate) struct Clients {
    clients: Vec<Client>,
    town: Town,
    finishing: bool,
}

#[derive(Debug, Default)]
struct Client {
    asks: Option<Operation>,
    attempt: u64,
    /// It has asked for the last thing of the run, and whether it knows what became of it.
    last: Last,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Last {
    #[default]
    NotYet,
    Asked,
    Done,
}

#[derive(Debug)]
struct Operation {
    ask: Ask,
    called: Called,
}

impl Clients {
    pub(crate) fn new(plan: &Plan, random: Random) -> Clients {
        let clients = (0..plan.clients).map(|_| Client::default()).collect();
        Clients { clients, town: Town::new(plan.workload.clone(), random), finishing: false }
    }

    /// The trouble is over: everyone finishes what they asked for, and then asks for one deposit more.
    pub(crate) fn finish(&mut self) {
        self.finishing = true;
    }

    /// An account that nobody uses.
    pub(crate) fn reserve(&self) -> Option<ledger::AccountId> {
        self.town.reserve()
    }

    pub(crate) fn are_done(&self) -> bool {
        self.clients.iter().all(|client| client.last == Last::Done)
    }

    pub(crate) fn waiting(&self) -> String {
        let waiting = self.clients.iter().filter(|client| client.last != Last::Done).count();
        format!("{waiting} clients still wait")
    }
}

impl World {
    /// A node that clients have heard of: any that was not switched off; or always the same, if the plan says so.
    fn some_address(&mut self, client: usize) -> usize {
        if self.plan.bound {
            return client % self.plan.nodes;
        }
        let known: Vec<usize> =
            (0..self.nodes.len()).filter(|node| matches!(self.nodes[*node].fate, Fate::Serves)).collect();
        if known.is_empty() { 0 } else { self.random.pick(&known) }
    }

    pub(crate) fn on_client(&mut self, event: ClientEvent) -> Step {
        match event {
            ClientEvent::Act { client } => {
                self.act(client);
                Ok(())
            }
            ClientEvent::Arrive { client, attempt, node } => self.arrive(Caller { client, attempt }, node),
            ClientEvent::Reply { client, attempt, reply } => {
                if self.clients.clients[client].attempt != attempt || self.clients.clients[client].asks.is_none() {
                    return Ok(());
                }
                self.on_reply(client, reply)
            }
            ClientEvent::TimeOut { client, attempt } => {
                if self.clients.clients[client].attempt == attempt && self.clients.clients[client].asks.is_some() {
                    self.again(client);
                }
                Ok(())
            }
        }
    }

    /// Begins something new, or tries again what is not settled.
    fn act(&mut self, client: usize) {
        let called = self.checks.history.call();
        if self.clients.clients[client].asks.is_none() {
            let ask = if !self.clients.finishing {
                self.clients.town.next_ask()
            } else {
                match self.clients.clients[client].last {
                    Last::NotYet => {
                        self.clients.clients[client].last = Last::Asked;
                        self.clients.town.deposit()
                    }
                    Last::Asked | Last::Done => {
                        self.clients.clients[client].last = Last::Done;
                        return;
                    }
                }
            };
            self.trace.event(self.schedule.now_us(), Who::Client(client), "asks", &[], || ask.to_string());
            self.clients.clients[client].asks = Some(Operation { ask, called });
        } else if let Some(Operation { ask: Ask::Read(_), called: before }) = &mut self.clients.clients[client].asks {
            // A read asked for again is another read, which must see what was answered in the meantime.
            *before = called;
        }
        let node = self.some_address(client);
        self.clients.clients[client].attempt += 1;
        let attempt = self.clients.clients[client].attempt;
        let delay = self.random.between(20, 1_000);
        self.schedule.after(delay, Event::Client(ClientEvent::Arrive { client, attempt, node }));
        let patience = self.plan.patience_us + 50_000;
        self.schedule.after(patience, Event::Client(ClientEvent::TimeOut { client, attempt }));
    }

    fn arrive(&mut self, caller: Caller, node: usize) -> Step {
        let now = self.nodes[node].now(self.schedule.now_us());
        let deadline_us = now.mono_us + self.plan.patience_us;
        let Some(operation) = &self.clients.clients[caller.client].asks else { return Ok(()) };
        if self.clients.clients[caller.client].attempt != caller.attempt {
            return Ok(());
        }
        let ask = operation.ask.clone();
        let Some(process) = self.nodes[node].process.as_mut() else {
            self.hang_up(caller);
            return Ok(());
        };
        process.next_seq += 1;
        let seq = process.next_seq;
        process.callers.insert(seq, caller);
        let input = match &ask {
            Ask::Write { request, .. } => Input::Submit { seq, request: Bytes::from(request.encode()), deadline_us },
            Ask::Read(_) => Input::Read { seq, deadline_us },
        };
        self.trace.event(self.schedule.now_us(), Who::Node(node), "is asked", &[seq, caller.client as u64], || {
            format!("request {seq}, by client {}", caller.client)
        });
        if self.control == Some(Control::ReadLocally) && matches!(ask, Ask::Read(_)) {
            self.answer_read(node, seq);
            return Ok(());
        }
        self.step(node, input)
    }

    /// A node answers the caller that waits under that number, if one still does. Now and then the answer is lost.
    pub(crate) fn answer(&mut self, node: usize, seq: u64, reply: Reply) {
        let caller = self.nodes[node].process.as_mut().and_then(|process| process.callers.remove(&seq));
        if let Some(caller) = caller
            && (!self.is_troubled() || !self.random.chance(30))
        {
            self.reply(caller, reply);
        }
    }

    /// The read may be answered from what the node has applied by now.
    pub(crate) fn answer_read(&mut self, node: usize, seq: u64) {
        let Some(process) = self.nodes[node].process.as_ref() else { return };
        let Some(caller) = process.callers.get(&seq) else { return };
        let slot = process.applier.applied().get();
        let operation = &self.clients.clients[caller.client].asks;
        if let Some(Operation { ask: Ask::Read(account), .. }) = operation {
            let balances = process.applier.machine().ledger().account(*account).map(|account| account.balances);
            self.answer(node, seq, Reply::Read { slot, balances });
        }
    }

    /// The node is gone, and with it the connection.
    pub(crate) fn hang_up(&mut self, caller: Caller) {
        self.reply(caller, Reply::Closed);
    }

    fn reply(&mut self, caller: Caller, reply: Reply) {
        let Caller { client, attempt } = caller;
        let delay = self.random.between(20, 1_000);
        self.schedule.after(delay, Event::Client(ClientEvent::Reply { client, attempt, reply }));
    }

    fn on_reply(&mut self, client: usize, reply: Reply) -> Step {
        self.trace.event(self.schedule.now_us(), Who::Client(client), "hears", &[], || reply.in_short());
        match reply {
            Reply::Answered { slot, answers } => self.on_answered(client, slot, &answers),
            Reply::Read { slot, balances } => self.on_read(client, slot, balances),
            Reply::Refused(refusal) => {
                self.tally.unknown += u64::from(refusal == Refusal::OutcomeUnknown);
                self.again(client);
                Ok(())
            }
            Reply::ReadRefused | Reply::Closed => {
                self.again(client);
                Ok(())
            }
        }
    }

    fn on_answered(&mut self, client: usize, slot: u64, answers: &[Answer]) -> Step {
        let Some(Operation { ask: Ask::Write { request, ids }, called }) = self.clients.clients[client].asks.take()
        else {
            return Err(Violation(format!("client {client} was answered a request that it had not sent")));
        };
        self.tally.answered += 1;
        for answer in answers {
            self.tally.replays += u64::from(answer.replay);
            match answer.outcome {
                Outcome::Posted { .. } | Outcome::HoldPosted { .. } => self.tally.transfers += 1,
                Outcome::Held { .. } => self.tally.holds += 1,
                Outcome::Rejected { .. } => self.tally.rejections += 1,
                Outcome::Opened { .. }
                | Outcome::Closed { .. }
                | Outcome::HoldVoided { .. }
                | Outcome::Voided { .. }
                | Outcome::SettingChanged { .. }
                | Outcome::SecretChanged { .. }
                | Outcome::LockChanged { .. }
                | Outcome::Noted { .. }
                | Outcome::Fenced { .. }
                | Outcome::KeyClaimed { .. } => {}
            }
        }
        self.rest(client);
        self.checks.on_told(Told { called, ids, slot }, &request, answers)
    }

    fn on_read(&mut self, client: usize, slot: u64, balances: Option<Balances>) -> Step {
        let Some(Operation { ask: Ask::Read(account), called }) = self.clients.clients[client].asks.take() else {
            return Err(Violation(format!("client {client} was answered a read that it had not asked for")));
        };
        self.tally.reads += 1;
        self.rest(client);
        let expected = self.checks.books.balances_at(account, slot);
        let told = balances.unwrap_or_default();
        must(told == expected, || {
            format!("history: client {client} read {told:?} of {account} at slot {slot}, it was {expected:?}")
        })?;
        self.checks.history.answer(called, Moment::read(slot))
    }

    /// The same again after a moment; while there is trouble a client may also give up and never know.
    fn again(&mut self, client: usize) {
        if self.is_troubled() && self.random.chance(30) {
            self.clients.clients[client].asks = None;
        }
        let delay = self.random.between(500, 40_000);
        self.schedule.after(delay, Event::Client(ClientEvent::Act { client }));
        // What is still under way of the attempt that failed is heard no more.
        self.clients.clients[client].attempt += 1;
    }

    fn rest(&mut self, client: usize) {
        let delay = self.random.between(1, self.plan.workload.pause_us * 2);
        self.schedule.after(delay, Event::Client(ClientEvent::Act { client }));
    }
}
