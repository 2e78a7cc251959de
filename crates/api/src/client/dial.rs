//! Connections by name: every address that a name has is tried.
//!
//! `localhost` is often ::1 first, where nobody may listen, and a name in DNS may have an address that is cut off. So all
//! addresses are tried, of both families in turn, each [`STAGGER`] after the one before or at once when that was refused, and
//! the first connection is taken (RFC 8305, without its sorting: the resolver has sorted). How long all that may take is the
//! caller's to say.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::transport::Uri;
use tower_service::Service;

/// How long an address is waited for before the next is tried beside it.
pub const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// A connection to a host by name or address.
///
/// # Errors
/// When the name has no address, or none of its addresses answers: then why the first one did not.
pub async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    race(in_turn(tokio::net::lookup_host((host, port)).await?)).await
}

/// A connection to the host of a URI.
pub(super) async fn to(node: &Uri, default_port: u16) -> io::Result<TcpStream> {
    let host = node.host().unwrap_or_default().trim_matches(['[', ']']);
    let stream = dial(host, node.port_u16().unwrap_or(default_port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection to whichever of these addresses answers first.
///
/// # Errors
/// When none does: why the first one did not.
pub async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = VecDeque::from(addresses);
    let mut attempts = JoinSet::new();
    let mut first_error = None;
    loop {
        if let Some(address) = waiting.pop_front() {
            attempts.spawn(TcpStream::connect(address));
        }
        let ended = tokio::select! {
            ended = attempts.join_next() => ended,
            () = tokio::time::sleep(STAGGER), if !waiting.is_empty() => continue,
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => drop(first_error.get_or_insert(error)),
            Some(Err(error)) => drop(first_error.get_or_insert(io::Error::other(error))),
            None => return Err(first_error.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())),
        }
    }
}

/// Addresses in the order in which they are tried: as they were given, but of both families in turn.
pub fn in_turn(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        if found.len() < ADDRESSES_MAX && !found.contains(&address) {
            found.push(address);
        }
    }
    let first_is_v4 = found.first().is_some_and(SocketAddr::is_ipv4);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        found.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let mut turns = Vec::new();
    while !first.is_empty() || !second.is_empty() {
        turns.extend(first.pop_front());
        turns.extend(second.pop_front());
    }
    turns
}

/// Plain connections for the transport. How long one may take is the endpoint's to say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain;

impl Service<Uri> for Plain {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<TcpStream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, node: Uri) -> Self::Future {
        Box::pin(async move { to(&node, 80).await.map(TokioIo::new) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use tokio::net::TcpListener;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn families_take_turns_and_nothing_is_tried_twice() {
        let given = ["[::1]:1", "[::2]:1", "127.0.0.1:1", "[::1]:1", "127.0.0.2:1", "127.0.0.3:1"].map(address);
        let turns = ["[::1]:1", "127.0.0.1:1", "[::2]:1", "127.0.0.2:1", "127.0.0.3:1"].map(address);
        assert_eq!(in_turn(given), turns);
    }

    #[tokio::test]
    async fn where_the_first_address_refuses_the_next_is_taken_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let there = listener.local_addr().expect("bound");
        // Nobody listens on the same port of other loopback addresses; ::1 may not even exist.
        let refusing = |host: &str| address(&format!("{host}:{}", there.port()));
        let began = Instant::now();
        let stream = race(vec![refusing("[::1]"), refusing("127.0.0.7"), there]).await.expect("one listens");
        assert_eq!(stream.peer_addr().expect("connected"), there);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }

    /// 203.0.113.0/24 is for documentation (RFC 5737): nothing there answers, or it cannot even be reached.
    #[tokio::test]
    async fn an_address_that_says_nothing_keeps_nobody_from_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let there = listener.local_addr().expect("bound");
        let connected = tokio::time::timeout(Duration::from_secs(20), race(vec![address("203.0.113.1:9"), there]));
        assert!(connected.await.expect("long before the system gives up").is_ok());
    }

    #[tokio::test]
    async fn where_nobody_listens_the_first_reason_is_told() {
        let gone = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
        let error = race(vec![gone]).await.expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(race(Vec::new()).await.expect_err("no address").kind(), io::ErrorKind::AddrNotAvailable);
    }
}
