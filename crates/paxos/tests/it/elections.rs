//! Who leads, how fast that changes, and that a group recovers whatever part of its links is cut.

use crate::cluster::{Cluster, HEARTBEAT_US, TICK_US, Unsynced, node};
use paxos::{Event, Paxos};

#[test]
fn a_fresh_group_elects_one_leader_and_all_know_it() {
    for size in [1, 2, 3, 5, 7] {
        let mut cluster = Cluster::new(size);
        let took_us = cluster.run_until("somebody leads", |cluster| cluster.holder().is_some());
        assert!(took_us <= 2 * HEARTBEAT_US, "{size} nodes: {took_us} us");
        cluster.run_for(3 * HEARTBEAT_US);
        let leaders: Vec<_> = (1..=size).map(|number| cluster.paxos(number).leader()).collect();
        assert!(leaders.iter().all(|leader| *leader == leaders[0] && leader.is_some()), "{leaders:?}");
        cluster.choose("a", &(1..=size).collect::<Vec<_>>());
    }
}

#[test]
fn a_quiet_group_keeps_its_leader() {
    let mut cluster = Cluster::new(5);
    cluster.elect(3);
    let ballot = cluster.paxos(3).status().ballot;
    cluster.run_for(200 * HEARTBEAT_US);
    assert_eq!((cluster.holder(), cluster.paxos(3).status().ballot), (Some(3), ballot));
}

#[test]
fn a_closed_connection_to_the_leader_costs_no_heartbeat() {
    for size in [3, 5] {
        let mut cluster = Cluster::new(size);
        cluster.elect(1);
        cluster.crash(1, Unsynced::Kept);
        let took_us = cluster.run_until("another leads", |cluster| cluster.holder().is_some());
        assert_eq!(took_us, 0, "{size} nodes: round trips only, no waiting");
    }
}

#[test]
fn a_silent_leader_is_replaced_within_three_heartbeats() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut_both(1, 2);
    cluster.cut_both(1, 3);
    let took_us = cluster.run_until("another leads", |cluster| cluster.holder() != Some(1));
    assert!(took_us <= 3 * HEARTBEAT_US + TICK_US, "{took_us} us");
    assert!(!cluster.paxos(1).status().quorum && cluster.paxos(2).status().quorum);
    let quorum_lost = |event: &Event| *event == Event::Quorum(false);
    assert!(cluster.nodes[&1].events.iter().any(quorum_lost));
    cluster.choose("without the old one", &[2, 3]);
    cluster.heal();
    cluster.choose("with it again", &[1, 2, 3]);
}

#[test]
fn a_node_that_comes_back_disturbs_nobody() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let ballot = cluster.paxos(1).status().ballot;
    cluster.crash(3, Unsynced::Kept);
    cluster.choose("while it was away", &[1, 2]);
    cluster.start(3);
    cluster.run_until("it catches up", |cluster| cluster.knows(3, "while it was away"));
    cluster.cut_both(3, 1);
    cluster.cut_both(3, 2);
    cluster.run_for(20 * HEARTBEAT_US);
    cluster.heal();
    cluster.run_for(20 * HEARTBEAT_US);
    assert_eq!((cluster.holder(), cluster.paxos(1).status().ballot), (Some(1), ballot));
}

#[test]
fn quorum_loss_is_survived() {
    // The leader and all others hear nobody but node 2.
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    for (one, other) in [(1, 3), (1, 4), (1, 5), (3, 4), (3, 5), (4, 5)] {
        cluster.cut_both(one, other);
    }
    let took_us = cluster.run_until("the hub leads", |cluster| cluster.paxos(2).is_proposer());
    assert!(took_us <= 5 * HEARTBEAT_US, "{took_us} us");
    cluster.choose("through the hub", &[1, 2, 3, 4, 5]);
    assert_stable(&mut cluster, 2);
}

#[test]
fn a_constrained_election_is_survived() {
    // Node 2 is outdated, and then the only one that hears a majority; the leader is gone from everyone's sight.
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    for other in [1, 3, 4, 5] {
        cluster.cut_both(2, other);
    }
    for text in ["a", "b", "c"] {
        cluster.choose(text, &[1, 3, 4, 5]);
    }
    cluster.heal();
    for (one, other) in [(1, 2), (1, 3), (1, 4), (1, 5), (3, 4), (3, 5), (4, 5)] {
        cluster.cut_both(one, other);
    }
    cluster.run_until("the outdated hub leads", |cluster| cluster.paxos(2).is_proposer());
    assert!(cluster.knows(2, "a") && cluster.knows(2, "c"), "it learned what it lacked first");
    cluster.choose("d", &[2, 3, 4, 5]);
    assert_stable(&mut cluster, 2);
}

#[test]
fn chained_links_cause_no_duel() {
    // 1 - 2 - 3, with the leader at an end.
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut_both(1, 3);
    cluster.run_for(10 * HEARTBEAT_US);
    assert_stable(&mut cluster, 1);
    cluster.choose("to both ends", &[1, 2, 3]);
    // And if the leader dies the others go on.
    cluster.crash(1, Unsynced::Kept);
    cluster.choose("without the end", &[2, 3]);
}

#[test]
fn a_chain_of_five_settles() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    for (one, other) in [(1, 3), (1, 4), (1, 5), (2, 4), (2, 5), (3, 5)] {
        cluster.cut_both(one, other);
    }
    cluster.choose("along the chain", &[1, 2, 3, 4, 5]);
    let holder = cluster.holder().expect("somebody chose it");
    assert!((2..=4).contains(&holder), "an end of the chain hears no majority: {holder}");
    assert_stable(&mut cluster, holder);
}

#[test]
fn one_way_links_are_survived_in_every_direction() {
    for (from, to) in [(1, 2), (2, 1), (2, 3), (3, 2)] {
        let mut cluster = Cluster::new(3);
        cluster.elect(1);
        cluster.cut.insert((from, to));
        cluster.choose("one way", &[1, 2, 3]);
        let holder = cluster.holder().expect("somebody chose it");
        assert_stable(&mut cluster, holder);
    }
}

#[test]
fn a_leader_that_can_send_but_not_hear_is_replaced_and_stays_so() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut.insert((2, 1));
    cluster.cut.insert((3, 1));
    cluster.run_until("another leads", |cluster| cluster.holder().is_some_and(|holder| holder != 1));
    cluster.choose("without the deaf one", &[2, 3]);
    let holder = cluster.holder().expect("somebody chose it");
    assert_stable(&mut cluster, holder);
}

#[test]
fn a_leader_that_can_hear_but_not_send_is_replaced_and_stays_so() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut.insert((1, 2));
    cluster.cut.insert((1, 3));
    cluster.run_until("another leads", |cluster| cluster.holder().is_some_and(|holder| holder != 1));
    cluster.choose("without the mute one", &[2, 3]);
    assert!(!cluster.paxos(1).status().quorum, "to hear others is not to be heard by them");
    let holder = cluster.holder().expect("somebody chose it");
    assert_stable(&mut cluster, holder);
}

#[test]
fn a_node_whose_disk_hangs_while_it_stands_does_not_keep_others_from_leading() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.nodes.get_mut(&3).expect("node 3").disk_hangs = true;
    cluster.call(3, |paxos, now, fx| paxos.elect(now, fx));
    cluster.run_for(3 * HEARTBEAT_US);
    assert_eq!(cluster.holder(), None, "the others give it time");
    let took_us = cluster.run_until("another leads", |cluster| cluster.holder().is_some());
    assert!(took_us < 60 * HEARTBEAT_US, "{took_us} us");
    cluster.choose("without the hanging disk", &[1, 2]);
}

#[test]
fn a_leader_that_resigns_hands_over_at_once_and_still_votes() {
    let mut cluster = Cluster::new(3);
    cluster.elect(2);
    cluster.choose("before", &[1, 2, 3]);
    cluster.call(2, |paxos, now, fx| paxos.resign(now, fx));
    let took_us = cluster.run_until("another leads", |cluster| cluster.holder().is_some());
    assert_eq!(took_us, 0, "round trips only");
    cluster.crash(if cluster.holder() == Some(1) { 3 } else { 1 }, Unsynced::Kept);
    cluster.choose("with its vote", &[2]);
    assert_ne!(cluster.holder(), Some(2));
    cluster.call(2, |paxos, now, fx| paxos.elect(now, fx));
    cluster.run_for(5 * HEARTBEAT_US);
    assert!(!cluster.paxos(2).is_proposer(), "who has resigned stands no more");
}

#[test]
fn an_election_on_request_changes_the_proposer_and_loses_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for number in [2, 3, 1, 1] {
        let holder = cluster.holder().expect("one is the proposer");
        cluster.propose(holder, &format!("in flight at {number}"));
        cluster.elect(number);
        let lost = |event: &Event| matches!(event, Event::NoLongerProposer { .. });
        assert!(cluster.nodes[&holder].events.iter().any(lost));
        assert!(cluster.knows(1, &format!("in flight at {number}")));
    }
    assert_eq!(cluster.paxos(3).leader(), Some(node(1)));
}

#[test]
fn duelling_candidates_end_with_one_leader() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    for number in 1..=5 {
        cluster.call(number, |paxos, now, fx| paxos.elect(now, fx));
    }
    cluster.run_until("one leads", |cluster| cluster.holder().is_some());
    cluster.run_for(5 * HEARTBEAT_US);
    let holders = (1..=5).filter(|number| cluster.paxos(*number).is_proposer()).count();
    assert_eq!(holders, 1);
    cluster.choose("after the duel", &[1, 2, 3, 4, 5]);
}

fn assert_stable(cluster: &mut Cluster, holder: u16) {
    cluster.run_for(10 * HEARTBEAT_US);
    let ballot = cluster.paxos(holder).status().ballot;
    assert!(cluster.paxos(holder).is_proposer());
    cluster.run_for(100 * HEARTBEAT_US);
    assert!(Paxos::is_proposer(cluster.paxos(holder)), "node {holder} stays the proposer");
    assert_eq!(cluster.paxos(holder).status().ballot, ballot, "and never has to take it again");
}
