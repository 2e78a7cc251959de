//! One run: the machines, the network between them, the clients, what happens next, and the checkers that look on.
//!
//! ```text
//!        schedule ──event──► world ──input──► node's process ──output──► carry: disk, network, applying
//!           ▲                  │                                             │
//!           └── later events ──┴───────────────── checkers ◄─────────────────┘
//! ```
//!
//! In reading order: `node` (a machine and its process), `carry` (what a step wants done), `faults`, `clients`, `ending`.

use crate::check::{Checks, Violation, must};
use crate::clients::{ClientEvent, Clients};
use crate::clock::Clock;
use crate::control::Control;
use crate::ending::Phase;
use crate::network::Network;
use crate::node::{Fate, Node, Stop, founders};
use crate::operator::Operator;
use crate::plan::{Fault, Plan};
use crate::random::Random;
use crate::run::Setup;
use crate::schedule::Schedule;
use crate::tally::Tally;
use crate::trace::{Show, Trace, Who};
use bytes::Bytes;
use paxos::{Ballot, Batch, Slot};
use replica::group::Group;
use replica::{Input, Message, StateMachine};
use std::collections::BTreeSet;

pub(crate) type Step = Result<(), Violation>;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) control: Option<Control>,
    pub(crate) schedule: Schedule<Event>,
    pub(crate) random: Random,
    pub(crate) network: Network,
    /// Pairs that have a `Dial` under way, at a·machines + b.
    pub(crate) dialing: Vec<bool>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Clients,
    pub(crate) checks: Checks,
    pub(crate) trace: Trace,
    pub(crate) tally: Tally,
    pub(crate) phase: Phase,
    pub(crate) operator: Operator,
    /// Changes of the group whose accept was sent: from, to, and what it was.
    pub(crate) sent_changes: BTreeSet<(usize, usize, Ballot, Slot)>,
    /// No other trouble before that time: the others' memory of a node is being asked.
    pub(crate) quiet_until_us: u64,
}

#[derive(Debug)]
pub(crate) enum Event {
    Start {
        node: usize,
    },
    /// What follows is for one life of a node and falls flat when that is over.
    Tick(Life),
    /// A node that gathered inputs does what follows from them.
    MoveOn(Life),
    Sync(Life),
    /// Control: vows leave that no sync has covered.
    Unproven(Life),
    Apply(Life),
    Fold(Life),
    /// The next part of a transfer of state.
    Receive(Life),
    Spare(Life),
    Leave(Life),
    /// A connection that is gone is found out.
    Lost {
        node: Life,
        peer: usize,
        generation: u32,
    },
    Deliver(Parcel),
    Dial {
        a: usize,
        b: usize,
    },
    /// A connection over a cut cable times out.
    Silent {
        a: usize,
        b: usize,
        generation: u32,
    },
    Trouble,
    Mend(Vec<(usize, usize)>),
    CutAtChange,
    RoomAgain {
        node: usize,
    },
    FastAgain {
        node: usize,
    },
    Client(ClientEvent),
    /// The operator looks at the group.
    Operate,
    /// Somebody copies a disk.
    Copy,
    /// The next part of the run begins when its time has come.
    LookAround,
}

/// One start of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) node: usize,
    pub(crate) boot: u64,
}

/// A message under way.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    pub(crate) from: usize,
    pub(crate) to: Life,
    pub(crate) generation: u32,
    pub(crate) bytes: Bytes,
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The machine stays on: what was written is still seen, though not all of it is on the disk.
    Killed,
    /// What was not synced is kept, torn or lost.
    PowerLoss,
}

impl World {
    pub(crate) fn new(seed: u64, setup: &Setup, show: Show) -> World {
        let mut random = Random::new(seed);
        let plan = Plan::new(setup, &mut random);
        let network = Network::new(plan.machines, plan.weather.clone(), random.fork());
        let nodes = (0..plan.nodes)
            .map(|number| Node::new(number, random.next(), Clock::random(&mut random), founders(&plan)))
            .collect();
        let clients = Clients::new(&plan, random.fork());
        let mut world = World {
            control: setup.control,
            schedule: Schedule::new(),
            network,
            dialing: vec![false; plan.machines * plan.machines],
            nodes,
            clients,
            checks: Checks::new(setup.control, founders(&plan)),
            trace: Trace::new(show),
            tally: Tally { seeds: 1, ..Tally::default() },
            phase: Phase::Troubled,
            operator: Operator::new(plan.nodes, plan.mode),
            sent_changes: BTreeSet::new(),
            quiet_until_us: 0,
            random,
            plan,
        };
        world.begin(seed);
        world
    }

    fn begin(&mut self, seed: u64) {
        let plan = format!("{:?}", self.plan);
        self.trace.event(0, Who::World, "seed", &[seed, self.plan.nodes as u64], || format!("{seed}: {plan}"));
        for node in 0..self.plan.nodes {
            let delay = self.random.below(5_000);
            self.schedule.at(delay, Event::Start { node });
        }
        for client in 0..self.plan.clients {
            let delay = self.random.below(50_000);
            self.schedule.at(delay, Event::Client(ClientEvent::Act { client }));
        }
        if !self.plan.cut_throughout.is_empty() {
            let cables = self.plan.cut_throughout.clone();
            self.network.cut(&cables);
            self.schedule.at(self.plan.faults_until_us, Event::Mend(cables));
        }
        if !self.plan.faults.is_empty() {
            self.schedule_trouble();
        }
        self.schedule_operator();
        if self.has(Fault::PutBack) {
            self.schedule_copies();
        }
        self.schedule.at(self.plan.faults_until_us, Event::LookAround);
    }

    /// Runs to the end, or to the first thing that must not happen.
    pub(crate) fn run(&mut self) -> Step {
        while self.phase != Phase::Over {
            let Some(event) = self.schedule.take_next() else {
                return Err(Violation("the run stands still: nothing is left to happen".to_owned()));
            };
            self.tally.steps += 1;
            self.on_event(event)?;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> (Tally, u64) {
        self.tally.virtual_ms = self.schedule.now_us() / 1000;
        self.tally.slots = self.checks.agreement.highest();
        (self.tally, self.trace.hash())
    }

    fn on_event(&mut self, event: Event) -> Step {
        match event {
            Event::Start { node } => self.start(node),
            Event::Tick(life) => self.on_tick(life),
            Event::MoveOn(life) => self.on_move_on(life),
            Event::Sync(life) => self.on_sync(life),
            Event::Unproven(life) => self.on_unproven(life),
            Event::Apply(life) => self.on_apply(life),
            Event::Fold(life) => self.on_fold(life),
            Event::Receive(life) => self.on_receive(life),
            Event::Spare(life) => self.on_spare(life),
            Event::Leave(life) => self.on_left(life),
            Event::Lost { node, peer, generation } => self.on_lost(node, peer, generation),
            Event::Deliver(parcel) => self.on_deliver(parcel),
            Event::Dial { a, b } => self.on_dial(a, b),
            Event::Silent { a, b, generation } => self.on_silent(a, b, generation),
            Event::Trouble => self.on_trouble(),
            Event::Mend(cables) => self.on_mend(&cables),
            Event::CutAtChange => self.cut_at_change(),
            Event::RoomAgain { node } => self.on_room_again(node),
            Event::FastAgain { node } => {
                self.nodes[node].slowness = 1;
                Ok(())
            }
            Event::Client(event) => self.on_client(event),
            Event::Operate => self.on_operate(),
            Event::Copy => self.on_copy(),
            Event::LookAround => self.look_around(),
        }
    }

    /// A new machine with an empty disk, for a newcomer.
    pub(crate) fn add_machine(&mut self) -> usize {
        let node = self.nodes.len();
        assert!(node < self.plan.machines, "there are {} machines", self.plan.machines);
        let (seed, clock) = (self.random.next(), Clock::random(&mut self.random));
        self.nodes.push(Node::new(node, seed, clock, Group::unknown()));
        node
    }

    pub(crate) fn is_alive(&self, life: Life) -> bool {
        let node = &self.nodes[life.node];
        node.is_up() && node.boot == life.boot
    }

    pub(crate) fn life(&self, node: usize) -> Life {
        Life { node, boot: self.nodes[node].boot }
    }

    fn on_tick(&mut self, life: Life) -> Step {
        if !self.is_alive(life) {
            return Ok(());
        }
        self.schedule.after(self.plan.tick_us, Event::Tick(life));
        self.step(life.node, Input::Tick)?;
        self.note_clock(life.node);
        Ok(())
    }

    fn note_clock(&mut self, node: usize) {
        let Some(process) = self.nodes[node].process.as_ref() else { return };
        let clock_ms = process.replica.paxos().steady_clock_ms();
        let majority = self.checks.members.present().voters().count() / 2 + 1;
        self.checks.time.note(node, clock_ms, self.schedule.now_us(), majority);
    }

    fn on_deliver(&mut self, parcel: Parcel) -> Step {
        let Parcel { from, to, generation, bytes } = parcel;
        if !self.is_alive(to) || !self.network.may_arrive(from, to.node, generation) {
            return Ok(());
        }
        self.tally.messages += 1;
        let numbers = [from as u64, u64::from(generation), sum_of(&bytes)];
        let message = replica::wire::decode(bytes)
            .map_err(|error| Violation(format!("wire: what node {} sent cannot be read: {error}", from + 1)))?;
        let now = self.schedule.now_us();
        if is_heartbeat(&message) {
            self.trace.unseen(now, Who::Node(to.node), "got", &numbers);
        } else {
            let detail = || format!("from node {}: {}", from + 1, in_short(&message));
            self.trace.event(now, Who::Node(to.node), "got", &numbers, detail);
        }
        let from = self.nodes[from].id;
        self.step(to.node, Input::Received { from, message })
    }

    /// Starts a node on what its disk holds. What only the disk explains is tried again later.
    pub(crate) fn start(&mut self, node: usize) -> Step {
        let machine = &self.nodes[node];
        let may_run = matches!(machine.fate, Fate::Serves | Fate::RunsOn(_)) && !machine.configured.members.is_empty();
        if machine.is_up() || !may_run {
            return Ok(());
        }
        self.arm_start(node);
        let now = self.schedule.now_us();
        match self.nodes[node].start(now, &self.plan, self.control) {
            Ok(mut started) => {
                let output = std::mem::take(&mut started.output);
                self.note_rot(node, &started.rot)?;
                let numbers = [started.torn_bytes, started.replayed];
                let boot = self.nodes[node].boot;
                self.trace.event(now, Who::Node(node), "starts", &numbers, || {
                    format!(
                        "boot {boot}, {} slots replayed, {} torn bytes dropped",
                        started.replayed, started.torn_bytes
                    )
                });
                self.check_started(node)?;
                self.note_clock(node);
                let life = self.life(node);
                let delay = self.random.below(self.plan.tick_us);
                self.schedule.after(delay, Event::Tick(life));
                for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
                    self.dial_soon(node, peer, 5_000);
                }
                self.arm_first_steps(node);
                self.carry(node, output)?;
                self.begin_fold(node)
            }
            Err(Stop::Disk(why)) => {
                self.trace.event(now, Who::Node(node), "cannot start", &[], || why);
                self.crash_disk(node, End::Killed);
                let delay = self.random.between(5_000, 50_000);
                self.schedule.after(delay, Event::Start { node });
                Ok(())
            }
            // A start mends what it meets, wherever that is, and does not end for it.
            Err(Stop::Rot(why) | Stop::Bug(why)) => Err(Violation(format!("node {} does not start: {why}", node + 1))),
        }
    }

    /// A node that has just started stands where the group was after that slot. Its log may know slots as chosen that
    /// nobody has applied yet; then it is the first to say what they hold.
    fn check_started(&mut self, node: usize) -> Step {
        let process = self.nodes[node].process.as_ref().expect("it has just started");
        let (applied, checkpoint) = (process.applier.applied().get(), process.applier.checkpoint().get());
        let installed = self.nodes[node].checkpoint;
        must(checkpoint >= installed || self.nodes[node].rotten, || {
            format!("node {} started with checkpoint {checkpoint}, though {installed} was installed", node + 1)
        })?;
        let mut taken = Vec::new();
        let mut slot = (self.checks.agreement.highest() + 1).max(checkpoint + 1);
        while slot <= applied {
            let batches = process.log.read_chosen(slot, 1 << 20).map_err(|error| {
                Violation(format!("node {} cannot read slot {slot}, which it has just replayed: {error}", node + 1))
            })?;
            must(!batches.is_empty(), || format!("node {} has lost slot {slot}, which it has replayed", node + 1))?;
            for batch in batches.into_iter().take((applied + 1 - slot) as usize) {
                taken.extend(self.checks.on_batch(node, Slot::new(slot), &Batch::new(batch))?.map(|op| (slot, op)));
                slot += 1;
            }
        }
        let state = process.applier.machine().digest();
        // While state is received the journal is ahead of the books.
        let mark = process.applier.mark();
        self.checks.agreement.check_state(node, applied, state)?;
        self.checks.agreement.check_chain(node, mark.slot, mark.chain)?;
        self.checks.members.check(node, applied, process.applier.group())?;
        for (slot, op) in taken {
            self.note_change(slot, &op);
        }
        Ok(())
    }

    /// What the disk refused ends the process; anything else that ends one is a violation.
    pub(crate) fn stopped(&mut self, node: usize, stop: Stop) -> Step {
        match stop {
            Stop::Bug(why) => Err(Violation(format!("node {} stopped: {why}", node + 1))),
            Stop::Rot(why) => {
                must(self.nodes[node].rotten, || {
                    format!("node {} found rot though nothing on its disk was touched: {why}", node + 1)
                })?;
                self.found_rot(node, &why);
                self.nodes[node].distrust = true;
                self.crash(node, End::Killed);
                Ok(())
            }
            Stop::Disk(why) => {
                must(self.nodes[node].armed || self.nodes[node].full, || {
                    format!("node {} stopped though nothing was done to its disk: {why}", node + 1)
                })?;
                let now = self.schedule.now_us();
                self.trace.event(now, Who::Node(node), "disk error", &[], || why);
                self.tally.crashes_in_disk += 1;
                // The process ends itself; that the machine goes down in the same moment is the rarer case.
                let end = self.random.pick(&[End::Killed, End::Killed, End::Killed, End::PowerLoss]);
                self.crash(node, end);
                Ok(())
            }
        }
    }

    /// Ends a process without warning; it starts again after a while.
    pub(crate) fn crash(&mut self, node: usize, end: End) {
        let Some(process) = self.nodes[node].process.take() else { return };
        self.tally.crashes += 1;
        self.tally.crashes_in_fold += u64::from(!matches!(process.fold, crate::node::Fold::Idle));
        self.close_connections(node, end);
        for caller in process.callers.into_values() {
            self.hang_up(caller);
        }
        self.crash_disk(node, end);
        let now = self.schedule.now_us();
        self.trace.event(now, Who::Node(node), "crashes", &[end as u64], || format!("{end:?}"));
        let delay = self.trouble_time();
        self.schedule.after(delay, Event::Start { node });
    }

    /// Takes from the disk what the end of the process, or of the machine, takes.
    pub(crate) fn crash_disk(&mut self, node: usize, end: End) {
        if end == End::PowerLoss {
            let report = self.nodes[node].disk.crash(self.random.next());
            self.tally.torn_writes += report.torn;
        }
        self.nodes[node].armed = false;
        self.nodes[node].disk.heal();
        if self.nodes[node].full {
            self.fill_disk(node);
        }
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.schedule.now_us() < self.quiet_until_us
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.phase == Phase::Troubled && !self.is_quiet() && self.plan.faults.contains(&fault)
    }
}

fn is_heartbeat(message: &Message) -> bool {
    matches!(message, Message::Paxos(paxos::Message::Heartbeat { .. } | paxos::Message::HeartbeatReply { .. }))
}

/// A message in few words: what is passed on is counted, not shown.
fn in_short(message: &Message) -> String {
    match message {
        Message::Paxos(message) => format!("{message:?}"),
        Message::Forward(requests) => format!("passes on {} requests", requests.len()),
        Message::ForwardRefused(refused) => format!("refuses {} requests", refused.len()),
        Message::ForwardChange(forwarded) => format!("passes on {:?}", forwarded.change),
        Message::Digest { slot, .. } => format!("tells its digest at slot {slot}"),
        Message::FetchJournal { from_place } => format!("asks for the journal from place {from_place}"),
        Message::Journal { from_place, records, .. } => {
            format!("sends {} bytes of journal from place {from_place}", records.len())
        }
        Message::Nudge(through) => format!("asks for slots through {through}"),
    }
}

/// A number that differs for different bytes, for the hash of the run.
fn sum_of(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |sum, chunk| {
        let word = chunk.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte));
        (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
    })
}
