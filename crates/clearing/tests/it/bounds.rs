//! What one customer can make the gateway keep is bounded: records of payments that moved nothing, and sign-ins.

use clearing::{Answer, Command, Finding, Pair, PaymentRequest, Reason, Refusal, Reported, SettingChange, Status};

use crate::desk::*;

fn bob() -> clearing::NamedParty {
    customer("bob", "beta")
}

fn small_bucket(desk: &mut Desk, per_minute: u64, burst: u64) {
    let change = SettingChange::RefusedPerCustomer { per_minute, burst };
    desk.one(Command::ChangeSetting { expected_version: 0, change });
}

/// Both banks' words about a payment of the first incarnations.
fn said(number: u128, debit: Finding, credit: Finding) -> Command {
    let of = |finding| Some(Reported { epoch: epoch(1), finding });
    Command::Report { id: id(number), gateway: epoch(1), found: Pair { debit: of(debit), credit: of(credit) } }
}

/// Alice has no money.
const POOR: Finding = Finding::Refused(Reason::InsufficientFunds { available: 0 });

fn pay_without_money(desk: &mut Desk, number: u128) -> Answer {
    let taken = desk.one(take(request(number, bob(), 100)));
    if taken.status() == Some(Status::Undecided) {
        desk.one(said(number, POOR, Finding::Held));
        let side = clearing::Side::Credit;
        desk.one(Command::Delivered { id: id(number), side, epoch: epoch(1) });
    }
    taken
}

#[test]
fn whoever_has_no_money_writes_no_more_than_the_bucket_holds() {
    let mut desk = Desk::town();
    small_bucket(&mut desk, 60, 10);
    let before = desk.journal.records.len();
    for number in 1_000..3_000 {
        pay_without_money(&mut desk, number);
    }
    let written = desk.journal.records.len() - before;
    assert!(written <= 10 * 6, "2,000 payments without money left {written} records of 256 bytes");
    assert_eq!(desk.refusal(take(request(9_000, bob(), 100))), Refusal::TooManyRefused { retry_after_ms: 1_000 });
    // What was refused by the bucket burnt no id, and the wait that is told is true.
    desk.clock_ms += 999;
    assert!(matches!(desk.refusal(take(request(9_000, bob(), 100))), Refusal::TooManyRefused { retry_after_ms: 1 }));
    desk.clock_ms += 1;
    assert_eq!(desk.status(take(request(9_000, bob(), 100))), Status::Undecided);
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
}

#[test]
fn unknown_payees_unknown_banks_and_voids_of_ids_that_never_were_cost_as_much() {
    let mut desk = Desk::town();
    small_bucket(&mut desk, 60, 3);
    desk.one(take(request(1, customer("bob", "nowhere"), 1)));
    desk.one(take(request(2, bob(), 1)));
    desk.one(said(2, Finding::Held, Finding::Refused(Reason::UnknownPayee)));
    desk.one(Command::Cancel { request: request(3, bob(), 1), taker: node(1) });
    let next = request(4, bob(), 1);
    let refusal = Refusal::TooManyRefused { retry_after_ms: 1_000 };
    assert_eq!(desk.refusal(take(next)), refusal);
    assert_eq!(desk.refusal(take(request(4, customer("bob", "nowhere"), 1))), refusal);
    assert_eq!(desk.refusal(Command::Cancel { request: next, taker: node(1) }), refusal);
    // What is known keeps its answer, and somebody else's bucket is their own.
    assert!(matches!(desk.one(take(request(1, customer("bob", "nowhere"), 1))), Answer::Done { replay: true, .. }));
    let of_carol = PaymentRequest { session: session(3), ..request(5, bob(), 1) };
    assert_eq!(desk.status(take(of_carol)), Status::Undecided);
}

#[test]
fn payments_sent_at_once_get_no_more_refusals_than_there_are_tokens_and_paid_ones_cost_none() {
    let mut desk = Desk::town();
    small_bucket(&mut desk, 60, 4);
    for number in 1..=3 {
        desk.one(take(request(number, bob(), 1)));
    }
    assert_eq!(desk.status(take(request(4, bob(), 1))), Status::Undecided);
    assert_eq!(desk.refusal(take(request(5, bob(), 1))), Refusal::PayerBusy, "each of the four may be refused yet");
    for number in 1..=4 {
        desk.one(said(number, Finding::Held, Finding::Held));
        for side in clearing::Side::BOTH {
            desk.one(Command::Delivered { id: id(number), side, epoch: epoch(1) });
        }
    }
    for number in 11..1_000 {
        assert_eq!(desk.status(take(request(number, bob(), 1))), Status::Undecided);
        desk.one(said(number, Finding::Held, Finding::Held));
        for side in clearing::Side::BOTH {
            desk.one(Command::Delivered { id: id(number), side, epoch: epoch(1) });
        }
    }
}

#[test]
fn a_bank_that_is_away_costs_its_customers_no_token() {
    let mut desk = Desk::town();
    small_bucket(&mut desk, 1, 2);
    for number in 1..=10 {
        desk.one(take(request(number, bob(), 1)));
        desk.clock_ms += 2_000;
        assert!(matches!(
            desk.status(Command::TimeOut { id: id(number) }),
            Status::Refused { reason: Reason::BankUnavailable, .. }
        ));
        for side in clearing::Side::BOTH {
            desk.one(Command::Delivered { id: id(number), side, epoch: epoch(1) });
        }
    }
}

#[test]
fn buckets_that_are_full_again_are_forgotten() {
    let mut desk = Desk::town();
    let mut most = 0;
    for number in 0..200_u128 {
        let name = format!("customer-{number}");
        desk.one(open(100 + number, customer(&name, "alpha"), 10_000_000));
        let session = session(100 + number);
        desk.one(take(PaymentRequest { session, ..request(1_000 + number, customer("x", "nowhere"), 1) }));
        desk.clock_ms += 700;
        let kept = folded(&desk.journal.records).keys().filter(|key| key[0] == b'F').count();
        most = most.max(kept);
    }
    assert!(most <= 3, "{most} buckets were kept, where at most two were not full");
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
}

#[test]
fn whoever_signs_out_each_time_can_always_sign_in_again_and_little_is_kept() {
    let mut desk = Desk::town();
    let alice = customer("alice", "alpha");
    for number in 0..3_000 {
        // One in four seconds, for more than three hours, with tokens of an hour.
        desk.clock_ms += 4_000;
        let expires_ms = desk.clock_ms + 3_600_000;
        let opened = desk.one(open(1_000 + number, alice, expires_ms));
        assert!(matches!(opened, Answer::Done { .. }), "sign-in {number}: {opened:?}");
        desk.one(Command::EndSession { session: session(1_000 + number) });
    }
    let kept = folded(&desk.journal.records).keys().filter(|key| key[0] == b'U').count();
    assert!(kept <= 64 + 160, "{kept} sessions are kept: ended ones of ten minutes, and 64");
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
}

#[test]
fn many_sign_ins_in_a_moment_are_open_to_whoever_signs_out() {
    let mut desk = Desk::town();
    let alice = customer("alice", "alpha");
    for number in 0..200 {
        let opened = desk.one(open(1_000 + number, alice, 3_600_000));
        assert!(matches!(opened, Answer::Done { .. }), "sign-in {number}: {opened:?}");
        desk.one(Command::EndSession { session: session(1_000 + number) });
    }
}

#[test]
fn a_sign_in_that_was_ended_and_forgotten_is_not_opened_by_a_late_repetition() {
    let mut desk = Desk::town();
    let alice = customer("alice", "alpha");
    let first =
        Command::OpenSession { session: session(500), customer: alice, expires_ms: 9_000_000, open_by_ms: 31_000 };
    desk.one(first);
    desk.one(Command::EndSession { session: session(500) });
    desk.clock_ms += 11 * 60_000;
    for number in 0..100 {
        desk.one(open(1_000 + number, alice, 9_000_000));
        desk.one(Command::EndSession { session: session(1_000 + number) });
    }
    assert!(desk.clearing.session(session(500)).is_none(), "it is forgotten by now");
    assert_eq!(desk.refusal(first), Refusal::DeadlinePassed);
}
