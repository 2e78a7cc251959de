//! Two nodes over real sockets: members come, go, and are told why.

use super::link::tests::Issued;
use super::*;
use crate::replica_loop::{self, Tasks};
use paxos::Slot;
use replica::Input;
use replica::group::Group;
use std::net::SocketAddr;
use std::path::PathBuf;

const PATIENCE: Duration = Duration::from_secs(10);

fn node(number: u16) -> NodeId {
    NodeId::new(number).expect("not zero")
}

/// One node's transport, with what it heard.
struct Place {
    peers: Peers,
    inbox: Inbox,
    tasks: Tasks,
    failures: mpsc::Receiver<NodeError>,
    address: SocketAddr,
    dir: PathBuf,
}

impl Place {
    fn start(number: u16, disk: u64, test: &str) -> Place {
        Place::start_with(None, number, disk, test)
    }

    fn start_with(papers: Option<Papers>, number: u16, disk: u64, test: &str) -> Place {
        let papers = papers.map(Arc::new);
        let dir = std::env::temp_dir().join(format!("rialto-peers-{test}-{number}-{disk}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (inbox, tasks) = replica_loop::inbox();
        let (failed, failures) = mpsc::channel(4);
        let me = Me { cluster: 7, group: "alpha".to_owned(), node: node(number), disk, papers };
        let (known, _) = KnownDisks::load(&dir).expect("nothing is noted yet");
        let peers = Peers::start((me, Roster::default()), vec![listener], &inbox, known, failed).expect("threads");
        Place { peers, inbox, tasks, failures, address, dir }
    }

    /// These are the others, and numbers below 9 were used.
    fn know(&self, others: &[(u16, &Place, Option<u64>)], settled: bool) {
        let contact = |(number, place, pin): &(u16, &Place, Option<u64>)| {
            (node(*number), Contact { address: place.address.to_string(), pin: *pin })
        };
        let others = others.iter().map(contact).collect();
        let group = Arc::new(Group { version: 1, next_number: 9, ..Group::unknown() });
        self.peers.set_roster(Roster { group, others, settled }).expect("threads");
    }

    fn wait(&self, what: &str, wanted: impl Fn(&Input) -> bool) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            // Something is looked at even when nothing comes, for whoever repeats what was said.
            let input = self.tasks.next_input(Duration::from_millis(50)).unwrap_or(Input::Tick);
            if wanted(&input) {
                return;
            }
        }
        panic!("{what} did not happen");
    }

    fn failure(&mut self) -> NodeError {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Ok(error) = self.failures.try_recv() {
                return error;
            }
            std::thread::yield_now();
        }
        panic!("the node was not told to stop");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inbox.stop();
        self.peers.close();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Says it again and again, as Paxos does: nobody sends heartbeats here, so a slow machine may lose a connection.
fn say_until_heard((from, to): (&Place, &Place), number: u16, slot: u64) {
    to.wait("the message", |input| {
        from.peers.send(node(number), &Message::Nudge(Slot::new(slot)));
        heard(slot)(input)
    });
}

fn heard(slot: u64) -> impl Fn(&Input) -> bool {
    move |input| matches!(input, Input::Received { message: Message::Nudge(through), .. } if *through == Slot::new(slot))
}

#[test]
fn a_member_that_is_added_is_spoken_to_and_one_that_is_removed_no_longer() {
    let (one, two) = (Place::start(1, 11, "come"), Place::start(2, 22, "come"));
    one.peers.send(node(2), &Message::Nudge(Slot::new(1)));
    one.know(&[(2, &two, None)], false);
    two.know(&[(1, &one, None)], false);
    one.wait("a connection to node 2", |input| matches!(input, Input::Connected(to) if *to == node(2)));
    say_until_heard((&one, &two), 2, 2);
    two.wait("a connection to node 1", |input| matches!(input, Input::Connected(to) if *to == node(1)));
    one.know(&[], false);
    one.wait("the end of the connection", |input| matches!(input, Input::Disconnected(to) if *to == node(2)));
    two.peers.send(node(1), &Message::Nudge(Slot::new(3)));
    two.wait("the end of the connection", |input| matches!(input, Input::Disconnected(to) if *to == node(1)));
    // And back again.
    one.know(&[(2, &two, None)], false);
    one.wait("a new connection to node 2", |input| matches!(input, Input::Connected(to) if *to == node(2)));
    say_until_heard((&one, &two), 2, 4);
}

/// A peer dials again and again while a node is long in starting; the node then finds all those connections at its door.
#[test]
fn the_end_of_a_stale_connection_is_not_the_end_of_the_living_one() {
    let (one, two) = (Place::start(1, 11, "stale"), Place::start(2, 22, "stale"));
    one.know(&[(2, &two, None)], false);
    two.know(&[(1, &one, None)], false);
    two.wait("a connection to node 1", |input| matches!(input, Input::Connected(to) if *to == node(1)));
    say_until_heard((&one, &two), 2, 2);
    let of_one = two.peers.peer(node(1)).expect("it is known");
    let until = |what: &str, incoming: usize| {
        let began = Instant::now();
        while of_one.links().incoming != incoming {
            assert!(began.elapsed() < PATIENCE, "{what}");
            std::thread::yield_now();
        }
    };
    let (stale, _) = writer::greet(&one.peers.shared.me, node(2), &two.address.to_string()).expect("it is heard");
    until("the stale one comes in", 2);
    drop(stale);
    until("the stale one ends", 1);
    while let Some(input) = two.tasks.next_input(Duration::ZERO) {
        assert!(!matches!(input, Input::Disconnected(_)), "the other connection stands");
    }
    say_until_heard((&one, &two), 2, 3);
}

#[test]
fn a_peer_that_can_speak_again_is_connected_again() {
    let (one, two) = (Place::start(1, 11, "again"), Place::start(2, 22, "again"));
    one.know(&[], false);
    two.know(&[(1, &one, None)], false);
    // Node 1 refuses node 2 for now, which is dialled all the same.
    let of_one = two.peers.peer(node(1)).expect("it is known");
    of_one.set_out(true, node(1), &two.inbox);
    let comes = || writer::greet(&one.peers.shared.me, node(2), &two.address.to_string()).expect("it is heard").0;
    let said = |what: &str, wanted: fn(&Input) -> bool| two.wait(what, wanted);
    said("it can be spoken to", |input| matches!(input, Input::Connected(_)));
    let first = comes();
    said("it speaks", |input| matches!(input, Input::Connected(_)));
    drop(first);
    said("it speaks no more", |input| matches!(input, Input::Disconnected(_)));
    let _second = comes();
    said("it speaks again", |input| matches!(input, Input::Connected(_)));
}

#[test]
fn a_removed_node_is_told_that_it_may_go() {
    let (one, mut two) = (Place::start(1, 11, "gone"), Place::start(2, 22, "gone"));
    one.know(&[], true);
    two.know(&[(1, &one, None)], false);
    let NodeError::Removed { why } = two.failure() else { panic!("another failure") };
    assert!(why.contains("node 2 was removed from group alpha"), "{why}");
}

#[test]
fn the_disk_that_the_log_pins_is_the_only_one() {
    let (one, mut two) = (Place::start(1, 11, "pin"), Place::start(2, 22, "pin"));
    one.know(&[(2, &two, Some(21))], false);
    two.know(&[(1, &one, Some(11))], false);
    let error = two.failure();
    assert!(matches!(error, NodeError::OtherDisk { .. }), "{error}");
    assert!(error.to_string().contains("rialto members replace 2"), "{error}");
}

#[test]
fn members_with_certificates_speak_and_a_node_under_anothers_number_does_not() {
    let issued = Issued::new("members");
    let place = |number: u16, papers| Place::start_with(Some(papers), number, u64::from(number), "papers");
    let (one, two) = (place(1, issued.papers("bank/alpha/1")), place(2, issued.papers("bank/alpha/2")));
    one.know(&[(2, &two, None)], false);
    two.know(&[(1, &one, None)], false);
    one.wait("a connection to node 2", |input| matches!(input, Input::Connected(to) if *to == node(2)));
    say_until_heard((&one, &two), 2, 1);
    say_until_heard((&two, &one), 1, 2);
    // A good certificate of a third member, and the number and disk of the second.
    let posing = Me { papers: Some(Arc::new(issued.papers("bank/alpha/3"))), ..two.peers.shared.me.clone() };
    assert!(writer::greet(&posing, node(1), &one.address.to_string()).is_err(), "it speaks under another's number");
    // And one that answers where another is looked for.
    let error = writer::greet(&one.peers.shared.me, node(3), &two.address.to_string()).expect_err("that is node 2");
    assert_eq!(error.to_string(), "it should be node 3, and its certificate is that of bank/alpha/2");
    let plain = Me { papers: None, ..two.peers.shared.me.clone() };
    assert!(writer::greet(&plain, node(1), &one.address.to_string()).is_err(), "it speaks in plain text");
}
