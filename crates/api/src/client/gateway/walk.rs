//! A call walks over the gateway's nodes until it has an answer or its deadline has passed.
//!
//! Every node takes every call, so the walk stays with the node that answered last. After a failure the next node is
//! asked at once; only when all have failed in a row does the walk wait, a little longer each time. Repeating is safe:
//! payments carry their ids, and the rest changes nothing that a second time would change again.
//!
//! The walk keeps apart what an outbox must keep apart: whether a byte of the request can have arrived anywhere.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use clearing::PaymentId;
use tokio::time::Instant;
use tonic::{Code as Grpc, Response, Status};

use super::GatewayOptions;
use super::error::{GatewayError, NotSignedIn};
use super::pin::{Node, Pin, Place, Unchecked};
use crate::client::connect::Singly;
use crate::client::once::was_spent;
use crate::client::retry::{is_of_id, jittered};
use crate::client::secured::not_believed;
use crate::client::words::{self, was_not_connected};
use crate::code::Code;
use crate::problem::Problem;

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// All nodes, and the one that is asked now.
#[derive(Debug)]
pub(super) struct Nodes {
    nodes: RwLock<Vec<Arc<Place>>>,
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

    fn current(&self) -> (usize, Arc<Place>) {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        // There may be fewer than when it was chosen.
        let number = self.current.load(Ordering::Relaxed) % nodes.len();
        (number, Arc::clone(&nodes[number]))
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
) -> Result<Vec<Arc<Place>>, GatewayError> {
    let place = |address: A| {
        let address = address.as_ref();
        let bad = |reason: String| GatewayError::BadAddress { address: address.to_owned(), reason };
        Singly::new(address, tls).map(|singly| Arc::new(Place::new(singly))).map_err(bad)
    };
    let nodes = addresses.into_iter().map(place).collect::<Result<Vec<Arc<Place>>, GatewayError>>()?;
    if nodes.is_empty() {
        return Err(GatewayError::BadAddress { address: String::new(), reason: "none was given".to_owned() });
    }
    Ok(nodes)
}

/// What a failed attempt means.
pub(super) enum Verdict {
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

/// What a walk brought back.
pub(super) struct Walked<T> {
    pub(super) answer: T,
    /// An attempt before the one that was answered may have been done as well.
    pub(super) may_be_done_before: bool,
}

/// Where a walk goes, and for how long.
pub(super) struct Route<'a> {
    pub(super) nodes: &'a Nodes,
    pub(super) options: &'a GatewayOptions,
    pub(super) pin: &'a Pin,
    /// The payments whose fate is open when the walk ends without an answer.
    pub(super) stake: &'a [PaymentId],
}

pub(super) async fn walk<T, F>(
    Route { nodes, options, pin, stake }: Route<'_>,
    call: impl Fn(Node) -> F,
) -> Result<Walked<T>, GatewayError>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let began = Instant::now();
    let deadline = began + options.deadline;
    let mut steps = Steps::default();
    let mut wrong = Vec::new();
    let mut pause = PAUSE_MIN;
    loop {
        let (number, place) = nodes.current();
        let attempt_ends = deadline.min(Instant::now() + options.attempt_timeout);
        let mut attempted = attempt(&place, pin, attempt_ends, &call).await;
        if matches!(&attempted, Attempt::Failed(_, status) if was_spent(status)) {
            // The connection of before had closed while nothing was sent on it: that is no failure of whoever is there now.
            attempted = attempt(&place, pin, attempt_ends, &call).await;
        }
        let (verdict, status) = match attempted {
            Attempt::Answered(answer) => return Ok(Walked { answer, may_be_done_before: steps.may_be_done }),
            Attempt::Failed(verdict, status) => (verdict, status),
            // Its address belongs to somebody else by now: that is no reason not to ask the others.
            Attempt::Wrong(error) => {
                let status = Status::unavailable(error.to_string());
                wrong.push(error);
                (Verdict::NotConnected, status)
            }
        };
        let mut wait = Duration::ZERO;
        match verdict {
            Verdict::Final(error) => return Err(last_word(error, &steps, stake)),
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
            // A whole round met nobody of the right network: also where somebody else's node was met before, while it started.
            let met = std::mem::take(&mut wrong);
            let is_open = steps.may_be_done && !stake.is_empty();
            if (met.len() == nodes.len() || !steps.reached)
                && !is_open
                && let Some(error) = met.into_iter().next_back()
            {
                return Err(error);
            }
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

/// What came of asking one node.
enum Attempt<T> {
    Answered(T),
    Failed(Verdict, Status),
    /// Nothing was sent: whoever is there is not meant.
    Wrong(GatewayError),
}

/// Asks one node, on a connection that was checked.
async fn attempt<T, F>(place: &Place, pin: &Pin, ends: Instant, call: &impl Fn(Node) -> F) -> Attempt<T>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    match tokio::time::timeout_at(ends, place.check(pin)).await {
        Ok(Ok(node)) => match tokio::time::timeout_at(ends, call(node)).await {
            Ok(Ok(response)) => Attempt::Answered(response.into_inner()),
            Ok(Err(status)) => Attempt::Failed(verdict(&status), status),
            Err(_) => Attempt::Failed(Verdict::Open, silent()),
        },
        Ok(Err(Unchecked::Wrong(error))) => Attempt::Wrong(error),
        // Nothing of the request has left.
        Ok(Err(Unchecked::NoAnswer(status))) => Attempt::Failed(unsent(verdict(&status)), status),
        Err(_) => Attempt::Failed(Verdict::NotConnected, silent()),
    }
}

/// What a walk ends with that no other node would answer otherwise. Whoever refuses only this attempt says nothing of one before
/// it, which may have been done: see [`is_of_id`].
fn last_word(error: GatewayError, steps: &Steps, stake: &[PaymentId]) -> GatewayError {
    let is_of_attempt = match &error {
        GatewayError::NotSignedIn(_) => true,
        GatewayError::Refused { code, .. } => !is_of_id(*code),
        GatewayError::Unreachable { .. }
        | GatewayError::Overloaded { .. }
        | GatewayError::OutcomeUnknown { .. }
        | GatewayError::OtherNetwork { .. }
        | GatewayError::BadAddress { .. }
        | GatewayError::Nonsense { .. } => false,
    };
    if is_of_attempt && steps.may_be_done && !stake.is_empty() {
        return GatewayError::OutcomeUnknown { payments: stake.to_vec(), last: error.to_string() };
    }
    error
}

fn silent() -> Status {
    Status::deadline_exceeded(words::SILENT)
}

/// What a failure means that came before the request was sent.
fn unsent(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Open => Verdict::NotConnected,
        verdict @ (Verdict::Final(_) | Verdict::NotConnected | Verdict::NotTaken(_)) => verdict,
    }
}

pub(super) fn verdict(status: &Status) -> Verdict {
    if let Some(code) = Problem::code_of(status) {
        if let Some(why) = NotSignedIn::from_code(code) {
            return Verdict::Final(GatewayError::NotSignedIn(why));
        }
        return match code {
            Code::Overloaded | Code::Unavailable | Code::Mending | Code::ShuttingDown | Code::TooManyConnections => {
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
        // Not from our code but from the connection: reset in the middle, or silent; or an answer came and could not be read,
        // which says nothing of what it was the answer to.
        Grpc::Unavailable
        | Grpc::Cancelled
        | Grpc::Unknown
        | Grpc::DeadlineExceeded
        | Grpc::Internal
        | Grpc::ResourceExhausted
        | Grpc::OutOfRange
        | Grpc::DataLoss => Verdict::Open,
        // Of another version of us, or of no gateway at all. What it says of a token can be believed: nothing was taken.
        Grpc::Unauthenticated => Verdict::Final(GatewayError::NotSignedIn(NotSignedIn::Invalid)),
        Grpc::Ok
        | Grpc::InvalidArgument
        | Grpc::NotFound
        | Grpc::AlreadyExists
        | Grpc::PermissionDenied
        | Grpc::FailedPrecondition
        | Grpc::Aborted
        | Grpc::Unimplemented => Verdict::Final(GatewayError::Refused {
            code: Code::Internal,
            detail: format!("{}: {}", status.code(), status.message()),
        }),
    }
}

fn given_up(steps: &Steps, stake: &[PaymentId], status: &Status) -> GatewayError {
    let last = words::of_status(status);
    if steps.may_be_done && !stake.is_empty() {
        GatewayError::OutcomeUnknown { payments: stake.to_vec(), last }
    } else if steps.reached {
        GatewayError::Overloaded { last }
    } else {
        // A node of the gateway says which one it is before it is asked anything else.
        let is_other = last == words::BROKEN_OFF;
        let hint = if is_other { "; is that its port for gRPC, and does it speak TLS?" } else { "" };
        GatewayError::Unreachable { last: format!("{last}{hint}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What tonic makes of an answer that is too large, and of a stream that HTTP/2 cuts off (ENHANCE_YOUR_CALM).
    #[test]
    fn an_answer_that_cannot_be_read_leaves_open_what_was_done() {
        for code in [Grpc::ResourceExhausted, Grpc::OutOfRange, Grpc::DataLoss, Grpc::Internal, Grpc::Unavailable] {
            let status = Status::new(code, "decoded message length too large");
            assert!(matches!(verdict(&status), Verdict::Open), "{code:?}");
        }
        let busy = Problem::new(Code::Overloaded, "too much").retry_after_ms(50).to_status();
        assert!(matches!(verdict(&busy), Verdict::NotTaken(Some(_))), "a node of ours says so itself");
    }
}
