//! The ledger driven by a replica: requests in, answers and journal records out.

use ledger::{Answer, Context, Ledger, Malformed, Outcome};
use replica::{At, JournalPort, StateMachine};
use storage::{FoldRules, JournalRecord};

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

    /// Changes a balance that no record speaks of. Returns whose it was.
    #[cfg(any(debug_assertions, feature = "controls"))]
    pub fn flip_a_balance(&mut self) -> Option<ledger::AccountId> {
        self.ledger.flip_a_balance()
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

    fn ids(request: &[u8], out: &mut Vec<u128>) {
        // Bytes that are no request ask for nothing, and are answered as such when they are applied.
        let _ = Ledger::ids(request, out);
    }

    fn apply(&mut self, at: At, request: &[u8], journal: &mut dyn JournalPort) -> BankAnswer {
        let context = Context { slot: at.slot, time_ms: at.clock_ms };
        self.ledger.apply(context, request, &mut Port(journal))
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
    fn effects(record: &JournalRecord, put: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        // This build has just written the record, or a start has read it to replay from: one it cannot read would have
        // stopped the node there. Writing a checkpoint without it would lose money, so that is a bug, not a failure.
        ledger::fold_effects(record, put).expect("a record of this ledger");
    }

    fn id(record: &JournalRecord) -> Option<u128> {
        ledger::record_id(record)
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
