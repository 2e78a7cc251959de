//! Clocks that are wrong, in both modes: the log's time, and who still answers.

use crate::cluster::{Cluster, id};
use replica::group::Mode;

const DAY_MS: i64 = 24 * 3_600_000;
const MODES: [Mode; 2] = [Mode::Leader, Mode::Leaderless];

/// What a majority of clocks allows beyond what they say, and what is lost to rounding.
const ALLOWED_MS: i64 = 1_010;

/// How far the latest batch's time is ahead of the true time.
fn ahead_ms(cluster: &Cluster) -> i64 {
    let latest = cluster.nodes.values().map(|node| node.applier.machine().latest_ms).max();
    latest.unwrap_or_default() as i64 - cluster.true_ms() as i64
}

/// Every node adds something, again and again for so long, and never are the log's times further from the true time.
fn add_for(cluster: &mut Cluster, next: &mut u64, ms: u64) {
    let end_us = cluster.now_us + ms * 1_000;
    while cluster.now_us < end_us {
        for number in cluster.nodes.keys().copied().collect::<Vec<_>>() {
            *next += 1;
            assert_eq!(cluster.add(number, u128::from(*next), 1, 1), *next);
        }
        let ahead_ms = ahead_ms(cluster);
        assert!(ahead_ms.abs() <= ALLOWED_MS, "{ahead_ms} ms from the true time");
        cluster.pass(50_000);
    }
}

#[test]
fn clocks_that_jump_by_days_and_back_do_not_move_the_logs_time() {
    for mode in MODES {
        for who in [vec![1], vec![2], vec![1, 2], vec![2, 3], vec![1, 2, 3]] {
            let mut cluster = Cluster::new(3, mode);
            let mut next = 0;
            for by_ms in [DAY_MS, -DAY_MS, 30 * DAY_MS, -30 * DAY_MS] {
                add_for(&mut cluster, &mut next, 300);
                cluster.wall_ahead_ms = who.iter().map(|number| (*number, by_ms)).collect();
                add_for(&mut cluster, &mut next, 5_000);
                cluster.wall_ahead_ms.clear();
            }
            add_for(&mut cluster, &mut next, 300);
            assert!(cluster.nodes.values().all(|node| !node.replica.status().clock_off), "{mode:?} {who:?}");
        }
    }
}

#[test]
fn a_node_alone_with_a_wrong_clock_is_off_and_all_of_them_are_not() {
    for mode in MODES {
        let mut cluster = Cluster::new(3, mode);
        cluster.add(1, 1, 1, 1);
        let off = |cluster: &Cluster| -> Vec<u16> {
            let is_off = |number: &u16| cluster.nodes[number].replica.status().clock_off;
            cluster.nodes.keys().copied().filter(is_off).collect()
        };
        for by_ms in [DAY_MS, -40_000, 2 * 3_600_000] {
            cluster.wall_ahead_ms.insert(2, by_ms);
            cluster.until("the node says so", |cluster| off(cluster) == [2]);
            let status = cluster.nodes[&2].replica.status();
            assert!((status.clock_skew_ms - by_ms).abs() < 50, "{}", status.clock_skew_ms);
            assert!(mode == Mode::Leaderless || cluster.leader() != Some(2));
            cluster.wall_ahead_ms.clear();
            cluster.until("it is right again", |cluster| off(cluster).is_empty());
            cluster.wall_ahead_ms = (1..=3).map(|number| (number, by_ms)).collect();
            cluster.pass(1_000_000);
            assert!(off(&cluster).is_empty(), "there is nobody better to send callers to");
            assert!(cluster.nodes.values().all(|node| node.replica.status().clock_jumped));
            cluster.wall_ahead_ms.clear();
            cluster.until("it is right again", |cluster| {
                cluster.nodes.values().all(|node| !node.replica.status().clock_jumped)
            });
        }
    }
}

#[test]
fn a_node_that_starts_with_a_clock_ahead_moves_no_time_also_where_only_two_are_there() {
    for mode in MODES {
        for others in [vec![1, 3], vec![1]] {
            let mut cluster = Cluster::new(3, mode);
            let mut next = 0;
            add_for(&mut cluster, &mut next, 200);
            (2..=3).for_each(|number| cluster.stop(number));
            if others.contains(&3) {
                let founders = cluster.founders(3);
                cluster.start(3, founders);
            }
            cluster.wall_ahead_ms.insert(2, DAY_MS);
            let founders = cluster.founders(3);
            cluster.start(2, founders);
            // Whoever leads: also the node itself, if it has to.
            cluster.step(2, replica::Input::Elect);
            add_for(&mut cluster, &mut next, 2_000);
            cluster.step(2, replica::Input::Elect);
            add_for(&mut cluster, &mut next, 2_000);
        }
    }
}

#[test]
fn a_clock_that_is_wrong_for_long_enough_to_be_believed_moves_no_time() {
    // A request may come just when the clock is believed, before the others have answered anew.
    for later_ms in (0..100).step_by(5) {
        let mut cluster = Cluster::new(3, Mode::Leaderless);
        cluster.stop(1);
        cluster.jump_trusted_us = 1_000_000;
        let founders = cluster.founders(3);
        cluster.start(1, founders);
        cluster.add(1, 1, 1, 1);
        cluster.wall_ahead_ms.insert(1, DAY_MS);
        cluster.pass((950 + later_ms) * 1_000);
        assert_eq!(cluster.add(1, 2, 1, 1), 2);
        let ahead_ms = ahead_ms(&cluster);
        assert!(ahead_ms.abs() <= ALLOWED_MS, "{ahead_ms} ms from the true time, {later_ms} ms later");
        cluster.until("it is off", |cluster| cluster.nodes[&1].replica.status().clock_off);
    }
}

#[test]
fn a_log_whose_time_is_ahead_goes_on_at_half_the_speed_until_the_clocks_have_come_after_it() {
    for mode in MODES {
        let mut cluster = Cluster::new(3, mode);
        // All of a machine's nodes start while its clock is wrong: nothing here can know better.
        let everybody = |ahead_ms| (1..=3).map(|number| (number, ahead_ms)).collect();
        let again = |cluster: &mut Cluster, ahead_ms| {
            (1..=3).for_each(|number| cluster.stop(number));
            cluster.wall_ahead_ms = everybody(ahead_ms);
            for number in 1..=3 {
                let founders = cluster.founders(3);
                cluster.start(number, founders);
            }
        };
        again(&mut cluster, 10_000);
        cluster.add(1, 1, 1, 1);
        again(&mut cluster, 0);
        cluster.add(1, 2, 1, 1);
        let (began_us, began_ms) = (cluster.now_us, ahead_ms(&cluster));
        assert!((9_000..=10_000).contains(&began_ms), "{began_ms}");
        for next in 3..=20 {
            cluster.add(1, next, 1, 1);
            let passed_ms = (cluster.now_us - began_us) as i64 / 1_000;
            let expected_ms = (began_ms - passed_ms / 2).max(0);
            let (ahead_ms, now) = (ahead_ms(&cluster), cluster.now(1));
            assert!((ahead_ms - expected_ms).abs() < 300, "{ahead_ms} after {passed_ms}, not {expected_ms}");
            let node = cluster.nodes.get_mut(&1).expect("it runs");
            assert!(node.replica.log_ahead_ms(now).abs_diff(expected_ms as u64) < 300, "and it says so");
            cluster.pass(1_500_000);
        }
        assert!(ahead_ms(&cluster).abs() < 2_000);
    }
}

#[test]
fn in_a_chain_the_end_that_does_not_hear_the_leader_reaches_it_through_the_middle() {
    for (leader, other) in [(1, 3), (3, 1)] {
        let mut cluster = Cluster::new(3, Mode::Leader);
        cluster.add(1, 1, 1, 1);
        cluster.step(leader, replica::Input::Elect);
        cluster.until("it leads", |cluster| cluster.leader() == Some(leader));
        cluster.add(2, 2, 1, 1);
        cluster.cut.extend([(1, 3), (3, 1)]);
        cluster.step(1, replica::Input::Disconnected(id(3)));
        cluster.step(3, replica::Input::Disconnected(id(1)));
        for next in 3..=12 {
            let before_us = cluster.now_us;
            assert_eq!(cluster.add(other, u128::from(next), 1, 1), next);
            assert!(cluster.read(other).is_some());
            assert!(cluster.now_us - before_us < 400_000, "{} us", cluster.now_us - before_us);
        }
        assert_eq!(cluster.leader(), Some(leader), "and nobody fights for the lead");
        let mode = replica::group::Op::SetMode { mode: Mode::Leaderless };
        assert_eq!(cluster.must_change(other, mode).mode, Mode::Leaderless, "a change goes the same way");
        assert_eq!(cluster.add(other, 13, 1, 1), 13);
    }
}

#[test]
fn what_the_leader_refuses_through_the_middle_was_not_done() {
    let mut cluster = Cluster::new(3, Mode::Leader);
    cluster.add(1, 1, 1, 1);
    cluster.step(1, replica::Input::Elect);
    cluster.until("it leads", |cluster| cluster.leader() == Some(1));
    cluster.cut.extend([(1, 3), (3, 1)]);
    cluster.pass(200_000);
    cluster.step(1, replica::Input::Leave);
    let seq = cluster.ask(3, crate::machine::add(2, 1, 1));
    assert!(matches!(cluster.answer(3, seq), Ok(replica::Reply::Answer(2))), "another leads, and it is done there");
}
