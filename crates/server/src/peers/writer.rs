//! Dials one peer, again and again, and writes what waits for it.

use super::frame::{self, Greeting, Reply};
use super::known::Recognized;
use super::outbox::Taken;
use super::{Membership, Peers, SILENCE_MAX};
use crate::config::{FailureKind, NodeError};
use crate::replica_loop::Inbox;
use paxos::NodeId;
use replica::Input;
use std::io;
use std::net::{SocketAddr, TcpStream};
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
}

/// Starts the writer's thread.
pub(super) fn start(to: NodeId, membership: Arc<Membership>, peers: Peers, inbox: Inbox) -> io::Result<()> {
    let name = format!("to-node-{to}");
    thread::Builder::new().name(name).spawn(move || run(to, &membership, &peers, &inbox)).map(drop)
}

fn run(to: NodeId, membership: &Membership, peers: &Peers, inbox: &Inbox) {
    let Some(address) = membership.peers.get(&to) else { return };
    let outbox = &peers.peer(to).outbox;
    let mut pause = REDIAL_MIN;
    let mut last_refusal = None;
    while !outbox.is_closed() {
        match dial(*address, to, membership, peers) {
            Ok(stream) => {
                info!(event = "peer_connected", peer = to.get(), address = %address);
                (pause, last_refusal) = (REDIAL_MIN, None);
                outbox.set_connected(true);
                inbox.put(Input::Connected(to));
                let why = write_until_broken(stream, to, peers);
                outbox.set_connected(false);
                inbox.put(Input::Disconnected(to));
                if let Some(why) = why {
                    warn!(event = "peer_lost", peer = to.get(), address = %address, why = %why, todo = "dialled again by itself");
                }
            }
            Err(NoConnection::OtherDisk(why)) => {
                // A full channel means that the node is ending already.
                let what = format!(
                    "{why}; an empty or older disk has forgotten its promises and must not vote under the old number: \
                     put the old directory back"
                );
                let _ = peers.failed.try_send(NodeError::Failed { kind: FailureKind::Damaged, what });
                return;
            }
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

fn dial(address: SocketAddr, to: NodeId, membership: &Membership, peers: &Peers) -> Result<TcpStream, NoConnection> {
    let unreachable = |error: io::Error| NoConnection::Unreachable(error.kind());
    let mut stream = TcpStream::connect_timeout(&address, DIAL_TIMEOUT).map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT)).map_err(unreachable)?;
    stream.set_read_timeout(Some(REPLY_TIMEOUT)).map_err(unreachable)?;
    let greeting = Greeting {
        cluster: membership.cluster,
        group: membership.group.clone(),
        from: membership.me.get(),
        to: to.get(),
        disk: membership.disk,
    };
    greeting.write(&mut stream).map_err(unreachable)?;
    match Reply::read(&mut stream).map_err(unreachable)? {
        Reply::Welcome { disk } => match peers.known.recognize(to, disk).map_err(unreachable)? {
            Recognized::Yes => Ok(stream),
            Recognized::Other { known } => Err(NoConnection::Unwelcome(format!(
                "node {to} answers with another disk ({disk}) than the one it was first met with ({known})"
            ))),
        },
        Reply::Refused(why) => Err(NoConnection::Unwelcome(why)),
        Reply::OtherDisk(why) => Err(NoConnection::OtherDisk(why)),
    }
}

/// Writes until the connection breaks (why), or the node stops (none).
fn write_until_broken(mut stream: TcpStream, to: NodeId, peers: &Peers) -> Option<String> {
    let peer = peers.peer(to);
    let since = Instant::now();
    loop {
        match peer.outbox.take(LOOK) {
            Taken::Frames(frames) => {
                if let Err(error) = frame::write_frames(&mut stream, &frames) {
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
