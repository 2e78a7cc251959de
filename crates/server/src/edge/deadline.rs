//! How long a caller waits: the header `grpc-timeout` of every call (gRPC over HTTP/2,
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>). Work for whoever has gone would hold its place for nothing.
//!
//! What a call had proposed by then goes on, as everything does that is in the log: so a call that is given up ends as
//! unknown, never as failed.

use api::code::Code;
use api::problem::Problem;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use std::time::Duration;

const HEADER: &str = "grpc-timeout";
/// Whoever gives no time gets this much, and nobody more: longer than anything here waits by itself.
const LONGEST: Duration = Duration::from_secs(90);

/// The layer.
pub(crate) async fn keep(request: Request, next: Next) -> Response {
    let patience = request.headers().get(HEADER).and_then(parse).map_or(LONGEST, |given| given.min(LONGEST));
    match tokio::time::timeout(patience, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = "the caller's time ran out; what was proposed by then may be done: repeat the call as it is";
            Problem::new(Code::OutcomeUnknown, detail).to_status().into_http()
        }
    }
}

/// At most eight digits and a unit; anything else is as good as nothing.
pub(crate) fn parse(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3_600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use tower_service::Service;

    #[test]
    fn the_headers_of_grpc_are_read_and_others_are_nothing() {
        let of = |text: &str| parse(&HeaderValue::from_str(text).expect("a header"));
        let good = [("1H", 3_600_000_000), ("2M", 120_000_000), ("3S", 3_000_000), ("1500m", 1_500_000), ("7u", 7)];
        for (text, micros) in good {
            assert_eq!(of(text), Some(Duration::from_micros(micros)), "{text}");
        }
        assert_eq!(of("500n"), Some(Duration::from_nanos(500)));
        for bad in ["", "S", "1", "1s", "-1S", "1.5S", "123456789S", "ä"] {
            assert_eq!(HeaderValue::from_bytes(bad.as_bytes()).ok().as_ref().and_then(parse), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_call_ends_with_its_callers_time_and_then_as_unknown() {
        let never = || async { std::future::pending::<&'static str>().await };
        let mut app = Router::new().route("/call", post(never)).layer(from_fn(keep));
        let call = axum::http::Request::post("/call").header(HEADER, "20m").body(Body::empty()).expect("a request");
        let answer = app.call(call).await.expect("it is answered");
        let status = tonic::Status::from_header_map(answer.headers()).expect("a status");
        assert_eq!(Problem::code_of(&status), Some(Code::OutcomeUnknown));
    }
}
