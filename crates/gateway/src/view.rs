//! The gateway between two batches, as a question sees it: the present in memory, the past in the journal.

use crate::machine::Machine;
use clearing::Party;
use clearing::record::{Decided, Taken};
use clearing::{
    BankNumber, Body, Clearing, Delivery, Order, PaymentId, Reason, Record, RecordError, Status, decision_id, replay,
};
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
        match self.body(id.get())? {
            Some(Body::PaymentRefused { payer, reason, .. }) => Ok(Some(refused(payer, reason))),
            Some(Body::PaymentTaken(taken)) => {
                let verdict = self.decided(id)?.verdict;
                let order = taken.order;
                Ok(Some(Known { payer: order.payer, order: Some(order), status: verdict.status(Delivery::Done) }))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// The payments of a bank with numbers above `after`, newest first, that have come to their end, each with its decision:
    /// what a bank that came back from a backup lacks.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn decided_after(&self, bank: BankNumber, after: u64) -> Result<Vec<(Taken, Option<Decided>)>, PastError> {
        let mut found = Vec::new();
        let mut next = self.clearing().bank(bank).and_then(|bank| bank.last_place);
        while let Some(place) = next {
            let record = Record::decode(&self.applier.record(place)?)?;
            let Some((taken, number, previous)) = replay::previous(&record, bank) else { break };
            if number <= after {
                break;
            }
            let id = taken.order.id;
            let decided = match self.body(decision_id(id))? {
                Some(Body::PaymentDecided(decided)) => Some(decided),
                Some(_) | None => None,
            };
            found.push((taken, decided));
            next = previous;
        }
        Ok(found)
    }

    fn decided(&self, id: PaymentId) -> Result<Decided, PastError> {
        match self.body(decision_id(id))? {
            Some(Body::PaymentDecided(decided)) => Ok(decided),
            Some(_) | None => Err(PastError::Lacks { what: "the decision", id }),
        }
    }

    fn body(&self, id: u128) -> Result<Option<Body>, PastError> {
        let found: Option<JournalRecord> = self.applier.find(id)?;
        Ok(found.map(|bytes| Record::decode(&bytes)).transpose()?.map(|record| record.body))
    }
}

fn refused(payer: Party, reason: Reason) -> Known {
    Known { payer, order: None, status: Status::Refused { reason, delivery: Delivery::Done } }
}
