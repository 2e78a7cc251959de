//! An operator's command acts on the cluster that it began with and on no other, takes no bank's majority away, and says for
//! whom it waits.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::by_hand::{Node, Place, init};
use crate::http;
use crate::network::{Network, TestDir, free_base, rialto, run, signal, stderr, stdout, until};

/// The numbers of those that vote, as a node says over HTTP.
fn voters(url: &str) -> Vec<u64> {
    until("the group can be read", || {
        let (status, text) = http::call("GET", &format!("{url}/v1/members"), None).ok()?;
        let group: Value = (status == 200).then(|| serde_json::from_str(&text).expect("answers are JSON"))?;
        let members = group["members"].as_array().expect("a list");
        let voters = members.iter().filter(|member| member["role"] == "voter");
        Some(voters.map(|member| member["node"].as_u64().expect("a number")).collect())
    })
}

/// `members replace` waits for a newcomer for as long as a person takes to start it. Meanwhile the cluster is gone and another
/// one is founded at the same addresses, with a healthy node at each: it must not lose one.
#[test]
fn a_replacement_that_waits_leaves_another_cluster_at_the_same_addresses_alone() {
    let dir = TestDir::new("refounded");
    let base = free_base();
    let data = |life: &str, node: u16| dir.path().join(format!("{life}-{node}"));
    let log = |life: &str, node: u16| dir.path().join(format!("{life}-{node}.log"));
    let start = |life: &str, place: &Place| Node::start(place, &data(life, place.node), &log(life, place.node));
    let alone = Place::of_alpha(base, 1, 1);
    let before = init(&alone, &data("before", 1), 1, None);
    let mut first = start("before", &alone);
    first.ready();

    let (peer, at) = (format!("127.0.0.1:{}", base + 22), format!("127.0.0.1:{}", base + 2));
    let mut replace = rialto()
        .args(["members", "replace", "1", "--node", "2", "--peer", &peer, "--http", &at, "--url", &alone.url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let mut said = BufReader::new(replace.stderr.take().expect("it was asked to be piped")).lines();
    let mut told = String::new();
    while !told.contains("waiting for it at") {
        told += &(said.next().expect("it goes on").expect("it is text") + "\n");
    }
    assert!(told.contains(&format!("--join --cluster {before}")), "{told}");
    // What is printed is all that the new node needs: also where it serves gRPC.
    assert!(told.contains(&format!("--http {at} --grpc 127.0.0.1:{} ", base + 12)), "{told}");

    drop(first);
    let places: Vec<Place> = (1..=3).map(|node| Place::of_alpha(base, node, 3)).collect();
    let after = init(&places[0], &data("after", 1), 3, None);
    places[1..].iter().for_each(|place| drop(init(place, &data("after", place.node), 3, Some(&after))));
    let mut nodes: Vec<Node> = places.iter().map(|place| start("after", place)).collect();
    nodes.iter_mut().for_each(Node::ready);

    let rest: Vec<String> = said.map_while(Result::ok).collect();
    let ended = replace.wait().expect("it is ours to wait for");
    let rest = rest.join("\n");
    assert_eq!(ended.code(), Some(1), "{told}{rest}");
    assert!(rest.contains("another cluster") && rest.contains("nothing was changed there"), "{rest}");
    assert_eq!(voters(&places[0].url()), [1, 2, 3], "nobody was removed from the cluster that came later");

    // Whoever names the cluster is refused by any other, whatever the command.
    let url = places[0].url();
    let named = |arguments: &[&str]| run(&[arguments, &["--url", &url, "--cluster", &before, "--json"]].concat());
    for command in [
        &["mode", "leaderless"][..],
        &["limits", "transfer", "5.00"],
        &["members"],
        &["members", "remove", "3", "--yes"],
        &["user", "add", "eve"],
        &["user", "passwd", "eve"],
        &["user", "lock", "eve"],
    ] {
        let refused = named(command);
        assert_eq!(refused.status.code(), Some(1), "{command:?}: {}{}", stdout(&refused), stderr(&refused));
        assert!(stderr(&refused).contains("another cluster"), "{command:?}: {}", stderr(&refused));
    }
    let shown = run(&["mode", "--url", &url, "--cluster", &after]);
    assert!(stdout(&shown).contains("is in leader mode"), "{}", stderr(&shown));
    let other = run(&["mode", "leaderless", "--url", &url, "--bank", "beta"]);
    assert!(stderr(&other).contains("are of bank alpha, not of beta"), "{}", stderr(&other));
}

/// A gateway of one node that a test runs by hand, of a cluster of its own; the cluster.
fn gateway(base: u16, dir: &Path, life: &str) -> (Node, String) {
    let (data, said) = (dir.join(life), dir.join(format!("{life}.log")));
    let data = data.to_str().expect("UTF-8");
    let made = run(&["gateway", "init", "--name", "main", "--node", "1", "--nodes", "1", "--data", data]);
    assert!(made.status.success(), "{}", stderr(&made));
    let cluster = stdout(&made).lines().find_map(|line| line.strip_prefix("cluster ").map(str::to_owned));
    let at = |offset: u16| format!("127.0.0.1:{}", base + offset);
    let process = rialto()
        .args(["gateway", "--name", "main", "--node", "1", "--data", data])
        .args(["--http", &at(1), "--grpc", &at(11), "--peer-listen", &at(21)])
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&said).expect("there is room"))
        .spawn()
        .expect("the binary was built");
    let mut node = Node::adopt(process, format!("http://{}", at(1)), &said);
    node.ready();
    (node, cluster.expect("it is told"))
}

/// The same over gRPC, by which the gateway's operators give their commands.
#[test]
fn a_command_to_the_gateway_that_waits_leaves_another_cluster_at_the_same_address_alone() {
    let dir = TestDir::new("refounded-gateway");
    let base = free_base();
    let at = format!("127.0.0.1:{}", base + 11);
    let settings = |more: &[&str]| run(&[&["settings", "--gateway", &at, "--json"], more].concat());
    let (node, before) = gateway(base, dir.path(), "before");
    let meant = settings(&["--cluster", &before]);
    assert!(meant.status.success(), "{}", stderr(&meant));
    drop(node);

    let mut change = rialto()
        .args(["settings", "timeout-2pc-ms", "5555", "--gateway", &at, "--cluster", &before, "--timeout", "600"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let mut said = BufReader::new(change.stderr.take().expect("it was asked to be piped")).lines();
    let waiting = said.next().expect("it says for whom it waits").expect("it is text");
    assert!(waiting.contains("waiting for the gateway"), "{waiting}");
    let (_node, after) = gateway(base, dir.path(), "after");
    let rest: Vec<String> = said.map_while(Result::ok).collect();
    let rest = rest.join("\n");
    let ended = change.wait().expect("it is ours to wait for");
    assert_eq!(ended.code(), Some(1), "{rest}");
    assert!(rest.contains("code: other_cluster") && rest.contains("nothing was changed there"), "{rest}");
    let now = settings(&["--cluster", &after]);
    assert!(now.status.success() && !stdout(&now).contains("5555"), "{}{}", stdout(&now), stderr(&now));
}

fn pid(network: &Network, node: u64) -> u32 {
    u32::try_from(network.node(node)["pid"].as_u64().expect("it runs")).expect("a process number")
}

/// A node of a network that hangs: it goes on when this is dropped, so that it ends with its `up`.
struct Hung(u32);

impl Hung {
    fn stop(network: &Network, node: u64) -> Hung {
        let pid = pid(network, node);
        signal("STOP", pid);
        Hung(pid)
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").args(["-CONT", &self.0.to_string()]).status();
    }
}

#[test]
fn a_bank_with_a_hung_node_keeps_its_majority_and_is_not_left_with_two_votes_unasked() {
    let dir = TestDir::new("quorum");
    let network = Network::up(dir.path(), &["--base-port", &free_base().to_string(), "--no-restart"]);
    network.all_ready();
    let command = |arguments: &[&str]| run(&[arguments, &["--dir", network.dir()]].concat());
    let unasked = command(&["members", "remove", "3"]);
    assert_eq!(unasked.status.code(), Some(2), "{}{}", stdout(&unasked), stderr(&unasked));
    assert!(stderr(&unasked).contains("with 2 it stops whenever one of them is down"), "{}", stderr(&unasked));

    let hung = Hung::stop(&network, 3);
    // Nobody has noticed yet that it hangs: a change that was taken now would leave 1 and 3.
    let refused = command(&["members", "remove", "2", "--yes"]);
    assert_eq!(refused.status.code(), Some(1), "{}{}", stdout(&refused), stderr(&refused));
    assert!(stderr(&refused).contains("code: would_lose_quorum"), "{}", stderr(&refused));
    let url = network.node(1)["http"].as_str().expect("it runs").to_owned();
    assert_eq!(voters(&url), [1, 2, 3]);

    // An audit does not wait for who will not answer, and says for whom it waited.
    let begun = Instant::now();
    let audit = command(&["audit"]);
    assert_eq!(audit.status.code(), Some(1), "{}", stdout(&audit));
    assert!(
        stdout(&audit).contains("node 3 of bank alpha") && stdout(&audit).contains("so it hangs or is cut off"),
        "{}",
        stdout(&audit)
    );
    assert!(stderr(&audit).contains("waiting for node 3 of bank alpha"), "{}", stderr(&audit));
    assert!(begun.elapsed() < Duration::from_secs(60), "it took {:?}", begun.elapsed());

    drop(hung);
    network.event(&["node 3 answers again"]);
    // With everybody there it may go, if that is said.
    until("node 1 hears node 3", || {
        let status = network.status(1)?;
        status["peers"].as_array()?.iter().all(|peer| peer["connected"] == true).then_some(())
    });
    let removed = command(&["members", "remove", "3", "--yes"]);
    assert!(removed.status.success(), "{}{}", stdout(&removed), stderr(&removed));
    assert_eq!(voters(&url), [1, 2]);
}

#[test]
fn where_there_are_several_banks_none_is_guessed() {
    let dir = TestDir::new("which-bank");
    let flags = ["--bank", "alpha", "--bank", "beta", "--nodes", "1", "--base-port"];
    let network = Network::up(dir.path(), &[&flags[..], &[&crate::network::free_bases(2).to_string()]].concat());
    let password = dir.path().join("password");
    std::fs::write(&password, "a secret word\n").expect("there is room");
    let add = ["user", "add", "erin", "--password-file", password.to_str().expect("UTF-8")];
    for command in [&["members", "remove", "1"][..], &["members", "add"], &["mode", "leaderless"], &["limits"], &add] {
        let refused = run(&[command, &["--dir", network.dir()]].concat());
        let said = stderr(&refused);
        assert_eq!(refused.status.code(), Some(2), "{command:?}: {}{said}", stdout(&refused));
        assert!(said.contains("they are: alpha, beta") && said.contains("--bank alpha"), "{command:?}: {said}");
    }
    let named = run(&["mode", "--bank", "beta", "--dir", network.dir()]);
    assert!(stdout(&named).contains("bank beta is in leader mode"), "{}", stderr(&named));
}
