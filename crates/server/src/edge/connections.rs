//! Who may be connected, and for how long: the accept loop of both wires.
//!
//! Ten thousand connections that say nothing must not keep out the one that does. So a listener seats a bounded number;
//! when all seats are taken, the connection that has been silent longest, and has no request in progress, gives up its
//! seat. Only when every seat is at work is a newcomer refused, with an answer that says so. Headers must arrive within
//! a time, bodies too (see `body`), and HTTP/2 peers must answer pings.
//!
//! A panic of a handler becomes an answer with the code `internal`: a caller never sees a bare 500 or a cut line.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use certs::Subject;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tower_service::Service;

use api::code::Code;
use api::problem::Problem;

use super::answer;
use super::tls::{Asks, Door};

/// How the two wires bound their callers.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections of one listener. The sum of all listeners stays below the process's limit of open files.
    pub connections_max: usize,
    /// The head of a request must be complete this long after the connection was made or the last answer was given;
    /// so this is also how long an HTTP connection may idle.
    pub header_timeout: Duration,
    /// How long connections may finish what they do once the node stops.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: connections_within(open_files_max()),
            header_timeout: Duration::from_secs(20),
            drain_timeout: Duration::from_secs(3),
        }
    }
}

/// Most connections of a listener, whatever the process may open.
const CONNECTIONS_MAX: usize = 4096;
/// Open files that are left to the log, the journal and the peers: callers must never take those.
const FILES_RESERVED: usize = 256;

/// Two listeners share what the process may open beyond its own files.
fn connections_within(open_files_max: usize) -> usize {
    (open_files_max.saturating_sub(FILES_RESERVED) / 2).clamp(16, CONNECTIONS_MAX)
}

/// The process's limit of open files, as the kernel tells it; the usual 1,024 where it does not.
fn open_files_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    match line.and_then(|line| line.split_whitespace().next()) {
        Some("unlimited") => usize::MAX,
        soft => soft.and_then(|soft| soft.parse().ok()).unwrap_or(1024),
    }
}

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    /// HTTP/1.1, for people and programs.
    Http,
    /// gRPC over HTTP/2 without upgrade.
    Grpc,
}

/// Largest head of a request over HTTP/1.1, and at once the read buffer.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Refused callers that are told so at the same time; more are simply closed.
const REFUSALS_AT_ONCE_MAX: usize = 64;

/// Serves HTTP until `stop` turns true, then lets open requests end within [`Limits::drain_timeout`]. With a certificate of
/// this node it is HTTPS, for callers without certificates.
pub async fn serve_http(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<certs::Server>>,
    limits: Limits,
    stop: watch::Receiver<bool>,
) {
    let door = tls.map(|tls| Door::new(tls, Asks::Nothing));
    accept(listener, Served { router, wire: Wire::Http, door, limits }, stop).await;
}

/// The same for gRPC. Over TLS callers show certificates, and each request carries its caller, a verified
/// [`certs::Subject`], in its extensions.
pub async fn serve_grpc(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<certs::Server>>,
    limits: Limits,
    stop: watch::Receiver<bool>,
) {
    let door = tls.map(|tls| Door::new(tls, Asks::WhoCalls));
    accept(listener, Served { router, wire: Wire::Grpc, door, limits }, stop).await;
}

/// What is behind a listener.
#[derive(Clone)]
struct Served {
    router: Router,
    wire: Wire,
    /// With one, only callers with a good certificate get in.
    door: Option<Door>,
    limits: Limits,
}

async fn accept(listener: TcpListener, served: Served, mut stop: watch::Receiver<bool>) {
    let limits = served.limits;
    let seats = Arc::new(Seats::new(limits.connections_max));
    let refusals = Arc::new(Semaphore::new(REFUSALS_AT_ONCE_MAX));
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
            () = stopped(&mut stop) => break,
        };
        match accepted {
            Ok((stream, _)) => match seats.take() {
                Some(seat) => {
                    tasks.spawn(serve_one(stream, seat, served.clone(), stop.clone()));
                }
                None => refuse(stream, served.wire, &refusals),
            },
            Err(error) => recover_from_accept(&error, &seats).await,
        }
    }
    drop(listener);
    let drained = async { while tasks.join_next().await.is_some() {} };
    // What still runs after that time is cut off when the set is dropped.
    let _ = tokio::time::timeout(limits.drain_timeout, drained).await;
}

/// Ends when the value turns true, or when nobody is left who could turn it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Out of file descriptors or buffers: give up a silent connection and breathe, instead of spinning.
async fn recover_from_accept(error: &io::Error, seats: &Seats) {
    let of_one_connection = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    );
    if !of_one_connection {
        seats.evict_most_silent();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn serve_one(stream: TcpStream, seat: SeatGuard, served: Served, mut stop: watch::Receiver<bool>) {
    // An answer is one small write: waiting to fill a packet only adds latency. Failing means the peer is gone already.
    let _ = stream.set_nodelay(true);
    let state = seat.seat.clone();
    let address = stream.peer_addr().ok();
    let stream = Watched { stream, seat: state.clone() };
    let Some(door) = &served.door else { return speak(stream, state, None, &served, stop).await };
    let opened = tokio::select! {
        opened = door.open(stream, address, served.limits.header_timeout) => opened,
        () = state.evicted.notified() => return,
        () = stopped(&mut stop) => return,
    };
    if let Some((stream, caller)) = opened {
        speak(stream, state, caller, &served, stop).await;
    }
}

/// Answers the requests of one connection until it ends.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    state: Arc<Seat>,
    caller: Option<Subject>,
    served: &Served,
    mut stop: watch::Receiver<bool>,
) {
    let Served { router, wire, limits, .. } = served.clone();
    let io = TokioIo::new(stream);
    let asked = state.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (router, seat) = (router.clone(), asked.clone());
        if let Some(caller) = &caller {
            request.extensions_mut().insert(caller.clone());
        }
        async move { answer_one(router, &seat, wire, request).await }
    });
    match wire {
        Wire::Http => {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout).max_buf_size(HEAD_BYTES_MAX);
            let mut connection = std::pin::pin!(builder.serve_connection(io, service));
            tokio::select! {
                _ = connection.as_mut() => return,
                () = state.evicted.notified() => return,
                () = stopped(&mut stop) => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        }
        Wire::Grpc => {
            let mut connection = std::pin::pin!(http2_builder().serve_connection(io, service));
            tokio::select! {
                _ = connection.as_mut() => return,
                () = state.evicted.notified() => return,
                () = stopped(&mut stop) => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        }
    }
}

/// Windows hold two whole batches, so that a batch never waits for a window update.
fn http2_builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(2 << 20)
        .initial_connection_window_size(8 << 20)
        .max_frame_size(256 << 10)
        .max_send_buf_size(2 << 20)
        .max_concurrent_streams(1024)
        .max_header_list_size(16 << 10)
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

async fn answer_one(
    mut router: Router,
    seat: &Seat,
    wire: Wire,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let _at_work = AtWork::new(seat);
    // The router shares nothing mutable with the handler but what is behind locks, and those ignore poisoning.
    let answered = AssertUnwindSafe(async { router.call(request.map(Body::new)).await }).catch_unwind().await;
    answered.unwrap_or_else(|_| Ok(told_of_a_bug(wire)))
}

fn told_of_a_bug(wire: Wire) -> Response {
    let detail =
        "the node met a bug while it worked on this request; its fate is not known, repeat it with the same id";
    let problem = Problem::new(Code::Internal, detail);
    match wire {
        Wire::Http => answer::problem(&problem),
        Wire::Grpc => problem.to_status().into_http(),
    }
}

/// Answers at once and lingers a second, so that closing does not overtake the answer.
fn refuse(mut stream: TcpStream, wire: Wire, refusals: &Arc<Semaphore>) {
    let Ok(permit) = refusals.clone().try_acquire_owned() else { return };
    if wire == Wire::Grpc {
        return;
    }
    tokio::spawn(async move {
        let _permit = permit;
        let problem =
            Problem::new(Code::TooManyConnections, "every connection of this node is at work; try again shortly")
                .retry_after_ms(1000);
        let body = problem.to_json();
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let linger = async {
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            let mut rest = [0; 4096];
            while stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        // Whatever becomes of a caller that was refused changes nothing.
        let _ = tokio::time::timeout(Duration::from_secs(1), linger).await;
    });
}

/// The seats of one listener.
struct Seats {
    taken: Mutex<BTreeMap<u64, Arc<Seat>>>,
    next: AtomicU64,
    max: usize,
    began: Instant,
}

/// One connection, as the others need to know it.
struct Seat {
    began: Instant,
    /// When a byte last went through, in milliseconds after `began`.
    heard_ms: AtomicU64,
    /// Requests that are being answered.
    at_work: AtomicU32,
    evicted: Notify,
}

impl Seat {
    fn hear(&self) {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).expect("the process is younger than the universe");
        self.heard_ms.store(now_ms, Ordering::Relaxed);
    }
}

impl Seats {
    fn new(max: usize) -> Seats {
        Seats { taken: Mutex::new(BTreeMap::new()), next: AtomicU64::new(0), max, began: Instant::now() }
    }

    /// A seat, if need be of the most silent; `None` when all are at work.
    fn take(self: &Arc<Self>) -> Option<SeatGuard> {
        if self.lock().len() >= self.max && !self.evict_most_silent() {
            return None;
        }
        let seat = Arc::new(Seat {
            began: self.began,
            heard_ms: AtomicU64::new(0),
            at_work: AtomicU32::new(0),
            evicted: Notify::new(),
        });
        seat.hear();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, seat.clone());
        Some(SeatGuard { seats: self.clone(), number, seat })
    }

    /// Frees the seats that have been silent longest and have no request in progress: one in 32, at least one, because
    /// looking at all seats for each newcomer of a crowd would itself keep the others waiting.
    fn evict_most_silent(&self) -> bool {
        let mut taken = self.lock();
        let is_idle = |seat: &Seat| seat.at_work.load(Ordering::Relaxed) == 0;
        let idle = taken.iter().filter(|(_, seat)| is_idle(seat));
        let mut silent: Vec<(u64, u64)> =
            idle.map(|(number, seat)| (seat.heard_ms.load(Ordering::Relaxed), *number)).collect();
        let evicted = (silent.len() / 32).max(1).min(silent.len());
        silent.sort_unstable();
        for (_, number) in &silent[..evicted] {
            if let Some(seat) = taken.remove(number) {
                seat.evicted.notify_one();
            }
        }
        evicted > 0
    }

    /// The map is whole after every line that changes it, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Seat>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the seat back.
struct SeatGuard {
    seats: Arc<Seats>,
    number: u64,
    seat: Arc<Seat>,
}

impl Drop for SeatGuard {
    fn drop(&mut self) {
        self.seats.lock().remove(&self.number);
    }
}

/// Counts one request while it is being answered.
struct AtWork<'a>(&'a Seat);

impl<'a> AtWork<'a> {
    fn new(seat: &'a Seat) -> AtWork<'a> {
        seat.at_work.fetch_add(1, Ordering::Relaxed);
        AtWork(seat)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket that notes when bytes went through.
struct Watched {
    stream: TcpStream,
    seat: Arc<Seat>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.seat.hear();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if polled.is_ready() {
            self.seat.hear();
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        if polled.is_ready() {
            self.seat.hear();
        }
        polled
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_never_take_the_files_of_the_log() {
        assert_eq!(connections_within(1024), 384);
        assert_eq!(connections_within(100), 16);
        assert_eq!(connections_within(usize::MAX), CONNECTIONS_MAX);
        assert!(open_files_max() >= 16);
    }

    #[test]
    fn the_most_silent_gives_up_its_seat_and_a_working_one_never() {
        let seats = Arc::new(Seats::new(2));
        let first = seats.take().expect("free");
        let second = seats.take().expect("free");
        first.seat.heard_ms.store(1, Ordering::Relaxed);
        second.seat.heard_ms.store(2, Ordering::Relaxed);
        let work = AtWork::new(&first.seat);
        let third = seats.take().expect("the second was silent and idle");
        assert_eq!(seats.lock().keys().copied().collect::<Vec<_>>(), [0, 2]);
        let more_work = AtWork::new(&third.seat);
        assert!(seats.take().is_none(), "both are at work");
        drop((work, more_work));
        assert!(seats.take().is_some());
        drop((first, second, third));
    }
}
