//! Holds: set aside, then posted or voided, once, by their placer.

use ledger::{Command, HoldState, Outcome, RecordKey, Rejected};

use crate::desk::*;

#[test]
fn a_debit_hold_takes_from_what_is_available_and_its_post_moves_the_money() {
    let mut desk = Desk::with(&[(1, 1_000)]);
    desk.one(hold(1, account(1), interbank(), 600));
    assert_eq!((desk.balance(1), desk.available(1)), (1_000, 400));
    match desk.one(post(1)).outcome {
        Outcome::HoldPosted { debit, credit, .. } => {
            assert_eq!((debit.balance(), debit.held_debits, credit.balance()), (400, 0, 600));
        }
        other => panic!("not posted: {other:?}"),
    }
    assert_eq!(desk.ledger.hold_count(), 0);
}

#[test]
fn a_credit_hold_counts_for_nothing_until_it_is_posted() {
    let mut desk = Desk::with(&[(1, 0)]);
    desk.one(hold(1, interbank(), account(1), 600));
    assert_eq!((desk.balance(1), desk.available(1)), (0, 0));
    let refusal = desk.refusal(transfer(2, account(1), vault(), 1));
    assert_eq!(refusal, Rejected::InsufficientFunds { available: 0, needed: cents(1) });
    desk.one(post(1));
    assert_eq!(desk.available(1), 600);
}

#[test]
fn a_void_gives_back_what_was_held() {
    let mut desk = Desk::with(&[(1, 1_000)]);
    desk.one(hold(1, account(1), interbank(), 1_000));
    assert!(matches!(desk.one(void(1)).outcome, Outcome::HoldVoided { .. }));
    assert_eq!((desk.balance(1), desk.available(1)), (1_000, 1_000));
    desk.one(transfer(2, account(1), vault(), 1_000));
    assert!(matches!(desk.one(close(3, 1)).outcome, Outcome::Closed { .. }));
}

#[test]
fn only_the_first_end_of_a_hold_counts() {
    let rows = [(post(1), void(1), Rejected::HoldAlreadyPosted), (void(1), post(1), Rejected::HoldAlreadyVoided)];
    for (end, other_end, rejection) in rows {
        let mut desk = Desk::with(&[(1, 1_000)]);
        desk.one(hold(1, account(1), interbank(), 600));
        let first = desk.one(end);
        assert_eq!(desk.refusal(other_end), rejection);
        let again = desk.one(end);
        assert_eq!((again.outcome, again.replay, again.place), (first.outcome, true, first.place));
    }
}

#[test]
fn nobody_but_the_placer_ends_a_hold_or_hears_how_it_ended() {
    let stranger =
        [Command::PostHold { id: id(1), placer: placer(8) }, Command::VoidHold { id: id(1), placer: placer(8) }];
    let mut desk = Desk::with(&[(1, 1_000)]);
    desk.one(hold(1, account(1), interbank(), 600));
    for command in stranger {
        assert_eq!(desk.refusal(command), Rejected::NotYourHold);
    }
    desk.one(post(1));
    for command in stranger {
        assert_eq!(desk.refusal(command), Rejected::NotYourHold);
    }
}

#[test]
fn every_answer_about_a_hold_tells_its_present_state() {
    let state = |desk: &mut Desk, command: Command| match desk.one(command).outcome {
        Outcome::Held { now, .. } => now,
        other => panic!("not held: {other:?}"),
    };
    for (end, ended) in [(post(1), HoldState::Posted), (void(1), HoldState::Voided)] {
        let mut desk = Desk::with(&[(1, 1_000)]);
        let place = hold(1, account(1), interbank(), 600);
        assert_eq!(state(&mut desk, place), HoldState::Held);
        assert_eq!(state(&mut desk, place), HoldState::Held);
        desk.one(end);
        assert_eq!(state(&mut desk, place), ended);
        assert_eq!(state(&mut desk, Command::VoidTransfer { id: id(1) }), ended);
    }
}

#[test]
fn a_void_that_comes_first_refuses_the_late_hold() {
    let mut desk = Desk::with(&[(1, 1_000)]);
    assert!(matches!(desk.one(void(1)).outcome, Outcome::Voided { .. }));
    assert!(desk.one(void(1)).replay);
    let late = desk.one(hold(1, account(1), interbank(), 600));
    assert_eq!((rejected(late.outcome), late.replay), (Some(Rejected::Voided), true));
    assert_eq!(desk.refusal(post(1)), Rejected::HoldAlreadyVoided);
    assert_eq!(desk.available(1), 1_000);
}

#[test]
fn a_void_of_a_refused_hold_is_acknowledged_with_its_refusal() {
    let mut desk = Desk::with(&[(1, 100)]);
    let refused = desk.one(hold(1, account(1), interbank(), 600));
    let voided = desk.one(void(1));
    assert_eq!((voided.outcome, voided.replay), (refused.outcome, true));
    assert_eq!(desk.refusal(post(1)), Rejected::HoldNotFound);
    assert_eq!(desk.refusal(Command::VoidHold { id: id(1), placer: placer(8) }), Rejected::NotYourHold);
}

#[test]
fn a_refused_end_does_not_burn_the_id_for_the_hold_itself() {
    let mut desk = Desk::with(&[(1, 1_000)]);
    assert_eq!(desk.refusal(post(1)), Rejected::HoldNotFound);
    assert!(matches!(desk.one(hold(1, account(1), interbank(), 600)).outcome, Outcome::Held { .. }));
    assert!(matches!(desk.one(post(1)).outcome, Outcome::HoldPosted { .. }));
}

#[test]
fn a_hold_whose_end_is_not_in_the_journal_is_not_ended_again() {
    let mut desk = Desk::with(&[(1, 1_000)]);
    desk.one(hold(1, account(1), interbank(), 600));
    desk.one(post(1));
    // This program writes no such journal.
    desk.journal.places.remove(&RecordKey::hold_end(id(1)));
    for command in [post(1), void(1)] {
        assert_eq!(desk.refusal(command), Rejected::HoldNotFound);
    }
    assert_eq!((desk.balance(1), desk.available(1)), (400, 400), "nothing moved twice, and nothing came back");
}
