//! Random faults: messages lost, doubled and reordered, links cut, nodes crashed with or without what they had not
//! synced, syncs held back, elections out of the blue. After every step the cluster checks agreement, order and every
//! node's invariants; at the end, healed, it must make progress.

use crate::cluster::{ALPHA, Cluster, Unsynced, node, slot};
use paxos::{Mode, NodeId};
use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Deliver(u16, u16),
    Lose(u16, u16),
    Double(u16, u16),
    /// The first message goes behind the others.
    Delay(u16, u16),
    Sync(u16),
    Tick,
    Rounds,
    Propose(u16),
    Read(u16),
    Elect(u16),
    Crash(u16, bool),
    Start(u16),
    Cut(u16, u16),
    Heal,
    Drain,
    /// In leaderless mode: a caller's request, which is kept until it is chosen.
    Ask(u16),
    /// One node hears of another mode than the others.
    Mode(u16, bool),
    /// The proposer is asked to take this node in, as a learner or with a vote, or to remove it.
    Change(u16, u8),
    /// No-ops, so that a change comes into force.
    Fill(u16),
}

/// What besides faults and proposals happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// Callers whose requests are kept, and nodes that change their minds about the mode.
    Modes,
    /// Members come and go as well.
    Members,
}

pub(crate) fn steps(size: u16, kind: Kind) -> impl Strategy<Value = Vec<Step>> {
    let node = || 1..=size;
    let pair = || (1..=size, 1..=size);
    let mut step = vec![
        (30, pair().prop_map(|(from, to)| Step::Deliver(from, to)).boxed()),
        (3, pair().prop_map(|(from, to)| Step::Lose(from, to)).boxed()),
        (2, pair().prop_map(|(from, to)| Step::Double(from, to)).boxed()),
        (3, pair().prop_map(|(from, to)| Step::Delay(from, to)).boxed()),
        (14, node().prop_map(Step::Sync).boxed()),
        (5, Just(Step::Tick).boxed()),
        (3, Just(Step::Rounds).boxed()),
        (12, node().prop_map(Step::Propose).boxed()),
        (2, node().prop_map(Step::Read).boxed()),
        (2, node().prop_map(Step::Elect).boxed()),
        (2, (node(), any::<bool>()).prop_map(|(node, kept)| Step::Crash(node, kept)).boxed()),
        (4, node().prop_map(Step::Start).boxed()),
        (2, pair().prop_map(|(from, to)| Step::Cut(from, to)).boxed()),
        (2, Just(Step::Heal).boxed()),
        (2, Just(Step::Drain).boxed()),
    ];
    if kind != Kind::Plain {
        step.push((6, node().prop_map(Step::Ask).boxed()));
        step.push((1, (node(), any::<bool>()).prop_map(|(node, leader)| Step::Mode(node, leader)).boxed()));
    }
    if kind == Kind::Members {
        step.push((6, (node(), 0_u8..3).prop_map(|(node, what)| Step::Change(node, what)).boxed()));
        step.push((5, node().prop_map(Step::Fill).boxed()));
    }
    prop::collection::vec(proptest::strategy::Union::new_weighted(step), 100..400)
}

pub(crate) fn play(cluster: &mut Cluster, size: u16, steps: Vec<Step>) {
    let mut reads = BTreeMapOfReads::new();
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Deliver(from, to) => {
                cluster.deliver(from, to);
            }
            Step::Lose(from, to) => {
                cluster.queues.entry((from, to)).or_default().pop_front();
            }
            Step::Double(from, to) => {
                let queue = cluster.queues.entry((from, to)).or_default();
                queue.extend(queue.front().cloned());
            }
            Step::Delay(from, to) => {
                let queue = cluster.queues.entry((from, to)).or_default();
                if !queue.is_empty() {
                    queue.rotate_left(1);
                }
            }
            Step::Sync(node) => cluster.sync(node),
            Step::Tick => cluster.tick(),
            Step::Rounds => {
                for _ in 0..6 {
                    cluster.tick();
                }
            }
            Step::Propose(node) => {
                cluster.propose(node, &format!("{number} of {node}"));
            }
            Step::Read(node) => {
                let chosen = cluster.truth.last_key_value().map(|(slot, _)| *slot).unwrap_or_default();
                reads.insert((node, number as u64), chosen);
                cluster.call(node, |paxos, now, fx| paxos.read(now, number as u64, fx));
            }
            Step::Elect(node) => {
                cluster.call(node, |paxos, now, fx| paxos.elect(now, fx));
            }
            Step::Crash(node, kept) => {
                if cluster.is_up(node) {
                    cluster.crash(node, if kept { Unsynced::Kept } else { Unsynced::Lost });
                }
            }
            Step::Start(node) => {
                if !cluster.is_up(node) {
                    cluster.start(node);
                }
            }
            Step::Cut(from, to) => {
                if from != to {
                    cluster.cut.insert((from, to));
                }
            }
            Step::Heal => cluster.heal(),
            Step::Drain => cluster.drain(),
            Step::Ask(node) => cluster.ask(node, &format!("{number} asked of {node}")),
            Step::Mode(node, leader) => {
                let mode = if leader { Mode::Leader } else { Mode::Leaderless };
                cluster.call(node, |paxos, now, fx| paxos.set_mode(now, mode, fx));
            }
            Step::Change(node, what) => change(cluster, node, what),
            Step::Fill(node) => {
                cluster.call(node, |paxos, _, fx| paxos.nudge(slot(u64::MAX), fx));
            }
        }
    }
    for ((node, id), chosen_before) in reads {
        for (_, through) in cluster.nodes[&node].reads.iter().filter(|(read, _)| *read == id) {
            assert!(*through >= chosen_before, "read {id} on node {node} misses what was chosen before it began");
        }
    }
    cluster.heal();
    for node in 1..=size {
        if !cluster.is_up(node) {
            cluster.start(node);
        }
        let mode = cluster.mode;
        cluster.call(node, |paxos, now, fx| paxos.set_mode(now, mode, fx));
    }
    // A change may still come into force meanwhile, so those who must know are asked anew.
    for number in 0..2 * ALPHA {
        let newest = cluster.nodes.values().max_by_key(|node| node.group.membership.version).expect("nodes");
        let voters: Vec<u16> = newest.group.membership.voters.iter().map(|node| node.get()).collect();
        cluster.choose(&format!("at the end {number}"), &voters);
    }
}

/// One node more or less at a time, as the group's rule demands.
fn change(cluster: &mut Cluster, number: u16, what: u8) {
    let Some(holder) = cluster.holder() else { return };
    let group = cluster.nodes[&holder].group.clone();
    let numbers = |nodes: &[NodeId]| nodes.iter().map(|node| node.get()).filter(|node| *node != number).collect();
    let mut voters: Vec<u16> = numbers(&group.membership.voters);
    let mut learners: Vec<u16> = numbers(&group.membership.learners);
    match what {
        0 if !group.membership.is_voter(node(number)) => learners.push(number),
        1 => voters.push(number),
        _ => {}
    }
    if !voters.is_empty() {
        cluster.propose(holder, &group.change(&voters, &learners));
    }
}

type BTreeMapOfReads = std::collections::BTreeMap<(u16, u64), paxos::Slot>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn three_nodes_agree_whatever_happens(steps in steps(3, Kind::Modes), mode in mode()) {
        play(&mut Cluster::of(3, 3, mode), 3, steps);
    }

    #[test]
    fn five_nodes_agree_whatever_happens(steps in steps(5, Kind::Modes), mode in mode()) {
        play(&mut Cluster::of(5, 5, mode), 5, steps);
    }

    #[test]
    fn nodes_that_come_and_go_agree_whatever_happens(steps in steps(5, Kind::Members), mode in mode()) {
        play(&mut Cluster::of(3, 5, mode), 5, steps);
    }
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Leader), Just(Mode::Leaderless)]
}
