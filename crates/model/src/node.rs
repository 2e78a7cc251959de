//! One node: the Paxos that runs, its disk, and the little of a shell that stands between them.
//!
//! The shell here does what the replica does and nothing else: records are appended before anything else happens, vows
//! wait for a sync, a vow to the node itself goes back into it, what is chosen is applied at once, questions for chosen
//! batches are answered from the log. A step is a function of the node and its input, so it is worked out once for
//! all the states of the group in which it happens.

use crate::disk::{Cast, Disk};
use crate::setup::{Setup, Syncs, Watch};
use crate::sight::{Sight, Sights};
use crate::world::key_of;
use crate::wrong::Wrong;
use paxos::{Ballot, Batch, Effects, Message, NodeId, Now, Paxos, Record, Role, Slot, Vow, invariant};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A message under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Letter {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) message: Message,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) me: NodeId,
    pub(crate) paxos: Paxos,
    pub(crate) disk: Disk,
    /// Vows whose records are not synced.
    held: Vec<(NodeId, Vow)>,
    /// The highest ballot of all promises and votes that ever left this node.
    vowed: Ballot,
    /// How often it was started.
    life: u8,
}

/// What may happen to a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Input {
    Hear(Arc<Letter>),
    Sync,
    /// The process ends and starts again.
    Crash(Crash),
    Stand,
    Propose,
    ProposeChange,
    Read,
    /// Nothing, but from now on nobody crashes any more.
    Calm,
}

/// What a crash leaves of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Crash {
    /// So many records of the unsynced tail reached it.
    pub(crate) kept: usize,
    /// The batch of the vote in this slot did not, or rotted.
    pub(crate) rot: Option<Slot>,
}

/// What an input did.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) node: Node,
    pub(crate) sent: Vec<Letter>,
    /// What it handed out to be applied, after a start from the log again.
    pub(crate) chosen: Vec<(Slot, Batch)>,
    pub(crate) cast: Vec<Cast>,
    pub(crate) reads: Vec<Slot>,
    pub(crate) sights: Sights,
    pub(crate) wrong: Option<Wrong>,
}

/// What a crash later on can still take away decides what must be remembered of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Weather {
    CrashesToCome,
    Calm,
}

impl Node {
    pub(crate) fn new(setup: &Setup, me: NodeId) -> Node {
        let disk = Disk::default();
        let paxos = start(setup, me, &disk, 0);
        Node { me, paxos, disk, held: Vec::new(), vowed: Ballot::ZERO, life: 0 }
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.life > 0
    }

    /// The network doubles messages anyway, so one copy of each vow is enough; and the order in which vows to others
    /// leave means nothing, so they are kept in one order.
    fn hold(&mut self, vows: Vec<(NodeId, Vow)>) {
        for vow in vows {
            if !self.held.contains(&vow) {
                self.held.push(vow);
            }
        }
        let me = self.me;
        self.held.sort_by_cached_key(|(to, vow)| if *to == me { (1, 0) } else { (0, key_of(&(to, vow))) });
    }

    /// What the input does to this node; `None` if nothing at all comes of it.
    pub(crate) fn step(&self, setup: &Setup, input: &Input, weather: Weather) -> Option<Step> {
        let mut step = Step {
            node: self.clone(),
            sent: Vec::new(),
            chosen: Vec::new(),
            cast: Vec::new(),
            reads: Vec::new(),
            sights: Sights::default(),
            wrong: None,
        };
        let took = catch_unwind(AssertUnwindSafe(|| step.take(setup, input, weather)));
        match took {
            Ok(()) => step.compare_vows(),
            Err(panic) => {
                step = Step { node: self.clone(), sent: Vec::new(), ..step };
                step.wrong = Some(Wrong::Invariant(said(panic.as_ref())));
            }
        }
        let same = step.node == *self && step.sent.is_empty() && step.reads.is_empty() && step.wrong.is_none();
        (!same).then_some(step)
    }
}

impl Step {
    fn take(&mut self, setup: &Setup, input: &Input, weather: Weather) {
        match input {
            Input::Hear(letter) => {
                let (from, message) = (letter.from, letter.message.clone());
                self.call(setup, |paxos, now, fx| paxos.on_message(now, from, message, fx));
            }
            Input::Sync => self.sync(setup),
            Input::Crash(crash) => self.crash(setup, *crash),
            Input::Stand => self.call(setup, |paxos, now, fx| paxos.stand_anytime(now, fx)),
            Input::Propose => self.propose(setup, Setup::batch),
            Input::ProposeChange => self.propose(setup, Setup::change_batch),
            Input::Read => self.call(setup, |paxos, now, fx| paxos.read(now, 1, fx)),
            Input::Calm => {}
        }
        // Vows that wait for no record may leave at once; so may all of them on a disk that syncs within the step.
        let waits = !self.node.disk.tail().is_empty() && setup.syncs == Syncs::AnyTime;
        while !waits && !self.node.held.is_empty() {
            self.sync(setup);
        }
        if self.node.held.is_empty() && (weather == Weather::Calm || setup.syncs == Syncs::AtOnce) {
            // Nothing depends on when these are synced, and no crash will ask.
            self.cast.extend(self.node.disk.sync());
        }
        if setup.watch == Watch::All {
            invariant::check(&self.node.paxos);
        }
        self.node.paxos.forget_rumours();
    }

    fn call(&mut self, setup: &Setup, call: impl FnOnce(&mut Paxos, Now, &mut Effects)) {
        let mut fx = Effects::default();
        let ballot = self.node.paxos.status().promised;
        let was_proposer = self.node.paxos.is_proposer();
        call(&mut self.node.paxos, now(self.node.life), &mut fx);
        let status = self.node.paxos.status();
        if was_proposer && status.role == Role::Standing && status.promised > ballot && status.membership.version > 0 {
            self.sights.see(Sight::Crossed);
        }
        self.carry_out(setup, fx);
    }

    fn carry_out(&mut self, setup: &Setup, fx: Effects) {
        let Effects { persist, send, vows, chosen, serve, reads, nudges: _, events: _, behind: _ } = fx;
        let me = self.node.me;
        if persist.iter().any(|record| matches!(record, Record::Learned { .. })) {
            self.sights.see(Sight::Learned);
        }
        self.node.disk.append(persist);
        self.node.hold(vows);
        self.sent.extend(send.into_iter().map(|(to, message)| Letter { from: me, to, message }));
        let through = self.node.paxos.status().chosen;
        for serve in serve {
            let batches: Vec<Batch> =
                self.node.disk.read(serve.from, through).into_iter().map(|(_, batch)| batch).collect();
            let message = Message::Learned { from: serve.from, batches };
            self.sent.push(Letter { from: me, to: serve.to, message });
        }
        self.reads.extend(reads.into_iter().map(|(_, through)| through));
        if chosen.is_empty() {
            return;
        }
        for (slot, batch) in chosen {
            if let Some(membership) = setup.change_in(&batch) {
                self.call(setup, |paxos, now, fx| paxos.on_change(now, slot, membership, fx));
            }
            self.node.paxos.on_applied(slot);
            self.chosen.push((slot, batch));
        }
        // A wider window lets the holder finish what it found; and it tells the others what is chosen.
        self.call(setup, |paxos, _, fx| paxos.nudge(Slot::ZERO, fx));
        self.call(setup, |paxos, _, fx| paxos.announce(fx));
    }

    /// Everything appended so far is on disk: the vows behind it leave.
    fn sync(&mut self, setup: &Setup) {
        self.cast.extend(self.node.disk.sync());
        let me = self.node.me;
        for (to, vow) in std::mem::take(&mut self.node.held) {
            self.node.paxos.on_synced(&vow);
            let message = vow.into_message();
            if let Message::Promise { ballot, .. } | Message::Accepted { ballot, .. } = &message {
                self.node.vowed = self.node.vowed.max(*ballot);
            }
            if to == me {
                self.call(setup, |paxos, now, fx| paxos.on_message(now, me, message, fx));
            } else {
                self.sent.push(Letter { from: me, to, message });
            }
        }
    }

    fn crash(&mut self, setup: &Setup, crash: Crash) {
        if crash.kept < self.node.disk.tail().len() {
            self.sights.see(Sight::LostTail);
        }
        if self.node.paxos.is_proposer() {
            self.sights.see(Sight::HolderCrashed);
        }
        self.cast.extend(self.node.disk.crash(crash.kept));
        if let Some(slot) = crash.rot {
            self.node.disk.rot(slot);
            self.sights.see(Sight::Rotten);
        }
        let me = self.node.me;
        self.node.life += 1;
        self.node.held.clear();
        self.node.paxos = start(setup, me, &self.node.disk, self.node.life);
        let chosen = self.node.paxos.status().chosen;
        self.chosen.extend(self.node.disk.read(Slot::ZERO, chosen));
        if setup.ticks_at_start() {
            // Heartbeats belong to the policy, which is not asked here.
            let mut fx = Effects::default();
            self.node.paxos.on_tick(now(self.node.life), &mut fx);
            fx.send.clear();
            self.carry_out(setup, fx);
        }
    }

    fn propose(&mut self, setup: &Setup, batch: impl Fn(&Setup, Slot, Ballot, u8) -> Batch) {
        let mut trial = self.node.paxos.clone();
        let Ok(slot) = trial.propose(Batch::noop(), &mut Effects::default()) else { return };
        if slot.get() > setup.slots {
            return;
        }
        let ballot = self.node.paxos.status().promised;
        let batch = batch(setup, slot, ballot, self.node.life);
        self.call(setup, |paxos, _, fx| {
            let proposed = paxos.propose(batch, fx);
            assert_eq!(proposed, Ok(slot), "what the trial could propose can be proposed");
        });
    }

    /// What left this node binds it, in this life and in all later ones.
    fn compare_vows(&mut self) {
        let promised = self.node.paxos.status().promised;
        if promised < self.node.vowed {
            let me = self.node.me;
            self.wrong =
                Some(Wrong::Vow(format!("n{me} promised or voted {} and now stands at {promised}", self.node.vowed)));
        }
    }
}

/// Time stands still; only a start is later than the life before it.
fn now(life: u8) -> Now {
    Now { mono_us: 0, wall_ms: u64::from(life) }
}

/// A node as its disk left it: what is chosen there is applied, the changes of members in it among it.
fn start(setup: &Setup, me: NodeId, disk: &Disk, life: u8) -> Paxos {
    let recovered = disk.recover();
    let chosen = recovered.chosen;
    let mut paxos = Paxos::new(setup.config(me, &disk.read(Slot::ZERO, chosen)), recovered, now(life));
    paxos.on_applied(chosen);
    paxos.trust_disk();
    paxos
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic".to_owned())
}
