//! Books that were restored from a backup: who may still speak, what is brought back, what a hold was for.

use ledger::{
    AccountId, Command, Counterparty, Currency, Fence, Ledger, Lost, Outcome, Placer, RecordKey, Rejected,
    SettingChange,
};
use std::num::NonZeroU64;

use crate::desk::*;

fn fence(epoch: u32, complete_through: u64) -> ledger::Command {
    ledger::Command::Fence { placer: placer(GATEWAY), fence: Fence { epoch, complete_through, ..Fence::default() } }
}

fn suspense() -> AccountId {
    AccountId::suspense(Currency::EUR)
}

fn balance_of(ledger: &Ledger, account: AccountId) -> i128 {
    ledger.account(account).map_or(0, |account| account.balances.balance())
}

#[test]
fn nothing_of_an_older_incarnation_is_carried_out_or_recorded() {
    let mut desk = Desk::with(&[(1, 1_000)]);
    desk.send(false, &[fence(1, 0), hold(1, account(1), interbank(), 100)]);
    desk.send(false, &[fence(2, 0)]);
    let (digest, places) = (desk.ledger.digest(), desk.journal.records.len());
    let answers = desk.send(false, &[fence(1, 5_000), post(1), hold(2, account(1), interbank(), 100)]);
    let stale = Some(Rejected::StaleFence { known: 2 });
    assert!(answers.iter().all(|answer| rejected(answer.outcome) == stale), "{answers:?}");
    assert_eq!((desk.ledger.digest(), desk.journal.records.len()), (digest, places));
    // The newer one goes on where the older stopped, and another placer has a fence of its own.
    let answers = desk.send(false, &[fence(2, 0), post(1), hold(2, account(1), interbank(), 100)]);
    assert!(matches!(answers[1].outcome, Outcome::HoldPosted { .. }));
    assert!(matches!(answers[2].outcome, Outcome::Held { .. }));
    let other = ledger::Command::Fence { placer: placer(8), fence: Fence { epoch: 1, ..Fence::default() } };
    assert!(matches!(desk.one(other).outcome, Outcome::Fenced { .. }));
    assert_eq!(desk.ledger.fence(placer(GATEWAY)).epoch, 2);
}

#[test]
fn a_fence_is_recorded_when_it_says_something_new() {
    let mut desk = Desk::new();
    let rows = [(1, 0, true), (1, Fence::STEP - 1, false), (1, Fence::STEP, true), (1, 3, false), (2, 0, true)];
    for (epoch, through, is_recorded) in rows {
        let before = desk.journal.records.len();
        let answer = desk.one(fence(epoch, through));
        let kept = desk.ledger.fence(placer(GATEWAY));
        assert_eq!(answer.outcome, Outcome::Fenced { time_ms: answer.outcome.time_ms(), fence: kept });
        assert_eq!(desk.journal.records.len() > before, is_recorded, "{epoch} {through}");
    }
    let kept = desk.ledger.fence(placer(GATEWAY));
    assert_eq!(kept, Fence { epoch: 2, complete_through: Fence::STEP, caught_up: 0, ..Fence::default() });
}

#[test]
fn a_linked_request_that_fails_takes_its_fence_back() {
    let mut desk = Desk::with(&[(1, 10)]);
    let answers = desk.send(true, &[fence(3, 0), transfer(5, account(1), vault(), 11)]);
    assert!(answers.iter().all(|answer| answer.outcome.rejection().is_some()));
    assert_eq!(desk.ledger.fence(placer(GATEWAY)), Fence::default());
    let is_fence = |record: &&ledger::RecordBytes| record[..2] == ledger::record::kind::FENCE_RAISED.to_le_bytes();
    assert_eq!(desk.journal.records.iter().filter(is_fence).count(), 0);
}

/// One row for each state that a replay can meet.
#[test]
fn what_was_decided_is_booked_again_whatever_the_books_say_today() {
    let of_transfer = |desk: &mut Desk| desk.one(replay(1, false, account(1), account(2), 600));
    let of_hold = |desk: &mut Desk| desk.one(replay(1, true, account(1), interbank(), 600));

    // Nothing is known: booked on the accounts that it names.
    let mut desk = Desk::with(&[(1, 1_000), (2, 0)]);
    assert!(matches!(of_transfer(&mut desk).outcome, Outcome::Posted { .. }));
    assert_eq!((desk.balance(1), desk.balance(2)), (400, 600));
    assert!(of_transfer(&mut desk).replay, "and once");
    let mut desk = Desk::with(&[(1, 1_000)]);
    let first = of_hold(&mut desk);
    assert!(matches!(first.outcome, Outcome::HoldPosted { .. }));
    assert_eq!((desk.balance(1), balance_of(&desk.ledger, interbank()), desk.ledger.hold_count()), (400, 600, 0));
    let again = of_hold(&mut desk);
    assert_eq!((again.outcome, again.replay), (first.outcome, true));
    let delivered = desk.one(post(1));
    assert_eq!((delivered.outcome, delivered.replay), (first.outcome, true), "an ordinary delivery finds it posted");

    // The hold is there: posted.
    let mut desk = Desk::with(&[(1, 1_000)]);
    desk.one(hold(1, account(1), interbank(), 600));
    assert!(matches!(of_hold(&mut desk).outcome, Outcome::HoldPosted { .. }));
    assert_eq!((desk.balance(1), desk.ledger.hold_count()), (400, 0));

    // What nothing that is decided leads to is refused and moves nothing.
    let mut desk = Desk::with(&[(1, 1_000), (2, 0)]);
    desk.one(void(1));
    assert_eq!(rejected(of_hold(&mut desk).outcome), Some(Rejected::HoldAlreadyVoided));
    assert_eq!(rejected(of_transfer(&mut desk).outcome), Some(Rejected::IdReused));
    assert_eq!((desk.balance(1), desk.ledger.hold_count()), (1_000, 0));
}

#[test]
fn what_is_booked_again_posts_nothing_else_that_has_the_id() {
    let mut desk = Desk::with(&[(1, 1_000), (2, 1_000)]);
    desk.one(hold(1, account(1), interbank(), 600));
    desk.one(transfer(2, account(1), account(2), 300));
    let places = desk.journal.records.len();
    let others = [
        replay(1, true, account(1), interbank(), 599),
        replay(1, true, account(2), interbank(), 600),
        replay(1, false, account(1), interbank(), 600),
        replay(2, true, account(1), account(2), 300),
        replay(2, false, account(2), account(1), 300),
        replay(2, false, account(1), account(2), 301),
    ];
    for other in others {
        assert_eq!(desk.refusal(other), Rejected::IdReused, "{other:?}");
    }
    assert_eq!((desk.balance(1), desk.balance(2), desk.ledger.hold_count()), (700, 1_300, 1));
    assert_eq!(desk.journal.records.len(), places);
    // One that stands on suspense is the payment that was ordered.
    desk.one(replay(3, true, account(77), interbank(), 5));
    assert!(desk.one(replay(3, true, account(77), interbank(), 5)).replay);
}

#[test]
fn what_an_account_cannot_bear_goes_to_suspense() {
    // Poor, unknown, closed, locked or limited payers; the payee gets the money in every case.
    let mut desk = Desk::with(&[(1, 100), (2, 0), (3, 0)]);
    desk.one(close(50, 3));
    for (number, payer) in [(1, account(1)), (2, account(77)), (3, account(3))] {
        assert!(matches!(desk.one(replay(number, true, payer, interbank(), 600)).outcome, Outcome::HoldPosted { .. }));
    }
    assert_eq!(balance_of(&desk.ledger, suspense()), -1_800);
    assert_eq!((desk.balance(1), balance_of(&desk.ledger, interbank())), (100, 1_800));
    // A payee who is unknown or gone: theirs waits there too.
    desk.one(replay(4, true, interbank(), account(78), 700));
    desk.one(replay(5, true, interbank(), account(3), 50));
    assert_eq!(balance_of(&desk.ledger, suspense()), -1_050);
    // Limits and locks were looked at when it was decided.
    desk.one(add("ann"));
    desk.one(transfer(60, vault(), of("ann"), 500));
    let limit = SettingChange::TransferLimit { currency: Currency::EUR, limit: Some(cents(1)) };
    desk.one(ledger::Command::ChangeSetting { expected_version: 0, change: limit });
    desk.one(lock(61, "ann"));
    desk.one(replay(6, false, of("ann"), account(2), 500));
    assert_eq!((balance_of(&desk.ledger, of("ann")), desk.balance(2)), (0, 500));
    // Neither side is there: nothing moves, and it says so.
    assert_eq!(desk.refusal(replay(7, false, account(77), account(78), 5)), Rejected::SameAccount);
}

#[test]
fn a_note_stays_with_its_hold() {
    let note = |who: u64, text: &str| ledger::Command::NoteHold {
        id: id(1),
        placer: placer(who),
        counterparty: Counterparty::new(text).expect("short"),
    };
    let mut desk = Desk::with(&[(1, 1_000)]);
    desk.send(false, &[hold(1, account(1), interbank(), 600), note(GATEWAY, "bob@beta")]);
    let again = desk.one(note(GATEWAY, "bob@beta"));
    assert!(again.replay && matches!(again.outcome, Outcome::Noted { .. }));
    for other in [note(GATEWAY, "eve@beta"), note(8, "bob@beta")] {
        assert_eq!(desk.refusal(other), Rejected::IdReused);
    }
    let kept = desk.journal.records[desk.journal.places[&RecordKey::hold_note(id(1))]];
    let body = ledger::Record::decode(&kept).expect("the ledger wrote it").body;
    let counterparty = Counterparty::new("bob@beta").expect("short");
    assert_eq!(body, ledger::Body::HoldNoted { id: id(1), placer: placer(GATEWAY), counterparty });
    // A transfer's id is not taken by a note, and the hold ends as any other.
    assert!(matches!(desk.one(post(1)).outcome, Outcome::HoldPosted { .. }));
}

/// The ledger that a checkpoint of everything in the journal gives.
fn from_checkpoint(desk: &Desk) -> Ledger {
    let mut table = std::collections::BTreeMap::new();
    for record in &desk.journal.records {
        ledger::fold_effects(record, &mut |key, value| match value {
            Some(value) => drop(table.insert(key.to_vec(), value.to_vec())),
            None => drop(table.remove(key)),
        })
        .expect("the ledger wrote it");
    }
    Ledger::restore(5, table.into_iter()).expect("a good checkpoint")
}

#[test]
fn only_a_number_that_was_lost_is_booked_without_a_hold() {
    let mut desk = Desk::with(&[(1, 1_000), (2, 0)]);
    let lost = Fence { epoch: 1, caught_up: 1, lost: Lost { after: 5, through: 9 }, ..Fence::default() };
    desk.one(Command::Fence { placer: placer(GATEWAY), fence: lost });
    let numbered = |id: u128, of: u64, number: u64| match replay(id, true, account(1), interbank(), 1) {
        Command::Replay { id, debit, credit, amount, currency, reference, .. } => Command::Replay {
            id,
            placer: Some(placer(of)),
            number: NonZeroU64::new(number),
            debit,
            credit,
            amount,
            currency,
            reference,
        },
        other => other,
    };
    for round in 0..2 {
        for (of, number, is_lost) in [
            (GATEWAY, 5, false),
            (GATEWAY, 6, true),
            (GATEWAY, 9, true),
            (GATEWAY, 10, false),
            (GATEWAY, u64::MAX, false),
            (GATEWAY + 1, 7, false),
        ] {
            let id = 1_000 * round + u128::from(of) * 100 + u128::from(number % 50);
            let before = (desk.balance(1), desk.ledger.hold_count());
            let outcome = desk.one(numbered(id, of, number)).outcome;
            match is_lost {
                true => assert!(matches!(outcome, Outcome::HoldPosted { .. }), "{number}: {outcome:?}"),
                false => assert_eq!(rejected(outcome), Some(Rejected::NotLost { number }), "{number} of {of}"),
            }
            let moved = i128::from(is_lost);
            assert_eq!((desk.balance(1), desk.ledger.hold_count()), (before.0 - moved, before.1), "{number} of {of}");
        }
        // A checkpoint keeps what was lost.
        desk.ledger = from_checkpoint(&desk);
    }
    // A payment that is held is posted by its hold, whatever its number is.
    desk.one(hold(5_000, account(1), interbank(), 1));
    assert!(matches!(desk.one(numbered(5_000, GATEWAY, 77)).outcome, Outcome::HoldPosted { .. }));
}

#[test]
fn a_checkpoint_keeps_the_fences() {
    let mut desk = Desk::with(&[(1, 1_000)]);
    desk.one(fence(4, 9_000));
    let lost = Lost { after: 17, through: u64::MAX };
    let caught_up = Fence { epoch: 4, complete_through: 0, caught_up: 3, lost };
    desk.one(ledger::Command::Fence { placer: placer(GATEWAY), fence: caught_up });
    let restored = from_checkpoint(&desk);
    assert_eq!(restored.digest(), desk.ledger.digest());
    let kept: Vec<(Placer, Fence)> = restored.fences().collect();
    assert_eq!(kept, [(placer(GATEWAY), Fence { epoch: 4, complete_through: 9_000, caught_up: 3, lost })]);
    assert_eq!(restored.slice_digest(1, 8), desk.ledger.slice_digest(1, 8));
    desk.one(fence(5, 0));
    assert_ne!(restored.slice_digest(1, 8), desk.ledger.slice_digest(1, 8), "every slice tells a fence");
}
