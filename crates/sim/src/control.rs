//! The controls: each turns one safety rule off, and the simulator must then find a violation. A checker that has never
//! found anything proves nothing.
//!
//! The names are the simulator's own; `node` maps each to the switch in the crate whose rule it is.

use bank::Machine;
use replica::{Applier, Replica, group};
use storage::Disk;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Control {
    SendBeforeSync,
    ReuseBallot,
    CountOwnVoteEarly,
    ForgetPromise,
    PromiseFromSlot,
    IgnoreFloors,
    ApplyUnchosen,
    SkipIdIndex,
    RunPastCheckpoint,
    DropIdsEarly,
    RejectionsNotJournaled,
    TrimBeforeCheckpoint,
    CheckpointBeforeMark,
    ReadLocally,
    CountAcrossChange,
    ProposePastAlpha,
    ChangeTwo,
    WipedDiskVotes,
    OlderCopyVotes,
    VotesInOnePlace,
    OwnClock,
}

pub const ALL: [Control; 21] = [
    Control::SendBeforeSync,
    Control::ReuseBallot,
    Control::CountOwnVoteEarly,
    Control::ForgetPromise,
    Control::PromiseFromSlot,
    Control::IgnoreFloors,
    Control::ApplyUnchosen,
    Control::SkipIdIndex,
    Control::RunPastCheckpoint,
    Control::DropIdsEarly,
    Control::RejectionsNotJournaled,
    Control::TrimBeforeCheckpoint,
    Control::CheckpointBeforeMark,
    Control::ReadLocally,
    Control::CountAcrossChange,
    Control::ProposePastAlpha,
    Control::ChangeTwo,
    Control::WipedDiskVotes,
    Control::OlderCopyVotes,
    Control::VotesInOnePlace,
    Control::OwnClock,
];

impl Control {
    pub fn name(self) -> &'static str {
        match self {
            Control::SendBeforeSync => "send-before-sync",
            Control::ReuseBallot => "reuse-ballot",
            Control::CountOwnVoteEarly => "count-own-vote-early",
            Control::ForgetPromise => "forget-promise",
            Control::PromiseFromSlot => "promise-from-slot",
            Control::IgnoreFloors => "ignore-floors",
            Control::ApplyUnchosen => "apply-unchosen",
            Control::SkipIdIndex => "skip-id-index",
            Control::RunPastCheckpoint => "run-past-checkpoint",
            Control::DropIdsEarly => "drop-ids-early",
            Control::RejectionsNotJournaled => "rejections-not-journaled",
            Control::TrimBeforeCheckpoint => "trim-before-checkpoint",
            Control::CheckpointBeforeMark => "checkpoint-before-mark",
            Control::ReadLocally => "read-locally",
            Control::CountAcrossChange => "count-across-change",
            Control::ProposePastAlpha => "propose-past-alpha",
            Control::ChangeTwo => "change-two",
            Control::WipedDiskVotes => "wiped-disk-votes",
            Control::OlderCopyVotes => "older-copy-votes",
            Control::VotesInOnePlace => "votes-in-one-place",
            Control::OwnClock => "own-clock",
        }
    }

    /// The rule that it turns off.
    pub fn rule(self) -> &'static str {
        match self {
            Control::SendBeforeSync => "a promise or a vote leaves only when it is on disk",
            Control::ReuseBallot => "a ballot is never used twice, also across a crash",
            Control::CountOwnVoteEarly => "the proposer's own vote counts only when it is on disk",
            Control::ForgetPromise => "a promise survives a crash",
            Control::PromiseFromSlot => "a promise binds at every slot of the log",
            Control::IgnoreFloors => "nothing is proposed below the highest floor that a promise reports",
            Control::ApplyUnchosen => "at start only slots durably marked chosen are applied",
            Control::SkipIdIndex => "an id is looked up in the runs on disk before its request is applied",
            Control::RunPastCheckpoint => "a run of ids reaches no further than the checkpoint",
            Control::DropIdsEarly => {
                "an id leaves memory only when its run is synced and every batch looked up before is applied"
            }
            Control::RejectionsNotJournaled => "a rejection is an outcome and is journaled",
            Control::TrimBeforeCheckpoint => "the log is trimmed only below the checkpoint",
            Control::CheckpointBeforeMark => "a checkpoint is made only of slots that the log on disk marks as chosen",
            Control::ReadLocally => "a read is answered only when a majority was asked how far the log goes",
            Control::CountAcrossChange => "promises and votes count only for the slots of their own membership",
            Control::ProposePastAlpha => "nobody proposes a slot before having applied the one alpha before it",
            Control::ChangeTwo => "one vote changes at a time, and the change names the version that it replaces",
            Control::WipedDiskVotes => "a node that lost its disk does not vote under its old name",
            Control::OlderCopyVotes => "a node on an older copy of its disk does not vote",
            Control::VotesInOnePlace => "a vote leaves a node only when it is on disk in two places",
            Control::OwnClock => {
                "a proposer's clock counts only as far as a majority of clocks allows, and without its jumps"
            }
        }
    }

    /// Paxos's switch, if the rule is Paxos's.
    pub(crate) fn in_paxos(self) -> Option<paxos::Control> {
        match self {
            Control::ReuseBallot => Some(paxos::Control::ReuseBallot),
            Control::CountOwnVoteEarly => Some(paxos::Control::CountOwnVoteEarly),
            Control::ForgetPromise => Some(paxos::Control::ForgetPromise),
            Control::PromiseFromSlot => Some(paxos::Control::PromiseOnlyFromSlot),
            Control::IgnoreFloors => Some(paxos::Control::IgnoreFloors),
            Control::ApplyUnchosen => Some(paxos::Control::ApplyUnchosenAtStart),
            Control::CountAcrossChange => Some(paxos::Control::CountAcrossChange),
            Control::ProposePastAlpha => Some(paxos::Control::ProposePastAlpha),
            Control::WipedDiskVotes => Some(paxos::Control::WipedDiskVotes),
            Control::OlderCopyVotes => Some(paxos::Control::OlderCopyVotes),
            Control::OwnClock => Some(paxos::Control::OwnClock),
            Control::SendBeforeSync
            | Control::SkipIdIndex
            | Control::RunPastCheckpoint
            | Control::DropIdsEarly
            | Control::RejectionsNotJournaled
            | Control::TrimBeforeCheckpoint
            | Control::CheckpointBeforeMark
            | Control::ReadLocally
            | Control::ChangeTwo
            | Control::VotesInOnePlace => None,
        }
    }

    /// The log's switch, if the rule is the log's.
    pub(crate) fn in_log(self) -> Option<storage::Control> {
        (self == Control::VotesInOnePlace).then_some(storage::Control::VotesInOnePlace)
    }

    /// Switches a rule of replica or bank off in a node that has just been opened. (What must not leave before the sync
    /// is let out by `carry`.)
    pub(crate) fn switch<D: Disk>(self, replica: &mut Replica, applier: &mut Applier<Machine, D>) {
        match self {
            Control::SkipIdIndex => applier.set_control(replica::ApplierControl::SkipIdIndex),
            Control::RunPastCheckpoint => applier.set_control(replica::ApplierControl::RunPastCheckpoint),
            Control::DropIdsEarly => applier.set_control(replica::ApplierControl::DropIdsEarly),
            Control::TrimBeforeCheckpoint => replica.trim_before_checkpoint(),
            Control::CountAcrossChange | Control::ProposePastAlpha | Control::ChangeTwo => {
                replica.set_group_rules(self.group_rules());
            }
            Control::SendBeforeSync
            | Control::ReuseBallot
            | Control::CountOwnVoteEarly
            | Control::ForgetPromise
            | Control::PromiseFromSlot
            | Control::IgnoreFloors
            | Control::ApplyUnchosen
            | Control::CheckpointBeforeMark
            | Control::ReadLocally
            | Control::RejectionsNotJournaled
            | Control::WipedDiskVotes
            | Control::OlderCopyVotes
            | Control::VotesInOnePlace
            | Control::OwnClock => {}
        }
    }

    /// Whether the operator may ask for two votes at once. What is wrong with counting across a change shows only then: the
    /// majorities before and after one vote's change always meet.
    pub(crate) fn changes_two(self) -> bool {
        matches!(self, Control::CountAcrossChange | Control::ProposePastAlpha | Control::ChangeTwo)
    }

    /// Whether a run that comes to no good end is no find: only disagreement is.
    pub(crate) fn may_stand_still(self) -> bool {
        matches!(self, Control::CountAcrossChange | Control::ProposePastAlpha)
    }

    pub(crate) fn group_rules(self) -> group::Rules {
        group::Rules { change_two: self.changes_two() }
    }

    pub fn named(name: &str) -> Option<Control> {
        ALL.into_iter().find(|control| control.name() == name)
    }
}
