//! A bank's desk for tests: a ledger with a journal in memory, checked after every request.

use std::collections::BTreeMap;

use ledger::{
    AccountId, Amount, Answer, Argon2Cost, Command, Context, Currency, CustomerName, JournalPort, Ledger, Movement,
    OrderEnd, Outcome, Owner, Placer, RecordBytes, RecordKey, Reference, Rejected, Request, Secret, TransferId,
};

#[derive(Clone, Default)]
pub(crate) struct Journal {
    pub(crate) first_place: u64,
    pub(crate) records: Vec<RecordBytes>,
    pub(crate) places: BTreeMap<RecordKey, usize>,
}

impl JournalPort for Journal {
    fn find(&self, key: RecordKey) -> Option<RecordBytes> {
        self.places.get(&key).map(|place| self.records[*place])
    }

    fn push(&mut self, key: Option<RecordKey>, record: &RecordBytes) -> u64 {
        assert_eq!(key, ledger::record_key(record), "a key is pushed that the record does not have");
        if let Some(key) = key {
            let before = self.places.insert(key, self.records.len());
            assert_eq!(before, None, "one key leads to two records");
        }
        self.records.push(*record);
        self.next_place() - 1
    }

    fn next_place(&self) -> u64 {
        self.first_place + self.records.len() as u64
    }
}

#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) ledger: Ledger,
    pub(crate) journal: Journal,
    pub(crate) slot: u64,
    pub(crate) clock_ms: u64,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        Desk { ledger: Ledger::new(1), journal: Journal::default(), slot: 0, clock_ms: 1_000 }
    }

    /// A desk with these customers, who have that many cents each.
    pub(crate) fn with(customers: &[(u128, u128)]) -> Desk {
        let mut desk = Desk::new();
        for (customer, cents) in customers {
            desk.one(open(*customer));
            if *cents > 0 {
                desk.one(transfer(900_000 + customer, vault(), account(*customer), *cents));
            }
        }
        desk
    }

    /// Sends one request through its bytes and checks the books after it.
    pub(crate) fn send(&mut self, linked: bool, commands: &[Command]) -> Vec<Answer> {
        self.slot += 1;
        let request = Request { linked, commands: commands.to_vec() }.encode();
        let context = Context { slot: self.slot, time_ms: self.clock_ms };
        let answers = self.ledger.apply(context, &request, &mut self.journal).expect("the request is well formed");
        ledger::invariant::check(&self.ledger).expect("the books are sound");
        assert_eq!(answers.len(), commands.len());
        answers
    }

    pub(crate) fn one(&mut self, command: Command) -> Answer {
        self.send(false, &[command])[0]
    }

    /// The rejection of a command that must be refused.
    pub(crate) fn refusal(&mut self, command: Command) -> Rejected {
        *self.one(command).outcome.rejection().expect("the command is refused")
    }

    pub(crate) fn balance(&self, customer: u128) -> i128 {
        self.ledger.account(account(customer)).expect("the account is open").balances.balance()
    }

    pub(crate) fn available(&self, customer: u128) -> i128 {
        self.ledger.account(account(customer)).expect("the account is open").balances.available()
    }
}

pub(crate) const GATEWAY: u64 = 7;

pub(crate) fn account(number: u128) -> AccountId {
    AccountId::new(0xacc0_0000_0000_7000_8000_0000_0000_0000 + number).expect("not nil")
}

pub(crate) fn name(text: &str) -> CustomerName {
    CustomerName::new(text).expect("a name")
}

/// The account of the customer of that name.
pub(crate) fn of(text: &str) -> AccountId {
    AccountId::of_customer(&name(text))
}

pub(crate) fn secret(number: u8) -> Secret {
    Secret::from_parts(Argon2Cost { memory_kib: 19_456, passes: 2, lanes: 1 }, [number; 16], [0xab; 32])
}

pub(crate) fn add(text: &str) -> Command {
    Command::AddCustomer { name: name(text), currency: Currency::EUR, secret: secret(1) }
}

pub(crate) fn set_secret(number: u128, text: &str, secret: Secret) -> Command {
    Command::SetSecret { id: id(number), name: name(text), secret }
}

pub(crate) fn lock(number: u128, text: &str) -> Command {
    Command::LockCustomer { id: id(number), name: name(text), locked: true }
}

pub(crate) fn unlock(number: u128, text: &str) -> Command {
    Command::LockCustomer { id: id(number), name: name(text), locked: false }
}

pub(crate) fn id(number: u128) -> TransferId {
    TransferId::new(number).expect("not nil")
}

pub(crate) fn cents(minor: u128) -> Amount {
    Amount::new(minor).expect("an amount in range")
}

pub(crate) fn placer(number: u64) -> Placer {
    Placer::new(number).expect("not nobody")
}

pub(crate) fn vault() -> AccountId {
    AccountId::vault(Currency::EUR)
}

pub(crate) fn interbank() -> AccountId {
    AccountId::interbank("beta", Currency::EUR)
}

pub(crate) fn yen() -> Currency {
    Currency::from_code("JPY").expect("in the table")
}

pub(crate) fn open(customer: u128) -> Command {
    let owner = Owner::new("a customer").expect("short");
    Command::OpenAccount { id: account(customer), owner, currency: Currency::EUR }
}

pub(crate) fn transfer(number: u128, debit: AccountId, credit: AccountId, minor: u128) -> Command {
    let (amount, currency, reference) = (cents(minor), Currency::EUR, Reference::EMPTY);
    Command::Transfer { id: id(number), placer: None, debit, credit, amount, currency, reference }
}

/// A transfer that the gateway orders.
pub(crate) fn placed_transfer(number: u128, debit: AccountId, credit: AccountId, minor: u128) -> Command {
    let (amount, currency, reference) = (cents(minor), Currency::EUR, Reference::EMPTY);
    let placer = Some(placer(GATEWAY));
    Command::Transfer { id: id(number), placer, debit, credit, amount, currency, reference }
}

pub(crate) fn transfer_in(currency: Currency, number: u128, debit: AccountId, credit: AccountId) -> Command {
    Command::Transfer {
        id: id(number),
        placer: None,
        debit,
        credit,
        amount: cents(1),
        currency,
        reference: Reference::EMPTY,
    }
}

pub(crate) fn hold(number: u128, debit: AccountId, credit: AccountId, minor: u128) -> Command {
    let (amount, currency, reference) = (cents(minor), Currency::EUR, Reference::EMPTY);
    Command::PlaceHold { id: id(number), placer: placer(GATEWAY), debit, credit, amount, currency, reference }
}

pub(crate) fn post(number: u128) -> Command {
    Command::PostHold { id: id(number), placer: placer(GATEWAY) }
}

pub(crate) fn void(number: u128) -> Command {
    Command::VoidHold { id: id(number), placer: placer(GATEWAY) }
}

/// A movement that was decided before the books were restored: of a hold for its placer, or a transfer.
pub(crate) fn replay(number: u128, of_hold: bool, debit: AccountId, credit: AccountId, minor: u128) -> Command {
    let placer = Some(placer(GATEWAY)).filter(|_| of_hold);
    let (amount, currency, reference) = (cents(minor), Currency::EUR, Reference::EMPTY);
    Command::Replay { id: id(number), placer, number: None, debit, credit, amount, currency, reference }
}

/// Ends what was ordered under an id: a hold of that content, or a transfer.
pub(crate) fn end_order(end: OrderEnd, ordered: &Command) -> Command {
    let placer = matches!(ordered, Command::PlaceHold { .. }).then(|| placer(GATEWAY));
    let Movement { id, debit, credit, amount, currency, reference } = ordered.movement().expect("it moves money");
    Command::EndOrder { end, id, placer, debit, credit, amount, currency, reference }
}

pub(crate) fn close(number: u128, customer: u128) -> Command {
    Command::CloseAccount { id: id(number), account: account(customer) }
}

pub(crate) fn rejected(outcome: Outcome) -> Option<Rejected> {
    outcome.rejection().copied()
}
