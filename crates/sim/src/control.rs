//! The controls: each turns one safety rule off, and the simulator must then find a violation. A checker that has never
//! found anything proves nothing.
//!
//! The names are the simulator's own; `node` maps each to the switch in the crate whose rule it is.

use bank::Machine;
use replica::{Applier, Replica};
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
}

pub const ALL: [Control; 14] = [
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
            Control::SendBeforeSync
            | Control::SkipIdIndex
            | Control::RunPastCheckpoint
            | Control::DropIdsEarly
            | Control::RejectionsNotJournaled
            | Control::TrimBeforeCheckpoint
            | Control::CheckpointBeforeMark
            | Control::ReadLocally => None,
        }
    }

    /// Switches a rule of replica or bank off in a node that has just been opened. (What must not leave before the sync
    /// is let out by `carry`.)
    pub(crate) fn switch<D: Disk>(self, replica: &mut Replica, applier: &mut Applier<Machine, D>) {
        match self {
            Control::SkipIdIndex => applier.set_control(replica::ApplierControl::SkipIdIndex),
            Control::RunPastCheckpoint => applier.set_control(replica::ApplierControl::RunPastCheckpoint),
            Control::DropIdsEarly => applier.set_control(replica::ApplierControl::DropIdsEarly),
            Control::RejectionsNotJournaled => {
                applier.machine_mut().set_control(ledger::Control::RejectionsNotJournaled);
            }
            Control::TrimBeforeCheckpoint => replica.trim_before_checkpoint(),
            Control::SendBeforeSync
            | Control::ReuseBallot
            | Control::CountOwnVoteEarly
            | Control::ForgetPromise
            | Control::PromiseFromSlot
            | Control::IgnoreFloors
            | Control::ApplyUnchosen
            | Control::CheckpointBeforeMark
            | Control::ReadLocally => {}
        }
    }

    pub fn named(name: &str) -> Option<Control> {
        ALL.into_iter().find(|control| control.name() == name)
    }
}
