//! A running `rialto up` of a test.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http;

const PATIENCE: Duration = Duration::from_secs(300);

/// Blocks of ports that the tests of this process were given.
static CLAIMED: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A directory of one's own, gone when the test ends.
#[derive(Debug)]
pub(crate) struct TestDir(PathBuf);

impl TestDir {
    pub(crate) fn new(name: &str) -> TestDir {
        let path = std::env::temp_dir().join(format!("rialto-it-{}-{name}", std::process::id()));
        // A node refuses a directory that others may look into.
        let closed = std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
            .recursive(true)
            .create(&path);
        closed.expect("the temporary directory takes directories");
        TestDir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The base of a block of ports that nobody has, and that no other test gets while this process lives: neither of this run nor
/// of another one that runs at the same time.
///
/// All blocks end below the ports that the system gives to outgoing connections, which may be any of its own.
pub(crate) fn free_base() -> u16 {
    free_bases(1)
}

/// The first of so many blocks beside each other: a group has one each.
pub(crate) fn free_bases(blocks: u16) -> u16 {
    let claims = std::env::temp_dir().join("rialto-test-ports");
    std::fs::create_dir_all(&claims).expect("the temporary directory takes directories");
    // A group uses ports up to 25 behind its base and never more than 49, so two sets of blocks lie between each other.
    let bases: Vec<u16> = (10_000..32_600 - 100 * (blocks - 1)).step_by(50).collect();
    // Runs at the same time begin at different places, and seldom meet.
    let start = usize::try_from(std::process::id()).expect("it is below 2^22") * 37 % bases.len();
    for base in bases[start..].iter().chain(&bases[..start]).copied() {
        let each = (0..blocks).map(|block| base + 100 * block);
        let Some(mine) = each.map(|base| claim(&claims, base).filter(|_| is_free(base))).collect::<Option<Vec<_>>>()
        else {
            continue;
        };
        CLAIMED.lock().expect("nobody panics with it").extend(mine);
        return base;
    }
    panic!("no block of ports is free");
}

fn is_free(base: u16) -> bool {
    let used = [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 21, 22, 23, 24, 25];
    used.iter().all(|port| TcpListener::bind(("127.0.0.1", base + port)).is_ok())
}

/// The block is this process's as long as the file is open: the system gives it back however the process ends.
fn claim(claims: &Path, base: u16) -> Option<File> {
    let file = File::options().create(true).truncate(false).write(true).open(claims.join(base.to_string())).ok()?;
    file.try_lock().ok().map(|()| file)
}

#[test]
fn a_block_of_ports_is_given_to_one_test_only() {
    let claims = std::env::temp_dir().join("rialto-test-ports");
    let (one, other) = (free_base(), free_base());
    assert_ne!(one, other);
    for base in [one, other] {
        // A lock is the open file's, so another process is told the same as this one.
        assert!(claim(&claims, base).is_none(), "block {base} could be had twice");
    }
}

pub(crate) fn rialto() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rialto"));
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    rialto().args(arguments).output().expect("the binary was built")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Tries until it gives something.
pub(crate) fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(got) = attempt() {
            return got;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {} s for: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A running network; killed if the test forgets it, whose nodes then stop by themselves.
#[derive(Debug)]
pub(crate) struct Network {
    up: Child,
    dir: PathBuf,
    /// What it said when it was ready.
    pub(crate) ready: Value,
    events: Arc<Mutex<Vec<String>>>,
}

impl Network {
    /// A bank by itself: `rialto up --json --no-gateway` with these flags, once it says that it is ready.
    pub(crate) fn up(dir: &Path, flags: &[&str]) -> Network {
        Network::run(dir, &[&["--no-gateway"], flags].concat())
    }

    /// `rialto up --json` with these flags, once it says that it is ready: banks, and the gateway between them.
    pub(crate) fn run(dir: &Path, flags: &[&str]) -> Network {
        Network::run_logging(dir, flags, "info")
    }

    /// The same, with nodes that log so much.
    pub(crate) fn run_logging(dir: &Path, flags: &[&str], level: &str) -> Network {
        Network::run_where(dir, flags, &[("RIALTO_LOG_LEVEL", level)])
    }

    /// The same in an environment with these variables, which its nodes see as well.
    pub(crate) fn run_where(dir: &Path, flags: &[&str], variables: &[(&str, &str)]) -> Network {
        let mut up = rialto()
            .envs(variables.iter().copied())
            .args(["up", "--json", "--dir"])
            .arg(dir)
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let events = Arc::new(Mutex::new(Vec::new()));
        let stderr = BufReader::new(up.stderr.take().expect("it was asked to be piped"));
        let heard = Arc::clone(&events);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                heard.lock().expect("nobody panics with it").push(line);
            }
        });
        let mut line = String::new();
        BufReader::new(up.stdout.take().expect("it was asked to be piped"))
            .read_line(&mut line)
            .expect("its output can be read");
        let ready = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("it is not ready: {error}; it said {line:?} and {:?}", events.lock()));
        Network { up, dir: dir.to_owned(), ready, events }
    }

    pub(crate) fn start(dir: &TestDir, base: u16) -> Network {
        Network::up(dir.path(), &["--base-port", &base.to_string()])
    }

    pub(crate) fn dir(&self) -> &str {
        self.dir.to_str().expect("the temporary directory's name is UTF-8")
    }

    /// The balancer of bank alpha.
    pub(crate) fn url(&self) -> &str {
        self.ready["banks"]["alpha"]["http"].as_str().expect("alpha runs")
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.events.lock().expect("nobody panics with it").clone()
    }

    /// Waits for an event that holds all the parts.
    pub(crate) fn event(&self, parts: &[&str]) -> String {
        until(&format!("an event with {parts:?}"), || {
            self.events().into_iter().find(|line| parts.iter().all(|part| line.contains(part)))
        })
    }

    /// What `network.json` says of a node now.
    pub(crate) fn node(&self, node: u64) -> Value {
        let file = network_json(&self.dir);
        let nodes = file["nodes"].as_array().expect("a list of nodes");
        nodes.iter().find(|entry| entry["node"] == node).expect("every node is listed").clone()
    }

    /// The same of any group.
    pub(crate) fn node_of(&self, group: &str, node: u64) -> Value {
        let file = network_json(&self.dir);
        let nodes = file["nodes"].as_array().expect("a list of nodes");
        let found = nodes.iter().find(|entry| entry["group"] == group && entry["node"] == node);
        found.expect("every node is listed").clone()
    }

    pub(crate) fn status(&self, node: u64) -> Option<Value> {
        let url = self.node(node)["http"].as_str()?.to_owned();
        let (status, body) = http::call("GET", &format!("{url}/v1/status"), None).ok()?;
        (status == 200).then(|| serde_json::from_str(&body).expect("a status is JSON"))
    }

    /// The node that leads, once there is one.
    pub(crate) fn leader(&self) -> u64 {
        until("a leader", || (1..=3).find(|node| self.status(*node).is_some_and(|status| status["role"] == "leader")))
    }

    pub(crate) fn all_ready(&self) {
        for node in 1..=3 {
            until(&format!("node {node} is ready"), || self.status(node).filter(|status| status["ready"] == true));
        }
    }

    /// SIGKILL, to the process that `network.json` names for the node: a child of this test's own `up`.
    pub(crate) fn kill(&self, node: u64) {
        let pid = self.node(node)["pid"].as_u64().expect("it runs");
        signal("KILL", u32::try_from(pid).expect("a process number"));
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.url());
        let (status, text) = http::until_not_busy(|| http::call("POST", &url, Some(&body)));
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).expect("answers are JSON")
    }

    pub(crate) fn open_account(&self) -> String {
        let url = format!("{}/open_account", self.url());
        let (status, text) = http::until_not_busy(|| http::call("POST", &url, None));
        assert!((200..300).contains(&status), "{status}: {text}");
        let answer: Value = serde_json::from_str(&text).expect("answers are JSON");
        answer["account_id"].as_str().expect("an id").to_owned()
    }

    pub(crate) fn deposit(&self, account: &str, amount: &str) -> Value {
        self.post("/deposit_money", json!({"account_id": account, "amount": amount}))
    }

    /// As a person retries: the same id until there is an outcome.
    pub(crate) fn move_until_done(&self, id: &str, from: &str, to: &str, amount: &str) {
        let body = json!({
            "source": {"account_id": from}, "destination": {"account_id": to}, "amount": amount, "transfer_id": id
        });
        until("the payment goes through", || {
            http::call("POST", &format!("{}/move_money", self.url()), Some(&body))
                .ok()
                .filter(|(status, _)| *status == 200)
        });
    }

    /// The balance, as the digits that came.
    pub(crate) fn balance(&self, account: &str) -> String {
        until("the balance can be read", || {
            let url = format!("{}/check_account?account_id={account}", self.url());
            let (status, text) = http::call("GET", &url, None).ok()?;
            if status != 200 {
                return None;
            }
            let digits = text.split_once("\"balance\":")?.1;
            Some(digits.trim_end_matches(['}', '\n', ' ']).to_owned())
        })
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        signal("TERM", self.up.id());
        self.up.wait().expect("it is ours to wait for")
    }

    /// SIGKILL to `up` itself.
    pub(crate) fn kill_up(&mut self) {
        self.up.kill().expect("it is ours to kill");
        self.up.wait().expect("it is ours to wait for");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.up.kill();
        let _ = self.up.wait();
    }
}

pub(crate) fn network_json(dir: &Path) -> Value {
    let text = std::fs::read_to_string(dir.join("network.json")).expect("up keeps it there at any time");
    serde_json::from_str(&text).expect("it is replaced in one step, so it is always whole")
}

/// By the system's own `kill`, to one process.
pub(crate) fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("there is a kill");
    assert!(sent.success(), "process {pid} is gone already");
}

/// A process that a test started by itself: it ends with the test, however that ends.
pub(crate) struct Owned(pub(crate) std::process::Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
