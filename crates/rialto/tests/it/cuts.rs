//! Nodes that run but cannot reach each other: the majority goes on, the minority says so, and in the end all are equal and
//! exactly what was acknowledged is there. In real network namespaces; see `lab`.

use std::time::{Duration, Instant};

use crate::apart::{Bank, Mode, Payers, dir, note};
use crate::lab::{Drop, Way, between};

/// A node that is cut off falls silent without a word; so long may its clients' neighbours wait at most. On a quiet
/// machine it is a few hundred milliseconds; tests share theirs.
const PAUSE_MAX: Duration = Duration::from_millis(4_000);
/// Each cut lasts so long: who is served only when it heals has waited for all of it.
const CUT: Duration = Duration::from_millis(5_000);
/// Long after the cut, ballots are counted for so long. Two nodes that take over from each other begin one every tenth of
/// a second or so.
const SETTLED: Duration = Duration::from_secs(2);
/// A busy machine may well delay a heartbeat once in a while.
const BALLOTS_MAX: u64 = 6;

fn wait(time: Duration) {
    std::thread::sleep(time);
}

/// Cuts off one node while people pay at all of them; the others go on, it refuses, and afterwards all is well.
fn cut_in_two(mode: Mode, name: &str, who: impl Fn(&Bank) -> u16) {
    let dir = dir(name, mode);
    let Some(bank) = Bank::start(&dir, mode, 3) else { return };
    let payers = Payers::start(&bank, &[1, 2, 3]);
    let alone = who(&bank);
    wait(Duration::from_millis(300));
    let cut = Instant::now();
    bank.lab.isolate(alone);
    bank.refuses(alone, payers.other_account());
    wait(CUT.saturating_sub(cut.elapsed()));
    let healed = Instant::now();
    bank.lab.heal();
    bank.all_well();
    let paid = payers.stop(&bank);
    let pauses: Vec<_> = bank.lab.others(alone).map(|node| (node, paid[&node].longest_pause(cut, healed))).collect();
    note(mode, name, &pauses);
    for (node, pause) in pauses {
        assert!(pause <= PAUSE_MAX, "people at node {node} waited {pause:?} though a majority was whole");
    }
    bank.all_well();
}

/// The holder's cable is pulled while people pay at the others, and put back.
fn pulled_cable(mode: Mode, name: &str) {
    let dir = dir(name, mode);
    let Some(bank) = Bank::start(&dir, mode, 3) else { return };
    let alone = bank.holder();
    let others: Vec<u16> = bank.lab.others(alone).collect();
    let payers = Payers::start(&bank, &others);
    wait(Duration::from_millis(300));
    let cut = Instant::now();
    bank.lab.set_link(alone, "down");
    wait(CUT);
    let healed = Instant::now();
    bank.lab.set_link(alone, "up");
    bank.all_well();
    let paid = payers.stop(&bank);
    let pauses: Vec<_> = others.iter().map(|node| (*node, paid[node].longest_pause(cut, healed))).collect();
    note(mode, name, &pauses);
    for (node, pause) in pauses {
        assert!(pause <= PAUSE_MAX, "people at node {node} waited {pause:?} though a majority was whole");
    }
}

/// Only the messages are dropped, one way; those that can go on do, and nobody takes over again and again in vain.
fn one_way(mode: Mode, name: &str, ways: impl Fn(&Bank, u16) -> Vec<Way>, who: impl Fn(&Bank) -> u16) {
    let dir = dir(name, mode);
    let Some(bank) = Bank::start(&dir, mode, 3) else { return };
    let payers = Payers::start(&bank, &[1, 2, 3]);
    let odd = who(&bank);
    wait(Duration::from_millis(300));
    let cut = Instant::now();
    bank.lab.cut(Drop::Messages, &ways(&bank, odd));
    wait(CUT);
    let settled = bank.round();
    wait(SETTLED);
    let rounds = bank.round() - settled;
    let healed = Instant::now();
    bank.lab.heal();
    bank.all_well();
    let paid = payers.stop(&bank);
    let pauses: Vec<_> = bank.lab.others(odd).map(|node| (node, paid[&node].longest_pause(cut, healed))).collect();
    note(mode, name, &pauses);
    for (node, pause) in pauses {
        assert!(pause <= PAUSE_MAX, "people at node {node} waited {pause:?} though it and another hear each other");
    }
    if mode == Mode::Leader {
        assert!(rounds <= BALLOTS_MAX, "{rounds} ballots within {SETTLED:?}, long after the cut");
    }
    bank.all_well();
}

/// It hears nobody; everybody hears it.
fn deaf(bank: &Bank, node: u16) -> Vec<Way> {
    bank.lab.others(node).map(|other| Way { from: other, to: node }).collect()
}

/// It hears everybody; nobody hears it.
fn mute(bank: &Bank, node: u16) -> Vec<Way> {
    bank.lab.others(node).map(|other| Way { from: node, to: other }).collect()
}

/// Cuts links until people at some nodes can be served through one that still reaches a majority; they are, in time.
fn partial(mode: Mode, name: &str, count: u16, cut_links: impl Fn(&Bank) -> Vec<u16>) {
    let dir = dir(name, mode);
    let Some(bank) = Bank::start(&dir, mode, count) else { return };
    let nodes: Vec<u16> = (1..=count).collect();
    let payers = Payers::start(&bank, &nodes);
    wait(Duration::from_millis(300));
    let cut = Instant::now();
    let served = cut_links(&bank);
    wait(CUT);
    let settled = bank.round();
    wait(SETTLED);
    let rounds = bank.round() - settled;
    let healed = Instant::now();
    bank.lab.heal();
    bank.all_well();
    let paid = payers.stop(&bank);
    let pauses: Vec<_> = served.iter().map(|node| (*node, paid[node].longest_pause(cut, healed))).collect();
    note(mode, name, &pauses);
    for (node, pause) in pauses {
        assert!(pause <= PAUSE_MAX, "people at node {node} waited {pause:?} though it reaches one that has a majority");
    }
    if mode == Mode::Leader {
        assert!(rounds <= BALLOTS_MAX, "{rounds} ballots within {SETTLED:?}, long after the cut");
    }
    bank.all_well();
}

/// All links are cut but those of one node, which was not the holder: only it still reaches a majority.
fn quorum_loss(bank: &Bank) -> Vec<u16> {
    let hub = bank.other();
    let rim: Vec<u16> = bank.lab.others(hub).collect();
    let pairs =
        rim.iter().flat_map(|one| rim.iter().filter(move |other| one < *other).map(move |other| (*one, *other)));
    let ways: Vec<Way> = pairs.flat_map(|(one, other)| between(one, other)).collect();
    bank.lab.cut(Drop::Packets, &ways);
    (1..=5).collect()
}

/// The holder is cut off wholly, and the others reach only one of them, which was behind when that happened.
fn constrained_election(bank: &Bank) -> Vec<u16> {
    let holder = bank.holder();
    let hub = bank.lab.others(holder).next().expect("there are five");
    bank.lab.cut(Drop::Packets, &between(holder, hub));
    wait(Duration::from_millis(400));
    let rim: Vec<u16> = bank.lab.others(hub).filter(|node| *node != holder).collect();
    let pairs =
        rim.iter().flat_map(|one| rim.iter().filter(move |other| one < *other).map(move |other| (*one, *other)));
    let mut ways: Vec<Way> = pairs.flat_map(|(one, other)| between(one, other)).collect();
    ways.extend(rim.iter().flat_map(|node| between(holder, *node)));
    bank.lab.cut(Drop::Packets, &ways);
    rim.into_iter().chain([hub]).collect()
}

/// The holder and another do not reach each other; both reach the third.
fn chained(bank: &Bank) -> Vec<u16> {
    let holder = bank.holder();
    let mut others = bank.lab.others(holder);
    let (middle, end) = (others.next().expect("there are three"), others.next().expect("there are three"));
    bank.lab.cut(Drop::Packets, &between(holder, end));
    vec![holder, middle, end]
}

#[test]
fn a_follower_cut_off_changes_nothing_for_the_others() {
    cut_in_two(Mode::Leader, "follower-cut-off", Bank::other);
}

#[test]
fn a_leader_cut_off_is_followed_by_another() {
    cut_in_two(Mode::Leader, "leader-cut-off", Bank::holder);
}

#[test]
fn a_leader_whose_cable_is_pulled_is_followed_by_another() {
    pulled_cable(Mode::Leader, "pulled-cable");
}

#[test]
fn a_leader_that_hears_nobody_is_followed_by_another() {
    one_way(Mode::Leader, "deaf-leader", deaf, Bank::holder);
}

#[test]
fn a_leader_that_nobody_hears_is_followed_by_another() {
    one_way(Mode::Leader, "mute-leader", mute, Bank::holder);
}

#[test]
fn a_follower_that_hears_nobody_does_not_disturb() {
    one_way(Mode::Leader, "deaf-follower", deaf, Bank::other);
}

#[test]
fn a_bank_whose_links_all_lead_to_one_node_goes_on_through_it() {
    partial(Mode::Leader, "quorum-loss", 5, quorum_loss);
}

#[test]
fn a_bank_whose_only_possible_leader_was_behind_goes_on_through_it() {
    partial(Mode::Leader, "constrained", 5, constrained_election);
}

#[test]
fn a_bank_in_a_chain_goes_on() {
    partial(Mode::Leader, "chained", 3, chained);
}

#[test]
fn without_a_leader_a_node_cut_off_changes_nothing_for_the_others() {
    cut_in_two(Mode::Leaderless, "node-cut-off", Bank::other);
}

#[test]
fn without_a_leader_a_proposer_that_is_cut_off_is_not_waited_for() {
    cut_in_two(Mode::Leaderless, "holder-cut-off", Bank::holder);
}

#[test]
fn without_a_leader_a_pulled_cable_is_not_waited_for() {
    pulled_cable(Mode::Leaderless, "pulled-cable");
}

#[test]
fn without_a_leader_a_proposer_that_hears_nobody_does_not_stay_the_proposer() {
    one_way(Mode::Leaderless, "deaf-holder", deaf, Bank::holder);
}

#[test]
fn without_a_leader_a_proposer_that_nobody_hears_does_not_stay_the_proposer() {
    one_way(Mode::Leaderless, "mute-holder", mute, Bank::holder);
}

#[test]
fn without_a_leader_a_node_that_can_send_but_not_hear_does_not_take_over_for_ever() {
    one_way(Mode::Leaderless, "deaf-node", deaf, Bank::other);
}

#[test]
fn without_a_leader_a_bank_whose_links_all_lead_to_one_node_goes_on_through_it() {
    partial(Mode::Leaderless, "quorum-loss", 5, quorum_loss);
}

#[test]
fn without_a_leader_a_bank_whose_only_way_was_behind_goes_on_through_it() {
    partial(Mode::Leaderless, "constrained", 5, constrained_election);
}

#[test]
fn without_a_leader_a_bank_in_a_chain_goes_on() {
    partial(Mode::Leaderless, "chained", 3, chained);
}
