//! A request over HTTP as the handlers see it: its headers, its query, and its body, whole, bounded and in time.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap};
use axum::http::{HeaderValue, Method};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use api::code::Code;
use api::problem::Problem;

use super::answer::Refusal;
use super::connections::Refused;
use super::framing::compressed_problem;
use super::in_flight::{Charge, Full};
use super::request_log;

/// Largest JSON body.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Largest JSON body of a batch.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

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
        admit(&parts.headers, MAX)?;
        let charge = parts.extensions.get::<Arc<Charge>>();
        let body = read_whole(body, MAX, charge.map(Arc::as_ref)).await?;
        if !body.is_empty() && parts.method != Method::GET && !is_json(parts.headers.get(CONTENT_TYPE)) {
            return Err(not_json(parts.headers.get(CONTENT_TYPE)).into());
        }
        if !body.is_empty() && tracing::enabled!(target: "requests", tracing::Level::DEBUG) {
            request_log::request(parts.uri.path(), &Shown::of(&body));
        }
        Ok(Call { query: parts.uri.query().unwrap_or_default().to_owned(), headers: parts.headers, body })
    }
}

/// A body as a log may show it: without what is secret.
pub(super) struct Shown(Option<serde_json::Value>);

impl Shown {
    pub(super) fn of(body: &[u8]) -> Shown {
        let mut value = serde_json::from_slice(body).ok();
        value.iter_mut().for_each(hide);
        Shown(value)
    }
}

/// Members that hold a secret, wherever they are.
const SECRET: [&str; 3] = ["password", "password_hash", "access_token"];

fn hide(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                if SECRET.contains(&name.as_str()) { *value = "hidden".into() } else { hide(value) }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(value) => write!(f, "{value}"),
            None => f.write_str("no JSON"),
        }
    }
}

/// Looks at what the head says of the body. Whoever asks first whether to send it (`Expect: 100-continue`) is answered before
/// anything was sent: that comes with the first look for the body.
fn admit(headers: &HeaderMap, max: usize) -> Result<(), Problem> {
    if let Some(encoding) =
        headers.get(CONTENT_ENCODING).filter(|encoding| !encoding.is_empty() && *encoding != "identity")
    {
        return Err(compressed_problem(&format!("the Content-Encoding is {encoding:?}")));
    }
    let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let asks = headers.get(EXPECT).is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    match declared {
        Some(declared) if asks && declared > max as u64 => Err(too_large(max)),
        // Whoever sends without asking hears of it better once that is read: see `discard`.
        Some(_) | None => Ok(()),
    }
}

async fn read_whole(mut body: Body, max: usize, charge: Option<&Charge>) -> Result<Bytes, Problem> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if whole.len() + data.len() > max {
            discard(body, whole.len() + data.len()).await;
            return Err(too_large(max));
        }
        charge.map_or(Ok(()), |charge| charge.grow(data.len())).map_err(Full::problem)?;
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}

/// Why a body did not come: ours to say where we stopped reading it.
fn broken(error: axum::Error) -> Problem {
    match error.into_inner().downcast::<Refused>() {
        Ok(refused) => refused.problem,
        Err(error) => {
            let detail = format!("the request broke off before its body was complete: {error}");
            Problem::new(Code::BrokenRequest, detail)
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_hidden_wherever_it_is_and_the_rest_is_shown() {
        let shown = |text: &str| format!("{:?}", Shown::of(text.as_bytes()));
        let body = r#"{"username":"alice","password":"p4ss","list":[{"access_token":"t0ken","amount":"1.00"}]}"#;
        let text = shown(body);
        assert!(!text.contains("p4ss") && !text.contains("t0ken"), "{text}");
        assert!(text.contains("alice") && text.contains("1.00"), "{text}");
        assert_eq!(shown("password=p4ss"), "no JSON");
    }
}
