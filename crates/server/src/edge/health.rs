//! `grpc.health.v1` of a node: serving exactly while `/readyz` is.
//!
//! One task looks at the node for all who watch it; a stream hears of changes alone and costs nothing between them.

use std::pin::Pin;
use std::time::Duration;

use api::status::Role;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::connection;
use super::port::NodePort;

/// How often a node is looked at for those who watch it.
const WATCH_PERIOD: Duration = Duration::from_millis(100);

/// The health service of one node.
#[derive(Debug)]
pub struct NodeHealth<B> {
    bank: B,
    seen: watch::Receiver<Seen>,
}

/// What those who watch are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    ready: bool,
    /// Who has been told that the node stops will hear nothing else of it.
    stopping: bool,
}

impl Seen {
    fn of<B: NodePort>(bank: &B) -> Seen {
        let status = bank.status();
        Seen { ready: status.ready, stopping: status.role == Role::Stopping }
    }
}

impl<B: NodePort> NodeHealth<B> {
    /// Must be called within a tokio runtime. Its task ends when the service and its streams are gone.
    pub fn new(bank: B) -> NodeHealth<B> {
        let (tell, seen) = watch::channel(Seen::of(&bank));
        let node = bank.clone();
        tokio::spawn(async move {
            while !tell.is_closed() {
                tokio::time::sleep(WATCH_PERIOD).await;
                let now = Seen::of(&node);
                tell.send_if_modified(|told| std::mem::replace(told, now) != now);
            }
        });
        NodeHealth { bank, seen }
    }
}

#[tonic::async_trait]
impl<B: NodePort> Health for NodeHealth<B> {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        check_name(&request.into_inner().service)?;
        Ok(Response::new(response(Seen::of(&self.bank).ready)))
    }

    /// Tells the health now, and again whenever it changes.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let place = connection::open_stream(&request)?;
        check_name(&request.into_inner().service)?;
        // The place is given back with the stream.
        let changes = unfold((self.seen.clone(), None, place), |(mut seen, told, place)| async move {
            loop {
                let now = *seen.borrow_and_update();
                if told != Some(now.ready) {
                    return Some((Ok(response(now.ready)), (seen, Some(now.ready), place)));
                }
                if now.stopping {
                    return None;
                }
                seen.changed().await.ok()?;
            }
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

/// The empty name stands for the whole node.
fn check_name(service: &str) -> Result<(), Status> {
    match service {
        "" | "rialto.v1.Bank" | "rialto.v1.Gateway" => Ok(()),
        other => Err(Status::not_found(format!("this node has no service {other:?}"))),
    }
}

fn response(ready: bool) -> HealthCheckResponse {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}
