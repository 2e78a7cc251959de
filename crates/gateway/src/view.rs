//! The gateway between two batches, as a question sees it: the present in memory, the past in the journal.

use crate::machine::{Machine, index_key};
use clearing::Party;
use clearing::record::Decided;
use clearing::{
    Answer, BankNumber, Body, Call, Clearing, Command, Delivery, Order, PaymentId, Reason, Record, RecordError, Status,
    decision_key, payment_key, replay,
};
use ledger::RecordKey;
use paxos::Slot;
use replica::Applier;
use storage::{Disk, JournalRecord, StorageError};

/// A look at one node's state. Nothing changes while it exists.
#[derive(Debug)]
pub struct GatewayView<'a, D: Disk> {
    applier: &'a Applier<Machine, D>,
}

/// Why a question to the past has no answer.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the journal holds something unreadable: {0}")]
    Record(#[from] RecordError),
    #[error("the record at place {place} of the journal is no payment of that bank")]
    OffChain { place: u64 },
    #[error("the journal lacks what must be there: {what} of payment {id}")]
    Lacks { what: &'static str, id: PaymentId },
}

/// What is known of a payment's id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    pub payer: Party,
    /// Absent where it was refused at once: then only a digest of its content is kept.
    pub order: Option<Order>,
    pub status: Status,
}

/// Payments that are decided, with what was decided.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DecidedPage {
    pub payments: Vec<(Order, Status)>,
    /// The place to go on from, if there are more.
    pub next: Option<u64>,
}

impl<'a, D: Disk> GatewayView<'a, D> {
    /// A view of the state as it is now.
    pub fn new(applier: &'a Applier<Machine, D>) -> Self {
        Self { applier }
    }

    /// All that is in memory.
    pub fn clearing(&self) -> &'a Clearing {
        self.applier.machine().clearing()
    }

    /// The last slot that the state contains.
    pub fn applied(&self) -> Slot {
        self.applier.applied()
    }

    /// What is known of a payment, on its way or long over.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn payment(&self, id: PaymentId) -> Result<Option<Known>, PastError> {
        if let Some(payment) = self.clearing().payment(id) {
            let (order, status) = (payment.order, payment.status());
            return Ok(Some(Known { payer: order.payer, order: Some(order), status }));
        }
        match self.body(payment_key(id))? {
            Some(Body::PaymentRefused { payer, reason, .. }) => Ok(Some(refused(payer, reason))),
            Some(Body::PaymentTaken(taken)) => {
                let verdict = self.decided(id)?.verdict;
                let order = taken.order;
                Ok(Some(Known { payer: order.payer, order: Some(order), status: verdict.status(Delivery::Done) }))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// What the log would answer to a command at that time, if it would write nothing: see [`Clearing::settled`]. None also
    /// where the journal cannot be read.
    pub fn settled(&self, command: &Command, now_ms: u64) -> Option<Answer> {
        let mut is_read = true;
        let find = |key| {
            let found = self.body(key);
            is_read &= found.is_ok();
            found.ok().flatten()
        };
        let answer = self.clearing().settled(command, now_ms, find);
        answer.filter(|_| is_read)
    }

    /// Payments of a bank from the record at `place` back, newest first, with numbers above `after`, at most `most`; and
    /// where to go on, if there are more.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn payments_back(
        &self,
        bank: BankNumber,
        place: u64,
        after: u64,
        most: usize,
    ) -> Result<(Vec<PaymentId>, Option<u64>), PastError> {
        let (mut found, mut next) = (Vec::new(), Some(place));
        while let Some(place) = next
            && found.len() < most
        {
            let record = Record::decode(&self.applier.record(place)?)?;
            let previous = replay::previous(&record, bank).filter(|(_, number, _)| *number > after);
            let Some((taken, _, before)) = previous else { return Ok((found, None)) };
            found.push(taken.order.id);
            next = before;
        }
        Ok((found, next))
    }

    /// Payments whose payer and payee are both at the bank, among those of the bank from the record at `place` back: newest
    /// first, of at most `most` that are looked at; and where to go on, if there are more. Left out is what is undecided.
    ///
    /// # Errors
    /// When the journal cannot be read, lacks a decision, or has no payment of the bank at `place`.
    pub fn decided_within(&self, bank: BankNumber, place: u64, most: usize) -> Result<DecidedPage, PastError> {
        let (mut payments, mut next) = (Vec::new(), Some(place));
        for _ in 0..most {
            let Some(place) = next else { break };
            let record = Record::decode(&self.applier.record(place)?)?;
            // Each leads to the next one: only a caller's own place can lead elsewhere.
            let (taken, _, before) = replay::previous(&record, bank).ok_or(PastError::OffChain { place })?;
            next = before;
            let is_over = self.clearing().payment(taken.order.id).is_none();
            if taken.order.is_within_one_bank() && is_over {
                payments.push((taken.order, self.decided(taken.order.id)?.verdict.status(Delivery::Done)));
            }
        }
        Ok(DecidedPage { payments, next })
    }

    /// The call that brings a bank a payment again; none for one that is not decided yet.
    ///
    /// # Errors
    /// When the journal cannot be read, or lacks the payment.
    pub fn replay_call(&self, bank: BankNumber, id: PaymentId) -> Result<Option<Call>, PastError> {
        let Some(Body::PaymentTaken(taken)) = self.body(payment_key(id))? else {
            return Err(PastError::Lacks { what: "the order", id });
        };
        match self.body(decision_key(id))? {
            Some(Body::PaymentDecided(decided)) => Ok(replay::call(self.clearing(), bank, &taken, &decided)),
            Some(_) | None => Ok(None),
        }
    }

    fn decided(&self, id: PaymentId) -> Result<Decided, PastError> {
        match self.body(decision_key(id))? {
            Some(Body::PaymentDecided(decided)) => Ok(decided),
            Some(_) | None => Err(PastError::Lacks { what: "the decision", id }),
        }
    }

    /// The records of a payment: how it came here, and its decision.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn records(&self, id: PaymentId) -> Result<(Option<Record>, Option<Record>), PastError> {
        Ok((self.record(payment_key(id))?, self.record(decision_key(id))?))
    }

    fn body(&self, key: RecordKey) -> Result<Option<Body>, PastError> {
        Ok(self.record(key)?.map(|record| record.body))
    }

    fn record(&self, key: RecordKey) -> Result<Option<Record>, PastError> {
        let found: Option<JournalRecord> = self.applier.find(index_key(key))?;
        Ok(found.map(|bytes| Record::decode(&bytes)).transpose()?)
    }
}

fn refused(payer: Party, reason: Reason) -> Known {
    Known { payer, order: None, status: Status::Refused { reason, delivery: Delivery::Done } }
}
