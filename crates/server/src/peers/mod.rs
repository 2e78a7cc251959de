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
//! Threads, not tasks: a message wakes exactly one thread on each side, and the replica's thread never waits. Members come
//! and go with the group's state: the replica's thread hands over a new [`Roster`], writers start and end with it, and a
//! reader ends with the next thing that it hears.
//!
//! A member is known by its disk: by the one that the log pins, or else by the first one it is met with. A node that lost
//! its disk, and was given a new one under the old number, would have forgotten its promises and votes. Its peers refuse
//! it, and it stops.
//!
//! With certificates a connection is TLS 1.3, and whoever is on its other end has proved to be that member (`link`).
//!
//! Invariants: nothing is believed before the greeting named this cluster, this group, this node, and a member; every
//! queue is bounded; strangers cost one thread for two seconds, and only so many at a time.

mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod known;
mod link;
mod outbox;
mod reader;
mod roster;
mod welcome;
mod writer;

use crate::config::NodeError;
use crate::replica_loop::Inbox;
use frame::Reply;
pub(crate) use known::KnownDisks;
use known::Recognized;
pub(crate) use link::Papers;
use outbox::Outbox;
use paxos::NodeId;
use replica::group::Group;
use replica::{Input, Message, wire};
pub(crate) use roster::{Contact, Me, Roster, is_settled};
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tracing::{info, warn};
pub(crate) use welcome::{decode as decode_group, encode as encode_group};

/// A peer that has said nothing for this long is taken for cut off, and its connections for dead.
const SILENCE_MAX: Duration = Duration::from_millis(1_500);

/// One peer's outbox, and when it was last heard. It ends with its outbox, for good: a member that comes back is another.
#[derive(Debug)]
struct Peer {
    outbox: Outbox,
    heard: Heard,
    links: Mutex<Links>,
}

/// The connections with one peer that stand at present. Whatever the replica is told of them is told under this lock, so that
/// what it was told last is how things are.
#[derive(Debug, Default)]
struct Links {
    /// The one on which this node speaks.
    out: bool,
    /// Those on which the peer does: a second one for a moment, when it dials anew before the old one's end was noticed,
    /// as it does with a node that is long in starting.
    incoming: usize,
}

impl Peer {
    fn new() -> Self {
        Self { outbox: Outbox::default(), heard: Heard::new(), links: Mutex::default() }
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        // Two plain numbers: whole whatever happened to who held the lock.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This node can speak to the peer, or not any more.
    fn set_out(&self, out: bool, peer: NodeId, inbox: &Inbox) {
        let mut links = self.links();
        links.out = out;
        self.outbox.set_connected(out);
        inbox.put(if out { Input::Connected(peer) } else { Input::Disconnected(peer) });
    }

    /// The peer can speak to this node. If it could before, and its end was told, that is taken back.
    fn comes_in(&self, peer: NodeId, inbox: &Inbox) {
        let mut links = self.links();
        links.incoming += 1;
        if links.out && links.incoming == 1 {
            inbox.put(Input::Connected(peer));
        }
    }

    /// One of the connections on which the peer speaks has ended: news only if it was the last.
    fn went_out(&self, peer: NodeId, inbox: &Inbox) {
        let mut links = self.links();
        links.incoming -= 1;
        if links.incoming == 0 {
            inbox.put(Input::Disconnected(peer));
        }
    }
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
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    me: Me,
    circle: RwLock<Circle>,
    known: KnownDisks,
    inbox: Inbox,
    /// Told when this node must stop: its peers know another disk of it, or have removed it.
    failed: mpsc::Sender<NodeError>,
}

/// What a member makes of a node that introduces itself.
pub(crate) enum Introduced {
    /// The group as that member knows it.
    Welcome(Box<Group>),
    /// Not a member yet, or not here.
    Refused(String),
    /// Its number is another disk's.
    OtherDisk(String),
    /// It was one, and may go.
    Removed(String),
    /// Nobody answers there.
    Away,
}

/// Says who this node is to one member, hears the answer, and leaves.
pub(crate) fn introduce(me: &Me, to: NodeId, address: &str) -> Introduced {
    match writer::greet(me, to, address) {
        Ok((_, Reply::Welcome { disk: _, group })) => Introduced::Welcome(group),
        Ok((_, Reply::Refused(why))) => Introduced::Refused(why),
        Ok((_, Reply::OtherDisk(why))) => Introduced::OtherDisk(why),
        Ok((_, Reply::Removed(why))) => Introduced::Removed(why),
        Err(error) if writer::is_told(&error) => Introduced::Refused(certs::why(&error)),
        Err(_) => Introduced::Away,
    }
}

/// Who is spoken to at present.
#[derive(Debug, Default)]
struct Circle {
    roster: Roster,
    peers: BTreeMap<NodeId, Arc<Peer>>,
}

impl Peers {
    /// Starts to speak to these others, and to accept. The threads end after [`Peers::close`].
    pub(crate) fn start(
        (me, roster): (Me, Roster),
        listeners: Vec<TcpListener>,
        inbox: &Inbox,
        known: KnownDisks,
        failed: mpsc::Sender<NodeError>,
    ) -> io::Result<Self> {
        let shared = Shared { me, circle: RwLock::default(), known, inbox: inbox.clone(), failed };
        let started = Self { shared: Arc::new(shared) };
        // First, or whoever has waited for this node at its door would be taken for a stranger.
        started.set_roster(roster)?;
        for listener in listeners {
            reader::listen(listener, started.clone())?;
        }
        Ok(started)
    }

    /// From now on these are the others: writers are started for who is new, and ended for who is gone.
    pub(crate) fn set_roster(&self, roster: Roster) -> io::Result<()> {
        let mut circle = self.shared.circle.write().unwrap_or_else(PoisonError::into_inner);
        circle.peers.retain(|node, peer| {
            let stays = roster.others.contains_key(node);
            if !stays {
                info!(event = "peer_left", peer = node.get());
                peer.outbox.close();
            }
            stays
        });
        for node in roster.others.keys() {
            if !circle.peers.contains_key(node) {
                let peer = Arc::new(Peer::new());
                writer::start(*node, Arc::clone(&peer), self.clone())?;
                circle.peers.insert(*node, peer);
            }
        }
        circle.roster = roster;
        Ok(())
    }

    /// Says something to a peer, or to nobody if it is not connected.
    pub(crate) fn send(&self, to: NodeId, message: &Message) {
        if let Some(peer) = self.circle().peers.get(&to) {
            let (head, tail) = wire::encode(message);
            peer.outbox.push(frame::Frame::new(&head, tail));
        }
    }

    /// Lets the writers finish what waits, and ends them.
    pub(crate) fn close(&self) {
        for peer in self.circle().peers.values() {
            peer.outbox.close();
        }
    }

    fn peer(&self, node: NodeId) -> Option<Arc<Peer>> {
        self.circle().peers.get(&node).map(Arc::clone)
    }

    fn contact(&self, node: NodeId) -> Option<Contact> {
        self.circle().roster.others.get(&node).cloned()
    }

    /// The disk that a node was met with, if it ever was.
    pub(crate) fn met(&self, node: NodeId) -> Option<u64> {
        self.shared.known.disk_of(node)
    }

    /// Is that the disk which may speak for the node? The log's word counts, else the first meeting.
    fn recognize(&self, node: NodeId, disk: u64) -> io::Result<Recognized> {
        match self.contact(node).and_then(|contact| contact.pin) {
            Some(known) if known == disk => Ok(Recognized::Yes),
            Some(known) => Ok(Recognized::Other { known }),
            None => self.shared.known.recognize(node, disk),
        }
    }

    /// Ends the node. A full channel means that it is ending for another reason already.
    fn fail(&self, error: NodeError) {
        if self.shared.failed.try_send(error).is_err() {
            warn!(event = "stops_already", why = "another reason came first");
        }
    }

    /// A panic while the lock was held leaves roster and peers whole: they are only replaced.
    fn circle(&self) -> RwLockReadGuard<'_, Circle> {
        self.shared.circle.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
