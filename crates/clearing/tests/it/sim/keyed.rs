//! Customers who pay under an idempotency key and repeat it again and again, also at a gateway that was put back from a copy
//! in which the key was not known. However often they do, money moves once.

use clearing::{Answer, Command, Finding, Outcome, PaymentId, PaymentRequest};
use ledger::{Currency, Reference};
use std::collections::BTreeSet;

use super::{BANKS, CUSTOMERS, Message, World, taker};
use crate::desk::{cents, customer as named, open, session as session_id};

/// A payment under a key.
pub(super) struct Keyed {
    customer: (usize, usize),
    payee: (usize, usize),
    minor: u128,
    session: u128,
    /// What the key was said to stand for.
    ids: BTreeSet<PaymentId>,
}

impl World {
    pub(super) fn order_by_key(&mut self) {
        for number in 0..3 {
            let mut below = |end| self.keyed_dice.below(end);
            let (customer, payee) = ((below(3) as usize, below(2) as usize), (below(3) as usize, below(2) as usize));
            let (minor, session) = (1 + u128::from(below(200)), u128::MAX - 1 - number);
            self.keyed.push(Keyed { customer, payee, minor, session, ids: BTreeSet::new() });
        }
    }

    pub(super) fn repeat_keys(&mut self) {
        if self.quiet || self.liar.is_some() || self.only_old_holds_tell || !self.restores.has_gateway() {
            return;
        }
        for number in 0..self.keyed.len() {
            if !self.keyed_dice.one_in(40) {
                continue;
            }
            let Keyed { customer, payee, minor, session, .. } = self.keyed[number];
            let payer = named(CUSTOMERS[customer.1], BANKS[customer.0]);
            self.desk.one(open(session, payer, self.now_ms + 3_600_000));
            let base = u128::from(self.keyed_dice.next()) << 64;
            let claim = Command::ClaimKey { session: session_id(session), key: number as u128, digest: 1, base };
            let Answer::Done { outcome: Outcome::KeyClaimed { base }, .. } = self.desk.one(claim) else { continue };
            let id = PaymentId::new(base).expect("not nil");
            self.keyed[number].ids.insert(id);
            let request = PaymentRequest {
                id,
                session: session_id(session),
                payee: named(CUSTOMERS[payee.1], BANKS[payee.0]),
                amount: cents(minor),
                currency: Currency::EUR,
                reference: Reference::EMPTY,
            };
            let node = self.keyed_dice.below(3) as usize;
            let command = Command::Take { request, deadline_ms: u64::MAX, taker: taker(node) };
            self.send(Message::ToLog { node, command, order: None });
        }
    }

    pub(super) fn check_keys(&self) -> Result<(), String> {
        for (number, keyed) in self.keyed.iter().enumerate() {
            let bank = &self.banks[keyed.customer.0];
            let paid: Vec<_> = keyed.ids.iter().filter(|id| bank.status(**id) == Finding::Posted).collect();
            if paid.len() > 1 {
                return Err(format!("key {number} was paid {} times: {paid:?}", paid.len()));
            }
        }
        Ok(())
    }
}
