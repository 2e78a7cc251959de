//! The rules that a simulation may turn off, one at a time, to see that the loss of each is found out.

/// A rule that is off. Without the feature `controls` none ever is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    /// A driver tells the banks to post as soon as both have voted, before the decision is chosen.
    DecideBeforeRecording,
    /// A bank lets an old hold go without asking. For the simulated bank to heed.
    EndVotedHoldAlone,
    /// A bank leaves no tombstone for an id that it has not seen. For the simulated bank to heed.
    NoTombstone,
    /// "Held" counts as a vote by what was answered first. For the simulated bank to heed.
    ReplayedHeldCounts,
    /// A restart forgets the payments that are on their way.
    ForgetOnRestart,
    /// A void wins over an earlier decision to post.
    AbortAfterCommit,
    /// An id that is not known was void, and what is undecided may be voided, also after a restore.
    PresumeAfterRestore,
    /// A payment within one bank that takes too long is void without asking the bank.
    VoidWithinBankUnasked,
    /// A bank carries out what any incarnation of the gateway asks. For the simulated bank to heed.
    AnyIncarnation,
    /// A bank that is only asked how a hold stands goes on listening to older incarnations. For the simulated bank to heed.
    LookRaisesNoFence,
    /// A restored gateway asks its banks nothing about what it may have forgotten.
    RecallNothing,
    /// A restored bank answers before it has its payments again. For the simulated bank to heed.
    RestoredBankAnswers,
    /// A restored bank posts only what it still holds. For the simulated bank to heed.
    RestoredBankNeedsHold,
}
