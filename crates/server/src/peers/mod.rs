//! Connections between the members of a group.
//!
//! ```text
//!   replica thread ──► Outbox ──► writer thread ══ TCP ══► reader thread ──► replica thread
//!                    (per peer)     (dials)               (accepted)
//! ```
//!
//! A connection carries messages one way: each node dials every other. A node that dies closes its end at once, and
//! its peers' readers say so. One that is cut off says nothing at all: a connection on which nothing comes in for a
//! while is given up by its reader, and a writer whose peer is silent dials anew.
//!
//! Threads, not tasks: a message wakes exactly one thread on each side, and the replica's thread never waits.
//!
//! A member is known by its disk, from the first greeting on and for good: a node that lost its disk, and was given a new
//! one under the old number, would have forgotten its promises and votes. Its peers refuse it, and it stops.
//!
//! Invariants: nothing is believed before the greeting named this cluster, this group, this node, and a member; every
//! queue is bounded; strangers cost one thread for two seconds, and only so many at a time.

mod frame;
mod known;
mod outbox;
mod reader;
mod writer;

use crate::config::NodeError;
use crate::replica_loop::Inbox;
pub(crate) use known::KnownDisks;
use outbox::Outbox;
use paxos::NodeId;
use replica::{Message, wire};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// A peer that has said nothing for this long is taken for cut off, and its connections for dead.
const SILENCE_MAX: Duration = Duration::from_millis(1_500);

/// Who this node is to its peers, and where they are.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) cluster: u128,
    pub(crate) group: String,
    pub(crate) me: NodeId,
    /// Tells this node's disk from any other that was made for the same node.
    pub(crate) disk: u64,
    /// All members, this node included.
    pub(crate) peers: BTreeMap<NodeId, SocketAddr>,
}

/// One peer's outbox, and when it was last heard.
#[derive(Debug)]
struct Peer {
    outbox: Outbox,
    heard: Heard,
}

/// When something was last heard, in milliseconds since this node's start.
#[derive(Debug)]
struct Heard {
    start: Instant,
    at_ms: AtomicU64,
}

impl Heard {
    fn new() -> Self {
        Self { start: Instant::now(), at_ms: AtomicU64::new(0) }
    }

    fn now(&self) {
        let ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at_ms.store(ms, Ordering::Relaxed);
    }

    fn ago(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_millis(self.at_ms.load(Ordering::Relaxed)))
    }
}

/// The node's way to its peers.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    peers: Arc<BTreeMap<NodeId, Peer>>,
    known: Arc<KnownDisks>,
    /// Told when this node must stop, because its peers know another disk of it.
    failed: mpsc::Sender<NodeError>,
}

impl Peers {
    /// Starts to accept and to dial. The threads end after [`Peers::close`].
    pub(crate) fn start(
        membership: Membership,
        listener: TcpListener,
        inbox: &Inbox,
        known: KnownDisks,
        failed: mpsc::Sender<NodeError>,
    ) -> std::io::Result<Self> {
        let others = membership.peers.iter().filter(|(node, _)| **node != membership.me);
        let peers: BTreeMap<NodeId, Peer> =
            others.map(|(node, _)| (*node, Peer { outbox: Outbox::default(), heard: Heard::new() })).collect();
        let started = Self { peers: Arc::new(peers), known: Arc::new(known), failed };
        let membership = Arc::new(membership);
        reader::listen(listener, Arc::clone(&membership), started.clone(), inbox.clone())?;
        for node in started.peers.keys() {
            writer::start(*node, Arc::clone(&membership), started.clone(), inbox.clone())?;
        }
        Ok(started)
    }

    /// Says something to a peer, or to nobody if it is not connected.
    pub(crate) fn send(&self, to: NodeId, message: &Message) {
        if let Some(peer) = self.peers.get(&to) {
            let (head, tail) = wire::encode(message);
            peer.outbox.push(frame::Frame::new(&head, tail));
        }
    }

    /// Lets the writers finish what waits, and ends them.
    pub(crate) fn close(&self) {
        for peer in self.peers.values() {
            peer.outbox.close();
        }
    }

    fn peer(&self, node: NodeId) -> &Peer {
        self.peers.get(&node).expect("only members other than this node are asked for")
    }
}
