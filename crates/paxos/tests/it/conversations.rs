//! Conversations with one node: what it is told, and all that it answers. No cluster, no time but what the script gives.

use crate::cluster::{ALPHA, HEARTBEAT_US, batch, config, node, slot};
use expect_test::expect;
use paxos::{
    Ballot, Batch, ChosenMark, Digest, Effects, Event, Message, NotProposed, Now, Paxos, Pulse, Record, Recovered,
    Report, Slot,
};

pub(crate) fn ballot(round: u64, node: u16) -> Ballot {
    Ballot { round, node }
}

pub(crate) fn report(at: u64, under: Ballot, text: &str) -> Report {
    Report { slot: slot(at), ballot: under, digest: batch(text).digest() }
}

pub(crate) fn vote(at: u64, under: Ballot, text: &str) -> (Slot, Ballot, Digest, Option<Batch>) {
    (slot(at), under, batch(text).digest(), Some(batch(text)))
}

pub(crate) fn accept(under: Ballot, at: u64, text: &str) -> Message {
    Message::Accept { ballot: under, slot: slot(at), batch: batch(text), chosen: None }
}

pub(crate) fn mark(through: u64, under: Ballot) -> ChosenMark {
    ChosenMark { through: slot(through), ballot: under }
}

/// One node of three, number 1 unless said otherwise, and the test's hand on its clock and its disk.
pub(crate) struct Solo {
    pub(crate) paxos: Paxos,
    pub(crate) now: Now,
}

impl Solo {
    pub(crate) fn of_three(recovered: Recovered) -> Solo {
        Solo::of(3, recovered)
    }

    pub(crate) fn of(members: u16, recovered: Recovered) -> Solo {
        let now = Now { mono_us: 1_000_000, wall_ms: 1_700_000_000_000 };
        let applied = recovered.chosen;
        let mut paxos = Paxos::new(config(1, members), recovered, now);
        paxos.on_applied(applied);
        let mut solo = Solo { paxos, now };
        // Nobody remembers more of it than it holds.
        for peer in 2..=members {
            solo.hear(peer, Message::Memory { promised: Ballot::ZERO, accepted: Slot::ZERO });
        }
        solo
    }

    pub(crate) fn hear(&mut self, from: u16, message: Message) -> Effects {
        let mut fx = Effects::default();
        self.paxos.on_message(self.now, node(from), message, &mut fx);
        paxos::invariant::check(&self.paxos);
        fx
    }

    pub(crate) fn tick_after(&mut self, span_us: u64) -> Effects {
        self.now.mono_us += span_us;
        self.now.wall_ms += span_us / 1_000;
        let mut fx = Effects::default();
        self.paxos.on_tick(self.now, &mut fx);
        fx
    }

    pub(crate) fn propose(&mut self, text: &str) -> Result<Effects, NotProposed> {
        let mut fx = Effects::default();
        self.paxos.propose(batch(text), &mut fx).map(|_| fx)
    }

    /// The disk has caught up: the node hears its own vows.
    pub(crate) fn release_own(&mut self, fx: Effects) -> Effects {
        let mut after = Effects::default();
        for (to, vow) in fx.vows {
            self.paxos.on_synced(&vow);
            if to == node(1) {
                self.paxos.on_message(self.now, to, vow.into_message(), &mut after);
            }
        }
        after
    }

    pub(crate) fn pulse(&self, leader: Ballot, chosen: u64) -> Pulse {
        Pulse {
            clock_ms: self.now.wall_ms,
            clock_jumped: false,
            promised: leader,
            accepted: slot(chosen),
            leader,
            happy: false,
            chosen: slot(chosen),
            kept: slot(chosen),
            checkpoint: Slot::ZERO,
        }
    }

    /// Ticks, lets node 2 answer the round, and returns what standing looks like.
    pub(crate) fn stand(&mut self) -> (Ballot, Effects) {
        self.stand_with(&[2])
    }

    /// The same with these nodes answering, the last of whom makes the majority.
    pub(crate) fn stand_with(&mut self, answering: &[u16]) -> (Ballot, Effects) {
        let mut fx = self.tick_after(HEARTBEAT_US);
        let round = fx
            .send
            .iter()
            .find_map(|(_, message)| if let Message::Heartbeat { round, .. } = message { Some(*round) } else { None })
            .expect("a round begins with heartbeats");
        for peer in answering {
            fx = self.hear(*peer, Message::HeartbeatReply { round, pulse: self.pulse(Ballot::ZERO, 0) });
        }
        let prepared = fx.vows.iter().find_map(|(_, vow)| match vow.peek() {
            Message::Prepare { ballot } => Some(*ballot),
            _ => None,
        });
        (prepared.expect("an unhappy node with a majority stands"), fx)
    }

    pub(crate) fn promise_of(&mut self, from: u16, ballot: Ballot, floor: u64, accepted: Vec<Report>) -> Effects {
        self.hear(from, Message::Promise { ballot, floor: slot(floor), accepted })
    }

    /// A node that has just become the proposer with the promises of itself and node 2.
    pub(crate) fn holder() -> (Solo, Ballot) {
        let mut solo = Solo::of_three(Recovered::default());
        let (ballot, fx) = solo.stand();
        solo.release_own(fx);
        solo.promise_of(2, ballot, 0, vec![]);
        assert!(solo.paxos.is_proposer());
        (solo, ballot)
    }
}

pub(crate) fn accepts(fx: &Effects) -> Vec<(u16, u64, Batch)> {
    let mut all: Vec<(u16, u64, Batch)> = fx
        .send
        .iter()
        .filter_map(|(to, message)| match message {
            Message::Accept { slot, batch, .. } => Some((to.get(), slot.get(), batch.clone())),
            _ => None,
        })
        .collect();
    all.sort_by_key(|(to, slot, _)| (*to, *slot));
    all
}

pub(crate) fn vows(fx: &Effects) -> Vec<(u16, Message)> {
    fx.vows.iter().map(|(to, vow)| (to.get(), vow.peek().clone())).collect()
}

pub(crate) fn sent(fx: &Effects) -> Vec<(u16, Message)> {
    fx.send.iter().map(|(to, message)| (to.get(), message.clone())).collect()
}

/// A call's effects, one line each, as a person would tell them.
pub(crate) fn told(fx: &Effects) -> String {
    let Effects { persist, send, vows, chosen, serve, reads, nudges, events, behind } = fx;
    let mut lines: Vec<String> = Vec::new();
    lines.extend(persist.iter().map(|record| format!("persist {record:?}")));
    lines.extend(send.iter().map(|(to, message)| format!("to {to:?}  {message:?}")));
    lines.extend(vows.iter().map(|(to, vow)| format!("to {to:?}, once synced  {:?}", vow.peek())));
    lines.extend(chosen.iter().map(|(at, batch)| format!("chosen {at:?} {batch:?}")));
    lines.extend(serve.iter().map(|serve| format!("{serve:?}")));
    lines.extend(reads.iter().map(|(read, through)| format!("read {read} through {through:?}")));
    lines.extend(nudges.iter().map(|(leader, through)| format!("nudge {leader:?} through {through:?}")));
    lines.extend(events.iter().map(|event| format!("event {event:?}")));
    lines.extend(behind.iter().map(|peer| format!("behind {peer:?}")));
    lines.join("\n")
}

// ---- the whole way once

#[test]
fn from_the_first_heartbeat_to_the_first_chosen_slot() {
    let mut solo = Solo::of_three(Recovered::default());
    let pulse = solo.pulse(Ballot::ZERO, 0);
    expect![[r#"
        to n2  Heartbeat { round: 1, pulse: Pulse { clock_ms: 1700000000020, clock_jumped: false, promised: b0.0, accepted: s0, leader: b0.0, happy: false, chosen: s0, kept: s0, checkpoint: s0 } }
        to n3  Heartbeat { round: 1, pulse: Pulse { clock_ms: 1700000000020, clock_jumped: false, promised: b0.0, accepted: s0, leader: b0.0, happy: false, chosen: s0, kept: s0, checkpoint: s0 } }"#]].assert_eq(&told(&solo.tick_after(HEARTBEAT_US)));
    let standing = solo.hear(2, Message::HeartbeatReply { round: 1, pulse });
    expect![[r#"
        persist Promised(b1.1)
        to n1, once synced  Promise { ballot: b1.1, floor: s0, accepted: [] }
        to n2, once synced  Prepare { ballot: b1.1 }
        to n3, once synced  Prepare { ballot: b1.1 }
        event Quorum(true)"#]]
    .assert_eq(&told(&standing));
    expect![[""]].assert_eq(&told(&solo.release_own(standing)));
    expect![[r#"
        event BecameProposer(b1.1)
        event Leader(Some(n1))"#]]
    .assert_eq(&told(&solo.promise_of(2, ballot(1, 1), 0, vec![])));
    let proposal = solo.propose("a").expect("it is the proposer");
    expect![[r#"
        persist Accepted { slot: s1, ballot: b1.1, batch: "a" }
        to n2  Accept { ballot: b1.1, slot: s1, batch: "a", chosen: None }
        to n3  Accept { ballot: b1.1, slot: s1, batch: "a", chosen: None }
        to n1, once synced  Accepted { ballot: b1.1, slot: s1 }"#]]
    .assert_eq(&told(&proposal));
    expect![[""]].assert_eq(&told(&solo.hear(2, Message::Accepted { ballot: ballot(1, 1), slot: slot(1) })));
    expect![[r#"
        persist Chosen { through: s1 }
        chosen s1 "a""#]]
    .assert_eq(&told(&solo.release_own(proposal)));
    let mut announced = Effects::default();
    solo.paxos.announce(&mut announced);
    expect![[r#"
        to n2  Chosen(ChosenMark { through: s1, ballot: b1.1 })
        to n3  Chosen(ChosenMark { through: s1, ballot: b1.1 })"#]]
    .assert_eq(&told(&announced));
}

// ---- acceptor

#[test]
fn one_promise_binds_for_the_whole_log() {
    let mut solo = Solo::of_three(Recovered::default());
    let fx = solo.hear(3, Message::Prepare { ballot: ballot(5, 3) });
    assert_eq!(fx.persist, [Record::Promised(ballot(5, 3))]);
    let promise = Message::Promise { ballot: ballot(5, 3), floor: Slot::ZERO, accepted: vec![] };
    assert_eq!(vows(&fx), [(3, promise)]);

    for at in [1, 2, ALPHA, 2 * ALPHA, 1_000] {
        let fx = solo.hear(2, accept(ballot(4, 2), at, "late"));
        assert_eq!(sent(&fx)[0], (2, Message::Refused { ballot: ballot(4, 2), promised: ballot(5, 3) }));
        assert!(fx.persist.is_empty() && fx.vows.is_empty(), "slot {at}");
    }
    let fx = solo.hear(2, Message::Prepare { ballot: ballot(5, 2) });
    assert_eq!(sent(&fx)[0], (2, Message::Refused { ballot: ballot(5, 2), promised: ballot(5, 3) }));
    assert!(fx.persist.is_empty() && fx.vows.is_empty());
}

#[test]
fn a_promise_survives_a_crash() {
    let mut solo = Solo::of_three(Recovered { promised: ballot(5, 3), ..Recovered::default() });
    let fx = solo.hear(2, accept(ballot(4, 2), 1, "late"));
    assert_eq!(sent(&fx)[0], (2, Message::Refused { ballot: ballot(4, 2), promised: ballot(5, 3) }));
    assert!(fx.persist.is_empty() && fx.vows.is_empty());
}

#[test]
fn a_vote_is_a_promise_too_and_its_record_says_so() {
    let mut solo = Solo::of_three(Recovered::default());
    let fx = solo.hear(2, accept(ballot(4, 2), 1, "a"));
    let accepted = Record::Accepted { slot: slot(1), ballot: ballot(4, 2), batch: batch("a") };
    assert_eq!(fx.persist, [Record::Promised(ballot(4, 2)), accepted]);
    assert_eq!(vows(&fx), [(2, Message::Accepted { ballot: ballot(4, 2), slot: slot(1) })]);
    let fx = solo.hear(3, accept(ballot(3, 3), 9, "late"));
    assert_eq!(sent(&fx)[0], (3, Message::Refused { ballot: ballot(3, 3), promised: ballot(4, 2) }));
}

#[test]
fn a_promise_reports_the_floor_and_what_is_accepted_above_it() {
    let accepted = vec![vote(5, ballot(2, 2), "e"), vote(7, ballot(3, 3), "g")];
    let mut solo =
        Solo::of_three(Recovered { promised: ballot(3, 3), accepted, chosen: slot(4), ..Recovered::default() });
    let fx = solo.hear(2, Message::Prepare { ballot: ballot(4, 2) });
    let accepted = vec![report(5, ballot(2, 2), "e"), report(7, ballot(3, 3), "g")];
    assert_eq!(vows(&fx)[0], (2, Message::Promise { ballot: ballot(4, 2), floor: slot(4), accepted }));
}

#[test]
fn an_accept_heard_twice_is_answered_twice_and_written_once() {
    let mut solo = Solo::of_three(Recovered::default());
    solo.hear(2, accept(ballot(4, 2), 1, "a"));
    let fx = solo.hear(2, accept(ballot(4, 2), 1, "a"));
    assert!(fx.persist.is_empty());
    assert_eq!(vows(&fx), [(2, Message::Accepted { ballot: ballot(4, 2), slot: slot(1) })]);
}

#[test]
fn an_acceptor_bounds_what_it_holds() {
    let mut solo = Solo::of_three(Recovered::default());
    let fx = solo.hear(2, accept(ballot(4, 2), 2 * ALPHA, "a"));
    assert_eq!(fx.vows.len(), 1);
    let fx = solo.hear(2, accept(ballot(4, 2), 2 * ALPHA + 1, "b"));
    assert!(fx.vows.is_empty() && fx.persist.is_empty());
}

#[test]
fn nothing_is_voted_for_at_or_below_the_floor() {
    let mut solo = Solo::of_three(Recovered { chosen: slot(3), ..Recovered::default() });
    let fx = solo.hear(2, accept(ballot(4, 2), 3, "other"));
    assert!(fx.vows.is_empty() && fx.persist.is_empty());
}

#[test]
fn a_reported_batch_is_handed_out_only_under_its_ballot() {
    let mut solo = Solo::of_three(Recovered::default());
    solo.hear(2, accept(ballot(4, 2), 1, "a"));
    let asked = Message::FetchBatch { slot: slot(1), ballot: ballot(4, 2) };
    let fetched = Message::FetchedBatch { slot: slot(1), ballot: ballot(4, 2), batch: batch("a") };
    assert_eq!(sent(&solo.hear(3, asked)), [(3, fetched)]);
    assert!(solo.hear(3, Message::FetchBatch { slot: slot(1), ballot: ballot(3, 2) }).send.is_empty());
}

// ---- proposer

#[test]
fn a_prepare_leaves_only_behind_the_own_promise_and_never_with_a_used_ballot() {
    let mut solo = Solo::of_three(Recovered { promised: ballot(7, 1), ..Recovered::default() });
    let (prepared, fx) = solo.stand();
    assert_eq!(prepared, ballot(8, 1), "its own ballot of before the crash is used up");
    assert_eq!(fx.persist, [Record::Promised(ballot(8, 1))]);
    let promise = Message::Promise { ballot: prepared, floor: Slot::ZERO, accepted: vec![] };
    let prepare = Message::Prepare { ballot: prepared };
    assert_eq!(vows(&fx), [(1, promise), (2, prepare.clone()), (3, prepare)]);
    assert!(!fx.send.iter().any(|(_, message)| matches!(message, Message::Prepare { .. })));
}

#[test]
fn the_own_promise_counts_only_when_it_is_on_disk() {
    let mut solo = Solo::of_three(Recovered::default());
    let (ballot, fx) = solo.stand();
    solo.promise_of(2, ballot, 0, vec![]);
    assert!(!solo.paxos.is_proposer());
    let after = solo.release_own(fx);
    assert!(solo.paxos.is_proposer());
    assert!(after.events.contains(&Event::BecameProposer(ballot)));
}

#[test]
fn a_new_holder_finishes_the_highest_ballot_of_each_slot_and_fills_gaps_with_noops() {
    let accepted = vec![vote(1, ballot(1, 2), "old"), vote(4, ballot(1, 2), "mine")];
    let mut solo =
        Solo::of_three(Recovered { promised: ballot(2, 3), accepted, chosen: Slot::ZERO, ..Recovered::default() });
    let (prepared, fx) = solo.stand();
    solo.release_own(fx);
    let fx = solo.promise_of(2, prepared, 0, vec![report(1, ballot(2, 3), "new"), report(2, ballot(2, 3), "two")]);
    assert_eq!(
        sent(&fx),
        [
            (2, Message::FetchBatch { slot: slot(1), ballot: ballot(2, 3) }),
            (2, Message::FetchBatch { slot: slot(2), ballot: ballot(2, 3) })
        ],
        "its own copy of slot 1 is of a lower ballot, of slot 2 it has none"
    );
    // A batch that does not have the reported digest is not what was reported.
    solo.hear(2, Message::FetchedBatch { slot: slot(1), ballot: ballot(2, 3), batch: batch("forged") });
    solo.hear(2, Message::FetchedBatch { slot: slot(2), ballot: ballot(2, 3), batch: batch("two") });
    assert!(!solo.paxos.is_proposer());
    let fx = solo.hear(2, Message::FetchedBatch { slot: slot(1), ballot: ballot(2, 3), batch: batch("new") });
    assert!(solo.paxos.is_proposer());
    let to_node_2: Vec<_> = accepts(&fx).into_iter().filter(|(to, ..)| *to == 2).collect();
    assert_eq!(to_node_2, [(2, 1, batch("new")), (2, 2, batch("two")), (2, 3, Batch::noop()), (2, 4, batch("mine"))]);
}

#[test]
fn a_new_holder_learns_what_lies_below_the_highest_floor_and_proposes_nothing_there() {
    let mut solo = Solo::of_three(Recovered::default());
    let (prepared, fx) = solo.stand();
    solo.release_own(fx);
    let fx = solo.promise_of(2, prepared, 2, vec![]);
    assert_eq!(sent(&fx), [(2, Message::Learn { from: slot(1) })]);
    assert!(!solo.paxos.is_proposer() && solo.propose("too early").is_err());
    let fx = solo.hear(2, Message::Learned { from: slot(1), batches: vec![batch("a"), batch("b")] });
    assert_eq!(
        fx.persist,
        [
            Record::Learned { slot: slot(1), batch: batch("a") },
            Record::Learned { slot: slot(2), batch: batch("b") },
            Record::Chosen { through: slot(2) }
        ]
    );
    assert!(accepts(&fx).is_empty() && solo.paxos.is_proposer());
    let fx = solo.propose("c").expect("it is the proposer");
    assert_eq!(accepts(&fx), [(2, 3, batch("c")), (3, 3, batch("c"))]);
}

#[test]
fn a_fetch_goes_to_another_holder_if_the_first_is_silent() {
    let mut solo = Solo::of(5, Recovered::default());
    let fx = solo.tick_after(HEARTBEAT_US);
    drop(fx);
    let round = 1;
    for peer in [2, 3] {
        solo.hear(peer, Message::HeartbeatReply { round, pulse: solo.pulse(Ballot::ZERO, 0) });
    }
    let prepared = ballot(1, 1);
    solo.promise_of(4, prepared, 0, vec![]);
    solo.promise_of(2, prepared, 0, vec![report(1, ballot(0, 0), "x")]);
    let fx = solo.promise_of(3, prepared, 0, vec![report(1, ballot(0, 0), "x")]);
    let fetch = Message::FetchBatch { slot: slot(1), ballot: Ballot::ZERO };
    assert_eq!(sent(&fx), [(2, fetch.clone())]);
    let fx = solo.tick_after(10 * HEARTBEAT_US);
    assert!(sent(&fx).contains(&(3, fetch)));
}

#[test]
fn an_accept_leaves_beside_the_sync_and_the_own_vote_waits_for_it() {
    let (mut solo, ballot) = Solo::holder();
    let fx = solo.propose("a").expect("it is the proposer");
    assert_eq!(accepts(&fx), [(2, 1, batch("a")), (3, 1, batch("a"))]);
    assert_eq!(fx.persist, [Record::Accepted { slot: slot(1), ballot, batch: batch("a") }]);
    assert_eq!(vows(&fx), [(1, Message::Accepted { ballot, slot: slot(1) })]);

    let after = solo.hear(2, Message::Accepted { ballot, slot: slot(1) });
    assert!(after.chosen.is_empty(), "one durable vote of three is no majority");
    let after = solo.release_own(fx);
    assert_eq!(after.chosen, [(slot(1), batch("a"))]);
    assert_eq!(after.persist, [Record::Chosen { through: slot(1) }]);
}

#[test]
fn chosen_rides_with_the_next_accept_or_is_announced() {
    let (mut solo, ballot) = Solo::holder();
    let fx = solo.propose("a").expect("it is the proposer");
    solo.hear(3, Message::Accepted { ballot, slot: slot(1) });
    solo.release_own(fx);
    let fx = solo.propose("b").expect("the pipeline is open");
    for (_, message) in &fx.send {
        let Message::Accept { chosen, .. } = message else { panic!("only accepts: {message:?}") };
        assert_eq!(*chosen, Some(mark(1, ballot)));
    }
    let mut told = Effects::default();
    solo.paxos.announce(&mut told);
    assert!(told.is_empty(), "the accept has said it");
    solo.hear(3, Message::Accepted { ballot, slot: slot(2) });
    solo.release_own(fx);
    solo.paxos.announce(&mut told);
    assert_eq!(sent(&told), [(2, Message::Chosen(mark(2, ballot))), (3, Message::Chosen(mark(2, ballot)))]);
    let mut again = Effects::default();
    solo.paxos.announce(&mut again);
    assert!(again.is_empty());
}

#[test]
fn a_peer_that_answers_but_missed_a_mark_is_told_again_with_the_next_round() {
    let (mut solo, ballot) = Solo::holder();
    let fx = solo.propose("a").expect("it is the proposer");
    solo.hear(3, Message::Accepted { ballot, slot: slot(1) });
    solo.release_own(fx);
    let told = Message::Chosen(mark(1, ballot));
    let fx = solo.tick_after(HEARTBEAT_US);
    assert!(sent(&fx).contains(&(2, told.clone())) && !sent(&fx).contains(&(3, told.clone())), "3 does not answer");
    solo.hear(2, Message::HeartbeatReply { round: 2, pulse: solo.pulse(ballot, 1) });
    assert!(!sent(&solo.tick_after(HEARTBEAT_US)).contains(&(2, told)));
}

#[test]
fn slots_are_chosen_in_order_even_if_their_votes_are_not() {
    let (mut solo, ballot) = Solo::holder();
    for text in ["a", "b"] {
        solo.propose(text).expect("the pipeline is open");
    }
    for peer in [2, 3] {
        assert!(solo.hear(peer, Message::Accepted { ballot, slot: slot(2) }).chosen.is_empty());
    }
    solo.hear(2, Message::Accepted { ballot, slot: slot(1) });
    solo.hear(2, Message::Accepted { ballot, slot: slot(1) });
    assert_eq!(solo.paxos.status().chosen, Slot::ZERO, "one node's vote counts once");
    let fx = solo.hear(3, Message::Accepted { ballot, slot: slot(1) });
    assert_eq!(fx.chosen, [(slot(1), batch("a")), (slot(2), batch("b"))]);
}

#[test]
fn nobody_proposes_further_than_alpha_above_what_it_has_applied() {
    let (mut solo, ballot) = Solo::holder();
    for number in 0..ALPHA {
        solo.propose(&number.to_string()).expect("within alpha");
    }
    assert_eq!(solo.propose("one more"), Err(NotProposed::WindowFull(batch("one more"))));
    for peer in [2, 3] {
        solo.hear(peer, Message::Accepted { ballot, slot: slot(1) });
    }
    assert!(!solo.paxos.can_propose(), "chosen is not applied");
    solo.paxos.on_applied(slot(1));
    assert!(solo.paxos.can_propose());
}

#[test]
fn a_holder_that_is_shown_a_higher_ballot_stops_at_once() {
    let (mut solo, own) = Solo::holder();
    let fx = solo.hear(3, Message::Refused { ballot: own, promised: ballot(9, 2) });
    assert!(fx.events.contains(&Event::NoLongerProposer { to: ballot(9, 2) }));
    assert_eq!(solo.propose("a"), Err(NotProposed::NotProposer(batch("a"))));
    let (prepared, _) = solo.stand();
    assert_eq!(prepared, ballot(10, 1));
}

#[test]
fn what_is_not_acknowledged_is_sent_again_to_those_that_have_not_voted() {
    let (mut solo, ballot) = Solo::holder();
    solo.propose("a").expect("it is the proposer");
    solo.hear(3, Message::Accepted { ballot, slot: slot(1) });
    assert!(accepts(&solo.tick_after(HEARTBEAT_US)).is_empty(), "too early");
    assert_eq!(accepts(&solo.tick_after(5 * HEARTBEAT_US)), [(2, 1, batch("a"))]);

    let mut fx = Effects::default();
    solo.paxos.on_connected(solo.now, node(2), &mut fx);
    assert_eq!(accepts(&fx), [(2, 1, batch("a"))], "a new connection may have lost it");
}

#[test]
fn a_prepare_is_sent_again_to_those_that_have_not_answered() {
    let mut solo = Solo::of(5, Recovered::default());
    solo.tick_after(HEARTBEAT_US);
    for peer in [2, 3] {
        solo.hear(peer, Message::HeartbeatReply { round: 1, pulse: solo.pulse(Ballot::ZERO, 0) });
    }
    solo.promise_of(4, ballot(1, 1), 0, vec![]);
    let fx = solo.tick_after(5 * HEARTBEAT_US);
    let again: Vec<u16> = vows(&fx).into_iter().map(|(to, _)| to).collect();
    assert_eq!(again, [2, 3, 5]);
}

#[test]
fn a_single_member_works_at_once() {
    let mut solo = Solo::of(1, Recovered::default());
    let fx = solo.tick_after(0);
    let after = solo.release_own(fx);
    assert!(after.events.iter().any(|event| matches!(event, Event::BecameProposer(_))));
    let fx = solo.propose("a").expect("nobody else to ask");
    assert!(fx.chosen.is_empty(), "not before it is on disk");
    assert_eq!(solo.release_own(fx).chosen, [(slot(1), batch("a"))]);
}
