//! The small searches visit every state, find nothing wrong, and come across all that they should.

use model::plan::{Size, plans};
use model::search::{Limits, search};
use std::time::Duration;

const LIMITS: Limits = Limits { threads: 2, time: Duration::from_secs(600) };

#[test]
fn every_small_search_visits_all_states_and_finds_nothing_wrong() {
    for plan in plans().into_iter().filter(|plan| plan.size == Size::Small) {
        let outcome = search(&plan.setup, LIMITS, |_| {});
        if let Some(violation) = outcome.violation {
            panic!("{}: {}\n{}", plan.name, violation.wrong.rule(), violation.tale);
        }
        assert!(outcome.exhausted, "{}: all states within {:?}", plan.name, LIMITS.time);
        for sight in plan.sights {
            assert!(outcome.saw(*sight), "{}: never saw that {}", plan.name, sight.name());
        }
        println!("{}: {} states in {:?}", plan.name, outcome.progress.states, outcome.progress.took);
    }
}

/// What is forgotten about the network must not matter to any node.
#[test]
fn burying_dead_messages_hides_no_state_of_any_node() {
    let plan = plans().into_iter().find(|plan| plan.name == "two-crash").expect("the plan has this name");
    let buried = search(&plan.setup, LIMITS, |_| {});
    let kept = search(&model::setup::Setup { keep_dead: true, ..plan.setup }, LIMITS, |_| {});
    assert!(buried.exhausted && kept.exhausted);
    assert!(buried.progress.states < kept.progress.states, "there is something to bury");
    assert_eq!(buried.node_states, kept.node_states);
}
