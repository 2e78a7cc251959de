//! Members that come and go while people pay, in both modes: nothing is lost, numbers are never used twice, and whatever was
//! cut short goes on when it is run again.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::apart::Mode;
use crate::by_hand::{Node, Place, init};
use crate::http;
use crate::network::{Network, TestDir, free_base, rialto, run, stderr, stdout, until};
use crate::payer::Payer;

/// Nobody waits for longer while members change: that is an election on a machine that does other things too.
const PAUSE_MAX: Duration = Duration::from_secs(6);
/// A node that is removed while it is asked says so; one that only let its callers wait would keep them for the two seconds
/// that an answer may take.
const CALLER_MAX: Duration = Duration::from_millis(1_800);

fn start(dir: &TestDir, mode: Mode, flags: &[&str]) -> Network {
    let base = free_base().to_string();
    Network::up(dir.path(), &[&["--base-port", &base, "--mode", mode.text()][..], flags].concat())
}

fn rialto_in(network: &Network, arguments: &[&str]) -> Output {
    run(&[arguments, &["--dir", network.dir()]].concat())
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", stdout(output), stderr(output));
    stdout(output)
}

/// The numbers of those that vote, as the bank's log has them.
fn voters(network: &Network) -> Vec<u64> {
    let said = done(&rialto_in(network, &["members", "--json"]));
    let group: Value = serde_json::from_str(&said).expect("one JSON object");
    let members = group["members"].as_array().expect("a list");
    members
        .iter()
        .filter(|member| member["role"] == "voter")
        .map(|member| member["node"].as_u64().expect("a number"))
        .collect()
}

/// People who pay at the bank's one address; what they were told is there in the end, and nobody waited for long.
struct Crowd {
    account: String,
    payers: Vec<Payer>,
    began: Instant,
}

impl Crowd {
    fn gather(network: &Network) -> Crowd {
        let account = network.open_account();
        let payers = (1..=3).map(|_| Payer::start(network.url(), None, &account)).collect();
        Crowd { account, payers, began: Instant::now() }
    }

    fn leave(self, network: &Network) {
        let until = Instant::now();
        let paid: Vec<_> = self.payers.into_iter().map(Payer::stop).collect();
        let total: usize = paid.iter().map(|paid| paid.at.len()).sum();
        assert_eq!(network.balance(&self.account), format!("{total}.00"), "acknowledged, and there");
        let longest = paid.iter().map(|paid| paid.longest_pause(self.began, until)).max().expect("three pay");
        println!("{total} payments, the longest pause {} ms", longest.as_millis());
        assert!(longest <= PAUSE_MAX, "somebody waited {longest:?}");
    }
}

fn grows_and_shrinks(mode: Mode) {
    let dir = TestDir::new(&format!("grows-{}", mode.text()));
    let network = start(&dir, mode, &[]);
    let crowd = Crowd::gather(&network);
    for node in [4, 5, 6, 7] {
        let told = rialto_in(&network, &["members", "add"]);
        // It may have become the proposer by then.
        let has_vote = |role: &str| done(&told).contains(&format!("\n  {node}     {role}"));
        assert!(has_vote("votes") || has_vote("proposes"), "{}", stdout(&told));
        let said = stderr(&told);
        assert!(said.contains(&format!("node {node} is admitted")), "{said}");
        assert!(said.contains(&format!("node {node} has caught up and has a vote")), "{said}");
    }
    assert_eq!(voters(&network), [1, 2, 3, 4, 5, 6, 7]);
    for node in ["7", "6", "5", "4"] {
        done(&rialto_in(&network, &["members", "remove", node]));
    }
    assert_eq!(voters(&network), [1, 2, 3]);
    done(&rialto_in(&network, &["members", "add"]));
    assert_eq!(voters(&network), [1, 2, 3, 8], "numbers are never used twice");
    crowd.leave(&network);
    let audit = rialto_in(&network, &["audit"]);
    assert!(done(&audit).contains("4 equal journals were compared"), "{}", stdout(&audit));
}

#[test]
fn a_bank_grows_and_shrinks_under_load_in_leader_mode() {
    grows_and_shrinks(Mode::Leader);
}

#[test]
fn a_bank_grows_and_shrinks_under_load_in_leaderless_mode() {
    grows_and_shrinks(Mode::Leaderless);
}

#[test]
fn a_dead_node_is_replaced_by_one_command_and_running_it_again_changes_nothing() {
    let dir = TestDir::new("replace");
    let network = start(&dir, Mode::Leader, &["--no-restart"]);
    network.all_ready();
    let crowd = Crowd::gather(&network);
    network.kill(2);
    network.event(&["node 2 died"]);
    std::fs::remove_dir_all(dir.path().join("alpha/2")).expect("its process has ended");
    done(&rialto_in(&network, &["members", "replace", "2"]));
    assert_eq!(voters(&network), [1, 3, 4]);
    done(&rialto_in(&network, &["members", "replace", "2"]));
    assert_eq!(voters(&network), [1, 3, 4]);
    crowd.leave(&network);
    let refused = rialto_in(&network, &["members", "replace", "7"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("error: node 7 is no member of bank alpha"), "{}", stderr(&refused));
    assert!(network.stop().success());

    let again = Network::up(dir.path(), &[]);
    assert_eq!(voters(&again), [1, 3, 4], "who left is not started again, who came is");
    until("node 4 is ready", || again.status(4).filter(|status| status["ready"] == true));
}

#[test]
fn a_replacement_cut_short_goes_on_with_the_same_newcomer() {
    let dir = TestDir::new("cut-short");
    let network = start(&dir, Mode::Leader, &[]);
    let mut first = rialto()
        .args(["members", "replace", "3", "--dir", network.dir()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let mut lines = BufReader::new(first.stderr.take().expect("it was asked to be piped")).lines();
    let admitted = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("node 4 is admitted")));
    first.kill().expect("it is ours");
    first.wait().expect("it is ours");
    assert!(admitted.is_some(), "it ended before it had begun");
    done(&rialto_in(&network, &["members", "replace", "3"]));
    assert_eq!(voters(&network), [1, 2, 4]);
}

/// Who asks a node that is just being removed hears at once that it should ask another, or what became of the request.
#[test]
fn callers_of_a_node_that_is_removed_are_not_kept_waiting() {
    let dir = TestDir::new("callers-of-removed");
    let network = start(&dir, Mode::Leader, &[]);
    network.all_ready();
    let account = network.open_account();
    let url = format!("{}/deposit_money", network.node(3)["http"].as_str().expect("it runs"));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (url, body) = (url.clone(), json!({"account_id": account, "amount": "1"}));
            std::thread::spawn(move || {
                let mut longest = Duration::ZERO;
                let mut broken = 0;
                while broken < 3 {
                    let asked = Instant::now();
                    broken = if http::call("POST", &url, Some(&body)).is_ok() { 0 } else { broken + 1 };
                    longest = longest.max(asked.elapsed());
                }
                longest
            })
        })
        .collect();
    done(&rialto_in(&network, &["members", "remove", "3", "--yes"]));
    let longest = callers.into_iter().map(|caller| caller.join().expect("it only asks")).max();
    println!("the longest of their calls took {longest:?}");
    assert!(longest < Some(CALLER_MAX), "somebody waited {longest:?}");
}

#[test]
fn up_with_another_number_of_nodes_grows_the_bank_and_shrinks_it_back() {
    let dir = TestDir::new("up-nodes");
    let network = start(&dir, Mode::Leader, &[]);
    let account = network.open_account();
    network.deposit(&account, "12.50");
    assert!(network.stop().success());

    let larger = Network::up(dir.path(), &["--nodes", "5"]);
    let crowd = Crowd::gather(&larger);
    larger.event(&["bank alpha has 5 members now: 1 2 3 4 5"]);
    assert_eq!(larger.balance(&account), "12.50");
    crowd.leave(&larger);
    assert!(larger.stop().success());

    let smaller = Network::up(dir.path(), &["--nodes", "3"]);
    let crowd = Crowd::gather(&smaller);
    smaller.event(&["bank alpha has 3 members now: 1 2 3"]);
    until("the fifth and fourth are gone", || {
        let file = crate::network::network_json(dir.path());
        (file["nodes"].as_array().expect("a list").len() == 3).then_some(())
    });
    crowd.leave(&smaller);
    assert_eq!(smaller.balance(&account), "12.50");
}

#[test]
fn a_running_bank_changes_its_mode_and_back_and_nobody_waits() {
    let dir = TestDir::new("mode");
    let network = start(&dir, Mode::Leader, &[]);
    network.all_ready();
    let crowd = Crowd::gather(&network);
    for mode in ["leaderless", "leader", "leaderless"] {
        let said = done(&rialto_in(&network, &["mode", mode]));
        assert!(said.starts_with(&format!("bank alpha is in {mode} mode, after ")), "{said}");
        let shown: Value =
            serde_json::from_str(&done(&rialto_in(&network, &["mode", "--json"]))).expect("one JSON object");
        assert_eq!(shown["mode"], mode);
        network.event(&[&format!("bank alpha is in {mode} mode now")]);
    }
    let again = done(&rialto_in(&network, &["mode", "leaderless"]));
    assert!(again.starts_with("bank alpha was in leaderless mode already"), "{again}");
    crowd.leave(&network);
    assert!(network.stop().success());
}

/// `--mode` is for new banks. For one that is there, the log's mode counts, however long ago `up` last saw it.
#[test]
fn up_refuses_a_mode_that_the_banks_log_does_not_have() {
    let dir = TestDir::new("mode-flag");
    let network = start(&dir, Mode::Leader, &["--nodes", "1"]);
    done(&rialto_in(&network, &["mode", "leaderless"]));
    assert!(network.stop().success());
    refuses_leader_mode(&dir);

    let layout = dir.path().join("layout.json");
    let text = std::fs::read_to_string(&layout).expect("up made it");
    assert!(text.contains("\"leaderless\""), "{text}");
    std::fs::write(&layout, text.replace("\"leaderless\"", "\"leader\"")).expect("there is room");
    refuses_leader_mode(&dir);
    drop(Network::up(dir.path(), &["--mode", "leaderless"]));
}

fn refuses_leader_mode(dir: &TestDir) {
    let path = dir.path().to_str().expect("UTF-8");
    let mut up = rialto()
        .args(["up", "--no-gateway", "--json", "--mode", "leader", "--dir", path])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let began = Instant::now();
    while up.try_wait().expect("it is ours").is_none() {
        if began.elapsed() > Duration::from_secs(30) {
            up.kill().expect("it is ours");
            panic!("it runs as if nothing were wrong");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let refused = up.wait_with_output().expect("it has ended");
    assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    let said = stderr(&refused);
    assert!(
        said.contains(&format!("\"message\":\"bank alpha in {path} is in leaderless mode, not in leader mode")),
        "{said}"
    );
    assert!(said.contains(&format!("rialto mode leader --bank alpha --dir {path}")), "{said}");
    assert_eq!(stdout(&refused), "", "it was never ready");
}

/// Nodes that nobody supervises, as on machines of their own: what `members add` prints is all that is to be done.
#[test]
fn a_node_of_ones_own_joins_by_the_commands_that_are_printed() {
    let dir = TestDir::new("own-machines");
    let base = free_base();
    let data = |node: u16| dir.path().join(node.to_string());
    let log = |node: u16| dir.path().join(format!("{node}.log"));
    let place = |node| Place::of_alpha(base, node, 3);
    let cluster = init(&place(1), &data(1), 3, None);
    for node in [2, 3] {
        init(&place(node), &data(node), 3, Some(&cluster));
    }
    let mut nodes: Vec<Node> = (1..=3).map(|node| Node::start(&place(node), &data(node), &log(node))).collect();
    nodes.iter_mut().for_each(Node::ready);

    let (peer, http) = (format!("127.0.0.1:{}", base + 24), format!("127.0.0.1:{}", base + 4));
    let urls: Vec<String> = (1..=3).flat_map(|node| ["--url".to_owned(), place(node).url()]).collect();
    let mut add = rialto()
        .args(["members", "add", "--node", "4", "--peer", &peer, "--http", &http, "--json"])
        .args(&urls)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let mut lines = BufReader::new(add.stderr.take().expect("it was asked to be piped")).lines().map_while(Result::ok);
    let mut said = Vec::new();
    for line in lines.by_ref() {
        let waits = line.contains("waiting for it at");
        said.push(line);
        if waits {
            break;
        }
    }
    let told = said.join("\n");
    let printed = said.iter().find_map(|line| line.trim().strip_prefix("rialto bank init ")).expect(&told);
    assert!(printed.contains(&format!("--node 4 --join --cluster {cluster}")), "{told}");
    let with_data = |text: &str| text.replace("/var/lib/rialto/alpha-4", data(4).to_str().expect("UTF-8"));
    let printed = with_data(printed);
    let arguments: Vec<&str> = ["bank", "init"].into_iter().chain(printed.split(' ')).collect();
    done(&run(&arguments));
    let peers = (1..=4).map(|number| (number, base + 20 + number)).collect();
    let newcomer = Place { bank: "alpha", node: 4, base, peers };
    assert!(told.contains(&format!("4={peer}")), "{told}");
    let mut fourth = Node::start(&newcomer, &data(4), &log(4));

    let rest: Vec<String> = lines.collect();
    let added = add.wait_with_output().expect("it is ours");
    assert!(added.status.success(), "{told}\n{}", rest.join("\n"));
    let group: Value = serde_json::from_slice(&added.stdout).expect("one JSON object");
    assert_eq!(group["members"].as_array().expect("a list").len(), 4);
    fourth.ready();

    let remove: Vec<&str> =
        ["members", "remove", "1"].into_iter().chain(urls[2..].iter().map(String::as_str)).collect();
    done(&run(&remove));
    let (code, said) = nodes.remove(0).end();
    assert_eq!(code, Some(7), "{said}");
    assert_stays_out(&dir, &data(1), &place(1));
    fourth.stop();
}

/// A node that was removed does not come back by being started.
fn assert_stays_out(dir: &TestDir, data: &Path, place: &Place) {
    let (code, said) = Node::start(place, data, &dir.path().join("again.log")).end();
    assert_eq!(code, Some(7), "{said}");
}
