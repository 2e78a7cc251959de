//! A call walks over the gateway's nodes until it has an answer or its deadline has passed.
//!
//! Every node takes every call, so the walk stays with the node that answered last. After a failure the next node is
//! asked at once; only when all have failed in a row does the walk wait, a little longer each time. Repeating is safe:
//! payments carry their ids, and the rest changes nothing that a second time would change again.
//!
//! The walk keeps apart what an outbox must keep apart: whether a byte of the request can have arrived anywhere.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use clearing::PaymentId;
use tokio::time::Instant;
use tonic::{Code as Grpc, ConnectError, Response, Status};

use super::GatewayOptions;
use super::error::{GatewayError, NotSignedIn};
use crate::client::connect;
use crate::client::retry::jittered;
use crate::client::road::Road;
use crate::client::secured::not_believed;
use crate::code::Code;
use crate::problem::Problem;
use crate::proto::gateway_client::GatewayClient;

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// One node's service.
pub(super) type Node = GatewayClient<Road>;

/// All nodes, and the one that is asked now.
#[derive(Debug)]
pub(super) struct Nodes {
    nodes: RwLock<Vec<Node>>,
    current: AtomicUsize,
    tls: Option<Arc<certs::Client>>,
}

impl Nodes {
    pub(super) fn new<A: AsRef<str>>(
        addresses: impl IntoIterator<Item = A>,
        tls: Option<&Arc<certs::Client>>,
    ) -> Result<Nodes, GatewayError> {
        let nodes = RwLock::new(connected(addresses, tls)?);
        Ok(Nodes { nodes, current: AtomicUsize::new(0), tls: tls.cloned() })
    }

    /// From now on these are the nodes. Calls that are under way end as they began.
    pub(super) fn move_to<A: AsRef<str>>(&self, addresses: impl IntoIterator<Item = A>) -> Result<(), GatewayError> {
        let nodes = connected(addresses, self.tls.as_ref())?;
        *self.nodes.write().unwrap_or_else(PoisonError::into_inner) = nodes;
        Ok(())
    }

    fn current(&self) -> (usize, Node) {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        // There may be fewer than when it was chosen.
        let number = self.current.load(Ordering::Relaxed) % nodes.len();
        (number, nodes[number].clone())
    }

    fn len(&self) -> usize {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// That node failed: turns to the next, unless another call has turned already, which is as good.
    fn turn_from(&self, failed: usize) {
        let next = (failed + 1) % self.len();
        let _ = self.current.compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// A connection to each, made when the first call needs it.
fn connected<A: AsRef<str>>(
    addresses: impl IntoIterator<Item = A>,
    tls: Option<&Arc<certs::Client>>,
) -> Result<Vec<Node>, GatewayError> {
    let node = |address: A| {
        let address = address.as_ref();
        let bad = |reason: String| GatewayError::BadAddress { address: address.to_owned(), reason };
        connect::channel(address, tls).map(GatewayClient::new).map_err(bad)
    };
    let nodes = addresses.into_iter().map(node).collect::<Result<Vec<Node>, GatewayError>>()?;
    if nodes.is_empty() {
        return Err(GatewayError::BadAddress { address: String::new(), reason: "none was given".to_owned() });
    }
    Ok(nodes)
}

/// What a failed attempt means.
enum Verdict {
    /// The gateway's last word.
    Final(GatewayError),
    /// No connection was made.
    NotConnected,
    /// The node did not take it. Nothing was proposed.
    NotTaken(Option<Duration>),
    /// It may have been proposed.
    Open,
}

/// What has come of the walk so far.
#[derive(Default)]
struct Steps {
    failures: usize,
    reached: bool,
    may_be_done: bool,
}

/// `stake` are the payments whose fate is open when the walk ends without an answer.
pub(super) async fn walk<T, F>(
    nodes: &Nodes,
    options: &GatewayOptions,
    stake: &[PaymentId],
    call: impl Fn(Node) -> F,
) -> Result<T, GatewayError>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let began = Instant::now();
    let deadline = began + options.deadline;
    let mut steps = Steps::default();
    let mut pause = PAUSE_MIN;
    loop {
        let (number, node) = nodes.current();
        let attempt_ends = deadline.min(Instant::now() + options.attempt_timeout);
        let status = match tokio::time::timeout_at(attempt_ends, call(node)).await {
            Ok(Ok(response)) => return Ok(response.into_inner()),
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("the node did not answer in time"),
        };
        let mut wait = Duration::ZERO;
        match verdict(&status) {
            Verdict::Final(error) => return Err(error),
            Verdict::NotConnected => {}
            Verdict::NotTaken(asked) => {
                steps.reached = true;
                wait = asked.unwrap_or_default().min(PAUSE_MAX);
            }
            Verdict::Open => (steps.reached, steps.may_be_done) = (true, true),
        }
        nodes.turn_from(number);
        steps.failures += 1;
        if steps.failures.is_multiple_of(nodes.len()) {
            if !steps.reached && began.elapsed() >= options.connect_patience {
                return Err(given_up(&steps, stake, &status));
            }
            wait = wait.max(jittered(pause));
            pause = (pause * 2).min(PAUSE_MAX);
        }
        if Instant::now() + wait >= deadline {
            return Err(given_up(&steps, stake, &status));
        }
        tokio::time::sleep(wait).await;
    }
}

fn verdict(status: &Status) -> Verdict {
    if let Some(code) = Problem::code_of(status) {
        if let Some(why) = NotSignedIn::from_code(code) {
            return Verdict::Final(GatewayError::NotSignedIn(why));
        }
        return match code {
            Code::Overloaded | Code::Unavailable | Code::ShuttingDown | Code::TooManyConnections => {
                Verdict::NotTaken(Problem::wait_of(status))
            }
            Code::OutcomeUnknown | Code::Internal => Verdict::Open,
            code => Verdict::Final(GatewayError::Refused { code, detail: status.message().to_owned() }),
        };
    }
    if was_not_connected(status) || not_believed(status).is_some() {
        return Verdict::NotConnected;
    }
    match status.code() {
        // Not from our code but from the connection: reset in the middle, or silent.
        Grpc::Unavailable | Grpc::Cancelled | Grpc::Unknown | Grpc::DeadlineExceeded | Grpc::Internal => Verdict::Open,
        Grpc::ResourceExhausted => Verdict::NotTaken(None),
        // Of another version of us, or of no gateway at all. What it says of a token can be believed: nothing was taken.
        Grpc::Unauthenticated => Verdict::Final(GatewayError::NotSignedIn(NotSignedIn::Invalid)),
        Grpc::Ok
        | Grpc::InvalidArgument
        | Grpc::NotFound
        | Grpc::AlreadyExists
        | Grpc::PermissionDenied
        | Grpc::FailedPrecondition
        | Grpc::Aborted
        | Grpc::OutOfRange
        | Grpc::Unimplemented
        | Grpc::DataLoss => Verdict::Final(GatewayError::Refused {
            code: Code::Internal,
            detail: format!("{}: {}", status.code(), status.message()),
        }),
    }
}

/// Whether the call ended before there was a connection to send it on.
fn was_not_connected(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn given_up(steps: &Steps, stake: &[PaymentId], status: &Status) -> GatewayError {
    let last = match (not_believed(status), status.source()) {
        (Some(why), _) => why,
        (None, Some(_)) => root_cause(status),
        (None, None) => status.message().to_owned(),
    };
    if steps.may_be_done && !stake.is_empty() {
        GatewayError::OutcomeUnknown { payments: stake.to_vec(), last }
    } else if steps.reached {
        GatewayError::Overloaded { last }
    } else {
        GatewayError::Unreachable { last }
    }
}

/// "connection refused", rather than "transport error".
fn root_cause(status: &Status) -> String {
    let mut cause = status.source();
    let mut last = status.message().to_owned();
    while let Some(error) = cause {
        last = error.to_string();
        cause = error.source();
    }
    last
}
