//! Linked requests: all or none.

use ledger::{Command, Currency, Outcome, Rejected, SettingChange};

use crate::desk::*;

#[test]
fn a_linked_request_does_all() {
    let mut desk = Desk::with(&[(1, 100), (2, 0), (3, 0)]);
    let answers = desk
        .send(true, &[transfer(1, account(1), account(2), 100), transfer(2, account(2), account(3), 100), close(3, 1)]);
    assert!(answers.iter().all(|answer| answer.outcome.rejection().is_none()));
    assert_eq!((desk.balance(2), desk.balance(3)), (0, 100), "the second item spends what the first brought");
}

#[test]
fn or_none_and_every_item_says_why() {
    let mut desk = Desk::with(&[(1, 100), (2, 0)]);
    desk.one(hold(50, account(1), interbank(), 10));
    let change = SettingChange::TransferLimit { currency: Currency::EUR, limit: Some(cents(1)) };
    desk.send(false, &[add("ann"), transfer(60, vault(), of("ann"), 10), lock(61, "ann")]);
    let (untouched, ann) = (desk.ledger.digest(), desk.ledger.customer(&name("ann")));
    let customers = [
        add("bob"),
        lock(21, "bob"),
        set_secret(22, "bob", secret(3)),
        set_secret(23, "ann", secret(4)),
        unlock(24, "ann"),
        transfer(25, of("ann"), account(1), 5),
    ];
    let commands = [
        open(7),
        transfer(1, account(1), account(2), 40),
        transfer(2, ledger::AccountId::suspense(Currency::EUR), account(7), 5),
        hold(3, account(1), interbank(), 10),
        post(50),
        post(3),
        Command::VoidTransfer { id: id(4) },
        Command::ChangeSetting { expected_version: 0, change },
        transfer(5, account(2), account(1), 41),
        transfer(6, account(2), account(1), 1),
    ];
    let commands = [&customers[..], &commands].concat();
    let answers = desk.send(true, &commands);
    for (index, answer) in answers.iter().enumerate() {
        let reason = rejected(answer.outcome);
        match index {
            14 => assert_eq!(reason, Some(Rejected::LimitExceeded { limit: cents(1), asked: cents(41) })),
            _ => assert_eq!(reason, Some(Rejected::LinkedFailed { index: 14 }), "item {index}"),
        }
        assert!(!answer.replay);
    }
    assert_eq!(desk.ledger.digest(), untouched, "the request came in the same millisecond");
    assert_eq!((desk.ledger.customer(&name("bob")), desk.ledger.customer(&name("ann"))), (None, ann));
    assert_eq!(desk.ledger.settings().version(), 0);
    assert!(desk.ledger.account(account(7)).is_none());
    let again = desk.send(true, &commands);
    for index in [1, 2, 3, 4, 5, 7, 8, 9, 14, 15] {
        assert_eq!((again[index].outcome, again[index].replay), (answers[index].outcome, true), "item {index}");
    }
}

#[test]
fn a_repeated_linked_request_gets_its_first_answers() {
    let mut desk = Desk::with(&[(1, 100), (2, 0)]);
    let commands = [transfer(1, account(1), account(2), 60), transfer(2, account(1), account(2), 40)];
    let first = desk.send(true, &commands);
    let again = desk.send(true, &commands);
    for (first, again) in first.iter().zip(&again) {
        assert_eq!((again.outcome, again.replay, again.place), (first.outcome, true, first.place));
    }
    assert_eq!(desk.balance(2), 100);
}

#[test]
fn an_item_that_was_refused_before_fails_the_others() {
    let mut desk = Desk::with(&[(1, 100), (2, 0)]);
    desk.one(Command::VoidTransfer { id: id(2) });
    let commands = [transfer(1, account(1), account(2), 60), transfer(2, account(1), account(2), 40)];
    let answers = desk.send(true, &commands);
    assert_eq!(rejected(answers[0].outcome), Some(Rejected::LinkedFailed { index: 1 }));
    assert_eq!((rejected(answers[1].outcome), answers[1].replay), (Some(Rejected::Voided), true));
    assert_eq!(desk.balance(1), 100);
}

#[test]
fn an_id_reused_within_a_linked_request_fails_it() {
    let mut desk = Desk::with(&[(1, 100), (2, 0)]);
    let commands = [transfer(1, account(1), account(2), 60), transfer(1, account(1), account(2), 40)];
    let answers = desk.send(true, &commands);
    assert_eq!(rejected(answers[0].outcome), Some(Rejected::LinkedFailed { index: 1 }));
    assert_eq!(rejected(answers[1].outcome), Some(Rejected::IdReused));
    let twice = [transfer(2, account(1), account(2), 60), transfer(2, account(1), account(2), 60)];
    let answers = desk.send(true, &twice);
    assert!(answers.iter().all(|answer| matches!(answer.outcome, Outcome::Posted { .. })));
    assert_eq!((answers[0].replay, answers[1].replay, desk.balance(2)), (false, true, 60));
}

#[test]
fn items_that_are_not_linked_stand_alone() {
    let mut desk = Desk::with(&[(1, 100), (2, 0)]);
    let answers =
        desk.send(false, &[transfer(1, account(1), account(2), 60), transfer(2, account(1), account(2), 60), open(3)]);
    let refused: Vec<bool> = answers.iter().map(|answer| answer.outcome.rejection().is_some()).collect();
    assert_eq!(refused, [false, true, false]);
}
