//! One HTTP request over a fresh connection, with nothing but the standard library.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::Value;

use crate::network::until;

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

/// What a machine that is too busy answers: nothing was changed, and it may be sent again.
pub(crate) const BUSY: [&str; 3] = ["unavailable", "bank_unavailable", "bank_busy"];

/// The first answer that is none of a busy machine.
pub(crate) fn until_not_busy(send: impl Fn() -> std::io::Result<(u16, String)>) -> (u16, String) {
    until("somebody has time to answer", || {
        let (status, text) = send().expect("an answer");
        let code = serde_json::from_str::<Value>(&text).map(|body| body["code"].clone()).unwrap_or_default();
        let is_busy = status >= 400 && code.as_str().is_some_and(|code| BUSY.contains(&code));
        (!is_busy).then_some((status, text))
    })
}

/// Status and body; `Err` when no whole answer came.
pub(crate) fn call(method: &str, url: &str, body: Option<&Value>) -> std::io::Result<(u16, String)> {
    Request { method, url, body, token: None, key: None, patience: PATIENCE }.send()
}

impl Request<'_> {
    pub(crate) fn send(&self) -> std::io::Result<(u16, String)> {
        self.exchange(|_| Ok(()))
    }

    /// Sent again while the answer is that somebody is too busy: then nothing was changed.
    pub(crate) fn settled(&self) -> (u16, String) {
        until_not_busy(|| self.send())
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
