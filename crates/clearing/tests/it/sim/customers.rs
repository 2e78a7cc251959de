//! Customers of the simulated network: each payment lies in an outbox that two clients share.

use clearing::outbox::{Attempt, DropAnswer, Item, ItemState, ready};
use clearing::outcome::Delivery;
use clearing::told::{Patience, Progress, Told, told};
use clearing::{Answer, Command, Finding, PaymentId, PaymentRequest, Reason, Refusal, Status};
use ledger::{Currency, RecordKey, Reference};

use super::{BANKS, CUSTOMERS, Message, Restores, World, is_paid, taker};
use crate::desk::{cents, customer as named, derived, id, open, session as session_id};

/// A payment as its customer sees it.
pub(super) struct Order {
    pub(super) customer: (usize, usize),
    pub(super) request: PaymentRequest,
    pub(super) made_ms: u64,
    /// When the customer does not want it any more.
    pub(super) drop_ms: u64,
    pub(super) item: Item,
    pub(super) told: Option<Status>,
    pub(super) told_ms: u64,
    /// It was told void for good: its payer asked for that, and the payer's bank has it in writing.
    pub(super) void_for_good: bool,
}

impl Order {
    pub(super) fn is_over(&self) -> bool {
        self.item.state.is_final()
    }
}

const CLIENTS: [u64; 2] = [1, 2];

impl World {
    pub(super) fn order_payments(&mut self) {
        for number in 1..=12 {
            let customer = (self.dice.below(3) as usize, self.dice.below(2) as usize);
            let payee = (self.dice.below(3) as usize, self.dice.below(2) as usize);
            // Mostly affordable, at times more than there is, at times to nobody.
            let minor = 1 + u128::from(if self.dice.one_in(4) { self.dice.below(1_500) } else { self.dice.below(300) });
            let name = if self.dice.one_in(12) { "nobody" } else { CUSTOMERS[payee.1] };
            let request = PaymentRequest {
                id: self.chosen_id(number),
                session: session_id(u128::MAX),
                payee: named(name, BANKS[payee.0]),
                amount: cents(minor),
                currency: Currency::EUR,
                reference: Reference::EMPTY,
            };
            let made_ms = 1_000 + self.dice.below(4_000);
            let drop_ms = if self.dice.one_in(4) { made_ms + self.dice.below(4_000) } else { u64::MAX };
            // Of those that are not wanted any more, half are dropped by hand and half have a deadline.
            let deadline_ms = if number % 2 == 0 { drop_ms } else { u64::MAX };
            let payer = named(CUSTOMERS[customer.1], BANKS[customer.0]);
            let item = Item::new(request.id, payer, number as u64, deadline_ms);
            self.orders.push(Order {
                customer,
                request,
                made_ms,
                drop_ms,
                item,
                told: None,
                told_ms: 0,
                void_for_good: false,
            });
        }
    }

    /// Some customers take an id that follows from one of those before: where its hold ends at a bank, its note stands, or
    /// its decision is found.
    fn chosen_id(&self, number: u128) -> PaymentId {
        match (self.seed % 3, number) {
            (0, 3 | 6 | 9 | 12) => {
                let before = self.orders[number as usize - 2].request.id;
                let kind = 1 + (number as u8 / 3) % 2;
                PaymentId::new(derived(RecordKey::new(kind, before.get()))).expect("not nil")
            }
            _ => id(number),
        }
    }

    pub(super) fn customers_act(&mut self) {
        for order in 0..self.orders.len() {
            let item = self.orders[order].item;
            if let ItemState::WaitingForSignIn(_) = item.state
                && self.dice.one_in(4)
            {
                self.orders[order].item = item.signed_in(self.now_ms);
            } else if self.now_ms >= self.orders[order].drop_ms && item.deadline_ms == u64::MAX {
                self.orders[order].item = match item.drop_asked(self.now_ms) {
                    DropAnswer::Dropped(item) | DropAnswer::Asking(item) | DropAnswer::TooLate(item) => item,
                };
            }
        }
        // Both clients look before either acts, so that they get in each other's way.
        let made: Vec<Item> =
            self.orders.iter().filter(|order| order.made_ms <= self.now_ms).map(|order| order.item).collect();
        for client in CLIENTS {
            for (id, _) in ready(&made, client, self.now_ms) {
                if self.dice.one_in(3) {
                    let seen = made.iter().find(|item| item.id == id).expect("it is ready");
                    self.send_item(client, seen);
                }
            }
        }
    }

    fn send_item(&mut self, client: u64, seen: &Item) {
        let order = self.orders.iter().position(|order| order.item.id == seen.id).expect("it has an order");
        let Ok(leased) = seen.lease(client, self.now_ms, 1_000) else { return };
        let sending = leased.sending(self.now_ms);
        if !self.write(order, seen, sending) || sending.state.is_final() {
            return;
        }
        if !self.quiet && self.dice.one_in(6) {
            self.write(order, &sending, sending.heard(Attempt::NotConnected));
            return;
        }
        let session = self.session_of(self.orders[order].customer);
        let request = PaymentRequest { session: session_id(session), ..self.orders[order].request };
        let node = self.dice.below(3) as usize;
        let taker = taker(node);
        let command = match sending.state {
            ItemState::Cancelling(_) => Command::Cancel { request, taker },
            _ => Command::Take { request, deadline_ms: sending.deadline_ms, taker },
        };
        self.send(Message::ToLog { node, command, order: Some(order) });
    }

    /// What a client's store does: a write that names another version than the present one is refused.
    fn write(&mut self, order: usize, seen: &Item, item: Item) -> bool {
        let stored = &mut self.orders[order].item;
        let is_present = stored.lease.version == seen.lease.version;
        if is_present {
            *stored = item;
        }
        is_present
    }

    /// Whoever has the id of a payment in their history, and its payer by mistake, orders something else under it, or wants
    /// that void. A gateway that was put back may not know it.
    pub(super) fn takes_a_known_id(&mut self) {
        if self.restores != Restores::Gateway
            || self.incarnation == 1
            || self.liar.is_some()
            || self.only_old_holds_tell
        {
            return;
        }
        let of = self.takers.below(self.orders.len() as u64) as usize;
        let Order { customer, request, .. } = self.orders[of];
        if self.banks[customer.0].status(request.id) != Finding::Posted {
            return;
        }
        let payee = BANKS.iter().position(|bank| *bank == request.payee.bank.as_str()).expect("a bank");
        let bank = if self.takers.one_in(2) { payee } else { customer.0 };
        let (by, to) = (self.takers.below(2) as usize, self.takers.below(2) as usize);
        let session = u128::from(self.takers.next()) << 64;
        self.desk.one(open(session, named(CUSTOMERS[by], BANKS[bank]), self.now_ms + 3_600_000));
        let (session, payee) = (session_id(session), named(CUSTOMERS[to], BANKS[bank]));
        let amount = cents(request.amount.minor() + 1);
        let (request, taker) = (PaymentRequest { session, payee, amount, ..request }, taker(0));
        let command = match self.takers.one_in(2) {
            true => Command::Cancel { request, taker },
            false => Command::Take { request, deadline_ms: u64::MAX, taker },
        };
        self.desk.one(command);
    }

    fn session_of(&mut self, customer: (usize, usize)) -> u128 {
        if let Some(session) = self.sessions.get(&customer).filter(|_| self.quiet || !self.dice.one_in(30)) {
            return *session;
        }
        let session = u128::from(self.dice.next()) + 1;
        let named = named(CUSTOMERS[customer.1], BANKS[customer.0]);
        self.desk.one(open(session, named, self.now_ms + 3_600_000));
        self.sessions.insert(customer, session);
        session
    }

    pub(super) fn tell(&mut self, order: usize, answer: Answer, said_ms: u64) {
        if let Answer::Refused(Refusal::NoSession | Refusal::SessionEnded) = answer {
            self.sessions.remove(&self.orders[order].customer);
        }
        let item = self.orders[order].item;
        let is_cancelling = matches!(item.state, ItemState::Cancelling(_));
        // Whoever asks for void is told so only when the payer's bank has it in writing.
        let is_in_writing = |status: Status| !matches!(status, Status::Refused { delivery: Delivery::Pending, .. });
        let is_told = |status: &Status| *status != Status::Undecided && (!is_cancelling || is_in_writing(*status));
        let heard = match answer.status() {
            Some(status) if !is_told(&status) => Told::OutcomeUnknown,
            Some(_) | None => told(Progress::Answered(answer), Patience::Over),
        };
        self.orders[order].item = item.heard(Attempt::Told(heard));
        let Some(status) = answer.status().filter(is_told) else { return };
        if is_cancelling && matches!(status, Status::Refused { reason: Reason::VoidedByPayer, .. }) {
            self.orders[order].void_for_good = true;
        }
        let at = &self.orders[order];
        let differs = at.told.is_some_and(|before| is_paid(before) != is_paid(status));
        if differs && !self.may_differ(at) && !self.is_at_risk(at.request.id) {
            self.alarms.push(format!("{} was told {:?} and {status:?}", at.request.id, at.told));
        }
        let order = &mut self.orders[order];
        if order.told.is_none() {
            (order.told, order.told_ms) = (Some(status), said_ms);
        }
    }

    /// A "void" that a gateway said and then lost with its disks may turn into "paid" where both banks hold: see the
    /// operator's list. One that its payer asked for stays, unless the payer's bank was lost as well. "Paid" stays paid, unless one of its banks was lost as well: then nobody is left who knows.
    pub(super) fn may_differ(&self, order: &Order) -> bool {
        let is_kept = order.void_for_good && !lost_since(self.bank_restored_ms[order.customer.0], order.made_ms);
        let is_told_void = !order.told.is_some_and(is_paid) && lost_since(self.gateway_restored_ms, order.told_ms);
        self.both_may_have_lost(order) || is_told_void && !is_kept
    }

    /// The gateway and one of its banks were put back from copies that may not have had it.
    pub(super) fn both_may_have_lost(&self, order: &Order) -> bool {
        let payee = BANKS.iter().position(|bank| *bank == order.request.payee.bank.as_str()).expect("a bank");
        lost_since(self.gateway_restored_ms, order.made_ms)
            && [order.customer.0, payee].into_iter().any(|bank| lost_since(self.bank_restored_ms[bank], order.made_ms))
    }
}

fn lost_since(restored_ms: Option<u64>, since_ms: u64) -> bool {
    restored_ms.is_some_and(|restored_ms| since_ms <= restored_ms)
}
