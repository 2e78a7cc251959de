//! Modes, members and checks, on a group that runs.

use crate::cluster::{Cluster, id, member};
use replica::group::{ChangeRefused, Mode, Op, Role};
use replica::{Refusal, Reply};

#[test]
fn a_group_founds_itself_and_answers_in_both_modes_alike() {
    for mode in [Mode::Leader, Mode::Leaderless] {
        let mut cluster = Cluster::new(3, mode);
        for (node, sum) in [(1, 5), (2, 10), (3, 15)] {
            assert_eq!(cluster.add(node, u128::from(node), 7, 5), sum, "{mode:?}");
        }
        assert_eq!(cluster.add(1, 3, 7, 5), 15, "{mode:?}: one id, one outcome");
        assert!(cluster.read(2).is_some());
        for (number, node) in &cluster.nodes {
            let group = node.replica.group();
            assert_eq!((group.version, group.mode, group.members.len()), (1, mode, 3), "node {number}");
        }
    }
}

#[test]
fn the_mode_changes_through_the_log_and_asking_twice_is_safe() {
    let mut cluster = Cluster::new(3, Mode::Leader);
    cluster.add(1, 1, 1, 1);
    let leaderless = Op::SetMode { mode: Mode::Leaderless };
    let answer = cluster.change(2, 1, leaderless.clone());
    assert!(matches!(&answer, Ok(Reply::Group(Ok(group))) if group.version == 2), "{answer:?}");
    let again = cluster.change(3, 1, leaderless);
    assert!(matches!(again, Ok(Reply::Group(Err(ChangeRefused::Already { version: 2 })))), "{again:?}");
    cluster.pass(100_000);
    assert!(cluster.nodes.values().all(|node| node.replica.paxos().mode() == Mode::Leaderless));
    for (at, node) in (2_u64..).zip([1, 2, 3, 1, 2, 3]) {
        assert_eq!(cluster.add(node, u128::from(at), 1, 1), at);
    }
}

#[test]
fn without_a_leader_the_dead_holder_is_not_waited_for() {
    let mut cluster = Cluster::new(3, Mode::Leaderless);
    cluster.add(1, 1, 1, 1);
    let holder = cluster.leader().expect("somebody is the proposer");
    let other = if holder == 1 { 2 } else { 1 };
    cluster.add(other, 2, 1, 1);
    cluster.stop(holder);
    let before_us = cluster.now_us;
    assert_eq!(cluster.add(other, 3, 1, 1), 3);
    assert!(cluster.now_us - before_us <= 50_000, "{} us", cluster.now_us - before_us);
}

#[test]
fn what_was_passed_on_to_a_holder_that_hangs_is_proposed_by_who_kept_it() {
    let mut cluster = Cluster::new(3, Mode::Leaderless);
    cluster.add(1, 1, 1, 1);
    let holder = cluster.leader().expect("somebody is the proposer");
    let other = if holder == 1 { 2 } else { 1 };
    // It hears, and says nothing more that is heard; its connections stand.
    for to in 1..=3 {
        cluster.cut.insert((holder, to));
    }
    assert_eq!(cluster.add(other, 2, 1, 1), 2);
    cluster.cut.clear();
    assert_eq!(cluster.add(holder, 2, 1, 1), 2);
}

#[test]
fn members_come_and_go_while_the_group_serves() {
    for mode in [Mode::Leader, Mode::Leaderless] {
        let mut cluster = Cluster::new(3, mode);
        let mut sum = 0;
        let mut add = |cluster: &mut Cluster, node| {
            sum += 1;
            assert_eq!(cluster.add(node, u128::from(sum), 1, 1), sum);
        };
        add(&mut cluster, 1);
        for number in 4..=5 {
            let group = cluster.must_change(1, Op::Admit { node: id(number), member: member(Role::Learner) });
            cluster.start(number, group);
            add(&mut cluster, 2);
            let wanted = cluster.applied(2);
            cluster.until("the newcomer has caught up", |cluster| cluster.applied(number) >= wanted);
            cluster.must_change(2, Op::Promote { node: id(number) });
            add(&mut cluster, number);
        }
        assert_eq!(cluster.nodes[&3].replica.group().voters().count(), 5);
        for number in 1..=2 {
            cluster.must_change(4, Op::Remove { node: id(number) });
            add(&mut cluster, 5);
            cluster.pass(200_000);
            // What is chosen counts as kept with the next vote.
            add(&mut cluster, 5);
            cluster.pass(200_000);
            cluster.until("it may leave", |cluster| cluster.nodes[&number].replica.status().may_leave);
            cluster.stop(number);
            add(&mut cluster, 3);
        }
        cluster.stop(3);
        add(&mut cluster, 4);
        add(&mut cluster, 5);
        let marks = [4, 5].map(|number| cluster.nodes[&number].applier.mark());
        assert_eq!(marks[0], marks[1], "a newcomer that learned all slots has the same journal");
        let group = cluster.nodes[&5].replica.group();
        assert_eq!(group.voters().map(|node| node.get()).collect::<Vec<_>>(), [3, 4, 5], "{mode:?}");
    }
}

#[test]
fn a_removed_node_sends_its_callers_elsewhere_at_once() {
    for mode in [Mode::Leader, Mode::Leaderless] {
        let mut cluster = Cluster::new(3, mode);
        cluster.add(1, 1, 1, 1);
        cluster.must_change(1, Op::Remove { node: id(3) });
        cluster.until("it knows", |cluster| cluster.nodes[&3].replica.group().role(id(3)).is_none());
        let seq = cluster.ask(3, crate::machine::add(2, 1, 1));
        assert_eq!(cluster.nodes[&3].told.get(&seq), Some(&Err(Refusal::Leaving)), "{mode:?}");
        assert_eq!(cluster.read(3), None);
        assert_eq!(cluster.add(1, 2, 1, 1), 2);
    }
}

#[test]
fn a_group_that_was_changed_is_the_same_after_a_restart() {
    let mut cluster = Cluster::new(3, Mode::Leader);
    cluster.add(1, 1, 1, 1);
    let group = cluster.must_change(1, Op::Admit { node: id(4), member: member(Role::Learner) });
    cluster.must_change(1, Op::SetMode { mode: Mode::Leaderless });
    cluster.add(1, 2, 1, 1);
    cluster.pass(500_000);
    let before = cluster.nodes[&1].replica.group().clone();
    assert_eq!((before.version, before.members.len()), (group.version + 1, 4));
    for with_checkpoint in [false, true] {
        if with_checkpoint {
            (1..=3).for_each(|number| cluster.checkpoint(number));
        }
        (1..=3).for_each(|number| cluster.stop(number));
        let founders = cluster.founders(3);
        (1..=3).for_each(|number| cluster.start(number, founders.clone()));
        for number in 1..=3 {
            assert_eq!(cluster.nodes[&number].replica.group(), &before, "checkpoint: {with_checkpoint}");
            assert_eq!(cluster.nodes[&number].replica.paxos().mode(), Mode::Leaderless);
        }
    }
    assert_eq!(cluster.add(2, 3, 1, 1), 3);
}

#[test]
fn a_node_whose_books_a_control_changed_finds_out_that_it_is_the_one() {
    for mode in [Mode::Leader, Mode::Leaderless] {
        let mut cluster = Cluster::new(3, mode);
        cluster.settings.check_us = 1_000_000;
        (1..=3).for_each(|number| cluster.stop(number));
        let founders = cluster.founders(3);
        (1..=3).for_each(|number| cluster.start(number, founders.clone()));
        for name in 0..8 {
            cluster.add(1, u128::from(name) + 1, name, 100);
        }
        cluster.pass(9_000_000);
        assert!(cluster.nodes.values().all(|node| node.diverged.is_none()), "{mode:?}: no false alarm");
        #[cfg(feature = "controls")]
        {
            *cluster.nodes.get_mut(&2).expect("it runs").applier.machine_mut().sums.entry(5).or_default() += 1;
            cluster.pass(10_000_000);
            let diverged: Vec<bool> = cluster.nodes.values().map(|node| node.diverged.is_some()).collect();
            assert_eq!(diverged, [false, true, false], "{mode:?}");
        }
    }
}
