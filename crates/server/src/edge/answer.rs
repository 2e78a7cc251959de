//! What leaves over HTTP: JSON, and problems with the headers that belong to them.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Response as HttpResponse, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use api::problem::{MEDIA_TYPE, Problem};

use super::body::Shown;
use super::request_log::{self, Why};

/// Said when an answer is the first answer to the same request.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A problem on its way out: the error type of every handler.
#[derive(Debug)]
pub struct Refusal(pub Box<Problem>);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Refusal {
        Refusal(Box::new(problem))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        problem(&self.0)
    }
}

/// `application/problem+json`. The problem's code rides along as an extension, for the metrics.
#[expect(clippy::expect_used, reason = "the table of codes holds HTTP statuses only, by a test")]
pub fn problem(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.code.row().http).expect("the table holds HTTP statuses only");
    let mut response = HttpResponse::new(Body::from(problem.to_json()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    if let Some(wait_s) = problem.retry_after_s() {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait_s));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if problem.member("replayed").and_then(serde_json::Value::as_bool) == Some(true) {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response.extensions_mut().insert(problem.code);
    response.extensions_mut().insert(Why(problem.detail.clone()));
    response
}

/// Whether an answer was given before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    First,
    Replayed,
}

impl Freshness {
    pub fn of(replay: bool) -> Freshness {
        if replay { Freshness::Replayed } else { Freshness::First }
    }
}

/// 200 with a JSON body.
pub fn ok(body: &impl Serialize, freshness: Freshness) -> Response {
    json(StatusCode::OK, body, freshness)
}

/// 201 with the place where the new thing can be read.
#[expect(clippy::expect_used, reason = "paths of ours are ASCII")]
pub fn created(body: &impl Serialize, location: &str, freshness: Freshness) -> Response {
    let mut response = json(StatusCode::CREATED, body, freshness);
    let location = HeaderValue::from_str(location).expect("paths of ours are ASCII");
    response.headers_mut().insert(LOCATION, location);
    response
}

#[expect(clippy::expect_used, reason = "our shapes have text keys and no failing writers")]
fn json(status: StatusCode, body: &impl Serialize, freshness: Freshness) -> Response {
    let body = serde_json::to_vec(body).expect("our shapes have text keys and no failing writers");
    if tracing::enabled!(target: "requests", tracing::Level::DEBUG) {
        request_log::response("http", Some(&Shown::of(&body)));
    }
    let mut response = HttpResponse::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if freshness == Freshness::Replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// Plain text.
pub fn text(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = HttpResponse::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
