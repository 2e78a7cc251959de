//! What a record is found by.
//!
//! One id can have several records: a hold has its placing, its note and its end, a payment its taking and its decision.
//! Each kind of record has keys of its own, so no record that follows from an id can be found, or prevented, under an id
//! that somebody chose. The kinds' numbers are stored in the index; each journal has its own.

use crate::ids::TransferId;

/// What the index finds a record by: an id, and the kind of record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RecordKey {
    kind: u8,
    id: u128,
}

impl RecordKey {
    pub const fn new(kind: u8, id: u128) -> RecordKey {
        RecordKey { kind, id }
    }

    /// Where the outcome of an id is found that a caller chose: a transfer, the placing of a hold, the closing of an account,
    /// a change of a customer.
    pub fn outcome(id: TransferId) -> RecordKey {
        RecordKey::new(kind::OUTCOME, id.get())
    }

    /// Where the end of a hold is found, posted or voided.
    pub fn hold_end(hold: TransferId) -> RecordKey {
        RecordKey::new(kind::HOLD_END, hold.get())
    }

    /// Where the note about a hold is found.
    pub fn hold_note(hold: TransferId) -> RecordKey {
        RecordKey::new(kind::HOLD_NOTE, hold.get())
    }

    /// Where it is found what an idempotency key stands for.
    pub fn idempotency(key: u128) -> RecordKey {
        RecordKey::new(kind::IDEMPOTENCY, key)
    }

    pub const fn kind(self) -> u8 {
        self.kind
    }

    pub const fn id(self) -> u128 {
        self.id
    }
}

/// Numbers of the kinds of a bank's journal. They are in the index: keep them stable.
pub mod kind {
    pub const OUTCOME: u8 = 0;
    pub const HOLD_END: u8 = 1;
    pub const HOLD_NOTE: u8 = 2;
    pub const IDEMPOTENCY: u8 = 3;
}
