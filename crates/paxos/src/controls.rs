//! The safety rules that can be switched off, one at a time, to see that the simulator notices.
//!
//! Without the feature `controls` there is no switch: every question below is answered at compile time.

use crate::config::Config;

/// A safety rule, named by what goes wrong without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "controls"), expect(unreachable_pub, reason = "public only with the feature"))]
pub enum Control {
    /// A node that owns the highest ballot it has seen stands with it again instead of going one round higher.
    ReuseBallot,
    /// A proposer counts its own vote before it is on disk.
    CountOwnVoteEarly,
    /// An acceptor answers a peer's prepare and then forgets that it did.
    ForgetPromise,
    /// A promise binds only from the first slot on that lies above everything accepted so far.
    PromiseOnlyFromSlot,
    /// A new holder proposes from its own floor on, however high the floors that were reported to it, and acceptors
    /// vote below their own.
    IgnoreFloors,
    /// At start everything accepted counts as chosen.
    ApplyUnchosenAtStart,
    /// Promises, votes and answers are counted by the newest membership, whosever the slot is, and a holder goes on
    /// under its ballot across a change.
    CountAcrossChange,
    /// A holder proposes slots whose membership it cannot know yet.
    ProposePastAlpha,
    /// A node that starts with an empty disk votes, whatever its peers have heard from it before.
    WipedDiskVotes,
    /// A node that starts with less than its peers have heard from it votes.
    OlderCopyVotes,
    /// A batch gets the wall clock of whoever proposes it, wherever that stands.
    OwnClock,
}

/// Which rules hold: all of them, save the one that a simulation switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rules {
    #[cfg(feature = "controls")]
    off: Option<Control>,
}

impl Rules {
    #[cfg(feature = "controls")]
    pub(crate) fn of(config: &Config) -> Rules {
        Rules { off: config.control }
    }

    #[cfg(not(feature = "controls"))]
    pub(crate) fn of(_config: &Config) -> Rules {
        Rules {}
    }

    /// For tests of parts that are made without a configuration.
    #[cfg(test)]
    pub(crate) fn all() -> Rules {
        Rules {
            #[cfg(feature = "controls")]
            off: None,
        }
    }

    #[cfg(feature = "controls")]
    pub(crate) fn hold(self, rule: Control) -> bool {
        self.off != Some(rule)
    }

    #[cfg(not(feature = "controls"))]
    #[inline(always)]
    pub(crate) fn hold(self, _rule: Control) -> bool {
        true
    }
}
