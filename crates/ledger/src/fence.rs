//! Which incarnation of a placer speaks: its fencing token (Kleppmann, "How to do distributed locking", 2016).
//!
//! Whoever places holds for others may itself be restored from a backup. From then on it speaks as a new incarnation, and
//! what an older one still has on its way must not be carried out. So the books keep the newest incarnation heard, and two
//! more things that must survive with them: through which of its payments they are complete, for which incarnation of
//! their own group they were brought up to date, and what that one had lost.

/// What the books know of a placer. Every number but the range of what was lost only grows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Fence {
    /// The placer's newest incarnation; they count from 1.
    pub epoch: u32,
    /// The placer's payments up to this number are in the books, to their end. Recorded now and then only: what the
    /// books know is never more than what is true.
    pub complete_through: u64,
    /// The incarnation of the books' own group that has got all of the placer's payments; 0 while none was restored.
    pub caught_up: u32,
    /// The placer's payments that were lost when the books were last restored: only these may be booked without a hold.
    pub lost: Lost,
}

/// A range of a placer's payments, by number: those in `after + 1 ..= through`. Empty while the books were never restored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Lost {
    pub after: u64,
    pub through: u64,
}

impl Lost {
    pub fn has(self, number: u64) -> bool {
        self.after < number && number <= self.through
    }
}

impl Fence {
    /// A larger number of complete payments is recorded when it is larger by so many.
    pub const STEP: u64 = 256;

    /// What is known after `said`, and whether that is worth a record.
    pub(crate) fn raised_by(self, said: Fence) -> (Fence, bool) {
        let raised = Fence {
            epoch: self.epoch.max(said.epoch),
            complete_through: self.complete_through.max(said.complete_through),
            caught_up: self.caught_up.max(said.caught_up),
            // Each incarnation of the books says it anew: what an older one lacked is there or is lacked again.
            lost: if said.caught_up > self.caught_up { said.lost } else { self.lost },
        };
        let is_newer = raised.epoch > self.epoch || raised.caught_up > self.caught_up;
        (raised, is_newer || raised.complete_through >= self.complete_through.saturating_add(Fence::STEP))
    }

    /// Whether whoever walks the journal back may stop at this, a fence of record: before it stands no hold of a payment
    /// that the placer does not know of. It knows all that its state had in the placer's incarnation `epoch`, when its
    /// payments here through `complete_through` had come to their end; that state is what a backup brought back.
    ///
    /// A payment taken after that state was asked for with what was complete by then, which is no less, and the fence
    /// comes first in each request: where the hold stands the books knew of more than `complete_through - STEP`, or the
    /// fence would have been recorded with it. What they know only grows, so there is no such hold before a fence that
    /// knows less. An incarnation after `epoch` may have begun from an older copy than this state, and so have known less
    /// when it took a payment: a fence of one is no end. Nor is one of books that were restored: what they had lost was asked
    /// for again with nothing complete. Before the placer's first word there is nothing of it at all.
    pub fn ends_recall(self, epoch: u32, complete_through: u64) -> bool {
        let is_first = self == Fence { epoch: 1, ..Fence::default() };
        let knew_less = self.complete_through.checked_add(Fence::STEP).is_some_and(|step| step <= complete_through);
        is_first || self.epoch <= epoch && self.caught_up == 0 && knew_less
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_only_rises_and_is_recorded_when_that_matters() {
        let lost = Lost { after: 5, through: 9 };
        let known = Fence { epoch: 2, complete_through: 1_000, caught_up: 0, lost: Lost::default() };
        let table = [
            (Fence { epoch: 2, complete_through: 1_000, caught_up: 0, ..Fence::default() }, known, false),
            (Fence { epoch: 1, complete_through: 5, caught_up: 0, ..Fence::default() }, known, false),
            (
                Fence { epoch: 3, complete_through: 0, caught_up: 0, ..Fence::default() },
                Fence { epoch: 3, ..known },
                true,
            ),
            (
                Fence { epoch: 2, complete_through: 999 + Fence::STEP, caught_up: 0, ..Fence::default() },
                Fence { complete_through: 999 + Fence::STEP, ..known },
                false,
            ),
            (
                Fence { epoch: 2, complete_through: 1_000 + Fence::STEP, caught_up: 0, ..Fence::default() },
                Fence { complete_through: 1_000 + Fence::STEP, ..known },
                true,
            ),
            (
                Fence { epoch: 2, complete_through: 0, caught_up: 2, ..Fence::default() },
                Fence { caught_up: 2, ..known },
                true,
            ),
            (Fence { caught_up: 1, lost, ..known }, Fence { caught_up: 1, lost, ..known }, true),
            (Fence { lost, ..known }, known, false),
            (
                Fence { epoch: 2, complete_through: u64::MAX, caught_up: 0, ..Fence::default() },
                Fence { complete_through: u64::MAX, ..known },
                true,
            ),
        ];
        for (said, raised, is_recorded) in table {
            assert_eq!(known.raised_by(said), (raised, is_recorded), "{said:?}");
        }
    }

    #[test]
    fn a_recall_ends_a_step_below_what_was_complete_and_at_no_newer_incarnation() {
        let fence = |epoch, complete_through| Fence { epoch, complete_through, ..Fence::default() };
        let table = [
            // Payments up to 1,000 were complete in incarnation 2.
            (fence(2, 1_000 - Fence::STEP), (2, 1_000), true),
            (fence(1, 1_000 - Fence::STEP), (2, 1_000), true),
            (fence(2, 1_001 - Fence::STEP), (2, 1_000), false),
            (fence(3, 1_000 - Fence::STEP), (2, 1_000), false),
            (fence(3, 0), (2, 1_000), false),
            // Nothing was: only the very first word ends it.
            (fence(1, 0), (1, 0), true),
            (fence(1, 1), (1, 0), false),
            (fence(2, 0), (2, 0), false),
            (Fence { caught_up: 1, ..fence(1, 0) }, (1, 0), false),
            (Fence { caught_up: 2, ..fence(1, 0) }, (1, 1_000), false),
            (fence(1, u64::MAX), (1, u64::MAX), false),
        ];
        for (met, (epoch, complete_through), is_end) in table {
            assert_eq!(met.ends_recall(epoch, complete_through), is_end, "{met:?} in {epoch}, {complete_through}");
        }
    }
}
