//! One id, one outcome, forever.

use ledger::{
    Body, Command, Currency, JournalPort, Outcome, Owner, Placer, Record, RecordKey, Reference, Rejected, SettingChange,
};

use crate::desk::*;

#[test]
fn a_repeated_command_gets_its_first_answer_and_changes_nothing() {
    let change = SettingChange::TransferLimit { currency: Currency::EUR, limit: None };
    let commands = [
        open(1),
        transfer(1, vault(), account(1), 1_000),
        hold(2, account(1), interbank(), 100),
        transfer(3, account(1), interbank(), 5_000),
        hold(4, account(1), interbank(), 5_000),
        post(2),
        open(2),
        close(5, 2),
        close(6, 1),
        Command::VoidTransfer { id: id(7) },
        Command::ChangeSetting { expected_version: 0, change },
        add("ann"),
        set_secret(9, "ann", secret(2)),
        set_secret(10, "nobody", secret(2)),
        lock(11, "ann"),
        unlock(12, "ann"),
        lock(13, "nobody"),
    ];
    let mut desk = Desk::new();
    let first = desk.send(false, &commands);
    desk.clock_ms += 50;
    desk.one(transfer(8, vault(), account(1), 77));
    let (digest, places) = (desk.ledger.digest(), desk.journal.next_place());
    desk.clock_ms += 1_000_000;
    for (command, first) in commands.iter().zip(&first) {
        let again = desk.one(*command);
        let expected = match first.outcome {
            Outcome::Held { time_ms, debit, credit, .. } => {
                Outcome::Held { time_ms, now: ledger::HoldState::Posted, debit, credit }
            }
            other => other,
        };
        assert_eq!((again.outcome, again.replay, again.place), (expected, true, first.place), "{command:?}");
    }
    assert_eq!(desk.ledger.digest(), digest, "a replay does not even move the time");
    assert_eq!(desk.journal.next_place(), places, "a replay leaves no record");
}

#[test]
fn a_transfer_keeps_who_ordered_it_and_is_the_same_order_from_anybody() {
    let mut desk = Desk::with(&[(1, 1_000), (2, 0)]);
    let of = |number, placer: Option<Placer>| match placer {
        None => transfer(number, account(1), account(2), 10),
        Some(_) => placed_transfer(number, account(1), account(2), 10),
    };
    for (number, first, again) in [(1, None, Some(placer(GATEWAY))), (2, Some(placer(GATEWAY)), None)] {
        let posted = desk.one(of(number, first));
        let repeated = desk.one(of(number, again));
        assert_eq!((repeated.outcome, repeated.replay), (posted.outcome, true));
        let bytes = desk.journal.find(RecordKey::outcome(id(number))).expect("it is on record");
        let Ok(Body::TransferPosted { placer: kept, .. }) = Record::decode(&bytes).map(|record| record.body) else {
            panic!("a transfer")
        };
        assert_eq!(kept, first, "who ordered it first");
        assert_eq!(bytes[84..92], first.map_or(0, Placer::get).to_le_bytes());
    }
}

#[test]
fn an_id_serves_one_content_only() {
    let mut desk = Desk::with(&[(1, 1_000), (2, 1_000), (3, 1_000)]);
    let first = desk.one(transfer(1, account(1), account(2), 10));
    let Command::Transfer { id, debit, credit, amount, currency, .. } = transfer(1, account(1), account(2), 10) else {
        panic!("a transfer")
    };
    let reference = Reference::new("other").expect("short");
    let others = [
        transfer(1, account(3), account(2), 10),
        transfer(1, account(1), account(3), 10),
        transfer(1, account(1), account(2), 11),
        transfer_in(yen(), 1, account(1), account(2)),
        Command::Transfer { id, placer: None, debit, credit, amount, currency, reference },
        hold(1, account(1), account(2), 10),
        close(1, 1),
        set_secret(1, "ann", secret(1)),
        lock(1, "ann"),
    ];
    let places = desk.journal.next_place();
    for other in others {
        let answer = desk.one(other);
        assert_eq!((rejected(answer.outcome), answer.replay), (Some(Rejected::IdReused), false), "{other:?}");
        assert_eq!(answer.place, first.place);
    }
    assert_eq!(desk.journal.next_place(), places, "the id keeps its outcome, so the refusal leaves no record");
    assert!(desk.one(transfer(1, account(1), account(2), 10)).replay);
}

#[test]
fn a_rejection_stays_though_the_money_has_come() {
    let mut desk = Desk::with(&[(1, 0), (2, 0)]);
    let refused = desk.one(transfer(1, account(1), account(2), 10));
    desk.one(transfer(2, vault(), account(1), 1_000));
    let again = desk.one(transfer(1, account(1), account(2), 10));
    assert_eq!((again.outcome, again.replay), (refused.outcome, true));
}

#[test]
fn an_account_opens_once() {
    let mut desk = Desk::new();
    let first = desk.one(open(1));
    let again = desk.one(open(1));
    assert_eq!((again.outcome, again.replay, again.place), (first.outcome, true, first.place));
    for (owner, currency) in [("a customer", yen()), ("somebody else", Currency::EUR)] {
        let owner = Owner::new(owner).expect("short");
        let answer = desk.one(Command::OpenAccount { id: account(1), owner, currency });
        assert_eq!((rejected(answer.outcome), answer.replay), (Some(Rejected::IdReused), false));
    }
    desk.one(close(1, 1));
    assert!(desk.one(open(1)).replay, "a closed account does not open again");
}

#[test]
fn a_customer_is_added_once_whatever_the_secret() {
    let mut desk = Desk::new();
    let first = desk.one(add("ann"));
    let salted_anew = Command::AddCustomer { name: name("ann"), currency: Currency::EUR, secret: secret(2) };
    let again = desk.one(salted_anew);
    assert_eq!((again.outcome, again.replay, again.place), (first.outcome, true, first.place));
    assert_eq!(desk.ledger.customer(&name("ann")).expect("added").secret, secret(1), "the first one stays");
    desk.one(Command::CloseAccount { id: id(1), account: of("ann") });
    assert!(desk.one(add("ann")).replay, "a closed account does not open again");
}

#[test]
fn a_change_of_a_customer_serves_one_content_only() {
    let mut desk = Desk::new();
    desk.send(false, &[add("ann"), add("bob")]);
    let set = desk.one(set_secret(1, "ann", secret(2)));
    let locked = desk.one(lock(2, "ann"));
    let again = desk.one(set_secret(1, "ann", secret(2)));
    assert_eq!((again.outcome, again.replay, again.place), (set.outcome, true, set.place));
    let refused = desk.one(set_secret(3, "nobody", secret(2)));
    let again = desk.one(set_secret(3, "nobody", secret(3)));
    assert_eq!((again.outcome, again.replay), (refused.outcome, true), "nothing is kept of a refused secret");
    let rows = [
        (set_secret(1, "ann", secret(3)), set),
        (set_secret(3, "ann", secret(2)), refused),
        (set_secret(1, "bob", secret(2)), set),
        (lock(1, "ann"), set),
        (lock(2, "bob"), locked),
        (unlock(2, "ann"), locked),
        (set_secret(2, "ann", secret(2)), locked),
    ];
    for (other, first) in rows {
        let answer = desk.one(other);
        assert_eq!((rejected(answer.outcome), answer.replay), (Some(Rejected::IdReused), false), "{other:?}");
        assert_eq!(answer.place, first.place);
    }
    assert_eq!(desk.ledger.customer(&name("ann")).expect("added").secret, secret(2), "the first one stays");
}

#[test]
fn a_void_settles_what_became_of_an_id() {
    let mut desk = Desk::with(&[(1, 1_000), (2, 0)]);
    let posted = desk.one(transfer(1, account(1), account(2), 10));
    let refused = desk.one(transfer(2, account(2), account(1), 5_000));
    for (number, first) in [(1, posted), (2, refused)] {
        let voided = desk.one(Command::VoidTransfer { id: id(number) });
        assert_eq!((voided.outcome, voided.replay, voided.place), (first.outcome, true, first.place));
    }
    let tombstone = desk.one(Command::VoidTransfer { id: id(3) });
    assert!(matches!(tombstone.outcome, Outcome::Voided { .. }));
    let (paid, held) = (transfer(3, account(1), account(2), 10), hold(3, account(1), interbank(), 10));
    for late in [paid, held, close(3, 2), set_secret(3, "ann", secret(1)), lock(3, "ann")] {
        let answer = desk.one(late);
        assert_eq!(rejected(answer.outcome), Some(Rejected::Voided), "{late:?}");
        assert_eq!((answer.replay, answer.place), (true, tombstone.place));
    }
    assert_eq!(desk.balance(2), 10);
}

#[test]
fn an_id_may_come_twice_in_one_request() {
    let mut desk = Desk::with(&[(1, 1_000), (2, 0)]);
    let twice = transfer(1, account(1), account(2), 10);
    let answers = desk.send(false, &[twice, twice, transfer(1, account(1), account(2), 11)]);
    assert_eq!((answers[0].replay, answers[1].replay), (false, true));
    assert_eq!(answers[0].outcome, answers[1].outcome);
    assert_eq!(rejected(answers[2].outcome), Some(Rejected::IdReused));
    assert_eq!(desk.balance(2), 10);
}

#[test]
fn a_repeated_setting_is_known_by_its_version() {
    let change = |minor| {
        let limit = ledger::Amount::new(minor);
        SettingChange::TransferLimit { currency: Currency::EUR, limit }
    };
    let mut desk = Desk::new();
    let set = |expected_version, minor| Command::ChangeSetting { expected_version, change: change(minor) };
    let first = desk.one(set(0, 5));
    desk.one(set(1, 6));
    let again = desk.one(set(0, 5));
    assert_eq!((again.outcome, again.replay), (first.outcome, true));
    assert_eq!(desk.refusal(set(0, 6)), Rejected::VersionMismatch { expected: 0, actual: 2 });
    assert_eq!(desk.refusal(set(9, 6)), Rejected::VersionMismatch { expected: 9, actual: 2 });
    assert_eq!(desk.refusal(set(u64::MAX, 6)), Rejected::VersionMismatch { expected: u64::MAX, actual: 2 });
}

#[cfg(feature = "controls")]
#[test]
fn the_control_that_journals_no_rejections_gives_one_id_two_outcomes() {
    let mut desk = Desk::with(&[(1, 0), (2, 0)]);
    desk.ledger.set_control(Some(ledger::Control::RejectionsNotJournaled));
    let refused = desk.one(transfer(1, account(1), account(2), 10));
    desk.one(transfer(2, vault(), account(1), 1_000));
    let again = desk.one(transfer(1, account(1), account(2), 10));
    assert!(rejected(refused.outcome).is_some() && rejected(again.outcome).is_none());
}
