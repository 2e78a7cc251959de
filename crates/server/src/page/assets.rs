//! The page's files, embedded: the binary is all that a node needs.
//!
//! Each has a tag made from its bytes at build time, so a browser asks again and is told "unchanged"; a node of a newer
//! version is believed at once.

use api::code::Code;
use api::problem::Problem;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::edge::answer;
use crate::edge::in_path::InPath;

/// One embedded file.
pub(super) struct Asset {
    pub(super) name: &'static str,
    media_type: &'static str,
    pub(super) bytes: &'static [u8],
    hash: u64,
}

macro_rules! assets {
    ($($name:literal $media_type:literal)*) => {
        &[$({
            const BYTES: &[u8] = include_bytes!(concat!("assets/", $name));
            Asset { name: $name, media_type: $media_type, bytes: BYTES, hash: fnv1a(BYTES) }
        }),*]
    };
}

/// Every file of the page; the first is the page itself.
pub(super) static ASSETS: &[Asset] = assets! {
    "index.html" "text/html; charset=utf-8"
    "page.css" "text/css; charset=utf-8"
    "page.js" "text/javascript; charset=utf-8"
    "accounts.js" "text/javascript; charset=utf-8"
    "actions.js" "text/javascript; charset=utf-8"
    "calls.js" "text/javascript; charset=utf-8"
    "choose.js" "text/javascript; charset=utf-8"
    "elements.js" "text/javascript; charset=utf-8"
    "figures.js" "text/javascript; charset=utf-8"
    "form.js" "text/javascript; charset=utf-8"
    "live.js" "text/javascript; charset=utf-8"
    "money.js" "text/javascript; charset=utf-8"
    "nodes.js" "text/javascript; charset=utf-8"
    "unsettled.js" "text/javascript; charset=utf-8"
    "icon.svg" "image/svg+xml"
};

/// `GET /`.
pub(super) async fn index(headers: HeaderMap) -> Response {
    serve(&ASSETS[0], &headers)
}

/// `GET /assets/{name}`. Names are looked up, never joined to a path.
pub(super) async fn asset(InPath(name): InPath, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => serve(asset, &headers),
        None => answer::problem(&Problem::new(Code::NoSuchPath, "the page has no such file")),
    }
}

fn serve(asset: &'static Asset, headers: &HeaderMap) -> Response {
    let tag = format!("\"{:016x}\"", asset.hash);
    let known = headers.get(IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let caching = [(ETAG, tag), (CACHE_CONTROL, "no-cache".to_owned())];
    if known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(CONTENT_TYPE, asset.media_type)], asset.bytes).into_response()
}

/// FNV-1a, 64 bits: enough to tell two versions of a file apart, and it runs while compiling.
const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}
