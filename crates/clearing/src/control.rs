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
    /// A bank tells a restored gateway of holds only, not of payments within it. For the simulated bank to heed.
    RecallHoldsOnly,
    /// A restored gateway takes a request to void what it does not know before it has asked that payment's banks.
    CancelBeforeRecall,
    /// A bank's answer to a restored gateway begins where the copy ended by the gateway's clock, less a minute. For the
    /// simulated bank to heed, as the two that follow.
    RecallByClock,
    /// It ends at the first fence that knows less than the gateway did, whichever incarnation's it is and though fences are
    /// recorded in steps.
    RecallToLowerFence,
    /// It may end at a fence of an incarnation that began after the copy, and from an older one.
    RecallPastCopies,
    /// It may end at a fence behind which a restored bank was brought payments, with nothing complete.
    RecallPastReplays,
    /// A bank compares the times of its holds with the gateway's clock. For the simulated bank to heed.
    OldHoldsByTime,
    /// A restored bank answers before it has its payments again. For the simulated bank to heed.
    RestoredBankAnswers,
    /// A restored bank posts only what it still holds. For the simulated bank to heed.
    RestoredBankNeedsHold,
    /// A bank that says "posted" is believed, whatever the other one says, and before anybody has decided.
    BelievePosted,
    /// An operator voids what may be paid without having said that the risk is taken.
    VoidWithoutRisk,
    /// A bank that says that a payment is paid which an operator voided at that risk is believed: it is posted after all.
    ContradictionCounts,
    /// What a bank asks about is taken up as a payment, also by a gateway that has forgotten nothing.
    BankOrdersPayments,
    /// The void of a payment that was never seen is kept by the gateway alone.
    CancelLeavesNoTombstone,
    /// An idempotency key stands for ids made by chance, which a copy of before does not have.
    KeysByChance,
    /// What follows from an id is found under a public hash of it, among the ids that callers choose. For the simulated
    /// journals to heed.
    OneIdSpace,
}
