//! The web page of a bank node: its files, and the stream of snapshots that keeps it live.
//!
//! ```text
//!   node loop ── Publisher::publish ──► watch (the newest only) ──► GET /events, one stream a page
//!                                                                   GET /, /assets/…   embedded files
//! ```
//!
//! The page reads and moves money through the same HTTP calls as everybody else; nothing here touches the ledger. A
//! snapshot is made into text once, whoever many read it, and a reader that is slow misses snapshots instead of making
//! the node remember them. Streams are bounded; one more than that is refused, and the page tries again by itself.
//!
//! Everything is served under a Content-Security-Policy that allows only these files: no inline script, no markup made
//! from strings (Trusted Types), no framing, no form that leaves the page.

mod assets;
mod events;
mod feed;
mod history;
mod snapshot;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;

pub use feed::{Feed, Publisher, STREAMS_MAX, feed};
pub use snapshot::{Changed, Health, LatestTransfer, Money, NodeCard, Party, Role, Snapshot};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// `GET /`, `GET /assets/{name}` and `GET /events`, to be merged with the other routes of a node.
pub fn router<S: Clone + Send + Sync + 'static>(feed: Feed) -> Router<S> {
    Router::new()
        .route("/", get(assets::index))
        .route("/assets/{name}", get(assets::asset))
        .route("/events", get(events::events))
        .layer(map_response(guarded))
        .with_state(feed)
}

async fn guarded(mut response: Response) -> Response {
    let same_origin = HeaderValue::from_static("same-origin");
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), same_origin.clone());
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), same_origin);
    response
}

#[cfg(test)]
mod tests;
