//! What the search must come across, or it searched too little: a model in which nothing happens breaks no rule.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sight {
    /// A slot is chosen, and somebody knows it.
    Chosen,
    /// A batch is chosen under another ballot than the one it was first proposed with.
    Finished,
    /// A holder fills a gap with a no-op, and that is chosen.
    GapFilled,
    /// A node writes a chosen batch that it has from another's log.
    Learned,
    /// Every node has everything that was chosen, in every slot there is.
    AllKnow,
    /// A crash loses records that were not synced.
    LostTail,
    /// A node crashes that is the proposer.
    HolderCrashed,
    /// A batch is chosen after a crash.
    ChosenAfterCrash,
    /// A read is released.
    Read,
    /// A change of members is chosen.
    Changed,
    /// A batch is chosen in a slot of the new members.
    ChosenByNew,
    /// A holder comes to a change and prepares again.
    Crossed,
    /// A node starts with a vote whose batch is lost.
    Rotten,
}

impl Sight {
    pub const ALL: [Sight; 13] = [
        Sight::Chosen,
        Sight::Finished,
        Sight::GapFilled,
        Sight::Learned,
        Sight::AllKnow,
        Sight::LostTail,
        Sight::HolderCrashed,
        Sight::ChosenAfterCrash,
        Sight::Read,
        Sight::Changed,
        Sight::ChosenByNew,
        Sight::Crossed,
        Sight::Rotten,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Sight::Chosen => "a batch is chosen",
            Sight::Finished => "a new holder finishes what an old one left",
            Sight::GapFilled => "a gap is filled with a no-op",
            Sight::Learned => "a chosen batch is learned from another's log",
            Sight::AllKnow => "all nodes know all slots",
            Sight::LostTail => "a crash loses unsynced records",
            Sight::HolderCrashed => "a proposer crashes",
            Sight::ChosenAfterCrash => "a batch is chosen after a crash",
            Sight::Read => "a read is released",
            Sight::Changed => "a change of members is chosen",
            Sight::ChosenByNew => "the new members choose a batch",
            Sight::Crossed => "a holder comes to a change and prepares again",
            Sight::Rotten => "a node starts with a vote whose batch is lost",
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of sights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Sights(u32);

impl Sights {
    pub(crate) fn see(&mut self, sight: Sight) {
        self.0 |= sight.bit();
    }

    pub(crate) fn seen(self) -> impl Iterator<Item = Sight> {
        Sight::ALL.into_iter().filter(move |sight| self.0 & sight.bit() != 0)
    }
}

/// In how many transitions each was seen, over all threads of a search.
#[derive(Debug, Default)]
pub(crate) struct Counts([AtomicU64; Sight::ALL.len()]);

impl Counts {
    pub(crate) fn add(&self, sights: Sights) {
        for sight in sights.seen() {
            self.0[sight as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn of(&self, sight: Sight) -> u64 {
        self.0[sight as usize].load(Ordering::Relaxed)
    }
}
