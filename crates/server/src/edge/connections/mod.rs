//! Who may be connected, and for how long: the accept loop of both wires.
//!
//! ```text
//! accept ─► seats (bounded; the silent and the greedy give way) ─► TLS ─► HTTP/1.1 or HTTP/2 ─► requests ─► router
//!              └─ all at work ─► reserved seats: health, readiness, figures alone
//!                                   └─ all at work ─► refused
//! ```
//!
//! Ten thousand connections that say nothing, or send half a request, must not keep out the one that asks something. So a
//! listener seats a bounded number (see `seats`), and keeps some seats for whoever asks whether the node is well. Headers must
//! arrive within a time, bodies too, answers must be taken, and HTTP/2 peers must answer pings. How much memory requests may
//! hold is `in_flight`'s; the numbers are in `bounds`.
//!
//! A node that stops tells its callers first (see `drain`): none of them finds its connection closed without an answer.

mod bodies;
mod heads;
mod intake;
mod requests;
mod seats;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use certs::Subject;
use futures_util::future::select_all;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub(super) use self::bodies::Refused;
use self::heads::InWords;
pub use self::intake::{Intake, Limits};
use self::requests::Seated;
pub(crate) use self::requests::take_unread;
use self::seats::{REST_LOOK, Seat, SeatGuard, Seats};
use self::socket::{HalfClosed, Tells, Watched};
use super::bounds;
use super::connection::Connection;
use super::drain::{After, Drain, Phase};
use super::origin::PeerAddress;
use super::sources::{Key, Network};
use super::tls::{Asks, Door};

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    /// HTTP/1.1, for people and programs.
    Http,
    /// gRPC over HTTP/2 without upgrade.
    Grpc,
}

/// What a seat is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Everything,
    /// How the node is.
    Looks,
}

/// Refused callers that are told so at the same time; more are simply closed.
const REFUSALS_AT_ONCE_MAX: usize = 64;
/// With so many bytes a caller begins to speak HTTP/2 (RFC 9113, section 3.4).
const PREFACE_BYTES: u64 = 24;
/// Connections that the system has made already when a listener closes, at most.
const BACKLOG_MAX: usize = 4096;

/// Serves HTTP until `drain` closes, then lets open requests end within [`Limits::drain_timeout`]. With a certificate of
/// this node it is HTTPS, for callers without certificates.
pub async fn serve_http(
    listeners: Vec<TcpListener>,
    router: Router,
    tls: Option<Arc<certs::Server>>,
    intake: Intake,
    drain: Drain,
) {
    let door = tls.map(|tls| Door::new(tls, Asks::Nothing));
    accept(listeners, Behind { router, wire: Wire::Http, door, intake, drain }).await;
}

/// The same for gRPC. Over TLS callers show certificates, and each request carries its caller, a verified
/// [`certs::Subject`], in its extensions. Every request, over either wire, carries its `Connection`.
pub async fn serve_grpc(
    listeners: Vec<TcpListener>,
    router: Router,
    tls: Option<Arc<certs::Server>>,
    intake: Intake,
    drain: Drain,
) {
    let door = tls.map(|tls| Door::new(tls, Asks::WhoCalls));
    accept(listeners, Behind { router, wire: Wire::Grpc, door, intake, drain }).await;
}

/// What is behind a listener.
#[derive(Clone)]
struct Behind {
    router: Router,
    wire: Wire,
    /// With one, only callers with a good certificate get in.
    door: Option<Door>,
    intake: Intake,
    drain: Drain,
}

/// Whoever is connected, or waits to be.
struct Crowd {
    behind: Behind,
    seats: Arc<Seats>,
    reserved: Arc<Seats>,
    refusals: Arc<Semaphore>,
    tasks: JoinSet<()>,
}

impl Crowd {
    fn new(behind: Behind) -> Crowd {
        let Limits { connections_max, reserved_max, .. } = *behind.intake.limits();
        Crowd {
            behind,
            seats: Arc::new(Seats::new(connections_max)),
            reserved: Arc::new(Seats::new(reserved_max)),
            refusals: Arc::new(Semaphore::new(REFUSALS_AT_ONCE_MAX)),
            tasks: JoinSet::new(),
        }
    }

    /// Serves a newcomer on whatever seat there is.
    fn admit(&mut self, stream: TcpStream, address: SocketAddr) {
        let network = Network::of(address.ip());
        let seat = self.seats.take(network).map(|seat| (seat, Access::Everything));
        match seat.or_else(|| self.reserved.take(network).map(|seat| (seat, Access::Looks))) {
            Some(seat) => drop(self.tasks.spawn(serve_one(stream, address, seat, self.behind.clone()))),
            None => refuse(stream, self.behind.wire, &self.refusals),
        }
    }
}

async fn accept(listeners: Vec<TcpListener>, behind: Behind) {
    let (drain, drain_timeout) = (behind.drain.clone(), behind.intake.limits().drain_timeout);
    let mut closing = std::pin::pin!(drain.reached(Phase::Closing));
    let mut crowd = Crowd::new(behind);
    loop {
        let accepted = tokio::select! {
            accepted = accept_any(&listeners) => accepted,
            Some(_) = crowd.tasks.join_next() => continue,
            () = closing.as_mut() => break,
        };
        match accepted {
            Ok((stream, address)) => crowd.admit(stream, address),
            Err(error) => recover_from_accept(&error, &crowd.seats).await,
        }
    }
    let after = drain.after();
    for (stream, address) in listeners.into_iter().flat_map(|listener| close(listener, after)) {
        crowd.admit(stream, address);
    }
    let mut tasks = crowd.tasks;
    let drained = async { while tasks.join_next().await.is_some() {} };
    // What still runs after that time is cut off when the set is dropped.
    let _ = tokio::time::timeout(drain_timeout, drained).await;
}

/// The next connection on any of the addresses.
async fn accept_any(listeners: &[TcpListener]) -> io::Result<(TcpStream, SocketAddr)> {
    let accepting = listeners.iter().map(|listener| Box::pin(listener.accept()));
    // Those that are given up have accepted nothing.
    select_all(accepting).await.0
}

/// Closes a listener for good, if that is to be; whoever the system has connected already is still answered.
fn close(listener: TcpListener, after: After) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std().inspect_err(|error| tracing::warn!(event = "close", why = %error)) else {
        return Vec::new();
    };
    if after == After::Reopened {
        return Vec::new();
    }
    let waiting: Vec<_> = std::iter::from_fn(|| listener.accept().ok()).take(BACKLOG_MAX).collect();
    // Its copies are closed with it, so that nobody is connected by the system whom no one answers. One that is no
    // socket any more is closed.
    let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Both);
    let own = |(stream, address): (std::net::TcpStream, SocketAddr)| {
        stream.set_nonblocking(true)?;
        io::Result::Ok((TcpStream::from_std(stream)?, address))
    };
    waiting.into_iter().filter_map(|waiting| own(waiting).ok()).collect()
}

/// Out of file descriptors or buffers: give up a silent connection and breathe, instead of spinning.
async fn recover_from_accept(error: &io::Error, seats: &Seats) {
    let of_one_connection = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    );
    if !of_one_connection {
        seats.evict();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn serve_one(stream: TcpStream, address: SocketAddr, (guard, access): (SeatGuard, Access), behind: Behind) {
    // An answer is one small write: waiting to fill a packet only adds latency. Failing means the peer is gone already.
    let _ = stream.set_nodelay(true);
    let Behind { router, wire, door, intake, drain } = behind;
    let limits = *intake.limits();
    let seat = Arc::clone(&guard.seat);
    let stream = Watched::new(stream, Arc::clone(&seat), limits.stall_timeout);
    let seated = |caller: Option<&Subject>| {
        let source = intake.sources().find(Key::of(caller, Network::of(address.ip())));
        let connection = Connection::new(source, intake.clone());
        let (router, drain, seat) = (router.clone(), drain.clone(), Arc::clone(&guard.seat));
        Seated { router, wire, access, drain, connection, seat }
    };
    let served = async {
        let Some(door) = door else { return speak((stream, address), seated(None), None).await };
        let opened = tokio::select! {
            opened = door.open(stream, Some(address), limits.header_timeout) => opened,
            () = async {
                drain.reached(Phase::Closing).await;
                seat.rests().await;
            } => return,
        };
        if let Some((stream, caller)) = opened {
            speak((stream, address), seated(caller.as_ref()), caller).await;
        }
    };
    let lasts = async {
        match access {
            Access::Everything => std::future::pending().await,
            Access::Looks => tokio::time::sleep(bounds::RESERVED_TIMEOUT).await,
        }
    };
    tokio::select! {
        () = served => {}
        () = seat.evicted.notified() => {}
        () = lasts => {}
    }
}

/// Answers the requests of one connection until it ends.
async fn speak(
    (stream, address): (impl AsyncRead + AsyncWrite + Unpin + Send + 'static, SocketAddr),
    seated: Seated,
    caller: Option<Subject>,
) {
    let Seated { wire, drain, seat, .. } = seated.clone();
    let limits = *seated.connection.intake().limits();
    let tells = match wire {
        Wire::Http => Tells::AtOnce,
        Wire::Grpc => Tells::WhenAnswered,
    };
    let stream = HalfClosed::new(stream, Arc::clone(&seat), tells);
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(caller) = &caller {
            request.extensions_mut().insert(caller.clone());
        }
        request.extensions_mut().insert(PeerAddress(address.ip()));
        requests::answer(seated.clone(), request)
    });
    match wire {
        Wire::Http => {
            let io = TokioIo::new(InWords::new(stream, Arc::clone(&seat)));
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout);
            builder.max_buf_size(bounds::HEAD_BYTES_MAX);
            // A caller that has closed its sending side waits for its answer all the same.
            builder.half_close(true);
            let mut connection = std::pin::pin!(builder.serve_connection(io, service));
            let _counted = drain.http_connection();
            tokio::select! {
                _ = connection.as_mut() => return,
                () = seat.stalls(limits.stall_timeout) => return,
                () = drain.reached(Phase::Closing) => {}
            }
            tokio::select! {
                _ = connection.as_mut() => return,
                () = seat.rests() => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        }
        Wire::Grpc => {
            let mut connection = std::pin::pin!(http2_builder().serve_connection(TokioIo::new(stream), service));
            let heard = seat.heard_bytes();
            let silent = async {
                tokio::time::sleep(limits.header_timeout).await;
                // From then on it must answer pings.
                if seat.heard_bytes() - heard >= PREFACE_BYTES {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                _ = connection.as_mut() => return,
                () = silent => return,
                () = seat.stalls(limits.stall_timeout) => return,
                () = is_to_go(&drain, &seat) => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        }
    }
}

/// Ends when the caller of a connection over HTTP/2 is to be told that it goes (GOAWAY): with the first step of the stop
/// after it was made. One that has just connected is answered first, for a connection that ends before its first answer
/// looks broken to its caller.
async fn is_to_go(drain: &Drain, seat: &Seat) {
    let made_in = drain.phase();
    if made_in < Phase::Closing {
        drain.passed(made_in).await;
    }
    while !seat.has_answered.load(Ordering::Relaxed) {
        if drain.phase() == Phase::Closing {
            return seat.rests().await;
        }
        tokio::time::sleep(REST_LOOK).await;
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
        .max_concurrent_streams(bounds::CALLS_AT_ONCE_MAX)
        .max_header_list_size(bounds::HEAD_BYTES_READ_MAX)
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

/// Answers at once and lingers a second, so that closing does not overtake the answer.
fn refuse(mut stream: TcpStream, wire: Wire, refusals: &Arc<Semaphore>) {
    let Ok(permit) = refusals.clone().try_acquire_owned() else { return };
    if wire == Wire::Grpc {
        return;
    }
    tokio::spawn(async move {
        let _permit = permit;
        let linger = async {
            stream.write_all(heads::closing_answer(&requests::no_seat()).as_bytes()).await?;
            stream.shutdown().await?;
            let mut rest = [0; 4096];
            while stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        // Whatever becomes of a caller that was refused changes nothing.
        let _ = tokio::time::timeout(bounds::LINGER, linger).await;
    });
}
