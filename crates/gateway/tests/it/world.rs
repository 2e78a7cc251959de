//! One run: a gateway of three nodes and three banks of three, customers, and trouble: power that fails on any node, links
//! that are cut both ways or one way, messages that are lost, doubled and late, and elections in the middle of all.
//!
//! Each node of the gateway drives payments by its own state, which may lag; what it asks of a bank goes to any of that bank's
//! nodes, and an answer that does not come is no answer. So a decision is only ever what the groups' logs say.

use std::collections::BTreeMap;

use clearing::agenda::Booking;
use clearing::{
    Action, Answer, BankNumber, Call, Command, Driver, NamedParty, NodeNumber, PaymentId, Refusal, Request, SessionId,
    agenda,
};
use ledger::{AccountId, Amount, Currency, Owner, Reference, TransferId};
use replica::Reply;
use replica::group::Mode;

use crate::calls::{self, BankGroup};
use crate::customers::{BANKS, CUSTOMERS, OPENING, Order, is_for_now, orders, party, session_of};
use crate::dice::Dice;
use crate::group::{Beginning, Group, NODES};

pub(crate) type GatewayGroup = Group<gateway::Machine>;

/// A node looks at its clock so often.
const TICK_US: u64 = 5_000;
const BEGIN_US: u64 = 1_000_000_000_000;
const TROUBLE_US: u64 = 5_000_000;
/// A token is good for so long, and a payment has so long to come into the log: as the gateway's edge has them.
const TOKEN_MS: u64 = 3_600_000;
const TAKEN_WITHIN_MS: u64 = 30_000;
/// Somebody signs in so often.
const SIGN_IN_US: u64 = 400_000;
const DAY_MS: i64 = 24 * 3_600_000;
/// So long everything has to come to its end once the trouble is over.
const QUIET_US: u64 = 60_000_000;

/// The rules that a run breaks on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Broken {
    /// A driver tells the banks to post when it has heard that both hold, before the decision is in the log.
    DecideBeforeRecording,
    /// A node takes a proposal that it has not seen applied for done, and tells its customer so.
    BelieveUnapplied,
    /// A batch gets the wall clock of whoever proposes it, wherever that stands.
    #[cfg(feature = "controls")]
    OwnClock,
}

enum Letter {
    Order { node: u16, command: Command, order: Option<usize> },
    Call { bank: usize, node: u16, from: u16, call: Call },
    Reply { node: u16, id: PaymentId, reply: clearing::Reply },
    Answer { order: usize, answer: Answer },
}

pub(crate) struct World {
    dice: Dice,
    pub(crate) now_us: u64,
    pub(crate) gateway: GatewayGroup,
    pub(crate) banks: Vec<BankGroup>,
    drivers: BTreeMap<u16, BTreeMap<PaymentId, Driver>>,
    letters: BTreeMap<(u64, u64), Letter>,
    sent: u64,
    /// Requests that wait at a node of the gateway: whose they are.
    asked: BTreeMap<(u16, u64), (Command, Option<usize>)>,
    /// Calls that wait at a node of a bank: who asked.
    called: BTreeMap<(usize, u16, u64), (u16, Call)>,
    pub(crate) orders: Vec<Order>,
    /// When nodes come back.
    returns: BTreeMap<(usize, u16), u64>,
    quiet: bool,
    broken: Option<Broken>,
    /// What must not have happened.
    pub(crate) wrong: Vec<String>,
    pub(crate) kills: u64,
    pub(crate) cuts: u64,
    pub(crate) unknown: u64,
    pub(crate) jumps: u64,
    pub(crate) sign_ins: u64,
    next_session: u128,
    next_sign_in_us: u64,
    /// Somebody has signed in since the trouble ended.
    pub(crate) signed_in_again: bool,
}

impl World {
    pub(crate) fn new(seed: u64, broken: Option<Broken>) -> World {
        let mut dice = Dice(seed);
        let mut mode = || if dice.one_in(3) { Mode::Leaderless } else { Mode::Leader };
        #[cfg(feature = "controls")]
        let control = (broken == Some(Broken::OwnClock)).then_some(paxos::Control::OwnClock);
        let mut begin = |cluster| Beginning {
            cluster,
            mode: mode(),
            at_us: BEGIN_US,
            #[cfg(feature = "controls")]
            control,
        };
        let gateway = Group::new(begin(1), gateway::Machine::new);
        let banks =
            (0..BANKS.len()).map(|number| Group::new(begin(number as u128 + 2), || bank::Machine::new(7))).collect();
        let from_us = BEGIN_US + 1_500_000;
        let orders = orders(&mut dice, 10, from_us, from_us + TROUBLE_US * 3 / 4);
        let mut world = World {
            dice,
            now_us: BEGIN_US,
            gateway,
            banks,
            drivers: (1..=NODES).map(|node| (node, BTreeMap::new())).collect(),
            letters: BTreeMap::new(),
            sent: 0,
            asked: BTreeMap::new(),
            called: BTreeMap::new(),
            orders,
            returns: BTreeMap::new(),
            quiet: true,
            broken,
            wrong: Vec::new(),
            kills: 0,
            cuts: 0,
            unknown: 0,
            jumps: 0,
            sign_ins: 0,
            next_session: 1_000,
            next_sign_in_us: from_us,
            signed_in_again: false,
        };
        world.found();
        world
    }

    /// Banks with customers who have money, registered at the gateway, and everybody signed in.
    fn found(&mut self) {
        for bank in 0..BANKS.len() {
            let opened = CUSTOMERS.into_iter().enumerate().flat_map(|(at, name)| {
                let account = calls::account(&clearing::CustomerName::new(name).expect("a good name"));
                let open = ledger::Command::OpenAccount { id: account, owner: Owner::EMPTY, currency: Currency::EUR };
                let deposit = ledger::Command::Transfer {
                    id: TransferId::new((1 << 100) + at as u128).expect("not nil"),
                    placer: None,
                    debit: AccountId::vault(Currency::EUR),
                    credit: account,
                    amount: Amount::new(OPENING).expect("in range"),
                    currency: Currency::EUR,
                    reference: Reference::EMPTY,
                };
                [open, deposit]
            });
            let request = ledger::Request { linked: false, commands: opened.collect() }.encode();
            self.must_bank(bank, request);
        }
        let register = |number: usize| Command::RegisterBank {
            name: clearing::BankName::new(BANKS[number]).expect("a good name"),
            group: clearing::GroupId::new(number as u128 + 2).expect("not zero"),
            epoch: clearing::Epoch::FIRST,
            last_number: 0,
        };
        let open = |bank: usize, customer: usize| Command::OpenSession {
            session: session_of(bank, customer),
            customer: party(CUSTOMERS[customer], BANKS[bank]),
            expires_ms: BEGIN_US / 1_000 + TOKEN_MS,
            open_by_ms: u64::MAX,
        };
        let mut commands: Vec<Command> = (0..BANKS.len()).map(register).collect();
        for bank in 0..BANKS.len() {
            commands.extend((0..CUSTOMERS.len()).map(|customer| open(bank, customer)));
        }
        let request = Request { commands }.encode();
        self.must_gateway(request);
    }

    fn must_bank(&mut self, bank: usize, request: Vec<u8>) {
        for _ in 0..400 {
            let node = 1 + self.dice.below(u64::from(NODES)) as u16;
            let seq = self.banks[bank].submit(node, request.clone(), self.now_us, &mut self.dice);
            for _ in 0..40 {
                self.pass();
                if self.banks[bank].take_told().into_iter().any(|(_, (of, told))| Some(of) == seq && told.is_ok()) {
                    return;
                }
            }
        }
        panic!("bank {bank} does not begin");
    }

    fn must_gateway(&mut self, request: Vec<u8>) {
        for _ in 0..400 {
            let seq = self.gateway.submit(1, request.clone(), self.now_us, &mut self.dice);
            for _ in 0..40 {
                self.pass();
                for (_, (of, told)) in self.gateway.take_told() {
                    if let (true, Ok(Reply::Answer(Ok(answers)))) = (Some(of) == seq, told) {
                        let refused = answers.iter().find(|answer| matches!(answer, Answer::Refused(_)));
                        assert_eq!(refused, None);
                        return;
                    }
                }
            }
        }
        panic!("the gateway does not begin");
    }

    fn pass(&mut self) {
        self.now_us += TICK_US;
        self.gateway.tick(self.now_us, &mut self.dice);
        for bank in &mut self.banks {
            bank.tick(self.now_us, &mut self.dice);
        }
    }

    /// A run to its quiet end.
    pub(crate) fn run(mut self) -> Result<World, String> {
        self.quiet = false;
        let trouble_ends = self.now_us + 1_500_000 + TROUBLE_US;
        while self.now_us < trouble_ends {
            self.step();
        }
        self.quiet = true;
        self.signed_in_again = false;
        self.set_clocks(0..=self.banks.len(), 1..=NODES, 0);
        self.gateway.mend(self.now_us, &mut self.dice);
        for bank in 0..self.banks.len() {
            self.banks[bank].mend(self.now_us, &mut self.dice);
        }
        self.returns.values_mut().for_each(|at| *at = (*at).min(trouble_ends));
        let end = self.now_us + QUIET_US;
        while self.now_us < end && !self.is_at_rest() {
            self.step();
        }
        match self.wrong.first() {
            Some(wrong) => Err(wrong.clone()),
            None => self.check().map(|()| self),
        }
    }

    fn is_at_rest(&self) -> bool {
        let decided = self.orders.iter().all(|order| order.told.is_some());
        let open = self.gateway.machine(1).is_none_or(|machine| machine.clearing().payment_count() > 0);
        decided && !open && self.signed_in_again && self.gateway.agrees() && self.banks.iter().all(Group::agrees)
            || !self.wrong.is_empty()
    }

    fn step(&mut self) {
        self.pass();
        self.come_back();
        while let Some(entry) = self.letters.first_entry().filter(|entry| entry.key().0 <= self.now_us) {
            let letter = entry.remove();
            self.deliver(letter);
        }
        self.hear_gateway();
        self.hear_banks();
        self.customers_act();
        self.sign_in();
        self.drive();
        if !self.quiet {
            self.trouble();
        }
    }

    fn send(&mut self, letter: Letter) {
        if !self.quiet && self.dice.one_in(20) {
            return;
        }
        let delay_us = match self.dice.below(10) {
            0 if !self.quiet => self.dice.below(1_500_000),
            _ => self.dice.below(8_000),
        };
        self.sent += 1;
        self.letters.insert((self.now_us + delay_us, self.sent), letter);
    }

    fn deliver(&mut self, letter: Letter) {
        match letter {
            Letter::Order { node, command, order } => {
                let command = self.with_times(node, command);
                let request = Request::single(command).encode();
                if let Some(seq) = self.gateway.submit(node, request, self.now_us, &mut self.dice) {
                    self.asked.insert((node, seq), (command, order));
                    if self.broken == Some(Broken::BelieveUnapplied)
                        && let (Some(order), Command::Cancel { .. }) = (order, command)
                    {
                        let reason = clearing::Reason::VoidedByPayer;
                        let delivery = clearing::Delivery::Pending;
                        let told = self.orders[order].hear(clearing::Status::Refused { reason, delivery });
                        self.wrong.extend(told.err());
                    }
                }
            }
            Letter::Call { bank, node, from, call } => {
                let request = calls::request(&call);
                if let Some(seq) = self.banks[bank].submit(node, request, self.now_us, &mut self.dice) {
                    self.called.insert((bank, node, seq), (from, call));
                }
            }
            Letter::Reply { node, id, reply } => {
                if let Some(driver) = self.drivers.get_mut(&node).and_then(|drivers| drivers.get_mut(&id))
                    && let Some(alarm) = driver.on_reply(&reply)
                {
                    self.wrong.push(format!("{alarm:?}"));
                }
            }
            Letter::Answer { order, answer } => match answer {
                // After a majority began with wrong clocks the log's time may have moved on by days.
                Answer::Refused(Refusal::SessionExpired) if self.gateway.began_wrong => self.sign_in_again(order),
                // In a long run the sign-ins that come now and then end the oldest of this customer's.
                Answer::Refused(Refusal::SessionEnded) => self.sign_in_again(order),
                Answer::Refused(Refusal::DeadlinePassed) if self.gateway.began_wrong => {}
                Answer::Refused(refusal) if !is_for_now(&refusal) => {
                    self.wrong.push(format!("{} was refused: {refusal:?}", self.orders[order].request.id));
                }
                Answer::Refused(Refusal::NoSession) => {
                    let at = &self.orders[order];
                    self.open_session(at.request.session, at.payer);
                }
                answer => {
                    let heard = answer.status().map_or(Ok(()), |status| self.orders[order].hear(status));
                    self.wrong.extend(heard.err());
                }
            },
        }
    }

    fn hear_gateway(&mut self) {
        for (node, (seq, told)) in self.gateway.take_told() {
            let Some((command, order)) = self.asked.remove(&(node, seq)) else { continue };
            match (told, order) {
                (Ok(Reply::Answer(Ok(answers))), Some(order)) => {
                    let answer = *answers.first().expect("as many as commands");
                    self.send(Letter::Answer { order, answer });
                }
                // Not proposed, or nobody knows: the customer sends it again, the driver sees it in its state or does too.
                (Err(_), _) => self.unknown += 1,
                (Ok(Reply::Answer(Ok(answers))), None) if matches!(command, Command::OpenSession { .. }) => {
                    self.hear_sign_in(&command, answers.first());
                }
                (Ok(_), _) => {}
            }
        }
    }

    fn hear_banks(&mut self) {
        for bank in 0..self.banks.len() {
            for (node, (seq, told)) in self.banks[bank].take_told() {
                let Some((from, call)) = self.called.remove(&(bank, node, seq)) else { continue };
                let Ok(Reply::Answer(Ok(answers))) = told else { continue };
                if let Some(reply) = calls::reply(&call, &answers, &self.banks[bank], node) {
                    self.send(Letter::Reply { node: from, id: call.terms.id, reply });
                }
            }
        }
    }

    fn customers_act(&mut self) {
        for order in 0..self.orders.len() {
            let at = &mut self.orders[order];
            if at.told.is_some() || self.now_us < at.next_us.max(at.from_us) {
                continue;
            }
            at.next_us = self.now_us + 150_000;
            let (request, wants_void) = (at.request, at.cancel_us.is_some_and(|cancel_us| cancel_us <= self.now_us));
            let node = 1 + self.dice.below(u64::from(NODES)) as u16;
            let taker = taker(node);
            let command = match wants_void {
                true => Command::Cancel { request, taker },
                false => Command::Take { request, deadline_ms: 0, taker },
            };
            self.send(Letter::Order { node, command, order: Some(order) });
        }
    }

    /// Every node of the gateway that runs does what its own state says is to be done.
    fn drive(&mut self) {
        for node in 1..=NODES {
            let Some(now_ms) = self.gateway.log_time_ms(node, self.now_us) else { continue };
            let Some(machine) = self.gateway.machine(node) else { continue };
            let drivers = self.drivers.get_mut(&node).expect("each node has its own");
            let mut actions = Vec::new();
            // Now and then a payment's caller has turned to this node, whoever took it.
            let turns = self.dice.one_in(10);
            for id in agenda::due(machine.clearing(), taker(node), now_ms, |_| turns) {
                let driver = drivers.entry(id).or_insert_with(|| Driver::new(id));
                actions.extend(driver.poll(machine.clearing(), now_ms));
            }
            drivers.retain(|id, _| machine.clearing().payment(*id).is_some());
            if self.broken == Some(Broken::DecideBeforeRecording) {
                let early = actions.iter().filter_map(|action| early_commits(machine.clearing(), action)).flatten();
                actions = early.collect::<Vec<_>>().into_iter().chain(actions).collect();
            }
            for action in actions {
                match action {
                    Action::Call(call) => {
                        let to = 1 + self.dice.below(u64::from(NODES)) as u16;
                        self.send(Letter::Call { bank: index_of(call.to), node: to, from: node, call });
                    }
                    Action::Propose(command) => self.send(Letter::Order { node, command, order: None }),
                    Action::Alarm { .. } => self.wrong.push(format!("{action:?}")),
                }
            }
        }
    }

    /// Any node of any group, at any moment.
    fn trouble(&mut self) {
        let group = self.dice.below(self.banks.len() as u64 + 1) as usize;
        match self.dice.below(160) {
            0 | 1 => {
                let node = 1 + self.dice.below(u64::from(NODES)) as u16;
                self.kill(group, node);
            }
            // All of a group at once: what is acknowledged is on disks.
            2 if self.dice.one_in(4) => (1..=NODES).for_each(|node| self.kill(group, node)),
            3 | 4 => {
                let from = 1 + self.dice.below(u64::from(NODES)) as u16;
                let to = from % NODES + 1;
                let both = self.dice.one_in(2);
                self.cuts += 1;
                match group {
                    0 => self.gateway.cut_link(from, to, both, self.now_us, &mut self.dice),
                    bank => self.banks[bank - 1].cut_link(from, to, both, self.now_us, &mut self.dice),
                }
            }
            5 | 6 => match group {
                0 => self.gateway.mend(self.now_us, &mut self.dice),
                bank => self.banks[bank - 1].mend(self.now_us, &mut self.dice),
            },
            7 => {
                let node = 1 + self.dice.below(u64::from(NODES)) as u16;
                match group {
                    0 => self.gateway.checkpoint(node, self.now_us, &mut self.dice),
                    bank => self.banks[bank - 1].checkpoint(node, self.now_us, &mut self.dice),
                }
            }
            8 | 9 => self.set_some_clocks(),
            10 | 11 => self.set_clocks(0..=self.banks.len(), 1..=NODES, 0),
            _ => {}
        }
    }

    /// Those of one node, of a majority or of all, in one group or in all.
    fn set_some_clocks(&mut self) {
        let groups = self.banks.len();
        let first = self.dice.below(groups as u64 + 1) as usize;
        let groups = if self.dice.one_in(3) { 0..=groups } else { first..=first };
        let (first, count) = (1 + self.dice.below(2) as u16, self.dice.below(3) as u16);
        let by_ms = [DAY_MS, 40 * DAY_MS, 2 * 3_600_000, 40_000, 1_500][self.dice.below(5) as usize];
        let by_ms = if self.dice.one_in(2) { -by_ms } else { by_ms };
        self.jumps += 1;
        self.set_clocks(groups, first..=(first + count).min(NODES), by_ms);
    }

    fn set_clocks(
        &mut self,
        groups: std::ops::RangeInclusive<usize>,
        nodes: std::ops::RangeInclusive<u16>,
        wrong_ms: i64,
    ) {
        for group in groups {
            for node in nodes.clone() {
                match group {
                    0 => self.gateway.set_clock(node, wrong_ms),
                    bank => self.banks[bank - 1].set_clock(node, wrong_ms),
                }
            }
        }
    }

    /// Deadlines and expiry are made where the request arrives, from the log's time as that node knows it.
    fn with_times(&mut self, node: u16, command: Command) -> Command {
        let Some(now_ms) = self.gateway.log_time_ms(node, self.now_us) else { return command };
        match command {
            Command::Take { request, taker, .. } => {
                Command::Take { request, taker, deadline_ms: now_ms + TAKEN_WITHIN_MS }
            }
            Command::OpenSession { session, customer, .. } => {
                Command::OpenSession { session, customer, expires_ms: now_ms + TOKEN_MS, open_by_ms: u64::MAX }
            }
            command => command,
        }
    }

    /// Now and then somebody signs in, through any node.
    fn sign_in(&mut self) {
        if self.now_us < self.next_sign_in_us {
            return;
        }
        self.next_sign_in_us = self.now_us + SIGN_IN_US;
        self.next_session += 1;
        let session = SessionId::new(self.next_session).expect("not nil");
        let bank = self.dice.below(BANKS.len() as u64) as usize;
        self.open_session(session, party(CUSTOMERS[0], BANKS[bank]));
    }

    fn open_session(&mut self, session: SessionId, customer: NamedParty) {
        let node = 1 + self.dice.below(u64::from(NODES)) as u16;
        let command = Command::OpenSession { session, customer, expires_ms: 0, open_by_ms: u64::MAX };
        self.send(Letter::Order { node, command, order: None });
    }

    fn sign_in_again(&mut self, order: usize) {
        let at = &mut self.orders[order];
        if self.now_us < at.signed_in_us + 1_000_000 {
            return;
        }
        at.signed_in_us = self.now_us;
        self.next_session += 1;
        let session = SessionId::new(self.next_session).expect("not nil");
        self.orders[order].request.session = session;
        self.open_session(session, self.orders[order].payer);
    }

    fn hear_sign_in(&mut self, command: &Command, answer: Option<&Answer>) {
        match answer {
            Some(Answer::Done { .. }) => {
                self.sign_ins += 1;
                self.signed_in_again |= self.quiet;
            }
            // Opened before at another moment, or opened too often.
            Some(Answer::Refused(Refusal::IdReused | Refusal::Full)) => {}
            // A node that began with a wrong clock, and has not heard of the others, asks for an hour of another time.
            Some(Answer::Refused(Refusal::Expired | Refusal::OutOfRange)) if self.gateway.began_wrong => {}
            refused => self.wrong.push(format!("{command:?} was answered with {refused:?}")),
        }
    }

    fn kill(&mut self, group: usize, node: u16) {
        let back_us = self.now_us + 50_000 + self.dice.below(1_500_000);
        self.kills += 1;
        match group {
            0 => {
                self.gateway.kill(node, self.now_us, &mut self.dice);
                // What its drivers knew, and who waited there, is gone with it.
                self.drivers.insert(node, BTreeMap::new());
                self.asked.retain(|(at, _), _| *at != node);
            }
            bank => {
                self.banks[bank - 1].kill(node, self.now_us, &mut self.dice);
                self.called.retain(|(of, at, _), _| (*of, *at) != (bank - 1, node));
            }
        }
        self.returns.entry((group, node)).or_insert(back_us);
    }

    fn come_back(&mut self) {
        let due: Vec<(usize, u16)> =
            self.returns.iter().filter(|(_, at)| **at <= self.now_us).map(|(who, _)| *who).collect();
        for (group, node) in due {
            self.returns.remove(&(group, node));
            match group {
                0 if self.gateway.down().contains(&node) => self.gateway.start(node, self.now_us, &mut self.dice),
                bank if bank > 0 && self.banks[bank - 1].down().contains(&node) => {
                    self.banks[bank - 1].start(node, self.now_us, &mut self.dice);
                }
                _ => {}
            }
        }
    }
}

/// The control: as soon as a report that both hold is to be proposed, the banks are told to post.
fn early_commits(clearing: &clearing::Clearing, action: &Action) -> Option<Vec<Action>> {
    let Action::Propose(Command::Report { id, found, .. }) = action else { return None };
    let held = |side| found.of(side).is_some_and(|said| said.finding == clearing::Finding::Held);
    if !clearing::Side::BOTH.into_iter().all(held) {
        return None;
    }
    let payment = clearing.payment(*id)?;
    let commit = |(kind, side): (clearing::CallKind, clearing::Side)| {
        let to = payment.order.bank(side);
        let terms = clearing.terms(&payment.order);
        let gateway = clearing.epoch();
        Action::Call(Call { kind, to, terms, number: 1, complete_through: 0, gateway, booking: Booking::Held })
    };
    let both = [
        (clearing::CallKind::CommitDebit, clearing::Side::Debit),
        (clearing::CallKind::CommitCredit, clearing::Side::Credit),
    ];
    Some(both.into_iter().map(commit).collect())
}

fn taker(node: u16) -> NodeNumber {
    NodeNumber::new(node).expect("not zero")
}

pub(crate) fn index_of(bank: BankNumber) -> usize {
    usize::from(bank.get()) - 1
}
