//! The group as a model: its states, what may happen in each, and what comes of it.
//!
//! ```text
//!   State   = a key for each node · keys of all messages ever sent · what was handed out · what may still happen
//!   World   = the books behind the keys: nodes, messages, and what each input does to each node, worked out once
//! ```
//!
//! The network keeps every message for good and may deliver it any number of times, in any order, or never: so loss,
//! doubling, delay and reordering need no steps of their own. A node that crashes starts again in the same step: one
//! that is down for a while is one that nothing happens to.
//!
//! Keys are 64-bit hashes of the contents. The books compare contents whenever a key comes up again with a new step, so
//! two nodes or messages that share a key are found and end the search.

use crate::dead::{Facts, is_dead};
use crate::disk::Cast;
use crate::node::{Crash, Input, Letter, Node, Step, Weather};
use crate::setup::{Setup, Watch, is_from_before};
use crate::sight::{Counts, Sight, Sights};
use crate::wrong::{self, Wrong};
use dashmap::DashMap;
use paxos::{Ballot, Batch, NodeId, Slot};
use stateright::{Model, Property};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) type Key = u64;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// Node 1 first.
    pub(crate) nodes: Vec<Key>,
    /// Every message ever sent, sorted.
    pub(crate) letters: Vec<Key>,
    /// What was handed out by whoever did so first; slot 1 first.
    pub(crate) handed_out: Vec<Batch>,
    pub(crate) stands: u8,
    pub(crate) crashes: u8,
    pub(crate) rots: u8,
    pub(crate) reads: u8,
    pub(crate) changes: u8,
    /// Who reads, and what was handed out when it began.
    pub(crate) reading: Vec<(NodeId, Slot)>,
    pub(crate) wrong: Option<Wrong>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Hear(Key),
    Sync(NodeId),
    Crash(NodeId, Crash),
    Stand(NodeId),
    Propose(NodeId),
    ProposeChange(NodeId),
    Read(NodeId),
}

/// A step with keys in the places of contents.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) node: Key,
    pub(crate) sent: Vec<Key>,
    pub(crate) step: Step,
}

/// A node, and what is asked of it to tell dead messages: for a time with crashes to come, and for one without.
#[derive(Debug)]
struct Entry {
    node: Arc<Node>,
    stormy: Facts,
    calm: Facts,
}

type StepKey = (Key, Key, Weather);

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) setup: Setup,
    nodes: DashMap<Key, Arc<Entry>>,
    letters: DashMap<Key, Arc<Letter>>,
    steps: DashMap<StepKey, Option<Arc<Known>>>,
    pub(crate) counts: Counts,
    /// Set when time is up: then nothing more may happen in any state.
    pub(crate) stop: AtomicBool,
}

impl World {
    pub(crate) fn new(setup: Setup) -> World {
        World {
            setup,
            nodes: DashMap::new(),
            letters: DashMap::new(),
            steps: DashMap::new(),
            counts: Counts::default(),
            stop: AtomicBool::new(false),
        }
    }

    /// Different states of single nodes.
    pub(crate) fn node_states(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn node(&self, key: Key) -> Arc<Node> {
        Arc::clone(&self.entry(key).node)
    }

    fn entry(&self, key: Key) -> Arc<Entry> {
        Arc::clone(&self.nodes.get(&key).expect("every key in a state was entered in the books first"))
    }

    pub(crate) fn letter(&self, key: Key) -> Arc<Letter> {
        Arc::clone(&self.letters.get(&key).expect("every key in a state was entered in the books first"))
    }

    /// Whom the action concerns, what happens there, and a key for that.
    pub(crate) fn input(&self, action: &Action) -> (NodeId, Input, Key) {
        let (node, input) = match action {
            Action::Hear(key) => {
                let letter = self.letter(*key);
                return (letter.to, Input::Hear(letter), *key);
            }
            Action::Sync(node) => (*node, Input::Sync),
            Action::Crash(node, crash) => (*node, Input::Crash(*crash)),
            Action::Stand(node) => (*node, Input::Stand),
            Action::Propose(node) => (*node, Input::Propose),
            Action::ProposeChange(node) => (*node, Input::ProposeChange),
            Action::Read(node) => (*node, Input::Read),
        };
        let key = key_of(&input);
        (node, input, key)
    }

    /// What the input does to the node: looked up, or worked out and entered.
    pub(crate) fn known(&self, key: Key, input: &Input, input_key: Key, weather: Weather) -> Option<Arc<Known>> {
        let step_key = (key, input_key, weather);
        if let Some(known) = self.steps.get(&step_key) {
            return known.clone();
        }
        let known = self.node(key).step(&self.setup, input, weather).map(|step| {
            let node = self.enter_node(step.node.clone());
            let sent = step.sent.iter().map(|letter| self.enter_letter(letter)).collect();
            Arc::new(Known { node, sent, step })
        });
        self.steps.insert(step_key, known.clone());
        known
    }

    fn enter_node(&self, node: Node) -> Key {
        let key = key_of(&node);
        let entry = self.nodes.entry(key).or_insert_with(|| {
            let [stormy, calm] = [Weather::CrashesToCome, Weather::Calm].map(|weather| Facts::of(&node, weather));
            Arc::new(Entry { node: Arc::new(node.clone()), stormy, calm })
        });
        assert_eq!(*entry.node, node, "two nodes with one key");
        key
    }

    fn enter_letter(&self, letter: &Letter) -> Key {
        let key = key_of(letter);
        let entry = self.letters.entry(key).or_insert_with(|| Arc::new(letter.clone()));
        assert_eq!(**entry, *letter, "two messages with one key");
        key
    }

    /// No crash is to come: what a disk has not synced is not asked for any more.
    fn calm(&self, state: &mut State) {
        for node in self.setup.members() {
            let key = key_of(&Input::Calm);
            if let Some(known) = self.known(state.nodes[index(node)], &Input::Calm, key, Weather::Calm) {
                self.carry_out(state, node, &known);
            }
        }
    }

    /// Forgets the messages that can do nothing any more.
    fn bury(&self, state: &mut State) {
        if !self.setup.buries() {
            return;
        }
        let entries: Vec<Arc<Entry>> = state.nodes.iter().map(|key| self.entry(*key)).collect();
        let weather = weather(state);
        let facts = |node: NodeId| match weather {
            Weather::CrashesToCome => &entries[index(node)].stormy,
            Weather::Calm => &entries[index(node)].calm,
        };
        let highest = entries.iter().map(|entry| entry.calm.lead()).max();
        let last_ballot = highest.filter(|_| state.stands == 0 && self.setup.change.is_none());
        state.letters.retain(|key| {
            let letter = self.letter(*key);
            !is_dead(&letter, facts(letter.to), facts(letter.from), last_ballot)
        });
    }

    fn carry_out(&self, state: &mut State, node: NodeId, known: &Known) {
        state.nodes[index(node)] = known.node;
        for key in &known.sent {
            if let Err(place) = state.letters.binary_search(key) {
                state.letters.insert(place, *key);
            }
        }
        let step = &known.step;
        let mut sights = step.sights;
        if !step.cast.is_empty() {
            self.compare_votes(state, &step.cast, &mut sights);
        }
        self.hand_out(state, node, step, &mut sights);
        for through in &step.reads {
            sights.see(Sight::Read);
            let Some(place) = state.reading.iter().position(|(reader, _)| *reader == node) else { continue };
            let (_, known_before) = state.reading.remove(place);
            if *through < known_before {
                let how = format!("n{node} reads through {through:?}, and {known_before:?} was known before it asked");
                self.find(state, Wrong::StaleRead(how));
            }
        }
        if let Some(wrong) = &step.wrong {
            self.find(state, wrong.clone());
        }
        self.counts.add(sights);
    }

    fn hand_out(&self, state: &mut State, node: NodeId, step: &Step, sights: &mut Sights) {
        for (slot, batch) in &step.chosen {
            sights.see(Sight::Chosen);
            if self.setup.change_in(batch).is_some() {
                sights.see(Sight::Changed);
            }
            if self.setup.change.is_some() && self.setup.membership(*slot, &state.handed_out).version > 0 {
                sights.see(Sight::ChosenByNew);
            }
            if step.node.has_crashed() {
                sights.see(Sight::ChosenAfterCrash);
            }
            let place = place(*slot);
            if place == state.handed_out.len() {
                state.handed_out.push(batch.clone());
            }
            match state.handed_out.get(place) {
                Some(first) if first == batch => {}
                Some(first) => {
                    let how = format!("{slot:?}: n{node} hands out {batch:?}, and {first:?} was handed out before");
                    self.find(state, Wrong::Agreement(how));
                }
                None => {
                    let how = format!("n{node} hands out {slot:?} before anybody had the slot below it");
                    self.find(state, Wrong::Agreement(how));
                }
            }
            if !self.decided(state, *slot).iter().any(|(_, decided)| decided == batch) {
                let how =
                    format!("{slot:?}: n{node} hands out {batch:?}, which no majority has on disk under one ballot");
                self.find(state, Wrong::Durability(how));
            }
        }
        let all_know = |key: &Key| self.node(*key).paxos.status().chosen.get() >= self.setup.slots;
        if !step.chosen.is_empty() && state.nodes.iter().all(all_know) {
            sights.see(Sight::AllKnow);
        }
    }

    /// Batches that a majority of the slot's voters has voted for, durably, each under one ballot.
    fn decided(&self, state: &State, slot: Slot) -> Vec<(Ballot, Batch)> {
        let voters = self.setup.membership(slot, &state.handed_out).voters;
        let mut votes: BTreeMap<Ballot, (usize, Batch)> = BTreeMap::new();
        for voter in &voters {
            let node = self.node(state.nodes[index(*voter)]);
            for ((_, ballot), batch) in node.disk.cast().range((slot, Ballot::ZERO)..(slot.next(), Ballot::ZERO)) {
                votes.entry(*ballot).or_insert_with(|| (0, batch.clone())).0 += 1;
            }
        }
        let decided = votes.into_iter().filter(|(_, (count, _))| *count > voters.len() / 2);
        decided.map(|(ballot, (_, batch))| (ballot, batch)).collect()
    }

    /// New votes are durable: no slot may have majorities for two batches, nor one for another than was handed out.
    fn compare_votes(&self, state: &mut State, cast: &[Cast], sights: &mut Sights) {
        for (slot, ballot, batch) in cast {
            let decided = self.decided(state, *slot);
            let here = decided.iter().any(|(by, _)| by == ballot);
            if here && !batch.is_noop() && is_from_before(batch, *ballot) {
                sights.see(Sight::Finished);
            }
            if here && batch.is_noop() {
                sights.see(Sight::GapFilled);
            }
            if !here {
                continue;
            }
            let first = state.handed_out.get(place(*slot)).filter(|first| *first != batch);
            if let Some((by, other)) = decided.iter().find(|(_, other)| other != batch) {
                let how =
                    format!("{slot:?}: majorities voted for {batch:?} with {ballot:?} and for {other:?} with {by:?}");
                self.find(state, Wrong::Agreement(how));
            } else if let Some(first) = first {
                let how = format!("{slot:?}: a majority voted for {batch:?} with {ballot:?}, {first:?} was handed out");
                self.find(state, Wrong::Agreement(how));
            }
        }
    }

    /// The first thing that goes wrong is what a search reports.
    fn find(&self, state: &mut State, wrong: Wrong) {
        let watched = match self.setup.watch {
            Watch::All => true,
            Watch::Only(rule) => wrong.rule() == rule,
        };
        if watched && state.wrong.is_none() {
            state.wrong = Some(wrong);
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let nodes = self.setup.members().into_iter();
        let state = State {
            nodes: nodes.map(|node| self.enter_node(Node::new(&self.setup, node))).collect(),
            letters: Vec::new(),
            handed_out: Vec::new(),
            stands: self.setup.stands,
            crashes: self.setup.crashes,
            rots: self.setup.rots,
            reads: self.setup.reads,
            changes: u8::from(self.setup.change.is_some()),
            reading: Vec::new(),
            wrong: None,
        };
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.wrong.is_some() || self.stop.load(Ordering::Relaxed) {
            return;
        }
        actions.extend(state.letters.iter().map(|letter| Action::Hear(*letter)));
        for (key, node) in state.nodes.iter().zip(self.setup.members()) {
            actions.push(Action::Propose(node));
            if state.changes > 0 {
                actions.push(Action::ProposeChange(node));
            }
            if state.stands > 0 && node.get() <= self.setup.candidates {
                actions.push(Action::Stand(node));
            }
            if state.reads > 0 && state.reading.iter().all(|(reader, _)| *reader != node) {
                actions.push(Action::Read(node));
            }
            let tail = self.node(*key).disk.tail().len();
            if tail > 0 {
                actions.push(Action::Sync(node));
            }
            if state.crashes > 0 {
                for kept in 0..=tail {
                    actions.push(Action::Crash(node, Crash { kept, rot: None }));
                    if state.rots > 0 {
                        let open = self.node(*key).disk.open_votes(kept).into_iter();
                        actions.extend(open.map(|slot| Action::Crash(node, Crash { kept, rot: Some(slot) })));
                    }
                }
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Stand(_) => state.stands -= 1,
            Action::Crash(node, crash) => {
                state.crashes -= 1;
                state.rots -= u8::from(crash.rot.is_some());
                state.reading.retain(|(reader, _)| *reader != node);
            }
            Action::Read(node) => {
                state.reads -= 1;
                state.reading.push((node, Slot::new(state.handed_out.len() as u64)));
                state.reading.sort_unstable();
            }
            Action::ProposeChange(_) => state.changes -= 1,
            Action::Hear(_) | Action::Sync(_) | Action::Propose(_) => {}
        }
        let (node, input, input_key) = self.input(&action);
        let known = self.known(state.nodes[index(node)], &input, input_key, weather(&state))?;
        if self.setup.watch != Watch::All && matches!(known.step.wrong, Some(Wrong::Invariant(_))) {
            // Its process would have ended there.
            return None;
        }
        self.carry_out(&mut state, node, &known);
        if matches!(action, Action::Crash(..)) && state.crashes == 0 {
            self.calm(&mut state);
        }
        self.bury(&mut state);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<World>> {
        fn holds(state: &State, rule: &str) -> bool {
            state.wrong.as_ref().is_none_or(|wrong| wrong.rule() != rule)
        }
        vec![
            Property::always(wrong::AGREEMENT, |_, state| holds(state, wrong::AGREEMENT)),
            Property::always(wrong::DURABILITY, |_, state| holds(state, wrong::DURABILITY)),
            Property::always(wrong::VOW, |_, state| holds(state, wrong::VOW)),
            Property::always(wrong::STALE_READ, |_, state| holds(state, wrong::STALE_READ)),
            Property::always(wrong::INVARIANT, |_, state| holds(state, wrong::INVARIANT)),
        ]
    }
}

fn weather(state: &State) -> Weather {
    if state.crashes > 0 { Weather::CrashesToCome } else { Weather::Calm }
}

pub(crate) fn index(node: NodeId) -> usize {
    usize::from(node.get()) - 1
}

fn place(slot: Slot) -> usize {
    slot.get() as usize - 1
}

/// The same in every run: the hasher has no key of its own.
pub(crate) fn key_of(contents: &impl Hash) -> Key {
    let mut hasher = DefaultHasher::new();
    contents.hash(&mut hasher);
    hasher.finish()
}
