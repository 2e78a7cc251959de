//! Accepts peers, checks who they are, and reads what they say.

use super::frame::{self, FRAME_BYTES_MAX, Greeting, Reply};
use super::known::{KnownDisks, Recognized};
use super::{Membership, Peers, SILENCE_MAX};
use crate::replica_loop::Inbox;
use paxos::NodeId;
use replica::{Input, wire};
use std::io::{self, BufReader, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
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
pub(super) fn listen(listener: TcpListener, membership: Arc<Membership>, peers: Peers, inbox: Inbox) -> io::Result<()> {
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
            if inbox.is_closed() {
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
            let (membership, peers, inbox) = (Arc::clone(&membership), peers.clone(), inbox.clone());
            let served = Arc::clone(&strangers);
            let serve = move || serve(stream, &membership, &peers, &inbox, &served);
            if thread::Builder::new().name("from-peer".to_owned()).spawn(serve).is_err() {
                strangers.fetch_sub(1, Ordering::Relaxed);
            }
        }
    };
    thread::Builder::new().name("peers".to_owned()).spawn(accept).map(drop)
}

/// One caller, from greeting to end.
fn serve(mut stream: TcpStream, membership: &Membership, peers: &Peers, inbox: &Inbox, strangers: &AtomicUsize) {
    let address = stream.peer_addr().ok();
    let greeted = greet(&mut stream, membership, &peers.known);
    strangers.fetch_sub(1, Ordering::Relaxed);
    let from = match greeted {
        Ok(from) => from,
        Err(why) => return refuse(address, &why),
    };
    let why = read_until_broken(&stream, from, peers, inbox);
    let _ = stream.shutdown(Shutdown::Both);
    inbox.put(Input::Disconnected(from));
    if let Err(error) = why {
        warn!(event = "peer_closed", peer = from.get(), why = %error);
    }
}

/// Strangers are told to the operator once each, with where they came from.
fn refuse(address: Option<SocketAddr>, why: &str) {
    let from = address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
    warn!(event = "stranger_refused", from = %from, why = %why, todo = "nothing was lost; find out who calls the peer port");
}

fn greet(stream: &mut TcpStream, membership: &Membership, known: &KnownDisks) -> Result<NodeId, String> {
    let limits = || {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(GREETING_TIMEOUT))
    };
    limits().map_err(|error| error.to_string())?;
    let greeting = Greeting::read(&mut Hurried { stream, until: Instant::now() + GREETING_TIMEOUT })
        .map_err(|error| error.to_string())?;
    let (reply, welcome) = match check(&greeting, membership) {
        Ok(from) => recognize(from, greeting.disk, membership, known),
        Err(why) => (Reply::Refused(why.clone()), Err(why)),
    };
    reply.write(stream).map_err(|error| error.to_string())?;
    welcome
}

/// Reads until a moment in time, however little comes at once: a stranger that drips holds no thread for longer.
struct Hurried<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl Read for Hurried<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let late = || {
            let what = format!("it did not say who it is within {} s", GREETING_TIMEOUT.as_secs());
            io::Error::new(io::ErrorKind::TimedOut, what)
        };
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => late(),
            _ => error,
        })
    }
}

/// Is it the disk that this member was first met with?
fn recognize(from: NodeId, disk: u64, membership: &Membership, known: &KnownDisks) -> (Reply, Result<NodeId, String>) {
    match known.recognize(from, disk) {
        Ok(Recognized::Yes) => (Reply::Welcome { disk: membership.disk }, Ok(from)),
        Ok(Recognized::Other { known }) => {
            let why =
                format!("node {from} comes with another disk ({disk}) than the one it was first met with ({known})");
            (Reply::OtherDisk(format!("node {} says: {why}", membership.me)), Err(why))
        }
        Err(error) => {
            let why = format!("node {} cannot note the disk of node {from}: {error}", membership.me);
            (Reply::Refused(why.clone()), Err(why))
        }
    }
}

fn check(greeting: &Greeting, membership: &Membership) -> Result<NodeId, String> {
    let Greeting { cluster, group, from, to, disk: _ } = greeting;
    if *cluster != membership.cluster {
        return Err(format!(
            "node {from} belongs to another cluster ({cluster:032x}, this is {:032x})",
            membership.cluster
        ));
    }
    if *group != membership.group {
        return Err(format!("node {from} belongs to group {group}, this is {}", membership.group));
    }
    if *to != membership.me.get() {
        return Err(format!("node {from} looks for node {to} here, this is node {}", membership.me));
    }
    NodeId::new(*from)
        .filter(|from| *from != membership.me && membership.peers.contains_key(from))
        .ok_or_else(|| format!("node {from} is no other member of group {group}"))
}

fn read_until_broken(stream: &TcpStream, from: NodeId, peers: &Peers, inbox: &Inbox) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut reader = BufReader::with_capacity(READ_BUFFER, stream);
    while let Some(body) = frame::read_frame(&mut reader, FRAME_BYTES_MAX)? {
        peers.peer(from).heard.now();
        let message = wire::decode(body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if !inbox.put(Input::Received { from, message }) {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn membership() -> Membership {
        let address: SocketAddr = ([127, 0, 0, 1], 1).into();
        let peers: BTreeMap<NodeId, SocketAddr> =
            [1, 2].into_iter().filter_map(NodeId::new).map(|node| (node, address)).collect();
        Membership { cluster: 7, group: "alpha".to_owned(), me: NodeId::new(1).expect("not zero"), disk: 1, peers }
    }

    fn check_of(cluster: u128, group: &str, from: u16, to: u16) -> Result<u16, String> {
        check(&Greeting { cluster, group: group.to_owned(), from, to, disk: 1 }, &membership()).map(NodeId::get)
    }

    #[test]
    fn only_another_member_of_this_group_that_means_this_node_is_welcome() {
        assert_eq!(check_of(7, "alpha", 2, 1), Ok(2));
        for (refused, why) in [
            (check_of(8, "alpha", 2, 1), "another cluster"),
            (check_of(7, "beta", 2, 1), "belongs to group beta"),
            (check_of(7, "alpha", 2, 3), "looks for node 3"),
            (check_of(7, "alpha", 3, 1), "no other member"),
            (check_of(7, "alpha", 1, 1), "no other member"),
            (check_of(7, "alpha", 0, 1), "no other member"),
        ] {
            let said = refused.expect_err("is not welcome");
            assert!(said.contains(why), "{said}");
        }
    }
}
