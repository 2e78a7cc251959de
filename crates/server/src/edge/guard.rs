//! Who may call at all, before any handler runs.
//!
//! On loopback there is no sign-in, so the danger is a web page of elsewhere that makes the user's browser call us. The
//! Host must name this machine (a page that rebinds its own name to 127.0.0.1 sends its own name), an Origin must be the
//! very address that is called, and a body must be declared as JSON (`body`), which a page of elsewhere cannot do without
//! asking first. With an operator token every call must carry it; whoever has it may call by any name.
//!
//! A call that names the cluster it is meant for ([`CLUSTER_HEADER`]) is refused by a node of another one: addresses are
//! reused, and a command that waits must not act on whoever is founded there meanwhile.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::Response;
use uuid::Uuid;

use api::cluster::CLUSTER_HEADER;
use api::code::Code;
use api::problem::Problem;

use super::rejections::Rejections;

/// What is checked on every call.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    token: Option<OperatorToken>,
    cluster: Option<Uuid>,
    rejections: Arc<Rejections>,
}

/// The operator's secret, kept as its hash and never printed.
#[derive(Clone)]
pub struct OperatorToken(blake3::Hash);

impl std::fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OperatorToken(hidden)")
    }
}

impl OperatorToken {
    /// The token as it stands in its file; white space around it is not part of it. `None` when nothing is left.
    pub fn new(text: &str) -> Option<OperatorToken> {
        let token = text.trim();
        (!token.is_empty()).then(|| OperatorToken(blake3::hash(token.as_bytes())))
    }

    /// Compares hashes, in constant time: neither length nor a common beginning can be felt out.
    fn matches(&self, offered: &str) -> bool {
        self.0 == blake3::hash(offered.as_bytes())
    }
}

impl Guard {
    /// Without a token only calls to this machine by its loopback names are let in.
    pub fn new(token: Option<OperatorToken>) -> Guard {
        Guard { token, cluster: None, rejections: Arc::default() }
    }

    /// The guard of a node of that cluster: it refuses calls that are meant for another one.
    #[must_use]
    pub fn of_cluster(self, cluster: u128) -> Guard {
        Guard { cluster: Some(Uuid::from_u128(cluster)), ..self }
    }

    /// Refuses a call that names another cluster than this node's. Most callers name none.
    ///
    /// # Errors
    /// When it names another one, or what it names is no cluster's number.
    pub fn admit_cluster(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let (Some(own), Some(given)) = (self.cluster, headers.get(CLUSTER_HEADER)) else { return Ok(()) };
        let named = given.to_str().ok().and_then(|text| Uuid::parse_str(text.trim()).ok());
        let detail = match named {
            Some(named) if named == own => return Ok(()),
            Some(named) => format!("the call is meant for cluster {named}, and this node is of cluster {own}"),
            None => {
                format!("{CLUSTER_HEADER} holds no cluster's number, which is a UUID; this node is of cluster {own}")
            }
        };
        Err(Problem::new(Code::OtherCluster, detail).with("cluster", own.to_string()))
    }

    /// Says in an answer which cluster gave it.
    #[expect(clippy::expect_used, reason = "a UUID is plain ASCII")]
    pub fn sign(&self, response: &mut Response) {
        let Some(own) = self.cluster else { return };
        let value = HeaderValue::try_from(own.to_string()).expect("a UUID is plain ASCII");
        response.headers_mut().insert(HeaderName::from_static(CLUSTER_HEADER), value);
    }

    /// The budget of rejections that this scope's callers share.
    pub fn rejections(&self) -> &Rejections {
        &self.rejections
    }

    /// The scope of idempotency keys: callers of one scope share their keys.
    pub fn scope(&self) -> &'static str {
        match self.token {
            Some(_) => "operator",
            None => "local",
        }
    }

    /// Checks token, Host and Origin of a call over HTTP.
    pub fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        match &self.token {
            Some(token) => self.admit_bearer(token, headers),
            None => admit_local(headers),
        }
    }

    /// Checks an operator's request. With a token anybody may have the page's own files, which hold nothing: the page then
    /// asks for the token.
    pub fn admit_to(&self, request: &Request) -> Result<(), Problem> {
        match self.admit(request.headers()) {
            Err(_) if self.token.is_some() && is_page_file(request) => Ok(()),
            admitted => admitted,
        }
    }

    /// Checks a request of whoever has no operator's token to show: without one on this node only this machine may call at
    /// all.
    pub fn admit_stranger(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.token.is_some() { Ok(()) } else { admit_local(headers) }
    }

    /// Whether there is a token to be shown.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Checks the token only: browsers cannot speak gRPC over plain HTTP/2, so there is no page to fear.
    pub fn admit_grpc(&self, headers: &HeaderMap) -> Result<(), Problem> {
        self.token.as_ref().map_or(Ok(()), |token| self.admit_bearer(token, headers))
    }

    fn admit_bearer(&self, token: &OperatorToken, headers: &HeaderMap) -> Result<(), Problem> {
        let offered = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
        match offered {
            Some(offered) if token.matches(offered) => Ok(()),
            Some(_) => Err(Problem::new(Code::Unauthorized, "the operator token is not the one of this node")),
            None => Err(Problem::new(
                Code::Unauthorized,
                "this node wants an operator token; send the header Authorization: Bearer <token>",
            )),
        }
    }
}

/// Refuses a request that names more than one host: whoever passed it on may have gone by another one than this node does.
///
/// # Errors
/// When there are two headers Host, or one that differs from the host in the request's target (RFC 9112, section 3.2).
pub fn admit_host(request: &Request) -> Result<(), Problem> {
    let refused = |detail: String| Err(Problem::new(Code::MalformedRequest, detail));
    let mut hosts = request.headers().get_all(HOST).iter().map(|host| host.to_str().unwrap_or("?"));
    match (request.uri().authority(), hosts.next(), hosts.next()) {
        (_, Some(_), Some(_)) => refused("the request has two headers Host; send one".to_owned()),
        // A CONNECT names where to go and not whom it asks; nothing is at such a target.
        (Some(authority), Some(host), None)
            if request.method() != Method::CONNECT && !authority.as_str().eq_ignore_ascii_case(host) =>
        {
            refused(format!("the request's target names {authority}, and its Host {host:?}; send the same in both"))
        }
        (_, _, None) | (None, None, Some(_)) | (Some(_), None, Some(_)) => Ok(()),
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn admit_local(headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_loopback(host) {
        let detail = format!("the Host {host:?} is not this machine; use 127.0.0.1, [::1] or localhost in the address");
        return Err(Problem::new(Code::ForbiddenHost, detail));
    }
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    if origin.strip_prefix("http://").is_some_and(|authority| authority.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    Err(Problem::new(Code::ForbiddenOrigin, format!("a page from {origin:?} may not call a bank at http://{host}")))
}

/// Whether an authority (`host[:port]`) names this machine's loopback.
fn is_loopback(authority: &str) -> bool {
    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => (&authority[..colon], &authority[colon + 1..]),
        _ => (authority, "80"),
    };
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok_and(|address| address.is_loopback()),
        None => {
            host.eq_ignore_ascii_case("localhost")
                || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

fn is_page_file(request: &Request) -> bool {
    let path = request.uri().path();
    request.method() == Method::GET && (path == "/" || path.starts_with("/assets/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(rows: &[(&'static str, &str)]) -> HeaderMap {
        rows.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    fn refused(guard: &Guard, rows: &[(&'static str, &str)]) -> Option<Code> {
        guard.admit(&headers(rows)).err().map(|problem| problem.code)
    }

    #[test]
    fn a_request_names_one_host() {
        let refused = |method: &str, target: &str, hosts: &[&str]| {
            let request = hosts.iter().fold(Request::builder(), |request, host| request.header(HOST, *host));
            let request = request.method(method).uri(target).body(axum::body::Body::empty()).expect("a request");
            admit_host(&request).err().map(|problem| problem.code)
        };
        let here = "127.0.0.1:7101";
        for (target, hosts) in [
            ("/v1/status", [here].as_slice()),
            ("/v1/status", &[]),
            ("http://127.0.0.1:7101/v1/status", &[here]),
            ("http://LOCALHOST:7101/v1/status", &["localhost:7101"]),
            ("http://127.0.0.1:7101/v1/status", &[]),
        ] {
            assert_eq!(refused("GET", target, hosts), None, "{target} {hosts:?}");
        }
        for (target, hosts) in [
            ("/v1/status", [here, "evil.example"].as_slice()),
            ("/v1/status", &["evil.example", here]),
            ("/v1/status", &[here, here]),
            ("http://evil.example/v1/status", &[here]),
            ("http://127.0.0.1:7101/v1/status", &["evil.example"]),
        ] {
            assert_eq!(refused("GET", target, hosts), Some(Code::MalformedRequest), "{target} {hosts:?}");
        }
        assert_eq!(refused("CONNECT", "evil.example:443", &[here]), None, "nothing is there");
    }

    #[test]
    fn only_loopback_names_are_this_machine() {
        let local = Guard::default();
        for host in ["127.0.0.1:7101", "localhost", "LOCALHOST:7100", "[::1]:7101", "127.8.8.8:1"] {
            assert_eq!(refused(&local, &[("host", host)]), None, "{host}");
        }
        for host in [
            "",
            "evil.example:7101",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "[::2]:1",
            "127.0.0.1:x",
        ] {
            assert_eq!(refused(&local, &[("host", host)]), Some(Code::ForbiddenHost), "{host}");
        }
    }

    #[test]
    fn only_the_banks_own_page_may_call() {
        let local = Guard::default();
        let host = ("host", "127.0.0.1:7101");
        assert_eq!(refused(&local, &[host, ("origin", "http://127.0.0.1:7101")]), None);
        for origin in ["http://evil.example", "null", "http://127.0.0.1:7102", "https://127.0.0.1:7101", ""] {
            assert_eq!(refused(&local, &[host, ("origin", origin)]), Some(Code::ForbiddenOrigin), "{origin}");
        }
    }

    #[test]
    fn with_a_token_every_call_must_carry_it() {
        let guarded = Guard::new(OperatorToken::new("secret\n"));
        let host = ("host", "bank.example");
        assert_eq!(refused(&guarded, &[host, ("authorization", "Bearer secret")]), None);
        assert_eq!(refused(&guarded, &[host, ("authorization", "bearer secret")]), None);
        for wrong in ["Bearer secre", "Bearer secret2", "Basic secret", "secret", "Bearer "] {
            assert_eq!(refused(&guarded, &[host, ("authorization", wrong)]), Some(Code::Unauthorized), "{wrong}");
        }
        assert_eq!(refused(&guarded, &[host]), Some(Code::Unauthorized));
        let printed = format!("{guarded:?}");
        assert!(printed.starts_with("Guard { token: Some(OperatorToken(hidden))"), "{printed}");
        assert!(!printed.contains("secret"), "{printed}");
    }

    #[test]
    fn a_call_for_another_cluster_is_refused_and_one_that_names_none_is_not() {
        let (own, other) = (Uuid::from_u128(5), Uuid::from_u128(6));
        let guard = Guard::default().of_cluster(5);
        let named =
            |text: &str| guard.admit_cluster(&headers(&[(CLUSTER_HEADER, text)])).err().map(|problem| problem.code);
        assert_eq!(named(&own.to_string()), None);
        assert_eq!(named(&own.to_string().to_uppercase()), None);
        for wrong in [other.to_string(), "alpha".to_owned(), String::new()] {
            assert_eq!(named(&wrong), Some(Code::OtherCluster), "{wrong}");
        }
        assert!(guard.admit_cluster(&headers(&[])).is_ok());
    }

    #[test]
    fn an_empty_token_is_none() {
        assert!(OperatorToken::new(" \n").is_none());
    }
}
