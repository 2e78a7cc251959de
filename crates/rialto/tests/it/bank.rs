//! One node by itself: identity, settings, refusals, exit codes.

use std::path::Path;
use std::process::Stdio;

use crate::http;
use crate::network::{TestDir, free_base, rialto, run, signal, stderr, stdout, until};

fn init(data: &Path, node: &str, nodes: &str) {
    let data = data.to_str().expect("UTF-8");
    let made = run(&["bank", "init", "--name", "alpha", "--node", node, "--nodes", nodes, "--data", data]);
    assert!(made.status.success(), "{}", stderr(&made));
    assert!(stdout(&made).contains("\ncluster "), "{}", stdout(&made));
}

#[test]
fn one_node_runs_by_itself_from_a_file_and_ends_with_the_agreed_codes() {
    let dir = TestDir::new("alone");
    let data = dir.path().join("node");
    init(&data, "1", "1");
    let base = free_base();
    let config = dir.path().join("bank.toml");
    let text = format!(
        "name = \"alpha\"\nnode = 1\ndata = {data:?}\nhttp = \"127.0.0.1:{}\"\ngrpc = \"127.0.0.1:{}\"\npeer_listen = \"127.0.0.1:{}\"\nlog_format = \"json\"\n",
        base + 1,
        base + 11,
        base + 21
    );
    std::fs::write(&config, text).expect("there is room");
    let start = || {
        let mut command = rialto();
        command.args(["bank", "--config"]).arg(&config).stderr(Stdio::null()).spawn().expect("the binary was built")
    };
    let url = format!("http://127.0.0.1:{}", base + 1);
    let is_ready = || http::call("GET", &format!("{url}/readyz"), None).ok().filter(|(status, _)| *status == 200);

    let mut node = start();
    until("it is ready", is_ready);
    signal("TERM", node.id());
    assert_eq!(node.wait().expect("it is ours").code(), Some(0), "stopped in order");

    let mut node = start();
    until("it is ready", is_ready);
    http::call("POST", &format!("{url}/shutdown"), None).expect("it answers");
    assert_eq!(node.wait().expect("it is ours").code(), Some(3), "told to shut down");
}

#[test]
fn another_nodes_directory_is_refused() {
    let dir = TestDir::new("anothers");
    init(dir.path(), "2", "3");
    let refused = run(&["bank", "--name", "alpha", "--node", "1", "--data", dir.path().to_str().expect("UTF-8")]);
    assert_eq!(refused.status.code(), Some(4));
    let said = stderr(&refused);
    assert!(
        said.starts_with("error: this directory belongs to node 2 of bank alpha, not to node 1\n  identity: "),
        "{said}"
    );
}

#[test]
fn an_identity_is_made_once_and_never_by_starting() {
    let dir = TestDir::new("once");
    let data = dir.path().to_str().expect("UTF-8");
    let empty = run(&["bank", "--name", "alpha", "--node", "1", "--data", data]);
    assert_eq!(empty.status.code(), Some(4));
    assert!(stderr(&empty).contains("holds no identity"), "{}", stderr(&empty));
    init(dir.path(), "1", "3");
    let again = run(&["bank", "init", "--name", "alpha", "--node", "1", "--nodes", "3", "--data", data]);
    assert_eq!(again.status.code(), Some(4));
    assert!(stderr(&again).contains("already belongs to node 1 of bank alpha"), "{}", stderr(&again));
}

#[test]
fn other_machines_are_let_in_only_with_a_token_and_a_word_about_encryption() {
    let dir = TestDir::new("exposed");
    init(dir.path(), "1", "1");
    let token = dir.path().join("token");
    std::fs::write(&token, "0123456789abcdef0123456789abcdef").expect("there is room");
    let (data, token) = (dir.path().to_str().expect("UTF-8"), token.to_str().expect("UTF-8"));
    let base = ["bank", "--name", "alpha", "--node", "1", "--data", data, "--http", "0.0.0.0:0"];
    let without_token = run(&[&base[..], &["--no-tls"]].concat());
    assert_eq!(without_token.status.code(), Some(2));
    assert!(stderr(&without_token).contains("--operator-token-file"), "{}", stderr(&without_token));
    let without_word = run(&[&base[..], &["--operator-token-file", token]].concat());
    assert_eq!(without_word.status.code(), Some(2));
    assert!(stderr(&without_word).contains("--no-tls"), "{}", stderr(&without_word));
}

#[test]
fn a_log_level_that_is_none_is_refused_with_the_list_and_a_peer_that_never_comes_is_told_of() {
    let dir = TestDir::new("levels");
    let data = dir.path().join("node");
    init(&data, "1", "3");
    let base = ["bank", "--name", "alpha", "--node", "1", "--data", data.to_str().expect("UTF-8")];
    for level in ["verbose", "info,paxos=loud"] {
        let peers = "1=127.0.0.1:1,2=127.0.0.1:2,3=127.0.0.1:3";
        let refused = run(&[&base[..], &["--peers", peers, "--log-level", level]].concat());
        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
        assert!(stderr(&refused).contains("use error, warn, info, debug, trace"), "{}", stderr(&refused));
    }
    let place = crate::by_hand::Place::of_alpha(free_base(), 1, 3);
    let mut node = crate::by_hand::Node::start(&place, &data, &dir.path().join("node.log"));
    for peer in ["peer=2", "peer=3"] {
        node.says(&["WARN", "peer_unreachable", peer, "connection refused"]);
    }
    node.stop();
}

#[test]
fn a_port_that_is_taken_is_named() {
    let dir = TestDir::new("port");
    init(dir.path(), "1", "1");
    let squatter = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = squatter.local_addr().expect("it is bound").to_string();
    let data = dir.path().to_str().expect("UTF-8");
    let refused = run(&["bank", "--name", "alpha", "--node", "1", "--data", data, "--http", &address]);
    assert_eq!(refused.status.code(), Some(4));
    let port = address.rsplit(':').next().expect("it has a port");
    let said = stderr(&refused);
    assert!(said.contains(&format!("error: port {port} is in use: by another program")), "{said}");
}
