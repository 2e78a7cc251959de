//! A whole bank node in this process: opens the files, starts the threads, serves, and stops in order.
//!
//! ```text
//!   HTTP, gRPC (tokio) ──► Bank ──► replica thread ══ log        peers' readers and writers
//!                            ▲            │ chosen
//!                            └── answers ─┴─► apply thread ══ journal ──► checkpoint thread, now and then
//! ```
//!
//! A thread that fails ends the node: the others of the group go on, and a restart recovers all that was acknowledged.
//! A panic is a bug, and ends it too, before money moves on.

use crate::apply_loop::{self, ApplyJob, ApplyLoop, Questions};
use crate::bank::{Bank, Facts, Shared, StopReason};
use crate::callers::Callers;
use crate::clock::Clock;
use crate::config::{self, BankNodeConfig, Exit, FailureKind, NodeError};
use crate::gauges::{Books, Gauges, SyncObserver};
use crate::peers::{Contact, KnownDisks, Me, Peers, Roster};
use crate::replica_loop::{self, Inbox, ReplicaLoop};
use crate::serve;
use crate::writeback::Writeback;
use bank::Machine;
use paxos::NodeId;
use replica::group::{Address, Group, Member, Mode, Role};
use replica::recover::{self, Opened, RecoverError, Start};
use replica::{ApplierSettings, Settings};
use std::collections::BTreeMap;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};
use storage::{DirLock, Identity, LogOptions, RealDisk, identity};
use tokio::sync::{mpsc, watch};
use tracing::info;

/// Paxos's window: a proposer may be this far ahead of what it has applied.
const ALPHA: u64 = 64;
/// A closed connection is noticed at once, whatever this is; a silent peer within about three of these. Shorter rounds make a
/// busy machine elect for nothing.
const HEARTBEAT_US: u64 = 50_000;
const CLOCK_SKEW_MAX_MS: u64 = 1_000;
/// Journal records between two checkpoints: a start replays at most about so many.
const FOLD_RECORDS: u64 = 600_000;

/// Exists in the directory of every node that has ever run.
const STARTED: &str = "started";

/// Runs a node until it is told to stop, or until it cannot go on. `on_ready` is called when it listens everywhere.
///
/// # Errors
/// When the node cannot start, or its disk fails.
pub fn run_bank_node(config: &BankNodeConfig, on_ready: impl FnOnce()) -> Result<Exit, NodeError> {
    let _lock = DirLock::take(&config.data)?;
    let identity = identity::load(&RealDisk, &config.data)?;
    let (me, roster) = membership(config, &identity)?;
    let http = bind(config.http, "HTTP")?;
    let grpc = bind(config.grpc, "gRPC")?;
    let peer_listener = bind(config.peer_listen, "its peers")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(NodeError::system("starting the runtime"))?;
    let metrics = serve::metrics();
    let mut node = Node::start(config, &identity, (me, roster), peer_listener, serve::sync_observer(&metrics))?;
    let served =
        runtime.block_on(serve::serve(config, &node.bank, metrics, (http, grpc), &mut node.failures, on_ready));
    node.stop()?;
    served
}

/// The threads of a running node.
struct Node {
    bank: Bank,
    failures: mpsc::Receiver<NodeError>,
    inbox: Inbox,
    peers: Peers,
    apply: apply_loop::ApplyQueue,
    threads: Vec<JoinHandle<()>>,
}

impl Node {
    fn start(
        config: &BankNodeConfig,
        identity: &Identity,
        (me, roster): (Me, Roster),
        peer_listener: TcpListener,
        on_sync: Box<dyn SyncObserver>,
    ) -> Result<Self, NodeError> {
        let clock = Clock::start();
        let boot = random_u64();
        let opened = open(config, identity, &roster, clock, boot)?;
        let Opened { replica, log, applier, .. } = opened;
        let books = Books { mark: applier.mark(), accounts: applier.machine().ledger().account_count() };
        let gauges = Arc::new(Gauges::new(&replica, books, applier.checkpoint().get(), on_sync));
        let callers = Arc::new(Callers::default());
        let questions = Arc::new(Questions::default());
        let (inbox, tasks) = replica_loop::inbox();
        let (apply, jobs) = apply_loop::queue();
        let (failed, failures) = mpsc::channel(4);
        let known = KnownDisks::load(&config.data).map_err(NodeError::system("reading the disks of the members"))?;
        let starting = "starting peers";
        let peers =
            Peers::start(me, peer_listener, &inbox, known, failed.clone()).map_err(NodeError::system(starting))?;
        peers.set_roster(roster).map_err(NodeError::system(starting))?;

        let writeback = Writeback::start(applier.reader())?;
        let apply_loop = ApplyLoop {
            applier,
            writeback,
            me: config.node,
            boot,
            callers: Arc::clone(&callers),
            questions: Arc::clone(&questions),
            gauges: Arc::clone(&gauges),
            queue: apply.clone(),
            reads: BTreeMap::new(),
            waiting_fold: None,
            folded: Arc::default(),
        };
        let replica_loop = ReplicaLoop {
            replica,
            log,
            peers: peers.clone(),
            apply: apply.clone(),
            callers: Arc::clone(&callers),
            clock,
            gauges: Arc::clone(&gauges),
            inbox: inbox.clone(),
        };
        let threads = vec![
            spawn("replica", failed.clone(), move || {
                let run = replica_loop.run(&tasks);
                run.map_err(|error| NodeError::Failed { kind: config::of_storage(&error), what: error.to_string() })
            })?,
            spawn("apply", failed, move || run_apply(apply_loop, &jobs))?,
        ];
        let bank = Bank::new(Shared {
            facts: Facts { group: config.group.clone(), cluster: config.cluster, node: config.node },
            clock,
            inbox: inbox.clone(),
            apply: apply.clone(),
            callers,
            questions,
            gauges,
            stopping: AtomicBool::new(false),
            stop: watch::Sender::new(None),
        });
        Ok(Self { bank, failures, inbox, peers, apply, threads })
    }

    /// Ends the threads: what is at hand is written and synced.
    fn stop(self) -> Result<(), NodeError> {
        self.inbox.stop();
        self.apply.put(ApplyJob::Stop);
        self.peers.close();
        for thread in self.threads {
            // Each told of its own panic already.
            let _ = thread.join();
        }
        let mut failures = self.failures;
        failures.try_recv().map_or(Ok(()), Err)
    }
}

fn run_apply(apply_loop: ApplyLoop<RealDisk>, jobs: &Receiver<ApplyJob>) -> Result<(), NodeError> {
    let run = apply_loop.run(jobs);
    run.map_err(|error| NodeError::Failed { kind: error.kind(), what: error.to_string() })
}

/// Starts a thread without which the node cannot go on: its failure, or its panic, is told.
fn spawn(
    name: &'static str,
    failed: mpsc::Sender<NodeError>,
    run: impl FnOnce() -> Result<(), NodeError> + Send + 'static,
) -> Result<JoinHandle<()>, NodeError> {
    let guarded = move || {
        let failure = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => failure,
            Err(_) => NodeError::Failed {
                kind: FailureKind::Bug,
                what: format!(
                    "the {name} thread found a broken invariant (see above): this is a bug, please report it"
                ),
            },
        };
        // A full channel means that the node is ending for another reason already.
        let _ = failed.try_send(failure);
    };
    thread::Builder::new().name(name.to_owned()).spawn(guarded).map_err(NodeError::system("starting a thread"))
}

fn open(
    config: &BankNodeConfig,
    identity: &Identity,
    roster: &Roster,
    clock: Clock,
    boot: u64,
) -> Result<Opened<Machine, RealDisk>, NodeError> {
    let hash_seed = random_u64();
    let me = NodeId::new(config.node).ok_or_else(zero)?;
    let members = roster.others.keys().copied().chain([me]).collect();
    let start = Start {
        settings: Settings::new(boot),
        paxos: paxos::Config::new(me, members, ALPHA, HEARTBEAT_US, CLOCK_SKEW_MAX_MS),
        founders: founders(config)?,
        applier: ApplierSettings { fold_records: FOLD_RECORDS, hash_seed },
        distrust: false,
        controls: recover::Controls::default(),
        log: LogOptions::default(),
        owner: identity.owner(),
        now: clock.now(),
    };
    check_log_is_there(config)?;
    check_log_is_whole(config, &start.log)?;
    let machine = || Machine::new(hash_seed);
    let progress = |done, all| info!(event = "replaying", slots = done, of = all);
    let opened = recover::open(&RealDisk, &config.data, machine, start, progress).map_err(Box::<RecoverError>::new)?;
    note_started(config)?;
    info!(
        event = "opened",
        slots_replayed = opened.replayed,
        torn_bytes_dropped = opened.torn_bytes,
        took_ms = clock.mono_us() / 1_000
    );
    Ok(opened)
}

/// The group as the configuration has it, until the log says otherwise.
fn founders(config: &BankNodeConfig) -> Result<Group, NodeError> {
    let http: BTreeMap<u16, SocketAddr> = config.http_of_members.iter().copied().collect();
    let address = |address: Option<&SocketAddr>| {
        let text = address.map(SocketAddr::to_string).unwrap_or_default();
        Address::new(&text).expect("a socket's address is short")
    };
    let mut members = BTreeMap::new();
    for (number, peer) in &config.peers {
        let (peer, http) = (address(Some(peer)), address(http.get(number)));
        members.insert(NodeId::new(*number).ok_or_else(zero)?, Member { role: Role::Voter, peer, http, disk: 0 });
    }
    Ok(Group::founders(members, Mode::Leader, ALPHA))
}

/// A node that has run has promises in its log. Without it, it has forgotten them, and must not vote.
fn check_log_is_there(config: &BankNodeConfig) -> Result<(), NodeError> {
    let log = config.data.join("log");
    let is_empty = || std::fs::read_dir(&log).map_or(true, |mut entries| entries.next().is_none());
    if config.data.join(STARTED).exists() && is_empty() {
        return Err(NodeError::LogGone { log });
    }
    Ok(())
}

/// Every segment is as long as it will ever be before it holds its first record. A shorter one has lost its end, and what
/// told that there was one with it: without this, the rest would pass for a log whose votes were never cast.
fn check_log_is_whole(config: &BankNodeConfig, options: &LogOptions) -> Result<(), NodeError> {
    let reading = "measuring the log";
    let entries = match std::fs::read_dir(config.data.join("log")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(NodeError::system(reading)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(NodeError::system(reading))?;
        let is_segment = entry.file_name().to_str().is_some_and(|name| name.parse::<u64>().is_ok());
        let bytes = entry.metadata().map_err(NodeError::system(reading))?.len();
        if is_segment && bytes < options.segment_bytes {
            let what = format!(
                "{} at {bytes} is damaged: it ends there, and a segment has {} bytes from the beginning; with its end \
                 this node lost promises and votes, and must not vote under its number",
                entry.path().display(),
                options.segment_bytes
            );
            return Err(NodeError::Failed { kind: FailureKind::Damaged, what });
        }
    }
    Ok(())
}

/// From now on an empty log means that it was lost.
fn note_started(config: &BankNodeConfig) -> Result<(), NodeError> {
    let note = || {
        let path = config.data.join(STARTED);
        if !path.exists() {
            File::create(path)?.sync_all()?;
            File::open(&config.data)?.sync_all()?;
        }
        Ok(())
    };
    note().map_err(NodeError::system("noting that the node has started"))
}

/// Who this node is, and who the others are by its configuration, once the directory has proved to be this node's.
fn membership(config: &BankNodeConfig, identity: &Identity) -> Result<(Me, Roster), NodeError> {
    let BankNodeConfig { group, cluster, node, peers, .. } = config;
    if (&identity.group, identity.node, identity.cluster) != (group, *node, *cluster) {
        return Err(NodeError::NotThisNode {
            found: format!(
                "this directory belongs to node {} of bank {} in cluster {:032x}",
                identity.node, identity.group, identity.cluster
            ),
            wanted: format!("node {node} of bank {group} in cluster {cluster:032x}"),
        });
    }
    if peers.len() != usize::from(identity.nodes) {
        return Err(NodeError::Config(format!(
            "the configuration names {} members, but the bank was made with {}",
            peers.len(),
            identity.nodes
        )));
    }
    let me = NodeId::new(*node).ok_or_else(zero)?;
    let mut others = BTreeMap::new();
    for (number, address) in peers {
        others.insert(NodeId::new(*number).ok_or_else(zero)?, Contact { address: address.to_string(), pin: None });
    }
    if others.len() != peers.len() || others.remove(&me).is_none() {
        return Err(NodeError::Config(format!("every member must be named once, node {node} among them")));
    }
    let me = Me { cluster: *cluster, group: group.clone(), node: me, disk: identity.made_ms };
    Ok((me, Roster { others, ..Roster::default() }))
}

fn zero() -> NodeError {
    NodeError::Config("members are numbered from 1".to_owned())
}

fn bind(address: SocketAddr, purpose: &'static str) -> Result<TcpListener, NodeError> {
    TcpListener::bind(address).map_err(|source| NodeError::Listen { address, purpose, source })
}

/// From the operating system, by way of a random UUID.
fn random_u64() -> u64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    high ^ low.rotate_left(17)
}

/// What the stop of a node is called by who asks.
impl From<StopReason> for Exit {
    fn from(reason: StopReason) -> Self {
        match reason {
            StopReason::Asked => Self::Asked,
            StopReason::Signal => Self::Signal,
            StopReason::ParentGone => Self::ParentGone,
            StopReason::Removed => Self::Removed,
        }
    }
}
