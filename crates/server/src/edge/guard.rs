//! Who may call at all, before any handler runs.
//!
//! On loopback there is no sign-in, so the danger is a web page of elsewhere that makes the user's browser call us. The
//! Host must name this machine (a page that rebinds its own name to 127.0.0.1 sends its own name), an Origin must be the
//! very address that is called, and a body must be declared as JSON (`body`), which a page of elsewhere cannot do without
//! asking first. With an operator token every call must carry it; whoever has it may call by any name.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, Method};

use api::code::Code;
use api::problem::Problem;

use super::rejections::Rejections;

/// What is checked on every call.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    token: Option<OperatorToken>,
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
        Guard { token, rejections: Arc::default() }
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
    fn an_empty_token_is_none() {
        assert!(OperatorToken::new(" \n").is_none());
    }
}
