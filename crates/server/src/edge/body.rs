//! A request over HTTP as the handlers see it: its headers, its query, and its body, whole, bounded and in time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::http::{HeaderValue, Method};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use api::code::Code;
use api::problem::Problem;

use super::answer::Refusal;

/// Largest JSON body.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Largest JSON body of a batch.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// A body that is too large is read on to here and thrown away: closing at once would cut off the answer that says why.
const DISCARDED_BYTES_MAX: usize = 64 << 20;

/// One request with a body of at most `MAX` bytes. A POST with a body must declare it as JSON, which a web page of
/// elsewhere cannot do without asking; reading is harmless, so a GET need not.
#[derive(Debug)]
pub struct Call<const MAX: usize = BODY_BYTES_MAX> {
    pub headers: HeaderMap,
    pub query: String,
    pub body: Bytes,
}

/// A call of a whole batch.
pub type BatchCall = Call<BATCH_BYTES_MAX>;

impl<const MAX: usize> Call<MAX> {
    /// The body as one JSON object.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        api::json::read(&self.body)
    }

    /// The body as one JSON object, or its default when there is no body.
    pub fn json_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, Problem> {
        if self.body.is_empty() { Ok(T::default()) } else { self.json() }
    }

    /// Checks that nothing was sent: an absent body, or `{}`.
    pub fn nothing(&self) -> Result<(), Problem> {
        self.json_or_default::<Nothing>().map(drop)
    }

    /// The query string as a struct of optional texts.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        api::json::read_query(&self.query)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "no body, or {}")]
struct Nothing {}

impl<S: Send + Sync, const MAX: usize> FromRequest<S> for Call<MAX> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Call<MAX>, Refusal> {
        let (parts, body) = request.into_parts();
        let body = match tokio::time::timeout(BODY_TIMEOUT, read_whole(body, MAX)).await {
            Ok(read) => read?,
            Err(_) => return Err(late().into()),
        };
        if !body.is_empty() && parts.method != Method::GET && !is_json(parts.headers.get(CONTENT_TYPE)) {
            return Err(not_json(parts.headers.get(CONTENT_TYPE)).into());
        }
        Ok(Call { query: parts.uri.query().unwrap_or_default().to_owned(), headers: parts.headers, body })
    }
}

async fn read_whole(mut body: Body, max: usize) -> Result<Bytes, Problem> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::new(Code::BrokenRequest, format!("the request broke off before its body was complete: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > max {
            discard(body, whole.len() + data.len()).await;
            return Err(too_large(max));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}

async fn discard(mut body: Body, mut read: usize) {
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > DISCARDED_BYTES_MAX {
            return;
        }
    }
}

fn is_json(content_type: Option<&HeaderValue>) -> bool {
    let declared = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = declared.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

fn not_json(content_type: Option<&HeaderValue>) -> Problem {
    let declared = content_type.map_or("nothing".into(), |value| format!("{value:?}"));
    Problem::new(
        Code::NotApplicationJson,
        format!("the body is declared as {declared}; send the header Content-Type: application/json"),
    )
}

fn too_large(max: usize) -> Problem {
    let detail = format!("the body is larger than the {} MiB that this call takes; send less at once", max >> 20);
    Problem::new(Code::BodyTooLarge, detail).with("limit_bytes", max)
}

fn late() -> Problem {
    let detail = format!("the body was not complete after {} seconds; nothing was changed", BODY_TIMEOUT.as_secs());
    Problem::new(Code::RequestTimeout, detail)
}
