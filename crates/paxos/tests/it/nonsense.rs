//! What one node makes of words that nobody should say: from strangers, in the wrong order, beyond all bounds.

use crate::cluster::{ALPHA, HEARTBEAT_US, batch, slot};
use crate::conversations::{Solo, accept, ballot, report, told};
use expect_test::expect;
use paxos::{Ballot, ChosenMark, Effects, Message, Pulse, Record, Recovered, Slot};

#[test]
fn what_makes_no_sense_is_ignored() {
    let huge = Ballot { round: u64::MAX, node: 2 };
    let own = ballot(1, 1);
    let nonsense = [
        (9, Message::Prepare { ballot: ballot(1, 9) }),
        (2, Message::Prepare { ballot: ballot(1, 3) }),
        (2, Message::Prepare { ballot: Ballot::ZERO }),
        (2, Message::Prepare { ballot: huge }),
        (1, Message::Prepare { ballot: ballot(9, 1) }),
        (2, accept(ballot(1, 2), 0, "a")),
        (2, accept(ballot(1, 9), 1, "a")),
        (2, accept(huge, 1, "a")),
        (2, accept(ballot(2, 2), u64::MAX, "a")),
        (2, Message::Refused { ballot: own, promised: huge }),
        (2, Message::Accepted { ballot: own, slot: slot(7) }),
        (2, Message::Accepted { ballot: ballot(1, 3), slot: slot(1) }),
        (2, Message::Promise { ballot: own, floor: slot(u64::MAX), accepted: vec![report(1, own, "a")] }),
        (2, Message::Promise { ballot: own, floor: Slot::ZERO, accepted: vec![report(1, huge, "a")] }),
        (2, Message::Chosen(ChosenMark { through: slot(3), ballot: ballot(1, 9) })),
        (2, Message::Learn { from: slot(u64::MAX) }),
        (2, Message::Learned { from: slot(u64::MAX), batches: vec![batch("a"), batch("b")] }),
        (2, Message::Learned { from: Slot::ZERO, batches: vec![batch("a")] }),
        (2, Message::FetchBatch { slot: slot(u64::MAX), ballot: huge }),
        (2, Message::FetchedBatch { slot: slot(1), ballot: huge, batch: batch("a") }),
        (2, Message::ReadReply { read: 0, accepted: slot(u64::MAX) }),
        (
            2,
            Message::HeartbeatReply {
                round: u64::MAX,
                pulse: Pulse {
                    clock_ms: u64::MAX,
                    clock_jumped: false,
                    promised: huge,
                    accepted: slot(u64::MAX),
                    leader: huge,
                    happy: true,
                    chosen: slot(u64::MAX),
                    kept: slot(u64::MAX),
                    checkpoint: slot(u64::MAX),
                },
            },
        ),
    ];
    for (from, message) in nonsense {
        let mut solo = Solo::of_three(Recovered::default());
        solo.tick_after(HEARTBEAT_US);
        let fx = solo.hear(from, message.clone());
        let Effects { persist, vows, chosen, serve, .. } = &fx;
        let quiet = vows.is_empty() && chosen.is_empty() && serve.is_empty();
        assert!(
            quiet && !persist.iter().any(|record| matches!(record, Record::Accepted { .. })),
            "{message:?}: {fx:?}"
        );
        let (_, _) = solo.stand();
    }
}

#[test]
fn who_is_not_a_member_is_told_so_and_has_no_vote() {
    let (mut solo, own) = Solo::holder();
    solo.propose("a").expect("it is the proposer");
    let pulse = solo.pulse(ballot(9, 9), 0);
    let words = [
        Message::Prepare { ballot: ballot(9, 9) },
        accept(ballot(9, 9), 1, "theirs"),
        Message::ReadQuery { read: 1 },
        Message::Heartbeat { round: 7, pulse },
        Message::HeartbeatReply { round: 1, pulse },
        Message::FetchBatch { slot: slot(1), ballot: own },
        Message::Accepted { ballot: own, slot: slot(1) },
        Message::Promise { ballot: own, floor: Slot::ZERO, accepted: vec![] },
    ];
    let mut answers = String::new();
    for message in words {
        answers += &format!("{}\n", told(&solo.hear(9, message)));
    }
    expect![[r#"
        to n9  NotMember { floor: s0, version: 0 }
        to n9  NotMember { floor: s0, version: 0 }
        to n9  NotMember { floor: s0, version: 0 }
        to n9  HeartbeatReply { round: 7, pulse: Pulse { clock_ms: 1700000000020, clock_jumped: false, promised: b1.1, accepted: s0, leader: b1.1, happy: true, chosen: s0, kept: s0, checkpoint: s0 } }




    "#]].assert_eq(&answers);
    assert!(solo.paxos.is_proposer(), "a stranger's ballots count for nothing either");
    assert!(solo.hear(2, Message::Accepted { ballot: own, slot: slot(1) }).chosen.is_empty(), "nor does its vote");
}

#[test]
fn a_promise_that_reports_more_than_an_acceptor_can_hold_does_not_count() {
    let mut solo = Solo::of_three(Recovered::default());
    let (prepared, fx) = solo.stand();
    solo.release_own(fx);
    solo.promise_of(2, prepared, 3, vec![report(3 + 2 * ALPHA + 1, ballot(0, 0), "x")]);
    solo.promise_of(2, prepared, 3, vec![report(3, ballot(0, 0), "x")]);
    solo.promise_of(3, prepared, 0, vec![]);
    assert!(solo.paxos.is_proposer());
}

#[test]
fn an_older_heartbeat_that_comes_late_takes_no_checkpoint_back() {
    let mut solo = Solo::of(2, Recovered { chosen: slot(9), ..Recovered::default() });
    solo.paxos.set_checkpoint(slot(9));
    for checkpoint in [7, 5] {
        let pulse = Pulse { checkpoint: slot(checkpoint), ..solo.pulse(Ballot::ZERO, 9) };
        solo.hear(2, Message::Heartbeat { round: 1, pulse });
    }
    assert_eq!(solo.paxos.trim_point(), slot(7));
}
