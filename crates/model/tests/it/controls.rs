//! With a safety rule switched off the search finds two batches for one slot: the search that finds nothing otherwise
//! can find something. Each prints how it comes to it.

use model::search::{Limits, search};
use model::setup::{Change, Setup, Syncs, Watch};
use model::sight::Sight;
use model::wrong;
use paxos::Control;
use std::time::Duration;

const LIMITS: Limits = Limits { threads: 2, time: Duration::from_secs(600) };

fn is_found(control: Control, setup: Setup) {
    breaks(wrong::AGREEMENT, control, setup);
}

/// Found by that rule, when it is the only one that is watched.
fn breaks(rule: &'static str, control: Control, setup: Setup) {
    let setup = Setup { control: Some(control), watch: Watch::Only(rule), ..setup };
    let outcome = search(&setup, LIMITS, |_| {});
    let violation = outcome.violation.unwrap_or_else(|| {
        panic!("{control:?} was not found in {} states (all there are: {})", outcome.progress.states, outcome.exhausted)
    });
    assert_eq!(violation.wrong.rule(), rule);
    println!("{control:?}: found after {} states\n{}", outcome.progress.states, violation.tale);
}

#[test]
fn a_ballot_used_again_is_found() {
    is_found(Control::ReuseBallot, Setup { candidates: 1, crashes: 1, ..Setup::of(3) });
}

#[test]
fn an_own_vote_counted_early_is_found() {
    is_found(Control::CountOwnVoteEarly, Setup { candidates: 1, crashes: 1, ..Setup::of(3) });
}

#[test]
fn a_forgotten_promise_is_found() {
    is_found(Control::ForgetPromise, Setup { candidates: 2, syncs: Syncs::AtOnce, ..Setup::of(3) });
}

#[test]
fn a_promise_that_binds_only_from_a_slot_on_is_found() {
    is_found(Control::PromiseOnlyFromSlot, Setup { candidates: 2, syncs: Syncs::AtOnce, ..Setup::of(3) });
}

#[test]
fn ignored_floors_are_found() {
    is_found(Control::IgnoreFloors, Setup { candidates: 2, syncs: Syncs::AtOnce, ..Setup::of(3) });
}

#[test]
fn an_unchosen_batch_applied_at_start_is_found() {
    is_found(Control::ApplyUnchosenAtStart, Setup { candidates: 2, crashes: 1, syncs: Syncs::AtOnce, ..Setup::of(3) });
}

/// Others in the place of all there were, in one step: a majority of before and one of after do not meet, so nothing but
/// the rules about whose a slot is keeps the two apart.
fn replaced(before: &[u16], after: &[u16]) -> Setup {
    let nodes = after.iter().copied().max().expect("somebody is left");
    let change = Some(Change { before: before.to_vec(), after: after.to_vec() });
    Setup { slots: 2, change, syncs: Syncs::AtOnce, ..Setup::of(nodes) }
}

#[test]
fn counting_across_a_change_is_found() {
    is_found(Control::CountAcrossChange, Setup { alpha: 2, slots: 3, ..replaced(&[1], &[2]) });
}

#[test]
fn proposing_past_alpha_is_found() {
    is_found(Control::ProposePastAlpha, replaced(&[1, 2], &[3]));
}

/// What the two above find is the controls' doing: with all rules on, the same changes hold.
#[test]
fn all_members_can_be_replaced_in_one_step() {
    for setup in [Setup { alpha: 2, slots: 3, ..replaced(&[1], &[2]) }, replaced(&[1, 2], &[3])] {
        let outcome = search(&setup, LIMITS, |_| {});
        assert!(outcome.violation.is_none() && outcome.exhausted, "{outcome:?}");
        assert!(outcome.saw(Sight::ChosenByNew));
    }
}

/// Each of the other rules notices something too.
#[test]
fn a_vow_taken_back_is_noticed() {
    breaks(wrong::VOW, Control::ForgetPromise, Setup { candidates: 1, syncs: Syncs::AtOnce, ..Setup::of(2) });
}

#[test]
fn a_batch_handed_out_too_early_is_noticed() {
    breaks(wrong::DURABILITY, Control::CountOwnVoteEarly, Setup { candidates: 1, ..Setup::of(2) });
}

#[test]
fn a_read_that_counts_the_wrong_members_is_noticed() {
    let setup = Setup { alpha: 2, reads: 1, slots: 3, ..replaced(&[1], &[2]) };
    breaks(wrong::STALE_READ, Control::CountAcrossChange, setup);
}
