//! What must be true after quiet.

use clearing::control::Control;
use clearing::outbox::ItemState;
use clearing::record::Taken;
use clearing::{Body, Finding, PaymentRequest, PositionKey, Record, Verdict};
use ledger::JournalPort;

use super::{BANKS, CUSTOMERS, World, is_paid};
use crate::bankside::{OPENING, SimBank};
use crate::desk::{bank_name, customer};

impl World {
    pub(super) fn check(&self) -> Result<(), String> {
        let broken = |text: String| Err(text);
        if let Some(alarm) = self.alarms.first() {
            return broken(alarm.clone());
        }
        if let Some(payment) = self.desk.clearing.payments().next() {
            return broken(format!("{payment:?} is still on its way"));
        }
        for bank in &self.banks {
            if let Some(hold) = bank.ledger.holds(None).next() {
                return broken(format!("{} has an open hold: {hold:?}", bank.name));
            }
        }
        let money: i128 = self.banks.iter().map(SimBank::money).sum();
        // One side alone of what an operator voided at a risk.
        let made = |(_, minor, [debit, credit]): (_, i128, [bool; 2])| minor * (i128::from(credit) - i128::from(debit));
        let at_risk: i128 = self.posted_at_risk().map(made).sum();
        if money != i128::try_from(OPENING).expect("small") * 6 + at_risk {
            // Which payment it was says more.
            self.check_orders()?;
            return broken(format!("the network has {money}"));
        }
        self.check_orders()?;
        self.check_keys()?;
        self.check_paid_are_known()?;
        self.check_positions()
    }

    /// On both sides or on neither, and as the customer was told.
    fn check_orders(&self) -> Result<(), String> {
        for order in &self.orders {
            let id = order.request.id;
            let debit = self.banks[order.customer.0].status(id);
            let payee = BANKS.iter().position(|bank| *bank == order.request.payee.bank.as_str()).expect("a bank");
            let credit = self.banks[payee].status(id);
            let posted = (debit == Finding::Posted, credit == Finding::Posted);
            if self.is_at_risk(id) {
                self.check_at_risk(order, posted.into())?;
                if posted != (false, false) {
                    continue;
                }
            }
            if posted.0 != posted.1 {
                return Err(format!("{id} is {debit:?} at its payer's bank and {credit:?} at its payee's"));
            }
            match order.told {
                None if order.item.state == ItemState::Dropped && debit == Finding::NotFound => {}
                None => return Err(format!("{id} has no outcome")),
                Some(status) if is_paid(status) == posted.0 => {}
                Some(_) if self.may_differ(order) => {}
                Some(status) => return Err(format!("{id} was told {status:?}, and is {debit:?}")),
            }
        }
        Ok(())
    }

    /// What moved stands in the gateway's journal as paid, with the content that its payer ordered: nobody else has the id,
    /// and whoever asks for it is told so.
    fn check_paid_are_known(&self) -> Result<(), String> {
        // In that control nobody is asked what was forgotten.
        if self.control == Some(Control::ReplayedHeldCounts) {
            return Ok(());
        }
        let found = |key| {
            let bytes = self.desk.journal.find(key)?;
            Some(Record::decode(&bytes).expect("the gateway wrote it").body)
        };
        for order in &self.orders {
            let PaymentRequest { id, payee, amount, .. } = order.request;
            let payer = customer(CUSTOMERS[order.customer.1], BANKS[order.customer.0]);
            let is_known_otherwise = self.both_may_have_lost(order) || self.is_at_risk(id);
            if self.banks[order.customer.0].status(id) != Finding::Posted || is_known_otherwise {
                continue;
            }
            let is_ordered = |taken: &Taken| {
                let terms = self.desk.clearing.terms(&taken.order);
                (terms.payer, terms.payee, terms.amount) == (payer, payee, amount)
            };
            match (found(clearing::payment_key(id)), found(clearing::decision_key(id))) {
                (Some(Body::PaymentTaken(taken)), Some(Body::PaymentDecided(decided)))
                    if is_ordered(&taken) && decided.verdict == Verdict::Post => {}
                (taken, decided) => {
                    return Err(format!("{id} is posted, and the gateway has it as {taken:?}, {decided:?}"));
                }
            }
        }
        Ok(())
    }

    /// What a bank's books say that it owes another one, of payments that were voided at a risk.
    fn owes_at_risk(&self, bank: usize, other: usize) -> i128 {
        let owes = |((payer, payee), minor, [debit, credit]): ((usize, usize), i128, [bool; 2])| match (payer, payee) {
            between if between == (bank, other) && debit => minor,
            between if between == (other, bank) && credit => -minor,
            _ => 0,
        };
        self.posted_at_risk().map(owes).sum()
    }

    fn check_positions(&self) -> Result<(), String> {
        for (low, high) in [(0, 1), (0, 2), (1, 2)] {
            // What one bank books of a payment that was voided at a risk is its own affair.
            let owes = self.banks[low].owes(&bank_name(BANKS[high])) - self.owes_at_risk(low, high);
            let is_owed = self.banks[high].owes(&bank_name(BANKS[low])) - self.owes_at_risk(high, low);
            if owes + is_owed != 0 {
                return Err(format!("{} owes {owes}, {} {is_owed}", BANKS[low], BANKS[high]));
            }
            let is_between =
                |key: &PositionKey| (usize::from(key.low.get()), usize::from(key.high.get())) == (low + 1, high + 1);
            let by_gateway = self.desk.clearing.positions().find(|(key, _)| is_between(key));
            let by_gateway = by_gateway.map_or(0, |(_, position)| position.low_owes);
            // In that control nobody is asked what was forgotten.
            if by_gateway != owes && self.control != Some(Control::ReplayedHeldCounts) {
                return Err(format!("{} owes {owes}, the gateway says {by_gateway}", BANKS[low]));
            }
        }
        Ok(())
    }
}
