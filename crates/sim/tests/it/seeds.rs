//! Whole runs with every rule in force.

use sim::campaign::{run_one, run_seeds};
use sim::run::Setup;
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
