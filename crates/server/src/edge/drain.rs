//! The orderly end of a node's edges, step by step, for the listeners of both wires.
//!
//! ```text
//!   Open ─► Leaving ─► Refusing ─► Closing
//! ```
//!
//! - *Leaving*: everything is served as before. Answers over HTTP/1.1 say `Connection: close`, connections over HTTP/2 get
//!   GOAWAY, and the node's status says that it stops: balancers, Consul and Kubernetes choose other nodes.
//! - *Refusing*: what is held is answered; what comes later gets `shutting_down`, and nothing of it is done.
//! - *Closing*: connections on which nothing happens end, and nobody new is taken.
//!
//! Health checks and looks at the status are answered in every phase, and count for nothing: whoever watches a node does
//! so until its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::bounds::is_look;

/// How often a condition of the stop is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// How far the stop has come. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Open,
    Leaving,
    Refusing,
    Closing,
}

/// What becomes of a listening socket when its connections have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It is closed: whoever connects later is refused by the system.
    Closed,
    /// It stays open: the node opens its files anew, and serves again.
    Reopened,
}

/// The stop of one node's edges. A clone is another handle of the same.
#[derive(Clone, Debug)]
pub struct Drain(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    phase: watch::Sender<Phase>,
    reopens: AtomicBool,
    /// Requests that were let in and have no answer yet.
    held: AtomicUsize,
    /// Connections over HTTP/1.1.
    http_connections: AtomicUsize,
    began: Instant,
    /// When a request was last let in, in milliseconds after `began`.
    asked_ms: AtomicU64,
}

impl Default for Drain {
    fn default() -> Drain {
        Drain(Arc::new(Shared {
            phase: watch::Sender::new(Phase::Open),
            reopens: AtomicBool::new(false),
            held: AtomicUsize::new(0),
            http_connections: AtomicUsize::new(0),
            began: Instant::now(),
            asked_ms: AtomicU64::new(0),
        }))
    }
}

impl Drain {
    /// Goes on to this phase; one that lies behind changes nothing.
    pub fn enter(&self, phase: Phase) {
        self.0.phase.send_if_modified(|present| {
            let goes_on = *present < phase;
            *present = phase.max(*present);
            goes_on
        });
    }

    /// Ends all connections in order at once, and says what becomes of the listening sockets.
    pub fn close(&self, after: After) {
        self.0.reopens.store(after == After::Reopened, Ordering::SeqCst);
        self.enter(Phase::Closing);
    }

    pub fn phase(&self) -> Phase {
        *self.0.phase.borrow()
    }

    pub(super) fn after(&self) -> After {
        if self.0.reopens.load(Ordering::SeqCst) { After::Reopened } else { After::Closed }
    }

    /// Ends when the stop has come so far.
    pub(super) async fn reached(&self, phase: Phase) {
        // The sender lives as long as this handle.
        let _ = self.0.phase.subscribe().wait_for(|present| *present >= phase).await;
    }

    /// Ends when the stop has gone beyond that phase.
    pub(super) async fn passed(&self, phase: Phase) {
        let _ = self.0.phase.subscribe().wait_for(|present| *present > phase).await;
    }

    /// Lets a request in: it is held until the answer is there. `None` if it came too late.
    pub(super) fn admit(&self, path: &str) -> Option<Held> {
        if is_a_look(path) {
            return Some(Held(None));
        }
        let held = Held::new(self);
        // Whoever refuses sets the phase first and counts then, so one of the two sees the other.
        if self.phase() >= Phase::Refusing {
            return None;
        }
        let now_ms = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.asked_ms.store(now_ms, Ordering::Relaxed);
        Some(held)
    }

    /// Waits until no request has been let in for that long: whoever chooses nodes chooses others. `longest` at most.
    pub async fn quiet(&self, how_long: Duration, longest: Duration) {
        let shared = &self.0;
        let from = Instant::now();
        loop {
            let asked = shared.began + Duration::from_millis(shared.asked_ms.load(Ordering::Relaxed));
            let quiet_for = asked.max(from).elapsed();
            if quiet_for >= how_long || from.elapsed() >= longest {
                return;
            }
            tokio::time::sleep(LOOK.max(how_long - quiet_for).min(longest)).await;
        }
    }

    /// Waits until every request that was let in has its answer. `longest` at most.
    pub async fn answered(&self, longest: Duration) {
        let held = async {
            while self.0.held.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ = tokio::time::timeout(longest, held).await;
    }

    /// Waits until no connection over HTTP/1.1 is open: those that ask for something are told to close. `longest` at most.
    pub async fn no_http(&self, longest: Duration) {
        let open = async {
            while self.0.http_connections.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ = tokio::time::timeout(longest, open).await;
    }

    pub(super) fn http_connection(&self) -> HttpConnection {
        self.0.http_connections.fetch_add(1, Ordering::SeqCst);
        HttpConnection(self.clone())
    }
}

/// Counts a request until it has its answer; one that only looks counts for nothing.
#[derive(Debug)]
pub(super) struct Held(Option<Drain>);

impl Held {
    fn new(drain: &Drain) -> Held {
        drain.0.held.fetch_add(1, Ordering::SeqCst);
        Held(Some(drain.clone()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(drain) = &self.0 {
            drain.0.held.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Counts a connection over HTTP/1.1 while it is open.
#[derive(Debug)]
pub(super) struct HttpConnection(Drain);

impl Drop for HttpConnection {
    fn drop(&mut self) {
        self.0.0.http_connections.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whoever watches the node, and moves nothing.
fn is_a_look(path: &str) -> bool {
    is_look(path) || path.starts_with("/grpc.health.v1.Health/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_let_in_is_held_and_what_comes_later_is_refused() {
        let drain = Drain::default();
        let held = drain.admit("/v1/transfers").expect("it is open");
        drain.enter(Phase::Leaving);
        let also = drain.admit("/v1/transfers").expect("it is served as before");
        drain.enter(Phase::Refusing);
        assert!(drain.admit("/v1/transfers").is_none());
        assert!(drain.admit("/v1/status").is_some() && drain.admit("/grpc.health.v1.Health/Check").is_some());
        assert_eq!(drain.0.held.load(Ordering::SeqCst), 2, "looks and what was refused are not held");
        drop((held, also));
        assert_eq!(drain.0.held.load(Ordering::SeqCst), 0);
        drain.enter(Phase::Leaving);
        assert_eq!(drain.phase(), Phase::Refusing, "it only goes forward");
    }

    #[tokio::test]
    async fn quiet_is_when_nobody_has_asked_for_a_while() {
        let drain = Drain::default();
        let long = Duration::from_secs(3_600);
        // No request at all: real time passes, for the moments of requests are real.
        drain.quiet(Duration::from_millis(1), long).await;
        let _held = drain.admit("/v1/transfers").expect("it is open");
        let waited = tokio::time::timeout(Duration::from_millis(5), drain.answered(long)).await;
        assert!(waited.is_err(), "one has no answer yet");
        drain.answered(Duration::from_millis(5)).await;
    }
}
