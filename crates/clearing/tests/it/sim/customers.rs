//! Customers of the simulated network: each payment lies in an outbox that two clients share.

use clearing::outbox::{Attempt, DropAnswer, Item, ItemState, ready};
use clearing::told::{Patience, Progress, told};
use clearing::{Answer, Command, PaymentRequest, Refusal, Status};
use ledger::{Currency, Reference};

use super::{BANKS, CUSTOMERS, Message, World, is_paid, taker};
use crate::desk::{cents, customer as named, id, open, session as session_id};

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
                id: id(number),
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
            self.orders.push(Order { customer, request, made_ms, drop_ms, item, told: None, told_ms: 0 });
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
        let heard = told(Progress::Answered(answer), Patience::Over);
        self.orders[order].item = item.heard(Attempt::Told(heard));
        let Some(status) = answer.status().filter(|status| *status != Status::Undecided) else { return };
        let at = &self.orders[order];
        let differs = at.told.is_some_and(|before| is_paid(before) != is_paid(status));
        if differs && !self.may_differ(at) {
            self.alarms.push(format!("{} was told {:?} and {status:?}", at.request.id, at.told));
        }
        let order = &mut self.orders[order];
        if order.told.is_none() {
            (order.told, order.told_ms) = (Some(status), said_ms);
        }
    }

    /// A "void" that a gateway said and then lost with its disks may turn into "paid" where both banks hold: see the
    /// operator's list. "Paid" stays paid, unless one of its banks was lost as well: then nobody is left who knows.
    pub(super) fn may_differ(&self, order: &Order) -> bool {
        let lost =
            |restored_ms: Option<u64>, since_ms: u64| restored_ms.is_some_and(|restored_ms| since_ms <= restored_ms);
        let payee = BANKS.iter().position(|bank| *bank == order.request.payee.bank.as_str()).expect("a bank");
        let of_bank = |bank: usize| lost(self.bank_restored_ms[bank], order.made_ms);
        let both_are_lost =
            lost(self.gateway_restored_ms, order.made_ms) && [order.customer.0, payee].into_iter().any(of_bank);
        both_are_lost || lost(self.gateway_restored_ms, order.told_ms) && !order.told.is_some_and(is_paid)
    }
}
