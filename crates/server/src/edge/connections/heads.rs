//! What cannot be read as a request over HTTP/1.1 is refused by hyper, with a status and nothing else. This puts our own
//! problem in its place.
//!
//! Such an answer is the last that is written on a connection, in one piece, and it says `content-length: 0`; none of our own
//! refusals is empty.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use api::code::Code;
use api::problem::{MEDIA_TYPE, Problem};

use super::seats::Seat;
use crate::edge::bounds::HEAD_BYTES_MAX;

/// A connection of HTTP/1.1 that refuses in our words.
pub(super) struct InWords<S> {
    stream: S,
    seat: Arc<Seat>,
    /// Our answer, and how much of it is written.
    ours: Vec<u8>,
    written: usize,
}

impl<S: AsyncWrite + Unpin> InWords<S> {
    pub(super) fn new(stream: S, seat: Arc<Seat>) -> InWords<S> {
        InWords { stream, seat, ours: Vec::new(), written: 0 }
    }

    fn poll_ours(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.ours.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.ours[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes an empty refusal in place of which ours will be written.
    fn is_taken(&mut self, bytes: &[u8]) -> bool {
        let Some(problem) = refused(bytes).filter(|_| !self.seat.has_unanswered()) else { return false };
        self.seat.lingers.store(true, Ordering::Relaxed);
        self.ours = closing_answer(&problem).into_bytes();
        self.written = 0;
        true
    }
}

/// The problem for which hyper has only a status.
fn refused(bytes: &[u8]) -> Option<Problem> {
    let text = std::str::from_utf8(bytes).ok()?;
    let status = text.strip_prefix("HTTP/1.1 ").or_else(|| text.strip_prefix("HTTP/1.0 "))?;
    if !text.contains("\r\ncontent-length: 0\r\n") || !text.ends_with("\r\n\r\n") || text.contains("\r\ncontent-type:")
    {
        return None;
    }
    match status.get(..3)? {
        "400" => Some(Problem::new(
            Code::MalformedRequest,
            "this is no request of HTTP/1.1: its first line or one of its headers cannot be read",
        )),
        "414" => Some(too_large("the address of the request")),
        "431" => Some(too_large("the head of the request")),
        _ => None,
    }
}

fn too_large(what: &str) -> Problem {
    let detail =
        format!("{what} is larger than the {} KiB that are taken, or has more than 100 headers", HEAD_BYTES_MAX >> 10);
    Problem::new(Code::HeadersTooLarge, detail).with("limit_bytes", HEAD_BYTES_MAX)
}

/// A whole answer after which the connection ends.
pub(super) fn closing_answer(problem: &Problem) -> String {
    let row = problem.code.row();
    let body = problem.to_json();
    let reason = axum::http::StatusCode::from_u16(row.http).ok().and_then(|status| status.canonical_reason());
    let retry = problem.retry_after_s().map_or_else(String::new, |wait_s| format!("retry-after: {wait_s}\r\n"));
    format!(
        "HTTP/1.1 {} {}\r\ncontent-type: {MEDIA_TYPE}\r\n{retry}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        row.http,
        reason.unwrap_or_default(),
        body.len()
    )
}

impl<S: AsyncRead + Unpin> AsyncRead for InWords<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for InWords<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_ours(cx))?;
        if self.is_taken(bytes) {
            // What was taken is written by the next flush, which follows every answer.
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_ours(cx))?;
        let mut some = slices.iter().filter(|slice| !slice.is_empty());
        if let (Some(only), None) = (some.next(), some.next())
            && self.is_taken(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_ours(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_ours(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_empty_refusals_are_replaced() {
        let of = |text: &str| refused(text.as_bytes()).map(|problem| problem.code);
        let empty = "\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n";
        assert_eq!(of(&format!("HTTP/1.1 431 Request Header Fields Too Large{empty}")), Some(Code::HeadersTooLarge));
        assert_eq!(of(&format!("HTTP/1.1 414 URI Too Long{empty}")), Some(Code::HeadersTooLarge));
        assert_eq!(of(&format!("HTTP/1.1 400 Bad Request{empty}")), Some(Code::MalformedRequest));
        assert_eq!(of(&format!("HTTP/1.1 200 OK{empty}")), None);
        assert_eq!(of("HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n\r\n{}"), None);
    }
}
