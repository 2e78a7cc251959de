//! Dials one peer, again and again, and writes what waits for it.

use super::frame::{self, Greeting, Reply};
use super::known::Recognized;
use super::link::Link;
use super::outbox::Taken;
use super::{Contact, Me, Peer, Peers, SILENCE_MAX};
use crate::config::NodeError;
use paxos::NodeId;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
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
    while !outbox.is_closed() {
        let Some(Contact { address, .. }) = peers.contact(to) else { return };
        match dial(&address, to, peers) {
            Ok(link) => {
                info!(event = "peer_connected", peer = to.get(), address = %address);
                (pause, last_refusal) = (REDIAL_MIN, None);
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
                last_refusal = Some(refusal);
                // Closing is looked at in between: a stopping node does not wait for a peer that is gone.
                thread::park_timeout(pause);
                pause = (pause * 2).min(REDIAL_MAX);
            }
        }
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

/// A name is looked up each time: the member may have moved. Of several addresses the first that answers is taken.
fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, DIAL_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Writes until the connection breaks (why), or the node stops (none).
fn write_until_broken(mut link: Link, peer: &Peer) -> Option<String> {
    let since = Instant::now();
    loop {
        match peer.outbox.take(LOOK) {
            Taken::Frames(frames) => {
                if let Err(error) = frame::write_frames(&mut link, &frames) {
                    return Some(error.to_string());
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
