//! Clearing driven by a replica: requests in, answers and journal records out.

use clearing::{Answer, Clearing, Malformed, Outcome, Status};
use ledger::Context;
use replica::{At, JournalPort, StateMachine};
use storage::{FoldRules, JournalRecord};

/// The answers to one request, an item each; or why its bytes were no request, which means that a member of another
/// version proposed them.
pub type GatewayAnswer = Result<Vec<Answer>, Malformed>;

/// The gateway's payments, sessions and keys, as the state machine of its group.
#[derive(Debug, Default)]
pub struct Machine {
    clearing: Clearing,
}

impl Machine {
    /// A network without banks.
    pub fn new() -> Self {
        Self::default()
    }

    /// The state.
    pub fn clearing(&self) -> &Clearing {
        &self.clearing
    }
}

/// How many payments an answer tells of that were decided to be paid just now.
pub fn paid(answer: &GatewayAnswer) -> u64 {
    let is_paid = |answer: &&Answer| {
        matches!(answer, Answer::Done { outcome: Outcome::Payment(Status::Paid { .. }), replay: false })
    };
    answer.as_ref().map_or(0, |answers| answers.iter().filter(is_paid).count() as u64)
}

impl StateMachine for Machine {
    type Answer = GatewayAnswer;

    fn ids(request: &[u8], out: &mut Vec<u128>) {
        // Bytes that are no request ask for nothing, and are answered as such when they are applied.
        let _ = Clearing::ids(request, out);
    }

    fn apply(&mut self, at: At, request: &[u8], journal: &mut dyn JournalPort) -> GatewayAnswer {
        let context = Context { slot: at.slot, time_ms: at.clock_ms };
        self.clearing.apply(context, request, &mut Port(journal))
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        self.clearing.restore_entry(key, value).map_err(|error| error.to_string())
    }

    fn restored(&mut self) -> Result<(), String> {
        self.clearing.finish_restore().map_err(|error| error.to_string())
    }

    fn digest(&self) -> [u8; 32] {
        self.clearing.digest()
    }

    fn slice_digest(&self, slice: u64, of: u64) -> [u8; 32] {
        self.clearing.slice_digest(slice, of)
    }
}

impl FoldRules for Machine {
    fn effects(record: &JournalRecord, put: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        // This build has just written the record, or a start has read it to replay from: one it cannot read would have
        // stopped the node there. Writing a checkpoint without it would lose a payment, so that is a bug, not a failure.
        clearing::fold_effects(record, put).expect("a record of this gateway");
    }

    fn id(record: &JournalRecord) -> Option<u128> {
        clearing::record_id(record)
    }
}

/// The replica's journal, in the ledger's terms.
struct Port<'a>(&'a mut dyn JournalPort);

impl ledger::JournalPort for Port<'_> {
    fn find(&self, id: u128) -> Option<JournalRecord> {
        self.0.find(id)
    }

    fn push(&mut self, id: Option<u128>, record: &JournalRecord) -> u64 {
        self.0.push(id, record)
    }

    fn next_place(&self) -> u64 {
        self.0.next_place()
    }
}
