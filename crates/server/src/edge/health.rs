//! `grpc.health.v1` of a node: serving exactly while `/readyz` is.

use std::pin::Pin;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::port::NodePort;

/// How often a watched node is looked at.
const WATCH_PERIOD: Duration = Duration::from_millis(100);

/// The health service of one node.
#[derive(Debug)]
pub struct NodeHealth<B> {
    bank: B,
}

impl<B: NodePort> NodeHealth<B> {
    pub fn new(bank: B) -> NodeHealth<B> {
        NodeHealth { bank }
    }
}

#[tonic::async_trait]
impl<B: NodePort> Health for NodeHealth<B> {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        check_name(&request.into_inner().service)?;
        Ok(Response::new(response(serving(&self.bank))))
    }

    /// Tells the health now, and again whenever it changes.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        check_name(&request.into_inner().service)?;
        let changes = unfold((self.bank.clone(), None), |(bank, told)| async move {
            let mut now = serving(&bank);
            while told == Some(now) {
                tokio::time::sleep(WATCH_PERIOD).await;
                now = serving(&bank);
            }
            Some((Ok(response(now)), (bank, Some(now))))
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

fn serving<B: NodePort>(bank: &B) -> ServingStatus {
    if bank.status().ready { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
