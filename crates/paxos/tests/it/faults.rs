//! The classic traps, played out in a small group.

use crate::cluster::{ALPHA, Cluster, HEARTBEAT_US, Unsynced, batch, slot};
use paxos::{Ballot, Batch, ChosenMark, Message};

#[test]
fn a_value_accepted_by_a_minority_is_revived_or_dead_for_good() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    // "old" is accepted by 1 and 2 alone, and then both are cut off.
    for other in [3, 4, 5] {
        cluster.cut_both(1, other);
        cluster.cut_both(2, other);
    }
    cluster.propose(1, "old");
    cluster.drain();
    cluster.choose("new", &[3, 4, 5]);
    assert_eq!(cluster.truth[&slot(1)], batch("new"));
    cluster.heal();
    cluster.crash(4, Unsynced::Lost);
    cluster.crash(5, Unsynced::Lost);
    cluster.run_until("the cut off ones learn", |cluster| cluster.knows(1, "new") && cluster.knows(2, "new"));
    cluster.choose("next", &[1, 2, 3]);
    assert!(!cluster.truth.values().any(|chosen| *chosen == batch("old")));
}

#[test]
fn a_value_accepted_by_a_minority_is_chosen_if_a_later_holder_finds_it() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut_both(1, 3);
    cluster.cut.insert((2, 1));
    cluster.nodes.get_mut(&1).expect("node 1").disk_hangs = true;
    cluster.propose(1, "found");
    cluster.drain();
    assert!(cluster.truth.is_empty());
    cluster.crash(1, Unsynced::Lost);
    cluster.run_until("the later holder finishes it", |cluster| cluster.knows(3, "found"));
    assert_eq!(cluster.truth[&slot(1)], batch("found"));
}

#[test]
fn a_late_accept_meets_a_promise_that_survived_a_crash() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let old = cluster.paxos(1).status().ballot;
    cluster.elect(2);
    cluster.crash(3, Unsynced::Lost);
    cluster.start(3);
    cluster.queues.clear();
    let late = Message::Accept { ballot: old, slot: slot(1), batch: batch("late"), chosen: None };
    cluster.send(1, 3, late);
    cluster.drain();
    assert_eq!(cluster.paxos(3).status().accepted, slot(0));
    cluster.choose("in time", &[1, 2, 3]);
    assert_eq!(cluster.truth[&slot(1)], batch("in time"));
}

#[test]
fn a_follower_with_a_stale_copy_takes_what_was_chosen_instead() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    // Node 3 alone accepts "stale"; then it hears nothing while "right" is chosen in the same slot.
    cluster.cut_both(1, 2);
    cluster.cut.insert((3, 1));
    cluster.nodes.get_mut(&1).expect("node 1").disk_hangs = true;
    cluster.propose(1, "stale");
    cluster.drain();
    cluster.crash(1, Unsynced::Lost);
    cluster.nodes.get_mut(&1).expect("node 1").disk_hangs = false;
    cluster.heal();
    cluster.cut_both(3, 1);
    cluster.cut_both(3, 2);
    cluster.start(1);
    cluster.choose("right", &[1, 2]);
    assert_eq!(cluster.paxos(3).status().accepted, slot(1));
    cluster.heal();
    let holder = cluster.holder().expect("it chose");
    let mark = ChosenMark { through: slot(1), ballot: cluster.paxos(holder).status().ballot };
    cluster.send(holder, 3, Message::Chosen(mark));
    cluster.run_until("it learns", |cluster| cluster.knows(3, "right"));
    assert!(!cluster.knows(3, "stale"));
}

#[test]
fn a_ballot_is_not_used_again_whatever_the_crash_left() {
    for unsynced in [Unsynced::Lost, Unsynced::Kept] {
        let mut cluster = Cluster::new(3);
        cluster.elect(1);
        let before = cluster.paxos(1).status().ballot;
        cluster.cut_both(1, 2);
        cluster.cut_both(1, 3);
        cluster.propose(1, "before");
        cluster.crash(1, unsynced);
        cluster.start(1);
        cluster.heal();
        cluster.elect(1);
        assert!(cluster.paxos(1).status().ballot > before);
        cluster.choose("after", &[1, 2, 3]);
    }
}

#[test]
fn a_stand_that_crashes_before_its_promise_is_on_disk_was_heard_by_nobody() {
    let mut cluster = Cluster::new(3);
    cluster.elect(2);
    let promised = cluster.paxos(2).status().promised;
    cluster.nodes.get_mut(&1).expect("node 1").disk_hangs = true;
    cluster.call(1, |paxos, now, fx| paxos.elect(now, fx));
    let stood_with = cluster.paxos(1).status().promised;
    assert!(stood_with > promised);
    cluster.drain();
    assert_eq!((cluster.paxos(2).status().promised, cluster.paxos(3).status().promised), (promised, promised));
}

#[test]
fn a_node_that_missed_much_catches_up_in_chunks() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.crash(3, Unsynced::Kept);
    for number in 0..5 * ALPHA {
        cluster.propose(1, &format!("{number}")).expect("chosen at once, so the pipeline is open");
        cluster.drain();
    }
    cluster.start(3);
    let last = slot(5 * ALPHA);
    cluster.run_until("it has caught up", |cluster| cluster.paxos(3).status().chosen == last);
    cluster.propose(1, "then").expect("the pipeline is open");
    cluster.run_until("it follows again", |cluster| cluster.knows(3, "then"));
}

#[test]
fn a_mark_that_was_lost_is_told_again() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.drain();
    assert!(cluster.knows(1, "a") && !cluster.knows(2, "a"), "nobody announced it");
    let took_us = cluster.run_until("they hear of it", |cluster| cluster.knows(2, "a") && cluster.knows(3, "a"));
    assert!(took_us <= 2 * HEARTBEAT_US);
}

#[test]
fn everything_lost_on_the_way_is_sent_again() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.queues.clear();
    cluster.run_until("the accept is sent again", |cluster| cluster.knows(1, "a"));
    cluster.propose(1, "b");
    for number in 1..=3 {
        cluster.sync(number);
    }
    cluster.deliver(1, 2);
    cluster.deliver(1, 3);
    cluster.sync(2);
    cluster.sync(3);
    cluster.queues.clear();
    cluster.run_until("the votes are sent again", |cluster| cluster.knows(1, "b"));
}

#[test]
fn a_group_whose_every_node_crashes_keeps_what_was_chosen() {
    let mut cluster = Cluster::new(3);
    for text in ["a", "b", "c"] {
        cluster.choose(text, &[1, 2, 3]);
    }
    for number in 1..=3 {
        cluster.crash(number, Unsynced::Lost);
    }
    for number in 1..=3 {
        cluster.start(number);
    }
    cluster.choose("d", &[1, 2, 3]);
    let all: Vec<Batch> = cluster.truth.values().filter(|batch| !batch.is_noop()).cloned().collect();
    assert_eq!(all, ["a", "b", "c", "d"].map(batch));
}

#[test]
fn chosen_slots_leave_memory() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for number in 0..20 * ALPHA {
        cluster.propose(1, &format!("{number}")).expect("chosen at once, so the pipeline is open");
        cluster.drain();
        cluster.call(1, |paxos, _, fx| paxos.announce(fx));
        cluster.drain();
    }
    let state = format!("{:?}", cluster.paxos(2));
    assert!(!state.contains("\"7\"") && state.contains("votes: {}"), "{state}");
}

#[test]
fn a_zombie_ballot_does_not_stop_the_group() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.send(3, 2, Message::Prepare { ballot: Ballot { round: 1_000, node: 3 } });
    cluster.choose("anyway", &[1, 2, 3]);
    assert!(cluster.paxos(1).status().ballot.round > 1_000);
}
