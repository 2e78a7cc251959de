//! State sent to newcomers and to nodes too far behind.

use crate::cluster::{Cluster, DIR, id, member};
use replica::Refusal;
use replica::group::{Mode, Op, Role};
use replica::recover::RecoverError;
use std::path::Path;

/// A group that has worked, made checkpoints and trimmed its log.
fn worked(mode: Mode) -> Cluster {
    let mut cluster = Cluster::new(3, mode);
    cluster.settings.tail_slots = 2;
    (1..=3).for_each(|number| cluster.stop(number));
    let founders = cluster.founders(3);
    (1..=3).for_each(|number| cluster.start(number, founders.clone()));
    work(&mut cluster, 1, 1, 300);
    cluster
}

/// Adds one, so many times, a kilobyte each, so that the log has segments to trim.
fn work(cluster: &mut Cluster, node: u16, from: u64, count: u64) {
    for at in from..from + count {
        let request = [crate::machine::add(u128::from(at), (at % 50) as u8, 1), vec![0; 1_000]].concat();
        let seq = cluster.ask(node, request);
        cluster.answer(node, seq).expect("it is answered");
        if at % 100 == 0 {
            cluster.pass(50_000);
            cluster.nodes.keys().copied().collect::<Vec<_>>().into_iter().for_each(|number| cluster.checkpoint(number));
        }
    }
    cluster.pass(100_000);
}

fn is_as_others(cluster: &mut Cluster, number: u16) {
    cluster.until("it serves", |cluster| {
        cluster.nodes[&number].replica.serves() && cluster.applied(number) >= cluster.applied(1)
    });
    assert_eq!(cluster.sums(number), cluster.sums(1));
    let (own, other) = (cluster.nodes[&number].applier.mark(), cluster.nodes[&1].applier.mark());
    assert_eq!(own, other, "journals are the same bytes");
}

#[test]
fn a_newcomer_is_sent_the_state_and_then_votes() {
    for mode in [Mode::Leader, Mode::Leaderless] {
        let mut cluster = worked(mode);
        assert!(cluster.nodes[&1].log.first_slot() > 1, "the log was trimmed");
        let group = cluster.must_change(1, Op::Admit { node: id(4), member: member(Role::Learner) });
        cluster.start(4, group);
        is_as_others(&mut cluster, 4);
        assert!(cluster.journal_bytes > 0);
        cluster.must_change(2, Op::Promote { node: id(4) });
        cluster.pass(100_000);
        cluster.stop(2);
        cluster.stop(3);
        let seq = cluster.ask(4, crate::machine::add(9_999, 1, 1));
        cluster.pass(300_000);
        assert!(!cluster.nodes[&4].told.contains_key(&seq), "two of four are no majority");
        let founders = cluster.founders(3);
        cluster.start(2, founders);
        cluster.answer(4, seq).expect("three of four are");
        is_as_others(&mut cluster, 4);
    }
}

#[test]
fn a_node_too_far_behind_fetches_only_what_it_lacks() {
    let mut cluster = worked(Mode::Leader);
    let had = cluster.nodes[&3].applier.places();
    cluster.checkpoint(3);
    cluster.stop(3);
    work(&mut cluster, 1, 301, 300);
    let founders = cluster.founders(3);
    cluster.start(3, founders);
    cluster.until("it notices", |cluster| cluster.journal_bytes > 0);
    is_as_others(&mut cluster, 3);
    let lacked = cluster.nodes[&3].applier.places() - had;
    assert!(cluster.journal_bytes as u64 <= (lacked + 10) * 256, "{} bytes for {lacked} places", cluster.journal_bytes);
    assert_eq!(cluster.add(3, 1, 1, 1), 1, "it knows the first id that it was told as received");
}

#[test]
fn a_transfer_cut_off_in_the_middle_goes_on_after_a_restart() {
    let mut cluster = worked(Mode::Leader);
    cluster.stop(3);
    work(&mut cluster, 1, 301, 300);
    let founders = cluster.founders(3);
    // The mark is in the log, and the process dies before the checkpoint is made.
    let through = cluster.applied(1);
    let mut opened = cluster.open(3, founders.clone()).expect("it starts");
    opened.log.install(through).expect("the disk is sound");
    drop(opened);
    cluster.start(3, founders);
    assert!(!cluster.nodes[&3].replica.serves());
    is_as_others(&mut cluster, 3);
}

#[test]
fn what_is_received_is_confirmed_by_another_before_it_serves() {
    let mut cluster = worked(Mode::Leader);
    cluster.settings.check_us = 1_000_000;
    cluster.stop(3);
    (1..=2).for_each(|number| cluster.stop(number));
    let founders = cluster.founders(3);
    (1..=2).for_each(|number| cluster.start(number, founders.clone()));
    work(&mut cluster, 1, 301, 300);
    cluster.disks.remove(&3);
    let group = cluster.must_change(1, Op::Admit { node: id(4), member: member(Role::Learner) });
    cluster.start(4, group);
    cluster.until("it has received", |cluster| {
        cluster.nodes[&4].replica.transfer().is_none() && cluster.journal_bytes > 0
    });
    assert!(!cluster.nodes[&4].replica.serves(), "nobody has said that this is right");
    let seq = cluster.ask(4, crate::machine::add(1, 1, 1));
    assert_eq!(cluster.answer(4, seq), Err(Refusal::Receiving));
    assert_eq!(cluster.read(4), None);
    is_as_others(&mut cluster, 4);
}

#[test]
fn where_nobody_else_is_left_the_sender_confirms_what_it_sent() {
    let mut cluster = worked(Mode::Leader);
    cluster.settings.check_us = 1_000_000;
    let founders = cluster.founders(3);
    (1..=3).for_each(|number| cluster.stop(number));
    (1..=2).for_each(|number| cluster.start(number, founders.clone()));
    cluster.checkpoint(2);
    cluster.stop(2);
    cluster.start(3, founders.clone());
    work(&mut cluster, 1, 301, 300);
    // Node 3 goes for good, and node 2 has only node 1 to receive from.
    cluster.stop(3);
    cluster.start(2, founders);
    cluster.until("it has received", |cluster| {
        cluster.nodes[&2].replica.transfer().is_none() && cluster.journal_bytes > 0
    });
    assert!(!cluster.nodes[&2].replica.serves(), "nobody has said that this is right");
    is_as_others(&mut cluster, 2);
}

#[test]
fn a_long_journal_is_received_in_stretches() {
    let mut cluster = worked(Mode::Leader);
    cluster.settings.transfer_places = 50;
    let group = cluster.must_change(1, Op::Admit { node: id(4), member: member(Role::Learner) });
    cluster.start(4, group);
    is_as_others(&mut cluster, 4);
}

#[test]
fn what_is_chosen_while_the_state_is_received_waits_for_it() {
    let mut cluster = worked(Mode::Leader);
    cluster.checkpoint(3);
    cluster.stop(3);
    work(&mut cluster, 1, 301, 300);
    let founders = cluster.founders(3);
    let through = cluster.applied(1);
    let mut opened = cluster.open(3, founders.clone()).expect("it starts");
    opened.log.install(through).expect("the disk is sound");
    drop(opened);
    cluster.drops_journal = true;
    cluster.start(3, founders);
    let before = cluster.applied(3);
    work(&mut cluster, 1, 601, 20);
    cluster.must_change(1, Op::SetMode { mode: Mode::Leaderless });
    assert!(cluster.nodes[&3].replica.status().chosen.get() > through, "it learns, and votes");
    assert_eq!(cluster.applied(3), before, "and applies nothing");
    cluster.drops_journal = false;
    is_as_others(&mut cluster, 3);
    assert_eq!(cluster.nodes[&3].replica.paxos().mode(), Mode::Leaderless);
}

#[test]
fn of_a_journal_that_rotted_only_what_is_bad_travels() {
    let mut cluster = worked(Mode::Leader);
    let places = cluster.nodes[&3].applier.places();
    (1..=3).for_each(|number| cluster.checkpoint(number));
    cluster.stop(3);
    cluster.disks[&3].flip(&Path::new(DIR).join("journal/000000"), 256 * 21 + 70);
    cluster.distrust = true;
    let founders = cluster.founders(3);
    cluster.start(3, founders);
    is_as_others(&mut cluster, 3);
    assert!(cluster.journal_bytes > 0);
    // A piece is asked for at a time, and there are more good batches in it than bad ones.
    assert!(places > 500 && cluster.mended[&3] == 1, "{places} places, {} mended", cluster.mended[&3]);
}

#[test]
fn a_node_alone_keeps_its_checkpoint_when_journal_and_log_cannot_replace_it() {
    let mut cluster = Cluster::new(1, Mode::Leader);
    cluster.settings.tail_slots = 2;
    cluster.stop(1);
    let founders = cluster.founders(1);
    cluster.start(1, founders.clone());
    work(&mut cluster, 1, 1, 300);
    cluster.checkpoint(1);
    assert!(cluster.nodes[&1].log.first_slot() > 100, "the log was trimmed");
    let sums = cluster.sums(1);
    cluster.stop(1);
    let journal = Path::new(DIR).join("journal/000000");
    cluster.disks[&1].flip(&journal, 256 * 21 + 70);
    cluster.distrust = true;
    let refused = cluster.open(1, founders.clone()).expect_err("what lies between is missing");
    assert!(matches!(refused, RecoverError::Gap { .. }), "{refused}");
    cluster.distrust = false;
    cluster.start(1, founders);
    assert_eq!(cluster.sums(1), sums, "the checkpoint was not thrown away");
}
