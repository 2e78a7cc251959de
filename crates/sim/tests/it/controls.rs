//! With any one safety rule off, the simulator finds a violation, soon. A checker that cannot find one checks nothing.

use sim::campaign::run_seeds;
use sim::control::{ALL, Control};
use sim::run::Setup;

/// A rule whose absence is not found within so many seeds is not guarded.
const SEEDS: u64 = 500;

/// What the violation must speak of: that something is found at all is not enough, it must be what the rule is about.
fn sign_of(control: Control) -> &'static [&'static str] {
    match control {
        Control::SendBeforeSync
        | Control::ReuseBallot
        | Control::CountOwnVoteEarly
        | Control::ForgetPromise
        | Control::PromiseFromSlot
        | Control::IgnoreFloors
        | Control::ApplyUnchosen => &["agreement: ", "another batch"],
        Control::SkipIdIndex | Control::DropIdsEarly => &["agreement: ", "other answers"],
        Control::RunPastCheckpoint => &["does not start: ", "journal"],
        Control::RejectionsNotJournaled => &["outcome: ", "had given it"],
        Control::TrimBeforeCheckpoint => &["does not start: the log begins at slot"],
        Control::CheckpointBeforeMark => &["does not start: the log ends at slot"],
        Control::CountAcrossChange
        | Control::ProposePastAlpha
        | Control::WipedDiskVotes
        | Control::OlderCopyVotes
        | Control::VotesInOnePlace => &["agreement: ", "another batch"],
        Control::ChangeTwo => &["members: "],
        Control::ReadLocally => &["history: a read was answered from slot"],
    }
}

fn is_found(control: Control) {
    let setup = Setup { control: Some(control), ..Setup::default() };
    let outcome = run_seeds(0..SEEDS, 1, &setup, |_, _| {});
    let (seed, violation) =
        outcome.found.unwrap_or_else(|| panic!("\"{}\" is off, and {SEEDS} seeds show nothing", control.rule()));
    for sign in sign_of(control) {
        assert!(violation.0.contains(sign), "{} at seed {seed} shows as: {violation}", control.name());
    }
}

macro_rules! controls {
    ($($name:ident => $control:ident,)*) => {
        $(#[test]
        fn $name() {
            is_found(Control::$control);
        })*

        #[test]
        fn every_control_has_its_test() {
            let tested = [$(Control::$control),*];
            assert!(ALL.iter().all(|control| tested.contains(control)), "{tested:?}");
        }
    };
}

controls! {
    sending_before_the_sync_is_found => SendBeforeSync,
    a_ballot_used_twice_is_found => ReuseBallot,
    an_own_vote_counted_early_is_found => CountOwnVoteEarly,
    a_forgotten_promise_is_found => ForgetPromise,
    a_promise_that_binds_only_from_a_slot_on_is_found => PromiseFromSlot,
    ignored_floors_are_found => IgnoreFloors,
    an_unchosen_batch_applied_is_found => ApplyUnchosen,
    a_skipped_id_index_is_found => SkipIdIndex,
    a_run_of_ids_past_the_checkpoint_is_found => RunPastCheckpoint,
    an_id_dropped_from_memory_too_early_is_found => DropIdsEarly,
    rejections_that_are_not_journaled_are_found => RejectionsNotJournaled,
    a_log_trimmed_before_the_checkpoint_is_found => TrimBeforeCheckpoint,
    a_checkpoint_ahead_of_the_log_is_found => CheckpointBeforeMark,
    a_read_from_one_node_alone_is_found => ReadLocally,
}
