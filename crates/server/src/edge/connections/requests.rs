//! One request on a connection: what it may hold and for how long, and an answer in our words whatever happens.
//!
//! ```text
//! request ─► let in ─► bytes in flight ─► Arriving (its body: in time, in bounds) ─► router
//!                                                                                       │
//! answer ◄──── Leaving (gives all back when the last byte has left) ◄──── our words ◄───┘
//! ```
//!
//! A panic of a handler becomes an answer with the code `internal`: a caller never sees a bare 500 or a cut line.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Buf, Incoming};
use tower_service::Service;
use tracing::warn;

use api::code::Code;
use api::problem::Problem;

use super::bodies::{Arriving, Call, Leaving};
use super::seats::{Seat, Unanswered};
use super::{Access, Wire};
use crate::edge::bounds::{self, Requests};
use crate::edge::connection::Connection;
use crate::edge::drain::{Drain, Phase};
use crate::edge::in_flight::{Charge, Full};
use crate::edge::{answer, grpc_answers, port};

/// Of the body of a request of which nothing is done, so much is taken, for so long, so that its caller reads the answer.
const UNREAD_BYTES_MAX: usize = 4 << 20;
const UNREAD_PATIENCE: Duration = Duration::from_millis(500);

/// What all requests of one connection share.
#[derive(Clone)]
pub(super) struct Seated {
    pub(super) router: Router,
    pub(super) wire: Wire,
    pub(super) access: Access,
    pub(super) drain: Drain,
    pub(super) connection: Connection,
    pub(super) seat: Arc<Seat>,
}

/// Answers one request.
pub(super) async fn answer(seated: Seated, request: Request<Incoming>) -> Result<Response<Leaving>, Infallible> {
    let unanswered = Unanswered::new(&seated.seat);
    let path = request.uri().path().to_owned();
    let held = seated.drain.admit(&path);
    let admitted = match &held {
        Some(_) => admit(&seated, request.method(), &path).map(Arc::new),
        None => Err(port::shutting_down()),
    };
    let call = async {
        match &admitted {
            Ok(charge) => work(&seated, request, charge).await,
            Err(problem) => refused(seated.wire, problem, request).await,
        }
    };
    let last_call = async {
        seated.drain.reached(Phase::Closing).await;
        tokio::time::sleep(seated.connection.intake().limits().drain_timeout * 2 / 3).await;
    };
    let mut response = tokio::select! {
        answered = AssertUnwindSafe(call).catch_unwind() => {
            answered.unwrap_or_else(|_| in_words_of(seated.wire, &bug()))
        }
        () = last_call => in_words_of(seated.wire, &unfinished()),
    };
    // A seat that is kept for looks is given back after each.
    let ends = seated.drain.phase() > Phase::Open || seated.access == Access::Looks;
    if seated.wire == Wire::Http && ends {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    // A stream stays open for long, and nobody waits for its end.
    let unanswered = (!is_stream(&path)).then(|| (unanswered, seated.seat.departure()));
    Ok(response.map(|body| Leaving::new(body, admitted.ok(), unanswered)))
}

fn is_stream(path: &str) -> bool {
    matches!(path, "/grpc.health.v1.Health/Watch" | "/events") || bounds::message_rule(path).requests == Requests::Many
}

/// Looks at what is known before anything else of a request is, and counts it.
fn admit(seated: &Seated, method: &Method, path: &str) -> Result<Charge, Problem> {
    let charge = match seated.access {
        Access::Looks if !bounds::is_look(path) => Err(no_seat()),
        Access::Looks | Access::Everything => seated.connection.charge(method, path).map_err(Full::problem),
    };
    charge.inspect_err(|problem| tell(seated, problem))
}

/// Requests that were refused before they reached a route. A flood of them is a line for each power of two.
static REFUSED: AtomicU64 = AtomicU64::new(0);

fn tell(seated: &Seated, problem: &Problem) {
    let in_all = REFUSED.fetch_add(1, Ordering::Relaxed) + 1;
    if in_all.is_power_of_two() {
        let source = seated.connection.source().key();
        warn!(event = "request_refused", source = %source, code = problem.code.text(), why = %problem.detail, in_all);
    }
}

pub(super) fn no_seat() -> Problem {
    Problem::new(Code::TooManyConnections, "every connection of this node is at work; try again shortly")
        .retry_after_ms(1000)
}

async fn work(seated: &Seated, mut request: Request<Incoming>, charge: &Arc<Charge>) -> Response {
    let call = Arc::new(Call::new(Arc::clone(charge), Arc::clone(&seated.seat)));
    let extensions = request.extensions_mut();
    extensions.insert(seated.connection.clone());
    extensions.insert(Arc::clone(charge));
    let rule = bounds::message_rule(request.uri().path());
    let patience = match rule.requests {
        Requests::One => seated.connection.intake().limits().body_timeout,
        Requests::Many => bounds::STREAM_TIMEOUT,
    };
    let rule = (seated.wire == Wire::Grpc).then_some(rule);
    let arriving = |body| Body::new(Arriving::new(body, (rule, patience), Arc::clone(&call)));
    // The router shares nothing mutable with the handler but what is behind locks, and those ignore poisoning.
    let Ok(response) = seated.router.clone().call(request.map(arriving)).await;
    match seated.wire {
        Wire::Http => {
            let bytes = response.body().size_hint().exact().unwrap_or_default();
            charge.force(usize::try_from(bytes).unwrap_or(usize::MAX));
            response
        }
        Wire::Grpc => grpc_answers::in_our_words(response, call.refused()),
    }
}

/// Nothing of the request is done. Its body is taken first: a connection that ends with bytes unread is reset, and the answer
/// lost with it.
async fn refused(wire: Wire, problem: &Problem, request: Request<Incoming>) -> Response {
    take_unread(request).await;
    in_words_of(wire, problem)
}

/// Takes the body of a request of which nothing is done, and keeps nothing of it. Whoever asks first whether to send it
/// (`Expect: 100-continue`) does not send it.
pub(crate) async fn take_unread<B: HttpBody + Unpin>(request: Request<B>) {
    if request.headers().contains_key(EXPECT) {
        return;
    }
    let mut body = request.into_body();
    let take = async {
        let mut taken = 0;
        while let Some(Ok(frame)) = body.frame().await {
            taken += frame.data_ref().map_or(0, Buf::remaining);
            if taken > UNREAD_BYTES_MAX {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(UNREAD_PATIENCE, take).await;
}

/// The node ends before the request has its answer: better this word than a connection that breaks.
fn unfinished() -> Problem {
    let detail =
        "the node stops, and this request is not finished; what was proposed by then may be done: repeat it as it is";
    Problem::new(Code::OutcomeUnknown, detail)
}

fn bug() -> Problem {
    let detail =
        "the node met a bug while it worked on this request; its fate is not known, repeat it with the same id";
    Problem::new(Code::Internal, detail)
}

fn in_words_of(wire: Wire, problem: &Problem) -> Response {
    match wire {
        Wire::Http => answer::problem(problem),
        Wire::Grpc => problem.to_status().into_http(),
    }
}
