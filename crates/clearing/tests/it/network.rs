//! Banks, sessions, keys, settlements; questions of banks; restores.

use clearing::outcome::Delivery;
use clearing::{
    Answer, CallKind, Command, Finding, Holder, KeyId, NamedParty, Outcome, Pair, Party, Reason, Refusal, Reported,
    Request, Seed, SettingChange, Side, Status, Terms, agenda,
};
use ledger::Currency;

use crate::desk::*;

fn bob() -> clearing::NamedParty {
    customer("bob", "beta")
}

fn report(number: u128, gateway: u32, debit: Finding, credit: Finding) -> Command {
    let said = |finding| Some(Reported { epoch: epoch(1), finding });
    Command::Report {
        id: id(number),
        gateway: epoch(gateway),
        found: Pair { debit: said(debit), credit: said(credit) },
    }
}

fn terms(number: u128) -> Terms {
    let request = request(number, bob(), 100);
    let clearing::PaymentRequest { id, payee, amount, currency, reference, .. } = request;
    Terms { id, payer: customer("alice", "alpha"), payee, amount, currency, reference }
}

fn resolve(bank: &str, number: u128) -> Command {
    Command::Resolve { bank: bank_name(bank), terms: terms(number), taker: node(2) }
}

fn call_kinds(desk: &Desk, number: u128) -> (Option<CallKind>, Option<CallKind>) {
    let payment = desk.clearing.payment(id(number)).expect("on its way");
    let calls = agenda::calls(&desk.clearing, payment);
    (calls.debit.map(|call| call.kind), calls.credit.map(|call| call.kind))
}

#[test]
fn a_banks_name_is_pinned_to_its_group_and_its_incarnations_rise() {
    let mut desk = Desk::town();
    let registered = |incarnation| Outcome::BankRegistered { number: bank(1), epoch: epoch(incarnation) };
    assert_eq!(desk.one(register("alpha", 1, 1, 0)), Answer::Done { outcome: registered(1), replay: true });
    assert_eq!(desk.refusal(register("alpha", 8, 9, 0)), Refusal::NameTaken);
    assert_eq!(desk.one(register("alpha", 1, 3, 0)), Answer::Done { outcome: registered(3), replay: false });
    assert_eq!(desk.refusal(register("alpha", 1, 2, 0)), Refusal::StaleEpoch { known: epoch(3) });
}

#[test]
fn a_restored_bank_is_asked_for_nothing_until_it_has_what_it_lacks() {
    let mut desk = Desk::town();
    desk.one(take(request(1, bob(), 100)));
    assert_eq!(call_kinds(&desk, 1), (Some(CallKind::PrepareDebit), Some(CallKind::PrepareCredit)));
    desk.one(register("beta", 2, 2, 0));
    assert_eq!(call_kinds(&desk, 1), (Some(CallKind::PrepareDebit), None));
    assert_eq!(desk.refusal(take(request(2, bob(), 100))), Refusal::BankRestoring { bank: bank(2) });
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
    desk.one(Command::BankCaughtUp { name: bank_name("beta"), epoch: epoch(2) });
    assert_eq!(desk.status(take(request(2, bob(), 100))), Status::Undecided);
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
    // One whose books have its newest payment lacks nothing.
    let newest = desk.clearing.banks()[1].last_number;
    desk.one(register("beta", 2, 3, newest));
    assert_eq!(desk.clearing.banks()[1].standing, clearing::bank::Standing::Live);
}

#[test]
fn a_second_sign_in_is_allowed_and_one_too_many_ends_the_oldest() {
    let mut desk = Desk::town();
    desk.one(Command::ChangeSetting {
        expected_version: 0,
        change: SettingChange::SessionsPerCustomer { sessions: 2 },
    });
    let alice = customer("alice", "alpha");
    let party = Party { bank: bank(1), holder: alice.holder };
    let live = |desk: &Desk| -> Vec<u128> {
        desk.clearing.live_sessions(&party, desk.clock_ms).map(|(id, _)| id.get()).collect()
    };
    desk.clock_ms = 2_000;
    let opened = |ended_instead| Outcome::SessionOpened { ended_instead };
    assert_eq!(desk.one(open(10, alice, 90_000)), Answer::Done { outcome: opened(None), replay: false });
    assert_eq!(live(&desk), [1, 10]);
    let answer = desk.one(open(11, alice, 90_000));
    assert_eq!(answer, Answer::Done { outcome: opened(Some(session(1))), replay: false });
    assert_eq!(live(&desk), [10, 11]);
    assert_eq!(desk.refusal(take(request(1, bob(), 1))), Refusal::SessionEnded);
    assert!(matches!(desk.one(open(11, alice, 90_000)), Answer::Done { replay: true, .. }));
    desk.one(Command::EndSession { session: session(11) });
    assert!(matches!(desk.one(open(11, alice, 90_000)), Answer::Done { replay: true, .. }));
    assert_eq!(live(&desk), [10], "a late repetition opens nothing again");
    // What is over is forgotten, and cannot come back either.
    desk.clock_ms = 90_000;
    desk.one(open(12, alice, 99_000));
    assert_eq!(desk.clearing.session(session(11)), None);
    assert_eq!(desk.refusal(open(11, alice, 90_000)), Refusal::Expired);
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
}

#[test]
fn a_payment_goes_on_when_its_session_ends() {
    let mut desk = Desk::town();
    desk.one(take(request(1, bob(), 100)));
    desk.one(Command::EndSession { session: session(1) });
    assert!(matches!(desk.status(report(1, 1, Finding::Held, Finding::Held)), Status::Paid { .. }));
}

#[test]
fn a_retired_key_stays_retired() {
    let mut desk = Desk::town();
    let key = KeyId::new(5).expect("not zero");
    let add = Command::AddKey { key, node: node(1), public: [7; 32], expires_ms: 50_000 };
    desk.one(add);
    assert_eq!(desk.clearing.keys(1_000).count(), 1);
    let other = Command::AddKey { key, node: node(2), public: [7; 32], expires_ms: 50_000 };
    assert_eq!(desk.refusal(other), Refusal::IdReused);
    desk.one(Command::RetireKey { key });
    assert!(matches!(desk.one(add), Answer::Done { replay: true, .. }));
    assert_eq!(desk.clearing.keys(1_000).count(), 0);
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
    desk.clock_ms = 50_000;
    assert_eq!(desk.refusal(add_at(key, 50_000)), Refusal::IdReused);
    let next = KeyId::new(6).expect("not zero");
    desk.one(add_at(next, 90_000));
    assert_eq!(desk.refusal(add), Refusal::Expired, "it was forgotten with its time, and cannot come back");
}

fn add_at(key: KeyId, expires_ms: u64) -> Command {
    Command::AddKey { key, node: node(3), public: [9; 32], expires_ms }
}

#[test]
fn a_settlement_is_a_payment_back_and_never_more_than_is_owed() {
    let mut desk = Desk::town();
    desk.one(take(request(1, bob(), 100)));
    desk.one(report(1, 1, Finding::Held, Finding::Held));
    let settle = |number, minor| Command::Settle {
        id: id(number),
        debtor: bank_name("alpha"),
        creditor: bank_name("beta"),
        amount: cents(minor),
        currency: Currency::EUR,
        taker: node(1),
    };
    assert_eq!(desk.refusal(settle(2, 101)), Refusal::MoreThanOwed { owed: 100 });
    assert_eq!(desk.status(settle(2, 60)), Status::Undecided);
    assert_eq!(desk.refusal(settle(3, 41)), Refusal::MoreThanOwed { owed: 40 });
    assert!(matches!(desk.status(settle(2, 60)), Status::Undecided));
    assert_eq!(desk.refusal(settle(2, 61)), Refusal::IdReused);
    assert!(matches!(desk.status(report(2, 1, Finding::Held, Finding::Held)), Status::Paid { .. }));
    let (_, position) = desk.clearing.positions().next().expect("they owe each other");
    assert_eq!(position.low_owes, 40);
}

#[test]
fn a_bank_that_asks_early_is_told_not_yet_and_late_that_it_is_void() {
    let mut desk = Desk::town();
    desk.one(take(request(1, bob(), 100)));
    assert_eq!(desk.refusal(resolve("gamma", 1)), Refusal::NotYours);
    assert_eq!(desk.status(resolve("beta", 1)), Status::Undecided);
    desk.clock_ms = 3_000;
    let void = Status::Refused { reason: Reason::BankUnavailable, delivery: Delivery::Pending };
    assert_eq!(desk.status(resolve("beta", 1)), void);
    assert_eq!(desk.status(resolve("alpha", 1)), void);
}

#[test]
fn an_id_that_nobody_knows_is_asked_for_at_both_banks() {
    let refused = Finding::Refused(Reason::UnknownPayee);
    let (paid, void) = ("paid", "void");
    let rows = [
        (Finding::Posted, Finding::Held, paid, false),
        (Finding::Held, Finding::Posted, paid, false),
        (Finding::Posted, Finding::Posted, paid, false),
        (Finding::Held, Finding::Held, paid, true),
        (Finding::Posted, Finding::NotFound, void, true),
        (Finding::NotFound, Finding::Posted, void, true),
        (Finding::Voided, Finding::Posted, void, true),
        (Finding::Posted, refused, void, true),
        (Finding::Held, Finding::Voided, void, false),
        (Finding::Held, Finding::NotFound, void, false),
        (Finding::NotFound, Finding::Held, void, false),
        (Finding::Held, refused, void, false),
        (Finding::NotFound, Finding::NotFound, void, false),
    ];
    for (debit, credit, expected, is_listed) in rows {
        let mut desk = Desk::town();
        desk.begin_epoch(2);
        assert_eq!(desk.status(resolve("alpha", 1)), Status::Undecided);
        assert_eq!(
            call_kinds(&desk, 1),
            (Some(CallKind::HoldStatus(Side::Debit)), Some(CallKind::HoldStatus(Side::Credit)))
        );
        desk.clock_ms = 100_000;
        assert_eq!(desk.status(Command::TimeOut { id: id(1) }), Status::Undecided, "no time is long enough");
        assert_eq!(desk.restored().digest(), desk.clearing.digest());
        let word = match desk.status(report(1, 2, debit, credit)) {
            Status::Paid { .. } => paid,
            Status::Refused { .. } => void,
            Status::Undecided => "undecided",
        };
        assert_eq!(word, expected, "{debit:?} {credit:?}");
        assert_eq!(desk.clearing.listed().count(), usize::from(is_listed));
        desk.one(Command::Acknowledge { id: id(1) });
        assert_eq!(desk.clearing.listed().count(), 0);
        assert_eq!(desk.restored().digest(), desk.clearing.digest());
    }
}

#[test]
fn the_word_of_one_bank_is_enough_only_where_the_other_and_the_gateway_were_both_restored() {
    let said = |number, finding| Some(Reported { epoch: epoch(number), finding });
    // In which incarnation of the gateway the payer's bank came back from a backup.
    for (restored_in, is_believed) in [(None, false), (Some(1), false), (Some(2), true)] {
        let mut desk = Desk::town();
        let mut incarnation = 1;
        for gateway in [1, 2] {
            if gateway == 2 {
                desk.one(Command::BeginEpoch { epoch: epoch(2) });
            }
            if restored_in == Some(gateway) {
                incarnation = 2;
                desk.one(register("alpha", 1, incarnation, 0));
            }
        }
        // Alpha lacks nothing that the gateway knows of, so it takes part at once.
        assert_eq!(desk.status(resolve("beta", 1)), Status::Undecided);
        let found = Pair { debit: said(incarnation, Finding::NotFound), credit: said(1, Finding::Posted) };
        let status = desk.status(Command::Report { id: id(1), gateway: epoch(2), found });
        assert_eq!(matches!(status, Status::Paid { .. }), is_believed, "{restored_in:?}: {status:?}");
        assert_eq!(desk.clearing.listed().count(), 1);
        assert_eq!(desk.restored().digest(), desk.clearing.digest());
        let calls = agenda::calls(&desk.clearing, desk.clearing.payment(id(1)).expect("on its way"));
        let booking = calls.debit.expect("it is told").booking;
        assert_eq!(booking == agenda::Booking::Replayed, is_believed);
    }
}

#[test]
fn a_gateway_that_has_forgotten_nothing_takes_no_payment_from_a_bank() {
    let mut desk = Desk::town();
    let void = Status::Refused { reason: Reason::NotHeldAtBoth, delivery: Delivery::Done };
    let records = desk.journal.records.len();
    assert_eq!(desk.status(resolve("beta", 1)), void);
    assert_eq!((desk.journal.records.len(), desk.clearing.payment_count()), (records, 0), "nothing is kept of it");
}

#[test]
fn no_bank_lifts_its_incarnation_out_of_everybodys_reach() {
    let mut desk = Desk::town();
    assert_eq!(desk.refusal(register("alpha", 1, u32::MAX, 0)), Refusal::EpochTooFar { known: epoch(1) });
    assert_eq!(desk.refusal(register("alpha", 1, 18, 0)), Refusal::EpochTooFar { known: epoch(1) });
    desk.one(register("alpha", 1, 17, 0));
    assert_eq!(desk.clearing.banks()[0].epoch, epoch(17));
    // Nor step by step: from then on one in an hour of the log's time.
    let too_far = Refusal::EpochTooFar { known: epoch(17) };
    assert_eq!(desk.refusal(register("alpha", 1, 18, 0)), too_far);
    assert!(matches!(desk.one(register("alpha", 1, 17, 0)), Answer::Done { replay: true, .. }));
    desk.clearing = desk.restored();
    desk.clock_ms += 3_600_000 - 1;
    assert_eq!(desk.refusal(register("alpha", 1, 18, 0)), too_far);
    desk.clock_ms += 1;
    assert_eq!(desk.refusal(register("alpha", 1, 19, 0)), too_far);
    desk.one(register("alpha", 1, 18, 0));
    desk.one(register("beta", 2, 17, 0));
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
}

#[test]
fn a_bank_that_contradicts_without_end_has_none_of_its_payments_taken_and_nobody_else_is_hindered() {
    let mut desk = Desk::town();
    let contradicted = |desk: &mut Desk, number: u128| {
        if desk.one(take(request(number, bob(), 1))).status() != Some(Status::Undecided) {
            return false;
        }
        desk.status(report(number, 1, Finding::Held, Finding::Posted));
        for side in Side::BOTH {
            desk.one(Command::Delivered { id: id(number), side, epoch: epoch(1) });
        }
        true
    };
    let most = (1..20_000).take_while(|number| contradicted(&mut desk, *number)).count();
    assert_eq!((most, desk.clearing.listed().count()), (10_000, 10_000));
    assert_eq!(desk.refusal(take(request(20_000, bob(), 1))), Refusal::BankBusy { bank: bank(2) });
    desk.clearing = desk.restored();
    let carol = customer("carol", "alpha");
    assert_eq!(desk.status(take(request(20_001, carol, 1))), Status::Undecided, "within the other bank");
    desk.clock_ms += 10_000;
    assert_eq!(desk.status(take(request(20_002, bob(), 1))), Status::Undecided);
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
}

#[test]
fn two_banks_that_make_payments_up_between_them_have_ten_thousand_listed_and_more_only_in_time() {
    let mut desk = Desk::town();
    desk.begin_epoch(2);
    let told = |number| Command::Resolve { bank: bank_name("alpha"), terms: terms(number), taker: node(1) };
    let listed = |desk: &mut Desk, number: u128| {
        if desk.one(told(number)).status() != Some(Status::Undecided) {
            return false;
        }
        let held = report(number, 2, Finding::Held, Finding::Held);
        assert!(matches!(desk.status(held), Status::Paid { .. }));
        for side in Side::BOTH {
            desk.one(Command::Delivered { id: id(number), side, epoch: epoch(1) });
        }
        true
    };
    let most = (1..20_000).take_while(|number| listed(&mut desk, *number)).count();
    assert_eq!((most, desk.clearing.listed_count()), (10_000, 10_000));
    assert!(matches!(desk.refusal(told(20_000)), Refusal::BankBusy { .. }));
    desk.clearing = desk.restored();
    assert_eq!(desk.status(take(request(20_001, bob(), 1))), Status::Undecided, "their customers pay");
    // And are told of a limit, which a restored gateway says only when both banks were asked.
    let limit = SettingChange::PaymentLimit { currency: Currency::EUR, limit: Some(cents(5)) };
    desk.one(Command::ChangeSetting { expected_version: 0, change: limit });
    assert_eq!(desk.status(take(request(20_003, bob(), 6))), Status::Undecided);
    desk.clock_ms += 10_000;
    assert!(listed(&mut desk, 20_002));
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
}

#[test]
fn however_much_a_recall_posts_and_lists_nothing_else_is_refused_for_it() {
    let mut desk = Desk::town();
    desk.one(Command::BeginEpoch { epoch: epoch(2) });
    for number in 1..=10_100 {
        desk.one(Command::Resolve { bank: bank_name("alpha"), terms: terms(number), taker: node(1) });
        let held = report(number, 2, Finding::Held, Finding::Held);
        assert!(matches!(desk.status(held), Status::Paid { .. }));
        for side in Side::BOTH {
            desk.one(Command::Delivered { id: id(number), side, epoch: epoch(1) });
        }
    }
    for name in ["alpha", "beta", "gamma"] {
        desk.one(Command::BankRecalled { name: bank_name(name), epoch: epoch(2) });
    }
    assert_eq!(desk.clearing.listed_count(), 10_100);
    let stray = Command::Resolve { bank: bank_name("alpha"), terms: terms(20_000), taker: node(1) };
    assert_eq!(desk.status(stray), Status::Undecided, "an old hold comes to its end");
}

#[test]
fn banks_that_let_everybody_in_take_no_place_from_another_banks_customers() {
    let mut desk = Desk::town();
    let mut session_number = 100_u128;
    let mut fill = |desk: &mut Desk, bank: &str, at_most: usize| {
        let mut opened = 0;
        while opened < at_most {
            let invented = |number: u128| open(number, customer(&format!("c{number}"), bank), 10_000_000);
            let some = (at_most - opened).min(4_000) as u128;
            let commands = (session_number..session_number + some).map(invented).collect();
            session_number += some;
            let answers = desk.all(&Request { commands });
            let done = answers.iter().filter(|answer| matches!(answer, Answer::Done { .. })).count();
            opened += done;
            if done < answers.len() {
                assert!(answers.contains(&Answer::Refused(Refusal::Full)));
                break;
            }
        }
        opened
    };
    // Five sessions are there already.
    assert_eq!(fill(&mut desk, "gamma", usize::MAX), 249_999);
    for name in ["delta", "epsilon"] {
        desk.one(register(name, name.len() as u128 * 31 + u128::from(name.as_bytes()[0]), 1, 0));
        assert_eq!(fill(&mut desk, name, 500), 500, "{name}");
    }
    assert_eq!(fill(&mut desk, "beta", 400), 400, "whose customers had sessions before");
}

/// Who is to be asked by itself about whom.
fn unasked_with(desk: &Desk) -> Vec<(clearing::BankName, clearing::BankName)> {
    desk.clearing.to_recall_with().map(|(bank, other, _)| (bank.name, other.name)).collect()
}

#[test]
fn a_restored_bank_that_the_gateway_does_not_know_has_the_others_asked_about_it_and_stops_nobody_else() {
    let mut desk = Desk::town();
    desk.begin_epoch(2);
    let unasked = |desk: &Desk| desk.clearing.to_recall().map(|(bank, _)| bank.name).collect::<Vec<_>>();
    desk.one(register("delta", 4, 1, 0));
    assert_eq!(unasked(&desk), [bank_name("delta")], "it was never restored, and tells of everything itself");
    assert!(unasked_with(&desk).is_empty());
    desk.one(Command::BankRecalled { name: bank_name("delta"), epoch: epoch(2) });
    desk.one(register("epsilon", 5, 2, 0));
    assert_eq!(unasked(&desk), [bank_name("epsilon")]);
    let pairs = ["alpha", "beta", "gamma", "delta"].map(|name| (bank_name(name), bank_name("epsilon")));
    assert_eq!(unasked_with(&desk), pairs);
    assert!(desk.clearing.to_recall_with().all(|(_, _, recall)| recall.complete_through == 0), "of all that ever was");
    desk.one(Command::BankRecalled { name: bank_name("epsilon"), epoch: epoch(2) });
    desk.clearing = desk.restored();
    // Alpha's customer pays whom she likes, but nobody there: what alpha and it owe each other is not known.
    assert_eq!(desk.status(take(request(1, bob(), 1))), Status::Undecided);
    let eve = customer("eve", "epsilon");
    assert_eq!(desk.refusal(take(request(2, eve, 1))), Refusal::BankRestoring { bank: bank(1) });
    // What alpha tells meanwhile of payments with it may be what both had lost; of payments with others it may not.
    let resolve = |number, payee| {
        let terms = Terms { payee, ..terms(number) };
        Command::Resolve { bank: bank_name("alpha"), terms, taker: node(1) }
    };
    let posted_and_lost = |number, incarnation| {
        let said = |incarnation, finding| Some(Reported { epoch: epoch(incarnation), finding });
        let found = Pair { debit: said(1, Finding::Posted), credit: said(incarnation, Finding::NotFound) };
        Command::Report { id: id(number), gateway: epoch(2), found }
    };
    desk.one(register("beta", 2, 2, u64::MAX));
    for number in [3, 4] {
        desk.one(resolve(number, if number == 3 { eve } else { bob() }));
    }
    assert!(matches!(desk.status(posted_and_lost(3, 2)), Status::Paid { .. }));
    assert!(matches!(desk.status(posted_and_lost(4, 2)), Status::Refused { .. }), "alpha has told of beta");
    desk.one(Command::BankRecalledWith { name: bank_name("alpha"), other: bank_name("epsilon"), epoch: epoch(2) });
    assert_eq!(unasked_with(&desk), pairs[1..]);
    assert_eq!(desk.status(take(request(2, eve, 1))), Status::Undecided);
    desk.one(resolve(5, eve));
    assert!(matches!(desk.status(posted_and_lost(5, 2)), Status::Refused { .. }), "that is over");
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
}

#[test]
fn what_finds_no_room_at_another_bank_is_told_later_and_keeps_nothing_else_waiting() {
    let mut desk = Desk::town();
    desk.one(Command::BeginEpoch { epoch: epoch(2) });
    let with = |name: &str, other: &str| Command::RecallWith {
        name: bank_name(name),
        other: bank_name(other),
        epoch: epoch(2),
    };
    let stale = Command::RecallWith { name: bank_name("alpha"), other: bank_name("beta"), epoch: epoch(1) };
    assert_eq!(desk.refusal(stale), Refusal::StaleEpoch { known: epoch(2) });
    desk.one(with("alpha", "beta"));
    for name in ["alpha", "beta", "gamma"] {
        desk.one(Command::BankRecalled { name: bank_name(name), epoch: epoch(2) });
    }
    desk.one(with("alpha", "gamma"));
    assert_eq!(unasked_with(&desk), [(bank_name("alpha"), bank_name("beta"))], "alpha has told of gamma");
    assert_eq!(desk.status(take(request(1, customer("eve", "gamma"), 1))), Status::Undecided);
    assert_eq!(desk.status(take(request(2, customer("carol", "alpha"), 1))), Status::Undecided);
    assert_eq!(desk.refusal(take(request(3, bob(), 1))), Refusal::BankRestoring { bank: bank(1) });
    // Another restore forgets nothing of that, and asks for as much.
    let recall = |desk: &Desk| desk.clearing.to_recall_with().map(|(.., recall)| recall).collect::<Vec<_>>();
    let before = recall(&desk);
    desk.begin_epoch(3);
    assert_eq!(recall(&desk), before);
    desk.one(Command::BankRecalledWith { name: bank_name("alpha"), other: bank_name("beta"), epoch: epoch(3) });
    assert_eq!(desk.status(take(request(3, bob(), 1))), Status::Undecided);
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
}

#[test]
fn of_a_banks_own_money_one_bank_alone_moves_no_more_than_it_is_owed() {
    let mut desk = Desk::town();
    desk.begin_epoch(2);
    desk.one(register("beta", 2, 2, u64::MAX));
    let house = |name: &str| NamedParty { bank: bank_name(name), holder: Holder::House };
    let terms = |number, payer, payee| Terms { payer, payee, ..terms(number) };
    let invented = [terms(1, house("beta"), customer("x", "alpha")), terms(2, house("beta"), house("alpha"))];
    for terms in invented {
        let id = terms.id;
        desk.one(Command::Resolve { bank: bank_name("alpha"), terms, taker: node(2) });
        let said = |incarnation, finding| Some(Reported { epoch: epoch(incarnation), finding });
        let found = Pair { debit: said(2, Finding::NotFound), credit: said(1, Finding::Posted) };
        let status = desk.status(Command::Report { id, gateway: epoch(2), found });
        assert!(matches!(status, Status::Refused { .. }), "{status:?}");
    }
}

#[test]
fn a_key_names_one_request_of_its_customer() {
    let mut desk = Desk::town();
    let claim = |number, key, digest, base| Command::ClaimKey { session: session(number), key, digest, base };
    let claimed = |base, replay| Answer::Done { outcome: Outcome::KeyClaimed { base }, replay };
    assert_eq!(desk.one(claim(1, 5, 6, 7)), claimed(7, false));
    assert_eq!(desk.one(claim(1, 5, 6, 8)), claimed(7, true), "the first base stays");
    assert_eq!(desk.refusal(claim(1, 5, 9, 8)), Refusal::KeyReused);
    assert_eq!(desk.refusal(claim(99, 5, 6, 7)), Refusal::NoSession);
    // A key has nothing to do with a payment of the same number.
    assert_eq!(desk.status(take(request(5, bob(), 100))), Status::Undecided);
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
}

#[test]
fn a_gateway_that_has_forgotten_a_key_makes_the_same_ids_of_it() {
    let mut desk = Desk::town();
    let keep = |number| Command::KeepSeed { seed: Seed::new([number; 32]) };
    let kept = |replay| Answer::Done { outcome: Outcome::SeedKept, replay };
    assert!(!desk.clearing.has_seed());
    assert_eq!(desk.one(keep(1)), kept(false));
    assert_eq!(desk.one(keep(2)), kept(true), "the first one stays");
    let claim = |number, key, base| Command::ClaimKey { session: session(number), key, digest: 6, base };
    let base_of = |desk: &mut Desk, number, key, base| match desk.one(claim(number, key, base)) {
        Answer::Done { outcome: Outcome::KeyClaimed { base }, .. } => base,
        refused => panic!("{refused:?}"),
    };
    let mut copy = desk.clone();
    copy.clearing = copy.restored();
    let first = base_of(&mut desk, 1, 5, 7);
    assert_eq!(base_of(&mut copy, 1, 5, 8), first, "the copy was made before");
    assert_ne!(base_of(&mut copy, 1, 6, 8), first);
    // A gateway with another secret: nobody foretells the ids who does not know it.
    let mut other = Desk::town();
    other.one(keep(2));
    assert_ne!(base_of(&mut other, 1, 5, 7), first);
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
}

#[test]
fn half_of_what_the_banks_say_decides_nothing_of_an_unknown_id() {
    let mut desk = Desk::town();
    desk.begin_epoch(2);
    desk.one(resolve("alpha", 1));
    let said = |finding| Some(Reported { epoch: epoch(1), finding });
    let half = |debit, credit| Command::Report { id: id(1), gateway: epoch(2), found: Pair { debit, credit } };
    assert_eq!(desk.status(half(said(Finding::Held), None)), Status::Undecided);
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
    assert!(matches!(desk.status(half(None, said(Finding::NotFound))), Status::Refused { .. }));
}

#[test]
fn a_bank_that_makes_up_payments_and_stays_silent_keeps_nobody_busy() {
    let mut desk = Desk::town();
    desk.begin_epoch(2);
    desk.one(Command::ChangeSetting { expected_version: 0, change: SettingChange::OpenPerBank { payments: 1 } });
    let said = |finding| Some(Reported { epoch: epoch(1), finding });
    let refused = Finding::Refused(Reason::AccountClosed);
    for (number, finding) in (1..).zip([Finding::NotFound, Finding::Voided, refused]) {
        // Gamma asks, and says nothing more; alpha's customer is named as the payer and ordered nothing.
        let made_up = Terms { payee: customer("bob", "gamma"), ..terms(number) };
        let resolve = Command::Resolve { bank: bank_name("gamma"), terms: made_up, taker: node(1) };
        assert_eq!(desk.status(resolve), Status::Undecided);
        let found = Pair { debit: said(finding), credit: None };
        let status = desk.status(Command::Report { id: id(number), gateway: epoch(2), found });
        assert!(matches!(status, Status::Refused { .. }), "{finding:?}: {status:?}");
        desk.one(Command::Delivered { id: id(number), side: Side::Debit, epoch: epoch(1) });
        assert_eq!(desk.clearing.bank(bank(1)).map(|alpha| alpha.open), Some(0));
        assert_eq!(desk.restored().digest(), desk.clearing.digest());
        desk.one(Command::Delivered { id: id(number), side: Side::Credit, epoch: epoch(1) });
    }
}

#[test]
fn a_restored_gateway_voids_nothing_that_it_may_have_posted() {
    let mut desk = Desk::town();
    desk.one(take(request(1, bob(), 100)));
    desk.one(report(1, 1, Finding::Held, Finding::NotFound));
    desk.begin_epoch(2);
    assert_eq!(desk.refusal(report(1, 1, Finding::Held, Finding::Held)), Refusal::StaleEpoch { known: epoch(2) });
    desk.clock_ms = 60_000;
    assert_eq!(desk.status(Command::TimeOut { id: id(1) }), Status::Undecided);
    assert_eq!(call_kinds(&desk, 1).0, Some(CallKind::HoldStatus(Side::Debit)), "the vote of before does not count");
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
    // Taken when the banks had told what may have been decided before, it is void like any other, and nobody waits for ever.
    desk.one(take(request(2, bob(), 100)));
    desk.clock_ms = 120_000;
    let timed_out = Status::Refused { reason: Reason::BankUnavailable, delivery: Delivery::Pending };
    assert_eq!(desk.status(Command::TimeOut { id: id(2) }), timed_out);
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
    assert_eq!(desk.status(Command::Cancel { request: request(3, bob(), 100), taker: node(1) }), Status::Undecided);
    assert!(matches!(desk.status(report(3, 2, Finding::Posted, Finding::Held)), Status::Paid { .. }));
}

#[test]
fn numbers_of_a_restored_gateway_begin_where_none_was_given() {
    let mut desk = Desk::town();
    desk.one(take(request(1, bob(), 100)));
    let before = desk.clearing.banks()[0].last_number;
    desk.begin_epoch(2);
    desk.one(take(request(2, bob(), 100)));
    assert_eq!((before, desk.clearing.banks()[0].last_number), (1, (1 << 40) + 1));
}

#[test]
fn every_slice_sees_its_own_and_together_they_leave_nothing_out() {
    let slices = |desk: &Desk| (0..4).map(|slice| desk.clearing.slice_digest(slice, 4)).collect::<Vec<_>>();
    let mut desk = Desk::town();
    for number in 8..12 {
        desk.one(take(request(number, bob(), 100)));
    }
    for number in 8..12u128 {
        let before = slices(&desk);
        desk.one(void_by_hand(number, clearing::Risk::NotTaken));
        let after = slices(&desk);
        let changed: Vec<u128> = (0..4).filter(|slice| before[*slice as usize] != after[*slice as usize]).collect();
        assert_eq!(changed, [number % 4]);
    }
}

#[test]
fn until_a_restored_gateway_has_asked_a_bank_it_takes_nothing_new_for_it() {
    let mut desk = Desk::town();
    for number in [1, 2] {
        desk.one(take(request(number, bob(), 100)));
    }
    // Of alpha and beta the first payment has come to its end, the second has not.
    come_to_its_end(&mut desk, 1, 1);
    let asked = |desk: &Desk| -> Vec<(u16, u32, u64)> {
        let to_recall = desk.clearing.to_recall();
        to_recall.map(|(bank, of)| (bank.number.get(), of.epoch.get(), of.complete_through)).collect()
    };
    assert_eq!(asked(&desk), [], "who was never restored has forgotten nothing");
    desk.one(Command::BeginEpoch { epoch: epoch(2) });
    let known = [(1, 1, 1), (2, 1, 1), (3, 1, 0)];
    assert_eq!(asked(&desk), known);
    // What is complete rises meanwhile; what is asked for does not.
    come_to_its_end(&mut desk, 2, 2);
    assert_eq!(asked(&desk), known);
    let recalled = |name, number| Command::BankRecalled { name: bank_name(name), epoch: epoch(number) };
    assert_eq!(desk.refusal(take(request(3, bob(), 100))), Refusal::BankRestoring { bank: bank(1) });
    assert_eq!(desk.refusal(recalled("alpha", 1)), Refusal::StaleEpoch { known: epoch(2) });
    desk.one(recalled("alpha", 2));
    assert_eq!(desk.refusal(take(request(3, bob(), 100))), Refusal::BankRestoring { bank: bank(2) });
    // It may have been posted, and forgotten here: whoever asks for its void waits for what beta tells.
    let cancel = Command::Cancel { request: request(3, bob(), 100), taker: node(1) };
    assert_eq!(desk.refusal(cancel), Refusal::BankRestoring { bank: bank(2) });
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
    // What was not asked in one incarnation is asked in the next, from where it would have been.
    desk.one(Command::BeginEpoch { epoch: epoch(3) });
    assert_eq!(asked(&desk), [(1, 2, 2), (2, 1, 1), (3, 1, 0)]);
    desk.one(register("delta", 4, 1, 0));
    assert_eq!(asked(&desk)[3], (4, 1, 0), "of whom nothing was known all is asked for");
    for name in ["alpha", "beta", "gamma"] {
        desk.one(recalled(name, 3));
    }
    assert_eq!(desk.clearing.to_recall().count(), 1, "whoever comes only now may have been there before");
    assert_eq!(desk.restored().digest(), desk.clearing.digest());
    assert_eq!(desk.status(take(request(3, bob(), 100))), Status::Undecided);
}

fn come_to_its_end(desk: &mut Desk, number: u128, gateway: u32) {
    desk.one(report(number, gateway, Finding::Held, Finding::Held));
    for side in Side::BOTH {
        desk.one(Command::Delivered { id: id(number), side, epoch: epoch(1) });
    }
}
