//! Callers on the peer port who are no peers: refused, told why, and without effect on the bank.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::by_hand::{Node, Place, cluster_of, init, line_in};
use crate::network::{Network, TestDir, free_base, until};

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).expect("it is not zero");
    stream
}

/// Says something to a peer port and holds the connection. A node that has hung up already is one that refused.
fn say(port: u16, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(port);
    let _ = stream.write_all(bytes);
    stream
}

fn is_hung_up(mut stream: TcpStream) -> bool {
    stream.read(&mut [0; 64]).map_or_else(|error| error.kind() == std::io::ErrorKind::ConnectionReset, |read| read == 0)
}

#[test]
fn garbage_on_the_peer_port_is_refused_and_told_while_payments_go_on() {
    let dir = TestDir::new("garbage");
    let base = free_base();
    let network = Network::start(&dir, base);
    let (a, b) = (network.open_account(), network.open_account());
    network.deposit(&a, "10");
    let leader = network.leader();
    let port = base + 20 + u16::try_from(leader).expect("a node's number");
    let log = dir.path().join(format!("alpha/{leader}/node.log"));
    let refused = |why: &str| line_in(&log, &["stranger_refused", why, "nothing was lost"]);

    // The length, a checksum that cannot be right, and the body that was announced.
    let mut wrong_sum = vec![20, 0, 0, 0];
    wrong_sum.extend([0xA7; 28]);
    let held = [
        say(port, &wrong_sum),
        say(port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        say(port, &[0xFF; 12]),
        say(port, &[40, 0, 0, 0, 1, 2, 3]),
    ];
    network.move_until_done("01900000-0000-7000-8000-000000000001", &a, &b, "1");
    refused("a frame whose checksum is wrong");
    // "GET ", read as a length.
    refused(&format!("a frame of {} bytes", u32::from_le_bytes(*b"GET ")));
    refused("a frame of 4294967295 bytes");
    refused("it did not say who it is within 2 s");
    for (number, stream) in held.into_iter().enumerate() {
        assert!(is_hung_up(stream), "caller {number} is still listened to");
    }

    let silent: Vec<TcpStream> = (0..200).map(|_| connect(port)).collect();
    network.move_until_done("01900000-0000-7000-8000-000000000002", &a, &b, "1");
    refused("others have not said yet who they are");
    assert!(silent.into_iter().all(is_hung_up), "a silent caller is still waited for");
    assert_eq!((network.balance(&a), network.balance(&b)), ("8.00".to_owned(), "2.00".to_owned()));
}

#[test]
fn a_caller_that_drips_its_greeting_is_cut_off_as_soon_as_a_silent_one() {
    let dir = TestDir::new("drip");
    let base = free_base();
    let network = Network::up(dir.path(), &["--nodes", "1", "--base-port", &base.to_string()]);
    let mut stream = connect(base + 21);
    stream.write_all(&[200, 1, 0, 0]).expect("it listens");
    // Bytes of a greeting that is never whole, until it hangs up.
    until("it hangs up", || stream.write_all(b"r").is_err().then_some(()));
    line_in(&dir.path().join("alpha/1/node.log"), &["stranger_refused", "it did not say who it is within 2 s"]);
    network.open_account();
}

#[test]
fn nodes_of_elsewhere_are_refused_and_read_why_in_their_own_log() {
    let dir = TestDir::new("elsewhere");
    let base = free_base();
    let network = Network::start(&dir, base);
    let account = network.open_account();
    let cluster = cluster_of(dir.path());
    let (one, two, three) = (base + 21, base + 22, base + 23);
    let other = free_base();
    let place = |bank, node: u16, peers: &[(u16, u16)]| {
        let own = (node, other + 20 + node);
        let peers = peers.iter().copied().filter(|(number, _)| *number != node).chain([own]).collect();
        Place { bank, node, base: other, peers }
    };
    let here = [(1, one), (2, two), (3, three)];
    let strangers = [
        (place("alpha", 3, &here), 3, None, "node 3 belongs to another cluster"),
        (place("beta", 3, &here), 3, Some(&cluster), "node 3 belongs to group beta, this is alpha"),
        // It takes node 1 for node 2, and finds nobody where it looks for node 1.
        (
            place("alpha", 3, &[(1, other + 21), (2, one)]),
            3,
            Some(&cluster),
            "node 3 looks for node 2 here, this is node 1",
        ),
        (
            place("alpha", 4, &[(1, one), (2, two), (3, three), (5, other + 25)]),
            5,
            Some(&cluster),
            "node 4 is no member of group alpha; it is admitted with: rialto members add",
        ),
    ];
    for (number, (place, nodes, cluster, why)) in strangers.into_iter().enumerate() {
        let data = dir.path().join(format!("stranger-{number}"));
        init(&place, &data, nodes, cluster.map(String::as_str));
        let mut stranger = Node::start(&place, &data, &dir.path().join(format!("stranger-{number}.log")));
        stranger.says(&["peer_refuses", why]);
        line_in(&dir.path().join("alpha/1/node.log"), &["stranger_refused", why]);
        network.deposit(&account, "1");
        stranger.stop();
    }
    assert_eq!(network.balance(&account), "4.00");
}
