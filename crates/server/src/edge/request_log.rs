//! One line for every request that is served: what, for whom, about what, how it ended, how long it took, in which trace.
//!
//! The layer is the outermost one. What it cannot see, handlers and the layer of permits note ([`note_caller`],
//! [`note_about`]); outside a request a note goes nowhere. Secrets have types that cannot be noted: bodies are never in a
//! line, and of headers only the trace.

use api::client::outcome;
use api::code::Code;
use api::trace::{self, HEADER, TraceContext};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use certs::Subject;
use std::cell::RefCell;
use std::time::Instant;
use tracing::{debug, info};

/// Ids of one request that are told; of more only how many.
const ABOUT_MAX: usize = 8;

#[derive(Debug, Default)]
struct Notes {
    caller: Option<String>,
    about: Vec<String>,
    more: usize,
    /// How it ended for whoever asked, where the call itself succeeded: a refused payment is not "ok".
    outcome: Option<(&'static str, String)>,
}

tokio::task_local! {
    static NOTES: RefCell<Notes>;
}

/// Who the caller turned out to be.
pub(crate) fn note_caller(caller: impl ToString) {
    let _ = NOTES.try_with(|notes| notes.borrow_mut().caller = Some(caller.to_string()));
}

/// The caller that was noted.
pub(crate) fn noted_caller() -> Option<String> {
    NOTES.try_with(|notes| notes.borrow().caller.clone()).ok().flatten()
}

/// What the request is about: ids of payments, transfers, accounts.
pub(crate) fn note_about<T: ToString>(ids: impl IntoIterator<Item = T>) {
    let _ = NOTES.try_with(|notes| {
        let mut notes = notes.borrow_mut();
        for id in ids {
            if notes.about.len() < ABOUT_MAX { notes.about.push(id.to_string()) } else { notes.more += 1 }
        }
    });
}

/// The call succeeds, and what it asked for was refused or is not known: the stable code, and why.
pub(crate) fn note_outcome(code: &'static str, why: &str) {
    let _ = NOTES.try_with(|notes| notes.borrow_mut().outcome = Some((code, why.to_owned())));
}

/// The code that was noted.
pub(crate) fn noted_outcome() -> Option<&'static str> {
    NOTES.try_with(|notes| notes.borrow().outcome.as_ref().map(|(code, _)| *code)).ok().flatten()
}

/// The fields of a request, for whoever has chosen the level `debug`. Messages that hold a secret do not print it.
pub(crate) fn request(call: &str, fields: &impl std::fmt::Debug) {
    debug!(target: "requests", event = "request", call, fields = ?fields);
}

/// The fields of its answer, if it has one.
pub(crate) fn response<T: std::fmt::Debug>(call: &str, fields: Option<&T>) {
    if let Some(fields) = fields {
        debug!(target: "requests", event = "response", call, fields = ?fields);
    }
}

/// What went wrong, in words: beside the code of an error.
#[derive(Debug, Clone)]
pub(crate) struct Why(pub(crate) String);

/// Of an answer that leaves no line: its source was refused too often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unlogged;

fn why(response: &Response) -> String {
    match response.extensions().get::<Why>() {
        Some(Why(why)) => why.clone(),
        None => api::client::why(response.headers()),
    }
}

/// The layer.
pub(crate) async fn log(request: Request, next: Next) -> Response {
    let given = request.headers().get(HEADER).and_then(|value| value.to_str().ok()).and_then(TraceContext::parse);
    let context = given.map_or_else(TraceContext::begin, TraceContext::child);
    let call = match request.method().as_str() {
        "POST" if request.uri().path().starts_with("/rialto.") => request.uri().path().to_owned(),
        method => format!("{method} {}", request.uri().path()),
    };
    let caller = request.extensions().get::<Subject>().map(ToString::to_string);
    let began = Instant::now();
    let work = async {
        let response = next.run(request).await;
        (response, NOTES.with(RefCell::take))
    };
    let (response, notes) = NOTES.scope(RefCell::default(), trace::within(context, work)).await;
    if response.extensions().get::<Unlogged>().is_some() {
        return response;
    }
    let outcome = match response.extensions().get::<Code>() {
        Some(code) => code.text().to_owned(),
        None => outcome(response.headers()),
    };
    let caller = notes.caller.or(caller).unwrap_or_else(|| "local".to_owned());
    let mut about = notes.about.join(",");
    if notes.more > 0 {
        about += &format!(" and {} more", notes.more);
    }
    let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let trace = context.trace_id();
    let (outcome, why) = match (outcome.as_str(), notes.outcome) {
        ("ok", Some((code, why))) => (code.to_owned(), why),
        ("ok", None) => (outcome, String::new()),
        (_, _) => (outcome, why(&response)),
    };
    match (is_a_look(&call), why.is_empty()) {
        (true, _) => debug!(target: "requests", event = "served", call, caller, about, outcome, why, took_us, trace),
        (false, true) => info!(target: "requests", event = "served", call, caller, about, outcome, took_us, trace),
        (false, false) => {
            info!(target: "requests", event = "served", call, caller, about, outcome, why, took_us, trace)
        }
    }
    response
}

/// What balancers, pages and scrapers ask every moment.
fn is_a_look(call: &str) -> bool {
    let looks = ["/Status", "/Check", "/Watch", "/v1/status", "/livez", "/readyz", "/metrics", "/v1/live"];
    looks.iter().any(|look| call.ends_with(look)) || call.starts_with("GET /assets/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_told_apart_from_requests() {
        for look in ["/rialto.v1.Bank/Status", "GET /metrics", "/grpc.health.v1.Health/Check", "GET /assets/page.js"] {
            assert!(is_a_look(look), "{look}");
        }
        for request in ["/rialto.v1.Bank/Transfer", "POST /v1/payments", "GET /v1/accounts"] {
            assert!(!is_a_look(request), "{request}");
        }
    }

    #[tokio::test]
    async fn of_many_ids_the_first_are_told_and_outside_a_request_nothing_is() {
        note_about([1]);
        let noted = NOTES.scope(RefCell::default(), async {
            note_about(0..20);
            note_caller("alice@alpha");
            NOTES.with(RefCell::take)
        });
        let noted = noted.await;
        assert_eq!((noted.about.len(), noted.more), (ABOUT_MAX, 12));
        assert_eq!(noted.caller.as_deref(), Some("alice@alpha"));
    }
}
