//! A bank that falls silent when the gateway is restored, and comes back when nobody counts on it any more. Meanwhile an operator
//! voids what waits for it, at the risk that it was paid. What differs then is what the operator was told of: payments that are
//! on record as voided at that risk, each listed with the side whose bank has posted it.

use std::collections::BTreeSet;

use clearing::{
    Answer, Command, Finding, OperatorName, Outcome, PaymentId, Phase, Reason, Refusal, Risk, Side, Status,
};

use super::customers::Order;
use super::{BANKS, World};
use crate::dice::Dice;

/// The bank, and what is done about it.
pub(super) struct Gone {
    bank: usize,
    dice: Dice,
    /// It came back by then.
    until_ms: u64,
    /// What an operator voided, having said that the risk is taken.
    pub(super) at_risk: BTreeSet<PaymentId>,
}

impl World {
    pub(super) fn with_gone_bank(mut self, seed: u64) -> World {
        let mut dice = Dice(seed ^ 0x90e);
        let bank = dice.below(3) as usize;
        let until_ms = 16_000 + dice.below(8_000);
        self.gone = Some(Gone { bank, dice, until_ms, at_risk: BTreeSet::new() });
        self
    }

    /// It neither hears nor says anything.
    pub(super) fn is_gone(&self, bank: usize) -> bool {
        let is_away = |gone: &Gone| gone.bank == bank && self.now_ms < gone.until_ms;
        self.incarnation > 1 && self.gone.as_ref().is_some_and(is_away)
    }

    pub(super) fn is_at_risk(&self, id: PaymentId) -> bool {
        self.gone.as_ref().is_some_and(|gone| gone.at_risk.contains(&id))
    }

    /// An operator wants an end of a payment that waits for the bank: first without a risk, and then, most times, with it.
    pub(super) fn operator_acts(&mut self) {
        let Some(gone) = self.gone.as_mut() else { return };
        let (bank, is_in_the_mood, takes_it) = (gone.bank, gone.dice.one_in(25), !gone.dice.one_in(3));
        if !is_in_the_mood || !self.is_gone(bank) {
            return;
        }
        let is_ordered = |id: &PaymentId| self.orders.iter().any(|order| order.request.id == *id);
        let is_asked = |payment: &&clearing::Payment| matches!(payment.phase, Phase::Asking { .. });
        let mut waiting = self.desk.clearing.payments().filter(is_asked).map(|payment| payment.order.id);
        let first = waiting.find(is_ordered);
        drop(waiting);
        let Some(id) = first else { return };
        let operator = OperatorName::new("anna").expect("short");
        let answer = self.desk.one(Command::VoidByHand { id, operator, risk: Risk::NotTaken });
        if !matches!(answer, Answer::Refused(Refusal::MayBePaid { .. })) || !takes_it {
            return;
        }
        let voided = self.desk.one(Command::VoidByHand { id, operator, risk: Risk::Taken });
        let Answer::Done { outcome: Outcome::Payment(Status::Refused { reason: Reason::VoidedAtRisk, .. }), .. } =
            voided
        else {
            panic!("{id} is not void: {voided:?}");
        };
        // From a copy of before nobody could tell that the risk was taken.
        self.backups.clear();
        if let Some(gone) = self.gone.as_mut() {
            gone.at_risk.insert(id);
        }
    }

    /// The sides whose banks have posted what was voided at a risk: each has to be listed, and none that is not there.
    pub(super) fn check_at_risk(&self, order: &Order, posted: [bool; 2]) -> Result<(), String> {
        let id = order.request.id;
        let listed: Vec<Side> =
            self.desk.clearing.contradicted().filter(|(of, _)| *of == id).map(|(_, side)| side).collect();
        let expected: Vec<Side> =
            Side::BOTH.into_iter().zip(posted).filter(|(_, posted)| *posted).map(|(side, _)| side).collect();
        if listed == expected {
            return Ok(());
        }
        Err(format!("{id} was voided at a risk and is posted at {expected:?}, but listed are {listed:?}"))
    }

    /// What is posted of payments that were voided at a risk: payer's bank, payee's bank, amount, and the sides.
    pub(super) fn posted_at_risk(&self) -> impl Iterator<Item = ((usize, usize), i128, [bool; 2])> {
        self.orders.iter().filter(|order| self.is_at_risk(order.request.id)).map(|order| {
            let payee = BANKS.iter().position(|bank| *bank == order.request.payee.bank.as_str()).expect("a bank");
            let is_posted = |bank: usize| self.banks[bank].status(order.request.id) == Finding::Posted;
            let minor = i128::try_from(order.request.amount.minor()).expect("small");
            ((order.customer.0, payee), minor, [is_posted(order.customer.0), is_posted(payee)])
        })
    }
}
