//! Books made again from the journal.

use std::collections::BTreeMap;

use ledger::account::Place;
use ledger::{Ledger, LineKind, Owner, Record, RecordBytes, RestoreError};

use crate::desk::*;

type Damage = fn(&mut Vec<u8>);
type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// The checkpoint that a journal folds to.
pub(crate) fn folded(records: &[RecordBytes]) -> Entries {
    let mut entries = Entries::new();
    for record in records {
        let mut put = |key: &[u8], value: Option<&[u8]>| match value {
            Some(value) => drop(entries.insert(key.to_vec(), value.to_vec())),
            None => drop(entries.remove(key)),
        };
        ledger::fold_effects(record, &mut put).expect("the ledger wrote it");
    }
    entries
}

/// The ledger of a checkpoint, under another hash seed than the desk's.
pub(crate) fn restored(entries: &Entries) -> Ledger {
    Ledger::restore(99, entries.iter()).expect("the checkpoint is sound")
}

/// Walks every account's statement from its newest line back: the last line's balances are the account's, and each line
/// continues the one before it.
pub(crate) fn statement_is_unbroken(desk: &Desk) {
    for account in desk.ledger.accounts(0) {
        let mut place = account.last_place;
        let mut after = account.balances;
        while let Some(at) = place {
            let bytes = &desk.journal.records[usize::try_from(at - desk.journal.first_place).expect("small")];
            let record = Record::decode(bytes).expect("the ledger wrote it");
            let line = record.statement_line(account.id).expect("the link leads to a line of this account");
            assert_eq!((line.after, line.place), (after, at));
            after = before(&line);
            place = line.previous;
        }
        assert_eq!(after, ledger::Balances::default(), "a statement begins with nothing");
    }
}

/// The balances before a line.
fn before(line: &ledger::StatementLine) -> ledger::Balances {
    let mut balances = line.after;
    let amount = line.movement.amount.minor();
    let (posted, held) = match line.direction {
        ledger::Direction::Debit => (&mut balances.posted_debits, &mut balances.held_debits),
        ledger::Direction::Credit => (&mut balances.posted_credits, &mut balances.held_credits),
    };
    match line.kind {
        LineKind::Transfer => *posted -= amount,
        LineKind::HoldPlaced => *held -= amount,
        LineKind::HoldPosted => {
            *posted -= amount;
            *held += amount;
        }
        LineKind::HoldVoided => *held += amount,
    }
    balances
}

fn busy_desk() -> Desk {
    let mut desk = Desk::with(&[(1, 1_000), (2, 0), (3, 0)]);
    desk.one(hold(1, account(1), interbank(), 100));
    desk.one(hold(2, account(1), interbank(), 200));
    desk.one(post(1));
    desk.one(close(3, 3));
    desk.send(false, &[add("ann"), add("bob"), add("cid")]);
    desk.send(false, &[set_secret(4, "ann", secret(7)), lock(5, "bob"), lock(6, "cid"), unlock(7, "cid")]);
    desk.clock_ms += 200_000_000;
    desk.send(false, &[transfer(8, vault(), of("ann"), 500), transfer(9, of("ann"), vault(), 200)]);
    desk
}

#[test]
fn a_restored_ledger_is_the_ledger() {
    let desk = busy_desk();
    let again = restored(&folded(&desk.journal.records));
    assert_eq!(again.digest(), desk.ledger.digest());
    assert_eq!(again.time_ms(), desk.ledger.time_ms());
    for (a, b) in again.accounts(0).zip(desk.ledger.accounts(0)) {
        assert_eq!(a, b);
    }
    assert_eq!(again.hold(id(2)), desk.ledger.hold(id(2)));
    for customer in ["ann", "bob", "cid", "nobody"] {
        assert_eq!(again.customer(&name(customer)), desk.ledger.customer(&name(customer)), "{customer}");
    }
}

#[test]
fn the_digest_sees_every_kind_of_change() {
    let mut seen = vec![busy_desk().ledger.digest()];
    let changes =
        [transfer(10, account(1), account(2), 1), hold(10, account(1), account(2), 1), void(2), close(10, 2), open(9)];
    // The first debit of another day, and one that leaves the same balances.
    let spent = |desk: &mut Desk, days: u64| {
        desk.clock_ms += days * 86_400_000;
        desk.send(false, &[transfer(11, of("ann"), vault(), 1), open(8)]);
        desk.ledger.digest()
    };
    let (mut today, mut tomorrow) = (busy_desk(), busy_desk());
    seen.extend([spent(&mut today, 0), spent(&mut tomorrow, 1)]);
    let of_customers = [add("dan"), set_secret(10, "ann", secret(8)), lock(10, "ann"), unlock(10, "bob")];
    let changes = [&changes[..], &of_customers].concat();
    for change in changes {
        let mut desk = busy_desk();
        desk.one(change);
        seen.push(desk.ledger.digest());
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[test]
fn a_damaged_checkpoint_is_refused_with_the_entry() {
    let sound = folded(&busy_desk().journal.records);
    let key_of = |kind: u8| sound.keys().find(|key| key[0] == kind).expect("one of each kind").clone();
    let damage: [(u8, Damage); 8] = [
        (b'A', |value| value[0] = 9),
        (b'B', |value| value.truncate(70)),
        (b'H', |value| value.push(0)),
        (b'B', |value| value[16] = 1),
        (b'D', |value| value.truncate(60)),
        (b'E', |value| value.push(0)),
        (b'F', |value| value.truncate(20)),
        (b'F', |value| value[20] = 1),
    ];
    for (kind, damage) in damage {
        let mut entries = sound.clone();
        damage(entries.get_mut(&key_of(kind)).expect("it is there"));
        let refused = Ledger::restore(1, entries.iter()).map(|_| ());
        assert!(matches!(refused, Err(RestoreError::Field { .. })), "{refused:?}");
    }
    let mut gap = sound.clone();
    gap.remove(&key_of(b'A'));
    assert!(matches!(Ledger::restore(1, gap.iter()).map(|_| ()), Err(RestoreError::Order { .. })));
    let mut locked_without_a_secret = sound.clone();
    let of_locked = [&b"D"[..], &key_of(b'E')[1..]].concat();
    locked_without_a_secret.remove(&of_locked).expect("it is there");
    let refused = Ledger::restore(1, locked_without_a_secret.iter()).map(|_| ());
    assert!(matches!(refused, Err(RestoreError::Order { .. })), "{refused:?}");
    let mut of_no_customer = sound.clone();
    of_no_customer.insert([&b"F"[..], &account(1).get().to_be_bytes()].concat(), sound[&key_of(b'F')].clone());
    assert!(matches!(Ledger::restore(1, of_no_customer.iter()).map(|_| ()), Err(RestoreError::Order { .. })));
    let mut ahead = sound.clone();
    ahead.get_mut(&key_of(b'F')).expect("it is there")[1] += 1;
    assert!(matches!(Ledger::restore(1, ahead.iter()).map(|_| ()), Err(RestoreError::Books { .. })));
    let mut unnamed = sound.clone();
    unnamed.insert([&b"D"[..], &account(1).get().to_be_bytes()].concat(), sound[&key_of(b'D')].clone());
    let refused = Ledger::restore(1, unnamed.iter()).map(|_| ());
    assert!(matches!(refused, Err(RestoreError::Field { field: "account", .. })), "{refused:?}");
    let mut unbalanced = sound.clone();
    unbalanced.get_mut(&key_of(b'B')).expect("it is there")[17] ^= 1;
    assert!(matches!(Ledger::restore(1, unbalanced.iter()).map(|_| ()), Err(RestoreError::Books { .. })));
    let mut strange = sound.clone();
    strange.insert(vec![b'Z'], vec![1]);
    assert_eq!(Ledger::restore(1, strange.iter()).map(|_| ()), Err(RestoreError::Kind { kind: b'Z' }));
}

#[test]
fn a_secret_of_an_account_that_does_not_follow_from_its_owners_name_is_found_out() {
    let mut desk = busy_desk();
    let owner = Owner::new("dan").expect("short");
    desk.one(ledger::Command::OpenAccount { id: account(50), owner, currency: ledger::Currency::EUR });
    let mut entries = folded(&desk.journal.records);
    let of_ann = entries[&[&b"D"[..], &of("ann").get().to_be_bytes()].concat()].clone();
    entries.insert([&b"D"[..], &account(50).get().to_be_bytes()].concat(), of_ann);
    let broken = ledger::invariant::Broken::CustomersName { account: account(50), owner: "dan".into() };
    assert_eq!(ledger::invariant::check(&restored(&entries)), Err(broken));
}

/// Sums over a currency stay within 127 bits: 2^15 accounts that have each turned over 2^112 − 1 leave 2^15 − 1 cents.
#[test]
fn books_that_are_full_say_so() {
    let mut desk = Desk::with(&[(1, 10)]);
    let mut entries = folded(&desk.journal.records);
    let total = ledger::money::TOTAL_MAX;
    for number in 0..32_768u64 {
        let id = account(1_000_000 + u128::from(number));
        let opened: Vec<u8> = [
            &[1][..],
            &id.get().to_le_bytes(),
            &978u16.to_le_bytes(),
            &[0; 16],
            &[Owner::EMPTY.as_str().len().try_into().expect("zero")],
        ]
        .concat();
        let place = Place::new(0).get();
        let totals: Vec<u8> =
            [&[1][..], &total.to_le_bytes(), &total.to_le_bytes(), &[0; 32], &place.to_le_bytes()].concat();
        entries.insert([&b"A"[..], &(number + 2).to_be_bytes()].concat(), opened);
        entries.insert([&b"B"[..], &id.get().to_be_bytes()].concat(), totals);
    }
    desk.ledger = restored(&entries);
    let room = 32_768 - 1 - 10;
    assert_eq!(desk.refusal(transfer(1, vault(), account(1), room + 1)), ledger::Rejected::BooksFull);
    desk.one(hold(2, vault(), account(1), room));
    assert_eq!(desk.refusal(transfer(3, vault(), account(1), 1)), ledger::Rejected::BooksFull);
    desk.one(void(2));
    desk.one(transfer(4, vault(), account(1), room));
    assert_eq!(desk.balance(1), 10 + i128::try_from(room).expect("small"));
}
