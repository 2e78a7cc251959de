//! A real Consul, ACLs on and nothing allowed without a token: nodes register, die, vanish and come back elsewhere; banks that
//! join are found; and when Consul itself is away, what is known goes on working.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::network::{
    Network, Owned, TestDir, free_base, free_bases, network_json, rialto, run, signal, stderr, stdout, until,
};

/// The program, or none where it was left out on purpose.
fn program() -> Option<PathBuf> {
    match std::env::var_os("RIALTO_TEST_CONSUL") {
        Some(text) if text == "none" => {
            eprintln!("LEFT OUT: no test with a real Consul (--no-consul)");
            None
        }
        Some(text) => Some(PathBuf::from(text)),
        None => {
            let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/consul");
            assert!(
                tools.is_file(),
                "there is no Consul: cargo xtask test gets one, RIALTO_TEST_CONSUL=none leaves it out"
            );
            Some(tools)
        }
    }
}

/// A Consul agent of this test.
struct Agent {
    process: Child,
    url: String,
    root: String,
}

impl Agent {
    fn start(program: &Path, dir: &TestDir) -> Agent {
        Agent::start_with(program, dir, None)
    }

    /// With `tls` a directory with `ca.crt` and the agent's own certificate: it then also serves https, two ports above http
    /// and two more, and shows that certificate to the nodes that it checks.
    fn start_with(program: &Path, dir: &TestDir, tls: Option<&Path>) -> Agent {
        let base = free_base();
        let config = dir.path().join("consul.json");
        let mut settings = json!({"acl": {"enabled": true, "default_policy": "deny"}, "disable_update_check": true});
        if let Some(tls) = tls {
            settings["ports"] = json!({"https": base + 4});
            settings["ca_file"] = json!(tls.join("ca.crt"));
            settings["cert_file"] = json!(tls.join("bank-consul-1.crt"));
            settings["key_file"] = json!(tls.join("bank-consul-1.key"));
            settings["enable_agent_tls_for_checks"] = json!(true);
        }
        std::fs::write(&config, settings.to_string()).expect("written");
        let port = |flag: &str, offset: u16| format!("-{flag}={}", base + offset);
        let process = Command::new(program)
            .args(["agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-dns-port=-1", "-grpc-port=-1"])
            .args([port("http-port", 0), port("server-port", 1), port("serf-lan-port", 2), port("serf-wan-port", 3)])
            .arg(format!("-config-file={}", config.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Consul starts");
        let mut agent = Agent { process, url: format!("http://127.0.0.1:{base}"), root: String::new() };
        agent.root = until("Consul has a leader", || {
            let (status, body) = agent.call("PUT", "/v1/acl/bootstrap", None)?;
            let body: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
            Some(body["SecretID"].as_str().expect("a token").to_owned())
        });
        agent
    }

    /// By Consul's own API, as its operator. HTTP/1.0, so that the answer comes in one piece.
    fn exchange(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let authority = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(authority).ok()?;
        let (root, length) = (&self.root, body.len());
        let head = format!("{method} {path} HTTP/1.0\r\nhost: {authority}\r\nx-consul-token: {root}\r\n");
        write!(stream, "{head}content-length: {length}\r\n\r\n{body}").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, String)> {
        self.exchange(method, path, &body.map(Value::to_string).unwrap_or_default())
    }

    /// Files a text as it is.
    fn file(&self, key: &str, text: &str) {
        let (status, said) = self.exchange("PUT", &format!("/v1/kv/{key}"), text).expect("Consul answers");
        assert_eq!(status, 200, "{said}");
    }

    /// A token that may do what a network of Rialto does, and nothing else.
    fn token(&self, dir: &TestDir) -> PathBuf {
        let rules = r#"service_prefix "rialto-" { policy = "write" } key_prefix "cert/" { policy = "write" } node_prefix "" { policy = "read" }"#;
        let policy = json!({"Name": "rialto", "Rules": rules});
        let (status, said) = self.call("PUT", "/v1/acl/policy", Some(&policy)).expect("Consul answers");
        assert_eq!(status, 200, "{said}");
        let token = json!({"Policies": [{"Name": "rialto"}]});
        let (status, said) = self.call("PUT", "/v1/acl/token", Some(&token)).expect("Consul answers");
        assert_eq!(status, 200, "{said}");
        let token: Value = serde_json::from_str(&said).expect("JSON");
        let file = dir.path().join("token");
        std::fs::write(&file, token["SecretID"].as_str().expect("a token")).expect("written");
        let mine = Command::new("chmod").arg("600").arg(&file).status().expect("there is a chmod");
        assert!(mine.success());
        file
    }

    /// A registration that no node of ours made, with a port and its meta.
    fn register(&self, service: &str, id: &str, (port, meta): (u64, &Value)) {
        let own = json!({"ID": id, "Service": service, "Address": "127.0.0.1", "Port": port, "Meta": meta});
        let body = json!({"Node": "elsewhere", "Address": "127.0.0.1", "SkipNodeUpdate": false, "Service": own});
        let (status, said) = self.call("PUT", "/v1/catalog/register", Some(&body)).expect("Consul answers");
        assert_eq!(status, 200, "{said}");
    }

    /// The ports of a group's nodes that pass their checks.
    fn passing(&self, service: &str, group: &str) -> Vec<u64> {
        let (status, body) =
            self.call("GET", &format!("/v1/health/service/{service}?passing=true"), None).expect("Consul answers");
        assert_eq!(status, 200, "{body}");
        let list: Value = serde_json::from_str(&body).expect("JSON");
        let of_group = list.as_array().expect("a list").iter().filter(|it| it["Service"]["Meta"]["group"] == group);
        of_group.filter_map(|it| it["Service"]["Port"].as_u64()).collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A customer's commands, which find the gateway in Consul alone.
struct Customers<'a> {
    dir: &'a Path,
    consul: &'a str,
    token: &'a Path,
}

impl Customers<'_> {
    fn command(&self, profile: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let (dir, tls) = (self.dir.join("customers"), self.dir.join("net/tls"));
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let (dir, tls, token) = (text(&dir), text(&tls), text(self.token));
        let flags = [
            "--consul",
            self.consul,
            "--consul-token-file",
            &token,
            "--tls-dir",
            &tls,
            "--dir",
            &dir,
            "--profile",
            profile,
        ];
        let output = run(&[arguments, &flags].concat());
        (output.status.code(), stdout(&output) + &stderr(&output))
    }

    fn succeeds(&self, profile: &str, arguments: &[&str]) -> String {
        let mut last = String::new();
        let begun = std::time::Instant::now();
        loop {
            let (code, said) = self.command(profile, arguments);
            if code == Some(0) {
                return said;
            }
            last.clone_from(&said);
            assert!(begun.elapsed().as_secs() < 90, "{arguments:?}: {last}");
        }
    }

    /// Pays until a payment is paid at once: a bank that is away for the moment leaves others in the outbox.
    fn pays(&self, profile: &str, payee: &str) {
        let begun = std::time::Instant::now();
        while !self.succeeds(profile, &["pay", payee, "1"]).contains("paid 1.00 EUR") {
            assert!(begun.elapsed().as_secs() < 90, "{profile} cannot pay {payee}");
        }
    }
}

#[derive(PartialEq, Eq)]
enum Speaks {
    Tls,
    /// And so files no certificate of its own.
    Plainly,
}

/// A bank of one node, by hand, with the network's own certificates.
struct Gamma<'a> {
    dir: &'a Path,
    consul: &'a str,
    token: &'a Path,
}

impl Gamma<'_> {
    fn make(&self) {
        let data = self.dir.join("gamma");
        let tls = self.dir.join("net/tls");
        let output = run(&[
            "bank",
            "init",
            "--name",
            "gamma",
            "--node",
            "1",
            "--nodes",
            "1",
            "--data",
            data.to_str().expect("UTF-8"),
        ]);
        assert!(output.status.success(), "{}", stderr(&output));
        let output = run(&["certs", "issue", "bank/gamma/1", "--dir", tls.to_str().expect("UTF-8")]);
        assert!(output.status.success(), "{}", stderr(&output));
    }

    fn start(&self, base: u16, speaks: Speaks) -> Owned {
        self.start_with(base, speaks, &[])
    }

    fn start_with(&self, base: u16, speaks: Speaks, flags: &[&str]) -> Owned {
        let at = |offset: u16| format!("127.0.0.1:{}", base + offset);
        let mut bank = rialto();
        bank.args([
            "bank",
            "--name",
            "gamma",
            "--node",
            "1",
            "--http",
            &at(1),
            "--grpc",
            &at(11),
            "--peer-listen",
            &at(21),
        ])
        .arg("--data")
        .arg(self.dir.join("gamma"))
        .args(["--consul", self.consul, "--consul-token-file"])
        .arg(self.token)
        .arg("--log-file")
        .arg(self.dir.join("gamma.log"))
        .args(flags)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
        if speaks == Speaks::Tls {
            bank.arg("--tls-dir").arg(self.dir.join("net/tls"));
        }
        Owned(bank.spawn().expect("the binary was built"))
    }
}

#[test]
fn nodes_and_customers_find_each_other_in_a_real_consul() {
    let Some(program) = program() else { return };
    let dir = TestDir::new("consul");
    let mut agent = Agent::start(&program, &dir);
    let token = agent.token(&dir);
    let net = dir.path().join("net");
    let flags = [
        "--base-port",
        &free_bases(3).to_string(),
        "--nodes",
        "1",
        "--consul",
        &agent.url.clone(),
        "--consul-token-file",
        token.to_str().expect("UTF-8"),
    ];
    let network = Network::run(&net, &flags);
    for bank in ["alpha", "beta"] {
        network.event(&[&format!("bank {bank} has customers")]);
    }
    let url = agent.url.clone();
    let customers = Customers { dir: dir.path(), consul: &url, token: &token };

    // Register: the gateway was told of no bank, and the customers of no gateway; all is found in Consul.
    customers.succeeds("alice", &["login", "alpha", "alice", "alice-demo"]);
    customers.succeeds("bob", &["login", "beta", "bob", "bob-demo"]);
    customers.pays("alice", "bob@beta");
    assert_eq!(agent.passing("rialto-gateway", "gateway").len(), 1);
    let (status, filed) = agent.call("GET", "/v1/kv/cert/alpha/1?raw=true", None).expect("Consul answers");
    let own = std::fs::read_to_string(net.join("tls/bank-alpha-1.crt")).expect("up has made it");
    assert_eq!((status, filed), (200, own), "the public certificate");

    // A customer with a certificate and no CA takes the one that the network has filed, once, and is told to compare it.
    let own_tls = dir.path().join("own-tls");
    storage::private::make_dir(&own_tls).expect("there is room");
    for file in ["client.crt", "client.key"] {
        std::fs::copy(net.join("tls").join(file), own_tls.join(file)).expect("up has made it");
    }
    let newcomer = |arguments: &[&str]| {
        let (home, tls) = (dir.path().join("customers"), own_tls.to_str().expect("UTF-8"));
        let flags = ["--consul", &url, "--consul-token-file", token.to_str().expect("UTF-8"), "--tls-dir", tls];
        let place = ["--dir", home.to_str().expect("UTF-8"), "--profile", "carol"];
        let output = run(&[arguments, &flags, &place].concat());
        (output.status.code(), stdout(&output) + &stderr(&output))
    };
    let authority = std::fs::read_to_string(net.join("tls/ca.crt")).expect("up has made it");
    agent.file("cert/ca", "no certificate");
    let (code, said) = newcomer(&["login", "alpha", "carol", "carol-demo"]);
    assert!(code == Some(1) && !own_tls.join("ca.crt").exists(), "what is no certificate is not pinned: {said}");
    agent.file("cert/ca", &authority);
    let (code, said) = newcomer(&["login", "alpha", "carol", "carol-demo"]);
    assert!(code == Some(0) && said.contains("was taken from Consul") && said.contains("SHA-256"), "{said}");
    assert_eq!(std::fs::read_to_string(own_tls.join("ca.crt")).expect("it is pinned"), authority);
    let (code, said) = newcomer(&["balance"]);
    assert!(code == Some(0) && !said.contains("taken from Consul"), "{said}");

    // Without the token Consul tells nothing, and that is said.
    let no_token =
        run(&["balance", "--consul", &url, "--dir", dir.path().to_str().expect("UTF-8"), "--profile", "nobody"]);
    assert!(!no_token.status.success());

    // Die: a node that is killed is back before its time has run out, under the same name, and is paid again.
    let beta = network.node_of("beta", 1)["pid"].as_u64().expect("it runs");
    let port = agent.passing("rialto-bank", "beta");
    signal("KILL", u32::try_from(beta).expect("a process number"));
    network.event(&["beta node 1", "starts again"]);
    until("beta is back", || (agent.passing("rialto-bank", "beta") == port).then_some(()));
    customers.pays("alice", "bob@beta");

    // Join: a bank that nobody was told of. Leave in order: it is gone at once. Come back on another port: it is found there.
    let gamma = Gamma { dir: dir.path(), consul: &url, token: &token };
    gamma.make();
    let mut process = gamma.start(free_base(), Speaks::Tls);
    until("gamma is there", || (agent.passing("rialto-bank", "gamma").len() == 1).then_some(()));
    let first = agent.passing("rialto-bank", "gamma");
    let dora = dir.path().join("dora");
    std::fs::write(&dora, "dora-secret").expect("written");
    let http_of_gamma = format!("http://127.0.0.1:{}", first[0] - 10);
    let added =
        run(&["user", "add", "dora", "--url", &http_of_gamma, "--password-file", dora.to_str().expect("UTF-8")]);
    assert!(added.status.success(), "{}", stderr(&added));
    customers.pays("alice", "dora@gamma");
    signal("TERM", process.0.id());
    assert!(process.0.wait().expect("it is ours").success());
    assert_eq!(agent.passing("rialto-bank", "gamma"), Vec::<u64>::new(), "it said that it leaves");
    let mut process = gamma.start(free_base(), Speaks::Tls);
    until("gamma is back", || (agent.passing("rialto-bank", "gamma").len() == 1).then_some(()));
    assert_ne!(agent.passing("rialto-bank", "gamma"), first);
    customers.pays("alice", "dora@gamma");

    // Vanish: killed, and never back. Its time runs out.
    process.0.kill().expect("it is ours");
    process.0.wait().expect("it is ours");
    until("gamma is gone", || agent.passing("rialto-bank", "gamma").is_empty().then_some(()));

    // A certificate that is filed under a name that is not its own is not believed, and who has it is not called.
    let other = std::fs::read_to_string(net.join("tls/bank-beta-1.crt")).expect("up has made it");
    agent.file("cert/gamma/1", &other);
    let mut process = gamma.start(free_base(), Speaks::Plainly);
    let log = net.join("gateway/1/node.log");
    until("the gateway refuses the certificate", || {
        let log = std::fs::read_to_string(&log).ok()?;
        (log.contains("registrations_skipped") && log.contains("it is of bank/beta/1")).then_some(())
    });
    process.0.kill().expect("it is ours");
    process.0.wait().expect("it is ours");

    // What others register under the same names, and wrong addresses for nodes that are there, take nothing away.
    for number in 0..300 {
        let (name, meta) = match number % 3 {
            0 => (format!("foreign-{number}"), Value::Null),
            1 => (format!("foreign-{number}"), json!({"group": "alpha", "node": "one"})),
            _ => (format!("foreign-{number}"), json!({"group": format!("foreign-{number}"), "node": "1"})),
        };
        agent.register("rialto-bank", &name, (1, &meta));
        agent.register("rialto-gateway", &name, (1, &meta));
    }
    for (service, group) in [("rialto-bank", "beta"), ("rialto-bank", "alpha"), ("rialto-gateway", "gateway")] {
        let right = agent.passing(service, group);
        agent.register(service, &format!("liar-{group}"), (1, &json!({"group": group, "node": "1"})));
        assert_eq!(agent.passing(service, group).len(), right.len() + 1);
    }
    // A bank of another name, which really runs: where it answers nobody is called for beta.
    let alpha = agent.passing("rialto-bank", "alpha").into_iter().find(|port| *port != 1).expect("it runs");
    agent.register("rialto-bank", "impostor-beta", (alpha, &json!({"group": "beta", "node": "1"})));
    until("the gateway tells of them", || {
        let log = std::fs::read_to_string(&log).ok()?;
        (log.contains("registrations_skipped") && log.contains("bank_address_unproven")).then_some(())
    });
    customers.pays("alice", "bob@beta");
    customers.pays("bob", "alice@alpha");
    let told = std::fs::read_to_string(&log).expect("it logs");
    let lines = told.lines().filter(|line| line.contains("registrations_skipped")).count();
    assert!(lines < 60, "far fewer lines than registrations: {lines}");
    assert!(told.lines().all(|line| line.len() < 2_000), "no line names them all");
    let kept = std::fs::read_to_string(net.join("gateway/1/banks.json")).expect("it is kept");
    assert!(!kept.contains(":1\"") && kept.contains("beta"), "only what has proved itself is kept: {kept}");

    // Consul away: what is known goes on working, and it is told.
    agent.process.kill().expect("it is ours");
    agent.process.wait().expect("it is ours");
    until("the gateway says so", || std::fs::read_to_string(&log).ok().filter(|log| log.contains("consul_away")));
    let by_address = |arguments: &[&str]| {
        let file = network_json(&net);
        let gateway = file["nodes"].as_array().expect("a list").iter().find(|node| node["kind"] == "gateway");
        let grpc = gateway.expect("it runs")["grpc"].as_str().expect("an address").to_owned();
        let (home, tls) = (dir.path().join("customers"), net.join("tls"));
        let flags = ["--gateway", &grpc, "--dir", home.to_str().expect("UTF-8"), "--profile", "alice", "--tls-dir"];
        let output = run(&[arguments, &flags, &[tls.to_str().expect("UTF-8")]].concat());
        (output.status.code(), stdout(&output) + &stderr(&output))
    };
    let (code, said) = by_address(&["pay", "bob@beta", "1"]);
    assert!(code == Some(0) && said.contains("paid"), "{said}");
    // Whoever has found the gateway before looks for it where it was; whoever has not is told.
    let (code, said) = customers.command("alice", &["balance"]);
    assert!(code == Some(0) && said.contains("cannot be reached; the gateway is looked for where it was"), "{said}");
    let (code, said) = customers.command("newcomer", &["login", "alpha", "carol", "carol-demo"]);
    assert_ne!(code, Some(0));
    assert!(said.contains("Consul at") && said.contains("cannot be reached"), "{said}");
    // Also a gateway that starts while Consul is away still knows its banks.
    let gateway = network.node_of("gateway", 1)["pid"].as_u64().expect("it runs");
    signal("KILL", u32::try_from(gateway).expect("a process number"));
    network.event(&["gateway node 1", "starts again"]);
    customers.pays("alice", "bob@beta");
    assert!(network.stop().success());
}

#[test]
fn over_tls_nodes_register_with_consul_and_its_agent_asks_them_with_a_certificate_of_its_own() {
    let Some(program) = program() else { return };
    let dir = TestDir::new("consul-tls");
    let tls = dir.path().join("net/tls");
    let tls_text = tls.to_str().expect("UTF-8");
    let command = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    };
    command(&["certs", "init", "--dir", tls_text]);
    command(&["certs", "issue", "bank/consul/1", "--host", "127.0.0.1", "--host", "localhost", "--dir", tls_text]);
    let agent = Agent::start_with(&program, &dir, Some(&tls));
    let token = agent.token(&dir);
    let port: u16 = agent.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let https = format!("https://127.0.0.1:{}", port + 4);
    let gamma = Gamma { dir: dir.path(), consul: &https, token: &token };
    gamma.make();

    // Whose certificate is not of the CA that was named is no Consul.
    let other = dir.path().join("other");
    command(&["certs", "init", "--dir", other.to_str().expect("UTF-8")]);
    let mut lost =
        gamma.start_with(free_base(), Speaks::Tls, &["--consul-ca", other.join("ca.crt").to_str().expect("UTF-8")]);
    let log = dir.path().join("gamma.log");
    until("it is told", || std::fs::read_to_string(&log).ok().filter(|log| log.contains("consul_away")));
    assert_eq!(agent.passing("rialto-bank", "gamma"), Vec::<u64>::new());
    lost.0.kill().expect("it is ours");
    lost.0.wait().expect("it is ours");

    let authority = tls.join("ca.crt");
    let flags = ["--consul-ca", authority.to_str().expect("UTF-8"), "--consul-check", "grpc"];
    let mut process = gamma.start_with(free_base(), Speaks::Tls, &flags);
    until("the agent has asked it", || (agent.passing("rialto-bank", "gamma").len() == 1).then_some(()));
    let (_, checks) = agent.call("GET", "/v1/health/checks/rialto-bank", None).expect("Consul answers");
    assert!(checks.contains("gRPC check") && checks.contains("success"), "{checks}");
    // A node that is stopped, and cannot say so, is found out by the agent.
    signal("STOP", process.0.id());
    until("the agent finds it out", || agent.passing("rialto-bank", "gamma").is_empty().then_some(()));
    signal("CONT", process.0.id());
    until("it is well again", || (agent.passing("rialto-bank", "gamma").len() == 1).then_some(()));
    signal("TERM", process.0.id());
    assert!(process.0.wait().expect("it is ours").success());
    assert_eq!(agent.passing("rialto-bank", "gamma"), Vec::<u64>::new(), "it said that it leaves");
}
