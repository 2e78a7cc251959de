//! Dials one peer, again and again, and writes what waits for it.

use super::frame::{self, Greeting, Reply};
use super::known::Recognized;
use super::link::Link;
use super::outbox::Taken;
use super::{Contact, Me, Peer, Peers, SILENCE_MAX};
use crate::config::NodeError;
use api::client::dial;
use paxos::NodeId;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tracing::{info, warn};

const DIAL_TIMEOUT: Duration = Duration::from_millis(500);
const REDIAL_MIN: Duration = Duration::from_millis(20);
const REDIAL_MAX: Duration = Duration::from_millis(500);
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a writer without work looks whether its peer still speaks.
const LOOK: Duration = Duration::from_millis(200);

/// A peer that could not be reached for so long is told of: a node that starts earlier than the others is nothing to report.
const TELL_AWAY_AFTER: Duration = Duration::from_secs(5);
/// And told of again, for logs are of bounded size.
const TELL_AWAY_EVERY: Duration = Duration::from_secs(10 * 60);

/// Why there is no connection.
#[derive(Debug, PartialEq)]
enum NoConnection {
    Unreachable(io::ErrorKind),
    /// The peer answered, and does not want this node.
    Unwelcome(String),
    /// The peer knows this node with another disk.
    OtherDisk(String),
    /// The peer knows that this node was removed from the group.
    Removed(String),
}

/// Starts the writer's thread.
pub(super) fn start(to: NodeId, peer: Arc<Peer>, peers: Peers) -> io::Result<()> {
    let name = format!("to-node-{to}");
    thread::Builder::new().name(name).spawn(move || run(to, &peer, &peers)).map(drop)
}

fn run(to: NodeId, peer: &Peer, peers: &Peers) {
    let (outbox, inbox) = (&peer.outbox, &peers.shared.inbox);
    let mut pause = REDIAL_MIN;
    let mut last_refusal = None;
    let mut away = Away::default();
    while !outbox.is_closed() {
        let Some(Contact { address, .. }) = peers.contact(to) else { return };
        match dial(&address, to, peers) {
            Ok(link) => {
                info!(event = "peer_connected", peer = to.get(), address = %address);
                (pause, last_refusal, away) = (REDIAL_MIN, None, Away::default());
                peer.set_out(true, to, inbox);
                let why = write_until_broken(link, peer);
                peer.set_out(false, to, inbox);
                if let Some(why) = why {
                    warn!(event = "peer_lost", peer = to.get(), address = %address, why = %why, todo = "dialled again by itself");
                }
            }
            Err(NoConnection::OtherDisk(why)) => {
                return peers.fail(NodeError::OtherDisk { why, node: peers.shared.me.node.get() });
            }
            Err(NoConnection::Removed(why)) => return peers.fail(NodeError::Removed { why }),
            Err(refusal) => {
                if let NoConnection::Unwelcome(why) = &refusal
                    && last_refusal.as_ref() != Some(&refusal)
                {
                    warn!(event = "peer_refuses", peer = to.get(), address = %address, why = %why);
                }
                if let NoConnection::Unreachable(why) = &refusal
                    && let Some(seconds) = away.is_to_be_told(Instant::now())
                {
                    let todo = "see that it runs, and that its address is right; it is dialled again by itself";
                    warn!(event = "peer_unreachable", peer = to.get(), address = %address, why = %why, seconds, todo);
                }
                last_refusal = Some(refusal);
                // Closing is looked at in between: a stopping node does not wait for a peer that is gone.
                thread::park_timeout(pause);
                pause = (pause * 2).min(REDIAL_MAX);
            }
        }
    }
}

/// Since when a peer cannot be reached, and when that was told last.
#[derive(Debug, Default)]
struct Away {
    since: Option<Instant>,
    told: Option<Instant>,
}

impl Away {
    /// For how many seconds it has been away, when that is to be told.
    fn is_to_be_told(&mut self, now: Instant) -> Option<u64> {
        let away = now.saturating_duration_since(*self.since.get_or_insert(now));
        let is_due = match self.told {
            None => away >= TELL_AWAY_AFTER,
            Some(told) => now.saturating_duration_since(told) >= TELL_AWAY_EVERY,
        };
        is_due.then(|| {
            self.told = Some(now);
            away.as_secs()
        })
    }
}

fn dial(address: &str, to: NodeId, peers: &Peers) -> Result<Link, NoConnection> {
    let unreachable = |error: io::Error| match is_told(&error) {
        true => NoConnection::Unwelcome(certs::why(&error)),
        false => NoConnection::Unreachable(error.kind()),
    };
    let (link, reply) = greet(&peers.shared.me, to, address).map_err(unreachable)?;
    match reply {
        Reply::Welcome { disk, group: _ } => match peers.recognize(to, disk).map_err(unreachable)? {
            Recognized::Yes => Ok(link),
            Recognized::Other { known } => Err(NoConnection::Unwelcome(format!(
                "node {to} answers with another disk ({disk}) than the one it is known by ({known})"
            ))),
        },
        Reply::Refused(why) => Err(NoConnection::Unwelcome(why)),
        Reply::OtherDisk(why) => Err(NoConnection::OtherDisk(why)),
        Reply::Removed(why) => Err(NoConnection::Removed(why)),
    }
}

/// Silence heals by itself; who is there and not believed, or does not believe, is the operator's to know.
pub(super) fn is_told(error: &io::Error) -> bool {
    certs::is_of_tls(error) || error.kind() == io::ErrorKind::PermissionDenied
}

/// Says who this node is, and hears what the other makes of that.
pub(super) fn greet(me: &Me, to: NodeId, address: &str) -> io::Result<(Link, Reply)> {
    let stream = connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    let mut link = Link::dial(stream, me.papers.as_deref())?;
    link.check_number(to.get())?;
    let (cluster, group) = (me.cluster, me.group.clone());
    Greeting { cluster, group, from: me.node.get(), to: to.get(), disk: me.disk }.write(&mut link)?;
    let reply = Reply::read(&mut link)?;
    Ok((link, reply))
}

/// A name is looked up each time: the member may have moved.
fn connect(address: &str) -> io::Result<TcpStream> {
    race(&dial::in_turn(address.to_socket_addrs()?))
}

/// Tries all addresses, a moment after each other, and takes the first that answers. Threads end with their attempts, within
/// [`DIAL_TIMEOUT`].
fn race(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let attempt = |address: SocketAddr| move || TcpStream::connect_timeout(&address, DIAL_TIMEOUT);
    if let [only] = addresses {
        return attempt(*only)();
    }
    let (tell, told) = mpsc::channel();
    let mut first_error = None;
    let mut failed = 0;
    for (begun, address) in addresses.iter().enumerate() {
        let (tell, attempt) = (tell.clone(), attempt(*address));
        thread::Builder::new().name("dial".to_owned()).spawn(move || {
            // Nobody listens when another address was quicker.
            let _ = tell.send(attempt());
        })?;
        let is_last = begun + 1 == addresses.len();
        let mut until = Instant::now() + if is_last { DIAL_TIMEOUT } else { dial::STAGGER };
        while failed <= begun {
            match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => {
                    failed += 1;
                    first_error.get_or_insert(error);
                    // Whoever refuses leaves nothing to wait for.
                    until = if is_last { until } else { Instant::now() };
                }
                Err(_) => break,
            }
        }
    }
    Err(first_error.unwrap_or_else(|| io::ErrorKind::TimedOut.into()))
}

/// Writes until the connection breaks (why), or the node stops (none).
fn write_until_broken(mut link: Link, peer: &Peer) -> Option<String> {
    let since = Instant::now();
    loop {
        match peer.outbox.take(LOOK) {
            Taken::Frames(frames) => {
                if let Err(error) = frame::write_frames(&mut link, &frames) {
                    return Some(certs::why(&error));
                }
            }
            Taken::Nothing => {}
            Taken::Closed => return None,
        }
        if peer.heard.ago().min(since.elapsed()) > SILENCE_MAX {
            return Some(format!("nothing heard for {} ms", SILENCE_MAX.as_millis()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_peer_that_is_never_reached_is_told_of_once_and_again_after_ten_minutes() {
        let begun = Instant::now();
        let mut away = Away::default();
        let told: Vec<u64> = (0..=1_300)
            .filter_map(|second| away.is_to_be_told(begun + Duration::from_secs(second)).map(|_| second))
            .collect();
        assert_eq!(told, [5, 605, 1_205]);
    }

    #[test]
    fn of_several_addresses_the_one_that_answers_is_taken_whatever_the_others_do() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let there = listener.local_addr().expect("bound");
        // One refuses, or does not exist; one says nothing, because whoever it has room for waits there already.
        let refusing = SocketAddr::from(([127, 0, 0, 7], there.port()));
        let full = TcpListener::bind("127.0.0.1:0").expect("a free port");
        rustix::net::listen(&full, 0).expect("it is bound");
        let silent = full.local_addr().expect("bound");
        let moment = Duration::from_millis(200);
        let waiting: Vec<TcpStream> =
            std::iter::from_fn(|| TcpStream::connect_timeout(&silent, moment).ok()).take(8).collect();
        assert!(waiting.len() < 8, "it answers");
        let stream = race(&[refusing, silent, there]).expect("one listens");
        assert_eq!(stream.peer_addr().expect("connected"), there);
        let error = race(&[refusing]).expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(race(&[]).is_err() && race(&[refusing, refusing]).is_err());
    }
}
