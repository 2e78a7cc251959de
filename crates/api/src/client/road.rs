//! A connection, and what goes for every call on it: it carries its trace, and leaves a line behind.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};
use tonic::transport::{Channel, Error};
use tower_service::Service;
use tracing::{debug, info};

use super::ending::{readable, status_of};
use crate::problem::Problem;
use crate::trace::{HEADER, TraceContext};

/// A node's channel, and the node's address.
#[derive(Debug, Clone)]
pub(super) struct Road {
    channel: Channel,
    node: Arc<str>,
}

impl Road {
    pub(super) fn new(channel: Channel, node: &str) -> Road {
        Road { channel, node: node.into() }
    }

    pub(super) fn node(&self) -> &str {
        &self.node
    }
}

impl Service<Request<Body>> for Road {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let trace = TraceContext::next();
        if let Ok(header) = HeaderValue::from_str(&trace.to_string()) {
            request.headers_mut().insert(HEADER, header);
        }
        let (node, call) = (Arc::clone(&self.node), request.uri().path().to_owned());
        let (began, answering) = (Instant::now(), self.channel.call(request));
        Box::pin(async move {
            let answer = answering.await.map(readable);
            match &answer {
                Ok(response) => {
                    tell(&node, &call, (&outcome(response.headers()), &why(response.headers())), began, trace);
                }
                Err(error) => tell(&node, &call, ("not_sent", &cause(error)), began, trace),
            }
            answer
        })
    }
}

/// An error with all that led to it.
fn cause(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

/// How a call ended, as far as the head of its answer says: a stable code, or gRPC's.
pub fn outcome(head: &HeaderMap) -> String {
    match status_of(head) {
        None => "ok".to_owned(),
        Some(status) if status.code() == tonic::Code::Ok => "ok".to_owned(),
        Some(status) => Problem::code_of(&status)
            .map_or_else(|| format!("{:?}", status.code()).to_lowercase(), |code| code.text().to_owned()),
    }
}

/// Why, in words, where it did not end well.
pub fn why(head: &HeaderMap) -> String {
    match status_of(head) {
        Some(status) if status.code() != tonic::Code::Ok => status.message().to_owned(),
        Some(_) | None => String::new(),
    }
}

/// One line a call. Looks at a node's state come every moment, and are told only to who asks for that much.
fn tell(node: &str, call: &str, (outcome, why): (&str, &str), began: Instant, trace: TraceContext) {
    let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let trace = trace.trace_id();
    match (call.ends_with("/Status"), why.is_empty()) {
        (true, _) => debug!(target: "requests", event = "called", node, call, outcome, why, took_us, trace),
        (false, true) => info!(target: "requests", event = "called", node, call, outcome, took_us, trace),
        (false, false) => info!(target: "requests", event = "called", node, call, outcome, why, took_us, trace),
    }
}
