//! Which incarnation of a placer speaks: its fencing token (Kleppmann, "How to do distributed locking", 2016).
//!
//! Whoever places holds for others may itself be restored from a backup. From then on it speaks as a new incarnation, and
//! what an older one still has on its way must not be carried out. So the books keep the newest incarnation heard, and two
//! more things that must survive with them: through which of its payments they are complete, and for which incarnation of
//! their own group they were brought up to date.

/// What the books know of a placer. Every number only grows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Fence {
    /// The placer's newest incarnation; they count from 1.
    pub epoch: u32,
    /// The placer's payments up to this number are in the books, to their end. Recorded now and then only: what the
    /// books know is never more than what is true.
    pub complete_through: u64,
    /// The incarnation of the books' own group that has got all of the placer's payments; 0 while none was restored.
    pub caught_up: u32,
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
        };
        let is_newer = raised.epoch > self.epoch || raised.caught_up > self.caught_up;
        (raised, is_newer || raised.complete_through >= self.complete_through.saturating_add(Fence::STEP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_only_rises_and_is_recorded_when_that_matters() {
        let known = Fence { epoch: 2, complete_through: 1_000, caught_up: 0 };
        let table = [
            (Fence { epoch: 2, complete_through: 1_000, caught_up: 0 }, known, false),
            (Fence { epoch: 1, complete_through: 5, caught_up: 0 }, known, false),
            (Fence { epoch: 3, complete_through: 0, caught_up: 0 }, Fence { epoch: 3, ..known }, true),
            (
                Fence { epoch: 2, complete_through: 999 + Fence::STEP, caught_up: 0 },
                Fence { complete_through: 999 + Fence::STEP, ..known },
                false,
            ),
            (
                Fence { epoch: 2, complete_through: 1_000 + Fence::STEP, caught_up: 0 },
                Fence { complete_through: 1_000 + Fence::STEP, ..known },
                true,
            ),
            (Fence { epoch: 2, complete_through: 0, caught_up: 2 }, Fence { caught_up: 2, ..known }, true),
            (
                Fence { epoch: 2, complete_through: u64::MAX, caught_up: 0 },
                Fence { complete_through: u64::MAX, ..known },
                true,
            ),
        ];
        for (said, raised, is_recorded) in table {
            assert_eq!(known.raised_by(said), (raised, is_recorded), "{said:?}");
        }
    }
}
