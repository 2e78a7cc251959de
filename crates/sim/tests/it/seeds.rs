//! Whole runs with every rule in force.

use sim::campaign::{run_one, run_seeds};
use sim::plan::Scene;
use sim::run::{ModeChoice, Setup};
use sim::trace::Show;

#[test]
fn three_nodes_keep_every_promise_through_faults_of_every_kind() {
    let outcome = no_violation(3, 0..500);
    let happened = [
        ("crashes", outcome.crashes),
        ("crashes at a disk operation", outcome.crashes_in_disk),
        ("crashes in a fold", outcome.crashes_in_fold),
        ("power cuts", outcome.power_cuts),
        ("shutdowns", outcome.shutdowns),
        ("torn writes", outcome.torn_writes),
        ("full disks", outcome.disks_full),
        ("slow disks", outcome.disks_slow),
        ("cuts", outcome.cuts),
        ("lost connections", outcome.disconnects),
        ("clock jumps", outcome.clock_jumps),
        ("elections", outcome.elections),
        ("folds", outcome.folds),
        ("trims", outcome.trims),
        ("transfers", outcome.transfers),
        ("rejections", outcome.rejections),
        ("holds", outcome.holds),
        ("replays", outcome.replays),
        ("reads", outcome.reads),
        ("unknown outcomes", outcome.unknown),
    ];
    for (what, count) in happened {
        assert!(count > 0, "no {what} in any of the seeds: a run without them proves nothing about them");
    }
}

#[test]
fn five_nodes_keep_every_promise_through_faults_of_every_kind() {
    no_violation(5, 1000..1150);
}

#[test]
fn one_seed_is_one_run() {
    for seed in 7..11 {
        let [first, second] = [(); 2].map(|()| run_one(seed, &Setup::default(), Show::Nothing));
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert_eq!(first.tally, second.tally, "seed {seed}");
    }
    let hashes = [7, 8].map(|seed| run_one(seed, &Setup::default(), Show::Nothing).trace_hash);
    assert_ne!(hashes[0], hashes[1], "another seed is another run");
}

fn no_violation(nodes: usize, seeds: std::ops::Range<u64>) -> sim::tally::Tally {
    let setup = Setup { nodes: Some(nodes), ..Setup::default() };
    let outcome = run_seeds(seeds, 1, &setup, |_, _| {});
    assert_eq!(outcome.found, None, "follow it with --nodes {nodes} --trace");
    outcome.tally
}

/// One thing that most seeds only touch, and little else: what was answered in each mode, and of what the fate was left open.
fn scene(name: &str, seeds: u64) -> [sim::tally::Tally; 2] {
    let scene = Scene::named(name);
    assert!(scene.is_some(), "{name} is a scene");
    [ModeChoice::Leader, ModeChoice::Leaderless].map(|mode| {
        let setup = Setup { nodes: Some(3), mode, scene, ..Setup::default() };
        let outcome = run_seeds(0..seeds, 1, &setup, |_, _| {});
        assert!(outcome.found.is_none(), "{name} in {mode:?} mode: {:?}", outcome.found);
        outcome.tally
    })
}

/// Requests answered in a second of the run.
fn rate(tally: &sim::tally::Tally) -> u64 {
    tally.answered * 1_000 / tally.virtual_ms.max(1)
}

#[test]
fn on_a_disk_of_twenty_milliseconds_a_sync_leaderless_nodes_do_not_duel() {
    let [leader, leaderless] = scene("slow-disks", 10);
    // A fixed wait served a quarter of what a leader does; who waits as long as being chosen takes serves as much.
    assert!(rate(&leaderless) * 2 > rate(&leader), "{} and {} a second", rate(&leaderless), rate(&leader));
}

#[test]
fn a_node_that_is_heard_and_hears_nothing_keeps_nobody_from_being_served() {
    let [even_leader, even_leaderless] = scene("even-load", 10);
    let [leader, leaderless] = scene("deaf-node", 10);
    // Its own clients are served by the others: a third of all have one way less.
    assert!(rate(&leader) * 2 > rate(&even_leader), "{} of {} a second", rate(&leader), rate(&even_leader));
    assert!(
        rate(&leaderless) * 2 > rate(&even_leaderless),
        "{} of {} a second",
        rate(&leaderless),
        rate(&even_leaderless)
    );
}

#[test]
fn in_a_chain_everybody_is_served_also_by_the_end_that_does_not_hear_the_leader() {
    let [even_leader, even_leaderless] = scene("even-load", 10);
    let [leader, leaderless] = scene("chain", 10);
    assert_eq!(
        leader.unknown, 0,
        "a request at an end was given up though the other end is reached through the middle"
    );
    assert!(rate(&leader) * 2 > rate(&even_leader), "{} of {} a second", rate(&leader), rate(&even_leader));
    assert!(
        rate(&leaderless) * 3 > rate(&even_leaderless),
        "{} of {} a second",
        rate(&leaderless),
        rate(&even_leaderless)
    );
}

#[test]
fn from_three_nodes_to_seven_and_back_under_every_other_trouble() {
    for tally in scene("tour", 15) {
        assert!(tally.promoted > 0 && tally.removed > 0, "nobody came or went: {tally}");
        assert!(tally.answered > 0, "nobody was served: {tally}");
    }
}
