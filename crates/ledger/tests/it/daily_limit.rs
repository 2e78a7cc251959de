//! What a customer may be debited in one day.

use ledger::{Amount, Body, Command, Currency, Outcome, Record, RecordKey, Rejected, SettingChange};

use crate::desk::*;
use crate::restore::{folded, restored};

const DAY_MS: u64 = 86_400_000;

pub(crate) fn daily_limit(expected_version: u64, minor: Option<u128>) -> Command {
    let limit = minor.and_then(Amount::new);
    Command::ChangeSetting {
        expected_version,
        change: SettingChange::DailyDebitLimit { currency: Currency::EUR, limit },
    }
}

/// Noon of the hundredth day; ann and account 1 have 1,000.00 EUR each; a customer may spend 100.00 EUR a day.
fn town() -> Desk {
    let mut desk = Desk::new();
    desk.clock_ms = 100 * DAY_MS + DAY_MS / 2;
    desk.send(false, &[add("ann"), open(1), daily_limit(0, Some(10_000))]);
    desk.send(
        false,
        &[transfer(900_001, vault(), of("ann"), 100_000), transfer(900_002, vault(), account(1), 100_000)],
    );
    desk
}

fn pay(number: u128, minor: u128) -> Command {
    transfer(number, of("ann"), vault(), minor)
}

fn set_aside(number: u128, minor: u128) -> Command {
    hold(number, of("ann"), interbank(), minor)
}

fn exceeded(spent: u128) -> Rejected {
    Rejected::DailyLimitExceeded { limit: cents(10_000), spent }
}

#[track_caller]
fn done(desk: &mut Desk, command: Command) {
    assert_eq!(desk.one(command).outcome.rejection(), None, "{command:?}");
}

#[test]
fn transfers_and_holds_of_a_day_stay_within_the_limit_together() {
    let mut desk = town();
    assert_eq!(desk.refusal(pay(1, 10_001)), exceeded(0));
    done(&mut desk, pay(2, 4_000));
    done(&mut desk, set_aside(3, 5_000));
    assert_eq!(desk.refusal(pay(4, 1_001)), exceeded(9_000));
    assert_eq!(desk.refusal(set_aside(5, 1_001)), exceeded(9_000));
    done(&mut desk, pay(6, 1_000));
    assert_eq!(desk.refusal(pay(7, 1)), exceeded(10_000));
    done(&mut desk, transfer(8, vault(), of("ann"), 50_000));
    assert_eq!(desk.refusal(pay(9, 1)), exceeded(10_000), "what comes in gives nothing back");
}

#[test]
fn a_day_begins_at_midnight_of_the_ledgers_time() {
    let mut desk = town();
    desk.clock_ms = 101 * DAY_MS - 1;
    done(&mut desk, pay(1, 10_000));
    assert_eq!(desk.refusal(pay(2, 1)), exceeded(10_000));
    desk.clock_ms = 101 * DAY_MS;
    done(&mut desk, pay(3, 9_999));
    assert_eq!(desk.refusal(pay(4, 2)), exceeded(9_999));
    desk.clock_ms = 100 * DAY_MS;
    assert_eq!(desk.refusal(pay(5, 2)), exceeded(9_999), "a clock that goes back brings no day back");
    desk.clock_ms = 107 * DAY_MS;
    done(&mut desk, pay(6, 10_000));
}

#[test]
fn a_post_changes_nothing_and_a_void_gives_back() {
    let mut desk = town();
    desk.send(false, &[set_aside(1, 6_000), set_aside(2, 4_000)]);
    done(&mut desk, post(1));
    assert_eq!(desk.refusal(pay(3, 1)), exceeded(10_000));
    done(&mut desk, void(2));
    assert_eq!(desk.refusal(pay(4, 4_001)), exceeded(6_000));
    done(&mut desk, pay(5, 4_000));
}

#[test]
fn the_post_of_an_older_hold_is_no_debit_of_today() {
    let mut desk = town();
    done(&mut desk, set_aside(1, 10_000));
    desk.clock_ms += DAY_MS;
    done(&mut desk, pay(2, 1));
    done(&mut desk, post(1));
    assert_eq!(desk.refusal(pay(3, 10_000)), exceeded(1));
    done(&mut desk, pay(4, 9_999));
}

#[test]
fn the_void_of_an_older_hold_gives_back_to_a_day_that_has_begun() {
    let mut desk = town();
    done(&mut desk, set_aside(1, 10_000));
    desk.clock_ms += DAY_MS;
    done(&mut desk, pay(2, 1));
    done(&mut desk, void(1));
    assert_eq!(desk.refusal(pay(3, 20_000)), exceeded(0));
    done(&mut desk, pay(4, 19_999));
    assert_eq!(desk.refusal(pay(5, 1)), exceeded(10_000));
}

#[test]
fn but_not_to_a_day_that_has_not() {
    let mut desk = town();
    done(&mut desk, set_aside(1, 10_000));
    desk.clock_ms += DAY_MS;
    done(&mut desk, void(1));
    assert_eq!(desk.refusal(pay(2, 10_001)), exceeded(0));
    done(&mut desk, pay(3, 10_000));
}

#[test]
fn only_customers_of_that_currency_are_bounded() {
    let mut desk = town();
    done(&mut desk, transfer(1, account(1), vault(), 100_000));
    done(&mut desk, transfer(2, vault(), account(1), 100_000));
    done(&mut desk, Command::AddCustomer { name: name("yui"), currency: yen(), secret: secret(1) });
    let yen_vault = ledger::AccountId::vault(yen());
    for (number, debit, credit) in [(3, yen_vault, of("yui")), (4, of("yui"), yen_vault)] {
        let (amount, currency, reference) = (cents(100_000), yen(), ledger::Reference::EMPTY);
        done(&mut desk, Command::Transfer { id: id(number), placer: None, debit, credit, amount, currency, reference });
    }
}

#[test]
fn a_new_limit_counts_what_the_day_has_seen() {
    let mut desk = town();
    done(&mut desk, daily_limit(1, None));
    done(&mut desk, pay(1, 30_000));
    done(&mut desk, daily_limit(2, Some(10_000)));
    assert_eq!(desk.refusal(pay(2, 1)), exceeded(30_000));
    done(&mut desk, daily_limit(3, Some(30_001)));
    done(&mut desk, pay(3, 1));
}

#[test]
fn only_the_first_debit_of_a_customers_day_says_so_in_its_record() {
    let mut desk = town();
    let commands = [pay(1, 1), pay(2, 1), set_aside(3, 1), transfer(4, account(1), of("ann"), 1)];
    desk.send(false, &commands);
    desk.clock_ms += DAY_MS;
    desk.send(false, &[transfer(5, account(1), of("ann"), 1), post(3), set_aside(6, 1), pay(7, 1)]);
    let begins_day = |number: u128| {
        let bytes = desk.journal.records[desk.journal.places[&RecordKey::outcome(id(number))]];
        match Record::decode(&bytes).expect("a record").body {
            Body::TransferPosted { flags, .. } | Body::HoldPlaced { flags, .. } => flags.begins_day,
            other => panic!("not a debit: {other:?}"),
        }
    };
    assert_eq!([1, 2, 3, 4, 5, 6, 7].map(begins_day), [true, false, false, false, false, true, false]);
}

#[test]
fn a_restored_ledger_remembers_what_was_spent_today() {
    let mut desk = town();
    desk.send(false, &[pay(1, 10_000)]);
    desk.clock_ms += DAY_MS;
    desk.send(false, &[set_aside(2, 3_000), pay(3, 4_000), void(2)]);
    desk.ledger = restored(&folded(&desk.journal.records));
    assert_eq!(desk.refusal(pay(4, 6_001)), exceeded(4_000));
    done(&mut desk, pay(5, 6_000));
}

#[test]
fn what_a_linked_request_takes_back_was_never_spent() {
    let mut desk = town();
    let before = desk.ledger.digest();
    desk.send(true, &[pay(1, 6_000), set_aside(2, 4_000), pay(3, 1)]);
    assert_eq!(desk.ledger.digest(), before, "not even the day has begun");
    done(&mut desk, pay(4, 1));
    let before = desk.ledger.digest();
    desk.send(true, &[pay(5, 6_000), pay(6, 4_000)]);
    assert_eq!(desk.ledger.digest(), before);
    assert_eq!(desk.refusal(pay(7, 10_000)), exceeded(1));
}

#[test]
fn a_hold_that_was_let_go_and_a_transfer_cannot_spend_more_than_a_days_limit_for_each_day() {
    let mut desk = town();
    let mut spent = 0;
    for day in 1..=9u128 {
        desk.clock_ms += DAY_MS;
        // Half is set aside on each day, and all of it let go on the last.
        for number in [day * 10, day * 10 + 1] {
            done(&mut desk, set_aside(number, 5_000));
        }
        done(&mut desk, post(day * 10));
        spent += 5_000;
    }
    for day in 1..=9u128 {
        done(&mut desk, void(day * 10 + 1));
    }
    let mut number = 1_000;
    while desk.one(pay(number, 1_000)).outcome.rejection().is_none() {
        number += 1;
        spent += 1_000;
    }
    assert_eq!(spent, 9 * 10_000);
    assert!(matches!(desk.one(transfer(1, vault(), of("ann"), 1)).outcome, Outcome::Posted { .. }));
}
