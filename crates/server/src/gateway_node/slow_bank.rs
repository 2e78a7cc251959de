//! A bank's node for tests: one of its calls is slow.

use crate::edge::connections::{Intake, Limits, serve_grpc};
use crate::edge::drain::Drain;
use api::code::Code;
use api::problem::Problem;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response};
use axum::routing::post;
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Says yes, in gRPC, with a message that has no fields.
fn yes() -> Response<Body> {
    let mut ends = HeaderMap::new();
    ends.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(ends)];
    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, Infallible>)));
    let response = Response::builder().header("content-type", "application/grpc").body(Body::new(body));
    response.expect("a head")
}

/// A node that takes two seconds to refuse that call, and answers `Status` at once. Gives its address, and how many of the
/// slow calls it has had at once, at most.
pub(super) async fn slow_bank(call: &str) -> (String, Arc<AtomicUsize>) {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let refuse = async move || {
        most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(2)).await;
        now.fetch_sub(1, Ordering::Relaxed);
        Problem::new(Code::WrongCredentials, "name or password is wrong").to_status().into_http::<Body>()
    };
    let routes = Router::new()
        .route(&format!("/rialto.v1.Bank/{call}"), post(refuse))
        .route("/rialto.v1.Bank/Status", post(async || yes()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let intake = Intake::new(Limits::default());
    tokio::spawn(serve_grpc(vec![listener], routes, None, intake, Drain::default()));
    (address, seen)
}
