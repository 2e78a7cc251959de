//! What one seed is: how many nodes and clients, how good the network and the disks, which faults and how often.
//!
//! Not every seed has everything. Each draws a subset ("swarm testing", Groce et al., ISSTA 2012): a run in which
//! everything happens all the time hides what needs a quiet stretch, such as a long log behind one slow node.
//!
//! A control may aim: it then gets the faults and the workload in which its rule matters.

use crate::control::Control;
use crate::cuts::{self, Shape};
use crate::damage::{self, Part};
use crate::network::Weather;
use crate::random::Random;
use crate::run::{ModeChoice, Setup};
use replica::group::Mode;

/// Kinds of faults, and of what operators do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A process ends; what was not synced may be kept, torn or lost.
    Crash,
    /// The same, at the n-th disk operation from now on: in the middle of whatever it is doing.
    CrashAtDiskOperation,
    /// Several nodes lose power in the same moment.
    PowerCut,
    DiskFull,
    DiskSlow,
    /// Cables are cut in one of the shapes of `cuts`.
    Cut,
    /// One connection breaks and comes again.
    Disconnect,
    ClockJump,
    /// An operator asks for an election.
    Elect,
    /// An orderly shutdown and a start some time later.
    ShutDown,
    /// The operator wishes for the other mode.
    ChangeMode,
    /// The operator wishes for more members, fewer, or others.
    ChangeMembers,
    /// Just after a change of members was chosen, who comes and who goes do not hear each other.
    CutAtChange,
    /// A running node is ended and its disk is empty when it starts again.
    Wipe,
    /// A running node is ended, and an older copy of its disk is there when it starts again.
    PutBack,
    /// A byte on a disk rots.
    Rot,
    /// A balance in one node's memory is another one.
    FlipBalance,
}

/// The one thing that a run is about: what most seeds only touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// Every sync takes 20 ms; no other trouble.
    SlowDisks,
    /// One node is heard and hears nothing; no other trouble.
    DeafNode,
    /// Each node hears only its neighbours in a row; no other trouble.
    Chain,
    /// Nothing happens but many clients, as many at each node.
    EvenLoad,
    /// From three nodes to five, to seven, and back, under load and every other trouble.
    Tour,
}

/// The kinds of faults with how many seeds of a thousand have each. (Changes of mode are another matter: `Setup` says.)
const LIKELY: [(Fault, u64); 16] = [
    (Fault::Crash, 500),
    (Fault::CrashAtDiskOperation, 500),
    (Fault::PowerCut, 500),
    (Fault::DiskFull, 500),
    (Fault::DiskSlow, 500),
    (Fault::Cut, 500),
    (Fault::Disconnect, 500),
    (Fault::ClockJump, 500),
    (Fault::Elect, 500),
    (Fault::ShutDown, 500),
    (Fault::ChangeMembers, 350),
    (Fault::CutAtChange, 350),
    (Fault::Wipe, 200),
    (Fault::PutBack, 200),
    (Fault::Rot, 300),
    (Fault::FlipBalance, 60),
];

const SCENES: [(Scene, &str); 5] = [
    (Scene::SlowDisks, "slow-disks"),
    (Scene::DeafNode, "deaf-node"),
    (Scene::Chain, "chain"),
    (Scene::EvenLoad, "even-load"),
    (Scene::Tour, "tour"),
];

impl Scene {
    pub fn named(name: &str) -> Option<Scene> {
        SCENES.into_iter().find(|(_, known)| *known == name).map(|(scene, _)| scene)
    }

    pub fn name(self) -> &'static str {
        SCENES.into_iter().find(|(scene, _)| *scene == self).map_or("", |(_, name)| name)
    }
}

#[derive(Debug, Clone)]
pub struct Plan {
    /// The nodes that the group begins with.
    pub nodes: usize,
    /// The machines that there may ever be: those, and newcomers.
    pub machines: usize,
    /// The mode that the group begins with.
    pub mode: Mode,
    pub clients: usize,
    /// Sizes of the group that are wished for one after the other, the last first; then any.
    pub tour: Vec<usize>,
    /// Each client always asks the same node.
    pub bound: bool,
    /// Faults end and everything heals at this time.
    pub faults_until_us: u64,
    /// The faults of this seed; one that is there twice comes twice as often. Empty: none.
    pub faults: Vec<Fault>,
    pub fault_every_us: u64,
    /// Of a thousand faults of a node, so many go to who leads, for that hurts most.
    pub leader_per_mille: u64,
    pub shapes: Vec<Shape>,
    /// Cables that are cut from the beginning of the run until its trouble ends.
    pub cut_throughout: Vec<(usize, usize)>,
    /// The parts of disks that rot.
    pub rot: Vec<Part>,
    /// How long a node stays down, a cable cut, a disk full.
    pub trouble_us: (u64, u64),
    pub weather: Weather,
    /// Of a thousand accepts of a change of the group, so many are lost while there is trouble, when they are first sent:
    /// then the slots behind it are voted for before it is.
    pub lost_changes_per_mille: u64,
    pub sync_us: u64,
    pub sync_us_max: u64,
    pub tick_us: u64,
    pub segment_bytes: u64,
    /// A fold of the journal into the checkpoint is begun when so many records were written since the last.
    pub fold_records: u64,
    /// Chosen batches are sent to a peer that has fallen behind at most so many bytes at a time: few, so that catching up
    /// takes several rounds in which something can go wrong.
    pub learned_bytes: usize,
    /// How far the pipeline reaches beyond what is applied.
    pub alpha: u64,
    /// Slots below the checkpoint that the log keeps, whoever lags more.
    pub tail_slots: u64,
    /// How long a fold takes, from its beginning to its installation.
    pub fold_us: u64,
    /// How long a chosen batch waits between the look-up of its ids and its application.
    pub apply_us: u64,
    /// Bounds of a replica: small ones make it refuse, and forget nothing by it.
    pub in_flight_max: usize,
    pub requests_max: usize,
    pub backlog_bytes_max: usize,
    /// Whether log segments are prepared beside the work, as the shell does, or when they are needed.
    pub spares: bool,
    /// How long a node tries to settle a request before it says that its outcome is unknown.
    pub patience_us: u64,
    pub workload: Workload,
}

/// What clients ask for: weights, and how quick and how wide they are.
#[derive(Debug, Clone)]
pub struct Workload {
    pub pause_us: u64,
    pub accounts: u64,
    /// Commands in one request at most.
    pub width: u64,
    /// Of a thousand operations, so many repeat an earlier id.
    pub repeats_per_mille: u64,
    pub holds_per_mille: u64,
    pub reads_per_mille: u64,
    pub voids_per_mille: u64,
    /// Of a thousand transfers, so many ask for more than anybody has.
    pub too_much_per_mille: u64,
}

/// How many machines there are for newcomers: wishes and replacements of one run.
const NEWCOMERS: usize = 10;

/// The mode that a run begins with, and whether it changes.
fn first_mode(choice: ModeChoice, random: &mut Random) -> (Mode, bool) {
    match choice {
        ModeChoice::Leader => (Mode::Leader, false),
        ModeChoice::Leaderless => (Mode::Leaderless, false),
        ModeChoice::Mixed => match random.below(3) {
            0 => (Mode::Leader, false),
            1 => (Mode::Leaderless, false),
            _ => (random.pick(&[Mode::Leader, Mode::Leaderless]), true),
        },
    }
}

impl Plan {
    pub fn new(setup: &Setup, random: &mut Random) -> Plan {
        let nodes = setup.nodes.unwrap_or_else(|| random.pick(&[3, 3, 5]));
        let (mode, mode_changes) = first_mode(setup.mode, random);
        let mut faults: Vec<Fault> =
            LIKELY.into_iter().filter(|(_, likely)| random.chance(*likely)).map(|(fault, _)| fault).collect();
        faults.extend(mode_changes.then_some(Fault::ChangeMode));
        let mut plan = Plan {
            nodes,
            machines: nodes + NEWCOMERS,
            mode,
            clients: random.between(2, 6) as usize,
            tour: Vec::new(),
            bound: false,
            faults_until_us: random.between(800_000, 2_500_000),
            faults,
            fault_every_us: random.between(40_000, 300_000),
            leader_per_mille: 400,
            shapes: cuts::ALL.to_vec(),
            cut_throughout: Vec::new(),
            rot: damage::ALL_PARTS.to_vec(),
            trouble_us: (5_000, random.between(100_000, 500_000)),
            weather: Weather {
                delay_us: random.between(50, 1_500),
                delay_us_max: random.between(5_000, 60_000),
                loss_per_mille: random.pick(&[0, 0, 1, 5, 30]),
                duplicates_per_mille: random.pick(&[0, 1, 10, 50]),
            },
            lost_changes_per_mille: random.pick(&[0, 0, 400]),
            sync_us: random.between(50, 2_000),
            sync_us_max: random.between(2_000, 30_000),
            tick_us: 5_000,
            segment_bytes: random.pick(&[16_384, 16_384, 65_536]),
            fold_records: random.between(8, 80),
            learned_bytes: random.pick(&[1, 4_096, 4_096]),
            alpha: random.pick(&[4, 16, 64]),
            tail_slots: random.pick(&[0, 4, 32, 200]),
            fold_us: random.between(100, 60_000),
            apply_us: random.between(1, 2_000),
            in_flight_max: random.pick(&[1, 4, 8]),
            requests_max: random.pick(&[2, 1_000, 1_000]),
            backlog_bytes_max: random.pick(&[500, 1 << 20, 1 << 20]),
            spares: random.chance(500),
            patience_us: random.pick(&[60_000, 200_000, 600_000]),
            workload: Workload {
                pause_us: random.between(1_000, 30_000),
                accounts: random.between(2, 12),
                width: random.pick(&[1, 3, 12]),
                repeats_per_mille: random.pick(&[20, 100, 300]),
                holds_per_mille: random.pick(&[0, 200, 400]),
                reads_per_mille: random.pick(&[50, 200]),
                voids_per_mille: random.pick(&[0, 30, 100]),
                too_much_per_mille: random.pick(&[50, 200]),
            },
        };
        if let Some(control) = setup.control {
            plan.aim_at(control);
        }
        if let Some(scene) = setup.scene {
            plan.set(scene);
        }
        plan
    }

    fn set(&mut self, scene: Scene) {
        self.tour.clear();
        match scene {
            Scene::SlowDisks | Scene::EvenLoad | Scene::DeafNode | Scene::Chain => {
                self.faults.clear();
                self.clients = 12;
                self.make_busy();
                self.faults_until_us = 3_000_000;
                self.weather =
                    Weather { delay_us: 100, delay_us_max: 2_000, loss_per_mille: 0, duplicates_per_mille: 0 };
                (self.sync_us, self.sync_us_max) = (300, 1_000);
                if scene == Scene::SlowDisks {
                    (self.sync_us, self.sync_us_max) = (20_000, 30_000);
                }
                self.patience_us = 600_000;
                self.bound = true;
                let last = self.nodes - 1;
                self.cut_throughout = match scene {
                    Scene::DeafNode => (0..last).map(|from| (from, last)).collect(),
                    Scene::Chain => Shape::Chained.cables_in_order(self.nodes),
                    Scene::SlowDisks | Scene::EvenLoad | Scene::Tour => Vec::new(),
                };
            }
            Scene::Tour => {
                self.tour = vec![3, 5, 7, 5];
                self.nodes = 3;
                self.machines = 24;
                self.faults_until_us = 4_000_000;
                self.faults.extend([Fault::ChangeMembers; 3]);
            }
        }
    }

    /// The faults and the workload in which the rule that is off matters most.
    fn aim_at(&mut self, control: Control) {
        match control {
            // A vote that never came to the disk, and a majority that forgets it.
            Control::SendBeforeSync => {
                self.faults = vec![Fault::PowerCut, Fault::Crash, Fault::Elect, Fault::Cut];
                self.fault_every_us = 30_000;
                self.trouble_us = (2_000, 60_000);
            }
            // The same of the leader's own vote: its disk is slow, it fails, and who has the other vote is away for a while.
            Control::CountOwnVoteEarly => {
                self.faults = vec![Fault::DiskSlow, Fault::PowerCut, Fault::Crash, Fault::Cut];
                self.fault_every_us = 20_000;
                self.leader_per_mille = 800;
                self.trouble_us = (2_000, 60_000);
                self.make_busy();
            }
            // A leader that loses its own vote in a crash, comes back before anybody missed it, and stands again.
            Control::ReuseBallot => {
                self.faults = vec![Fault::Crash, Fault::Crash, Fault::Elect];
                self.fault_every_us = 15_000;
                self.leader_per_mille = 800;
                self.trouble_us = (500, 6_000);
                self.sync_us = self.sync_us.max(1_000);
                self.weather.loss_per_mille = 50;
                self.make_busy();
            }
            // A gap in an acceptor's votes, and two proposers that do not hear each other, while it hears both.
            Control::PromiseFromSlot | Control::ForgetPromise => {
                self.faults = vec![Fault::Cut, Fault::Cut, Fault::Elect];
                self.shapes = vec![Shape::Pair];
                self.fault_every_us = 15_000;
                self.leader_per_mille = 700;
                self.trouble_us = (20_000, 150_000);
                self.weather.loss_per_mille = 100;
                self.make_busy();
            }
            Control::IgnoreFloors => {
                self.faults = vec![Fault::Crash, Fault::Cut, Fault::Elect, Fault::Disconnect];
                self.fault_every_us = 30_000;
                self.trouble_us = (2_000, 100_000);
            }
            // Reads from a node that hears nothing of what is chosen.
            Control::ReadLocally => {
                self.faults = vec![Fault::Cut];
                self.workload.reads_per_mille = 500;
            }
            Control::ApplyUnchosen => {
                self.faults = vec![Fault::Crash, Fault::Cut, Fault::PowerCut];
                self.fault_every_us = 30_000;
                self.trouble_us = (2_000, 60_000);
            }
            // Ids used again, soon and late, over many folds.
            Control::SkipIdIndex | Control::DropIdsEarly | Control::RejectionsNotJournaled => {
                self.faults = vec![Fault::Crash];
                self.fold_records = 6;
                self.workload.repeats_per_mille = 400;
            }
            // Two changes where one is allowed, and cuts between who comes and who goes: whoever counts the votes of one
            // membership for a slot of the other chooses twice. The votes for a change come after those for the slots behind
            // it, and the window is small, so that slots of both memberships are under way.
            Control::CountAcrossChange | Control::ProposePastAlpha | Control::ChangeTwo => {
                self.faults = vec![Fault::ChangeMembers, Fault::CutAtChange];
                self.lost_changes_per_mille = 900;
                self.learned_bytes = 1;
                self.fault_every_us = 20_000;
                self.trouble_us = (60_000, 250_000);
                self.make_busy();
                self.alpha = 4;
            }
            // A disk that forgot, while others are cut off or away a moment later.
            Control::WipedDiskVotes | Control::OlderCopyVotes => {
                let fault = if control == Control::WipedDiskVotes { Fault::Wipe } else { Fault::PutBack };
                self.faults = vec![fault, fault, Fault::Cut, Fault::Elect];
                self.shapes = vec![Shape::Pair, Shape::Isolated, Shape::Mute];
                self.fault_every_us = 15_000;
                self.trouble_us = (5_000, 100_000);
                self.make_busy();
                self.weather.loss_per_mille = 50;
            }
            Control::VotesInOnePlace => {
                self.faults = vec![Fault::Rot, Fault::Rot, Fault::Crash, Fault::Cut, Fault::Elect];
                self.rot = vec![Part::Log];
                self.fault_every_us = 10_000;
                self.trouble_us = (2_000, 60_000);
                self.make_busy();
                self.weather.loss_per_mille = 50;
            }
            // Clocks that jump and come back, under load.
            Control::OwnClock => {
                self.faults = vec![Fault::ClockJump];
                self.fault_every_us = 50_000;
            }
            // A crash soon after a fold, with slots applied beyond it.
            Control::RunPastCheckpoint | Control::TrimBeforeCheckpoint | Control::CheckpointBeforeMark => {
                self.faults = vec![Fault::Crash, Fault::PowerCut];
                self.fault_every_us = 50_000;
                self.fold_records = 10;
            }
        }
    }

    /// Many slots under way at once.
    fn make_busy(&mut self) {
        self.clients = 8;
        self.workload.pause_us = 500;
        self.workload.width = 1;
        self.alpha = 64;
        self.in_flight_max = 8;
        self.requests_max = 1_000;
        self.backlog_bytes_max = 1 << 20;
    }
}
