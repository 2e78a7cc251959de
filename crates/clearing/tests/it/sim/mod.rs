//! Small networks in one thread: one gateway state machine, three banks with real ledgers, drivers on three nodes,
//! customers who retry and cancel; messages lost, doubled, delayed and reordered; drivers and state made anew at any
//! step; gateway and banks restored from backups. After quiet: no open hold, money constant, every payment on both sides
//! or on neither, no one told two things, positions zero in sum. One seed is one run.

mod check;
mod customers;
mod gone;
mod keyed;
mod liars;
mod runs;

use std::collections::BTreeMap;

use clearing::bank::Standing;
use clearing::control::Control;
use clearing::outcome::Delivery;
use clearing::payment::OperatorName;
use clearing::{
    Action, Answer, BankName, BankNumber, Body, Call, Clearing, Command, Driver, NodeNumber, PaymentId, Record,
    Refusal, Reply, Risk, Seed, Status, Terms, agenda, replay,
};

use crate::bankside::{Lot, Recalled, SimBank};
use crate::desk::*;
use crate::dice::Dice;
use customers::Order;
use gone::Gone;
use keyed::Keyed;
use liars::Liar;
pub(crate) use liars::account_text;

#[derive(Clone, Copy)]
enum Message {
    ToLog { node: usize, command: Command, order: Option<usize> },
    ToBank { node: usize, call: Call },
    ToDriver { node: usize, id: PaymentId, reply: Reply },
    ToCustomer { order: usize, answer: Answer, said_ms: u64 },
    AskToBank { bank: usize, id: PaymentId, answer: Answer },
}

struct World {
    seed: u64,
    dice: Dice,
    /// Of those who try to get another's id.
    takers: Dice,
    now_ms: u64,
    desk: Desk,
    banks: Vec<SimBank>,
    drivers: Vec<BTreeMap<PaymentId, Driver>>,
    messages: BTreeMap<(u64, u64), Message>,
    sent: u64,
    orders: Vec<Order>,
    keyed: Vec<Keyed>,
    keyed_dice: Dice,
    sessions: BTreeMap<(usize, usize), u128>,
    /// Copies of the gateway, older ones first. Of two restores the second may be from the older.
    backups: Vec<Desk>,
    /// A control: since when banks are asked, by the gateway's clock.
    recall_since_ms: u64,
    bank_backups: Vec<Option<SimBank>>,
    gateway_restored_ms: Option<u64>,
    bank_restored_ms: Vec<Option<u64>>,
    incarnation: u32,
    control: Option<Control>,
    quiet: bool,
    /// What went wrong on the way.
    alarms: Vec<String>,
    restores: Restores,
    liar: Option<Liar>,
    gone: Option<Gone>,
    /// A restored gateway is told of nothing, and at the end no customer asks again: what it does not know of is found as an
    /// old hold only.
    only_old_holds_tell: bool,
}

/// Which disasters a run has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Restores {
    None,
    Gateway,
    Banks,
    Both,
}

impl Restores {
    fn has_gateway(self) -> bool {
        matches!(self, Restores::Gateway | Restores::Both)
    }

    fn has_banks(self) -> bool {
        matches!(self, Restores::Banks | Restores::Both)
    }
}

const BANKS: [&str; 3] = ["alpha", "beta", "gamma"];
const CUSTOMERS: [&str; 2] = ["alice", "bob"];

impl World {
    fn new(seed: u64, restores: Restores, control: Option<Control>) -> World {
        let mut lots = Dice(seed ^ 0xc10c);
        let new_bank = |name: &str| SimBank::new(bank_name(name), &CUSTOMERS, lot(&mut lots), control);
        let banks: Vec<SimBank> = BANKS.into_iter().map(new_bank).collect();
        let mut world = World {
            seed,
            dice: Dice(seed),
            takers: Dice(seed ^ 0x7a6e),
            now_ms: 1_000,
            desk: Desk::new(),
            drivers: vec![BTreeMap::new(); 3],
            messages: BTreeMap::new(),
            sent: 0,
            orders: Vec::new(),
            keyed: Vec::new(),
            keyed_dice: Dice(seed ^ 0x6e7),
            sessions: BTreeMap::new(),
            backups: Vec::new(),
            recall_since_ms: 0,
            bank_backups: vec![None; banks.len()],
            bank_restored_ms: vec![None; banks.len()],
            banks,
            gateway_restored_ms: None,
            incarnation: 1,
            control,
            quiet: false,
            alarms: Vec::new(),
            restores,
            liar: None,
            gone: None,
            only_old_holds_tell: false,
        };
        world.desk.journal.one_id_space = control == Some(Control::OneIdSpace);
        #[cfg(feature = "controls")]
        world.desk.clearing.set_control(control);
        for (group, name) in (1..).zip(BANKS) {
            world.desk.one(register(name, group, 1, 0));
        }
        world.desk.one(Command::KeepSeed { seed: Seed::new([7; 32]) });
        world.order_payments();
        world.order_by_key();
        world
    }

    /// A run to its quiet end; what is wrong then, or on the way.
    fn run(mut self) -> Result<World, String> {
        while self.now_ms < 12_000 {
            self.step();
        }
        self.quiet = true;
        let end_ms = self.now_ms + 120_000;
        while self.now_ms < end_ms && !self.is_at_rest() {
            self.step();
        }
        self.check()?;
        Ok(self)
    }

    fn is_at_rest(&self) -> bool {
        let holds: u64 = self.banks.iter().map(|bank| bank.ledger.hold_count()).sum();
        let all_told = self.orders.iter().all(Order::is_over);
        let clearing = &self.desk.clearing;
        let none_is_asked = clearing.to_recall().next().is_none() && clearing.to_recall_with().next().is_none();
        self.desk.clearing.payment_count() == 0
            && holds == 0
            && all_told
            && self.messages.is_empty()
            && none_is_asked
            && self.banks_are_whole()
    }

    /// Whoever was restored is known to be, and has what it lacked.
    fn banks_are_whole(&self) -> bool {
        let is_whole = |(bank, known): (&SimBank, &clearing::bank::Bank)| {
            bank.epoch == known.epoch && known.standing == Standing::Live && !bank.is_restoring()
        };
        self.banks.iter().zip(self.desk.clearing.banks()).all(is_whole)
    }

    fn step(&mut self) {
        self.now_ms += 1 + self.dice.below(40);
        self.desk.clock_ms = self.now_ms;
        while let Some(entry) = self.messages.first_entry().filter(|entry| entry.key().0 <= self.now_ms) {
            let message = entry.remove();
            self.deliver(message);
        }
        if !(self.only_old_holds_tell && self.quiet) {
            self.customers_act();
        }
        self.repeat_keys();
        self.nodes_act();
        self.banks_act();
        self.look_at_banks();
        self.liar_acts();
        self.operator_acts();
        if self.takers.one_in(20) {
            self.takes_a_known_id();
        }
        self.recall();
        if !self.quiet {
            self.disaster();
        }
        self.holds_have_live_payments();
    }

    /// Where nothing was restored, money is only ever set aside for a payment that is on its way.
    fn holds_have_live_payments(&mut self) {
        if self.restores != Restores::None || !self.alarms.is_empty() || self.liar.is_some() {
            return;
        }
        let is_live = |hold: &&ledger::Hold| self.desk.clearing.payment(hold.movement.id).is_some();
        let stray = self.banks.iter().flat_map(|bank| bank.ledger.holds(None)).find(|hold| !is_live(hold));
        let text = stray.map(|hold| format!("{} is held and no payment is on its way", hold.movement.id));
        self.alarms.extend(text);
    }

    fn send(&mut self, message: Message) {
        if !self.quiet && self.dice.one_in(8) {
            return;
        }
        let copies = if !self.quiet && self.dice.one_in(8) { 2 } else { 1 };
        for _ in 0..copies {
            let delay_ms = match self.dice.below(10) {
                _ if self.quiet => 1 + self.dice.below(5),
                0 => self.dice.below(5_000),
                1..3 => self.dice.below(600),
                _ => self.dice.below(60),
            };
            self.sent += 1;
            self.messages.insert((self.now_ms + delay_ms, self.sent), message);
        }
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::ToLog { node, command, order } => {
                let answer = self.desk.one(command);
                self.poll(node, command.payment());
                match (order, command) {
                    (Some(order), _) => self.send(Message::ToCustomer { order, answer, said_ms: self.now_ms }),
                    (None, Command::Resolve { bank, terms, .. }) => {
                        let bank = self.banks.iter().position(|of| of.name == bank).expect("a bank asked");
                        self.send(Message::AskToBank { bank, id: terms.id, answer });
                    }
                    (None, _) => {}
                }
            }
            Message::ToBank { node, call } => {
                let bank = usize::from(call.to.get()) - 1;
                if self.is_gone(bank) {
                    return;
                }
                let answer = self.banks[bank].answer(&call, self.now_ms);
                if let Some(reply) = self.told_by(bank, &call, answer) {
                    self.send(Message::ToDriver { node, id: call.terms.id, reply });
                }
            }
            Message::ToDriver { node, id, reply } => {
                if let Some(driver) = self.drivers[node].get_mut(&id)
                    && let Some(alarm) = driver.on_reply(&reply)
                    && self.liar.is_none()
                {
                    self.alarms.push(format!("{alarm:?}"));
                }
                self.poll(node, Some(id));
            }
            Message::ToCustomer { order, answer, said_ms } => self.tell(order, answer, said_ms),
            Message::AskToBank { bank, id, answer } => match answer.status() {
                Some(Status::Paid { .. }) => self.banks[bank].end(id, true, self.now_ms),
                Some(Status::Refused { .. }) => self.banks[bank].end(id, false, self.now_ms),
                Some(Status::Undecided) | None => {}
            },
        }
    }

    fn nodes_act(&mut self) {
        for node in 0..self.drivers.len() {
            // Now and then a payment's caller has turned to this node, whoever took it.
            let turns = self.dice.one_in(10);
            for id in agenda::due(&self.desk.clearing, taker(node), self.now_ms, |_| turns) {
                self.drivers[node].entry(id).or_insert_with(|| Driver::new(id));
                self.poll(node, Some(id));
            }
            self.drivers[node].retain(|_, driver| !driver.is_done());
        }
    }

    fn poll(&mut self, node: usize, id: Option<PaymentId>) {
        let Some(id) = id else { return };
        let now_ms = self.now_ms;
        let Some(driver) = self.drivers[node].get_mut(&id) else { return };
        for action in driver.poll(&self.desk.clearing, now_ms) {
            match action {
                Action::Call(call) => self.send(Message::ToBank { node, call }),
                Action::Propose(command) => self.send(Message::ToLog { node, command, order: None }),
                // Where a bank lies, that is what alarms are for.
                Action::Alarm { .. } if self.liar.is_some() => {}
                Action::Alarm { .. } => self.alarms.push(format!("{action:?}")),
            }
        }
    }

    fn banks_act(&mut self) {
        for bank in 0..self.banks.len() {
            if !self.dice.one_in(20) || self.is_gone(bank) {
                continue;
            }
            for terms in self.banks[bank].old_holds(4_000, self.now_ms) {
                if self.control == Some(Control::EndVotedHoldAlone) {
                    self.banks[bank].end(terms.id, false, self.now_ms);
                    continue;
                }
                let node = self.dice.below(3) as usize;
                let command = Command::Resolve { bank: self.banks[bank].name, terms, taker: taker(node) };
                self.send(Message::ToLog { node, command, order: None });
            }
        }
    }

    /// A restored gateway asks its banks what it may have forgotten. It can stop in the middle, and begins again then.
    fn recall(&mut self) {
        let to_recall: Vec<_> =
            self.desk.clearing.to_recall().map(|(bank, recall)| (bank.name, bank.number, recall)).collect();
        for (name, number, recall) in to_recall {
            if !self.dice.one_in(4) {
                continue;
            }
            let bank = usize::from(number.get()) - 1;
            if self.banks[bank].is_restoring() || self.is_gone(bank) {
                continue;
            }
            let gateway = self.desk.clearing.epoch();
            let asked = Recalled { recall, since_ms: self.recall_since_ms, gateway };
            let Some(mut placed) = self.banks[bank].recall(asked, self.now_ms) else { continue };
            // Whoever knows of every hold that there was asks for none anew, and this rule would never be needed.
            if self.control == Some(Control::ReplayedHeldCounts) || self.only_old_holds_tell {
                placed.clear();
            }
            let is_entered = placed.into_iter().all(|terms| self.enter(name, number, &terms));
            if is_entered {
                self.desk.one(Command::BankRecalled { name, epoch: gateway });
            }
        }
        self.recall_with_others();
    }

    /// Takes up what a bank tells of. What finds no room at another bank may be put off.
    fn enter(&mut self, name: BankName, number: BankNumber, terms: &Terms) -> bool {
        let other = if terms.payer.bank == name { terms.payee.bank } else { terms.payer.bank };
        let mut pairs = self.desk.clearing.to_recall_with();
        if pairs.any(|(bank, with, _)| (bank.name, with.name) == (name, other)) {
            return true;
        }
        drop(pairs);
        if !self.quiet && self.dice.one_in(30) {
            return false;
        }
        match self.desk.one(Command::Resolve { bank: name, terms: *terms, taker: taker(0) }) {
            Answer::Done { .. } => true,
            Answer::Refused(Refusal::BankBusy { bank } | Refusal::BankRestoring { bank })
                if bank != number && self.dice.one_in(2) =>
            {
                let epoch = self.desk.clearing.epoch();
                matches!(self.desk.one(Command::RecallWith { name, other, epoch }), Answer::Done { .. })
            }
            Answer::Refused(_) => false,
        }
    }

    /// A bank is asked again for what was put off.
    fn recall_with_others(&mut self) {
        let pairs: Vec<_> = self.desk.clearing.to_recall_with().map(|(a, b, recall)| (*a, b.name, recall)).collect();
        for (bank, other, recall) in pairs {
            let at = usize::from(bank.number.get()) - 1;
            if !self.dice.one_in(4) || self.banks[at].is_restoring() || self.is_gone(at) {
                continue;
            }
            let gateway = self.desk.clearing.epoch();
            let asked = Recalled { recall, since_ms: self.recall_since_ms, gateway };
            let Some(mut placed) = self.banks[at].recall(asked, self.now_ms) else { continue };
            placed.retain(|terms| [terms.payer.bank, terms.payee.bank].contains(&other));
            let is_entered = placed.into_iter().all(|terms| {
                let resolve = Command::Resolve { bank: bank.name, terms, taker: taker(0) };
                matches!(self.desk.one(resolve), Answer::Done { .. })
            });
            if is_entered {
                self.desk.one(Command::BankRecalledWith { name: bank.name, other, epoch: gateway });
            }
        }
    }

    fn disaster(&mut self) {
        // What only a moment after a restore shows is looked for where there are many.
        let rare = matches!(
            self.control,
            Some(
                Control::LookRaisesNoFence
                    | Control::RestoredBankAnswers
                    | Control::RecallPastCopies
                    | Control::RecallPastReplays
            )
        );
        match self.dice.below(if rare || self.gone.is_some() { 50 } else { 150 }) {
            0..4 => {
                let node = self.dice.below(3) as usize;
                self.drivers[node].clear();
            }
            4..6 => self.restart_gateway(),
            6 => {
                let undecided = self.desk.clearing.payments().map(|payment| payment.order.id).next();
                if let Some(id) = undecided {
                    let operator = OperatorName::new("root").expect("short");
                    self.desk.one(Command::VoidByHand { id, operator, risk: Risk::NotTaken });
                }
            }
            7..9 if self.restores.has_gateway() => self.backups.push(self.desk.clone()),
            9..11 if self.restores.has_gateway() => self.restore_gateway(),
            11..13 if self.restores.has_banks() => {
                let bank = self.dice.below(3) as usize;
                self.bank_backups[bank] = Some(self.banks[bank].clone());
            }
            13..15 if self.restores.has_banks() => self.restore_bank(),
            _ => {}
        }
    }

    /// All nodes stop and start: what they knew comes from checkpoint and journal.
    fn restart_gateway(&mut self) {
        self.drivers.iter_mut().for_each(BTreeMap::clear);
        #[cfg_attr(not(feature = "controls"), expect(unused_mut, reason = "only controls are set on it"))]
        let mut fresh = Clearing::new();
        #[cfg(feature = "controls")]
        fresh.set_control(self.control);
        let again = restored(&folded(&self.desk.journal.records), fresh);
        if self.control != Some(Control::ForgetOnRestart) {
            assert_eq!(again.digest(), self.desk.clearing.digest(), "a restarted gateway is the same");
        }
        self.desk.clearing = again;
    }

    fn restore_gateway(&mut self) {
        // Mostly the newest; now and then one of before, and the newest after that.
        let back = if self.dice.one_in(3) { 2 } else { 1 };
        let Some(at) = self.backups.len().checked_sub(back) else { return };
        let backup = self.backups[at].clone();
        if self.restores.has_banks() {
            // A payment that all have forgotten is void from now on, and a copy in which it is paid is of no use any more.
            self.backups.truncate(at + 1);
        }
        self.recall_since_ms = backup.clock_ms.saturating_sub(60_000);
        self.drivers.iter_mut().for_each(BTreeMap::clear);
        // What was on its way to the old group is gone with it; what it had sent to others still arrives.
        self.messages.retain(|_, message| !matches!(message, Message::ToLog { order: None, .. }));
        self.desk = Desk { slot: self.desk.slot, clock_ms: self.now_ms, ..backup };
        self.incarnation += 1;
        self.gateway_restored_ms = Some(self.now_ms);
        self.desk.one(Command::BeginEpoch { epoch: epoch(self.incarnation) });
        self.takes_a_known_id();
    }

    /// A bank falls back to its backup. The gateway sees that when it looks next.
    fn restore_bank(&mut self) {
        let number = self.dice.below(3) as usize;
        let Some(backup) = self.bank_backups[number].clone().filter(|_| !self.is_liar(number)) else { return };
        let incarnation = self.banks[number].epoch.get() + 1;
        self.banks[number] = backup;
        self.banks[number].epoch = epoch(incarnation);
        self.bank_restored_ms[number] = Some(self.now_ms);
    }

    /// The gateway looks at its banks: whoever came back from a backup gets every decided payment again before anything else.
    /// It can stop in the middle, and begins again then.
    fn look_at_banks(&mut self) {
        for (number, name) in BANKS.into_iter().enumerate() {
            if !self.dice.one_in(10) {
                continue;
            }
            let (incarnation, complete_through) = (self.banks[number].epoch, self.banks[number].complete_through());
            let known = *self.desk.clearing.bank(bank(number as u16 + 1)).expect("it registered");
            if known.epoch < incarnation {
                self.desk.one(register(name, number as u128 + 1, incarnation.get(), complete_through));
                continue;
            }
            if let Standing::Restored { after, .. } = known.standing {
                let stops_after = if self.quiet { u64::MAX } else { self.dice.below(40) };
                let calls = self.lacking(number, after);
                let is_brought = (0..)
                    .zip(&calls)
                    .all(|(at, call)| at < stops_after && self.banks[number].replay(call, self.now_ms));
                if is_brought {
                    self.desk.one(Command::BankCaughtUp { name: known.name, epoch: incarnation });
                }
            } else if self.banks[number].is_restoring() {
                let gateway = self.desk.clearing.epoch();
                self.banks[number].catch_up(gateway, known.lost, self.now_ms);
            }
        }
    }

    fn lacking(&self, number: usize, after: u64) -> Vec<Call> {
        let this = bank(number as u16 + 1);
        let mut place = self.desk.clearing.bank(this).expect("it registered").last_place;
        let mut calls = Vec::new();
        while let Some(at) = place {
            let record = Record::decode(&self.desk.journal.records[at as usize]).expect("the gateway wrote it");
            let (taken, number_there, before) =
                replay::previous(&record, this).expect("the chain leads from payment to payment");
            if number_there <= after {
                break;
            }
            let decision = self.desk.journal.places.get(&clearing::decision_key(taken.order.id));
            let decision = decision.map(|at| Record::decode(&self.desk.journal.records[*at]).expect("it wrote it"));
            if let Some(Body::PaymentDecided(decided)) = decision.map(|record| record.body) {
                calls.extend(replay::call(&self.desk.clearing, this, &taken, &decided));
            }
            place = before;
        }
        calls.reverse();
        calls
    }
}

/// A log whose time is right or wrong by days, and a fence that is recorded with every payment or with every fourth.
fn lot(dice: &mut Dice) -> Lot {
    let days = dice.below(7) as i64 - 3;
    let in_a_step = if dice.one_in(2) { 1 } else { 4 };
    Lot { clock_off_ms: days * 86_400_000, numbers_apart: ledger::Fence::STEP / in_a_step }
}

fn taker(node: usize) -> NodeNumber {
    crate::desk::node(node as u16 + 1)
}

fn is_paid(status: Status) -> bool {
    match status {
        Status::Paid { delivery: Delivery::Pending | Delivery::Done } => true,
        Status::Refused { .. } | Status::Undecided => false,
    }
}
