//! The searches that are run: the small ones with every test run, all of them with `cargo xtask model`.

use crate::setup::{Change, Modes, Setup, Syncs};
use crate::sight::Sight;

/// A search with a name.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: &'static str,
    pub about: &'static str,
    pub setup: Setup,
    /// What it must come across.
    pub sights: &'static [Sight],
    pub size: Size,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Seconds: part of every test run.
    Small,
    /// Minutes.
    Large,
}

pub fn plans() -> Vec<Plan> {
    let change = |before: &[u16], after: &[u16]| Some(Change { before: before.to_vec(), after: after.to_vec() });
    let prompt = Setup { candidates: 2, syncs: Syncs::AtOnce, ..Setup::of(3) };
    let basics = &[Sight::Chosen, Sight::Finished, Sight::Learned, Sight::AllKnow];
    let crash = &[Sight::Chosen, Sight::Finished, Sight::AllKnow, Sight::HolderCrashed, Sight::ChosenAfterCrash];
    let lost = &[Sight::Finished, Sight::AllKnow, Sight::LostTail, Sight::HolderCrashed, Sight::ChosenAfterCrash];
    let changed = &[Sight::Changed, Sight::ChosenByNew, Sight::Crossed];
    vec![
        Plan {
            name: "two-crash",
            about: "two nodes, two ballots, one slot, one crash",
            setup: Setup { crashes: 1, ..Setup::of(2) },
            sights: lost,
            size: Size::Small,
        },
        Plan {
            name: "two-crash-mixed",
            about: "the same while one node is in leader mode and the other in leaderless mode",
            setup: Setup { crashes: 1, modes: Modes::Mixed, ..Setup::of(2) },
            sights: lost,
            size: Size::Small,
        },
        Plan {
            name: "two-crash-slots",
            about: "two nodes, two ballots, two slots at once, one crash",
            setup: Setup { crashes: 1, slots: 2, alpha: 2, ..Setup::of(2) },
            sights: lost,
            size: Size::Small,
        },
        Plan {
            name: "two-read",
            about: "two nodes, two ballots, one slot, one crash, one read",
            setup: Setup { crashes: 1, reads: 1, ..Setup::of(2) },
            sights: &[Sight::Read, Sight::ChosenAfterCrash],
            size: Size::Small,
        },
        Plan {
            name: "three",
            about: "three nodes, two ballots, one slot",
            setup: Setup { candidates: 2, ..Setup::of(3) },
            sights: basics,
            size: Size::Small,
        },
        Plan {
            name: "three-prompt-crash",
            about: "three nodes, two ballots, one slot, one crash, disks that sync at once",
            setup: Setup { crashes: 1, ..prompt.clone() },
            sights: crash,
            size: Size::Large,
        },
        Plan {
            name: "two-rot",
            about: "two nodes, two ballots, one slot, one crash that may lose the batch of a vote",
            setup: Setup { crashes: 1, rots: 1, ..Setup::of(2) },
            sights: &[Sight::Rotten, Sight::ChosenAfterCrash],
            size: Size::Small,
        },
        Plan {
            name: "three-rot",
            about: "three nodes, two ballots, one slot, one crash that may lose the batch of a vote, disks that sync at once",
            setup: Setup { crashes: 1, rots: 1, ..prompt.clone() },
            sights: &[Sight::Rotten, Sight::ChosenAfterCrash],
            size: Size::Large,
        },
        Plan {
            name: "grow-read",
            about: "from one node to two with a read under way: one ballot before it, two slots",
            setup: Setup { reads: 1, slots: 2, change: change(&[1], &[1, 2]), ..Setup::of(2) },
            sights: &[Sight::Read, Sight::ChosenByNew],
            size: Size::Small,
        },
        Plan {
            name: "replace-read",
            about: "one node in the place of another in one step, with a read under way",
            setup: Setup { reads: 1, slots: 3, alpha: 2, change: change(&[1], &[2]), ..Setup::of(2) },
            sights: &[Sight::Read, Sight::ChosenByNew],
            size: Size::Small,
        },
        Plan {
            name: "grow",
            about: "from two nodes to three: one ballot before it and all that the change itself makes, two slots",
            setup: Setup { stands: 1, slots: 2, change: change(&[1, 2], &[1, 2, 3]), ..prompt.clone() },
            sights: changed,
            size: Size::Small,
        },
        Plan {
            name: "shrink",
            about: "from three nodes to two: one ballot before it and all that the change itself makes, two slots",
            setup: Setup { stands: 1, slots: 2, change: change(&[1, 2, 3], &[1, 2]), ..prompt.clone() },
            sights: changed,
            size: Size::Small,
        },
        Plan {
            name: "replace",
            about: "one node in the place of another in one step, two ballots, two slots at once, one crash",
            setup: Setup { slots: 3, alpha: 2, crashes: 1, change: change(&[1], &[2]), ..Setup::of(2) },
            sights: &[Sight::Changed, Sight::ChosenByNew, Sight::ChosenAfterCrash],
            size: Size::Small,
        },
        Plan {
            name: "grow-alpha",
            about: "from two nodes to three with two slots at once",
            setup: Setup { stands: 1, slots: 3, alpha: 2, change: change(&[1, 2], &[1, 2, 3]), ..prompt.clone() },
            sights: changed,
            size: Size::Large,
        },
        Plan {
            name: "grow-duel",
            about: "from two nodes to three while two stand",
            setup: Setup { slots: 2, change: change(&[1, 2], &[1, 2, 3]), ..prompt.clone() },
            sights: changed,
            size: Size::Large,
        },
        Plan {
            name: "shrink-duel",
            about: "from three nodes to two while two stand",
            setup: Setup { slots: 2, change: change(&[1, 2, 3], &[1, 2]), ..prompt },
            sights: changed,
            size: Size::Large,
        },
        Plan {
            name: "three-crash",
            about: "three nodes, two ballots, one slot, one crash that keeps any part of what was not synced",
            setup: Setup { candidates: 2, crashes: 1, ..Setup::of(3) },
            sights: lost,
            size: Size::Large,
        },
    ]
}
