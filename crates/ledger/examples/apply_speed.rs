//! What one transfer costs in memory: decoding, rules, its record and its answer. The journal here keeps the records and
//! ids of one batch: older ids are looked up by the shell before a batch is applied, so they are no part of the cost.
//!
//! `cargo run --release -p ledger --example apply_speed`

use std::time::Instant;

use hashbrown::HashMap;
use ledger::{
    AccountId, Amount, Command, Context, Currency, JournalPort, Ledger, Owner, RecordBytes, RecordKey, Reference,
    Request, TransferId,
};

const BATCHES: u64 = 120;

/// The records of the newest batch, and where each key is.
struct Journal {
    batch: Vec<RecordBytes>,
    keys: HashMap<RecordKey, usize, foldhash::fast::FixedState>,
    begun_at: u64,
}

impl JournalPort for Journal {
    fn find(&self, key: RecordKey) -> Option<RecordBytes> {
        self.keys.get(&key).map(|at| self.batch[*at])
    }

    fn push(&mut self, key: Option<RecordKey>, record: &RecordBytes) -> u64 {
        self.keys.extend(key.map(|key| (key, self.batch.len())));
        self.batch.push(*record);
        self.next_place() - 1
    }

    fn next_place(&self) -> u64 {
        self.begun_at + self.batch.len() as u64
    }
}

impl Journal {
    fn begin(&mut self) {
        self.begun_at = self.next_place();
        self.batch.clear();
        self.keys.clear();
    }
}

fn main() {
    println!(
        "{:>10} {:>12} {:>12} {:>14} {:>16}",
        "accounts", "decode ns", "apply ns", "transfers/s", "slice of 8, us"
    );
    for accounts in [10_000u64, 1_000_000] {
        let (decode_ns, apply_ns, slice_us) = measure(accounts);
        let per_second = 1_000_000_000 / (decode_ns + apply_ns);
        println!("{accounts:>10} {decode_ns:>12} {apply_ns:>12} {per_second:>14} {slice_us:>16}");
    }
}

/// Nanoseconds of decoding and of applying one transfer, of the median batch: other programs' turns do not count. And
/// microseconds of digesting an eighth of the books, which a check does between two batches.
fn measure(accounts: u64) -> (u64, u64, u64) {
    let mut ledger = Ledger::new(1);
    let mut journal = Journal { batch: Vec::new(), keys: HashMap::default(), begun_at: 0 };
    fill(&mut ledger, &mut journal, accounts);

    let mut random = Random(42);
    let (mut decode_ns, mut apply_ns) = (Vec::new(), Vec::new());
    for slot in 0..BATCHES {
        let bytes = batch(accounts, &mut random).encode();
        let start = Instant::now();
        let request = Request::decode(&bytes).expect("just encoded");
        decode_ns.push(start.elapsed().as_nanos() as u64);
        let start = Instant::now();
        journal.begin();
        let answers = ledger.apply_request(Context { slot, time_ms: slot }, &request, &mut journal);
        apply_ns.push(start.elapsed().as_nanos() as u64);
        assert!(answers.iter().all(|answer| answer.outcome.rejection().is_none()), "every transfer is posted");
    }
    ledger::invariant::check(&ledger).expect("the books are sound");
    let start = Instant::now();
    for slice in 0..8 {
        std::hint::black_box(ledger.slice_digest(slice, 8));
    }
    (median(decode_ns), median(apply_ns), start.elapsed().as_micros() as u64 / 8)
}

fn median(mut batches_ns: Vec<u64>) -> u64 {
    batches_ns.sort();
    batches_ns[batches_ns.len() / 2] / Request::COMMANDS_MAX as u64
}

fn fill(ledger: &mut Ledger, journal: &mut Journal, accounts: u64) {
    let everyone: Vec<u64> = (0..accounts).collect();
    let context = Context { slot: 0, time_ms: 0 };
    for some in everyone.chunks(Request::COMMANDS_MAX / 2) {
        let open =
            |number: &u64| Command::OpenAccount { id: account(*number), owner: Owner::EMPTY, currency: Currency::EUR };
        let fund = |number: &u64| {
            transfer(u128::from(*number) + 1, AccountId::vault(Currency::EUR), account(*number), 1 << 60)
        };
        let commands = some.iter().map(open).chain(some.iter().map(fund)).collect();
        journal.begin();
        ledger.apply_request(context, &Request { linked: false, commands }, journal);
    }
}

fn batch(accounts: u64, random: &mut Random) -> Request {
    let one = |_| {
        let debit = random.next() % accounts;
        let credit = (debit + 1 + random.next() % (accounts - 1)) % accounts;
        let id = u128::from(random.next()) << 64 | u128::from(random.next());
        transfer(id, account(debit), account(credit), 1)
    };
    Request { linked: false, commands: (0..Request::COMMANDS_MAX).map(one).collect() }
}

fn transfer(id: u128, debit: AccountId, credit: AccountId, minor: u128) -> Command {
    let id = TransferId::new(id).expect("not nil");
    let amount = Amount::new(minor).expect("in range");
    let reference = Reference::new("invoice 4711").expect("short");
    Command::Transfer { id, placer: None, debit, credit, amount, currency: Currency::EUR, reference }
}

/// Spread over all 128 bits, as random UUIDs are.
fn account(number: u64) -> AccountId {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    AccountId::new(u128::from(mixed) << 64 | u128::from(number)).expect("not nil")
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
