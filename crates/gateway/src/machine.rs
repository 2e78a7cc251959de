//! Clearing driven by a replica: requests in, answers and journal records out.

use clearing::{Answer, Clearing, Malformed, Outcome, Status};
use ledger::{Context, RecordKey};
use replica::{At, JournalPort, StateMachine};
use storage::{FoldRules, IndexKey, JournalRecord};

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

    fn keys(request: &[u8], out: &mut Vec<IndexKey>) {
        // Bytes that are no request ask for nothing, and are answered as such when they are applied.
        let _ = Clearing::keys_of_request(request, |key| out.push(index_key(key)));
    }

    fn check_record(record: &JournalRecord) -> Result<(), String> {
        clearing::Record::decode(record).map(drop).map_err(|error| error.to_string())
    }

    fn apply(&mut self, at: At, request: &[u8], journal: &mut dyn JournalPort) -> GatewayAnswer {
        let context = Context { slot: at.slot, time_ms: at.clock_ms };
        self.clearing.apply(context, request, &mut Port(journal))
    }

    fn time_ms(&self) -> u64 {
        self.clearing.time_ms()
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
    fn effects(record: &JournalRecord, put: &mut dyn FnMut(&[u8], Option<&[u8]>)) -> Result<(), String> {
        clearing::fold_effects(record, put).map_err(|error| error.to_string())
    }

    fn key(record: &JournalRecord) -> Option<IndexKey> {
        clearing::record_key(record).map(index_key)
    }
}

/// A key of the rules as the index has it.
pub(crate) fn index_key(key: RecordKey) -> IndexKey {
    IndexKey::new(key.kind(), key.id())
}

/// The replica's journal, in the ledger's terms.
struct Port<'a>(&'a mut dyn JournalPort);

impl ledger::JournalPort for Port<'_> {
    fn find(&self, key: RecordKey) -> Option<JournalRecord> {
        self.0.find(index_key(key))
    }

    fn push(&mut self, key: Option<RecordKey>, record: &JournalRecord) -> u64 {
        self.0.push(key.map(index_key), record)
    }

    fn next_place(&self) -> u64 {
        self.0.next_place()
    }
}
