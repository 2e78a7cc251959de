//! The bodies of one request and its answer: what arrives does so in time and within bounds, and what leaves gives back at its
//! end all that the request counted for.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::Buf;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use api::code::Code;
use api::problem::Problem;

use super::seats::{Departure, Seat, Unanswered, Work};
use crate::edge::bounds::MessageRule;
use crate::edge::framing::Framing;
use crate::edge::in_flight::Charge;

/// What a request and its body share.
pub(super) struct Call {
    charge: Arc<Charge>,
    seat: Arc<Seat>,
    work: Work,
    /// Why its body was not read to its end.
    refused: OnceLock<Problem>,
}

impl Call {
    pub(super) fn new(charge: Arc<Charge>, seat: Arc<Seat>) -> Call {
        Call { charge, seat, work: Work::default(), refused: OnceLock::new() }
    }

    pub(super) fn refused(&self) -> Option<&Problem> {
        self.refused.get()
    }
}

/// A body while it arrives. The connection keeps its seat from its end on, and not while it is sent by and by.
pub(super) struct Arriving {
    body: Incoming,
    call: Arc<Call>,
    framing: Option<Framing>,
    until: Instant,
    late: Option<Pin<Box<Sleep>>>,
    is_whole: bool,
}

/// The error of a body that is refused, for whoever reads it.
#[derive(Debug, thiserror::Error)]
#[error("{}", .problem.detail)]
pub(in crate::edge) struct Refused {
    pub(in crate::edge) problem: Problem,
    /// Where a stream of messages is decoded, this is looked for.
    #[source]
    status: tonic::Status,
}

impl Arriving {
    /// With a rule the body is messages of gRPC.
    pub(super) fn new(body: Incoming, (rule, patience): (Option<MessageRule>, Duration), call: Arc<Call>) -> Arriving {
        let until = Instant::now() + patience;
        let is_whole = body.is_end_stream();
        if is_whole {
            call.work.begin(&call.seat);
        }
        Arriving { body, call, framing: rule.map(Framing::new), until, late: None, is_whole }
    }

    fn refuse(&self, problem: Problem) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let problem = self.call.refused.get_or_init(|| problem).clone();
        let status = problem.to_status();
        Poll::Ready(Some(Err(Box::new(Refused { problem, status }))))
    }

    fn see(&mut self, frame: &Frame<Bytes>) -> Result<(), Problem> {
        match (&mut self.framing, frame.data_ref()) {
            (Some(framing), Some(data)) => framing.see(data, &self.call.charge),
            (None, _) | (_, None) => Ok(()),
        }
    }

    fn end(&mut self) {
        self.is_whole = true;
        self.call.work.begin(&self.call.seat);
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Err(problem) = self.see(&frame) {
                    return self.refuse(problem);
                }
                if self.body.is_end_stream() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let until = self.until;
                let late = self.late.get_or_insert_with(|| Box::pin(sleep_until(until)));
                if late.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.refuse(Problem::new(
                    Code::RequestTimeout,
                    "the request was not complete in time; nothing was changed, send it again",
                ))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if !self.is_whole {
            self.call.seat.lingers.store(true, Ordering::Relaxed);
        }
    }
}

/// An answer while it leaves. What it holds is given back when it and all of its pieces have gone.
///
/// HTTP/1.1 copies pieces, and drops a body as soon as that says that it is at its end, when no byte of it may have been
/// written; so one that was not empty never says so. It is then asked for more, and that only when all but 16 KiB has been
/// written. HTTP/2 takes pieces whole, whatever its caller takes of them, and keeps each until its bytes are written.
pub(super) struct Leaving {
    body: Body,
    is_empty: bool,
    held: Arc<Held>,
}

/// What an answer counts for, and that it is on its way.
struct Held {
    _charge: Option<Arc<Charge>>,
    _unanswered: Option<(Unanswered, Departure)>,
}

/// A piece of an answer.
pub(super) struct Piece {
    bytes: Bytes,
    _held: Arc<Held>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl Leaving {
    pub(super) fn new(body: Body, charge: Option<Arc<Charge>>, unanswered: Option<(Unanswered, Departure)>) -> Leaving {
        let is_empty = body.is_end_stream();
        Leaving { body, is_empty, held: Arc::new(Held { _charge: charge, _unanswered: unanswered }) }
    }
}

impl HttpBody for Leaving {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let piece = |bytes| Piece { bytes, _held: Arc::clone(&self.held) };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
