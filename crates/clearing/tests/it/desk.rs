//! A gateway's desk for tests: the state machine with a journal in memory, checked after every request.

use std::collections::BTreeMap;

use clearing::{
    Answer, BankName, BankNumber, Clearing, Command, CustomerName, Epoch, GroupId, Holder, NamedParty, NodeNumber,
    OperatorName, PaymentId, PaymentRequest, Record, Refusal, Request, Risk, SessionId, Status,
};
use ledger::{Amount, Context, Currency, JournalPort, RecordBytes, RecordKey, Reference};

pub(crate) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// A key leads to the first record that was pushed under it, as in the real journal.
#[derive(Clone, Default)]
pub(crate) struct Journal {
    pub(crate) records: Vec<RecordBytes>,
    pub(crate) places: BTreeMap<RecordKey, usize>,
    /// A control: what follows from an id is found among the ids that callers choose.
    pub(crate) one_id_space: bool,
}

impl Journal {
    fn key(&self, key: RecordKey) -> RecordKey {
        if self.one_id_space && key.kind() > 0 { RecordKey::new(0, derived(key)) } else { key }
    }
}

/// An id that anybody can derive from another one.
pub(crate) fn derived(key: RecordKey) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[key.kind()]);
    hasher.update(&key.id().to_le_bytes());
    u128::from_le_bytes(hasher.finalize().as_bytes()[..16].try_into().expect("sixteen bytes of thirty-two"))
}

impl JournalPort for Journal {
    fn find(&self, key: RecordKey) -> Option<RecordBytes> {
        self.places.get(&self.key(key)).map(|place| self.records[*place])
    }

    fn push(&mut self, key: Option<RecordKey>, record: &RecordBytes) -> u64 {
        if let Some(key) = key.map(|key| self.key(key)) {
            self.places.entry(key).or_insert(self.records.len());
        }
        self.records.push(*record);
        self.records.len() as u64 - 1
    }

    fn next_place(&self) -> u64 {
        self.records.len() as u64
    }
}

#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) clearing: Clearing,
    pub(crate) journal: Journal,
    pub(crate) slot: u64,
    pub(crate) clock_ms: u64,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        Desk { clearing: Clearing::new(), journal: Journal::default(), slot: 0, clock_ms: 1_000 }
    }

    /// Banks alpha, beta and gamma; alice and carol of alpha and bob of beta have sessions 1, 3 and 2.
    pub(crate) fn town() -> Desk {
        let mut desk = Desk::new();
        for (number, name) in [(1, "alpha"), (2, "beta"), (3, "gamma")] {
            desk.one(register(name, number, 1, 0));
        }
        for (number, name, bank) in [(1, "alice", "alpha"), (2, "bob", "beta"), (3, "carol", "alpha")] {
            desk.one(open(number, customer(name, bank), 10_000_000));
        }
        desk
    }

    pub(crate) fn one(&mut self, command: Command) -> Answer {
        self.slot += 1;
        let request = Request::single(command).encode();
        let mut keys = Vec::new();
        Clearing::keys_of_request(&request, |key| keys.push(key)).expect("the request is well formed");
        let mut port = Gathered { journal: &mut self.journal, keys };
        let context = Context { slot: self.slot, time_ms: self.clock_ms };
        let find = |key| Some(Record::decode(&port.find(key)?).expect("the journal has records").body);
        let settled = self.clearing.settled(&command, self.clock_ms, find);
        let records = port.journal.records.len();
        let answers = self.clearing.apply(context, &request, &mut port).expect("the request is well formed");
        let has_written = self.journal.records.len() > records;
        if let Some(settled) = settled {
            assert_eq!((settled, false), (answers[0], has_written), "what is settled needs no entry: {command:?}");
        } else if command.may_be_settled() {
            assert!(has_written || may_go_unwritten(&answers[0]), "an entry for nothing: {command:?}: {answers:?}");
        }
        clearing::invariant::check(&self.clearing).expect("the state is sound");
        answers[0]
    }

    /// Many commands at once, without the checks after each.
    pub(crate) fn all(&mut self, request: &Request) -> Vec<Answer> {
        self.slot += 1;
        let context = Context { slot: self.slot, time_ms: self.clock_ms };
        self.clearing.apply_request(context, request, &mut self.journal)
    }

    /// A restored gateway's next incarnation, with every bank asked what it holds.
    pub(crate) fn begin_epoch(&mut self, number: u32) {
        self.one(Command::BeginEpoch { epoch: epoch(number) });
        let unasked: Vec<BankName> = self.clearing.to_recall().map(|(bank, _)| bank.name).collect();
        for name in unasked {
            self.one(Command::BankRecalled { name, epoch: epoch(number) });
        }
    }

    pub(crate) fn status(&mut self, command: Command) -> Status {
        self.one(command).status().expect("the answer is about a payment")
    }

    pub(crate) fn refusal(&mut self, command: Command) -> Refusal {
        match self.one(command) {
            Answer::Refused(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// The same state made again from the folded journal.
    pub(crate) fn restored(&self) -> Clearing {
        restored(&folded(&self.journal.records), Clearing::new())
    }
}

/// Where the rules find out late that there is no room.
fn may_go_unwritten(answer: &Answer) -> bool {
    matches!(answer, Answer::Refused(Refusal::Full | Refusal::BankBusy { .. } | Refusal::BankRestoring { .. }))
}

/// The journal as the state machine may see it: only keys that were asked for beforehand are found.
struct Gathered<'a> {
    journal: &'a mut Journal,
    keys: Vec<RecordKey>,
}

impl JournalPort for Gathered<'_> {
    fn find(&self, key: RecordKey) -> Option<RecordBytes> {
        assert!(self.keys.contains(&key), "a key is looked up that was not gathered");
        self.journal.find(key)
    }

    fn push(&mut self, key: Option<RecordKey>, record: &RecordBytes) -> u64 {
        assert_eq!(key, clearing::record_key(record), "a key is pushed that the record does not have");
        self.journal.push(key, record)
    }

    fn next_place(&self) -> u64 {
        self.journal.next_place()
    }
}

pub(crate) fn folded(records: &[RecordBytes]) -> Entries {
    let mut entries = Entries::new();
    for record in records {
        let mut put = |key: &[u8], value: Option<&[u8]>| match value {
            Some(value) => drop(entries.insert(key.to_vec(), value.to_vec())),
            None => drop(entries.remove(key)),
        };
        clearing::fold_effects(record, &mut put).expect("the gateway wrote it");
    }
    entries
}

pub(crate) fn restored(entries: &Entries, mut clearing: Clearing) -> Clearing {
    for (key, value) in entries {
        clearing.restore_entry(key, value).expect("the checkpoint is sound");
    }
    clearing.finish_restore().expect("the checkpoint is whole");
    clearing
}

pub(crate) fn id(number: u128) -> PaymentId {
    PaymentId::new(number).expect("not nil")
}

pub(crate) fn cents(minor: u128) -> Amount {
    Amount::new(minor).expect("an amount in range")
}

pub(crate) fn epoch(number: u32) -> Epoch {
    Epoch::new(number).expect("not zero")
}

pub(crate) fn node(number: u16) -> NodeNumber {
    NodeNumber::new(number).expect("not zero")
}

pub(crate) fn bank(number: u16) -> BankNumber {
    BankNumber::new(number).expect("not zero")
}

pub(crate) fn bank_name(name: &str) -> BankName {
    BankName::new(name).expect("a good name")
}

pub(crate) fn session(number: u128) -> SessionId {
    SessionId::new(number).expect("not zero")
}

pub(crate) fn customer(name: &str, bank: &str) -> NamedParty {
    let holder = Holder::Customer(CustomerName::new(name).expect("a good name"));
    NamedParty { bank: bank_name(bank), holder }
}

pub(crate) fn register(name: &str, group: u128, incarnation: u32, last_number: u64) -> Command {
    let group = GroupId::new(group).expect("not zero");
    Command::RegisterBank { name: bank_name(name), group, epoch: epoch(incarnation), last_number }
}

pub(crate) fn open(number: u128, customer: NamedParty, expires_ms: u64) -> Command {
    Command::OpenSession { session: session(number), customer, expires_ms, open_by_ms: u64::MAX }
}

/// Of alice's session.
pub(crate) fn request(number: u128, payee: NamedParty, minor: u128) -> PaymentRequest {
    PaymentRequest {
        id: id(number),
        session: session(1),
        payee,
        amount: cents(minor),
        currency: Currency::EUR,
        reference: Reference::EMPTY,
    }
}

/// By the hand of anna.
pub(crate) fn void_by_hand(number: u128, risk: Risk) -> Command {
    Command::VoidByHand { id: id(number), operator: OperatorName::new("anna").expect("short"), risk }
}

pub(crate) fn take(request: PaymentRequest) -> Command {
    Command::Take { request, deadline_ms: u64::MAX, taker: node(1) }
}
