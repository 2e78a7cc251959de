//! Scripted conversations of one driver: what it is told, and what it does next.

use clearing::{
    Action, CallKind, Command, Driver, Epoch, Finding, Pair, PaymentId, Reason, Reply, Reported, Risk, Side, agenda,
};

use crate::desk::*;

struct Talk {
    desk: Desk,
    driver: Driver,
    id: PaymentId,
}

impl Talk {
    /// A payment of alice's to somebody, just taken at 1,000 ms.
    fn about(payee: clearing::NamedParty) -> Talk {
        let mut desk = Desk::town();
        desk.one(take(request(1, payee, 100)));
        Talk { desk, driver: Driver::new(id(1)), id: id(1) }
    }

    fn says(&mut self, kind: CallKind, finding: Finding) -> Option<Action> {
        self.says_as(kind, finding, Epoch::FIRST, Epoch::FIRST)
    }

    fn says_as(&mut self, kind: CallKind, finding: Finding, gateway: Epoch, bank: Epoch) -> Option<Action> {
        self.driver.on_reply(&Reply { kind, gateway, said: Reported { epoch: bank, finding } })
    }

    fn poll(&mut self, now_ms: u64) -> Vec<Action> {
        self.desk.clock_ms = now_ms;
        self.driver.poll(&self.desk.clearing, now_ms)
    }

    fn calls(&mut self, now_ms: u64) -> Vec<CallKind> {
        let kind = |action: Action| match action {
            Action::Call(call) => call.kind,
            other => panic!("not a call: {other:?}"),
        };
        self.poll(now_ms).into_iter().map(kind).collect()
    }

    /// The one command that is proposed, carried out.
    fn proposes(&mut self, now_ms: u64) -> Command {
        let actions = self.poll(now_ms);
        let [Action::Propose(command)] = actions[..] else { panic!("not one proposal: {actions:?}") };
        self.desk.one(command);
        command
    }
}

fn bob() -> clearing::NamedParty {
    customer("bob", "beta")
}

fn held() -> Option<Reported> {
    Some(Reported { epoch: Epoch::FIRST, finding: Finding::Held })
}

#[test]
fn a_payment_that_goes_well() {
    let mut talk = Talk::about(bob());
    assert_eq!(talk.calls(1_000), [CallKind::PrepareDebit, CallKind::PrepareCredit]);
    assert_eq!(talk.poll(1_001), [], "both are asked, and nothing is due");
    talk.says(CallKind::PrepareDebit, Finding::Held);
    assert_eq!(talk.poll(1_002), [], "one vote decides nothing");
    talk.says(CallKind::PrepareCredit, Finding::Held);
    let found = Pair { debit: held(), credit: held() };
    assert_eq!(talk.proposes(1_003), Command::Report { id: talk.id, gateway: Epoch::FIRST, found });
    assert_eq!(talk.calls(1_004), [CallKind::CommitDebit, CallKind::CommitCredit]);
    talk.says(CallKind::CommitCredit, Finding::Posted);
    let delivered = |side| Command::Delivered { id: id(1), side, epoch: Epoch::FIRST };
    assert_eq!(talk.proposes(1_005), delivered(Side::Credit));
    talk.says(CallKind::CommitDebit, Finding::Posted);
    assert_eq!(talk.proposes(1_006), delivered(Side::Debit));
    assert_eq!(talk.poll(1_007), []);
    assert!(talk.driver.is_done());
}

#[test]
fn no_bank_hears_of_a_decision_that_is_not_chosen() {
    let mut talk = Talk::about(bob());
    talk.poll(1_000);
    talk.says(CallKind::PrepareDebit, Finding::Held);
    talk.says(CallKind::PrepareCredit, Finding::Held);
    // The proposal is lost again and again; it is made again, and nothing else is done.
    for now_ms in [1_010, 1_110, 1_310, 1_710, 2_510] {
        let actions = talk.poll(now_ms);
        assert!(matches!(actions[..], [Action::Propose(Command::Report { .. })]), "{now_ms}: {actions:?}");
    }
}

#[test]
fn a_call_is_repeated_at_growing_intervals_until_it_is_answered() {
    let mut talk = Talk::about(bob());
    talk.poll(1_000);
    talk.says(CallKind::PrepareDebit, Finding::Held);
    let asked: Vec<u64> = (1_001..2_000).filter(|now_ms| !talk.poll(*now_ms).is_empty()).collect();
    assert_eq!(asked, [1_100, 1_300, 1_700]);
}

#[test]
fn a_refusal_is_reported_at_once_and_only_the_other_bank_is_told() {
    let mut talk = Talk::about(bob());
    talk.poll(1_000);
    talk.says(CallKind::PrepareCredit, Finding::Refused(Reason::UnknownPayee));
    let command = talk.proposes(1_001);
    assert!(matches!(command, Command::Report { found: Pair { debit: None, credit: Some(_) }, .. }));
    assert_eq!(talk.calls(1_002), [CallKind::AbortDebit]);
    // The void overtook the hold: a tombstone is as good.
    talk.says(CallKind::AbortDebit, Finding::Voided);
    assert_eq!(talk.proposes(1_003), Command::Delivered { id: id(1), side: Side::Debit, epoch: Epoch::FIRST });
    assert_eq!(talk.poll(1_004), []);
    assert!(talk.driver.is_done());
}

#[test]
fn a_missing_vote_is_waited_for_and_then_voids() {
    let mut talk = Talk::about(bob());
    talk.poll(1_000);
    talk.says(CallKind::PrepareDebit, Finding::Held);
    let half = Command::Report { id: id(1), gateway: Epoch::FIRST, found: Pair { debit: held(), credit: None } };
    assert!(talk.poll(1_999).iter().all(|action| !matches!(action, Action::Propose(_))));
    let actions = talk.poll(2_000);
    assert_eq!(actions, [Action::Propose(half)], "half of the time is over: the lone vote is put on record");
    talk.desk.one(half);
    assert_eq!(talk.calls(2_999), [CallKind::PrepareCredit]);
    assert_eq!(talk.proposes(3_000), Command::TimeOut { id: id(1) });
    assert_eq!(talk.calls(3_001), [CallKind::AbortDebit, CallKind::AbortCredit]);
}

#[test]
fn who_takes_over_asks_only_for_what_is_not_on_record() {
    let mut talk = Talk::about(bob());
    talk.desk.one(Command::Report { id: id(1), gateway: Epoch::FIRST, found: Pair { debit: held(), credit: None } });
    let due = |at, now_ms, waits: &[u128]| {
        agenda::due(&talk.desk.clearing, node(at), now_ms, |payment| waits.iter().any(|known| payment == id(*known)))
    };
    assert_eq!(due(1, 1_000, &[]), [id(1)], "its taker");
    assert_eq!(due(2, 1_999, &[]), []);
    assert_eq!(due(2, 1_999, &[7]), []);
    assert_eq!(due(2, 1_001, &[1]), [id(1)], "its caller has turned to this node");
    assert_eq!(due(2, 2_000, &[]), [id(1)]);
    assert_eq!(talk.calls(2_000), [CallKind::PrepareCredit]);
    let doubt = agenda::in_doubt(&talk.desk.clearing, 2_000);
    assert_eq!((doubt[0].age_ms, doubt[0].is_decided), (1_000, false));
    assert_eq!(doubt[0].waits_for, [(bank(2), CallKind::PrepareCredit)]);
}

#[test]
fn what_an_older_incarnation_said_or_was_told_does_not_count() {
    for (gateway, bank) in [(1, 2), (2, 1)] {
        let mut talk = Talk::about(bob());
        talk.desk.one(Command::BeginEpoch { epoch: epoch(2) });
        talk.desk.one(register("alpha", 1, 2, 9));
        talk.poll(1_000);
        for side in Side::BOTH {
            talk.says_as(CallKind::HoldStatus(side), Finding::Posted, epoch(gateway), epoch(bank));
        }
        let proposes = |actions: Vec<Action>| actions.iter().any(|action| matches!(action, Action::Propose(_)));
        let is_of_beta = bank == 1 && gateway == 2;
        assert_eq!(proposes(talk.poll(1_001)), is_of_beta, "beta is still in its first incarnation");
    }
}

#[test]
fn within_one_bank_the_transfer_is_asked_for_and_void_only_through_the_bank() {
    let mut talk = Talk::about(customer("carol", "alpha"));
    assert_eq!(talk.calls(1_000), [CallKind::Transfer]);
    assert_eq!(talk.calls(1_100), [CallKind::Transfer]);
    assert_eq!(talk.calls(2_999), [CallKind::Transfer]);
    let actions = talk.poll(3_400);
    let [Action::Call(_), Action::Propose(time_out)] = actions[..] else { panic!("{actions:?}") };
    talk.desk.one(time_out);
    assert_eq!(talk.calls(3_401), [CallKind::VoidTransfer], "another question does not wait for the last one's turn");
    talk.says(CallKind::VoidTransfer, Finding::Posted);
    talk.proposes(3_402);
    assert_eq!(talk.poll(3_403), []);
    assert!(talk.driver.is_done());
}

#[test]
fn a_bank_that_contradicts_a_decision_raises_one_alarm_and_is_not_believed() {
    let findings = [Finding::Voided, Finding::NotFound, Finding::Refused(Reason::AccountClosed), Finding::Held];
    for finding in findings {
        let mut talk = Talk::about(bob());
        talk.poll(1_000);
        talk.says(CallKind::PrepareDebit, Finding::Held);
        talk.says(CallKind::PrepareCredit, Finding::Held);
        talk.proposes(1_001);
        talk.poll(1_002);
        let alarm = |side| Some(Action::Alarm { id: id(1), side, finding });
        assert_eq!(talk.says(CallKind::CommitDebit, finding), alarm(Side::Debit));
        for again in findings {
            assert_eq!(talk.says(CallKind::CommitDebit, again), None, "it is asked again and again, and told once");
        }
        let last = findings[findings.len() - 1];
        assert_eq!(talk.driver.contradictions().collect::<Vec<_>>(), [(Side::Debit, last)]);
        assert_eq!(talk.says(CallKind::CommitCredit, finding), alarm(Side::Credit), "the other side is another bank");
        let both = [(Side::Debit, last), (Side::Credit, finding)];
        assert_eq!(talk.driver.contradictions().collect::<Vec<_>>(), both);
        assert_eq!(talk.says(CallKind::PrepareDebit, Finding::Held), None, "an old question's answer is none");
        assert_eq!(talk.calls(60_000), [CallKind::CommitDebit, CallKind::CommitCredit]);
        // It may come to its senses.
        assert_eq!(talk.says(CallKind::CommitDebit, Finding::Posted), None);
        assert_eq!(talk.driver.contradictions().collect::<Vec<_>>(), [(Side::Credit, finding)]);
    }
}

#[test]
fn a_bank_that_refuses_a_decision_is_asked_more_and_more_seldom() {
    let mut talk = Talk::about(bob());
    talk.poll(1_000);
    talk.says(CallKind::PrepareDebit, Finding::Held);
    talk.says(CallKind::PrepareCredit, Finding::Held);
    talk.proposes(1_001);
    let mut asked = 0;
    let mut asked_in_a_day = |talk: &mut Talk, refuses: bool, from_ms: u64| {
        asked = 0;
        for now_ms in (from_ms..from_ms + 86_400_000).step_by(1_000) {
            for kind in talk.calls(now_ms) {
                asked += 1;
                if refuses {
                    talk.says(kind, Finding::Refused(Reason::AccountClosed));
                }
            }
        }
        asked
    };
    let while_away = asked_in_a_day(&mut talk, false, 2_000);
    assert!(while_away > 2 * 20_000, "a bank that is away is asked as soon as it is back: {while_away}");
    let while_refused = asked_in_a_day(&mut talk, true, 90_000_000);
    assert!((2 * 200..2 * 250).contains(&while_refused), "{while_refused} records of refusals in a day");
}

#[test]
fn a_bank_that_comes_back_with_what_was_voided_at_that_risk_is_put_on_record_and_not_asked_again() {
    let mut talk = Talk::about(bob());
    talk.desk.one(Command::BeginEpoch { epoch: epoch(2) });
    talk.desk.one(void_by_hand(1, Risk::Taken));
    assert_eq!(talk.calls(1_000), [CallKind::AbortDebit, CallKind::AbortCredit]);
    talk.says_as(CallKind::AbortDebit, Finding::Voided, epoch(2), epoch(1));
    assert_eq!(talk.proposes(1_001), Command::Delivered { id: id(1), side: Side::Debit, epoch: epoch(1) });
    // What was said to the incarnation before, or by one of the bank that is over, is not heard now.
    for (gateway, bank) in [(1, 1), (2, 9)] {
        assert_eq!(talk.says_as(CallKind::AbortCredit, Finding::Posted, epoch(gateway), epoch(bank)), None);
        assert_eq!(talk.poll(1_050), []);
    }
    assert_eq!(
        talk.says_as(CallKind::AbortCredit, Finding::Posted, epoch(2), epoch(1)),
        None,
        "whoever records it tells"
    );
    assert_eq!(talk.driver.contradictions().collect::<Vec<_>>(), [(Side::Credit, Finding::Posted)]);
    let posted = Some(Reported { epoch: epoch(1), finding: Finding::Posted });
    let report = Command::Report { id: id(1), gateway: epoch(2), found: Pair { debit: None, credit: posted } };
    assert_eq!(talk.proposes(1_100), report);
    assert_eq!(talk.poll(60_000), [], "nobody is asked again");
    assert!(talk.driver.is_done());
    assert_eq!(talk.desk.clearing.contradicted().collect::<Vec<_>>(), [(id(1), Side::Credit)]);
}

#[test]
fn a_bank_that_says_anything_else_of_what_was_voided_at_a_risk_is_alarmed_as_ever() {
    let mut talk = Talk::about(bob());
    talk.desk.one(Command::BeginEpoch { epoch: epoch(2) });
    talk.desk.one(void_by_hand(1, Risk::Taken));
    talk.poll(1_000);
    let alarm = Some(Action::Alarm { id: id(1), side: Side::Credit, finding: Finding::Held });
    assert_eq!(talk.says_as(CallKind::AbortCredit, Finding::Held, epoch(2), epoch(1)), alarm);
    assert_eq!(talk.calls(60_000), [CallKind::AbortDebit, CallKind::AbortCredit]);
}
