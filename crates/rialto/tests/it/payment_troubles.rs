//! Whatever is killed, stopped or replaced while customers pay: every acknowledged payment is there once, on both sides.

use std::time::{Duration, Instant};

use api::client::Secret;
use api::client::gateway::{GatewayError, PaymentAnswer, Standing, new_payment_id};
use clearing::NamedParty;

use crate::network::{network_json, run, signal, stderr, until};
use crate::town::{OPENING, Town, connect, operate, order, paid, refused_for};

#[test]
fn a_payment_that_hangs_is_listed_with_whom_it_waits_for_and_can_be_voided_by_hand() {
    let town = Town::new("in-doubt");
    let alice = town.sign_in("alice@alpha");
    assert!(operate(&town, &["settings", "timeout-2pc-ms", "60000"]).0);
    let pids: Vec<u32> = (1..=3).map(|node| town.pid("beta", node).expect("it runs")).collect();
    let terms = order(new_payment_id(), "alice@alpha", "bob@beta", 5_00);
    let bob = town.sign_in("bob@beta");
    let paying = std::thread::scope(|scope| {
        let paying = scope.spawn(|| {
            loop {
                pids.iter().for_each(|pid| signal("STOP", *pid));
                let answer = town.runtime.block_on(alice.pay(&terms));
                match answer.as_ref().map(|answer| &answer.standing) {
                    // The gateway's node had found out already that beta does not answer: that burns nothing.
                    Ok(Standing::NotTaken { code, .. }) if code == "bank_unavailable" => {
                        pids.iter().for_each(|pid| signal("CONT", *pid));
                        town.balance(&bob);
                    }
                    _ => break answer,
                }
            }
        });
        let listed = until("it is listed", || {
            let (_, told) = operate(&town, &["payments", "--in-doubt"]);
            told.contains(&terms.id.to_string()).then_some(told)
        });
        assert!(listed.contains("undecided for") && listed.contains("beta to set the payee's side aside"));
        let (done, told) = operate(&town, &["payments", "void", &terms.id.to_string(), "--by", "anna"]);
        assert!(done && told.contains("refused"), "{told}");
        paying.join().expect("it is answered")
    });
    assert_eq!(refused_for(&paying.expect("it was decided").standing), "voided_by_operator");
    let (_, told) = operate(&town, &["payments", "--undecided"]);
    assert_eq!(told, "no payment is undecided\n");
    let owed = until("it is told that beta is away", || {
        let (_, told) = operate(&town, &["payments", "--in-doubt"]);
        told.contains("beta, which cannot be reached now, to acknowledge that it is void").then_some(told)
    });
    assert!(owed.contains("void, undelivered for"), "{owed}");
    pids.iter().for_each(|pid| signal("CONT", *pid));
    until("both banks know", || {
        let (done, told) = operate(&town, &["payments"]);
        (done && told == "no payment is on its way\n").then_some(())
    });
    assert_eq!(town.balance(&alice), OPENING);
}

#[test]
fn killing_any_process_in_a_stream_of_payments_loses_and_doubles_nothing() {
    let town = Town::new("killed");
    let (alice, bob) = (town.sign_in("alice@alpha"), town.sign_in("bob@beta"));
    let victims = ["gateway", "alpha", "beta"];
    let mut acknowledged = 0;
    for round in 0..6 {
        town.kill_leader(victims[round % victims.len()]);
        let begun = Instant::now();
        // Payments go both ways while the group elects, and until the dead process is back.
        while begun.elapsed() < Duration::from_secs(3) {
            let out = order(new_payment_id(), "alice@alpha", "bob@beta", 3);
            let back = order(new_payment_id(), "bob@beta", "alice@alpha", 2);
            for (customer, terms) in [(&alice, &out), (&bob, &back)] {
                let standing = until("it is decided", || match town.runtime.block_on(customer.pay(terms)) {
                    Ok(answer) => match answer.standing {
                        Standing::Undecided { .. } | Standing::NotTaken { .. } => None,
                        decided => Some(decided),
                    },
                    // Nobody could take it just then: the same payment again.
                    Err(_) => None,
                });
                // One that was taken while its bank elected may be void; it moved nothing then.
                acknowledged += match (paid(&standing), terms.id == out.id) {
                    (true, true) => 3,
                    (true, false) => -2,
                    (false, _) => 0,
                };
            }
        }
        for node in 1..=3 {
            for group in victims {
                until("it runs again", || town.pid(group, node));
            }
        }
    }
    assert!(acknowledged > 0, "payments went through");
    assert_eq!(town.balance(&alice), OPENING - acknowledged);
    assert_eq!(town.balance(&bob), OPENING + acknowledged);
    until("the books agree", || run(&["audit", "--dir", town.network.dir()]).status.success().then_some(()));
}

#[test]
fn a_bank_that_is_away_burns_no_id_and_the_payment_goes_through_when_it_is_back() {
    let town = Town::new("away");
    let alice = town.sign_in("alice@alpha");
    let mut pids = Vec::new();
    for node in 1..=3 {
        pids.push(town.pid("beta", node).expect("it runs"));
    }
    pids.iter().for_each(|pid| signal("STOP", *pid));
    let terms = order(new_payment_id(), "alice@alpha", "bob@beta", 5);
    let mut probes = Vec::new();
    let away = until("the gateway sees that beta is away", || {
        let probe = order(new_payment_id(), "alice@alpha", "bob@beta", 1);
        probes.push((probe.id, None));
        let standing = town.runtime.block_on(alice.pay(&probe)).ok()?.standing;
        probes.last_mut().expect("just pushed").1 = Some(standing.clone());
        match standing {
            Standing::NotTaken { code, .. } => Some(code),
            // Taken before it was seen: void, because a vote was missing in time.
            Standing::Refused { code, .. } => (code == "bank_timed_out").then_some(None).flatten(),
            Standing::Paid { .. } | Standing::Undecided { .. } => None,
        }
    });
    assert_eq!(away, "bank_unavailable");
    // Who would sign in there is told that the bank is away, not that anything of theirs is wrong.
    let party: NamedParty = "bob@beta".parse().expect("well formed");
    match town.runtime.block_on(town.gateway.login(&party, &Secret::new("bob-demo".to_owned()))) {
        Err(GatewayError::Refused { code, .. }) => assert_eq!(code.text(), "bank_unavailable"),
        other => panic!("{other:?}"),
    }
    let party: NamedParty = "bob@nowhere".parse().expect("well formed");
    match town.runtime.block_on(town.gateway.login(&party, &Secret::new("bob-demo".to_owned()))) {
        Err(GatewayError::Refused { code, .. }) => assert_eq!(code.text(), "unknown_bank"),
        other => panic!("{other:?}"),
    }
    // Others go on.
    town.pays(&alice, "alice@alpha", "carol@alpha", 4);
    let told = town.runtime.block_on(alice.pay(&terms)).expect("the gateway answers");
    assert_eq!(refused_for(&told.standing), "bank_unavailable");
    pids.iter().for_each(|pid| signal("CONT", *pid));
    until("the same payment goes through", || {
        let answer = town.runtime.block_on(alice.pay(&terms)).ok()?;
        paid(&answer.standing).then_some(())
    });
    // A probe whose end was not known yet when beta came back may still be paid; one that was told to be void may not.
    let mut probed = 0;
    for (id, told) in probes {
        let end = until("every probe comes to its end", || {
            let known = town.runtime.block_on(alice.payment(id)).ok()?;
            let is_open = |answer: &PaymentAnswer| matches!(answer.standing, Standing::Undecided { .. });
            known.as_ref().is_none_or(|answer| !is_open(answer)).then_some(known)
        });
        let is_paid = end.is_some_and(|answer| paid(&answer.standing));
        let was_void = matches!(told, Some(Standing::Refused { .. } | Standing::NotTaken { .. }));
        assert!(!(is_paid && was_void), "{id} was told {told:?} and is paid");
        probed += i128::from(is_paid);
    }
    assert_eq!(town.balance(&alice), OPENING - 5 - 4 - probed);
}

#[test]
fn with_all_of_the_gateway_dead_at_once_sessions_decisions_deliveries_and_ids_are_there_again() {
    let town = Town::patient("all-dead");
    let (alice, bob) = (town.sign_in("alice@alpha"), town.sign_in("bob@beta"));
    let first = order(new_payment_id(), "alice@alpha", "bob@beta", 10_00);
    assert!(paid(&town.pay(&alice, &first)));
    // One that is decided, and that a bank has yet to hear of.
    let of_beta: Vec<u32> = (1..=3).map(|node| town.pid("beta", node).expect("it runs")).collect();
    of_beta.iter().for_each(|pid| signal("STOP", *pid));
    let second = order(new_payment_id(), "alice@alpha", "bob@beta", 5_00);
    let taken = until("it is taken, or not", || town.runtime.block_on(alice.pay(&second)).ok()).standing;
    assert!(matches!(taken, Standing::Undecided { .. }), "beta was not known to be away yet: {taken:?}");
    assert!(operate(&town, &["payments", "void", &second.id.to_string(), "--by", "anna"]).0);
    let of_gateway: Vec<u32> = (1..=3).map(|node| town.pid("gateway", node).expect("it runs")).collect();
    of_gateway.iter().for_each(|pid| signal("KILL", *pid));
    until("others run in their place", || {
        let again = (1..=3).map(|node| town.pid("gateway", node)).collect::<Option<Vec<u32>>>()?;
        again.iter().all(|pid| !of_gateway.contains(pid)).then_some(())
    });
    // The same sign-in, the same answers, and what was owed is still owed.
    let again = until("the gateway answers", || town.runtime.block_on(alice.pay(&first)).ok());
    assert!(paid(&again.standing) && again.duplicate, "{again:?}");
    let told = until("it is known", || town.runtime.block_on(alice.payment(second.id)).ok().flatten());
    assert_eq!(refused_for(&told.standing), "voided_by_operator");
    let (_, owed) = operate(&town, &["payments"]);
    assert!(owed.contains(&second.id.to_string()) && owed.contains("to acknowledge that it is void"), "{owed}");
    of_beta.iter().for_each(|pid| signal("CONT", *pid));
    until("both banks know", || (operate(&town, &["payments"]).1 == "no payment is on its way\n").then_some(()));
    assert_eq!((town.balance(&alice), town.balance(&bob)), (OPENING - 10_00, OPENING + 10_00));
    let (done, told) = operate(&town, &["audit"]);
    assert!(done, "{told}");
}

#[test]
fn every_certificate_of_a_running_network_is_replaced_and_no_payment_is_dropped() {
    let town = Town::patient("rotated");
    let (alice, bob) = (town.sign_in("alice@alpha"), town.sign_in("bob@beta"));
    let file = network_json(town.network.dir().as_ref());
    let tls = file["tls"].as_str().expect("it speaks TLS").to_owned();
    let mut moved = 0;
    for group in ["bank/alpha", "bank/beta", "gateway/gateway"] {
        for node in 1..=3 {
            let rotated = run(&["certs", "rotate", &format!("{group}/{node}"), "--dir", &tls]);
            assert!(rotated.status.success(), "{}", stderr(&rotated));
            assert!(paid(&town.pay(&alice, &order(new_payment_id(), "alice@alpha", "bob@beta", 2))));
            assert!(paid(&town.pay(&bob, &order(new_payment_id(), "bob@beta", "alice@alpha", 1))));
            moved += 1;
        }
    }
    // New connections are made with the new ones: also by a node that comes back, and by a customer who comes anew.
    let victim = town.pid("alpha", 2).expect("it runs");
    signal("KILL", victim);
    until("it runs again", || town.pid("alpha", 2).filter(|pid| *pid != victim));
    let anew = town.runtime.block_on(async { connect(&town.network) });
    let signed_in = town.login(&anew, "alice@alpha", "alice-demo");
    let alice_again = anew.customer(&signed_in.expect("her password").token).expect("a token");
    assert!(paid(&town.pay(&alice_again, &order(new_payment_id(), "alice@alpha", "bob@beta", 1))));
    assert_eq!(town.balance(&alice), OPENING - moved - 1);
    until("the books agree", || operate(&town, &["audit"]).0.then_some(()));
}
