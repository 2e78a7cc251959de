//! Who calls over TLS: the handshake of one connection, and what the log says of those that were refused.
//!
//! A handshake takes a seat like any connection (see `connections`), has a time, and gives its seat up to a newcomer while
//! it is silent. There is no further bound on how many go on at once: a few silent strangers would fill it and keep
//! everybody else out.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use certs::Subject;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::warn;

/// How long a handshake may take, at most.
const HANDSHAKE_TIMEOUT_MAX: Duration = Duration::from_secs(5);
/// How long a refused caller may take to hear so.
const LINGER: Duration = Duration::from_secs(1);
/// Refusals are told at most this often: strangers must not fill a disk.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// The door of a listener that speaks TLS.
#[derive(Debug, Clone)]
pub(super) struct Door {
    server: Arc<certs::Server>,
    asks: Asks,
    told: Arc<Told>,
}

/// Whether callers show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    WhoCalls,
    /// Browsers have none: they show a token.
    Nothing,
}

impl Door {
    pub(super) fn new(server: Arc<certs::Server>, asks: Asks) -> Door {
        Door { server, asks, told: Arc::default() }
    }

    /// Shakes hands, and says who is there; none when the caller was refused, which is in the log then.
    pub(super) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        address: Option<SocketAddr>,
        timeout: Duration,
    ) -> Option<(TlsStream<S>, Option<Subject>)> {
        let shaken = tokio::time::timeout(timeout.min(HANDSHAKE_TIMEOUT_MAX), self.shake_hands(stream)).await;
        match shaken.unwrap_or_else(|_| Err("it did not finish its handshake in time".to_owned())) {
            Ok(opened) => Some(opened),
            Err(why) => {
                self.told.refused(address, &why);
                None
            }
        }
    }

    async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> Result<(TlsStream<S>, Option<Subject>), String> {
        match TlsAcceptor::from(self.server.config()).accept(stream).into_fallible().await {
            Ok(stream) => {
                let caller = certs::subject_of(stream.get_ref().1.peer_certificates());
                match (caller, self.asks) {
                    (None, Asks::WhoCalls) => Err("its certificate does not say who it is".to_owned()),
                    (caller, _) => Ok((stream, caller)),
                }
            }
            Err((error, stream)) => {
                if certs::is_of_tls(&error) {
                    linger(stream).await;
                }
                Err(certs::why(&error))
            }
        }
    }
}

/// Closing at once could overtake the alert that tells the caller why.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let until_it_hangs_up = async {
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // Whatever becomes of a caller that was refused changes nothing.
    let _ = tokio::time::timeout(LINGER, until_it_hangs_up).await;
}

/// What was told of refused callers.
#[derive(Debug, Default)]
struct Told(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    at: Option<Instant>,
    /// Refused since, and not told.
    untold: u64,
}

impl Told {
    fn refused(&self, address: Option<SocketAddr>, why: &str) {
        let Some(untold) = self.is_due(Instant::now()) else { return };
        let from = address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
        warn!(event = "caller_refused", from = %from, why = %why, untold, todo = "give it a certificate of this network: rialto certs issue");
    }

    /// How many were refused since the last line, if it is time for one.
    fn is_due(&self, now: Instant) -> Option<u64> {
        // Two plain values: whole whatever happened to who held the lock.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.at.is_some_and(|at| now.duration_since(at) < TOLD_EVERY) {
            last.untold += 1;
            return None;
        }
        last.at = Some(now);
        Some(std::mem::take(&mut last.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_of_strangers_is_one_line_a_second() {
        let told = Told::default();
        let now = Instant::now();
        assert_eq!(told.is_due(now), Some(0));
        assert_eq!(told.is_due(now), None);
        assert_eq!(told.is_due(now + TOLD_EVERY / 2), None);
        assert_eq!(told.is_due(now + TOLD_EVERY), Some(2));
    }
}
