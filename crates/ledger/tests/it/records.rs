//! Journal records: stable numbers, stable bytes, and every record reads back as it was written.

use expect_test::expect;
use ledger::account::Place;
use ledger::record::{Flags, Side, kind};
use ledger::{
    Amount, Balances, Body, Command, Counterparty, Currency, Fence, LineKind, Lost, Movement, Owner, RECORD_BYTES,
    Record, RecordError, RecordKey, Reference, Rejected, SettingChange,
};
use proptest::prelude::*;

use crate::desk::*;

fn movement() -> Movement {
    transfer(5, account(1), account(2), 1_250).movement().expect("a transfer moves something")
}

/// One body of each kind with the kind's number.
fn bodies() -> Vec<(u16, Body)> {
    let movement = movement();
    let placer = placer(GATEWAY);
    let after =
        Balances { posted_debits: 1, posted_credits: 2, held_debits: 3, held_credits: ledger::money::TOTAL_MAX };
    let debit = Side { after, previous: Some(Place::new(0)) };
    let credit = Side { after, previous: None };
    let change = SettingChange::TransferLimit { currency: Currency::EUR, limit: Amount::new(7) };
    let (owner, currency) = (Owner::new(&"o".repeat(64)).expect("it fits"), Currency::EUR);
    let rejection = Rejected::InsufficientFunds { available: 3, needed: cents(4) };
    let (name, secret) = (name(&"n".repeat(48)), secret(0xcd));
    vec![
        (1, Body::AccountOpened { account: account(1), owner, currency, number: 9 }),
        (2, Body::AccountClosed { id: id(5), account: account(1) }),
        (3, Body::TransferPosted { placer: None, movement, debit, credit, flags: Flags::default() }),
        (4, Body::HoldPlaced { placer, movement, debit, credit, flags: Flags::default() }),
        (5, Body::HoldPosted { placer, movement, debit, credit }),
        (6, Body::HoldVoided { placer, movement, debit, credit }),
        (7, Body::Tombstone { id: id(5) }),
        (8, Body::SettingChanged { replaced_version: 3, change }),
        (9, Body::CustomerAdded { name, currency, number: 9, secret }),
        (10, Body::SecretChanged { id: id(5), name, secret }),
        (11, Body::LockChanged { id: id(5), name, locked: true }),
        (12, Body::HoldNoted { id: id(5), placer, counterparty: Counterparty::new(&"c".repeat(81)).expect("it fits") }),
        (14, Body::KeyClaimed { key: 5, digest: u128::MAX, base: 7 }),
        (
            13,
            Body::FenceRaised {
                placer,
                fence: Fence {
                    epoch: 2,
                    complete_through: u64::MAX,
                    caught_up: 3,
                    lost: Lost { after: 4, through: u64::MAX },
                },
            },
        ),
        (33, Body::OpenRejected { account: account(1), owner, currency, rejection }),
        (34, Body::CloseRejected { id: id(5), account: account(1), rejection }),
        (35, Body::TransferRejected { movement, rejection }),
        (36, Body::HoldRejected { placer, movement, rejection }),
        (37, Body::PostHoldRejected { id: id(5), placer, rejection }),
        (38, Body::VoidHoldRejected { id: id(5), placer, rejection }),
        (39, Body::VoidTransferRejected { id: id(5), rejection }),
        (40, Body::SettingRejected { expected_version: 3, change, rejection }),
        (41, Body::CustomerRejected { name, currency, rejection }),
        (42, Body::SecretRejected { id: id(5), name, rejection }),
        (43, Body::LockRejected { id: id(5), name, locked: true, rejection }),
    ]
}

fn record(body: Body) -> Record {
    Record { time_ms: 1_700_000_000_000, slot: 77, place: 88, body }
}

#[test]
fn each_kind_has_its_number_and_reads_back() {
    for (number, body) in bodies() {
        let bytes = record(body).encode();
        assert_eq!(u16::from_le_bytes([bytes[0], bytes[1]]), number, "{body:?}");
        assert_eq!(Record::decode(&bytes), Ok(record(body)));
        assert_eq!(body.is_rejection(), number >= 33);
    }
}

#[test]
fn only_what_a_retry_looks_for_has_a_key_in_the_index() {
    for (number, body) in bodies() {
        let expected = match number {
            kind::HOLD_POSTED | kind::HOLD_VOIDED => Some(RecordKey::hold_end(id(5))),
            kind::HOLD_NOTED => Some(RecordKey::hold_note(id(5))),
            kind::KEY_CLAIMED => Some(RecordKey::idempotency(5)),
            2 | 3 | 4 | 7 | 10 | 11 | 34 | 35 | 36 | 42 | 43 => Some(RecordKey::outcome(id(5))),
            _ => None,
        };
        assert_eq!(ledger::record_key(&record(body).encode()), expected, "{body:?}");
    }
    let mut header = [0; RECORD_BYTES];
    header[..2].copy_from_slice(&[0xff, 0xff]);
    assert_eq!(ledger::record_key(&header), None);
    assert_eq!(Record::decode(&header), Err(RecordError::Kind { kind: 0xffff }));
}

fn in_rows(bytes: &[u8]) -> String {
    let mut text = String::new();
    for row in bytes.chunks(16) {
        for byte in row {
            text.push_str(&format!("{byte:02x}"));
        }
        text.push('\n');
    }
    text
}

#[test]
fn the_bytes_about_a_customer_are_stable() {
    let (name, currency, number) = (name("zoë"), Currency::EUR, 9);
    let added = record(Body::CustomerAdded { name, currency, number, secret: secret(0xcd) });
    expect![[r#"
        090000000068e5cf8b014d0000000000
        580000000000d2030000000000000000
        00000000000000000900000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        000000000000000000000000004c0000
        0200000001000000cdcdcdcdcdcdcdcd
        cdcdcdcdcdcdcdcdabababababababab
        abababababababababababababababab
        abababababababab0000000000000000
        047a6fc3ab0000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
    "#]]
    .assert_eq(&in_rows(&added.encode()));
    let changed = record(Body::SecretChanged { id: id(5), name, secret: secret(0xcd) });
    expect![[r#"
        0a0000000068e5cf8b014d0000000000
        58000000000000000500000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        000000000000000000000000004c0000
        0200000001000000cdcdcdcdcdcdcdcd
        cdcdcdcdcdcdcdcdabababababababab
        abababababababababababababababab
        abababababababab0000000000000000
        047a6fc3ab0000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
    "#]]
    .assert_eq(&in_rows(&changed.encode()));
    let rejection = Rejected::UnknownCustomer;
    let refused = record(Body::LockRejected { id: id(5), name, locked: true, rejection });
    expect![[r#"
        2b0018000068e5cf8b014d0000000000
        58000000000000000500000000000000
        00000000000000000100000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        047a6fc3ab0000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
    "#]]
    .assert_eq(&in_rows(&refused.encode()));
}

#[test]
fn the_bytes_of_a_transfer_are_stable() {
    let (_, body) = bodies()[2];
    let text = in_rows(&record(body).encode());
    expect![[r#"
        030000000068e5cf8b014d0000000000
        580000000000d2030500000000000000
        00000000000000000100000000000080
        007000000000c0ac0200000000000080
        007000000000c0ace204000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        00000000000000000000000000000000
        000000000000ffffffffffff01000000
        00000000000000000000020000000000
        00000000000000000300000000000000
        000000000000ffffffffffffffffffff
        ffffffff010000000000000000000000
        00000200000000000000000000000000
        0300000000000000000000000000ffff
        ffffffffffffffffffffffff00000000
    "#]]
    .assert_eq(&text);
}

#[test]
fn each_rejection_has_its_number_and_reads_back_with_its_data() {
    let account = account(1);
    let asked = cents(2);
    let rejections = [
        (1, Rejected::SameAccount),
        (2, Rejected::UnknownDebitAccount { account }),
        (3, Rejected::UnknownCreditAccount { account }),
        (4, Rejected::CurrencyMismatch { account, kept_in: yen() }),
        (5, Rejected::AccountClosed { account }),
        (6, Rejected::LimitExceeded { limit: Amount::MAX, asked }),
        (7, Rejected::InsufficientFunds { available: u128::MAX, needed: asked }),
        (8, Rejected::BalanceOverflow { account }),
        (9, Rejected::BooksFull),
        (10, Rejected::Voided),
        (11, Rejected::IdReused),
        (12, Rejected::LinkedFailed { index: u32::MAX }),
        (13, Rejected::HoldNotFound),
        (14, Rejected::NotYourHold),
        (15, Rejected::HoldAlreadyPosted),
        (16, Rejected::HoldAlreadyVoided),
        (17, Rejected::UnknownAccount { account }),
        (18, Rejected::AccountHasHolds),
        (19, Rejected::AccountNotEmpty { balance: 12 }),
        (20, Rejected::InternalAccount { account }),
        (21, Rejected::VersionMismatch { expected: u64::MAX, actual: 0 }),
        (22, Rejected::CustomerExists { kept_in: yen() }),
        (23, Rejected::AccountExists { account }),
        (24, Rejected::UnknownCustomer),
        (25, Rejected::CustomerLocked { account }),
        (26, Rejected::DailyLimitExceeded { limit: Amount::MAX, spent: ledger::money::TOTAL_MAX }),
        (27, Rejected::StaleFence { known: u32::MAX }),
    ];
    for (number, rejection) in rejections {
        assert_eq!(rejection.code(), number);
        let body = Body::TransferRejected { movement: movement(), rejection };
        assert_eq!(Record::decode(&record(body).encode()).map(|record| record.body), Ok(body));
        assert!(!rejection.to_string().is_empty());
    }
    let mut unknown = record(Body::TransferRejected { movement: movement(), rejection: Rejected::Voided }).encode();
    unknown[2] = 99;
    assert_eq!(Record::decode(&unknown), Err(RecordError::Field { kind: 35, field: "rejection" }));
}

#[test]
fn the_first_debit_of_a_day_is_one_bit_at_the_end() {
    let movement = movement();
    let after = Balances { posted_debits: 1_000, held_debits: 250, ..Balances::default() };
    let (debit, credit) = (Side { after, previous: None }, Side { after: Balances::default(), previous: None });
    let placer = placer(GATEWAY);
    let flags = [(false, false), (true, false), (false, true), (true, true)];
    let bodies = flags.map(|(begins_day, replayed)| {
        let flags = Flags { begins_day, replayed };
        let transfer = Body::TransferPosted { placer: None, movement, debit, credit, flags };
        let bits = u8::from(begins_day) | u8::from(replayed) << 1;
        (bits, [transfer, Body::HoldPlaced { placer, movement, debit, credit, flags }])
    });
    for (bits, bodies) in bodies {
        for body in bodies {
            let mut bytes = record(body).encode();
            assert_eq!((bytes[2], &bytes[252..]), (bits, &[0; 4][..]), "the last four are the journal's");
            assert_eq!(Record::decode(&bytes), Ok(record(body)));
            bytes[2] = 4;
            let number = u16::from_le_bytes([bytes[0], bytes[1]]);
            let bad = Err(RecordError::Field { kind: number, field: "flag" });
            assert_eq!(Record::decode(&bytes), bad);
            // Less debited and held than the amount: nothing can have been there before.
            bytes[2] = 1;
            bytes[140] -= 1;
            assert_eq!(Record::decode(&bytes), bad);
        }
    }
}

#[test]
fn a_statement_reads_newest_first_with_its_running_balance() {
    let mut desk = Desk::with(&[(1, 1_000), (2, 0)]);
    desk.one(transfer(1, account(1), account(2), 300));
    desk.one(hold(2, account(1), interbank(), 100));
    desk.one(transfer(3, account(2), account(1), 50));
    desk.one(transfer(4, account(2), account(1), 5_000));
    desk.one(post(2));
    let mut lines = Vec::new();
    let mut place = desk.ledger.account(account(1)).expect("open").last_place;
    while let Some(at) = place {
        let record = Record::decode(&desk.journal.records[usize::try_from(at).expect("small")]).expect("a record");
        let line = record.statement_line(account(1)).expect("a line of this account");
        assert_eq!(record.statement_line(account(9)), None);
        lines.push((line.kind, line.after.balance(), line.after.available()));
        place = line.previous;
    }
    let expected = [
        (LineKind::HoldPosted, 650, 650),
        (LineKind::Transfer, 750, 650),
        (LineKind::HoldPlaced, 700, 600),
        (LineKind::Transfer, 700, 700),
        (LineKind::Transfer, 1_000, 1_000),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_reader_sees_what_became_of_an_id() {
    let mut desk = Desk::with(&[(1, 1_000)]);
    desk.one(transfer(1, account(1), vault(), 5_000));
    desk.one(Command::VoidTransfer { id: id(2) });
    let view = |number: u128| {
        let bytes = desk.journal.records[desk.journal.places[&RecordKey::outcome(id(number))]];
        let record = Record::decode(&bytes).expect("a record");
        ledger::TransferView::new(&record, ledger::HoldState::Held).expect("it has an id")
    };
    let refused = view(1);
    assert_eq!(refused.movement.map(|movement| movement.reference), Some(Reference::EMPTY));
    assert_eq!(rejected(refused.outcome), Some(Rejected::InsufficientFunds { available: 1_000, needed: cents(5_000) }));
    assert_eq!((view(2).movement, view(2).slot), (None, 4));
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), RECORD_BYTES), number in 0u16..45) {
        bytes[..2].copy_from_slice(&number.to_le_bytes());
        let bytes = bytes.try_into().expect("as long as a record");
        ledger::record_key(&bytes);
        let _ = Record::decode(&bytes);
        let _ = ledger::fold_effects(&bytes, &mut |_, _| {});
    }

    #[test]
    fn no_damage_panics(which in 0..bodies().len(), hits in prop::collection::vec((2..RECORD_BYTES, any::<u8>()), 1..5)) {
        let (_, body) = bodies()[which];
        let mut bytes = record(body).encode();
        for (at, byte) in hits {
            bytes[at] = byte;
        }
        if let Ok(read) = Record::decode(&bytes) {
            prop_assert_eq!(Record::decode(&read.encode()), Ok(read));
        }
    }
}
