//! The node's edges while it runs: HTTP, gRPC, the page's feed, and what ends them.
//!
//! An orderly stop: nothing new is taken, the pen is handed over, callers that wait get their answers, open requests
//! end, and only then do the node's threads.

use crate::config::{Exit, NodeConfig, NodeError};
use crate::consul::Present;
use crate::edge::connections::{self, Limits};
use crate::edge::guard::{Guard, OperatorToken};
use crate::edge::metrics::Metrics;
use crate::expiry;
use crate::gauges::SyncObserver;
use crate::handle::{Handle, StopReason};
use crate::service::Service;
use axum::Router;
use certs::{Expected, Protocol};
use prometheus_client::metrics::histogram::Histogram;
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{error, info};

/// How long callers that wait may still get their answers once a stop was asked for.
const DRAIN_MAX: Duration = Duration::from_millis(1_500);
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

/// Who may call this node's own HTTP and gRPC.
pub(crate) fn guard(config: &NodeConfig) -> Result<Guard, NodeError> {
    let token = config.operator_token.as_deref().map(|token| {
        OperatorToken::new(token).ok_or_else(|| NodeError::Config("the operator's token is empty".to_owned()))
    });
    Ok(Guard::new(token.transpose()?))
}

/// Serves until the node is told to stop, or until a thread of it fails.
pub(crate) async fn serve<S: Service>(
    config: &NodeConfig,
    node: &Handle<S>,
    metrics: &Metrics,
    (doors, edges): ((TcpListener, TcpListener), impl FnOnce() -> Result<Edges, NodeError>),
    failures: &mut mpsc::Receiver<NodeError>,
    on_ready: impl FnOnce(),
) -> Result<Exit, NodeError> {
    let Edges { http, grpc, mut tasks } = edges()?;
    tasks.push(tokio::spawn(measure_queues(node.clone(), metrics.clone())));
    let tls =
        config.tls.clone().map(|files| certs::Server::new(files, Expected::Anybody, Protocol::Grpc)).transpose()?;
    tasks.extend(config.tls.clone().map(|files| tokio::spawn(expiry::warn_before(files))));
    let present = Present::begin(config, node)?;
    let (stop, stopped) = watch::channel(false);
    let (http_listener, grpc_listener) = (listen(doors.0)?, listen(doors.1)?);
    let https = match config.tls.clone().filter(|_| config.http_tls) {
        Some(files) => Some(Arc::new(certs::Server::new(files, Expected::Anybody, Protocol::Http)?)),
        None => None,
    };
    let http = tokio::spawn(connections::serve_http(http_listener, http, https, Limits::default(), stopped.clone()));
    let grpc =
        tokio::spawn(connections::serve_grpc(grpc_listener, grpc, tls.map(Arc::new), Limits::default(), stopped));
    watch_signals(node.clone())?;
    if config.exit_with_parent {
        watch_parent(node.clone())?;
    }
    info!(event = "serving", group = %config.group, http = %config.http, grpc = %config.grpc);
    on_ready();

    let ended = wait(node, failures).await;
    tasks.iter().for_each(JoinHandle::abort);
    if let Some(present) = present {
        present.leave().await;
    }
    if let Ok(reason) = &ended {
        info!(event = "stopping", why = ?reason);
        node.leave();
        if *reason == StopReason::Removed {
            node.give_up_waiting();
        }
        let drained = async {
            while node.waiting() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(DRAIN_MAX, drained).await;
    }
    // Nobody is left to be told: the receivers are gone only if the servers are.
    let _ = stop.send(true);
    for server in [http, grpc] {
        if let Err(panic) = server.await {
            error!(event = "bug", what = "a listener ended by itself", why = %panic);
        }
    }
    ended.map(Exit::from)
}

/// Waits for the word to stop, or for a failure.
async fn wait<S: Service>(node: &Handle<S>, failures: &mut mpsc::Receiver<NodeError>) -> Result<StopReason, NodeError> {
    let mut asked = node.stop_asked();
    tokio::select! {
        reason = asked.wait_for(Option::is_some) => {
            let reason = reason.ok().and_then(|reason| *reason);
            Ok(reason.unwrap_or(StopReason::Signal))
        }
        Some(failure) = failures.recv() => match failure {
            NodeError::Removed { why } => {
                info!(event = "removed", why = %why, todo = "nothing: its directory may be deleted");
                Ok(StopReason::Removed)
            }
            failure => Err(failure),
        },
    }
}

fn listen(listener: TcpListener) -> Result<tokio::net::TcpListener, NodeError> {
    let doing = "listening";
    listener.set_nonblocking(true).map_err(NodeError::system(doing))?;
    tokio::net::TcpListener::from_std(listener).map_err(NodeError::system(doing))
}

fn watch_signals<S: Service>(node: Handle<S>) -> Result<(), NodeError> {
    let doing = "watching for signals";
    let mut terminate = signal(SignalKind::terminate()).map_err(NodeError::system(doing))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(NodeError::system(doing))?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        node.stop(StopReason::Signal);
    });
    Ok(())
}

/// Standard input is the parent's end of a pipe: when it closes, the parent is gone, however it ended.
fn watch_parent<S: Service>(node: Handle<S>) -> Result<(), NodeError> {
    let watch = move || {
        let mut byte = [0];
        while matches!(std::io::stdin().read(&mut byte), Ok(read) if read > 0) {}
        node.stop(StopReason::ParentGone);
    };
    std::thread::Builder::new()
        .name("parent".to_owned())
        .spawn(watch)
        .map(drop)
        .map_err(NodeError::system("watching the parent"))
}

async fn measure_queues<S: Service>(node: Handle<S>, metrics: Metrics) {
    let pen = metrics.queue("pen");
    let callers = metrics.queue("callers");
    let mut ticks = tokio::time::interval(QUEUES_PERIOD);
    loop {
        ticks.tick().await;
        let (waiting_for_pen, of_callers) = node.queues();
        pen.set(waiting_for_pen as u64);
        callers.set(of_callers as u64);
    }
}
