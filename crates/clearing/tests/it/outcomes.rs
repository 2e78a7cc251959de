//! One row for each outcome and refusal, and which check comes first where two would refuse.

use clearing::outcome::Delivery;
use clearing::{
    Answer, Command, Finding, Outcome, Pair, PaymentRequest, Reason, Refusal, Reported, Risk, SettingChange, Side,
    Status,
};
use ledger::{Amount, Currency, Reference};

use crate::desk::*;

fn bob() -> clearing::NamedParty {
    customer("bob", "beta")
}

fn found(number: u128, debit: Option<Finding>, credit: Option<Finding>) -> Command {
    let said = |finding| Reported { epoch: epoch(1), finding };
    Command::Report {
        id: id(number),
        gateway: epoch(1),
        found: Pair { debit: debit.map(said), credit: credit.map(said) },
    }
}

fn setting(expected_version: u64, change: SettingChange) -> Command {
    Command::ChangeSetting { expected_version, change }
}

fn cap(minor: u128) -> SettingChange {
    let (debtor, creditor) = (bank(1), bank(2));
    SettingChange::PairCap { debtor, creditor, currency: Currency::EUR, cap: Amount::new(minor) }
}

fn delivered(number: u128, side: Side) -> Command {
    Command::Delivered { id: id(number), side, epoch: epoch(1) }
}

fn refused(reason: Reason, delivery: Delivery) -> Status {
    Status::Refused { reason, delivery }
}

const PAID: Status = Status::Paid { delivery: Delivery::Pending };
const HELD: Option<Finding> = Some(Finding::Held);

/// Payment 1 of alice to bob over 1.00 is undecided, 2 was posted and delivered, 3 was refused.
fn with_payments() -> Desk {
    let mut desk = Desk::town();
    desk.one(take(request(1, bob(), 100)));
    desk.one(take(request(2, bob(), 200)));
    desk.one(found(2, HELD, HELD));
    desk.one(delivered(2, Side::Debit));
    desk.one(delivered(2, Side::Credit));
    desk.one(take(request(3, customer("bob", "nowhere"), 300)));
    desk
}

#[test]
fn what_leaves_no_record_and_burns_no_id() {
    let of = |session_number: u128| PaymentRequest { session: session(session_number), ..request(9, bob(), 1) };
    let overdue = Command::Take { request: of(1), deadline_ms: 1_000, taker: node(1) };
    let rows = [
        (take(of(77)), Refusal::NoSession),
        (take(of(4)), Refusal::SessionEnded),
        (take(of(5)), Refusal::SessionExpired),
        (Command::Cancel { request: of(77), taker: node(1) }, Refusal::NoSession),
        (overdue, Refusal::DeadlinePassed),
        (take(request(1, bob(), 101)), Refusal::IdReused),
        (take(request(1, customer("carol", "beta"), 100)), Refusal::IdReused),
        (take(PaymentRequest { session: session(3), ..request(1, bob(), 100) }), Refusal::IdReused),
        (take(request(2, bob(), 201)), Refusal::IdReused),
        (take(request(3, bob(), 300)), Refusal::IdReused),
        (
            take(PaymentRequest { reference: Reference::new("rent").expect("short"), ..request(1, bob(), 100) }),
            Refusal::IdReused,
        ),
        (Command::Cancel { request: request(1, bob(), 101), taker: node(1) }, Refusal::IdReused),
        (register("alpha", 9, 1, 0), Refusal::NameTaken),
        (Command::TimeOut { id: id(1) }, Refusal::TooEarly { vote_by_ms: 3_000 }),
        (Command::TimeOut { id: id(9) }, Refusal::UnknownPayment),
        (void_by_hand(9, Risk::NotTaken), Refusal::UnknownPayment),
        (void_by_hand(9, Risk::Taken), Refusal::UnknownPayment),
        (found(9, HELD, HELD), Refusal::UnknownPayment),
        (delivered(1, Side::Debit), Refusal::NotDecided),
        (setting(1, cap(1)), Refusal::VersionMismatch { actual: 0 }),
        (setting(0, SettingChange::VoteTimeout { ms: 49 }), Refusal::OutOfRange),
        (setting(0, SettingChange::VoteTimeout { ms: 60_001 }), Refusal::OutOfRange),
        (open(9, customer("alice", "nowhere"), 5_000), Refusal::UnknownBank),
        (open(9, customer("alice", "alpha"), 1_000), Refusal::Expired),
        (open(9, customer("alice", "alpha"), u64::MAX), Refusal::OutOfRange),
        (open(1, customer("bob", "beta"), 10_000_000), Refusal::IdReused),
        (Command::EndSession { session: session(77) }, Refusal::NoSession),
        (Command::BankCaughtUp { name: bank_name("alpha"), epoch: epoch(2) }, Refusal::StaleEpoch { known: epoch(1) }),
    ];
    for (command, refusal) in rows {
        let mut desk = with_payments();
        desk.one(open(4, customer("alice", "alpha"), 9_000));
        desk.one(Command::EndSession { session: session(4) });
        desk.one(open(5, customer("alice", "alpha"), 1_001));
        desk.clock_ms = if refusal == Refusal::SessionExpired { 1_001 } else { 1_000 };
        let before = (desk.journal.records.len(), desk.clearing.digest());
        assert_eq!(desk.refusal(command), refusal, "{command:?}");
        assert_eq!((desk.journal.records.len(), desk.clearing.digest()), before, "{command:?} left a trace");
    }
}

#[test]
fn what_is_refused_on_record_stays_refused() {
    let alice = customer("alice", "alpha");
    let limit = SettingChange::PaymentLimit { currency: Currency::EUR, limit: Amount::new(500) };
    let rows = [
        (request(9, customer("bob", "nowhere"), 1), Reason::UnknownBank),
        (request(9, alice, 1), Reason::OwnAccount),
        (request(9, bob(), 501), Reason::LimitExceeded { limit: cents(500) }),
        (request(9, bob(), 101), Reason::CapExceeded { cap: cents(400), owed: 300 }),
    ];
    for (request, reason) in rows {
        let mut desk = with_payments();
        desk.one(setting(0, limit));
        desk.one(setting(1, cap(400)));
        let status = refused(reason, Delivery::Done);
        assert_eq!(desk.status(take(request)), status);
        // Neither lifting what refused it nor a new bank changes an outcome.
        desk.one(setting(2, cap(0)));
        desk.one(setting(3, SettingChange::PaymentLimit { currency: Currency::EUR, limit: None }));
        desk.one(register("nowhere", 9, 1, 0));
        assert_eq!(desk.one(take(request)), Answer::Done { outcome: Outcome::Payment(status), replay: true });
        assert_eq!(desk.status(Command::Cancel { request, taker: node(1) }), status);
    }
}

#[test]
fn a_cap_bounds_what_is_owed_and_what_may_come_to_be() {
    let mut desk = with_payments();
    desk.one(setting(0, cap(400)));
    assert_eq!(desk.status(take(request(10, bob(), 100))), Status::Undecided, "2.00 owed, 1.00 and 1.00 on their way");
    assert!(matches!(desk.status(take(request(11, bob(), 1))), Status::Refused { .. }));
    desk.one(found(1, Some(Finding::Refused(Reason::AccountClosed)), None));
    assert_eq!(desk.status(take(request(12, bob(), 100))), Status::Undecided, "a void gives back what was reserved");
}

#[test]
fn the_banks_words_decide_and_the_first_decision_stands() {
    let funds = Reason::InsufficientFunds { available: 5 };
    let voided = |side| refused(Reason::VoidedAtBank { side }, Delivery::Pending);
    let contradicted = |side| refused(Reason::ContradictedByBank { side }, Delivery::Pending);
    let rows = [
        (HELD, HELD, PAID),
        (HELD, None, Status::Undecided),
        (None, HELD, Status::Undecided),
        (HELD, Some(Finding::NotFound), Status::Undecided),
        (Some(Finding::Posted), None, contradicted(Side::Debit)),
        (HELD, Some(Finding::Posted), contradicted(Side::Credit)),
        (Some(Finding::Posted), Some(Finding::Posted), contradicted(Side::Debit)),
        (HELD, Some(Finding::Voided), voided(Side::Credit)),
        (Some(Finding::Voided), HELD, voided(Side::Debit)),
        (Some(Finding::Refused(funds)), HELD, refused(funds, Delivery::Pending)),
        (HELD, Some(Finding::Refused(Reason::UnknownPayee)), refused(Reason::UnknownPayee, Delivery::Pending)),
        (Some(Finding::Refused(funds)), Some(Finding::Refused(Reason::UnknownPayee)), refused(funds, Delivery::Done)),
    ];
    for (debit, credit, status) in rows {
        let mut desk = with_payments();
        assert_eq!(desk.status(found(1, debit, credit)), status, "{debit:?} {credit:?}");
        if status != Status::Undecided {
            for other in [found(1, Some(Finding::Posted), HELD), found(1, HELD, Some(Finding::Voided))] {
                assert_eq!(desk.status(other), status, "the first decision stands");
            }
            desk.clock_ms = 60_000;
            assert_eq!(desk.status(Command::TimeOut { id: id(1) }), status);
            for risk in [Risk::NotTaken, Risk::Taken] {
                assert_eq!(desk.status(void_by_hand(1, risk)), status);
            }
            assert_eq!(desk.status(Command::Cancel { request: request(1, bob(), 100), taker: node(1) }), status);
        }
        assert_eq!(desk.restored().digest(), desk.clearing.digest());
    }
}

#[test]
fn lone_votes_are_kept_and_meet() {
    let mut desk = with_payments();
    assert_eq!(desk.status(found(1, HELD, None)), Status::Undecided);
    assert!(matches!(desk.one(found(1, HELD, None)), Answer::Done { replay: true, .. }));
    assert_eq!(desk.status(found(1, None, HELD)), PAID);
}

#[test]
fn a_vote_of_an_older_incarnation_does_not_count() {
    let mut desk = with_payments();
    desk.one(found(1, HELD, None));
    desk.one(register("alpha", 1, 2, 0));
    assert_eq!(desk.refusal(found(1, HELD, None)), Refusal::StaleEpoch { known: epoch(2) });
    assert_eq!(
        desk.status(found(1, HELD, HELD)),
        Status::Undecided,
        "the payee's vote is on record, the payer's is not"
    );
    assert_eq!(desk.status(found(1, None, HELD)), Status::Undecided);
    let said = Reported { epoch: epoch(2), finding: Finding::Held };
    let again = Command::Report { id: id(1), gateway: epoch(1), found: Pair { debit: Some(said), credit: None } };
    assert_eq!(desk.status(again), PAID);
    assert_eq!(desk.refusal(delivered(1, Side::Debit)), Refusal::StaleEpoch { known: epoch(2) });
}

#[test]
fn a_missing_vote_voids_when_the_time_is_over_and_not_before() {
    let mut desk = with_payments();
    desk.one(found(1, HELD, None));
    desk.clock_ms = 2_999;
    assert!(matches!(desk.refusal(Command::TimeOut { id: id(1) }), Refusal::TooEarly { .. }));
    desk.clock_ms = 3_000;
    assert_eq!(desk.status(Command::TimeOut { id: id(1) }), refused(Reason::BankUnavailable, Delivery::Pending));
    assert_eq!(desk.status(found(1, HELD, HELD)), refused(Reason::BankUnavailable, Delivery::Pending));
}

#[test]
fn a_decision_leaves_the_list_when_both_banks_have_acknowledged_it() {
    let mut desk = with_payments();
    desk.one(found(1, HELD, HELD));
    assert_eq!(desk.one(delivered(1, Side::Credit)), Answer::Done { outcome: Outcome::Delivered, replay: false });
    assert_eq!(desk.one(delivered(1, Side::Credit)), Answer::Done { outcome: Outcome::Delivered, replay: true });
    assert_eq!(desk.clearing.payment_count(), 1);
    desk.one(delivered(1, Side::Debit));
    assert_eq!(desk.clearing.payment_count(), 0);
    let done = Status::Paid { delivery: Delivery::Done };
    let again = desk.one(take(request(1, bob(), 100)));
    assert_eq!(again, Answer::Done { outcome: Outcome::Payment(done), replay: true });
    let (_, position) = desk.clearing.positions().next().expect("they owe each other");
    assert_eq!(position.low_owes, 300);
}

#[test]
fn within_one_bank_the_bank_has_the_word() {
    let rows = [
        (Some(Finding::Posted), Status::Paid { delivery: Delivery::Done }),
        (
            Some(Finding::Refused(Reason::UnknownPayee)),
            Status::Refused { reason: Reason::UnknownPayee, delivery: Delivery::Done },
        ),
        (Some(Finding::Voided), Status::Refused { reason: Reason::BankUnavailable, delivery: Delivery::Done }),
        (Some(Finding::NotFound), Status::Undecided),
    ];
    for (said, status) in rows {
        let mut desk = Desk::town();
        assert_eq!(desk.status(take(request(1, customer("carol", "alpha"), 100))), Status::Undecided);
        desk.clock_ms = 60_000;
        // However late it is, the gateway only asks for void.
        assert_eq!(desk.status(Command::TimeOut { id: id(1) }), Status::Undecided);
        assert_eq!(desk.restored().digest(), desk.clearing.digest());
        assert_eq!(desk.status(found(1, said, None)), status);
        assert_eq!(desk.clearing.positions().count(), 0);
    }
}

#[test]
fn the_payer_may_void_what_is_undecided_or_has_not_come() {
    let mut desk = with_payments();
    let cancel = |number, minor| Command::Cancel { request: request(number, bob(), minor), taker: node(1) };
    assert_eq!(desk.status(cancel(1, 100)), refused(Reason::VoidedByPayer, Delivery::Pending));
    // It stays void from when the payer's bank has it, whatever the payee's does.
    let is_at_payer = |desk: &Desk| desk.clearing.payment(id(1)).expect("on its way").is_open_at(Side::Debit);
    assert!(is_at_payer(&desk));
    desk.one(delivered(1, Side::Debit));
    assert!(!is_at_payer(&desk));
    assert_eq!(desk.status(cancel(2, 200)), Status::Paid { delivery: Delivery::Done });
    assert_eq!(desk.status(cancel(9, 100)), refused(Reason::VoidedByPayer, Delivery::Pending));
    let call = clearing::agenda::calls(&desk.clearing, desk.clearing.payment(id(9)).expect("on its way"));
    assert_eq!((call.debit.map(|call| call.kind), call.credit), (Some(clearing::CallKind::AbortDebit), None));
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
    desk.one(delivered(9, Side::Debit));
    let late = desk.one(take(request(9, bob(), 100)));
    let outcome = Outcome::Payment(refused(Reason::VoidedByPayer, Delivery::Done));
    assert_eq!(late, Answer::Done { outcome, replay: true });
}

#[test]
fn a_bank_with_too_much_open_is_asked_for_nothing_more_and_no_id_is_burnt() {
    let mut desk = with_payments();
    desk.one(setting(0, SettingChange::OpenPerBank { payments: 1 }));
    assert_eq!(desk.refusal(take(request(9, bob(), 1))), Refusal::BankBusy { bank: bank(1) });
    desk.one(found(1, HELD, HELD));
    assert_eq!(desk.refusal(take(request(9, bob(), 1))), Refusal::BankBusy { bank: bank(1) }, "undelivered counts");
    desk.one(delivered(1, Side::Debit));
    desk.one(delivered(1, Side::Credit));
    assert_eq!(desk.status(take(request(9, bob(), 1))), Status::Undecided);
}

#[test]
fn a_bank_that_never_acknowledges_is_busy_and_nobody_else_is() {
    let mut desk = Desk::town();
    desk.one(setting(0, SettingChange::OpenPerBank { payments: 4 }));
    desk.one(setting(1, SettingChange::OpenPerCustomer { payments: 1 }));
    desk.one(setting(2, SettingChange::RefusedPerCustomer { per_minute: 1, burst: 2 }));
    let of_gamma = |number| request(number, customer("bob", "gamma"), 1);
    for number in 1..=4 {
        assert_eq!(desk.status(take(of_gamma(number))), Status::Undecided, "{number}");
        desk.one(found(number, HELD, HELD));
        desk.one(delivered(number, Side::Debit));
    }
    for _ in 0..2 {
        assert_eq!(desk.refusal(take(of_gamma(5))), Refusal::BankBusy { bank: bank(3) });
        desk.clearing = desk.restored();
        clearing::invariant::check(&desk.clearing).expect("what was made again is sound");
    }
    // The payer's bank and the payer go on, and the bank is told that it has everything of before.
    assert_eq!(desk.status(take(request(6, bob(), 1))), Status::Undecided);
    let call = clearing::agenda::calls(&desk.clearing, desk.clearing.payment(id(6)).expect("on its way"));
    assert_eq!(call.debit.map(|call| call.complete_through), Some(4));
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
}

#[test]
fn one_payer_with_too_much_open_waits_and_nobody_else_does() {
    let mut desk = with_payments();
    desk.one(setting(0, SettingChange::OpenPerCustomer { payments: 1 }));
    assert_eq!(desk.refusal(take(request(9, bob(), 1))), Refusal::PayerBusy);
    let of_bob = PaymentRequest { session: session(2), payee: customer("alice", "alpha"), ..request(10, bob(), 1) };
    assert_eq!(desk.status(take(of_bob)), Status::Undecided);
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
}

#[test]
fn no_position_passes_its_bound_whatever_is_asked_for() {
    let mut desk = Desk::town();
    desk.one(setting(0, SettingChange::OpenPerBank { payments: 1_000_000 }));
    desk.one(setting(1, SettingChange::OpenPerCustomer { payments: 1_000_000 }));
    desk.one(setting(2, SettingChange::RefusedPerCustomer { per_minute: 60, burst: 1_000_000 }));
    let large = |number| PaymentRequest { amount: Amount::MAX, ..request(number, bob(), 1) };
    // 65,536 of the largest amounts are 65,536 cents below the bound.
    for number in 1..=65_536 {
        desk.slot += 1;
        let context = ledger::Context { slot: desk.slot, time_ms: 1_000 };
        let request = clearing::Request::single(take(large(number)));
        desk.clearing.apply_request(context, &request, &mut desk.journal);
    }
    assert_eq!(desk.clearing.payment_count(), 65_536);
    let status = desk.status(take(large(70_000)));
    assert!(matches!(status, Status::Refused { reason: Reason::CapExceeded { .. }, .. }), "{status:?}");
    let clearing::PaymentRequest { payee, amount, currency, reference, .. } = large(1);
    let payer = customer("alice", "alpha");
    let terms = clearing::Terms { id: id(70_001), payer, payee, amount, currency, reference };
    desk.one(Command::BeginEpoch { epoch: epoch(2) });
    let ask = Command::Resolve { bank: bank_name("beta"), terms, taker: node(1) };
    assert_eq!(desk.refusal(ask), Refusal::Full);
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
}
