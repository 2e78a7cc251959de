//! Certificates as people make them, and a bank whose nodes speak TLS to each other and to their callers.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use api::client::{Client, Options, Transfer, new_account_id};
use certs::{Expected, Files, Protocol, Subject};
use ledger::{AccountId, Amount, Currency};
use serde_json::Value;

use crate::by_hand::{Node, Place, init};
use crate::network::{Owned, TestDir, free_base, rialto, run, stderr, stdout, until};

fn certs(ca: &Path, arguments: &[&str]) -> std::process::Output {
    let dir = ca.to_str().expect("UTF-8");
    run(&[&["certs"], arguments, &["--dir", dir]].concat())
}

fn made(ca: &Path, arguments: &[&str]) -> String {
    let done = certs(ca, arguments);
    assert!(done.status.success(), "{}", stderr(&done));
    stdout(&done)
}

/// What a node is given: the CA, its certificate and its key.
fn hand_over(ca: &Path, subject: &str, to: &Path) {
    storage::private::make_dir(to).expect("there is room");
    let files = Files::new(ca, subject.parse().expect("a subject"));
    for path in [files.authority(), files.key(), files.certificate()] {
        let name = path.file_name().expect("it has a name");
        // As an operator would: beside the old one, then in its place.
        let new = to.join("handed-over");
        std::fs::copy(&path, &new).expect("it was made");
        std::fs::rename(new, to.join(name)).expect("there is room");
    }
}

fn start(place: &Place, dir: &Path) -> Node {
    let (local, node) = (|port: u16| format!("127.0.0.1:{port}"), place.node);
    let peers: Vec<String> = place.peers.iter().map(|(node, port)| format!("{node}={}", local(*port))).collect();
    let said = dir.join(format!("said-{node}"));
    let process = rialto()
        .args(["bank", "--name", place.bank, "--node", &node.to_string(), "--peers", &peers.join(",")])
        .args(["--http", &local(place.base + node), "--grpc", &local(place.base + 10 + node)])
        .args(["--peer-listen", &local(place.base + 20 + node), "--data"])
        .arg(dir.join(format!("node-{node}")))
        .arg("--tls-dir")
        .arg(dir.join(format!("tls-{node}")))
        .stderr(File::create(&said).expect("there is room"))
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary was built");
    Node::adopt(process, place.url(), &said)
}

#[test]
fn certificates_are_made_shown_and_replaced() {
    let dir = TestDir::new("certs");
    let ca = dir.path().join("ca");
    let without = certs(&ca, &["issue", "bank/alpha/1"]);
    assert_eq!(without.status.code(), Some(1));
    assert!(stderr(&without).contains("rialto certs init"), "{}", stderr(&without));
    let nowhere = certs(&ca, &["show"]);
    let said = stderr(&nowhere);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(said.contains("there is no directory") && said.contains("rialto certs init"), "{said}");
    assert!(!said.contains("os error"), "{said}");
    made(&ca, &["init"]);
    let said = made(&ca, &["issue", "bank/alpha/1", "client", "--host", "bank1.example"]);
    assert!(said.starts_with("bank/alpha/1: bank-alpha-1.crt and bank-alpha-1.key in "), "{said}");
    let again = certs(&ca, &["issue", "client"]);
    assert!(stderr(&again).contains("rialto certs rotate client"), "{}", stderr(&again));
    let nobody = certs(&ca, &["issue", "bank/alpha"]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(stderr(&nobody).contains("names nobody: write bank/NAME/NODE"), "{}", stderr(&nobody));

    let shown = || -> Value { serde_json::from_str(&made(&ca, &["show", "--json"])).expect("it is JSON") };
    let before = shown();
    let certificates = before["certificates"].as_array().expect("a list");
    let subjects: Vec<_> = certificates.iter().map(|it| it["subject"].as_str().expect("a text")).collect();
    assert_eq!(subjects, ["bank/alpha/1", "ca", "client"]);
    assert_eq!(certificates[0]["days_left"], 364);
    made(&ca, &["rotate", "bank/alpha/1"]);
    let after = shown();
    assert_ne!(after["certificates"][0]["sha256"], before["certificates"][0]["sha256"]);
    assert_eq!(after["certificates"][0]["hosts"], before["certificates"][0]["hosts"]);
    assert_eq!(after["certificates"][1], before["certificates"][1]);
}

#[test]
fn a_bank_over_tls_pays_while_its_certificates_are_replaced_and_strangers_are_kept_out() {
    let dir = TestDir::new("secured");
    let (dir, ca, base) = (dir.path(), dir.path().join("ca"), free_base());
    made(&ca, &["init"]);
    made(&ca, &["issue", "bank/alpha/1", "bank/alpha/2", "bank/alpha/3", "operator/anna"]);
    let places: Vec<Place> = (1..=3).map(|node| Place::of_alpha(base, node, 3)).collect();
    let mut cluster = None;
    for place in &places {
        let made = init(place, &dir.join(format!("node-{}", place.node)), 3, cluster.as_deref());
        cluster = cluster.or(Some(made));
        hand_over(&ca, &format!("bank/alpha/{}", place.node), &dir.join(format!("tls-{}", place.node)));
    }
    let mut nodes: Vec<Node> = places.iter().map(|place| start(place, dir)).collect();
    nodes.iter_mut().for_each(Node::ready);

    let expected = Expected::NodeOfBank("alpha".parse().expect("a name"));
    let anna: Subject = "operator/anna".parse().expect("a subject");
    let tls = certs::Client::new(Files::new(&ca, anna), expected, Protocol::Grpc).expect("it was issued");
    let options = Options { tls: Some(Arc::new(tls)), ..Options::default() };
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let _entered = runtime.enter();
    let addresses = || (1..=3).map(|node| format!("127.0.0.1:{}", base + 10 + node));
    let bank = Client::connect_with(addresses(), options).expect("addresses");
    let alice = new_account_id();
    runtime.block_on(bank.open_account(alice, "Alice", Currency::EUR)).expect("opened");
    let mut paid = 0;
    let mut pay = || {
        let deposit = Transfer::new(AccountId::vault(Currency::EUR), alice, Amount::new(1).expect("in range"));
        runtime.block_on(bank.transfer(&deposit)).expect("paid");
        paid += 1;
    };
    pay();
    for place in &places {
        made(&ca, &["rotate", &format!("bank/alpha/{}", place.node)]);
        hand_over(&ca, &format!("bank/alpha/{}", place.node), &dir.join(format!("tls-{}", place.node)));
        pay();
    }
    // A node takes its new certificate when somebody connects: a restart of one shows that they still believe each other.
    nodes.remove(0).stop();
    pay();
    let mut first = start(&places[0], dir);
    first.ready();
    for node in [&first, &nodes[0], &nodes[1]] {
        until("the peers are connected again", || node.said().contains("peer_connected").then_some(()));
    }
    pay();

    // Without a certificate nobody gets in, neither to gRPC nor to the peers.
    let plain = Client::connect_with(
        [format!("127.0.0.1:{}", base + 11)],
        Options { deadline: std::time::Duration::from_millis(500), ..Options::default() },
    );
    let refused = runtime.block_on(plain.expect("an address").balance(alice));
    assert!(refused.is_err(), "{refused:?}");
    first.says(&["caller_refused", "it does not speak TLS"]);
    let mut stranger = std::net::TcpStream::connect(("127.0.0.1", base + 21)).expect("it listens");
    std::io::Write::write_all(&mut stranger, b"rialto-peer, or so it says").expect("written");
    first.says(&["stranger_refused", "it does not speak TLS"]);
    assert_eq!(runtime.block_on(bank.balance(alice)).expect("found"), paid);
    // No secret is in what they said.
    for node in [&first, &nodes[0], &nodes[1]] {
        assert!(!node.said().contains("PRIVATE"));
    }
}

#[test]
fn a_node_does_not_start_with_the_certificate_of_another() {
    let dir = TestDir::new("anothers-certificate");
    let (dir, ca, base) = (dir.path(), dir.path().join("ca"), free_base());
    made(&ca, &["init"]);
    made(&ca, &["issue", "bank/alpha/2"]);
    let place = Place::of_alpha(base, 1, 1);
    init(&place, &dir.join("node-1"), 1, None);
    storage::private::make_dir(&dir.join("tls-1")).expect("there is room");
    let (code, said) = start(&place, dir).end();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("rialto certs"), "{said}");
    hand_over(&ca, "bank/alpha/2", &dir.join("tls-1"));
    for (from, to) in [("bank-alpha-2.crt", "bank-alpha-1.crt"), ("bank-alpha-2.key", "bank-alpha-1.key")] {
        std::fs::rename(dir.join("tls-1").join(from), dir.join("tls-1").join(to)).expect("it is there");
    }
    let (code, said) = start(&place, dir).end();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("is for bank/alpha/2, not for bank/alpha/1"), "{said}");
}

#[test]
fn keys_are_made_and_used_only_where_nobody_else_may_look() {
    let dir = TestDir::new("open-keys");
    let (dir, ca, base) = (dir.path(), dir.path().join("ca"), free_base());
    let set_mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("it is ours");
    };
    std::fs::create_dir(&ca).expect("there is room");
    set_mode(&ca, 0o777);
    let refused = certs(&ca, &["init"]);
    let close = format!("chmod 700 {}", ca.display());
    assert!(!refused.status.success() && stderr(&refused).contains(&close), "{}", stderr(&refused));
    assert!(!ca.join("ca.key").exists(), "no key was written there");
    set_mode(&ca, 0o700);
    made(&ca, &["init"]);
    set_mode(&ca, 0o755);
    let refused = certs(&ca, &["issue", "bank/alpha/1"]);
    assert!(!refused.status.success() && stderr(&refused).contains(&close), "{}", stderr(&refused));
    set_mode(&ca, 0o700);
    made(&ca, &["issue", "bank/alpha/1"]);

    let place = Place::of_alpha(base, 1, 1);
    init(&place, &dir.join("node-1"), 1, None);
    let tls = dir.join("tls-1");
    hand_over(&ca, "bank/alpha/1", &tls);
    for (path, open, closed) in [(tls.join("bank-alpha-1.key"), 0o666, 0o600), (tls, 0o777, 0o700)] {
        set_mode(&path, open);
        let (code, said) = start(&place, dir).end();
        let close = format!("chmod {closed:o} {}", path.display());
        assert!(code == Some(4) && said.contains(&close), "{code:?}: {said}");
        set_mode(&path, closed);
    }
    let mut node = start(&place, dir);
    node.ready();
    node.stop();
}

#[test]
fn over_https_a_token_is_asked_for_and_whoever_knows_the_ca_is_served() {
    let dir = TestDir::new("https");
    let (dir, base) = (dir.path(), free_base());
    let tls = dir.join("tls");
    made(&tls, &["init"]);
    made(&tls, &["issue", "bank/alpha/1", "--host", "127.0.0.1", "--host", "localhost"]);
    let token = dir.join("token");
    std::fs::write(&token, "operators-token-of-some-length").expect("there is room");
    let mine = std::process::Command::new("chmod").arg("600").arg(&token).status().expect("there is a chmod");
    assert!(mine.success());
    let (data, text) = (dir.join("node-1"), |path: &Path| path.to_str().expect("UTF-8").to_owned());
    let (data, token, ca) = (text(&data), text(&token), text(&tls.join("ca.crt")));
    let made_node = run(&["bank", "init", "--name", "alpha", "--node", "1", "--nodes", "1", "--data", &data]);
    assert!(made_node.status.success(), "{}", stderr(&made_node));
    let without = run(&["bank", "--name", "alpha", "--node", "1", "--data", &data, "--http-tls"]);
    assert!(stderr(&without).contains("--http-tls needs certificates"), "{}", stderr(&without));
    let at = |offset: u16| format!("127.0.0.1:{}", base + offset);
    let said = dir.join("said");
    let process = rialto()
        .args([
            "bank",
            "--name",
            "alpha",
            "--node",
            "1",
            "--data",
            &data,
            "--operator-token-file",
            &token,
            "--http-tls",
        ])
        .args(["--http", &at(1), "--grpc", &at(11), "--peer-listen", &at(21), "--tls-dir", &text(&tls)])
        .stderr(File::create(&said).expect("there is room"))
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary was built");
    let _process = Owned(process);
    let url = format!("https://{}", at(1));
    let limits = |flags: &[&str]| run(&[&["limits", "--url", &url], flags].concat());
    let told = until("it serves", || {
        let output = limits(&["--ca", &ca, "--operator-token-file", &token]);
        output.status.success().then(|| stdout(&output))
    });
    assert_eq!(told, "bank alpha has no limits\n");
    let unknown = limits(&["--operator-token-file", &token]);
    assert!(stderr(&unknown).contains("--ca FILE, or RIALTO_CA"), "{}", stderr(&unknown));
    let unsigned = limits(&["--ca", &ca]);
    assert!(stderr(&unsigned).contains("wants the operator's token"), "{}", stderr(&unsigned));
    // What everybody has at hand, with a name of the certificate, with another one, and in plain text.
    let curl = |arguments: &[&str]| {
        let output = std::process::Command::new("curl").args(["-sS", "--max-time", "20"]).args(arguments).output();
        let output = output.expect("there is a curl");
        (output.status.code(), stdout(&output) + &stderr(&output))
    };
    let live = format!("https://localhost:{}/livez", base + 1);
    assert_eq!(curl(&["--cacert", &ca, &live]).0, Some(0));
    let other_name = format!("https://other.example:{}/livez", base + 1);
    let resolve = format!("other.example:{}:127.0.0.1", base + 1);
    assert_eq!(
        curl(&["--cacert", &ca, "--resolve", &resolve, &other_name]).0,
        Some(60),
        "its certificate is for no such name"
    );
    assert_eq!(curl(&[&live]).0, Some(60), "nobody knows this CA");
    assert_ne!(curl(&[&format!("http://{}/livez", at(1))]).0, Some(0), "nothing is said in plain text");
}
