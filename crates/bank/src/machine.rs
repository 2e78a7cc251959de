//! The ledger driven by a replica: requests in, answers and journal records out.

use ledger::{Answer, Context, Ledger, Malformed, Outcome, RecordKey};
use replica::{At, JournalPort, StateMachine};
use storage::{FoldRules, IndexKey, JournalRecord};

/// The answers to one request, an item each; or why its bytes were no request. Callers' requests are parsed before they
/// are proposed, so the latter means that a member of another version proposed them.
pub type BankAnswer = Result<Vec<Answer>, Malformed>;

/// A bank's books, as the state machine of its group.
#[derive(Debug)]
pub struct Machine {
    ledger: Ledger,
}

impl Machine {
    /// Empty books. The seed spreads hash tables and shows nowhere.
    pub fn new(hash_seed: u64) -> Self {
        Self { ledger: Ledger::new(hash_seed) }
    }

    /// The books.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Control: a balance in memory is another one from now on. False if there is no such account.
    #[cfg(feature = "controls")]
    pub fn flip_balance(&mut self, account: ledger::AccountId) -> bool {
        self.ledger.flip_balance(account)
    }

    /// Rejections are answered, but not recorded.
    #[cfg(feature = "controls")]
    pub fn set_control(&mut self, control: ledger::Control) {
        self.ledger.set_control(Some(control));
    }
}

/// How many transfers of a request were posted.
pub fn posted(answer: &BankAnswer) -> u64 {
    let is_posted = |answer: &&Answer| {
        !answer.replay && matches!(answer.outcome, Outcome::Posted { .. } | Outcome::HoldPosted { .. })
    };
    answer.as_ref().map_or(0, |answers| answers.iter().filter(is_posted).count() as u64)
}

impl StateMachine for Machine {
    type Answer = BankAnswer;

    fn keys(request: &[u8], out: &mut Vec<IndexKey>) {
        // Bytes that are no request ask for nothing, and are answered as such when they are applied.
        let _ = Ledger::keys(request, |key| out.push(index_key(key)));
    }

    fn check_record(record: &JournalRecord) -> Result<(), String> {
        ledger::Record::decode(record).map(drop).map_err(|error| error.to_string())
    }

    fn apply(&mut self, at: At, request: &[u8], journal: &mut dyn JournalPort) -> BankAnswer {
        let context = Context { slot: at.slot, time_ms: at.clock_ms };
        self.ledger.apply(context, request, &mut Port(journal))
    }

    fn time_ms(&self) -> u64 {
        self.ledger.time_ms()
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        self.ledger.restore_entry(key, value).map_err(|error| error.to_string())
    }

    fn restored(&mut self) -> Result<(), String> {
        self.ledger.finish_restore().map_err(|error| error.to_string())
    }

    fn digest(&self) -> [u8; 32] {
        self.ledger.digest()
    }

    fn slice_digest(&self, slice: u64, of: u64) -> [u8; 32] {
        self.ledger.slice_digest(slice, of)
    }
}

impl FoldRules for Machine {
    fn effects(record: &JournalRecord, put: &mut dyn FnMut(&[u8], Option<&[u8]>)) -> Result<(), String> {
        ledger::fold_effects(record, put).map_err(|error| error.to_string())
    }

    fn key(record: &JournalRecord) -> Option<IndexKey> {
        ledger::record_key(record).map(index_key)
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
