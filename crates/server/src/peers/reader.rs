//! Accepts peers, checks who they are, and reads what they say.

use super::frame::{self, FRAME_BYTES_MAX, Greeting, Reply};
use super::known::Recognized;
use super::link::Link;
use super::roster::Standing;
use super::{Me, Peer, Peers, Roster, SILENCE_MAX};
use paxos::NodeId;
use replica::{Input, wire};
use std::io::{self, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tracing::warn;

/// How long a caller may take to say who it is.
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);
/// Callers that have not said yet who they are, at most.
const STRANGERS_MAX: usize = 64;
const READ_BUFFER: usize = 256 << 10;

/// Starts the thread that accepts.
pub(super) fn listen(listener: TcpListener, peers: Peers) -> io::Result<()> {
    let strangers = Arc::new(AtomicUsize::new(0));
    let accept = move || {
        // Told once for each crowd, not for each in it.
        let mut crowded = false;
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                // Out of file handles, most likely: others close some in a moment.
                thread::park_timeout(Duration::from_millis(50));
                continue;
            };
            if peers.shared.inbox.is_closed() {
                return;
            }
            if strangers.load(Ordering::Relaxed) >= STRANGERS_MAX {
                if !std::mem::replace(&mut crowded, true) {
                    refuse(stream.peer_addr().ok(), &format!("{STRANGERS_MAX} others have not said yet who they are"));
                }
                continue;
            }
            crowded = false;
            strangers.fetch_add(1, Ordering::Relaxed);
            let (peers, served) = (peers.clone(), Arc::clone(&strangers));
            let serve = move || serve(stream, &peers, &served);
            if thread::Builder::new().name("from-peer".to_owned()).spawn(serve).is_err() {
                strangers.fetch_sub(1, Ordering::Relaxed);
            }
        }
    };
    thread::Builder::new().name("peers".to_owned()).spawn(accept).map(drop)
}

/// One caller, from greeting to end.
fn serve(stream: TcpStream, peers: &Peers, strangers: &AtomicUsize) {
    let address = stream.peer_addr().ok();
    let greeted = greet(stream, peers);
    strangers.fetch_sub(1, Ordering::Relaxed);
    let (mut link, from, peer) = match greeted {
        Ok(greeted) => greeted,
        Err(why) => return refuse(address, &why),
    };
    peer.comes_in(from, &peers.shared.inbox);
    let why = read_until_broken(&mut link, from, &peer, peers);
    link.close();
    peer.went_out(from, &peers.shared.inbox);
    if let Err(error) = why {
        warn!(event = "peer_closed", peer = from.get(), why = %certs::why(&error));
    }
}

/// Strangers are told to the operator once each, with where they came from.
fn refuse(address: Option<SocketAddr>, why: &str) {
    let from = address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
    warn!(event = "stranger_refused", from = %from, why = %why, todo = "nothing was lost; find out who calls the peer port");
}

#[expect(clippy::unreachable, reason = "only a caller that passes is welcome, and this one did not")]
fn greet(stream: TcpStream, peers: &Peers) -> Result<(Link, NodeId, Arc<Peer>), String> {
    let (mut link, greeting) = hear(stream, &peers.shared.me).map_err(|error| certs::why(&error))?;
    let checked = check(&greeting, &peers.shared.me, &peers.circle().roster);
    let (reply, welcome) = match checked {
        Ok(from) => recognize(from, greeting.disk, peers),
        Err(reply) => {
            let (Reply::Refused(why) | Reply::OtherDisk(why) | Reply::Removed(why)) = &reply else {
                unreachable!("only a caller that passes is welcome");
            };
            let why = why.clone();
            (reply, Err(why))
        }
    };
    reply.write(&mut link).map_err(|error| certs::why(&error))?;
    welcome.map(|(from, peer)| (link, from, peer))
}

/// Who the caller says it is, and by its certificate may say.
fn hear(stream: TcpStream, me: &Me) -> io::Result<(Link, Greeting)> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(GREETING_TIMEOUT))?;
    let mut link = Link::accept(stream, me.papers.as_deref(), Instant::now() + GREETING_TIMEOUT)?;
    let greeting = Greeting::read(&mut link)?;
    link.check_number(greeting.from)?;
    Ok((link, greeting))
}

/// Is it the disk that this member is known by?
fn recognize(from: NodeId, disk: u64, peers: &Peers) -> (Reply, Result<(NodeId, Arc<Peer>), String>) {
    let me = &peers.shared.me;
    match (peers.recognize(from, disk), peers.peer(from)) {
        (Ok(Recognized::Yes), Some(peer)) => {
            let group = Box::new(peers.circle().roster.group.as_ref().clone());
            (Reply::Welcome { disk: me.disk, group }, Ok((from, peer)))
        }
        (Ok(Recognized::Other { known }), _) => {
            let why = format!("node {from} comes with another disk ({disk}) than the one it is known by ({known})");
            (Reply::OtherDisk(format!("node {} says: {why}", me.node)), Err(why))
        }
        (Ok(Recognized::Yes), None) => {
            let why = format!("node {from} is just being removed from group {}", me.group);
            (Reply::Refused(why.clone()), Err(why))
        }
        (Err(error), _) => {
            let why = format!("node {} cannot note the disk of node {from}: {error}", me.node);
            (Reply::Refused(why.clone()), Err(why))
        }
    }
}

/// What a caller is told that does not belong here; its number, if it does.
fn check(greeting: &Greeting, me: &Me, roster: &Roster) -> Result<NodeId, Reply> {
    let Greeting { cluster, group, from, to, disk: _ } = greeting;
    let refused = |why: String| Err(Reply::Refused(why));
    if *cluster != me.cluster {
        return refused(format!(
            "node {from} belongs to another cluster ({cluster:032x}, this is {:032x})",
            me.cluster
        ));
    }
    if *group != me.group {
        return refused(format!("node {from} belongs to group {group}, this is {}", me.group));
    }
    if *to != me.node.get() {
        return refused(format!("node {from} looks for node {to} here, this is node {}", me.node));
    }
    let stranger =
        || refused(format!("node {from} is no member of group {group}; it is admitted with: rialto members add"));
    let Some(node) = NodeId::new(*from).filter(|from| *from != me.node) else { return stranger() };
    match roster.standing(node) {
        Standing::Known(_) => Ok(node),
        Standing::Stranger => stranger(),
        Standing::Removed if roster.settled => {
            let version = roster.group.version;
            Err(Reply::Removed(format!(
                "node {from} was removed from group {group}, which is at version {version} by now"
            )))
        }
        Standing::Removed => {
            refused(format!("node {from} was removed from group {group}; the others still gather what it had"))
        }
    }
}

fn read_until_broken(link: &mut Link, from: NodeId, peer: &Peer, peers: &Peers) -> io::Result<()> {
    link.settle(SILENCE_MAX)?;
    let mut reader = BufReader::with_capacity(READ_BUFFER, link);
    while let Some(body) = frame::read_frame(&mut reader, FRAME_BYTES_MAX)? {
        // Its outbox is closed when it leaves the group, and when this node stops.
        if peer.outbox.is_closed() {
            return Ok(());
        }
        peer.heard.now();
        let message = wire::decode(body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if !peers.shared.inbox.put(Input::Received { from, message }) {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Contact;
    use super::*;
    use replica::group::Group;

    fn node(number: u16) -> NodeId {
        NodeId::new(number).expect("not zero")
    }

    fn check_of(cluster: u128, group: &str, (from, to): (u16, u16), settled: bool) -> Result<u16, Reply> {
        let me = Me { cluster: 7, group: "alpha".to_owned(), node: node(1), disk: 1, papers: None };
        let contact = Contact { address: "127.0.0.1:1".to_owned(), pin: None };
        let present = Group { version: 9, next_number: 4, ..Group::unknown() };
        let roster = Roster { group: Arc::new(present), others: [(node(3), contact)].into(), settled };
        check(&Greeting { cluster, group: group.to_owned(), from, to, disk: 1 }, &me, &roster).map(NodeId::get)
    }

    #[test]
    fn only_another_member_of_this_group_that_means_this_node_is_welcome() {
        assert_eq!(check_of(7, "alpha", (3, 1), true), Ok(3));
        for (refused, why) in [
            (check_of(8, "alpha", (3, 1), true), "another cluster"),
            (check_of(7, "beta", (3, 1), true), "belongs to group beta"),
            (check_of(7, "alpha", (3, 2), true), "looks for node 2"),
            (check_of(7, "alpha", (4, 1), true), "no member of group alpha; it is admitted with: rialto members add"),
            (check_of(7, "alpha", (1, 1), true), "no member"),
            (check_of(7, "alpha", (0, 1), true), "no member"),
        ] {
            let Err(Reply::Refused(said)) = refused else { panic!("{refused:?}") };
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_removed_node_is_told_so_only_when_nobody_needs_what_it_has() {
        let Err(Reply::Refused(said)) = check_of(7, "alpha", (2, 1), false) else { panic!("it is still needed") };
        assert!(said.contains("still gather"), "{said}");
        let Err(Reply::Removed(said)) = check_of(7, "alpha", (2, 1), true) else { panic!("it may go") };
        assert!(said.contains("was removed from group alpha, which is at version 9"), "{said}");
    }
}
