//! One HTTP request over a fresh connection, with nothing but the standard library.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    pub(crate) body: Option<&'a Value>,
    /// The operator's token, where the node wants one.
    pub(crate) token: Option<&'a str>,
    /// `Idempotency-Key`.
    pub(crate) key: Option<&'a str>,
    /// For the connection, and for each piece of the answer.
    pub(crate) patience: Duration,
}

/// Status and body; `Err` when no whole answer came.
pub(crate) fn call(method: &str, url: &str, body: Option<&Value>) -> std::io::Result<(u16, String)> {
    Request { method, url, body, token: None, key: None, patience: PATIENCE }.send()
}

impl Request<'_> {
    pub(crate) fn send(&self) -> std::io::Result<(u16, String)> {
        self.exchange(|_| Ok(()))
    }

    /// The same of a caller that closes its sending side behind the request.
    pub(crate) fn send_and_close_sending_side(&self) -> std::io::Result<(u16, String)> {
        self.exchange(|stream| stream.shutdown(Shutdown::Write))
    }

    fn exchange(&self, after: impl FnOnce(&TcpStream) -> std::io::Result<()>) -> std::io::Result<(u16, String)> {
        let rest = self.url.strip_prefix("http://").expect("plain http");
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/" } else { path };
        let body = self.body.map(Value::to_string).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        let token = self.token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let key = self.key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
        let address = authority.to_socket_addrs()?.next().expect("addresses of tests are numbers");
        let mut stream = TcpStream::connect_timeout(&address, self.patience)?;
        stream.set_read_timeout(Some(self.patience))?;
        write!(
            stream,
            "{} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n{kind}{token}{key}content-length: {}\r\n\r\n{body}",
            self.method,
            body.len()
        )?;
        after(&stream)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let broken = || std::io::Error::other(format!("no whole answer: {answer:?}"));
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(broken)?;
        Ok((status, body.to_owned()))
    }
}
