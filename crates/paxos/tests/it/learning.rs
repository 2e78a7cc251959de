//! Conversations with one node about what is chosen: what it takes for that, what it asks for, and what it serves.

use crate::cluster::{ALPHA, HEARTBEAT_US, batch, node, slot};
use crate::conversations::{Solo, accept, accepts, ballot, mark, report, sent, vote};
use paxos::{Event, Message, Record, Recovered, Serve, Slot};

#[test]
fn chosen_counts_only_for_a_copy_accepted_under_the_ballot_that_it_names() {
    let mut solo = Solo::of_three(Recovered::default());
    solo.hear(2, accept(ballot(1, 2), 1, "stale"));
    let fx = solo.hear(3, Message::Chosen(mark(1, ballot(2, 3))));
    assert!(fx.chosen.is_empty() && fx.persist.is_empty());
    assert_eq!(sent(&fx), [(3, Message::Learn { from: slot(1) })]);
    let fx = solo.hear(3, Message::Learned { from: slot(1), batches: vec![batch("right")] });
    let learned = Record::Learned { slot: slot(1), batch: batch("right") };
    assert_eq!(fx.persist, [learned, Record::Chosen { through: slot(1) }], "written over the stale copy");
    assert_eq!(fx.chosen, [(slot(1), batch("right"))]);
}

#[test]
fn the_own_copy_is_taken_under_the_ballot_named_also_if_it_comes_after_the_mark() {
    let mut solo = Solo::of_three(Recovered::default());
    solo.hear(2, accept(ballot(1, 2), 1, "a"));
    let fx = solo.hear(2, Message::Chosen(mark(2, ballot(1, 2))));
    assert_eq!(fx.chosen, [(slot(1), batch("a"))]);
    assert_eq!(fx.persist, [Record::Chosen { through: slot(1) }]);
    let fx = solo.hear(2, accept(ballot(1, 2), 2, "b"));
    assert_eq!(fx.chosen, [(slot(2), batch("b"))]);
}

#[test]
fn a_learned_batch_that_equals_the_own_copy_is_not_written_again() {
    let mut solo = Solo::of_three(Recovered::default());
    solo.hear(2, accept(ballot(1, 2), 1, "a"));
    let fx = solo.hear(3, Message::Learned { from: slot(1), batches: vec![batch("a")] });
    assert_eq!(fx.persist, [Record::Chosen { through: slot(1) }]);
    assert_eq!(fx.chosen, [(slot(1), batch("a"))]);
}

#[test]
fn at_start_only_what_is_marked_chosen_counts() {
    let accepted = vec![vote(3, ballot(2, 2), "c")];
    let mut solo =
        Solo::of_three(Recovered { promised: ballot(2, 2), accepted, chosen: slot(2), ..Recovered::default() });
    let fx = solo.tick_after(HEARTBEAT_US);
    assert!(fx.chosen.is_empty());
    assert_eq!((solo.paxos.status().chosen, solo.paxos.status().accepted), (slot(2), slot(3)));
    let fx = solo.hear(2, Message::Chosen(mark(3, ballot(2, 2))));
    assert_eq!(fx.chosen, [(slot(3), batch("c"))]);
}

#[test]
fn who_hears_that_others_know_more_while_nothing_happens_asks_and_asks_again() {
    let mut solo = Solo::of_three(Recovered::default());
    let round = 1;
    solo.hear(2, Message::Heartbeat { round, pulse: solo.pulse(ballot(1, 2), 5) });
    solo.hear(3, Message::Heartbeat { round, pulse: solo.pulse(ballot(1, 2), 4) });
    let learn = Message::Learn { from: slot(1) };
    assert!(sent(&solo.tick_after(HEARTBEAT_US)).contains(&(2, learn.clone())), "who knows most first");
    assert!(!sent(&solo.tick_after(HEARTBEAT_US)).contains(&(3, learn.clone())), "one question at a time");
    assert!(sent(&solo.tick_after(5 * HEARTBEAT_US)).contains(&(3, learn)), "the first did not answer");
    let fx = solo.hear(3, Message::Learned { from: slot(1), batches: vec![batch("a"), batch("b")] });
    assert_eq!(fx.chosen.len(), 2);
    assert_eq!(sent(&fx), [(2, Message::Learn { from: slot(3) })], "until it has caught up");
}

#[test]
fn chosen_batches_are_served_from_the_log_only_as_far_as_they_are_chosen() {
    let mut solo = Solo::of_three(Recovered { chosen: slot(5), ..Recovered::default() });
    let fx = solo.hear(3, Message::Learn { from: slot(4) });
    assert_eq!(fx.serve, [Serve { to: node(3), from: slot(4) }]);
    assert!(solo.hear(3, Message::Learn { from: slot(6) }).serve.is_empty());
    assert!(solo.hear(3, Message::Learn { from: Slot::ZERO }).serve.is_empty());
}

#[test]
fn a_proposer_that_learns_another_batch_than_its_own_proposes_no_more() {
    let (mut solo, own) = Solo::holder();
    solo.propose("mine").expect("it is the proposer");
    let fx = solo.hear(3, Message::Learned { from: slot(1), batches: vec![batch("theirs")] });
    assert_eq!(fx.chosen, [(slot(1), batch("theirs"))]);
    assert!(fx.events.iter().any(|event| matches!(event, Event::NoLongerProposer { .. })));

    let (mut solo, again) = Solo::holder();
    assert_eq!(own, again);
    solo.propose("mine").expect("it is the proposer");
    let fx = solo.hear(3, Message::Learned { from: slot(1), batches: vec![batch("mine")] });
    assert!(fx.events.is_empty() && solo.paxos.is_proposer(), "its own proposal was chosen");
}

/// Found by the model checker: what it learned freed its own copy of the next slot, which it had not proposed again yet.
#[test]
fn a_proposer_that_learns_past_its_ballot_goes_on() {
    let old = ballot(1, 2);
    let text = |at: u64| format!("t{at}");
    let last = ALPHA + 1;
    let accepted = (2..=last).map(|at| vote(at, old, &text(at))).collect();
    let mut solo = Solo::of_three(Recovered { promised: old, accepted, ..Recovered::default() });
    solo.hear(2, Message::Chosen(mark(last, old)));
    let (own, fx) = solo.stand();
    solo.release_own(fx);
    solo.promise_of(3, own, 0, vec![report(1, old, &text(1))]);
    solo.hear(3, Message::FetchedBatch { slot: slot(1), ballot: old, batch: batch(&text(1)) });
    assert!(solo.paxos.is_proposer());
    assert_eq!(solo.paxos.in_flight() as u64, ALPHA, "all that was found but for the last slot, which lies past alpha");

    let batches = (1..=ALPHA).map(|at| batch(&text(at))).collect();
    let fx = solo.hear(2, Message::Learned { from: slot(1), batches });
    assert_eq!(fx.chosen.last(), Some(&(slot(last), batch(&text(last)))), "the own copy is taken too");
    solo.paxos.on_applied(slot(last));
    let fx = solo.propose("next").expect("it is the proposer still");
    assert_eq!(accepts(&fx).first(), Some(&(2, last + 1, batch("next"))));
}
