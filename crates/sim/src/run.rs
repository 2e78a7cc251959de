//! One run of one seed, from nothing to its end.

use crate::check::Violation;
use crate::control::Control;
use crate::plan::Scene;
use crate::tally::Tally;
use crate::trace::Show;
use crate::world::World;

/// What the caller chooses; everything else follows from the seed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Setup {
    /// The number of nodes; the seed's choice of 3 or 5 if none is given.
    pub nodes: Option<usize>,
    pub mode: ModeChoice,
    /// The one thing that this run is about; everything that the seed says if none is given.
    pub scene: Option<Scene>,
    /// The one safety rule that is switched off.
    pub control: Option<Control>,
}

/// In which mode the group proposes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ModeChoice {
    Leader,
    Leaderless,
    /// A third of the seeds each; in the last third the mode changes while the group runs.
    #[default]
    Mixed,
}

impl ModeChoice {
    pub fn named(name: &str) -> Option<ModeChoice> {
        match name {
            "leader" => Some(ModeChoice::Leader),
            "leaderless" => Some(ModeChoice::Leaderless),
            "mixed" => Some(ModeChoice::Mixed),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            ModeChoice::Leader => "leader",
            ModeChoice::Leaderless => "leaderless",
            ModeChoice::Mixed => "mixed",
        }
    }
}

#[derive(Debug)]
pub struct Finished {
    pub tally: Tally,
    /// Equal for two runs in which the same happened at the same times.
    pub trace_hash: u64,
    pub violation: Option<Violation>,
}

pub fn run(seed: u64, setup: &Setup, show: Show) -> Finished {
    let mut world = World::new(seed, setup, show);
    let violation = world.run().err();
    let (tally, trace_hash) = world.finish();
    Finished { tally, trace_hash, violation }
}
