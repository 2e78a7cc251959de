//! The same random faults find each safety rule that is switched off: the test that guards agreement can fail.
//!
//! The runs are seeded by their number, so the count until the find is the same every time.

use crate::cluster::{Cluster, Unsynced};
use crate::members;
use crate::random::{Kind, play, steps};
use paxos::{Control, Mode};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::panic::{AssertUnwindSafe, catch_unwind};

const RUNS_MAX: u64 = 4_000;

/// In both modes.
fn is_found(control: Control) {
    is_found_in(control, Mode::Leader, Kind::Plain);
    is_found_in(control, Mode::Leaderless, Kind::Modes);
}

fn is_found_in(control: Control, mode: Mode, kind: Kind) {
    for seed in 0..RUNS_MAX {
        for size in [3, 5] {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
            let mut runner = TestRunner::new_with_rng(Config::default(), rng);
            let steps = steps(size, kind).new_tree(&mut runner).expect("the strategy filters nothing").current();
            let run = || play(&mut Cluster::of(size, size, mode).without(control), size, steps);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
                let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                assert!(said.contains("agreement"), "{control:?} is found by what it breaks, not by {said}");
                println!("{control:?}, {mode:?}: found with seed {seed}, {size} nodes");
                return;
            }
        }
    }
    panic!("{control:?} was not found in {RUNS_MAX} runs in {mode:?} mode");
}

/// Random steps hit this one too seldom, so the faults are aimed: node 3 alone has the holder's vote, the holder crashes
/// with its own unwritten, stands again with 2, and fills the same slot with something else.
#[test]
fn a_ballot_used_again_is_found() {
    let aimed = |mut cluster: Cluster| {
        cluster.elect(1);
        cluster.cut_both(1, 2);
        cluster.cut_both(2, 3);
        cluster.call(2, |paxos, now, fx| paxos.resign(now, fx));
        cluster.nodes.get_mut(&1).expect("node 1").disk_hangs = true;
        cluster.propose(1, "first");
        cluster.drain();
        cluster.crash(1, Unsynced::Lost);
        cluster.nodes.get_mut(&1).expect("node 1").disk_hangs = false;
        cluster.heal();
        cluster.cut_both(1, 3);
        cluster.cut_both(2, 3);
        cluster.start(1);
        cluster.choose("second", &[1, 2]);
        cluster.heal();
        cluster.choose("then", &[1, 2, 3]);
    };
    aimed(Cluster::new(3));
    agreement_breaks(|| aimed(Cluster::new(3).without(Control::ReuseBallot)));
}

/// Random steps hit this one too seldom, so the faults are aimed: the holder's disk hangs, one other votes, the holder
/// crashes, and the group goes on without that other.
#[test]
fn an_own_vote_counted_early_is_found() {
    let aimed = |mut cluster: Cluster| {
        cluster.elect(1);
        cluster.cut_both(1, 3);
        cluster.nodes.get_mut(&1).expect("node 1").disk_hangs = true;
        cluster.propose(1, "early");
        cluster.drain();
        cluster.crash(1, Unsynced::Lost);
        cluster.nodes.get_mut(&1).expect("node 1").disk_hangs = false;
        cluster.heal();
        cluster.cut_both(2, 1);
        cluster.cut_both(2, 3);
        cluster.start(1);
        cluster.choose("other", &[1, 3]);
        cluster.heal();
        cluster.choose("then", &[1, 2, 3]);
    };
    aimed(Cluster::new(3));
    let broken = Cluster::new(3).without(Control::CountOwnVoteEarly);
    let panic = catch_unwind(AssertUnwindSafe(|| aimed(broken))).expect_err("agreement is broken");
    assert!(panic.downcast_ref::<String>().is_some_and(|said| said.contains("agreement")));
}

#[test]
fn a_forgotten_promise_is_found() {
    is_found(Control::ForgetPromise);
}

#[test]
fn a_promise_that_binds_only_from_a_slot_on_is_found() {
    is_found(Control::PromiseOnlyFromSlot);
}

#[test]
fn ignored_floors_are_found() {
    is_found(Control::IgnoreFloors);
}

#[test]
fn an_unchosen_batch_applied_at_start_is_found() {
    is_found(Control::ApplyUnchosenAtStart);
}

// ---- members

fn agreement_breaks(play: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(play)).expect_err("agreement is broken");
    let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(said.contains("agreement"), "found by what it breaks, not by {said}");
}

#[test]
fn votes_counted_across_a_change_are_found() {
    let broken = Cluster::of(3, 4, Mode::Leader).without(Control::CountAcrossChange);
    agreement_breaks(|| members::a_slot_of_the_old_members_is_chosen_without_the_new(broken));
}

#[test]
fn a_read_counted_across_a_change_is_found() {
    let broken = Cluster::of(3, 5, Mode::Leader).without(Control::CountAcrossChange);
    let (alone, before) = members::read_across_a_change(broken);
    assert!(alone.is_some_and(|alone| alone < before), "{alone:?} is stale, {before:?} was chosen");
}

#[test]
fn a_slot_proposed_past_alpha_is_found() {
    let broken = Cluster::of(3, 5, Mode::Leader).without(Control::ProposePastAlpha);
    agreement_breaks(|| members::proposed_before_it_is_known_whose(broken));
}

// ---- disks

/// 1 and 3 choose without 2; then 3 comes back with less, 1 is away, and 2 and 3 go on.
fn comes_back_with_less(mut cluster: Cluster, kept: impl Fn(&Cluster) -> usize) {
    cluster.elect(1);
    cluster.choose("before", &[1, 2, 3]);
    let kept = kept(&cluster);
    cluster.cut_both(2, 1);
    cluster.cut_both(2, 3);
    cluster.choose("without 2", &[1, 3]);
    cluster.run_for(2 * crate::cluster::HEARTBEAT_US);
    cluster.crash(3, Unsynced::Kept);
    cluster.put_back(3, kept);
    cluster.start(3);
    cluster.run_for(crate::cluster::HEARTBEAT_US);
    cluster.crash(1, Unsynced::Kept);
    // What 1 sent it meanwhile is lost again with the disk, and nobody but 1 ever heard of it.
    cluster.crash(3, Unsynced::Kept);
    cluster.put_back(3, kept);
    cluster.start(3);
    cluster.heal();
    cluster.run_for(20 * crate::cluster::HEARTBEAT_US);
    if let Some(holder) = cluster.holder() {
        cluster.propose(holder, "forgotten");
    }
    cluster.run_for(20 * crate::cluster::HEARTBEAT_US);
    cluster.start(1);
    cluster.choose("after", &[1, 2, 3]);
}

#[test]
fn a_wiped_disk_that_votes_is_found() {
    agreement_breaks(|| comes_back_with_less(Cluster::new(3).without(Control::WipedDiskVotes), |_| 0));
}

#[test]
fn an_older_copy_of_a_disk_that_votes_is_found() {
    agreement_breaks(|| {
        comes_back_with_less(Cluster::new(3).without(Control::OlderCopyVotes), |cluster| cluster.log_len(3))
    });
}
