//! The node's edges while it runs: HTTP, gRPC, the page's feed, and what ends them.
//!
//! An orderly stop (see `edge::drain`): the node says that it stops, and serves on until whoever chooses nodes chooses
//! others; then it takes nothing new, answers what it holds, hands its part as proposer over, and ends its connections; and only then
//! do the node's threads end.

use crate::config::{Exit, NodeConfig, NodeError};
use crate::consul::Present;
use crate::edge::connections::{self, Intake, Limits};
use crate::edge::drain::{After, Drain, Phase};
use crate::edge::guard::{Guard, OperatorToken};
use crate::edge::metrics::Metrics;
use crate::expiry;
use crate::gauges::SyncObserver;
use crate::handle::{Handle, StopReason};
use crate::service::Service;
use crate::stop::Stop;
use axum::Router;
use certs::{Expected, Protocol};
use prometheus_client::metrics::histogram::Histogram;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{error, info};

/// Whoever chooses nodes has chosen others when nobody has asked for so long: a few looks of the balancer's.
const QUIET: Duration = Duration::from_millis(300);
/// Nobody is waited for longer than that.
const QUIET_MAX: Duration = Duration::from_millis(1_500);
/// What is held has its answer within two seconds (`handle`); so long is it waited for.
const HELD_MAX: Duration = Duration::from_millis(2_100);
/// The node's own work that was under way, a gateway's calls to banks among it.
const OWN_WORK_MAX: Duration = Duration::from_millis(200);
/// An idle connection over HTTP/1.1 is kept so long, from the beginning of the stop: its caller is told with an answer.
const IDLE_MAX: Duration = Duration::from_secs(2);
const QUEUES_PERIOD: Duration = Duration::from_millis(500);

/// The node's figures.
pub(crate) fn metrics() -> Metrics {
    Metrics::new()
}

/// Where the log's syncs are counted.
pub(crate) fn sync_observer(metrics: &Metrics) -> Box<dyn SyncObserver> {
    Box::new(Syncs(metrics.fsync().clone()))
}

#[derive(Debug)]
struct Syncs(Histogram);

impl SyncObserver for Syncs {
    fn observe(&self, took: Duration) {
        self.0.observe(took.as_secs_f64());
    }
}

/// What a node serves, and what runs beside it as long as it does.
#[derive(Debug)]
pub(crate) struct Edges {
    pub(crate) http: Router,
    pub(crate) grpc: Router,
    pub(crate) tasks: Vec<JoinHandle<()>>,
}

/// Where HTTP is served, and where gRPC.
pub(crate) type Doors = (Vec<TcpListener>, Vec<TcpListener>);

/// Who may call this node's own HTTP and gRPC.
pub(crate) fn guard(config: &NodeConfig) -> Result<Guard, NodeError> {
    let token = config.operator_token.as_deref().map(|token| {
        OperatorToken::new(token).ok_or_else(|| NodeError::Config("the operator's token is empty".to_owned()))
    });
    Ok(Guard::new(token.transpose()?).of_cluster(config.cluster))
}

/// One life of a node, as its callers see it.
pub(crate) struct Serving<'a, S: Service> {
    pub(crate) config: &'a NodeConfig,
    pub(crate) node: &'a Handle<S>,
    pub(crate) metrics: &'a Metrics,
    pub(crate) stop: &'a Stop,
    /// For HTTP and for gRPC.
    pub(crate) doors: Doors,
}

impl<S: Service> Serving<'_, S> {
    /// Serves until the node is told to stop, or until a thread of it fails.
    pub(crate) async fn run(
        self,
        edges: impl FnOnce() -> Result<Edges, NodeError>,
        failures: &mut mpsc::Receiver<NodeError>,
        on_ready: impl FnOnce(),
    ) -> Result<Exit, NodeError> {
        let Self { config, node, metrics, stop, doors } = self;
        let Edges { http, grpc, mut tasks } = edges()?;
        tasks.push(tokio::spawn(measure_queues(node.clone(), metrics.clone())));
        let tls =
            config.tls.clone().map(|files| certs::Server::new(files, Expected::Anybody, Protocol::Grpc)).transpose()?;
        tasks.extend(config.tls.clone().map(|files| tokio::spawn(expiry::warn_before(files))));
        let present = Present::begin(config, node)?;
        let drain = Drain::default();
        let (http_listeners, grpc_listeners) = (listen(doors.0)?, listen(doors.1)?);
        let https = match config.tls.clone().filter(|_| config.http_tls) {
            Some(files) => Some(Arc::new(certs::Server::new(files, Expected::Anybody, Protocol::Http)?)),
            None => None,
        };
        let intake = Intake::new(Limits::default());
        let http = tokio::spawn(connections::serve_http(http_listeners, http, https, intake.clone(), drain.clone()));
        let grpc =
            tokio::spawn(connections::serve_grpc(grpc_listeners, grpc, tls.map(Arc::new), intake, drain.clone()));
        info!(event = "serving", group = %config.group, http = %config.http, grpc = %config.grpc);
        on_ready();

        let ended = wait(stop, failures).await;
        match &ended {
            Ok(reason) => {
                info!(event = "stopping", why = ?reason);
                if *reason == StopReason::Removed {
                    // Nobody will hear here what becomes of requests that are under way.
                    node.give_up_waiting();
                }
                Leaving { node, drain: &drain, present, tasks: &tasks }.in_order().await;
                drain.close(After::Closed);
            }
            // It was met by reading: the node is well otherwise, and its callers go elsewhere in order.
            Err(NodeError::Rotten { .. }) if node.applies() => {
                Leaving { node, drain: &drain, present, tasks: &tasks }.in_order().await;
                drain.close(if stop.asked().is_none() { After::Reopened } else { After::Closed });
            }
            Err(failure) => {
                drain.enter(Phase::Refusing);
                tasks.iter().for_each(JoinHandle::abort);
                // What was asked of it has no answer here any more: callers ask another node.
                node.give_up_waiting();
                let is_mended = matches!(failure, NodeError::Rotten { .. });
                drain.close(if is_mended { After::Reopened } else { After::Closed });
                if let Some(present) = present {
                    present.leave().await;
                }
            }
        }
        for server in [http, grpc] {
            if let Err(panic) = server.await {
                error!(event = "bug", what = "a listener ended by itself", why = %panic);
            }
        }
        ended.map(Exit::from)
    }
}

/// A node that stops in order.
struct Leaving<'a, S: Service> {
    node: &'a Handle<S>,
    drain: &'a Drain,
    present: Option<Present>,
    tasks: &'a [JoinHandle<()>],
}

impl<S: Service> Leaving<'_, S> {
    /// Until every caller has been answered, or told.
    async fn in_order(self) {
        let Self { node, drain, present, tasks } = self;
        let began = Instant::now();
        // Without others that serve, nobody has anywhere to go, and waiting would only prolong the stop.
        let others = node.has_others();
        node.announce_stop();
        drain.enter(Phase::Leaving);
        let goodbye = async {
            if let Some(present) = present {
                present.leave().await;
            }
        };
        let quiet = async {
            if others {
                drain.quiet(QUIET, QUIET_MAX).await;
            }
        };
        tokio::join!(goodbye, quiet);
        drain.enter(Phase::Refusing);
        // The tasks go on meanwhile: payments that wait for their decision are driven by one of them.
        drain.answered(HELD_MAX).await;
        tasks.iter().for_each(JoinHandle::abort);
        node.leave();
        let waits = async {
            while node.waiting() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(OWN_WORK_MAX, waits).await;
        node.give_up_waiting();
        drain.answered(OWN_WORK_MAX).await;
        if others {
            drain.no_http(IDLE_MAX.saturating_sub(began.elapsed())).await;
        }
    }
}

/// Waits for the word to stop, or for a failure.
async fn wait(stop: &Stop, failures: &mut mpsc::Receiver<NodeError>) -> Result<StopReason, NodeError> {
    tokio::select! {
        reason = stop.wait() => Ok(reason),
        Some(failure) = failures.recv() => match failure {
            NodeError::Removed { why } => {
                info!(event = "removed", why = %why, todo = "nothing: its directory may be deleted");
                Ok(StopReason::Removed)
            }
            failure => Err(failure),
        },
    }
}

pub(crate) fn listen(listeners: Vec<TcpListener>) -> Result<Vec<tokio::net::TcpListener>, NodeError> {
    let listen = |listener: TcpListener| {
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)
    };
    listeners.into_iter().map(listen).collect::<std::io::Result<_>>().map_err(NodeError::system("listening"))
}

async fn measure_queues<S: Service>(node: Handle<S>, metrics: Metrics) {
    let proposer = metrics.queue("proposer");
    let callers = metrics.queue("callers");
    let mut ticks = tokio::time::interval(QUEUES_PERIOD);
    loop {
        ticks.tick().await;
        let (of_proposer, of_callers) = node.queues();
        proposer.set(of_proposer as u64);
        callers.set(of_callers as u64);
    }
}
