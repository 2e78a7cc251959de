//! Requests as bytes: stable, exact, and refused with a reason when they are not ones.

use expect_test::expect;
use ledger::{
    AccountId, Amount, Command, Counterparty, Currency, CustomerName, Fence, Lost, Malformed, OrderEnd, Owner, Placer,
    Reference, Request, SettingChange, TransferId,
};
use proptest::prelude::*;
use std::num::NonZeroU64;

use crate::desk::*;

/// One command of each kind, in the order of their numbers.
fn one_of_each() -> Vec<Command> {
    let change = SettingChange::TransferLimit { currency: Currency::EUR, limit: Amount::new(500) };
    vec![
        open(1),
        close(2, 1),
        transfer(3, account(1), account(2), 4),
        hold(5, account(1), interbank(), 6),
        post(7),
        void(8),
        Command::VoidTransfer { id: id(9) },
        Command::ChangeSetting { expected_version: 10, change },
        add("zoë"),
        set_secret(11, "zoë", secret(2)),
        lock(12, "zoë"),
        Command::NoteHold {
            id: id(13),
            placer: placer(GATEWAY),
            counterparty: Counterparty::new("bob@beta").expect("short"),
        },
        Command::Fence {
            placer: placer(GATEWAY),
            fence: Fence { epoch: 14, complete_through: 15, caught_up: 16, ..Fence::default() },
        },
        replay(17, true, account(1), interbank(), 6),
        replay(18, false, account(1), account(2), 6),
        end_order(OrderEnd::Post, &hold(19, account(1), interbank(), 6)),
        end_order(OrderEnd::Void, &transfer(20, account(1), account(2), 6)),
        Command::ClaimKey { key: 21, digest: 22, base: 23 },
        Command::Fence {
            placer: placer(GATEWAY),
            fence: Fence { epoch: 24, lost: Lost { after: 25, through: 26 }, ..Fence::default() },
        },
        placed_transfer(27, account(1), account(2), 6),
    ]
}

#[test]
fn the_bytes_of_each_command_are_stable() {
    let mut text = String::new();
    for command in one_of_each() {
        let bytes = Request { linked: true, commands: vec![command] }.encode();
        for byte in bytes {
            text.push_str(&format!("{byte:02x}"));
        }
        text.push('\n');
    }
    expect![[r#"
        010101000000010100000000000080007000000000c0ac0a6120637573746f6d6572d203
        01010100000002020000000000000000000000000000000100000000000080007000000000c0ac
        01010100000003030000000000000000000000000000000100000000000080007000000000c0ac0200000000000080007000000000c0ac040000000000000000000000d20300
        010101000000040700000000000000050000000000000000000000000000000100000000000080007000000000c0ac41ff1965e6f07889028007c600000000060000000000000000000000d20300
        01010100000005070000000000000000000000000000000700000000000000
        01010100000006080000000000000000000000000000000700000000000000
        0101010000000709000000000000000000000000000000
        010101000000080a0000000000000001d203f40100000000000000000000
        01010100000009047a6fc3abd203004c0000020000000100000001010101010101010101010101010101abababababababababababababababababababababababababababababababab
        0101010000000a0b000000000000000000000000000000047a6fc3ab004c0000020000000100000002020202020202020202020202020202abababababababababababababababababababababababababababababababab
        0101010000000b0c000000000000000000000000000000047a6fc3ab01
        0101010000000c0d000000000000000000000000000000070000000000000008626f624062657461
        0101010000000d07000000000000000e0000000f0000000000000010000000
        0101010000001107000000000000000000000000000000110000000000000000000000000000000100000000000080007000000000c0ac41ff1965e6f07889028007c600000000060000000000000000000000d20300
        0101010000001100000000000000000000000000000000120000000000000000000000000000000100000000000080007000000000c0ac0200000000000080007000000000c0ac060000000000000000000000d20300
        0101010000000f010700000000000000130000000000000000000000000000000100000000000080007000000000c0ac41ff1965e6f07889028007c600000000060000000000000000000000d20300
        0101010000000f020000000000000000140000000000000000000000000000000100000000000080007000000000c0ac0200000000000080007000000000c0ac060000000000000000000000d20300
        01010100000010150000000000000000000000000000001600000000000000000000000000000017000000000000000000000000000000
        0101010000001207000000000000001800000000000000000000000000000019000000000000001a00000000000000
        0101010000001307000000000000001b0000000000000000000000000000000100000000000080007000000000c0ac0200000000000080007000000000c0ac060000000000000000000000d20300
    "#]].assert_eq(&text);
}

#[test]
fn each_fault_has_its_own_reason() {
    let sound = Request::single(transfer(3, account(1), account(2), 4)).encode();
    let with = |at: usize, bytes: &[u8]| {
        let mut faulty = sound.clone();
        faulty[at..at + bytes.len()].copy_from_slice(bytes);
        faulty
    };
    let control = |mut bytes: Vec<u8>| {
        *bytes.last_mut().expect("not empty") = 1;
        bytes.push(b'\n');
        bytes
    };
    let at = sound.len();
    let rows = [
        (vec![], Malformed::CutOff { at: 0 }),
        (with(0, &[2]), Malformed::Version { version: 2 }),
        (with(1, &[2]), Malformed::Flags { flags: 2 }),
        (with(2, &[0, 0, 0, 0]), Malformed::Count { count: 0 }),
        (with(2, &8_191u32.to_le_bytes()), Malformed::Count { count: 8_191 }),
        (with(2, &[255; 4]), Malformed::Count { count: u32::MAX }),
        (with(2, &[2, 0, 0, 0]), Malformed::CutOff { at }),
        (with(6, &[99]), Malformed::Kind { kind: 99, at: 7 }),
        (with(7, &[0; 16]), Malformed::NilId { at: 23 }),
        (with(23, &[0; 16]), Malformed::NilId { at: 39 }),
        (with(39, &[0; 16]), Malformed::NilId { at: 55 }),
        (with(55, &[0; 12]), Malformed::ZeroAmount { at: 67 }),
        (with(67, &[231, 3]), Malformed::UnknownCurrency { number: 999, at: 69 }),
        (with(69, &[1]), Malformed::CutOff { at }),
        (control(sound.clone()), Malformed::Text { reason: ledger::LineError::ControlCharacter { at: 0 }, at: at + 1 }),
        ([&sound[..], &[0]].concat(), Malformed::Trailing { at }),
    ];
    for (bytes, reason) in rows {
        assert_eq!(Request::decode(&bytes), Err(reason));
        let mut ledger = ledger::Ledger::new(1);
        let context = ledger::Context { slot: 1, time_ms: 1 };
        assert_eq!(ledger.apply(context, &bytes, &mut Journal::default()), Err(reason));
    }
}

#[test]
fn a_customers_name_and_a_lock_are_looked_at() {
    let of = |command| Request::single(command).encode();
    let with = |mut bytes: Vec<u8>, at: usize, byte: u8| {
        bytes[at] = byte;
        bytes
    };
    let (added, locked) = (of(add("ann")), of(lock(1, "ann")));
    let end = locked.len();
    let control = Malformed::Text { reason: ledger::LineError::ControlCharacter { at: 0 }, at: 11 };
    let rows = [
        (with(added.clone(), 8, b'@'), Malformed::CustomerName { at: 11 }),
        (with(added.clone(), 9, b' '), Malformed::CustomerName { at: 11 }),
        (with(added.clone(), 8, b'\n'), control),
        (with(added.clone(), 7, 0), Malformed::CustomerName { at: 8 }),
        (with(added.clone(), 12, 0xff), Malformed::UnknownCurrency { number: 0xffd2, at: 13 }),
        (added[..added.len() - 1].to_vec(), Malformed::CutOff { at: added.len() - 1 }),
        (with(locked.clone(), end - 1, 2), Malformed::Lock { value: 2, at: end }),
        (with(locked, end - 2, b'@'), Malformed::CustomerName { at: end - 1 }),
    ];
    for (bytes, reason) in rows {
        assert_eq!(Request::decode(&bytes), Err(reason));
    }
}

#[test]
fn a_request_takes_8190_commands_and_no_more() {
    let fill = |count| Request { linked: false, commands: vec![post(1); count] }.encode();
    assert_eq!(Request::decode(&fill(8_190)).map(|request| request.commands.len()), Ok(8_190));
    assert_eq!(Request::decode(&fill(8_191)), Err(Malformed::Count { count: 8_191 }));
}

#[test]
fn the_keys_to_look_up_are_those_that_the_rules_may_ask_for() {
    let mut keys = Vec::new();
    let request = Request { linked: false, commands: one_of_each() };
    ledger::Ledger::keys(&request.encode(), |key| keys.push(key)).expect("well formed");
    let numbers: Vec<(u8, u128)> = keys.iter().map(|key| (key.kind(), key.id())).collect();
    let hold = |number| [(0, number), (1, number)];
    let mut expected = vec![(0, 2), (0, 3)];
    expected.extend([5, 7, 8, 9].map(hold).concat());
    expected.extend([(0, 11), (0, 12), (2, 13)]);
    expected.extend([17, 18, 19, 20].map(hold).concat());
    expected.extend([(3, 21), (0, 27)]);
    assert_eq!(numbers, expected);
}

fn any_command() -> impl Strategy<Value = Command> {
    let number = || 1u128..;
    let text = || prop_oneof!["[ -~]{0,35}", "[äöü€]{0,11}"];
    let movement = (number(), number(), number(), 1..=Amount::MAX.minor(), 0usize..150, text());
    (0u8..16, movement, 1u64.., any::<u64>()).prop_map(|(kind, movement, who, version)| {
        let (one, two, three, minor, currency, text) = movement;
        let currency = Currency::all().nth(currency).expect("there are more");
        let (id, debit, credit) = (TransferId::new(one), AccountId::new(two), AccountId::new(three));
        let (id, debit, credit) = (id.expect("≥ 1"), debit.expect("≥ 1"), credit.expect("≥ 1"));
        let (amount, placer) = (cents(minor), Placer::new(who).expect("≥ 1"));
        let reference = Reference::stored(&text).expect("at most 35 bytes");
        let name = CustomerName::stored(&format!("n{}", text.replace([' ', '@'], ""))).expect("at most 36 bytes");
        let secret = secret(who.to_le_bytes()[0]);
        match kind {
            0 => Command::OpenAccount { id: debit, owner: Owner::stored(&text).expect("short"), currency },
            1 => Command::CloseAccount { id, account: debit },
            2 => {
                let placer = Placer::new(version);
                Command::Transfer { id, placer, debit, credit, amount, currency, reference }
            }
            3 => Command::PlaceHold { id, placer, debit, credit, amount, currency, reference },
            4 => Command::PostHold { id, placer },
            5 => Command::VoidHold { id, placer },
            6 => Command::VoidTransfer { id },
            7 => Command::AddCustomer { name, currency, secret },
            8 => Command::SetSecret { id, name, secret },
            10 => {
                let counterparty = Counterparty::stored(&text).expect("at most 35 bytes");
                Command::NoteHold { id, placer, counterparty }
            }
            11 => {
                let lost = Lost { after: version % 3, through: version };
                let fence = Fence { epoch: 7, complete_through: version, caught_up: u32::MAX, lost };
                Command::Fence { placer, fence }
            }
            12 => {
                let placer = Some(placer).filter(|_| version > 9);
                let number = NonZeroU64::new(version);
                Command::Replay { id, placer, number, debit, credit, amount, currency, reference }
            }
            13 => Command::ClaimKey { key: one, digest: two, base: three },
            14 => {
                let placer = Some(placer).filter(|_| version > 9);
                let end = if placer.is_some() && version % 2 == 0 { OrderEnd::Post } else { OrderEnd::Void };
                Command::EndOrder { end, id, placer, debit, credit, amount, currency, reference }
            }
            9 => Command::LockCustomer { id, name, locked: version > 9 },
            _ => {
                let limit = Some(amount).filter(|_| version > 9);
                let change = match version % 2 {
                    0 => SettingChange::TransferLimit { currency, limit },
                    _ => SettingChange::DailyDebitLimit { currency, limit },
                };
                Command::ChangeSetting { expected_version: version, change }
            }
        }
    })
}

proptest! {
    #[test]
    fn what_was_encoded_decodes_the_same(linked: bool, commands in prop::collection::vec(any_command(), 1..20)) {
        let request = Request { linked, commands };
        prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
    }

    #[test]
    fn a_request_cut_off_anywhere_is_refused(commands in prop::collection::vec(any_command(), 1..4)) {
        let bytes = Request { linked: false, commands }.encode();
        for end in 0..bytes.len() {
            prop_assert!(Request::decode(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Request::decode(&bytes);
    }

    #[test]
    fn no_damage_panics(commands in prop::collection::vec(any_command(), 1..4), hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = Request { linked: false, commands }.encode();
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(request) = Request::decode(&bytes) {
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }
}
