//! A bank that lies in every answer, asks for money that nobody ordered, and lifts its incarnation. Whatever it does, no
//! customer of an honest bank is debited without an order of their own, no position passes its cap, and what honest banks
//! have between them stays whole.

use clearing::{
    BankNumber, Body, Call, Command, Finding, Phase, PositionKey, Reason, Record, Reply, Reported, SettingChange, Side,
    Terms, Verdict,
};
use ledger::{AccountId, Currency, Reference};

use super::{BANKS, CUSTOMERS, Message, World, is_paid, taker};
use crate::desk::*;
use crate::dice::Dice;

/// Which bank lies, and how.
pub(super) struct Liar {
    bank: usize,
    dice: Dice,
    /// Of each kind of answer how many in ten are lies.
    lies_in_ten: u64,
}

/// What one bank may owe another where a bank lies, in cents.
const CAP: u128 = 600;

impl World {
    pub(super) fn with_liar(mut self, seed: u64) -> World {
        let mut dice = Dice(seed ^ 0x11a2);
        let bank = dice.below(3) as usize;
        let lies_in_ten = 1 + dice.below(10);
        for (version, (debtor, creditor)) in (0..).zip([(1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2)]) {
            let number = |of| BankNumber::new(of).expect("not zero");
            let (debtor, creditor, cap) = (number(debtor), number(creditor), ledger::Amount::new(CAP));
            let change = SettingChange::PairCap { debtor, creditor, currency: Currency::EUR, cap };
            self.desk.one(Command::ChangeSetting { expected_version: version, change });
        }
        self.liar = Some(Liar { bank, dice, lies_in_ten });
        self
    }

    pub(super) fn is_liar(&self, bank: usize) -> bool {
        self.liar.as_ref().is_some_and(|liar| liar.bank == bank)
    }

    /// What a driver hears: of a liar anything at all, or nothing.
    pub(super) fn told_by(&mut self, bank: usize, call: &Call, honest: Option<Reply>) -> Option<Reply> {
        let epoch = self.banks[bank].epoch;
        let Some(liar) = self.liar.as_mut().filter(|liar| liar.bank == bank) else { return honest };
        if liar.dice.below(10) >= liar.lies_in_ten {
            return honest;
        }
        let finding = match liar.dice.below(7) {
            0 | 1 => Finding::Posted,
            2 => Finding::Held,
            3 => Finding::Voided,
            4 => Finding::NotFound,
            5 => Finding::Refused(Reason::InsufficientFunds { available: 0 }),
            _ => return None,
        };
        Some(Reply { kind: call.kind, gateway: call.gateway, said: Reported { epoch, finding } })
    }

    /// Asks about payments that others' customers are to have made to its own, under ids of its choice.
    pub(super) fn liar_acts(&mut self) {
        let Some(liar) = self.liar.as_mut() else { return };
        let own = liar.bank;
        if !liar.dice.one_in(15) {
            return;
        }
        let name = bank_name(BANKS[own]);
        if liar.dice.one_in(10) {
            self.desk.one(register(BANKS[own], own as u128 + 1, u32::MAX, 0));
            return;
        }
        let other = (own + 1 + liar.dice.below(2) as usize) % 3;
        // An id of somebody's payment, or one of its own.
        let number = 1 + u128::from(liar.dice.below(24));
        let payer = customer(CUSTOMERS[liar.dice.below(2) as usize], BANKS[other]);
        let payee = customer(CUSTOMERS[liar.dice.below(2) as usize], BANKS[own]);
        let amount = cents(1 + u128::from(liar.dice.below(900)));
        let node = liar.dice.below(3) as usize;
        let terms =
            Terms { id: id(number), payer, payee, amount, currency: Currency::EUR, reference: Reference::EMPTY };
        let command = Command::Resolve { bank: name, terms, taker: taker(node) };
        self.send(Message::ToLog { node, command, order: None });
    }

    /// What must be true whatever the liar did.
    pub(super) fn check_honest(&self) -> Result<(), String> {
        for (key, position) in self.desk.clearing.positions() {
            self.check_cap(key, position.low_owes)?;
        }
        for bank in (0..3).filter(|bank| !self.is_liar(*bank)) {
            self.check_books_of(bank)?;
            for hold in self.banks[bank].ledger.holds(None) {
                let id = hold.movement.id;
                if self.desk.clearing.payment(id).is_none() {
                    return Err(format!("{id} is held at {} and no payment is on its way", BANKS[bank]));
                }
            }
            for customer in 0..CUSTOMERS.len() {
                self.check_debits((bank, customer))?;
            }
        }
        self.check_between_honest()
    }

    /// An honest bank can do what the gateway decided, and then both say the same of what it owes the others.
    fn check_books_of(&self, bank: usize) -> Result<(), String> {
        let number = BankNumber::new(bank as u16 + 1).expect("not zero");
        let is_owed = |payment: &&clearing::Payment| match payment.phase {
            Phase::Delivering { owed, .. } => {
                Side::BOTH.into_iter().any(|side| owed.has(side) && payment.order.bank(side) == number)
            }
            Phase::Voting(_) | Phase::AtBank(_) | Phase::Asking { .. } => true,
        };
        if let Some(payment) =
            self.desk.clearing.payments().find(|payment| {
                Side::BOTH.into_iter().any(|side| payment.order.bank(side) == number) && is_owed(payment)
            })
        {
            return Err(format!("{} never comes to its end at {}", payment.order.id, BANKS[bank]));
        }
        for other in (0..3).filter(|other| *other != bank) {
            let by_gateway = self.desk.clearing.positions().find_map(|(key, position)| {
                let (low, high) = (usize::from(key.low.get()) - 1, usize::from(key.high.get()) - 1);
                let owes = if low == bank { position.low_owes } else { -position.low_owes };
                ((low, high) == (bank.min(other), bank.max(other))).then_some(owes)
            });
            let owes = self.banks[bank].owes(&bank_name(BANKS[other]));
            if owes != by_gateway.unwrap_or(0) {
                let (bank, other) = (BANKS[bank], BANKS[other]);
                return Err(format!("{bank} owes {other} {owes} by its books, {by_gateway:?} by the gateway"));
            }
        }
        Ok(())
    }

    fn check_cap(&self, key: &PositionKey, low_owes: i128) -> Result<(), String> {
        match low_owes.unsigned_abs() > CAP {
            true => Err(format!("{key:?} stands at {low_owes}, above its cap")),
            false => Ok(()),
        }
    }

    /// What must be true whatever the liar did, also where the gateway was restored: what it had decided before is forgotten
    /// then, and a liar may deny it. A cap may be passed then: what both banks say that they hold is posted, for it may have
    /// been told to be paid.
    pub(super) fn check_orders_of_honest(&self) -> Result<(), String> {
        for bank in (0..3).filter(|bank| !self.is_liar(*bank)) {
            for customer in 0..CUSTOMERS.len() {
                self.check_are_ordered((bank, customer))?;
            }
        }
        Ok(())
    }

    /// Every debit of a customer is a payment that this customer ordered.
    fn check_are_ordered(&self, customer: (usize, usize)) -> Result<(), String> {
        let (account, debits) = self.banks[customer.0].debits(CUSTOMERS[customer.1]);
        for (id, amount) in debits {
            let order = self.orders.iter().find(|order| order.request.id == id && order.customer == customer);
            if order.is_none_or(|order| order.request.amount != amount) {
                return Err(format!("{account}: {id} debited {amount:?}, and its customer did not order that"));
            }
        }
        Ok(())
    }

    /// Every debit of an honest bank's customer is a payment that this customer ordered and that was decided to be paid.
    fn check_debits(&self, customer: (usize, usize)) -> Result<(), String> {
        self.check_are_ordered(customer)?;
        let (account, debits) = self.banks[customer.0].debits(CUSTOMERS[customer.1]);
        for (id, amount) in debits {
            let order = self.orders.iter().find(|order| order.request.id == id).expect("just looked at");
            if order.customer.0 != self.payee_of(order) && self.verdict(id) != Some(Verdict::Post) {
                return Err(format!("{account}: {id} debited {amount:?}, and it was not decided to be paid"));
            }
        }
        Ok(())
    }

    fn payee_of(&self, order: &super::Order) -> usize {
        BANKS.iter().position(|bank| *bank == order.request.payee.bank.as_str()).expect("a bank")
    }

    fn verdict(&self, id: clearing::PaymentId) -> Option<Verdict> {
        let at = *self.desk.journal.places.get(&clearing::decision_key(id))?;
        match Record::decode(&self.desk.journal.records[at]).expect("the gateway wrote it").body {
            Body::PaymentDecided(decided) => Some(decided.verdict),
            _ => None,
        }
    }

    /// Between honest banks all is as if nobody lied.
    fn check_between_honest(&self) -> Result<(), String> {
        for order in &self.orders {
            let (payer, payee) = (order.customer.0, self.payee_of(order));
            if self.is_liar(payer) || self.is_liar(payee) {
                continue;
            }
            let id = order.request.id;
            let (debit, credit) = (self.banks[payer].status(id), self.banks[payee].status(id));
            let posted = (debit == Finding::Posted, credit == Finding::Posted);
            if posted.0 != posted.1 {
                return Err(format!("{id} is {debit:?} at {} and {credit:?} at {}", BANKS[payer], BANKS[payee]));
            }
            if let Some(status) = order.told.filter(|status| is_paid(*status) != posted.0) {
                return Err(format!("{id} was told {status:?}, and is {debit:?}"));
            }
        }
        Ok(())
    }

    /// Both sides of it are listed for the operator where a bank said that it had posted before anybody decided.
    pub(super) fn contradictions_are_listed(&self) -> bool {
        let contradicted = |bytes: &ledger::RecordBytes| match Record::decode(bytes).expect("the gateway wrote it").body
        {
            Body::PaymentDecided(decided) => match decided.verdict {
                Verdict::Void(Reason::ContradictedByBank { side: Side::Debit | Side::Credit }) => Some(decided.listed),
                Verdict::Void(_) | Verdict::Post => None,
            },
            _ => None,
        };
        self.desk.journal.records.iter().filter_map(contradicted).all(|listed| listed)
    }
}

/// For messages about an account.
pub(crate) fn account_text(account: AccountId, bank: &str) -> String {
    format!("{account} at {bank}")
}
