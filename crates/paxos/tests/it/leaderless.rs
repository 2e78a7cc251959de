//! Leaderless mode: who becomes the proposer when nobody is elected, and when.

use crate::cluster::{Cluster, HEARTBEAT_US, TICK_US, Unsynced, batch};
use paxos::{Mode, Paxos};

fn group(size: u16) -> Cluster {
    let mut cluster = Cluster::of(size, size, Mode::Leaderless);
    cluster.run_for(3 * HEARTBEAT_US);
    cluster
}

/// How long until what this node asks for is chosen.
fn ask_us(cluster: &mut Cluster, number: u16, text: &str) -> u64 {
    cluster.ask(number, text);
    cluster.run_until(text, |cluster| cluster.truth.values().any(|chosen| *chosen == batch(text)))
}

fn pens_taken(cluster: &Cluster) -> usize {
    let taken = |event: &&paxos::Event| matches!(event, paxos::Event::BecameProposer(_));
    cluster.nodes.values().map(|node| node.events.iter().filter(taken).count()).sum()
}

#[test]
fn nobody_becomes_the_proposer_until_somebody_asks() {
    for size in [1, 3, 5] {
        let mut cluster = group(size);
        cluster.run_for(50 * HEARTBEAT_US);
        assert_eq!(cluster.holder(), None);
        let took_us = ask_us(&mut cluster, 1, "a");
        assert!(took_us <= 2 * TICK_US, "nobody holds it, so the wait is short: {took_us} us");
        assert_eq!(cluster.holder(), Some(1));
    }
}

#[test]
fn the_proposer_goes_straight_to_accept_and_stays_the_proposer() {
    let mut cluster = group(3);
    ask_us(&mut cluster, 2, "first");
    for number in 0..20 {
        let asked = 1 + number % 3;
        assert_eq!(ask_us(&mut cluster, asked, &format!("then {number}")), 0, "no wait, whoever is asked");
    }
    cluster.run_for(50 * HEARTBEAT_US);
    assert_eq!((cluster.holder(), pens_taken(&cluster)), (Some(2), 1));
    for number in 1..=3 {
        let status = cluster.paxos(number).status();
        assert_eq!((status.mode, status.proposer.map(paxos::NodeId::get)), (Mode::Leaderless, Some(2)));
    }
}

#[test]
fn a_dead_holder_is_replaced_within_a_few_milliseconds() {
    for size in [3, 5] {
        let mut cluster = group(size);
        ask_us(&mut cluster, 1, "first");
        cluster.run_for(HEARTBEAT_US);
        cluster.crash(1, Unsynced::Kept);
        let took_us = ask_us(&mut cluster, 2, "then");
        assert!(took_us <= 2 * TICK_US, "{size} nodes: {took_us} us");
    }
}

#[test]
fn a_silent_holder_is_replaced_after_the_wait() {
    let mut cluster = group(3);
    ask_us(&mut cluster, 1, "first");
    cluster.cut_both(1, 2);
    cluster.cut_both(1, 3);
    let took_us = ask_us(&mut cluster, 2, "then");
    assert!((24_000..=48_000 + TICK_US).contains(&took_us), "{took_us} us");
    cluster.heal();
    cluster.choose("after", &[1, 2, 3]);
}

#[test]
fn without_a_majority_nobody_becomes_the_proposer() {
    let mut cluster = group(3);
    cluster.cut_both(1, 2);
    cluster.cut_both(1, 3);
    cluster.run_for(3 * HEARTBEAT_US);
    let before = cluster.paxos(1).status().ballot;
    cluster.ask(1, "in vain");
    cluster.run_for(100 * HEARTBEAT_US);
    assert_eq!(cluster.paxos(1).status().ballot, before);
    cluster.heal();
    cluster.run_until("it is chosen after all", |cluster| cluster.knows(3, "in vain"));
}

/// It would otherwise take over for ever: its prepares arrive, and the answers do not.
#[test]
fn a_node_that_sends_but_does_not_hear_does_not_stand() {
    let mut cluster = group(3);
    ask_us(&mut cluster, 2, "first");
    cluster.cut.extend([(2, 1), (3, 1)]);
    cluster.run_for(3 * HEARTBEAT_US);
    let before = pens_taken(&cluster);
    cluster.ask(1, "unheard");
    for number in 0..20 {
        ask_us(&mut cluster, 2 + number % 2, &format!("meanwhile {number}"));
        cluster.run_for(HEARTBEAT_US);
    }
    assert_eq!((cluster.holder(), pens_taken(&cluster)), (Some(2), before));
}

/// The duel: two nodes whose requests wait at the same time, and neither hears the proposer.
#[test]
fn a_duel_ends() {
    for size in [2, 3, 5, 7] {
        let mut cluster = group(size);
        // As a shell does that calls when a turn is due.
        cluster.tick_us = 500;
        for number in 0..10 {
            // Everybody starts from nothing at the same time.
            for asked in 1..=size {
                cluster.ask(asked, &format!("{number} of {asked}"));
            }
            cluster.run_until("all is chosen", |cluster| cluster.truth.len() as u16 >= size * (number + 1));
            cluster.run_for(HEARTBEAT_US);
            let holder = cluster.holder().expect("somebody won");
            cluster.crash(holder, Unsynced::Kept);
            cluster.start(holder);
            cluster.run_for(3 * HEARTBEAT_US);
        }
        let taken = pens_taken(&cluster);
        assert!(taken <= 20, "{size} nodes took over {taken} times for ten races");
    }
}

#[test]
fn a_slow_disk_makes_no_duel() {
    let mut cluster = group(3);
    ask_us(&mut cluster, 1, "first");
    // What is proposed is chosen 60 ms later: every node says so of its own requests.
    for number in 1..=3 {
        for _ in 0..32 {
            cluster.call(number, |paxos, _, _| paxos.took(60_000));
        }
        cluster.nodes.get_mut(&number).expect("a node").disk_hangs = true;
    }
    let before = pens_taken(&cluster);
    for number in 0..30 {
        cluster.ask(1 + number % 3, &format!("slow {number}"));
        for _ in 0..12 {
            cluster.tick();
            cluster.drain();
        }
        for number in 1..=3 {
            cluster.nodes.get_mut(&number).expect("a node").disk_hangs = false;
            cluster.sync(number);
            cluster.nodes.get_mut(&number).expect("a node").disk_hangs = true;
        }
        cluster.drain();
        for number in 1..=3 {
            cluster.nodes.get_mut(&number).expect("a node").disk_hangs = false;
            cluster.sync(number);
            cluster.nodes.get_mut(&number).expect("a node").disk_hangs = true;
        }
    }
    assert_eq!(pens_taken(&cluster), before, "the wait follows the disk");
}

#[test]
fn a_read_of_what_nobody_decides_makes_its_node_the_proposer() {
    let mut cluster = group(3);
    ask_us(&mut cluster, 1, "first");
    cluster.cut_both(1, 3);
    cluster.cut.insert((2, 1));
    cluster.propose(1, "undecided");
    cluster.drain();
    cluster.crash(1, Unsynced::Lost);
    cluster.heal();
    cluster.call(3, |paxos, now, fx| paxos.read(now, 7, fx));
    cluster.run_until("the read is answered and its slot applied", |cluster| {
        let through = cluster.nodes[&3].reads.iter().find(|(read, _)| *read == 7).map(|(_, through)| *through);
        through.is_some_and(|through| cluster.nodes[&3].chosen.contains_key(&through))
    });
    assert!(cluster.knows(3, "undecided"));
}

#[test]
fn the_mode_changes_on_a_running_group_without_a_new_holder() {
    let mut cluster = group(3);
    ask_us(&mut cluster, 2, "first");
    for mode in [Mode::Leader, Mode::Leaderless, Mode::Leader] {
        cluster.mode = mode;
        for number in 1..=3 {
            cluster.call(number, |paxos, now, fx| paxos.set_mode(now, mode, fx));
            cluster.run_for(3 * HEARTBEAT_US);
            ask_us(&mut cluster, number, &format!("{mode:?} {number}"));
        }
        let modes = cluster.nodes.values().filter_map(|node| node.paxos.as_ref()).map(Paxos::mode);
        assert!(modes.into_iter().all(|each| each == mode));
    }
    cluster.run_for(20 * HEARTBEAT_US);
    assert_eq!((cluster.holder(), pens_taken(&cluster)), (Some(2), 1));
}

#[test]
fn a_group_whose_nodes_disagree_about_the_mode_works() {
    for leader in 1..=3 {
        let mut cluster = group(3);
        cluster.call(leader, |paxos, now, fx| paxos.set_mode(now, Mode::Leader, fx));
        cluster.run_until("the one in leader mode leads", |cluster| cluster.holder() == Some(leader));
        for asked in 1..=3 {
            ask_us(&mut cluster, asked, &format!("by {asked}"));
        }
        cluster.crash(leader, Unsynced::Lost);
        let other = 1 + leader % 3;
        ask_us(&mut cluster, other, "without it");
    }
}
