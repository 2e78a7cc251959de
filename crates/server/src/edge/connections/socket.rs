//! A socket that notes when bytes move, gives up a peer that takes nothing, and lets a peer close its sending side early.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::seats::Seat;
use crate::edge::bounds::LINGER;

/// The socket itself.
pub(super) struct Watched {
    stream: TcpStream,
    seat: Arc<Seat>,
    stall_timeout: Duration,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, seat: Arc<Seat>, stall_timeout: Duration) -> Watched {
        Watched { stream, seat, stall_timeout, stalled: None }
    }

    /// What a write came to: a peer that has taken nothing for too long is gone.
    fn written(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if polled.is_ready() {
            self.seat.hear();
            self.stalled = None;
            return polled;
        }
        let timeout = self.stall_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let heard = buf.filled().len() - before;
        if heard > 0 {
            self.seat.hear_bytes(heard);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A connection whose peer may have closed its sending side (`shutdown(SHUT_WR)`, or TLS's close_notify) and still waits for
/// answers. Closing it waits a moment for a peer that still sends: else the answer would be lost with what it sent.
///
/// HTTP/1.1 knows what to do about a peer's end. HTTP/2 drops all that it has not answered or written, so there the end is told
/// only when nothing is unanswered any more, and a moment later. Whoever is gone altogether is known when something is written
/// to it.
pub(super) struct HalfClosed<S> {
    stream: S,
    seat: Arc<Seat>,
    tells: Tells,
    ended: bool,
    /// Runs while nothing is unanswered.
    telling: Option<Pin<Box<Sleep>>>,
    closing: Closing,
}

/// When the peer's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tells {
    AtOnce,
    WhenAnswered,
}

enum Closing {
    NotYet,
    Lingers(Pin<Box<Sleep>>),
}

/// Enough for requests that were read with the end to be begun, and for what is in the buffers of HTTP/2 to be written.
const TELLING: Duration = Duration::from_millis(500);

impl<S> HalfClosed<S> {
    pub(super) fn new(stream: S, seat: Arc<Seat>, tells: Tells) -> HalfClosed<S> {
        HalfClosed { stream, seat, tells, ended: false, telling: None, closing: Closing::NotYet }
    }

    /// The peer has sent its last byte: this is ready when it may be told.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.tells == Tells::AtOnce {
            return Poll::Ready(Ok(()));
        }
        self.seat.answered.register(cx.waker());
        if self.seat.has_unanswered() {
            self.telling = None;
            return Poll::Pending;
        }
        let telling = self.telling.get_or_insert_with(|| Box::pin(sleep(TELLING)));
        telling.as_mut().poll(cx).map(Ok)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HalfClosed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ended {
            return self.poll_end(cx);
        }
        let before = buf.filled().len();
        match ready!(Pin::new(&mut self.stream).poll_read(cx, buf)) {
            // In TLS an end without farewell: requests know their own length, so nothing can be cut off unseen.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Poll::Ready(Err(error)),
            Ok(()) if buf.filled().len() > before || buf.remaining() == 0 => return Poll::Ready(Ok(())),
            Ok(()) | Err(_) => {}
        }
        self.ended = true;
        self.poll_end(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for HalfClosed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Closing::NotYet = this.closing {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if this.ended || !this.seat.lingers.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            this.closing = Closing::Lingers(Box::pin(sleep(LINGER)));
        }
        let Closing::Lingers(until) = &mut this.closing else { return Poll::Ready(Ok(())) };
        let mut thrown_away = [0; 8 << 10];
        while until.as_mut().poll(cx).is_pending() {
            let mut rest = ReadBuf::new(&mut thrown_away);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut rest)) {
                Ok(()) if !rest.filled().is_empty() => {}
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
