//! Nodes that are told to stop: at any moment of everything that they do, in good time, and without a caller whose connection
//! breaks.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use api::client::gateway::{Customer, new_payment_id};
use api::problem::Problem;
use api::proto;
use api::proto::bank_client::BankClient;
use serde_json::{Value, json};
use tonic::transport::{Channel, Endpoint};

use crate::by_hand::{Node, Place, cluster_of, init, shut_down};
use crate::checkpoint;
use crate::http;
use crate::network::{Network, TestDir, free_base, network_json, rialto, run, signal, stderr, until};
use crate::rot::flip;
use crate::town::{Town, gateway_at, order};

/// A request may take so long on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(30);

/// Callers who ask again and again, until they are told to end; what went wrong with their connections is kept.
#[derive(Default)]
struct Callers {
    over: Arc<AtomicBool>,
    broken: Arc<Mutex<Vec<String>>>,
    threads: Vec<JoinHandle<u64>>,
}

impl Callers {
    /// One that waits so long between two requests; `ask` says what broke.
    fn join(&mut self, pause: Duration, mut ask: impl FnMut() -> Result<(), String> + Send + 'static) {
        let (over, broken) = (Arc::clone(&self.over), Arc::clone(&self.broken));
        self.threads.push(thread::spawn(move || {
            let mut asked = 0;
            while !over.load(Ordering::Relaxed) {
                if let Err(what) = ask() {
                    broken
                        .lock()
                        .expect("nobody panics with it")
                        .push(format!("pause {pause:?}, call {asked}: {what}"));
                }
                asked += 1;
                thread::sleep(pause);
            }
            asked
        }));
    }

    fn leave(self) {
        self.over.store(true, Ordering::Relaxed);
        let asked: Vec<u64> = self.threads.into_iter().map(|caller| caller.join().expect("no panic")).collect();
        let broken = self.broken.lock().expect("nobody panics with it");
        println!("calls {asked:?}");
        assert!(asked.iter().all(|asked| *asked > 3), "everybody asked all the time: {asked:?}");
        assert!(broken.is_empty(), "{} connections broke: {:#?}", broken.len(), &broken[..broken.len().min(20)]);
    }
}

/// Nodes keep an idle connection for two seconds of their stop.
const KEPT_MAX: Duration = Duration::from_millis(1_800);

/// A connection over HTTP/1.1 that is kept until the server says that it closes it.
struct Kept {
    authority: String,
    token: Option<String>,
    stream: Option<TcpStream>,
    answered: Instant,
}

impl Kept {
    fn new(url: &str, token: Option<&str>) -> Kept {
        let authority = url.strip_prefix("http://").expect("plain http").to_owned();
        Kept { authority, token: token.map(str::to_owned), stream: None, answered: Instant::now() }
    }

    fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, String), String> {
        let fresh = self.stream.is_none();
        let told = |step: &str, error: &dyn std::fmt::Display| {
            format!("{method} {path} on a {} connection: {step}: {error}", if fresh { "fresh" } else { "kept" })
        };
        let mut stream = match self.stream.take() {
            // A connection that was not used for long may end at any time; a busy machine makes it so.
            Some(stream) if self.answered.elapsed() < KEPT_MAX => stream,
            Some(_) | None => TcpStream::connect(&self.authority).map_err(|error| told("connecting", &error))?,
        };
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let body = body.map(Value::to_string).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        let token = self.token.as_ref().map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{kind}{token}content-length: {}\r\n\r\n{body}",
            self.authority,
            body.len()
        );
        stream.write_all(request.as_bytes()).map_err(|error| told("writing", &error))?;
        let mut answer = Vec::new();
        let (head, length) = loop {
            let text = String::from_utf8_lossy(&answer).into_owned();
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                let head = head.to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
                break (head.clone(), length.trim().parse::<usize>().expect("a length"));
            }
            read_more(&mut stream, &mut answer).map_err(|error| told("no answer", &error))?;
        };
        let whole = head.len() + 4 + length;
        while answer.len() < whole {
            read_more(&mut stream, &mut answer).map_err(|error| told("half an answer", &error))?;
        }
        self.answered = Instant::now();
        if !head.contains("connection: close") {
            self.stream = Some(stream);
        }
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Ok((status, String::from_utf8_lossy(&answer[head.len() + 4..]).into_owned()))
    }
}

fn read_more(stream: &mut TcpStream, answer: &mut Vec<u8>) -> std::io::Result<()> {
    let mut piece = [0; 4096];
    match stream.read(&mut piece)? {
        0 => Err(std::io::Error::other("the connection was closed")),
        read => {
            answer.extend_from_slice(&piece[..read]);
            Ok(())
        }
    }
}

/// What a node that stops may say to who comes too late: that nothing was done, or that it is not known what was.
fn is_an_answer(status: u16, body: &str) -> Result<(), String> {
    match status {
        200..500 => Ok(()),
        503 | 504 if body.contains("\"code\":\"") && !body.contains("\"code\":\"internal\"") => Ok(()),
        _ => Err(format!("{status}: {body}")),
    }
}

/// Stops each node of a group once, by a signal or by the call, while the others serve.
fn stop_in_turn(network: &Network, group: &str) {
    let url = |node: u64| network.node_of(group, node)["http"].as_str().map(str::to_owned);
    let is_ready = |node: u64| {
        let (status, _) = http::call("GET", &format!("{}/readyz", url(node)?), None).ok()?;
        (status == 200).then_some(())
    };
    for node in 1..=3 {
        (1..=3).for_each(|node| until("all are ready", || is_ready(node)));
        let pid = network.node_of(group, node)["pid"].as_u64().expect("it runs");
        if node == 3 {
            let url = url(node).expect("it runs");
            let (status, body) = http::call("POST", &format!("{url}/shutdown"), None).expect("it answers");
            assert_eq!(status, 200, "{body}");
        } else {
            signal("TERM", u32::try_from(pid).expect("a process number"));
        }
        until("its process has ended", || (network.node_of(group, node)["pid"].as_u64() != Some(pid)).then_some(()));
    }
}

/// A thread of that name in a process: what it does beside the rest.
fn does(pid: u32, thread: &str) -> Option<()> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let names = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.into_iter().any(|name| name.trim() == thread).then_some(())
}

/// Transfers for so many seconds, so many in a slot.
fn load(dir: &TestDir, seconds: u32, batch: u32) -> std::process::Child {
    let mut bench = rialto();
    bench.args(["bench", "--json", "--warm-up-seconds", "1", "--seconds", &seconds.to_string()]);
    bench.args(["--callers", "2", "--batch", &batch.to_string()]);
    bench.arg("--dir").arg(dir.path()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    bench.spawn().expect("the binary was built")
}

#[test]
fn a_node_stops_while_it_writes_checkpoints_and_while_it_receives_its_books() {
    let dir = TestDir::new("stops-books");
    let base = free_base();
    let network = Network::start(&dir, base);
    network.all_ready();
    shut_down(&network, 2);
    let (data, log) = (dir.path().join("alpha/2"), dir.path().join("by-hand.log"));
    let stopped = Stopped { place: Place::of_alpha(base, 2, 3), data: &data, log: &log };
    for pause_ms in [0, 40] {
        let mut node = Node::start(&stopped.place, &data, &log);
        node.ready();
        let mut load = load(&dir, 300, 8_000);
        until("it writes a checkpoint under load", || {
            assert_eq!(load.try_wait().expect("it is ours"), None, "the load goes on");
            does(node.pid(), "checkpoint")
        });
        stop_after(node, Duration::from_millis(pause_ms), "a node that writes a checkpoint under load");
        load.kill().expect("it is ours");
        load.wait().expect("it is ours");
    }
    let receives = || {
        let node = Node::start(&stopped.place, &data, &log);
        let is_ready =
            || http::call("GET", &format!("{}/readyz", node.url()), None).is_ok_and(|(status, _)| status == 200);
        let receives = until("it receives its books, or has them", || match node.said().contains("receiving") {
            true => Some(true),
            false => is_ready().then_some(false),
        });
        if receives {
            return Some(node);
        }
        node.stop();
        // The others keep some thousand slots for it, and what fits into some segments of their logs.
        assert!(load(&dir, 3, 64).wait().expect("it is ours").success());
        None
    };
    // So many loads and not so many seconds: a slow machine writes less in a second.
    let behind = || (0..100).find_map(|_| receives()).expect("after a hundred loads the others' logs begin later");
    stop_after(behind(), Duration::ZERO, "a node that receives its books");
    let is_seen = |_| {
        let node = behind();
        let makes = until("it makes its books", || match node.said().contains("received") {
            true => Some(false),
            false => does(node.pid(), "install").map(|()| true),
        });
        stop_after(node, Duration::ZERO, "a node that makes its books of what it received");
        makes
    };
    assert!((0..10).any(is_seen), "it was seen while it made its books of what it received");
    let mut node = Node::start(&stopped.place, &data, &log);
    node.ready();
    let books = |url: &str| {
        let (_, body) = http::call("GET", &format!("{url}/v1/status"), None).ok()?;
        let status: Value = serde_json::from_str(&body).ok()?;
        Some((status["digest"].clone(), status["journal_records"].clone()))
    };
    let other = network.node(1)["http"].as_str().expect("it runs").to_owned();
    until("its books are those of another node", || (books(node.url())? == books(&other)?).then_some(()));
    node.stop();
    assert!(network.stop().success());
}

#[test]
fn a_restored_node_stops_at_any_moment_while_it_waits_for_the_gateway() {
    let dir = TestDir::new("stops-restored");
    let place = Place::of_alpha(free_base(), 1, 1);
    let (copy, data, log) = (dir.path().join("copy"), dir.path().join("restored"), dir.path().join("by-hand.log"));
    init(&place, &copy, 1, None);
    let mut node = Node::start(&place, &copy, &log);
    node.ready();
    node.stop();
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let restored = run(&["restore", "alpha", "--from", &text(&copy), "--data", &text(&data), "--incarnation", "2"]);
    assert!(restored.status.success(), "{}", stderr(&restored));
    let stopped = Stopped { place, data: &data, log: &log };
    let began = Instant::now();
    let node = Node::start(&stopped.place, &data, &log);
    let url = format!("{}/open_account", node.url());
    until("it waits for its gateway", || {
        let (status, body) = http::call("POST", &url, None).ok()?;
        (status == 503 && body.contains("waits for its payments from the gateway")).then_some(())
    });
    let start_takes = began.elapsed();
    stop_after(node, Duration::ZERO, "a restored node that waits for the gateway");
    for step in 0..8 {
        stopped.after(start_takes * step / 4, "a restored node");
    }
}

#[test]
fn a_banks_callers_see_no_broken_connection_when_its_nodes_stop_in_turn() {
    let dir = TestDir::new("stops-bank");
    let network = Network::start(&dir, free_base());
    let account = network.open_account();
    let grpc = network.ready["banks"]["alpha"]["grpc"].as_str().expect("alpha runs").to_owned();
    let mut callers = Callers::default();
    let deposited = Arc::new(Mutex::new(0_u64));
    for pause in [0, 3, 20, 100, 300, 700] {
        let mut line = Kept::new(network.url(), None);
        let (account, deposited) = (account.clone(), Arc::clone(&deposited));
        let mut deposit = json!({"account_id": account, "amount": "1", "transfer_id": new_id()});
        callers.join(Duration::from_millis(pause), move || {
            let (status, body) = line.ask("GET", &format!("/check_account?account_id={account}"), None)?;
            is_an_answer(status, &body)?;
            let (status, body) = line.ask("POST", "/deposit_money", Some(&deposit))?;
            if status == 200 {
                *deposited.lock().expect("nobody panics with it") += 1;
                deposit["transfer_id"] = json!(new_id());
            }
            is_an_answer(status, &body)
        });
    }
    for pause in [0, 10] {
        let url = format!("{}/check_account?account_id={account}", network.url());
        callers.join(Duration::from_millis(pause), move || {
            let (status, body) = http::call("GET", &url, None).map_err(|error| format!("one request: {error}"))?;
            is_an_answer(status, &body)
        });
    }
    let runtime = Arc::new(tokio::runtime::Runtime::new().expect("threads are to be had"));
    for pause in [0, 5, 100, 500] {
        let channel = runtime.block_on(async {
            Endpoint::from_shared(format!("http://{}", grpc.trim_start_matches("http://")))
                .expect("an address")
                .connect_lazy()
        });
        let (runtime, account) = (Arc::clone(&runtime), account.clone());
        callers.join(Duration::from_millis(pause), move || runtime.block_on(ask_by_grpc(channel.clone(), &account)));
    }
    stop_in_turn(&network, "alpha");
    // Those who pause for long come once more.
    thread::sleep(Duration::from_millis(1_000));
    callers.leave();
    let deposited = *deposited.lock().expect("nobody panics with it");
    let balance: f64 = network.balance(&account).parse().expect("digits");
    // The last one of each caller may be done without its answer.
    assert!(balance >= deposited as f64 && balance <= (deposited + 6) as f64, "{balance} of {deposited}");
}

fn new_id() -> String {
    new_payment_id().to_string()
}

/// A channel as any language has one, which repeats nothing.
async fn ask_by_grpc(channel: Channel, account: &str) -> Result<(), String> {
    let bits = uuid_bits(account);
    let id = Some(api::grpc::uuid(bits));
    let mut bank = BankClient::new(channel);
    let mut called = bank.get_account(proto::GetAccountRequest { id }).await;
    // Told that the connection goes, the library gives up a call that it had not sent, or that the node, by the last stream
    // that it names (RFC 9113, 6.8), has not begun. Any client sends that again.
    let is_not_begun = |status: &tonic::Status| {
        let status = format!("{status:?}");
        status.contains("operation was canceled") || status.contains("GoAway(b\"\", NO_ERROR, Remote)")
    };
    if called.as_ref().is_err_and(is_not_begun) {
        called = bank.get_account(proto::GetAccountRequest { id }).await;
    }
    match called {
        Ok(_) => Ok(()),
        Err(status) if Problem::code_of(&status).is_some() => Ok(()),
        Err(status) => Err(format!("gRPC: {status:?}")),
    }
}

fn uuid_bits(text: &str) -> u128 {
    u128::from_str_radix(&text.replace('-', ""), 16).expect("a UUID")
}

#[test]
fn a_gateways_customers_see_no_broken_connection_when_its_nodes_stop_in_turn() {
    let town = Town::patient("stops-gateway");
    let file = network_json(town.network.dir().as_ref());
    let url = file["gateway"]["http"].as_str().expect("an address").to_owned();
    let grpc = file["gateway"]["grpc"].as_str().expect("an address").to_owned();
    let body = json!({"bank": "alpha", "username": "alice", "password": "alice-demo"});
    let (status, text) = http::call("POST", &format!("{url}/v1/login"), Some(&body)).expect("it answers");
    assert_eq!(status, 200, "{text}");
    let signed_in: Value = serde_json::from_str(&text).expect("JSON");
    let token = signed_in["access_token"].as_str().expect("a token").to_owned();
    let mut callers = Callers::default();
    for pause in [0, 20, 300, 700] {
        let mut line = Kept::new(&url, Some(&token));
        callers.join(Duration::from_millis(pause), move || {
            let (status, body) = line.ask("GET", "/v1/balance", None)?;
            is_an_answer(status, &body)?;
            let (status, body) =
                line.ask("POST", "/v1/payments", Some(&json!({"payee": "bob@beta", "amount": "0.01"})))?;
            is_an_answer(status, &body)
        });
    }
    let runtime = Arc::new(tokio::runtime::Runtime::new().expect("threads are to be had"));
    for pause in [0, 300] {
        let gateway = runtime.block_on(async { gateway_at(&town.network, [grpc.as_str()].into_iter()) });
        let signed_in = town.login(&gateway, "carol@alpha", "carol-demo").expect("the demo's password");
        let customer = gateway.customer(&signed_in.token).expect("a token");
        let runtime = Arc::clone(&runtime);
        callers.join(Duration::from_millis(pause), move || runtime.block_on(pay_by_grpc(&customer)));
    }
    stop_in_turn(&town.network, "gateway");
    thread::sleep(Duration::from_millis(1_000));
    callers.leave();
}

async fn pay_by_grpc(customer: &Customer) -> Result<(), String> {
    let terms = order(new_payment_id(), "carol@alpha", "bob@beta", 1);
    customer.pay(&terms).await.map(drop).map_err(|error| format!("gRPC: {error:?}"))
}

/// A node that a test stops at some moment of its start or after it.
struct Stopped<'a> {
    place: Place,
    data: &'a Path,
    log: &'a Path,
}

impl Stopped<'_> {
    /// Starts it, stops it after that time, and sees it end in order and in time.
    fn after(&self, delay: Duration, what: &str) {
        stop_after(Node::start(&self.place, self.data, self.log), delay, what);
    }
}

fn stop_after(node: Node, delay: Duration, what: &str) {
    node.handles_signals();
    thread::sleep(delay);
    signal("TERM", node.pid());
    let asked = Instant::now();
    let (code, said) = node.end();
    let took = asked.elapsed();
    println!("{what}: stopped after {delay:?}, in {took:?}");
    assert_eq!(code, Some(0), "{what}, after {delay:?}: {said}");
    // Its own grace is six seconds; the rest is a busy machine's.
    assert!(took < Duration::from_secs(12), "{what}, after {delay:?}: it took {took:?}: {said}");
}

#[test]
fn a_node_of_a_gateway_stops_at_any_moment_of_its_start_of_serving_and_of_mending() {
    let dir = TestDir::new("stops-gateway-node");
    let (base, data, log) = (free_base(), dir.path().join("data"), dir.path().join("gateway.log"));
    let text = data.to_str().expect("UTF-8");
    let made = run(&["gateway", "init", "--name", "main", "--node", "1", "--nodes", "1", "--data", text]);
    assert!(made.status.success(), "{}", stderr(&made));
    let start = || {
        let at = |offset: u16| format!("127.0.0.1:{}", base + offset);
        let process = rialto()
            .args(["gateway", "--name", "main", "--node", "1", "--data", text])
            .args(["--http", &at(1), "--grpc", &at(11), "--peer-listen", &at(21)])
            .stdout(std::process::Stdio::null())
            .stderr(fs::File::create(&log).expect("there is room"))
            .spawn()
            .expect("the binary was built");
        Node::adopt(process, format!("http://{}", at(1)), &log)
    };
    let began = Instant::now();
    let mut node = start();
    node.ready();
    let start_takes = began.elapsed();
    node.stop();
    for step in 0..8_u32 {
        if step % 2 == 1 {
            flip(&data.join("journal/000000"), 256 + 40);
        }
        stop_after(start(), start_takes * step / 6, if step % 2 == 1 { "one with rot" } else { "a sound one" });
    }
    let mut node = start();
    node.ready();
    node.stop();
}

#[test]
fn a_node_stops_at_any_moment_of_its_start_of_mending_and_of_serving() {
    let dir = TestDir::new("stops-random");
    let base = free_base();
    let network = Network::start(&dir, base);
    let account = network.open_account();
    for _ in 0..5 {
        network.deposit(&account, "1");
    }
    network.all_ready();
    shut_down(&network, 2);
    let (data, log) = (dir.path().join("alpha/2"), dir.path().join("by-hand.log"));
    checkpoint::make(&data);
    let stopped = Stopped { place: Place::of_alpha(base, 2, 3), data: &data, log: &log };
    // Spread over what a start takes here, and beyond it.
    let began = Instant::now();
    let mut node = Node::start(&stopped.place, &data, &log);
    node.ready();
    let start_takes = began.elapsed();
    node.stop();
    for step in 0..12_u32 {
        let delay = start_takes * step / 8;
        // Rot that is found while it runs: the node opens its files anew, at whatever moment the word comes.
        match step % 3 {
            0 => stopped.after(delay, "a sound node"),
            1 => {
                flip(&data.join("journal/000000"), 256 + 40);
                stopped.after(delay, "a node with rot below its checkpoint");
            }
            _ => {
                let run = fs::read_dir(data.join("ids")).expect("it is there").next();
                if let Some(Ok(run)) = run {
                    flip(&run.path(), fs::metadata(run.path()).expect("it is there").len() / 2);
                }
                stopped.after(delay, "a node with rot in its ids");
            }
        }
        network.deposit(&account, "1");
    }
    let mut node = Node::start(&stopped.place, &data, &log);
    node.ready();
    node.stop();
    network.stop();
    // All others are gone: it waits for them.
    stopped.after(start_takes * 2, "a node that waits for its peers");
}

#[test]
fn a_node_that_mends_rot_while_it_runs_stops_when_it_is_told_to() {
    let dir = TestDir::new("stops-mending");
    let base = free_base();
    let network = Network::start(&dir, base);
    let account = network.open_account();
    network.deposit(&account, "1");
    network.all_ready();
    shut_down(&network, 2);
    let (data, log) = (dir.path().join("alpha/2"), dir.path().join("by-hand.log"));
    checkpoint::make(&data);
    let place = Place::of_alpha(base, 2, 3);
    for delay in [0, 1, 5, 20, 60, 150, 400] {
        let mut node = Node::start(&place, &data, &log);
        node.ready();
        flip(&data.join("journal/000000"), 256 + 40);
        // Its own reading finds it; from then on its files are closed and opened again.
        node.says(&["the node opens its files anew"]);
        thread::sleep(Duration::from_millis(delay));
        let asked = Instant::now();
        node.stop();
        println!("told {delay} ms after the mending began, it ended in {:?}", asked.elapsed());
        // What it did not come to is mended at the next start.
        let mut node = Node::start(&place, &data, &log);
        node.ready();
        node.stop();
    }
}

#[test]
fn a_node_that_waits_to_be_admitted_stops_when_it_is_told_to() {
    let dir = TestDir::new("stops-joining");
    let base = free_base();
    let network = Network::start(&dir, base);
    let place = Place::of_alpha(base, 4, 4);
    let (data, log) = (dir.path().join("newcomer"), dir.path().join("newcomer.log"));
    let (cluster, at) = (cluster_of(dir.path()), data.to_str().expect("UTF-8"));
    let made = run(&["bank", "init", "--name", "alpha", "--node", "4", "--join", "--cluster", &cluster, "--data", at]);
    assert!(made.status.success(), "{}", stderr(&made));
    let stopped = Stopped { place, data: &data, log: &log };
    for delay in [0, 50, 300] {
        stopped.after(Duration::from_millis(delay), "a node that waits to be admitted");
    }
    network.stop();
    stopped.after(Duration::from_millis(500), "a node that finds nobody who could admit it");
}
