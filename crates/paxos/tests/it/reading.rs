//! Linearizable reads, and the numbers that heartbeats carry for trimming and for the clock rule.

use crate::cluster::{Cluster, HEARTBEAT_US, Unsynced, batch, config, node, slot};
use crate::conversations::Solo;
use paxos::{Ballot, Effects, Event, Message, Now, Paxos, Pulse, Recovered, Slot};

fn read(cluster: &mut Cluster, number: u16, id: u64) {
    cluster.call(number, |paxos, now, fx| paxos.read(now, id, fx));
}

fn answer(cluster: &Cluster, number: u16, id: u64) -> Option<Slot> {
    cluster.nodes[&number].reads.iter().find(|(read, _)| *read == id).map(|(_, through)| *through)
}

#[test]
fn a_read_on_any_node_sees_what_was_chosen_before_it() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    // Node 3 hears nothing of the leader any more, but it hears node 2.
    cluster.cut_both(1, 3);
    cluster.propose(1, "a");
    cluster.drain();
    assert!(cluster.knows(1, "a") && !cluster.knows(3, "a"));
    read(&mut cluster, 3, 7);
    cluster.drain();
    assert_eq!(answer(&cluster, 3, 7), Some(slot(1)));
    cluster.run_until("the reader catches up through its neighbour", |cluster| cluster.knows(3, "a"));
}

#[test]
fn a_read_without_a_majority_is_not_answered_and_is_asked_again_until_it_has_one() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut_both(3, 1);
    cluster.cut_both(3, 2);
    read(&mut cluster, 3, 7);
    cluster.run_for(10 * HEARTBEAT_US);
    assert_eq!(answer(&cluster, 3, 7), None);
    cluster.heal();
    cluster.run_until("the read is asked again", |cluster| answer(cluster, 3, 7).is_some());
}

#[test]
fn a_round_serves_only_reads_that_arrived_before_it_was_sent() {
    let now = Now { mono_us: 1, wall_ms: 1 };
    let mut paxos = Paxos::new(config(1, 3), Recovered::default(), now);
    for peer in [2, 3] {
        let memory = Message::Memory { promised: paxos::Ballot::ZERO, accepted: paxos::Slot::ZERO };
        paxos.on_message(now, node(peer), memory, &mut Effects::default());
    }
    let questions = |fx: &Effects| -> Vec<u64> {
        fx.send
            .iter()
            .filter_map(|(to, message)| match message {
                Message::ReadQuery { read } if *to == node(2) => Some(*read),
                _ => None,
            })
            .collect()
    };
    let mut fx = Effects::default();
    paxos.read(now, 1, &mut fx);
    let first = questions(&fx)[0];
    let mut fx = Effects::default();
    for id in [2, 3, 4] {
        paxos.read(now, id, &mut fx);
    }
    assert!(questions(&fx).is_empty(), "they wait for the round under way");
    paxos.on_message(now, node(2), Message::ReadReply { read: first, accepted: Slot::ZERO }, &mut fx);
    assert_eq!(fx.reads, [(1, Slot::ZERO)], "the answer may be older than the later reads");
    let second = questions(&fx)[0];
    assert_ne!(first, second);
    let mut fx = Effects::default();
    paxos.on_message(now, node(2), Message::ReadReply { read: first, accepted: slot(9) }, &mut fx);
    assert!(fx.reads.is_empty(), "an answer to the first round is none to the second");
    paxos.on_message(now, node(3), Message::ReadReply { read: second, accepted: slot(2) }, &mut fx);
    assert_eq!(fx.reads, [(2, slot(2)), (3, slot(2)), (4, slot(2))], "many reads share one round");
}

#[test]
fn the_numbers_of_rounds_do_not_repeat_after_a_restart() {
    let first_number = |now: Now| {
        let mut fx = Effects::default();
        Paxos::new(config(1, 3), Recovered::default(), now).read(now, 1, &mut fx);
        fx.send
            .iter()
            .find_map(|(_, message)| if let Message::ReadQuery { read } = message { Some(*read) } else { None })
    };
    let before = first_number(Now { mono_us: 5, wall_ms: 1_000 });
    assert_ne!(before, first_number(Now { mono_us: 5, wall_ms: 1_001 }));
    assert_ne!(before, first_number(Now { mono_us: 6, wall_ms: 1_000 }));
}

#[test]
fn an_undecided_tail_is_nudged_and_the_read_gets_its_answer() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    // Only node 3 accepts, nobody hears its vote, and the proposer dies before its own is on disk.
    cluster.cut_both(1, 2);
    cluster.cut.insert((3, 1));
    cluster.nodes.get_mut(&1).expect("node 1").disk_hangs = true;
    cluster.propose(1, "minority");
    cluster.drain();
    cluster.crash(1, Unsynced::Lost);
    cluster.nodes.get_mut(&1).expect("node 1").disk_hangs = false;
    cluster.heal();
    cluster.cut_both(3, 1);
    cluster.cut_both(3, 2);
    cluster.start(1);
    cluster.run_until("the others lead themselves", |cluster| cluster.holder().is_some());
    cluster.heal();
    cluster.run_for(10 * HEARTBEAT_US);
    assert!(cluster.truth.is_empty(), "nobody has a reason to touch the slot");
    read(&mut cluster, 3, 7);
    cluster.run_until("the read may be answered", |cluster| {
        answer(cluster, 3, 7).is_some_and(|through| cluster.paxos(3).status().applied >= through)
    });
    assert_eq!(answer(&cluster, 3, 7), Some(slot(1)));
    assert!(cluster.truth[&slot(1)].is_noop());
}

#[test]
fn a_nudge_fills_slots_with_noops_only_through_what_was_asked() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.call(1, |paxos, _, fx| paxos.nudge(slot(2), fx));
    cluster.run_for(HEARTBEAT_US);
    cluster.call(1, |paxos, _, fx| paxos.nudge(slot(2), fx));
    cluster.run_for(2 * HEARTBEAT_US);
    assert_eq!(cluster.truth.len(), 2);
    assert!(cluster.truth.values().all(paxos::Batch::is_noop));
    cluster.call(2, |paxos, _, fx| paxos.nudge(slot(9), fx));
    cluster.run_for(2 * HEARTBEAT_US);
    assert_eq!(cluster.truth.len(), 2, "a nudge of another node than the proposer does nothing");
}

#[test]
fn trimming_waits_for_every_member_and_says_for_whom() {
    let mut cluster = Cluster::new(3);
    for text in ["a", "b", "c"] {
        cluster.choose(text, &[1, 2, 3]);
    }
    cluster.call(1, |paxos, _, _| paxos.set_checkpoint(slot(3)));
    cluster.call(2, |paxos, _, _| paxos.set_checkpoint(slot(2)));
    cluster.run_for(3 * HEARTBEAT_US);
    assert_eq!((cluster.paxos(1).trim_point(), cluster.paxos(1).held_back_by()), (Slot::ZERO, Some(node(3))));
    cluster.call(3, |paxos, _, _| paxos.set_checkpoint(slot(3)));
    cluster.run_for(3 * HEARTBEAT_US);
    assert_eq!((cluster.paxos(1).trim_point(), cluster.paxos(1).held_back_by()), (slot(2), Some(node(2))));
    cluster.crash(2, Unsynced::Kept);
    assert_eq!(cluster.paxos(1).trim_point(), slot(2), "a dead member still holds it back");
}

#[test]
fn a_leader_whose_clock_is_off_steps_down_and_stands_no_more_until_it_is_right() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for hour_ms in [3_600_000, -3_600_000] {
        cluster.nodes.get_mut(&1).expect("node 1").wall_ahead_ms = hour_ms;
        cluster.run_until("another leads", |cluster| cluster.holder().is_some_and(|holder| holder != 1));
        let off = |event: &Event| matches!(event, Event::ClockOff { skew_ms } if (skew_ms - hour_ms).abs() < 50);
        assert!(cluster.nodes[&1].events.iter().any(off), "it says so: {:?}", cluster.nodes[&1].events);
        cluster.call(1, |paxos, now, fx| paxos.elect(now, fx));
        cluster.run_for(5 * HEARTBEAT_US);
        assert_ne!(cluster.holder(), Some(1));
        cluster.choose(&format!("with {hour_ms}"), &[1, 2, 3]);
        cluster.nodes.get_mut(&1).expect("node 1").wall_ahead_ms = 0;
        cluster.run_for(5 * HEARTBEAT_US);
        assert!(cluster.nodes[&1].events.contains(&Event::ClockFine));
        cluster.nodes.get_mut(&1).expect("node 1").events.clear();
        cluster.elect(1);
    }
}

#[test]
fn of_two_nodes_whose_clocks_differ_one_still_leads() {
    let mut cluster = Cluster::new(3);
    cluster.nodes.get_mut(&2).expect("node 2").wall_ahead_ms = 10_000;
    cluster.crash(3, Unsynced::Kept);
    cluster.choose("a", &[1, 2]);
    assert!(cluster.truth.values().any(|known| *known == batch("a")));
}

#[test]
fn of_three_nodes_whose_clocks_all_differ_one_leads_also_when_the_one_with_the_median_is_gone() {
    let day_ms = 24 * 3_600_000;
    let mut cluster = Cluster::new(3);
    for number in 1..=3 {
        cluster.crash(number, Unsynced::Kept);
        cluster.nodes.get_mut(&number).expect("three nodes").wall_ahead_ms = i64::from(number) * day_ms;
    }
    (1..=3).for_each(|number| cluster.start(number));
    cluster.run_until("the one with the median leads", |cluster| cluster.holder() == Some(2));
    cluster.crash(2, Unsynced::Kept);
    cluster.run_until("one of those that are left leads", |cluster| cluster.holder().is_some());
    cluster.choose("a", &[1, 3]);
    cluster.start(2);
    cluster.run_until("who is off leaves it to the median again", |cluster| cluster.holder() == Some(2));
}

#[test]
fn a_clock_is_compared_before_anybody_counts_as_answering_however_late_answers_are() {
    let day_ms = 24 * 3_600_000;
    let mut solo = Solo::of_three(Recovered::default());
    // The node began a day ahead, and each answer comes when the next round is under way.
    let mut round = 0;
    for _ in 0..20 {
        let answered = round;
        let fx = solo.tick_after(HEARTBEAT_US);
        for (_, message) in &fx.send {
            if let Message::Heartbeat { round: begun, .. } = message {
                round = *begun;
            }
        }
        for peer in [2, 3] {
            let pulse = Pulse { clock_ms: solo.now.wall_ms - day_ms, ..solo.pulse(Ballot::ZERO, 0) };
            let fx = solo.hear(peer, Message::HeartbeatReply { round: answered, pulse });
            assert!(fx.vows.is_empty(), "it stands with a clock that is a day ahead: {:?}", fx.vows);
        }
    }
    assert!(solo.paxos.status().clock_off);
    let now_ms = solo.paxos.clock_ms(solo.now);
    assert!(now_ms <= solo.now.wall_ms - day_ms + 1_000, "what it would propose with is what the others allow");
}
