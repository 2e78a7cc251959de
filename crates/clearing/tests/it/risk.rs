//! A payment that a restored gateway may have decided to post, while one of its banks stays silent: by hand it is void only at
//! a risk that the operator takes, and what comes of that is on record.

use clearing::outcome::Delivery;
use clearing::{
    Answer, Body, CallKind, Command, Finding, Outcome, Pair, Reason, Record, Refusal, Reported, Risk, Side, Status,
    Verdict, Word, agenda,
};

use crate::desk::*;

/// Of bank's incarnation 1.
fn report(number: u128, gateway: u32, debit: Option<Finding>, credit: Option<Finding>) -> Command {
    let said = |finding| Reported { epoch: epoch(1), finding };
    let found = Pair { debit: debit.map(said), credit: credit.map(said) };
    Command::Report { id: id(number), gateway: epoch(gateway), found }
}

/// Alice's payment of 1.00 to bob was undecided in the copy that the gateway was restored from.
fn restored_with_one_in_doubt() -> Desk {
    let mut desk = Desk::town();
    desk.one(take(request(1, customer("bob", "beta"), 100)));
    desk.begin_epoch(2);
    desk
}

fn voided(reason: Reason, delivery: Delivery) -> Status {
    Status::Refused { reason, delivery }
}

const AT_RISK: Reason = Reason::VoidedAtRisk;

#[test]
fn what_may_be_paid_is_void_by_hand_only_if_the_risk_is_taken() {
    let rows = [
        (None, None, Word::Silent, Word::Silent),
        (Some(Finding::Held), None, Word::Held, Word::Silent),
        (None, Some(Finding::Held), Word::Silent, Word::Held),
        (Some(Finding::Posted), None, Word::Posted, Word::Silent),
        (None, Some(Finding::Posted), Word::Silent, Word::Posted),
    ];
    for (debit, credit, debit_word, credit_word) in rows {
        let mut desk = restored_with_one_in_doubt();
        if debit.or(credit).is_some() {
            assert_eq!(desk.status(report(1, 2, debit, credit)), Status::Undecided);
        }
        desk.clock_ms = 600_000;
        let before = (desk.journal.records.len(), desk.clearing.digest());
        let said = Pair { debit: debit_word, credit: credit_word };
        assert_eq!(desk.refusal(void_by_hand(1, Risk::NotTaken)), Refusal::MayBePaid { said });
        assert_eq!((desk.journal.records.len(), desk.clearing.digest()), before, "a refusal leaves no trace");

        let pending = voided(AT_RISK, Delivery::Pending);
        let outcome = Outcome::Payment(pending);
        assert_eq!(desk.one(void_by_hand(1, Risk::Taken)), Answer::Done { outcome, replay: false });
        assert_eq!(desk.restored().digest(), desk.clearing.digest());
        let last = Record::decode(desk.journal.records.last().expect("it decided")).expect("the gateway wrote it");
        let Body::PaymentDecided(decided) = last.body else { panic!("no decision: {last:?}") };
        assert_eq!(decided.verdict, Verdict::Void(AT_RISK), "that the risk was taken is on record");
        assert_eq!(decided.operator.map(|name| name.as_str().to_owned()), Some("anna".to_owned()));
        assert_eq!(desk.clearing.listed().count(), 0, "nobody contradicts yet");
        let position = desk.clearing.positions().next().map(|(_, position)| *position).unwrap_or_default();
        assert_eq!((position.low_owes, position.reserved_low, position.reserved_high), (0, 0, 0));
        for again in [Risk::NotTaken, Risk::Taken] {
            assert_eq!(desk.one(void_by_hand(1, again)), Answer::Done { outcome, replay: true });
        }
        let call = agenda::calls(&desk.clearing, desk.clearing.payment(id(1)).expect("on its way"));
        assert_eq!(call.debit.map(|call| call.kind), Some(CallKind::AbortDebit));
        assert_eq!(call.credit.map(|call| call.kind), Some(CallKind::AbortCredit));
    }
}

#[test]
fn a_word_of_before_a_restore_does_not_count_as_an_answer() {
    let mut desk = restored_with_one_in_doubt();
    desk.one(report(1, 2, Some(Finding::Held), None));
    desk.one(register("alpha", 1, 2, u64::MAX));
    let silent = Pair { debit: Word::Silent, credit: Word::Silent };
    assert_eq!(desk.refusal(void_by_hand(1, Risk::NotTaken)), Refusal::MayBePaid { said: silent });
}

#[test]
fn where_nothing_is_at_risk_the_flag_changes_nothing() {
    let by_hand = voided(Reason::VoidedByOperator, Delivery::Pending);
    for risk in [Risk::NotTaken, Risk::Taken] {
        // Taken by a gateway that was never restored, and by a restored one after it had asked its banks.
        let mut desk = Desk::town();
        desk.one(take(request(1, customer("bob", "beta"), 100)));
        assert_eq!(desk.status(void_by_hand(1, risk)), by_hand);
        desk.begin_epoch(2);
        desk.one(take(request(2, customer("bob", "beta"), 100)));
        assert_eq!(desk.status(void_by_hand(2, risk)), by_hand);
        // Within one bank that bank has the word.
        desk.one(take(request(3, customer("carol", "alpha"), 100)));
        assert_eq!(desk.status(void_by_hand(3, risk)), Status::Undecided);
        let within = voided(Reason::VoidedByOperator, Delivery::Done);
        assert_eq!(desk.status(report(3, 2, Some(Finding::Voided), None)), within);
        // What is decided stays.
        desk.one(take(request(4, customer("bob", "beta"), 100)));
        desk.one(report(4, 2, Some(Finding::Held), Some(Finding::Held)));
        assert_eq!(desk.status(void_by_hand(4, risk)), Status::Paid { delivery: Delivery::Pending });
        assert_eq!(desk.restored().digest(), desk.clearing.digest());
    }
}

#[test]
fn a_bank_that_had_posted_it_is_listed_by_side_and_told_no_more_and_it_stays_void() {
    let mut desk = restored_with_one_in_doubt();
    desk.one(report(1, 2, Some(Finding::Held), None));
    desk.one(void_by_hand(1, Risk::Taken));
    // The money that was set aside is free, whatever the silent bank does.
    desk.one(Command::Delivered { id: id(1), side: Side::Debit, epoch: epoch(1) });
    assert!(!desk.clearing.payment(id(1)).expect("beta was not told").is_open_at(Side::Debit));
    let said_posted = report(1, 2, None, Some(Finding::Posted));
    let done = Outcome::Payment(voided(AT_RISK, Delivery::Done));
    assert_eq!(desk.one(said_posted), Answer::Done { outcome: done, replay: false });
    assert_eq!(desk.one(said_posted), Answer::Done { outcome: done, replay: true });
    assert_eq!(desk.clearing.payment_count(), 0, "nobody is asked or told anything more");
    assert_eq!(desk.clearing.contradicted().collect::<Vec<_>>(), [(id(1), Side::Credit)]);
    assert!(desk.clearing.is_listed(id(1)));
    assert_eq!(desk.clearing.bank(bank(2)).map(|beta| beta.open), Some(0));
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
    assert_eq!(desk.status(take(request(1, customer("bob", "beta"), 100))), voided(AT_RISK, Delivery::Done));
    // It stays void and listed in the next life as well, until somebody has seen it.
    desk.begin_epoch(3);
    assert_eq!(desk.clearing.contradicted().count(), 1);
    desk.one(Command::Acknowledge { id: id(1) });
    assert_eq!((desk.clearing.listed().count(), desk.clearing.contradicted().count()), (0, 0));
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
}

#[test]
fn both_banks_may_have_posted_it() {
    let mut desk = restored_with_one_in_doubt();
    desk.one(void_by_hand(1, Risk::Taken));
    let both = report(1, 2, Some(Finding::Posted), Some(Finding::Posted));
    assert_eq!(desk.status(both), voided(AT_RISK, Delivery::Done));
    let sides = [(id(1), Side::Debit), (id(1), Side::Credit)];
    assert_eq!(desk.clearing.contradicted().collect::<Vec<_>>(), sides);
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
    desk.one(Command::Acknowledge { id: id(1) });
    assert_eq!(desk.clearing.contradicted().count(), 0);
}

#[test]
fn what_a_bank_says_of_any_other_decision_is_on_record_as_before() {
    let mut desk = Desk::town();
    desk.one(take(request(1, customer("bob", "beta"), 100)));
    desk.one(void_by_hand(1, Risk::Taken));
    let records = desk.journal.records.len();
    let status = voided(Reason::VoidedByOperator, Delivery::Pending);
    assert_eq!(desk.status(report(1, 1, None, Some(Finding::Posted))), status);
    assert_eq!((desk.journal.records.len(), desk.clearing.contradicted().count()), (records, 0));
}
