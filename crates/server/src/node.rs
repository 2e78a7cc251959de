//! A whole node in this process: opens the files, starts the threads, serves, and stops in order.
//!
//! ```text
//!   HTTP, gRPC (tokio) ─► Handle ─► replica thread ══ log        peers' readers and writers
//!                            ▲            │ chosen
//!                            └── answers ─┴─► apply thread ══ journal ──► checkpoint thread, now and then
//! ```
//!
//! A thread that fails ends the node: the others of the group go on, and a restart recovers all that was acknowledged.
//! A panic is a bug, and ends it too, before money moves on.

use crate::apply_loop::{self, ApplyJob, ApplyLoop, Phase, Questions};
use crate::bank_edges;
use crate::callers::Callers;
use crate::chores::Chores;
use crate::clock::Clock;
use crate::config::{BankNodeConfig, Exit, FailureKind, GatewayNodeConfig, NodeConfig, NodeError};
use crate::edge::metrics::Metrics;
use crate::gateway_node;
use crate::gauges::{Books, Gauges, Seen};
use crate::handle::{Facts, Handle, Shared, StopReason};
use crate::housekeeping::Housekeeping;
use crate::joining::{self, Waited};
use crate::library::Library;
use crate::listeners::{Listeners, ListensAt};
use crate::log_alert::LogAlert;
use crate::mending::Mending;
use crate::peers::{KnownDisks, Me, Papers, Peers, Roster, is_settled};
use crate::replica_loop::{self, Inbox, ReplicaLoop};
use crate::rot::Rot;
use crate::scrub::Scrub;
use crate::serve::{self, Edges, Serving};
use crate::service::Service;
use crate::start;
use crate::stop::{Stage, Stop};
use crate::waiting_room::{WaitingRoom, Waits};
use crate::writeback::Writeback;
use paxos::NodeId;
use replica::group::{Address, Group, Member, Mode, Role};
use replica::recover::{self, Opened, RecoverError, Start};
use replica::{ApplierSettings, Settings};
use std::collections::{BTreeMap, VecDeque};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use storage::{DirLock, FirstMode, Identity, LogOptions, RealDisk, identity};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

/// Paxos's window: a proposer may be this far ahead of what it has applied.
const ALPHA: u64 = 64;
/// A closed connection is noticed at once, whatever this is; a silent peer within about three of these. Shorter rounds make a
/// busy machine elect for nothing.
const HEARTBEAT_US: u64 = 50_000;
const CLOCK_SKEW_MAX_MS: u64 = 1_000;
/// Journal records between two checkpoints, of a bank that is not large: a start applies about so many again at most. With
/// three times as many a start took three seconds where a batch holds few transfers, and on a small machine the others
/// felt that.
const FOLD_RECORDS: u64 = 200_000;
/// A node opens its files anew when it sees rot in them. A disk on which that does not end is not worth a node: so many
/// times within [`LIVES_PERIOD`].
const LIVES_MAX: usize = 8;
const LIVES_PERIOD: Duration = Duration::from_secs(600);

/// Runs a node of a bank until it is told to stop, or until it cannot go on. `on_ready` is called when it listens
/// everywhere, and is told where that is.
///
/// # Errors
/// When the node cannot start, or its disk fails.
pub fn run_bank_node(
    config: &BankNodeConfig,
    on_ready: impl FnOnce(ListensAt) + Send + 'static,
) -> Result<Exit, NodeError> {
    let own = config.clone();
    run(config, move |bank, metrics| bank_edges::edges(&own, bank, metrics), on_ready)
}

/// The same of a node of the gateway.
///
/// # Errors
/// When the node cannot start, or its disk fails.
pub fn run_gateway_node(
    config: &GatewayNodeConfig,
    on_ready: impl FnOnce(ListensAt) + Send + 'static,
) -> Result<Exit, NodeError> {
    let own = config.clone();
    run(&config.node, move |gateway, metrics| gateway_node::edges(&own, gateway, metrics), on_ready)
}

/// Runs a node on a thread of its own, and listens for the word to stop meanwhile: it is heard in every state, also while
/// files are read for minutes.
#[expect(clippy::expect_used, reason = "the thread tells how it ended, also by a panic")]
fn run<S: Service>(
    config: &NodeConfig,
    edges: impl Fn(&Handle<S>, &Metrics) -> Result<Edges, NodeError> + Send + 'static,
    on_ready: impl FnOnce(ListensAt) + Send + 'static,
) -> Result<Exit, NodeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(NodeError::system("starting the runtime"))?;
    let stop = Stop::default();
    stop.listen(runtime.handle(), config.exit_with_parent)?;
    let lives = Lives { config: config.clone(), runtime: runtime.handle().clone(), stop: stop.clone() };
    let (told, ended) = oneshot::channel();
    let node = move || {
        // Whoever waits is gone only if the process ends.
        let _ = told.send(catch_unwind(AssertUnwindSafe(|| lives.run(edges, on_ready))));
    };
    thread::Builder::new().name("node".to_owned()).spawn(node).map_err(NodeError::system("starting a thread"))?;
    let ended = runtime.block_on(async {
        tokio::select! {
            biased;
            ended = ended => Ok(ended.expect("the thread tells how it ended, also by a panic")),
            reason = stop.overdue() => Err(reason),
        }
    });
    match ended {
        Ok(ended) => {
            // A name that is still looked up must not keep the process.
            runtime.shutdown_background();
            ended.unwrap_or_else(|panic| resume_unwind(panic))
        }
        Err(reason) => {
            info!(event = "left", why = ?reason, effect = "what it was at is done again at the next start");
            // The node's thread goes on, with the directory locked, until the process ends: as at a crash, at any moment.
            std::mem::forget(runtime);
            Ok(Exit::from(reason))
        }
    }
}

/// What all lives of a node's files have in common.
struct Lives {
    config: NodeConfig,
    runtime: tokio::runtime::Handle,
    stop: Stop,
}

impl Lives {
    /// One life after the other: edges are made anew for each.
    fn run<S: Service>(
        &self,
        edges: impl Fn(&Handle<S>, &Metrics) -> Result<Edges, NodeError>,
        on_ready: impl FnOnce(ListensAt),
    ) -> Result<Exit, NodeError> {
        let config = &self.config;
        let _lock = DirLock::take(&config.data)?;
        let identity = identity::load(&RealDisk, &config.data)?;
        let mut member = Membership::new(config, &identity, S::KIND)?;
        start::check(&config.data, config.node, &LogOptions::default())?;
        let listeners = Listeners::bind(config)?;
        let at = listeners.at()?;
        if identity.nodes == 0 {
            let _room = self.waiting_room(&listeners, Waits::Admission)?;
            let others: Vec<(NodeId, Address)> = member.others().collect();
            match joining::wait(&config.data, &member.me, &others)? {
                Waited::Admitted(group) => member.configured = *group,
                Waited::Removed => return Ok(Exit::Removed),
            }
        }
        let (metrics, rot) = (serve::metrics(), Arc::new(Rot::default()));
        let mut on_ready = Some(on_ready);
        let mut begun: VecDeque<Instant> = VecDeque::new();
        loop {
            begun.retain(|life| life.elapsed() < LIVES_PERIOD);
            begun.push_back(Instant::now());
            let mends = start::distrusts(&config.data);
            let room = self.waiting_room(&listeners, if mends { Waits::Mending } else { Waits::Files })?;
            let (doors, peers) = listeners.again()?;
            let found = (&metrics, Arc::clone(&rot));
            let mut node: Node<S> = Node::start((config, &self.stop), (&identity, &member), peers, found)?;
            drop(room);
            self.stop.is_at(Stage::Serving);
            let serving = Serving { config, node: &node.handle, metrics: &metrics, stop: &self.stop, doors };
            let ready = || on_ready.take().into_iter().for_each(|on_ready| on_ready(at.clone()));
            let open_edges = || edges(&node.handle, &metrics);
            let served = self.runtime.block_on(serving.run(open_edges, &mut node.failures, ready));
            let chores = node.chores.clone();
            let stopped = node.stop();
            match (stopped.and(served), self.stop.asked()) {
                (Err(NodeError::Rotten { what, .. }), Some(reason)) => {
                    // Mended at the next start.
                    start::note_distrust(&config.data, &what)?;
                    return Ok(reason.into());
                }
                (Err(NodeError::Rotten { part, what }), None) if begun.len() < LIVES_MAX => {
                    self.stop.is_at(Stage::Opening);
                    error!(event = "rot", part = part.name(), what = %what, effect = "the node opens its files anew and mends them");
                    chores.end();
                    start::note_distrust(&config.data, &what)?;
                    rot.note(part.name(), &what);
                }
                (ended, _) => return ended,
            }
        }
    }
}

impl Lives {
    /// Whoever calls meanwhile is told that the node is there, and does not serve yet.
    fn waiting_room(&self, listeners: &Listeners, waits: Waits) -> Result<WaitingRoom, NodeError> {
        let (doors, _) = listeners.again()?;
        let _inside = self.runtime.enter();
        WaitingRoom::open(&self.config, doors, waits)
    }
}

/// The threads of a running node.
struct Node<S: Service> {
    handle: Handle<S>,
    failures: mpsc::Receiver<NodeError>,
    inbox: Inbox,
    peers: Peers,
    apply: apply_loop::ApplyQueue,
    threads: Vec<JoinHandle<()>>,
    chores: Chores,
    _scrub: Scrub,
}

impl<S: Service> Node<S> {
    fn start(
        (config, stop): (&NodeConfig, &Stop),
        (identity, member): (&Identity, &Membership),
        peer_listeners: Vec<TcpListener>,
        (metrics, rot): (&Metrics, Arc<Rot>),
    ) -> Result<Self, NodeError> {
        let clock = Clock::start();
        let boot = random_u64();
        let hash_seed = random_u64();
        let opened = open::<S>(config, (identity, member), clock, (boot, hash_seed))?;
        let Opened { replica, log, applier, rot: mended, output, .. } = opened;
        for found in &mended {
            rot.note(found.part.name(), &found.what);
        }
        let books = Books::of(&applier, applier.mark());
        let seen = Seen { rot, votes_lost: !log.votes(), on_sync: serve::sync_observer(metrics) };
        if seen.votes_lost {
            let todo = format!("rialto members replace {}", config.node);
            warn!(event = "votes_lost", effect = "this node learns and serves, and votes no more", todo = %todo);
        }
        let gauges = Arc::new(Gauges::new(&replica, books, applier.checkpoint().get(), seen));
        let callers = Arc::new(Callers::default());
        let questions = Arc::new(Questions::default());
        let (inbox, tasks) = replica_loop::inbox();
        let (apply, jobs) = apply_loop::queue();
        let (failed, failures) = mpsc::channel(4);
        let known = KnownDisks::load(&config.data).map_err(NodeError::system("reading the disks of the members"))?;
        let (known, rotten) = known;
        if rotten > 0 {
            gauges.rot.note("members", &format!("{rotten} of the members' disks cannot be read: met anew"));
        }
        let (me, configured) = (member.me.node, member.addresses.clone());
        let settled = is_settled(replica.group(), &replica.status(), me);
        let roster = Roster::of(replica.group(), me, &configured, (&Roster::default(), settled));
        let peers = Peers::start((member.me.clone(), roster.clone()), peer_listeners, &inbox, known, failed.clone())
            .map_err(NodeError::system("starting peers"))?;
        let mending = Mending::new(Arc::clone(&gauges), failed.clone());
        let library = Library::start(applier.reader(), peers.clone(), Arc::clone(&gauges), mending.clone())?;

        let scrub = Scrub::start(applier.reader(), Arc::clone(&gauges), mending.clone())?;
        let writeback = Writeback::start(applier.reader())?;
        let chores = Chores::default();
        let receives = replica.transfer().is_some();
        let apply_loop = ApplyLoop {
            applier,
            writeback,
            chores: chores.clone(),
            mending: mending.clone(),
            me: config.node,
            boot,
            callers: Arc::clone(&callers),
            questions: Arc::clone(&questions),
            gauges: Arc::clone(&gauges),
            queue: apply.clone(),
            reads: BTreeMap::new(),
            waiting_fold: None,
            folded: Arc::default(),
            inbox: inbox.clone(),
            phase: if receives { Phase::Receiving } else { Phase::Applying },
            hash_seed,
        };
        let shared = (Arc::clone(&gauges), Arc::clone(&callers));
        let replica_loop = ReplicaLoop {
            replica,
            log,
            peers: peers.clone(),
            apply: apply.clone(),
            callers: Arc::clone(&callers),
            clock,
            gauges: Arc::clone(&gauges),
            inbox: inbox.clone(),
            library,
            chores: chores.clone(),
            housekeeping: Housekeeping::new((me, member.me.disk), configured, roster, shared),
            log_alert: LogAlert::default(),
            dir: config.data.clone(),
        };
        let threads = vec![
            spawn("replica", failed.clone(), move || replica_loop.run(&tasks, output))?,
            spawn("apply", failed, move || run_apply(apply_loop, &jobs))?,
        ];
        let handle = Handle::new(Shared {
            facts: Facts {
                group: config.group.clone(),
                cluster: config.cluster,
                node: config.node,
                disk: member.me.disk,
            },
            clock,
            inbox: inbox.clone(),
            apply: apply.clone(),
            callers,
            questions,
            gauges,
            mending,
            leaving: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            stop: stop.clone(),
        });
        Ok(Self { handle, failures, inbox, peers, apply, threads, chores, _scrub: scrub })
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

fn run_apply<S: Service>(apply_loop: ApplyLoop<S, RealDisk>, jobs: &Receiver<ApplyJob>) -> Result<(), NodeError> {
    let (callers, questions) = (Arc::clone(&apply_loop.callers), Arc::clone(&apply_loop.questions));
    let gauges = Arc::clone(&apply_loop.gauges);
    let ended = apply_loop.run(jobs);
    gauges.applies.store(false, Ordering::Release);
    // Nothing is answered here any more: whoever waits asks another node at once.
    callers.give_up();
    questions.give_up();
    ended.map_err(NodeError::from)
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

fn open<S: Service>(
    config: &NodeConfig,
    (identity, member): (&Identity, &Membership),
    clock: Clock,
    (boot, hash_seed): (u64, u64),
) -> Result<Opened<S, RealDisk>, NodeError> {
    let founders = member.configured.members.keys().copied().collect();
    let me = member.me.node;
    let start = Start {
        settings: Settings::new(boot),
        paxos: paxos::Config {
            seed: random_u64(),
            ..paxos::Config::new(me, founders, ALPHA, HEARTBEAT_US, CLOCK_SKEW_MAX_MS)
        },
        founders: member.configured.clone(),
        distrust: start::distrusts(&config.data),
        applier: ApplierSettings { fold_records: FOLD_RECORDS, hash_seed },
        controls: recover::Controls::default(),
        log: LogOptions::default(),
        owner: identity.owner(),
        now: clock.now(),
    };
    let machine = || S::fresh(hash_seed);
    let progress = |done, all| info!(event = "replaying", slots = done, of = all);
    let opened = recover::open(&RealDisk, &config.data, machine, start, progress).map_err(Box::<RecoverError>::new)?;
    start::note_started(&config.data)?;
    start::trust_again(&config.data)?;
    info!(
        event = "opened",
        slots_replayed = opened.replayed,
        torn_bytes_dropped = opened.torn_bytes,
        took_ms = clock.mono_us() / 1_000
    );
    Ok(opened)
}

/// Who this node is, and who the others are by its configuration.
struct Membership {
    me: Me,
    /// Where members are, this node among them.
    addresses: BTreeMap<NodeId, Address>,
    /// The group until the log says otherwise: of a founder the founders, of a newcomer those that admitted it.
    configured: Group,
}

impl Membership {
    /// Once the directory has proved to be this node's.
    fn new(config: &NodeConfig, identity: &Identity, kind: &str) -> Result<Self, NodeError> {
        let NodeConfig { group, cluster, node, peers, .. } = config;
        if (&identity.group, identity.node, identity.cluster) != (group, *node, *cluster) {
            return Err(NodeError::NotThisNode {
                found: format!(
                    "this directory belongs to node {} of {kind} {} in cluster {:032x}",
                    identity.node, identity.group, identity.cluster
                ),
                wanted: format!("node {node} of {kind} {group} in cluster {cluster:032x}"),
            });
        }
        let founds = identity.nodes > 0;
        if founds && peers.len() != usize::from(identity.nodes) {
            return Err(NodeError::Config(format!(
                "the configuration names {} {}, but the {kind} was made with {}: it always names those, whoever joined or left \
                 since",
                peers.len(),
                if peers.len() == 1 { "member" } else { "members" },
                identity.nodes
            )));
        }
        let me = NodeId::new(*node).ok_or_else(zero)?;
        let mut addresses = BTreeMap::new();
        for (number, address) in peers {
            addresses.insert(NodeId::new(*number).ok_or_else(zero)?, address.clone());
        }
        if addresses.len() != peers.len() || !addresses.contains_key(&me) {
            return Err(NodeError::Config(format!("every member must be named once, node {node} among them")));
        }
        if !founds && addresses.len() == 1 {
            return Err(NodeError::Config("a node that joins must be told where the members are".to_owned()));
        }
        let configured = founders(config, &addresses, identity.first_mode);
        let papers = config.tls.as_ref().map(Papers::read).transpose()?.map(Arc::new);
        let me = Me { cluster: *cluster, group: group.clone(), node: me, disk: identity.made_ms, papers };
        Ok(Self { me, addresses, configured })
    }

    fn others(&self) -> impl Iterator<Item = (NodeId, Address)> + '_ {
        self.addresses.iter().filter(|(node, _)| **node != self.me.node).map(|(node, address)| (*node, address.clone()))
    }
}

#[expect(clippy::expect_used, reason = "no text is short")]
fn founders(config: &NodeConfig, addresses: &BTreeMap<NodeId, Address>, mode: FirstMode) -> Group {
    let http: BTreeMap<u16, Address> = config.http_of_members.iter().cloned().collect();
    let unknown = Address::new("").expect("no text is short");
    let member = |(node, peer): (&NodeId, &Address)| {
        let http = http.get(&node.get()).unwrap_or(&unknown).clone();
        (*node, Member { role: Role::Voter, peer: peer.clone(), http, disk: 0 })
    };
    let mode = match mode {
        FirstMode::Leader => Mode::Leader,
        FirstMode::Leaderless => Mode::Leaderless,
    };
    Group::founders(addresses.iter().map(member).collect(), mode, ALPHA)
}

fn zero() -> NodeError {
    NodeError::Config("members are numbered from 1".to_owned())
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
