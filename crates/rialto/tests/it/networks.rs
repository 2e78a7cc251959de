//! A profile belongs to one network: what was ordered in one, and the token of one, never reach another.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::network::{TestDir, rialto, stderr, stdout};
use crate::test_gateway::{PASSWORD, Serving, TestGateway};

/// Two networks that take turns at one address, and somebody who uses both.
struct Turns {
    home: TestDir,
    runtime: tokio::runtime::Runtime,
    address: SocketAddr,
    serving: Option<Serving>,
}

impl Turns {
    fn new(name: &str, first: &TestGateway) -> Turns {
        let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
        let serving = runtime.block_on(first.serve());
        Turns { home: TestDir::new(name), runtime, address: serving.address, serving: Some(serving) }
    }

    fn switch_to(&mut self, gateway: Option<&TestGateway>) {
        self.serving = None;
        // The port is free once the former listener has gone.
        self.serving = gateway.map(|gateway| self.runtime.block_on(gateway.serve_at(self.address)));
    }

    /// A command of somebody who names the address and no directory.
    fn run(&self, args: &[&str]) -> Output {
        self.run_at(args, &["--gateway", &self.address.to_string()])
    }

    fn run_at(&self, args: &[&str], place: &[&str]) -> Output {
        let mut command = rialto();
        for name in ["RIALTO_GATEWAY", "RIALTO_PROFILE", "RIALTO_DIR", "RIALTO_TLS_DIR", "RIALTO_CONSUL"] {
            command.env_remove(name);
        }
        command.args(args).args(place).current_dir(self.home.path());
        command.env("XDG_DATA_HOME", self.home.path()).env("RIALTO_PASSWORD", PASSWORD);
        command.stdin(Stdio::null()).output().expect("it starts")
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{args:?}: {output:?}"))
    }
}

#[test]
fn what_was_ordered_in_one_network_never_goes_out_in_another() {
    let (one, other) = (TestGateway::of_network(1), TestGateway::of_network(2));
    let mut turns = Turns::new("turns", &one);
    assert!(turns.run(&["login", "alpha", "alice"]).status.success());
    turns.switch_to(None);
    // The network that was last found there is the one that is meant.
    let kept = turns.json(&["pay", "bob@beta", "12.50"]);
    assert_eq!(kept["state"], "queued");

    turns.switch_to(Some(&other));
    let nobody = turns.run(&["balance"]);
    assert_eq!(nobody.status.code(), Some(9), "the sign-in is of the other network: {nobody:?}");
    assert!(turns.run(&["login", "alpha", "alice"]).status.success());
    assert_eq!(turns.json(&["pay", "bob@beta", "1"])["state"], "paid");
    assert!(turns.run(&["outbox", "run"]).status.success());
    assert_eq!((other.taken().len(), other.balance("alice@alpha")), (1, 99_00));
    assert_eq!((one.taken().len(), one.balance("alice@alpha")), (0, 100_00));

    turns.switch_to(Some(&one));
    assert!(turns.run(&["outbox", "run"]).status.success());
    assert_eq!((one.taken().len(), one.balance("alice@alpha")), (1, 87_50));
    assert_eq!(other.taken().len(), 1);
}

#[test]
fn a_directory_in_which_another_network_answers_is_refused_and_its_token_stays_here() {
    let (one, other) = (TestGateway::of_network(1), TestGateway::of_network(2));
    let mut turns = Turns::new("directory", &one);
    let dir = turns.home.path().to_str().expect("UTF-8").to_owned();
    let args = |args: &[&str]| [args, &["--dir", &dir]].concat().iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let run = |turns: &Turns, what: &[&str]| {
        let owned = args(what);
        turns.run(&owned.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert!(run(&turns, &["login", "alpha", "alice"]).status.success());
    assert!(run(&turns, &["pay", "bob@beta", "5", "--offline"]).status.success());
    turns.switch_to(Some(&other));
    for command in [&["balance"][..], &["history"], &["outbox", "run"], &["outbox", "retry"], &["sessions"]] {
        let refused = run(&turns, command);
        assert_eq!(refused.status.code(), Some(1), "{command:?}: {refused:?}");
        let said = stderr(&refused);
        assert!(said.contains("of another network") && said.contains("nothing was sent"), "{command:?}: {said}");
    }
    // A payment is kept, and not sent.
    let kept = run(&turns, &["pay", "bob@beta", "6"]);
    assert!(stdout(&kept).starts_with("queued 6.00 EUR"), "{kept:?}");
    assert!(stdout(&kept).contains("of another network"), "{kept:?}");
    let login = run(&turns, &["login", "alpha", "alice"]);
    assert_eq!(login.status.code(), Some(1), "{login:?}");
    assert_eq!((other.with_token(), other.called(), other.live_tokens()), (0, 0, 0));
    // The token that is here is not lost by it.
    turns.switch_to(Some(&one));
    assert!(run(&turns, &["outbox", "run"]).status.success());
    assert_eq!((one.taken().len(), one.balance("alice@alpha")), (2, 89_00));
}

#[test]
fn a_network_that_nobody_has_met_is_not_guessed() {
    let turns = {
        let mut turns = Turns::new("unmet", &TestGateway::of_network(1));
        turns.switch_to(None);
        turns
    };
    let unknown = turns.run(&["pay", "bob@beta", "1"]);
    assert_eq!(unknown.status.code(), Some(8), "{unknown:?}");
    assert!(stderr(&unknown).contains("which network that is, is not known here"), "{unknown:?}");
}

#[test]
fn whoever_does_not_say_where_the_gateway_is_hears_where_it_was() {
    let turns = Turns::new("unsaid", &TestGateway::of_network(1));
    assert!(turns.run(&["login", "alpha", "alice"]).status.success());
    let unsaid = turns.run_at(&["balance"], &[]);
    let said = stderr(&unsaid);
    assert_eq!(unsaid.status.code(), Some(1), "{said}");
    assert!(said.contains("known here: network 00000000-") && said.contains(&turns.address.to_string()), "{said}");
}

#[test]
fn the_address_of_the_gateways_http_is_told_apart_from_a_gateway_that_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    // Whatever is said to it, it answers as a node's HTTP does.
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (mut stream, mut request) = (stream, [0; 1024]);
            let read = stream.read(&mut request).unwrap_or(0);
            let body = r#"{"node":1,"group":"gateway"}"#;
            let answer = match request[..read].starts_with(b"GET /v1/status") {
                true => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()),
                false => "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let home = TestDir::new("http-address");
    let dir = home.path().to_str().expect("UTF-8");
    for place in [&["--dir", dir][..], &[]] {
        let mut command = rialto();
        command.args(["login", "alpha", "alice", "--gateway", &address.to_string()]).args(place);
        command.env("XDG_DATA_HOME", dir).env("RIALTO_PASSWORD", PASSWORD).current_dir(dir);
        let output = command.output().expect("it starts");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(said.contains("speaks HTTP, and this command needs the node's gRPC address"), "{said}");
        assert!(said.contains(&format!("--gateway 127.0.0.1:{}", address.port() + 10)), "{said}");
    }
    // A payment that could never go out by what was typed is not kept.
    let turns = Turns::new("http-address-pays", &TestGateway::of_network(1));
    let there = turns.address.to_string();
    let signed_in = turns.run_at(&["login", "alpha", "alice"], &["--gateway", &there, "--dir", "mine"]);
    assert!(signed_in.status.success(), "{signed_in:?}");
    let wrong = turns.run_at(&["pay", "bob@beta", "3"], &["--gateway", &address.to_string(), "--dir", "mine"]);
    let said = stderr(&wrong);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    assert!(said.contains("speaks HTTP") && said.contains("nothing was ordered"), "{said}");
    assert!(stdout(&turns.run_at(&["outbox", "list"], &["--dir", "mine"])).contains("nothing is in the outbox"));
}

#[test]
fn a_ca_that_was_never_trusted_is_refused_until_somebody_takes_it_or_the_old_one_stands_beside_it() {
    let home = TestDir::new("other-ca");
    let (dir, now) = (home.path(), std::time::SystemTime::now());
    let make = |name: &str| {
        let tls = dir.join(name);
        let authority = certs::Authority::init(&tls, now).expect("a new directory");
        authority.issue(&certs::Subject::Client, &[], now).expect("there is none yet");
        std::fs::read_to_string(tls.join("ca.crt")).expect("it was made")
    };
    let (one, other) = (make("one"), make("other"));
    let tls = dir.join("other");
    let network = format!(
        r#"{{"nodes":[{{"kind":"gateway","grpc":"https://127.0.0.1:1"}}],"tls":{:?}}}"#,
        tls.display().to_string()
    );
    std::fs::write(dir.join("network.json"), network).expect("there is room");
    // Alice was signed in when the first CA was the network's.
    let trusted = certs::fingerprints(&dir.join("one/ca.crt")).expect("it is a certificate").concat();
    let profile = dir.join("clients/default");
    std::fs::create_dir_all(profile.join("tokens")).expect("there is room");
    let pinned = format!("rialto profile of 00000000-0000-0000-0000-000000000001\nauthority {trusted}\n");
    for private in [&profile, &dir.join("clients")] {
        std::fs::set_permissions(private, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
    }
    std::fs::write(profile.join("network"), pinned).expect("there is room");
    let run = |args: &[&str]| {
        let mut command = rialto();
        command.args(args).arg("--dir").arg(dir).env("RIALTO_PASSWORD", PASSWORD);
        command.output().expect("it starts")
    };
    let refused = run(&["balance"]);
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("its CA is another") && said.contains(&trusted) && said.contains("--new-ca"), "{said}");
    assert_eq!(run(&["login", "alpha", "alice"]).status.code(), Some(1));
    // Whoever takes the new one comes as far as the gateway, which is away.
    assert_eq!(run(&["login", "alpha", "alice", "--new-ca"]).status.code(), Some(8));
    assert_eq!(run(&["balance"]).status.code(), Some(1), "nobody has signed in with it");
    // Both in one file: the one is replacing the other, and from then on the new one is trusted by itself.
    std::fs::write(tls.join("ca.crt"), format!("{one}{other}")).expect("there is room");
    assert_eq!(run(&["balance"]).status.code(), Some(9), "nobody is signed in, which is another matter");
    std::fs::write(tls.join("ca.crt"), &other).expect("there is room");
    assert_eq!(run(&["balance"]).status.code(), Some(9));
    // In plain text the network that speaks TLS is not called.
    let plain = run(&["balance", "--gateway", "http://127.0.0.1:1"]);
    assert_eq!(plain.status.code(), Some(1), "{plain:?}");
    assert!(stderr(&plain).contains("this network is spoken to over TLS"), "{plain:?}");
}
