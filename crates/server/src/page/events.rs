//! `GET /events`: server-sent events, first the two minutes before, then every snapshot that the reader is quick enough for.
//!
//! Snapshots come at least twice a second while a page is open, so there is no other sign of life, and a page that hears
//! nothing for some seconds may take the connection for lost. Reconnecting is the page's work.

use std::convert::Infallible;
use std::future::ready;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};

use api::code::Code;
use api::problem::Problem;

use super::feed::{Feed, STREAMS_MAX};
use crate::edge::answer;

const RETRY_MS: u64 = 2000;

pub(super) async fn events(State(feed): State<Feed>) -> Response {
    let Ok(place) = feed.streams.clone().try_acquire_owned() else { return no_place() };
    let before = feed.seconds.borrow().clone();
    let mut snapshots = feed.snapshots.clone();
    // The newest may be as old as the last page that was open; the next one is at most half a second away.
    snapshots.mark_unchanged();
    // The place is given back with the stream, when the page closes its connection or the publisher is gone.
    let live = stream::unfold((snapshots, place), |(mut snapshots, place)| async move {
        snapshots.changed().await.ok()?;
        let newest = snapshots.borrow_and_update().clone();
        Some((newest, (snapshots, place)))
    });
    let body = Body::from_stream(stream::once(ready(before)).chain(live).map(Ok::<_, Infallible>));
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        // Proxies that gather an answer before they pass it on would hold the page still.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

fn no_place() -> Response {
    let detail = format!(
        "{STREAMS_MAX} pages of this node are open, and it serves no more; open the page of another node, or close one"
    );
    answer::problem(&Problem::new(Code::TooManyConnections, detail).retry_after_ms(RETRY_MS))
}
