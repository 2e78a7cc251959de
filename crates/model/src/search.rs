//! One search: every state that can be reached, or the first that must not be.

use crate::setup::Setup;
use crate::sight::Sight;
use crate::tale;
use crate::world::{Action, State, World};
use crate::wrong::Wrong;
use stateright::{Checker, HasDiscoveries, Model, Path};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How much a search may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub threads: usize,
    pub time: Duration,
}

/// Where a search stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Different states.
    pub states: usize,
    /// Steps into a state, known or new.
    pub transitions: usize,
    pub depth: usize,
    pub took: Duration,
}

#[derive(Debug)]
pub struct Outcome {
    pub progress: Progress,
    /// Different states of single nodes.
    pub node_states: usize,
    /// Whether every reachable state was visited.
    pub exhausted: bool,
    pub violation: Option<Violation>,
    /// In how many steps each sight was seen.
    pub sights: Vec<(Sight, u64)>,
}

#[derive(Debug)]
pub struct Violation {
    pub wrong: Wrong,
    /// How it comes to it, step by step, for people.
    pub tale: String,
}

impl Outcome {
    pub fn saw(&self, sight: Sight) -> bool {
        self.sights.iter().any(|(seen, count)| *seen == sight && *count > 0)
    }
}

/// Searches breadth first, so that a counter-example is about as short as they come.
pub fn search(setup: &Setup, limits: Limits, mut watch: impl FnMut(Progress)) -> Outcome {
    let began = Instant::now();
    let checker = World::new(setup.clone()).checker();
    let mut checker = checker.threads(limits.threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs();
    let handles = checker.handles();
    let mut next_word = Duration::from_secs(1);
    while handles.iter().any(|handle| !handle.is_finished()) {
        std::thread::sleep(Duration::from_millis(5));
        let took = began.elapsed();
        if took > limits.time {
            checker.model().stop.store(true, Ordering::Relaxed);
        }
        if took > next_word {
            next_word = took + Duration::from_secs(1);
            watch(progress(&checker, took));
        }
    }
    for handle in handles {
        handle.join().expect("a thread of the search ended by a bug of the model: it said so above");
    }
    let progress = progress(&checker, began.elapsed());
    let world = checker.model();
    let stopped = world.stop.load(Ordering::Relaxed);
    world.stop.store(false, Ordering::Relaxed);
    let violation = checker.discoveries().into_values().next().map(|path| violation(world, path));
    Outcome {
        progress,
        node_states: world.node_states(),
        exhausted: !stopped && violation.is_none(),
        violation,
        sights: Sight::ALL.into_iter().map(|sight| (sight, world.counts.of(sight))).collect(),
    }
}

fn progress(checker: &impl Checker<World>, took: Duration) -> Progress {
    Progress {
        states: checker.unique_state_count(),
        transitions: checker.state_count(),
        depth: checker.max_depth(),
        took,
    }
}

fn violation(world: &World, path: Path<State, Action>) -> Violation {
    let wrong = path.last_state().wrong.clone().expect("every rule asks whether something is wrong");
    Violation { tale: tale::tell(world, path), wrong }
}
