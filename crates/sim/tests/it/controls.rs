//! With any one safety rule off, the simulator finds a violation, soon. A checker that cannot find one checks nothing.

use sim::campaign::run_seeds;
use sim::control::{ALL, Control};
use sim::run::{ModeChoice, Setup};

/// A rule whose absence is not found within so many seeds is not guarded.
const SEEDS: u64 = 500;

/// What the violation may speak of: that something is found at all is not enough, it must be what the rule is about. Each
/// of these is one way in which it shows.
fn signs_of(control: Control) -> &'static [&'static str] {
    match control {
        // A peer that remembers what the disk never got says so, before anything worse comes of it.
        Control::SendBeforeSync | Control::VotesInOnePlace => &["another batch", "told that its disk lacks something"],
        Control::ReuseBallot
        | Control::CountOwnVoteEarly
        | Control::ForgetPromise
        | Control::PromiseFromSlot
        | Control::ApplyUnchosen
        | Control::IgnoreFloors => &["another batch", "another journal", "another state", "broken assertion"],
        // It also answers reads, as if it had never voted.
        Control::WipedDiskVotes | Control::OlderCopyVotes => {
            &[
                "another batch",
                "another journal",
                "another state",
                "broken assertion",
                "history: a read was answered",
                // What it voted for anew lets the others' memory accuse a node that holds all that it ever held.
                "does not vote though its disk is whole",
            ]
        }
        Control::CountAcrossChange | Control::ProposePastAlpha => {
            &["another batch", "another journal", "another state"]
        }
        Control::SkipIdIndex | Control::DropIdsEarly => &["other answers"],
        // An id leads to a place that the journal does not have: seen at the start, or when it is asked for.
        Control::RunPastCheckpoint => &["does not start: ", "/journal holds nothing at"],
        Control::RejectionsNotJournaled => &["had given it", "stands at place"],
        // A slot that everybody has trimmed and somebody lacks.
        Control::TrimBeforeCheckpoint => &["does not start: the log begins at slot", "progress: "],
        Control::CheckpointBeforeMark => &["does not start: the log ends at slot"],
        Control::ChangeTwo => &["members: slot"],
        Control::ReadLocally => &["history: a read was answered from slot"],
        Control::OwnClock => &["time: slot"],
    }
}

fn is_found(control: Control) {
    for mode in [ModeChoice::Leader, ModeChoice::Leaderless] {
        let setup = Setup { mode, control: Some(control), ..Setup::default() };
        let outcome = run_seeds(0..SEEDS, 1, &setup, |_, _| {});
        let (seed, violation) = outcome.found.unwrap_or_else(|| {
            panic!("\"{}\" is off, and {SEEDS} seeds in {mode:?} mode show nothing", control.rule())
        });
        let sign = signs_of(control).iter().any(|sign| violation.0.contains(sign));
        assert!(sign, "{} at seed {seed} in {mode:?} mode shows as: {violation}", control.name());
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
    votes_counted_across_a_change_are_found => CountAcrossChange,
    a_proposal_past_alpha_is_found => ProposePastAlpha,
    two_changes_at_once_are_found => ChangeTwo,
    a_wiped_disk_that_votes_is_found => WipedDiskVotes,
    an_older_copy_of_a_disk_that_votes_is_found => OlderCopyVotes,
    votes_in_one_place_are_found => VotesInOnePlace,
    a_clock_ahead_that_counts_is_found => OwnClock,
}
