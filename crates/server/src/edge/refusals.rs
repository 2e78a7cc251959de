//! How often one source may be refused: a layer around the routes of either wire.
//!
//! What is wrong about a request before anybody has worked on it (no such path, not permitted, not JSON, too large, …) costs
//! little, but a flood of it costs a line in the log each, and a core. So refusals come out of the source's token bucket (see
//! `sources`), or of the customer's who is signed in. Beyond it the answer is 429 with a true `Retry-After`, no line is
//! written, and over HTTP/1.1 the connection ends. Requests that are in order are not touched, since others may be behind the
//! same address.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::middleware::Next;
use axum::response::Response;
use tonic::Status;
use tracing::warn;

use api::code::Code;
use api::problem::Problem;

use super::answer;
use super::connection::Connection;
use super::request_log::{Unlogged, noted_caller};
use super::sources::Refusals;

/// Refusals that were not told since the last line about them; a line is written for each power of two.
static UNTOLD: AtomicU64 = AtomicU64::new(0);

/// The layer over HTTP.
pub(crate) async fn over_http(request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Connection>().cloned();
    let response = next.run(request).await;
    let code = response.extensions().get::<Code>().copied();
    let Some(problem) = too_many(connection.as_ref(), code) else { return response };
    let mut response = answer::problem(&problem);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response.extensions_mut().insert(Unlogged);
    response
}

/// The layer over gRPC.
pub(crate) async fn over_grpc(request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Connection>().cloned();
    let response = next.run(request).await;
    let code = Status::from_header_map(response.headers()).and_then(|status| Problem::code_of(&status));
    let Some(problem) = too_many(connection.as_ref(), code) else { return response };
    let mut response = problem.to_status().into_http();
    response.extensions_mut().insert(Unlogged);
    response
}

/// The problem for a source that was refused too often, if this is a refusal.
fn too_many(connection: Option<&Connection>, code: Option<Code>) -> Option<Problem> {
    let (connection, code) = (connection?, code?);
    if !is_refusal(code) {
        return None;
    }
    let source = connection.source_of(noted_caller());
    let Refusals::UsedUp { retry_after } = source.refused(Instant::now()) else { return None };
    let untold = UNTOLD.fetch_add(1, Ordering::Relaxed) + 1;
    if untold.is_power_of_two() {
        warn!(event = "refused_too_often", source = %source.key(), code = code.text(), in_all = untold);
    }
    let detail = format!(
        "too many of your requests were refused, this one with the code {}; mend it, and send less often",
        code.text()
    );
    let wait_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
    Some(Problem::new(Code::Overloaded, detail).retry_after_ms(wait_ms).with("refused", code.text()))
}

/// What is said of a request that nobody has worked on: it reached neither the ledger nor the books.
fn is_refusal(code: Code) -> bool {
    matches!(code, Code::NoSuchPath | Code::TooManyBankCalls)
        || matches!(code.row().http, 400 | 401 | 403 | 405 | 408 | 413 | 415 | 431)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::connections::{Intake, Limits};
    use crate::edge::request_log;
    use crate::edge::sources::{Key, Network};
    use axum::Router;
    use axum::body::Body;
    use axum::http::HeaderMap;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use tower_service::Service;

    #[test]
    fn what_the_ledger_or_the_books_say_is_no_refusal() {
        for code in [Code::NotJson, Code::NoSuchPath, Code::Unauthorized, Code::NotPermitted, Code::TooManyBankCalls] {
            assert!(is_refusal(code), "{code:?}");
        }
        for code in [Code::UnknownAccount, Code::InsufficientFunds, Code::Overloaded, Code::OutcomeUnknown] {
            assert!(!is_refusal(code), "{code:?}");
        }
    }

    /// As a gateway's edge is: whoever has a token is signed in.
    fn edge(calls: Router) -> Router {
        calls.layer(from_fn(over_http)).layer(from_fn(request_log::log))
    }

    #[tokio::test]
    async fn a_customer_who_is_refused_too_often_hinders_nobody_behind_the_same_address() {
        async fn pay(headers: HeaderMap) -> Response {
            if let Some(token) = headers.get("token") {
                request_log::note_caller(token.to_str().expect("a name"));
            }
            answer::problem(&Problem::new(Code::NotJson, "it is none"))
        }
        let intake = Intake::new(Limits { refusals_burst: 3, ..Limits::default() });
        let network = Key::of(None, Network::of([10, 0, 0, 1].into()));
        let connection = Connection::new(intake.sources().find(network), intake);
        let edge = edge(Router::new().route("/pay", post(pay)));
        let status = async |customer: Option<&str>| {
            let mut request = axum::http::Request::post("/pay").extension(connection.clone());
            if let Some(customer) = customer {
                request = request.header("token", customer);
            }
            let request = request.body(Body::empty()).expect("a request");
            edge.clone().call(request).await.expect("answered").status().as_u16()
        };
        for _ in 0..3 {
            assert_eq!(status(Some("alice@alpha")).await, 400);
        }
        assert_eq!(status(Some("alice@alpha")).await, 429);
        assert_eq!((status(Some("bob@alpha")).await, status(None).await), (400, 400));
    }
}
