//! The operator of the bank: has wishes about mode and members, looks at the group now and then, and asks for the next
//! change that brings it nearer to them, through any node. Like a person at a terminal it does not wait for an answer
//! for ever, asks again, asks twice, and works from what it saw a moment ago.
//!
//! ```text
//! wishes: so many voters, this mode, not these nodes          (set by faults, at random moments)
//!    └─► what is still to do? ─► admit │ promote │ remove │ set mode ─► Input::Change at some node
//! ```
//!
//! Replacing a node is what the design says: a newcomer is admitted, catches up, is promoted, and then the old one goes.
//! New machines begin with an empty disk and a number that was never used.

use crate::check::Violation;
use crate::control::Control;
use crate::node::{Fate, node_id};
use crate::trace::Who;
use crate::world::{Event, Step, World};
use paxos::NodeId;
use replica::Input;
use replica::group::{Address, Change, ChangeRefused, Group, Member, Mode, Op, Role};
use std::collections::BTreeSet;

/// Where the operator stands with each node's disk: what is pinned, so that another disk is not taken for it.
#[derive(Debug)]
pub(crate) struct Operator {
    /// How many voters there shall be.
    voters: usize,
    mode: Mode,
    /// Nodes that shall go, though nothing is wrong with them.
    unwanted: BTreeSet<usize>,
    /// The version before the last that it saw: what a second operator, or a slow one, works from.
    stale: Option<Group>,
}

/// How often it looks.
const LOOK_US: (u64, u64) = (3_000, 30_000);
/// A node that does not vote so long after its start never will.
const VOTELESS_US: u64 = 500_000;
/// Patience with one request.
const PATIENCE_US: u64 = 150_000;

impl Operator {
    pub(crate) fn new(voters: usize, mode: Mode) -> Operator {
        Operator { voters, mode, unwanted: BTreeSet::new(), stale: None }
    }
}

impl World {
    pub(crate) fn schedule_operator(&mut self) {
        let delay = self.random.between(LOOK_US.0, LOOK_US.1);
        self.schedule.after(delay, Event::Operate);
    }

    /// Another wish for the mode.
    pub(crate) fn wish_other_mode(&mut self) {
        self.operator.mode = match self.operator.mode {
            Mode::Leader => Mode::Leaderless,
            Mode::Leaderless => Mode::Leader,
        };
        let mode = self.operator.mode;
        self.tell_wish(|| format!("{mode:?} mode"));
    }

    /// Another wish for the members: more of them, fewer, or others.
    pub(crate) fn wish_other_members(&mut self) {
        let present: Vec<usize> = self.voters().into_iter().filter(|node| !self.is_to_go(*node)).collect();
        let left = self.plan.machines - self.nodes.len();
        if self.random.chance(450) && left > 0 && !present.is_empty() {
            let node = self.random.pick(&present);
            self.operator.unwanted.insert(node);
            self.tell_wish(|| format!("another node for node {}", node + 1));
            return;
        }
        let sizes: &[usize] = if self.plan.machines > 10 { &[3, 5, 7] } else { &[1, 2, 3, 4, 5] };
        let voters = self.random.pick(sizes);
        if voters <= present.len() + left {
            self.operator.voters = voters;
            self.tell_wish(|| format!("{voters} voters"));
        }
    }

    fn tell_wish(&mut self, wish: impl FnOnce() -> String) {
        self.trace.event(self.schedule.now_us(), Who::World, "operator", &[], || format!("wishes for {}", wish()));
    }

    pub(crate) fn on_operate(&mut self) -> Step {
        self.schedule_operator();
        self.switch_off_who_may_leave();
        self.look_for_voteless()?;
        let present = self.checks.members.present().clone();
        let seen = match self.operator.stale.take() {
            Some(stale) if self.is_troubled() && self.random.chance(100) => stale,
            Some(_) | None => present.clone(),
        };
        self.operator.stale = Some(present);
        let Some(op) = self.next_op(&seen) else { return Ok(()) };
        // Two changes at once, of which one must be refused, or two in a row, the second in the hope that the first comes
        // through.
        let again = self.random.chance(100);
        let hope = if self.control.is_some_and(Control::changes_two) { 0 } else { u64::from(self.random.chance(300)) };
        self.ask_change(Change { expected_version: seen.version, op: op.clone() })?;
        if let Some(second) = self.second_replacement(&seen, &op) {
            self.ask_change(Change { expected_version: seen.version, op: second })?;
        }
        if again {
            let other = if self.random.chance(500) { op } else { Op::SetMode { mode: self.operator.mode } };
            self.ask_change(Change { expected_version: seen.version + hope, op: other })?;
        }
        Ok(())
    }

    /// Whether all wishes are fulfilled.
    pub(crate) fn operator_is_content(&self) -> bool {
        let group = self.checks.members.present();
        let voters = self.voters();
        group.mode == self.operator.mode
            && voters.len() == self.operator.voters
            && group.members.len() == voters.len()
            && voters.iter().all(|node| !self.is_to_go(*node))
    }

    pub(crate) fn in_short(&self) -> String {
        let group = self.checks.members.present();
        let voters: Vec<usize> = self.voters().iter().map(|node| node + 1).collect();
        let bad: Vec<usize> =
            self.voters().into_iter().filter(|node| self.is_to_go(*node)).map(|node| node + 1).collect();
        format!(
            "group version {} {:?} voters {voters:?} to go {bad:?} wished {} {:?}",
            group.version, group.mode, self.operator.voters, self.operator.mode
        )
    }

    /// The voters, by the last change.
    pub(crate) fn voters(&self) -> Vec<usize> {
        self.checks.members.present().voters().map(|id| usize::from(id.get()) - 1).collect()
    }

    pub(crate) fn is_to_go(&self, node: usize) -> bool {
        self.operator.unwanted.contains(&node) || !matches!(self.nodes[node].fate, Fate::Serves)
    }

    /// What is still to do, the next step of it.
    fn next_op(&mut self, group: &Group) -> Option<Op> {
        if !group.is_founded() {
            return None;
        }
        let number = |id: NodeId| usize::from(id.get()) - 1;
        let voters: Vec<usize> = group.voters().map(number).collect();
        let learners: Vec<usize> = group
            .members
            .iter()
            .filter(|(_, member)| member.role == Role::Learner)
            .map(|(id, _)| number(*id))
            .collect();
        let good = voters.iter().filter(|node| !self.is_to_go(**node)).count();
        if group.mode != self.operator.mode && self.random.chance(500) {
            return Some(Op::SetMode { mode: self.operator.mode });
        }
        if let Some(gone) = learners.iter().find(|node| self.is_to_go(**node) || good >= self.operator.voters) {
            return Some(Op::Remove { node: node_id(*gone) });
        }
        if let Some(ready) = learners.iter().copied().find(|node| self.has_caught_up(*node)) {
            let bad = voters.iter().copied().find(|node| self.is_to_go(*node));
            if let Some(remove) = bad.filter(|_| self.control.is_some_and(Control::changes_two)) {
                return Some(Op::Replace { remove: node_id(remove), promote: node_id(ready) });
            }
            return Some(Op::Promote { node: node_id(ready) });
        }
        if good + learners.len() < self.operator.voters {
            return self.newcomer().map(|node| self.admission(node));
        }
        if voters.len() > self.operator.voters && good >= self.operator.voters.min(voters.len() - 1) {
            let goes = voters.iter().copied().find(|node| self.is_to_go(*node));
            let goes = goes.unwrap_or_else(|| self.random.pick(&voters));
            return Some(Op::Remove { node: node_id(goes) });
        }
        (group.mode != self.operator.mode).then_some(Op::SetMode { mode: self.operator.mode })
    }

    /// Where two votes may change at once for the sake of a control: another pair, in the same moment as the first.
    fn second_replacement(&self, group: &Group, first: &Op) -> Option<Op> {
        let Op::Replace { remove: gone, promote: come } = first else { return None };
        let number = |id: &NodeId| usize::from(id.get()) - 1;
        let is_ready = |id: &NodeId| group.role(*id) == Some(Role::Learner) && self.has_caught_up(number(id));
        let promote = group.members.keys().copied().find(|id| id != come && is_ready(id))?;
        let remove = group.voters().find(|id| id != gone)?;
        Some(Op::Replace { remove, promote })
    }

    fn admission(&self, node: usize) -> Op {
        let member = Member { role: Role::Learner, ..member(node) };
        Op::Admit { node: node_id(node), member }
    }

    /// A machine that was set up and is no member yet, or another one.
    fn newcomer(&mut self) -> Option<usize> {
        let next = self.checks.members.present().next_number as usize - 1;
        if next < self.nodes.len() {
            return Some(next);
        }
        if self.nodes.len() >= self.plan.machines {
            return None;
        }
        Some(self.add_machine())
    }

    /// Runs, receives no state any more, and is not far behind.
    fn has_caught_up(&self, node: usize) -> bool {
        let highest = self.checks.agreement.highest();
        self.nodes[node].process.as_ref().is_some_and(|process| {
            process.replica.serves() && process.applier.applied().get() + 2 * self.plan.alpha >= highest
        })
    }

    /// Who is no voter any more, and knows that the others do without it, is switched off.
    fn switch_off_who_may_leave(&mut self) {
        let group = self.checks.members.present();
        let gone: Vec<usize> = (0..self.nodes.len())
            .filter(|node| {
                let id = node_id(*node);
                let was_member = u32::from(id.get()) < group.next_number;
                was_member && !group.members.contains_key(&id) && !matches!(self.nodes[*node].fate, Fate::Retired)
            })
            .collect();
        for node in gone {
            let may_leave = match &self.nodes[node].process {
                Some(process) => process.replica.status().may_leave,
                // A machine that must not run again has nothing to wait for.
                None => !matches!(self.nodes[node].fate, Fate::Serves),
            };
            if may_leave || matches!(self.nodes[node].fate, Fate::Stopped(_)) {
                self.retire(node);
            }
        }
    }

    /// A node whose disk lost a vote goes on without one, and is to be replaced. One whose disk is whole must not be so
    /// when all hear each other.
    fn look_for_voteless(&mut self) -> Step {
        let now = self.schedule.now_us();
        for node in self.voters() {
            let machine = &self.nodes[node];
            let is_silent = machine.fate == Fate::Serves
                && machine
                    .process
                    .as_ref()
                    .is_some_and(|process| process.started_us + VOTELESS_US < now && !process.replica.status().votes);
            if is_silent && machine.rotten {
                self.nodes[node].fate = Fate::RunsOn("its disk lost a vote");
                self.tally.voteless += 1;
                self.trace.event(now, Who::Node(node), "voteless", &[], || "to be replaced".to_owned());
            } else if is_silent && self.healed_us().is_some_and(|since_us| since_us + VOTELESS_US < now) {
                return Err(Violation(format!("node {} does not vote though its disk is whole", node + 1)));
            }
        }
        Ok(())
    }

    fn ask_change(&mut self, change: Change) -> Step {
        let up: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].is_up()).collect();
        if up.is_empty() {
            return Ok(());
        }
        let node = self.random.pick(&up);
        let now = self.nodes[node].now(self.schedule.now_us());
        let Some(process) = self.nodes[node].process.as_mut() else { return Ok(()) };
        process.next_seq += 1;
        let seq = process.next_seq;
        process.operator_waits.insert(seq);
        let numbers =
            [change.expected_version, u64::from(change.op.number()), change.op.node().map_or(0, |id| id.get().into())];
        let shown = change.clone();
        self.trace.event(self.schedule.now_us(), Who::Node(node), "is asked", &numbers, || {
            format!("to change version {}: {}", shown.expected_version, op_in_short(&shown.op))
        });
        self.step(node, Input::Change { seq, change, deadline_us: now.mono_us + PATIENCE_US })
    }

    /// The operator hears what became of a change.
    pub(crate) fn operator_hears(&mut self, node: usize, seq: u64, outcome: Result<&Group, &ChangeRefused>) {
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        if !process.operator_waits.remove(&seq) {
            return;
        }
        self.tally.changes_refused += u64::from(outcome.is_err());
        self.trace.event(self.schedule.now_us(), Who::World, "operator", &[], || match outcome {
            Ok(group) => format!("hears from node {}: version {}", node + 1, group.version),
            Err(refused) => format!("hears from node {}: {refused}", node + 1),
        });
    }

    /// Nothing will be heard of it.
    pub(crate) fn forget_change(&mut self, node: usize, seq: u64) {
        if let Some(process) = self.nodes[node].process.as_mut() {
            process.operator_waits.remove(&seq);
        }
    }

    /// A change was taken, by the first node to come to its slot.
    pub(crate) fn note_change(&mut self, slot: u64, op: &Op) {
        match op {
            Op::Admit { node, .. } => {
                self.tally.admitted += 1;
                self.set_up(usize::from(node.get()) - 1);
            }
            Op::Promote { .. } => self.tally.promoted += 1,
            Op::Remove { .. } => self.tally.removed += 1,
            Op::Replace { .. } => self.tally.removed += 1,
            Op::SetMode { .. } => self.tally.mode_changes += 1,
            Op::Found { .. } | Op::Pin { .. } | Op::Refound { .. } => {}
            Op::Check { .. } => return,
        }
        let group = self.checks.members.present();
        self.trace.event(self.schedule.now_us(), Who::World, "group", &[slot, group.version], || {
            format!("slot {slot}: {} → {}", op_in_short(op), group_in_short(group))
        });
        if matches!(op, Op::Promote { .. } | Op::Remove { .. } | Op::Replace { .. }) {
            self.schedule_cut_at_change();
        }
    }

    /// The newcomer's machine is told who let it in, and started.
    fn set_up(&mut self, node: usize) {
        self.nodes[node].configured = self.checks.members.present().clone();
        let delay = self.random.below(20_000);
        self.schedule.after(delay, Event::Start { node });
    }

    /// Before all that is asked for is done the wishes must be such that they can be fulfilled.
    pub(crate) fn settle_wishes(&mut self) {
        let left = self.plan.machines - self.nodes.len();
        let voters = self.voters();
        let good = voters.iter().filter(|node| !self.is_to_go(**node)).count();
        self.operator.voters = self.operator.voters.min(good + left).max(1);
    }
}

/// The member as everybody is told of it; its disk is pinned by the number that the machine's first disk has.
pub(crate) fn member(node: usize) -> Member {
    let address = |port: usize| Address::new(&format!("sim:{}", port + node)).expect("short and plain");
    Member { role: Role::Voter, peer: address(7001), http: address(8001), disk: first_disk(node) }
}

/// The number of the disk that a machine begins with. A wiped one has another.
pub(crate) fn first_disk(node: usize) -> u64 {
    (node as u64 + 1) << 32
}

fn group_in_short(group: &Group) -> String {
    let members: Vec<String> = group
        .members
        .iter()
        .map(|(id, member)| if member.role == Role::Voter { id.to_string() } else { format!("({id})") })
        .collect();
    let since = group.turn.map_or(0, |turn| turn.since.get());
    format!("version {}, {:?}, members {} from slot {since} on", group.version, group.mode, members.join(" "))
}

fn op_in_short(op: &Op) -> String {
    match op {
        Op::Found { members, mode, .. } => format!("found, {} members, {mode:?}", members.len()),
        Op::Admit { node, .. } => format!("admit {node}"),
        Op::Promote { node } => format!("promote {node}"),
        Op::Remove { node } => format!("remove {node}"),
        Op::SetMode { mode } => format!("{mode:?} mode"),
        Op::Check { number } => format!("check {number}"),
        Op::Replace { remove, promote } => format!("{promote} for {remove}"),
        Op::Pin { node, disk } => format!("pin {node} to disk {disk:x}"),
        Op::Refound { node, incarnation, .. } => format!("life {incarnation} with {node} alone"),
    }
}
