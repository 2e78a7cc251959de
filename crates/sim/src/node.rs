//! One simulated machine: its clock and disk, which outlive the process, and the process, if it runs.
//!
//! A process is what the shell runs on real machines (`replica`, log, applier) with the shell's threads made into events:
//!
//! ```text
//!  step ─► to_write ──append──► in_sync ──(a while later: sync)──► released vows ─► step
//!     └──► to_apply ──(a while later: apply)──► answers, reads, fold due? ──(later: run)──(later: install)
//! ```
//!
//! Whatever the disk refuses ends the process, as it does in the shell.

use crate::clock::Clock;
use crate::control::Control;
use crate::operator;
use crate::plan::Plan;
use crate::receive::Receiving;
use bank::Machine;
use paxos::{Batch, NodeId, Now, Slot};
use replica::group::Group;
use replica::{Applier, ApplierSettings, Output, Replica, Settings, Vows, recover};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use storage::{FaultyDisk, FoldJob, Folded, Log, LogOptions, Owner, Pending, Spare, SpareJob, Unsynced};

/// The cluster that every simulated node belongs to.
const CLUSTER: u128 = 0x5a17;
/// Where a node's files are on its disk.
pub(crate) const DIR: &str = "/node";

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) disk: FaultyDisk,
    pub(crate) clock: Clock,
    /// Counts the starts of this node; 0 before the first.
    pub(crate) boot: u64,
    pub(crate) process: Option<Box<Process>>,
    /// The disk has no room at present.
    pub(crate) full: bool,
    /// The disk was told to fail at some operation to come.
    pub(crate) armed: bool,
    /// Syncs take so many times as long at present.
    pub(crate) slowness: u64,
    /// The highest checkpoint ever installed: it never goes back.
    pub(crate) checkpoint: u64,
    pub(crate) fate: Fate,
    /// The group as the node's configuration has it: the founders, or for a newcomer the group that let it in.
    pub(crate) configured: Group,
    /// Copies of the disk as it was.
    pub(crate) copies: Vec<Stored>,
    /// Rot was seen while the process ran: the next start reads everything.
    pub(crate) distrust: bool,
    /// A byte of the disk rotted some time.
    pub(crate) rotten: bool,
    /// The disk was wiped, or an older one was put back.
    pub(crate) forgot: bool,
}

/// What a machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It runs, and starts again when it was ended.
    Serves,
    /// It runs and must not vote; it is to be replaced.
    RunsOn(&'static str),
    /// It must not run, and is to be replaced.
    Stopped(&'static str),
    /// Switched off for good.
    Retired,
}

/// A copy of a disk, and what was on it.
pub(crate) struct Stored {
    pub(crate) disk: FaultyDisk,
    pub(crate) promised: paxos::Ballot,
    pub(crate) accepted: Slot,
    pub(crate) checkpoint: u64,
}

pub(crate) struct Process {
    pub(crate) replica: Replica,
    pub(crate) log: Log<FaultyDisk>,
    pub(crate) applier: Applier<Machine, FaultyDisk>,
    /// What inputs that were only taken want done.
    pub(crate) gathered: Output,
    /// A moment is set when it moves on.
    pub(crate) moves_on: bool,
    pub(crate) to_write: Vec<Unsynced<Vows>>,
    /// Appended since the last sync.
    pub(crate) appended: Vec<Pending<Vows>>,
    /// Control: vows that leave without a proof of sync.
    pub(crate) unproven: Vec<Vows>,
    /// Something appended, or to be, waits for a sync.
    pub(crate) wants_sync: bool,
    pub(crate) syncing: bool,
    pub(crate) to_apply: VecDeque<(Slot, Batch)>,
    pub(crate) applying: bool,
    pub(crate) fold: Fold,
    pub(crate) receiving: Receiving,
    pub(crate) spare: SpareWork,
    /// The last slots whose marks were handed to the log, appended, and synced.
    pub(crate) marks: Marks,
    /// Callers that wait for the outcome of a request, and for a read, by number.
    pub(crate) callers: BTreeMap<u64, Caller>,
    /// Changes of the group that the operator waits for.
    pub(crate) operator_waits: BTreeSet<u64>,
    /// When a balance in memory became another one.
    pub(crate) flipped_at_us: Option<u64>,
    pub(crate) started_us: u64,
    /// Reads that may be answered once that slot is applied.
    pub(crate) ready_reads: Vec<(u64, Slot)>,
    pub(crate) next_seq: u64,
    pub(crate) leaving: bool,
    /// What it was last told of the connection to each node.
    pub(crate) connected: Vec<bool>,
}

/// How far what the log knows to be chosen is on its way to the disk. A checkpoint may not run ahead of it: a slot whose
/// mark is lost while every node's checkpoint covers it can be served by nobody.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    pub(crate) handed: Slot,
    pub(crate) appended: Slot,
    pub(crate) synced: Slot,
}

/// Where the fold of the journal into the checkpoint is.
pub(crate) enum Fold {
    Idle,
    /// It may run once the marks through that slot are synced.
    Begun(FoldJob<FaultyDisk>, Slot),
    Done(Folded<FaultyDisk>),
}

/// Where the preparing of the log's next segment is.
pub(crate) enum SpareWork {
    Idle,
    Begun(SpareJob<FaultyDisk>),
    Done(Spare),
}

/// A client's attempt that waits at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) client: usize,
    pub(crate) attempt: u64,
}

/// Why a process did not start or had to end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The disk refused an operation, as it was told to.
    Disk(String),
    /// Bytes that were safe are others now: the next start mends it.
    Rot(String),
    /// Nothing that was done to the machine explains this.
    Bug(String),
}

impl Node {
    pub(crate) fn new(number: usize, disk_seed: u64, clock: Clock, configured: Group) -> Node {
        Node {
            id: node_id(number),
            disk: FaultyDisk::new(disk_seed),
            clock,
            boot: 0,
            process: None,
            full: false,
            armed: false,
            slowness: 1,
            checkpoint: 0,
            fate: Fate::Serves,
            configured,
            copies: Vec::new(),
            distrust: false,
            rotten: false,
            forgot: false,
        }
    }

    pub(crate) fn now(&self, true_us: u64) -> Now {
        Now { mono_us: self.clock.mono_us(true_us), wall_ms: self.clock.wall_ms(true_us) }
    }

    /// The group does not count on it any more, or may not much longer.
    pub(crate) fn is_bad(&self) -> bool {
        self.fate != Fate::Serves
            || self.rotten
            || self.forgot
            || self.process.as_ref().is_some_and(|process| process.is_flipped())
    }

    pub(crate) fn owner(&self) -> Owner {
        Owner { cluster: CLUSTER, node: self.id.get() }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Starts the process on what the disk holds.
    pub(crate) fn start(&mut self, true_us: u64, plan: &Plan, control: Option<Control>) -> Result<Started, Stop> {
        self.boot += 1;
        self.clock.on_start(true_us);
        let start = recover::Start {
            settings: Settings {
                resend_us: 100_000,
                in_flight_max: plan.in_flight_max,
                // Batches are all small here, and the pipeline is to be as deep as the seed says.
                small_in_flight_max: plan.in_flight_max,
                requests_max: plan.requests_max,
                backlog_bytes_max: plan.backlog_bytes_max,
                tail_slots: plan.tail_slots,
                check_us: 1_000_000,
                ..Settings::new(self.boot)
            },
            paxos: paxos::Config {
                seed: self.boot << 16 | u64::from(self.id.get()),
                control: control.and_then(Control::in_paxos),
                ..paxos::Config::new(self.id, (0..plan.nodes).map(node_id).collect(), plan.alpha, 20_000, 1_000)
            },
            distrust: std::mem::take(&mut self.distrust),
            founders: self.configured.clone(),
            applier: ApplierSettings { fold_records: plan.fold_records, hash_seed: u64::from(self.id.get()) },
            log: LogOptions { segment_bytes: plan.segment_bytes },
            owner: self.owner(),
            controls: recover::Controls {
                log: control.and_then(Control::in_log),
                group: control.map_or_else(Default::default, Control::group_rules),
            },
            now: self.now(true_us),
        };
        let id = self.id;
        let machine = || fresh_machine(id, control);
        let opened = recover::open(&self.disk, Path::new(DIR), machine, start, |_, _| {});
        let mut opened = opened.map_err(stop_of_recovery)?;
        if let Some(control) = control {
            control.switch(&mut opened.replica, &mut opened.applier);
        }
        let applied = opened.applier.applied();
        let started = Started {
            torn_bytes: opened.torn_bytes,
            replayed: opened.replayed,
            rot: opened.rot,
            output: opened.output,
        };
        self.process = Some(Box::new(Process {
            replica: opened.replica,
            log: opened.log,
            applier: opened.applier,
            to_write: Vec::new(),
            appended: Vec::new(),
            unproven: Vec::new(),
            gathered: Output::default(),
            moves_on: false,
            wants_sync: false,
            syncing: false,
            to_apply: VecDeque::new(),
            applying: false,
            fold: Fold::Idle,
            receiving: Receiving::default(),
            spare: SpareWork::Idle,
            marks: Marks { handed: applied, appended: applied, synced: applied },
            callers: BTreeMap::new(),
            operator_waits: BTreeSet::new(),
            flipped_at_us: None,
            started_us: true_us,
            ready_reads: Vec::new(),
            next_seq: 0,
            leaving: false,
            connected: vec![false; plan.machines],
        }));
        Ok(started)
    }
}

impl Process {
    pub(crate) fn is_flipped(&self) -> bool {
        self.flipped_at_us.is_some()
    }
}

/// What a start found, and what is to be done at once.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) torn_bytes: u64,
    pub(crate) replayed: u64,
    pub(crate) rot: Vec<recover::Mended>,
    pub(crate) output: replica::Output,
}

/// Books with nothing in them.
pub(crate) fn fresh_machine(id: NodeId, control: Option<Control>) -> Machine {
    let mut machine = Machine::new(u64::from(id.get()));
    if control == Some(Control::RejectionsNotJournaled) {
        machine.set_control(ledger::Control::RejectionsNotJournaled);
    }
    machine
}

/// The group as every founder's configuration has it.
pub(crate) fn founders(plan: &Plan) -> Group {
    let members = (0..plan.nodes).map(|number| (node_id(number), operator::member(number))).collect();
    Group::founders(members, plan.mode, plan.alpha)
}

pub(crate) fn node_id(number: usize) -> NodeId {
    u16::try_from(number + 1).ok().and_then(NodeId::new).expect("a simulated group is small")
}

/// A disk that was told to fail explains a failure; damage, a gap or a divergence is never explained by a crash.
fn stop_of_recovery(error: recover::RecoverError) -> Stop {
    use recover::RecoverError;
    match error {
        RecoverError::Open(error) => error.into(),
        RecoverError::Log(error) => error.into(),
        RecoverError::Apply(error) => error.into(),
        RecoverError::Gap { .. } | RecoverError::LogBehind { .. } => Stop::Bug(error.to_string()),
    }
}

impl From<storage::StorageError> for Stop {
    fn from(error: storage::StorageError) -> Stop {
        match error {
            storage::StorageError::Io { .. } | storage::StorageError::Poisoned { .. } => Stop::Disk(error.to_string()),
            storage::StorageError::Rot { .. } => Stop::Rot(error.to_string()),
            storage::StorageError::Diverged { .. }
            | storage::StorageError::Refused { .. }
            | storage::StorageError::Unreadable { .. }
            | storage::StorageError::TooLarge { .. }
            | storage::StorageError::Absent { .. } => Stop::Bug(error.to_string()),
        }
    }
}

impl From<storage::OpenError> for Stop {
    fn from(error: storage::OpenError) -> Stop {
        match error {
            storage::OpenError::Failed(error) => error.into(),
            storage::OpenError::Rot { .. } => Stop::Rot(error.to_string()),
            storage::OpenError::Foreign { .. } => Stop::Bug(error.to_string()),
        }
    }
}

impl From<replica::ApplyError> for Stop {
    fn from(error: replica::ApplyError) -> Stop {
        match error {
            replica::ApplyError::Storage(error) => error.into(),
            replica::ApplyError::Unknown { .. } | replica::ApplyError::OutOfOrder { .. } => {
                Stop::Bug(error.to_string())
            }
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Node").field("id", &self.id).field("boot", &self.boot).field("up", &self.is_up()).finish()
    }
}
