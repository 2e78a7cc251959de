//! A counter-example as a story: a line for each step, and below it what came of the step.
//!
//! ```text
//!  4. n2 hears n1: Prepare { ballot: b1.1 }
//!         appends Promised(b1.1), not synced
//!         will say to n1, once synced: Promise { ballot: b1.1, floor: s0, accepted: [] }
//! ```

use crate::node::{Crash, Node, Weather};
use crate::world::{Action, State, World, index};
use stateright::Path;
use std::fmt::Write;

pub(crate) fn tell(world: &World, path: Path<State, Action>) -> String {
    let mut text = String::new();
    for (number, (state, action)) in path.into_vec().into_iter().enumerate() {
        let Some(action) = action else {
            if let Some(wrong) = &state.wrong {
                line(&mut text, &format!("  broken: {}\n     {}", wrong.rule(), wrong.how()));
            }
            continue;
        };
        line(&mut text, &format!("{:>3}. {}", number + 1, head(world, &action)));
        what_came_of_it(world, &state, &action, &mut text);
    }
    text
}

fn head(world: &World, action: &Action) -> String {
    match action {
        Action::Hear(key) => {
            let letter = world.letter(*key);
            format!("n{} hears n{}: {:?}", letter.to, letter.from, letter.message)
        }
        Action::Sync(node) => format!("n{node} syncs"),
        Action::Crash(node, Crash { kept, rot }) => {
            let rot = rot.map(|slot| format!(", loses the batch of its vote in {slot:?}")).unwrap_or_default();
            format!("n{node} crashes, keeps {kept} unsynced records{rot}, starts again")
        }
        Action::Stand(node) => format!("n{node} stands"),
        Action::Propose(node) => format!("n{node} proposes"),
        Action::ProposeChange(node) => format!("n{node} proposes the change of members"),
        Action::Read(node) => format!("n{node} begins a read"),
    }
}

fn what_came_of_it(world: &World, state: &State, action: &Action, text: &mut String) {
    let (node, input, input_key) = world.input(action);
    let before = world.node(state.nodes[index(node)]);
    let last_crash = matches!(action, Action::Crash(..)) && state.crashes == 1;
    let weather = if state.crashes == 0 || last_crash { Weather::Calm } else { Weather::CrashesToCome };
    let Some(known) = world.known(state.nodes[index(node)], &input, input_key, weather) else { return };
    let step = &known.step;
    let note = |text: &mut String, what: String| line(text, &format!("       {what}"));
    if let Action::Crash(..) = action {
        note(text, format!("recovered: {:?}", step.node.disk.recover()));
    } else {
        for record in new_records(&before, &step.node, !step.cast.is_empty()) {
            note(text, format!("appends, not synced: {record}"));
        }
    }
    for (slot, ballot, batch) in &step.cast {
        note(text, format!("has voted for good: {slot:?} {ballot:?} {batch:?}"));
    }
    if step.node.paxos.is_proposer() && !before.paxos.is_proposer() {
        note(text, "is the proposer".to_owned());
    }
    for letter in &step.sent {
        note(text, format!("says to n{}: {:?}", letter.to, letter.message));
    }
    for (slot, batch) in &step.chosen {
        note(text, format!("hands out {slot:?}: {batch:?}"));
    }
    for through in &step.reads {
        note(text, format!("releases the read through {through:?}"));
    }
}

/// What was appended in the step, as far as it still waits for a sync.
fn new_records(before: &Node, after: &Node, synced: bool) -> Vec<String> {
    let known = if synced { 0 } else { before.disk.tail().len() };
    after.disk.tail().iter().skip(known).map(|record| format!("{record:?}")).collect()
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}
