//! Commands that are sent to the wrong place, or to nobody: what they say is ours, names who is there or is waited for, and
//! comes in the time that they say.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::network::{network_json, rialto, run, signal, stderr, stdout, until};
use crate::town::Town;

/// Words of libraries and of the system, which tell whoever runs a command nothing.
const FOREIGN: [&str; 11] = [
    "InvalidContentType",
    "broken pipe",
    "deadline has elapsed",
    "NoApplicationProtocol",
    "NoApplication",
    "HTTP version parsed",
    "frame with invalid size",
    "transport error",
    "os error",
    "hyper",
    "try again later",
];

/// An address where the gateway's gRPC is not, and what is said of it.
struct Wrong {
    what: &'static str,
    address: String,
    with_tls: bool,
    said: &'static str,
    code: i32,
}

fn host(entry: &Value, port: &str) -> String {
    let address = entry[port].as_str().expect("an address");
    address.split_once("://").map_or(address, |(_, host)| host).to_owned()
}

#[test]
fn no_command_repeats_what_a_library_says_of_a_wrong_address() {
    let town = Town::new("wrong-addresses");
    let dir = town.network.dir().to_owned();
    let file = network_json(dir.as_ref());
    let node = |group: &str| {
        let nodes = file["nodes"].as_array().expect("a list");
        nodes.iter().find(|node| node["group"] == group && node["node"] == 1).expect("it was made").clone()
    };
    let (gateway, bank) = (node("gateway"), node("alpha"));
    // Its backlog takes connections, and nobody answers.
    let hung = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let closed = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let nobody = closed.local_addr().expect("it is bound").to_string();
    drop(closed);
    let wrong = |what, address: String, said| Wrong { what, address, with_tls: true, said, code: 8 };
    let table = [
        Wrong { code: 2, ..wrong("the gateway's HTTP", host(&gateway, "http"), "speaks HTTP") },
        Wrong { code: 2, ..wrong("a bank's HTTP", host(&bank, "http"), "is of node 1 of bank alpha") },
        wrong("a peer port", host(&gateway, "peer"), "not the port that is meant"),
        wrong("a bank's gRPC", host(&bank, "grpc"), "not a node of the gateway"),
        Wrong { with_tls: false, ..wrong("without TLS", host(&gateway, "grpc"), "does it speak TLS?") },
        wrong("a port that hangs", hung.local_addr().expect("it is bound").to_string(), "did not answer in time"),
        wrong("a closed port", nobody, "connection refused, nothing listens there"),
    ];
    let id = "018f2f6c-0000-7000-8000-000000000001";
    let url = gateway["http"].as_str().expect("an address").to_owned();
    let commands: Vec<Vec<&str>> = vec![
        vec!["positions"],
        vec!["payments"],
        vec!["payments", "show", id],
        vec!["keys", "retire", "8f0c2f6c11223344"],
        vec!["settings"],
        vec!["audit", "--url", &url],
    ];
    let tls = format!("{dir}/tls");
    let mut found = Vec::new();
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        for wrong in &table {
            for command in &commands {
                let (tls, running_to) = (tls.as_str(), &wrong.address);
                running.push(scope.spawn(move || {
                    let mut call = rialto();
                    call.args(command).args(["--gateway", running_to]);
                    if wrong.with_tls {
                        call.args(["--tls-dir", tls]);
                    }
                    until("a busy node does not give up a handshake", || {
                        let done = call.output().expect("the binary was built");
                        let told = stdout(&done) + &stderr(&done);
                        let is_given_up = ["it ended the connection", "did not answer in time"]
                            .iter()
                            .any(|said| told.contains(said));
                        (told.contains(wrong.said) || !is_given_up).then(|| (wrong, command, done.status.code(), told))
                    })
                }));
            }
        }
        for one in running {
            found.push(one.join().expect("it does not panic"));
        }
    });
    for (wrong, command, code, told) in &found {
        let which = format!("{} {command:?}: {code:?} {told}", wrong.what);
        for foreign in FOREIGN {
            assert!(!told.contains(foreign), "{foreign:?} in {which}");
        }
        assert!(told.contains(wrong.said), "{:?} is missing: {which}", wrong.said);
        let expected = if command[0] == "audit" { 1 } else { wrong.code };
        assert_eq!(*code, Some(expected), "{which}");
    }
    // A gRPC port where HTTP is wanted.
    let asked = run(&["status", "--url", &format!("http://{}", host(&gateway, "grpc"))]);
    let told = stdout(&asked) + &stderr(&asked);
    assert!(FOREIGN.iter().all(|foreign| !told.contains(foreign)), "{told}");
    assert!(told.contains("does not speak HTTP there"), "{told}");
}

/// Far more than any of these commands takes, and far less than waiting for whoever does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn commands_end_in_the_time_that_they_say_and_name_who_does_not_answer() {
    let town = Town::new("in-time");
    let dir = town.network.dir().to_owned();
    let timed = |arguments: &[&str]| {
        let began = Instant::now();
        let done = run(&[arguments, &["--dir", &dir]].concat());
        (done.status.code(), stdout(&done) + &stderr(&done), began.elapsed())
    };
    let pids: Vec<u32> = (1..=3).filter_map(|node| town.pid("alpha", node)).collect();
    assert_eq!(pids.len(), 3);
    pids.iter().for_each(|pid| signal("STOP", *pid));
    let (code, told, took) = timed(&["limits", "--bank", "alpha", "--timeout", "3"]);
    assert!(code == Some(8) && told.contains("bank alpha did not answer for 3 s"), "{code:?} {told}");
    assert!(took < PATIENCE, "{took:?}: {told}");
    let (code, told, took) = timed(&["audit"]);
    assert!(code == Some(1) && told.contains("not compared with bank alpha, for no node of it answers"), "{told}");
    assert!(!told.contains("status 503") && took < PATIENCE, "{took:?}: {told}");
    pids.iter().for_each(|pid| signal("CONT", *pid));

    let gateway: Vec<u32> = (1..=3).filter_map(|node| town.pid("gateway", node)).collect();
    gateway.iter().for_each(|pid| signal("STOP", *pid));
    let (_, told, took) = timed(&["audit"]);
    assert!(told.contains("between banks: not compared, for no node of the gateway answers"), "{told}");
    assert!(!told.contains("no payment moves") && took < PATIENCE, "{took:?}: {told}");
    gateway.iter().for_each(|pid| signal("CONT", *pid));

    let (network, _dir) = town.into_network();
    network.stop();
    let (code, told, took) = timed(&["bench", "--bank", "alpha"]);
    let nobody = ["no node of bank alpha runs", "bank alpha cannot be reached"];
    assert!(code == Some(8) && nobody.iter().any(|words| told.contains(words)), "{code:?} {told}");
    assert!(took < PATIENCE, "{took:?}");
    let (_, told, took) = timed(&["audit"]);
    assert!(told.contains("no node of the gateway answers") && took < PATIENCE, "{took:?}: {told}");
    let began = Instant::now();
    let elsewhere = run(&["bench", "--grpc", "127.0.0.1:1"]);
    let told = stderr(&elsewhere);
    assert_eq!(elsewhere.status.code(), Some(8), "{told}");
    assert!(
        told.contains("bank alpha cannot be reached: connection refused") && !told.contains("void the id"),
        "{told}"
    );
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}
