//! A bank whose nodes live in a [`Lab`], and people who pay at each of them all the time.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::by_hand::Node;
use crate::http::Request;
use crate::lab::{GRPC, HTTP, Lab, PEER, address};
use crate::network::{TestDir, rialto, run, stderr, stdout, until};
use crate::payer::{Paid, Payer};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Nodes answer within two seconds; the rest is for a machine that does other things too.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Both modes, as the command line writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Leader,
    Leaderless,
}

impl Mode {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Mode::Leader => "leader",
            Mode::Leaderless => "leaderless",
        }
    }
}

/// The running bank.
#[derive(Debug)]
pub(crate) struct Bank {
    nodes: BTreeMap<u16, Node>,
    dir: PathBuf,
    token: PathBuf,
    pub(crate) mode: Mode,
    pub(crate) lab: Lab,
}

pub(crate) fn url(node: u16) -> String {
    format!("http://{}:{HTTP}", address(node))
}

/// What a node answers; `Err` when nothing came.
pub(crate) fn ask(method: &str, node: u16, path: &str, body: Option<&Value>) -> std::io::Result<(u16, String)> {
    let url = format!("{}{path}", url(node));
    Request { method, url: &url, body, token: Some(TOKEN), key: None, patience: Duration::from_secs(30) }.send()
}

impl Bank {
    /// Started and ready, on nodes 1 to `count`; `None` where no namespaces can be made.
    pub(crate) fn start(dir: &TestDir, mode: Mode, count: u16) -> Option<Bank> {
        let lab = Lab::new(count)?;
        let token = dir.path().join("token");
        fs::write(&token, TOKEN).expect("there is room");
        fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("it is ours");
        let mut bank = Bank { nodes: BTreeMap::new(), dir: dir.path().to_owned(), token, mode, lab };
        let mut cluster: Option<String> = None;
        for node in 1..=count {
            cluster = Some(bank.init(node, count, cluster.as_deref()));
        }
        for node in 1..=count {
            bank.start_node(node, count);
        }
        bank.nodes.values_mut().for_each(Node::ready);
        Some(bank)
    }

    fn data(&self, node: u16) -> PathBuf {
        self.dir.join(node.to_string())
    }

    fn init(&self, node: u16, count: u16, cluster: Option<&str>) -> String {
        let (number, nodes, data) = (node.to_string(), count.to_string(), self.data(node));
        let data = data.to_str().expect("UTF-8");
        let mut arguments =
            vec!["bank", "init", "--name", "alpha", "--node", &number, "--nodes", &nodes, "--data", data];
        if self.mode == Mode::Leaderless {
            arguments.extend(["--mode", self.mode.text()]);
        }
        arguments.extend(cluster.iter().flat_map(|cluster| ["--cluster", *cluster]));
        let made = run(&arguments);
        assert!(made.status.success(), "{}", stderr(&made));
        stdout(&made).lines().find_map(|line| line.strip_prefix("cluster ").map(str::to_owned)).expect("it is told")
    }

    fn start_node(&mut self, node: u16, count: u16) {
        let at = |node: u16, port: u16| format!("{}:{port}", address(node));
        let peers: Vec<String> = (1..=count).map(|peer| format!("{peer}={}", at(peer, PEER))).collect();
        let said = self.dir.join(format!("{node}.log"));
        let process = self
            .lab
            .command(node, &rialto())
            .args(["bank", "--name", "alpha", "--node", &node.to_string(), "--peers", &peers.join(",")])
            .args(["--http", &at(node, HTTP), "--grpc", &at(node, GRPC), "--peer-listen", &at(node, PEER)])
            .args(["--no-tls", "--operator-token-file"])
            .arg(&self.token)
            .arg("--data")
            .arg(self.data(node))
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said).expect("there is room"))
            .spawn()
            .expect("there is `ip`: the lab has used it");
        self.nodes.insert(node, Node::adopt(process, url(node), &said));
    }

    pub(crate) fn status(&self, node: u16) -> Option<Value> {
        let (status, body) = ask("GET", node, "/v1/status", None).ok()?;
        (status == 200).then(|| serde_json::from_str(&body).expect("a status is JSON"))
    }

    /// The current proposer, once there is one, as that node itself says.
    pub(crate) fn holder(&self) -> u16 {
        let nodes: Vec<u16> = self.nodes.keys().copied().collect();
        until("there is a proposer", || {
            nodes.iter().copied().find(|node| {
                self.status(*node).is_some_and(|status| status["role"] == "leader" && status["quorum"] == true)
            })
        })
    }

    /// Some node that is not the proposer.
    pub(crate) fn other(&self) -> u16 {
        let holder = self.holder();
        self.lab.others(holder).next().expect("there are several nodes")
    }

    pub(crate) fn open_account(&self, node: u16) -> String {
        let body = until("an account is opened", || {
            ask("POST", node, "/open_account", None).ok().filter(|(status, _)| *status == 200).map(|(_, body)| body)
        });
        let answer: Value = serde_json::from_str(&body).expect("answers are JSON");
        answer["account_id"].as_str().expect("an id").to_owned()
    }

    /// The digits of a balance, asked at that node.
    pub(crate) fn balance(&self, node: u16, account: &str) -> String {
        until("the balance can be read", || {
            let (status, body) = ask("GET", node, &format!("/check_account?account_id={account}"), None).ok()?;
            let digits = body.split_once("\"balance\":")?.1.trim_end_matches(['}', '\n', ' ']).to_owned();
            (status == 200).then_some(digits)
        })
    }

    /// All nodes are ready and equal, and their books in order.
    pub(crate) fn all_well(&self) {
        for node in self.nodes.keys() {
            until(&format!("node {node} is ready"), || {
                self.status(*node).filter(|status| status["ready"] == true && status["lag"] == 0)
            });
        }
        let urls: Vec<String> = self.nodes.keys().flat_map(|node| ["--url".to_owned(), url(*node)]).collect();
        let token = ["--operator-token-file", self.token.to_str().expect("UTF-8")];
        let arguments: Vec<&str> = ["audit"].into_iter().chain(token).chain(urls.iter().map(String::as_str)).collect();
        let audit = run(&arguments);
        let said = stdout(&audit);
        assert!(audit.status.success() && said.ends_with("the books are in order\n"), "{said}");
    }

    /// Without a majority: every answer comes in time and says what is so, in the end that nothing was done. What was
    /// answered with an open outcome may yet be done, so the account must be one that is not counted.
    pub(crate) fn refuses(&self, node: u16, account: &str) {
        let body = json!({"account_id": account, "amount": "1000000"});
        let mut last = (0, String::new());
        until(&format!("node {node} says that nothing can be done"), || {
            let asked = Instant::now();
            let paid = ask("POST", node, "/deposit_money", Some(&body)).expect("it answers");
            assert!(asked.elapsed() <= ANSWER_MAX, "{:?} for {paid:?}", asked.elapsed());
            let code: Value = serde_json::from_str(&paid.1).unwrap_or_default();
            let told = (paid.0, code["code"].as_str().unwrap_or_default().to_owned());
            let honest = [(503, "unavailable".to_owned()), (504, "outcome_unknown".to_owned())];
            assert!(honest.contains(&told), "{paid:?}");
            last = told;
            (last.0 == 503).then_some(())
        });
        let asked = Instant::now();
        let read = ask("GET", node, &format!("/check_account?account_id={account}"), None).expect("it answers");
        assert_eq!(read.0, 503, "a read without a majority: {}", read.1);
        assert!(asked.elapsed() <= ANSWER_MAX, "{:?} for {read:?}", asked.elapsed());
    }

    /// The highest ballot's round that any node knows of.
    pub(crate) fn round(&self) -> u64 {
        let rounds = self.nodes.keys().filter_map(|node| self.status(*node)?["ballot"]["round"].as_u64());
        rounds.max().expect("a node answers")
    }
}

/// One payer at each of these nodes.
#[derive(Debug)]
pub(crate) struct Payers {
    account: String,
    /// For money whose fate may stay open.
    other_account: String,
    payers: BTreeMap<u16, Payer>,
    opened_at: u16,
}

impl Payers {
    pub(crate) fn start(bank: &Bank, at: &[u16]) -> Payers {
        let opened_at = at[0];
        let (account, other_account) = (bank.open_account(opened_at), bank.open_account(opened_at));
        let payer = |node: &u16| (*node, Payer::start(&url(*node), Some(TOKEN), &account));
        let payers = at.iter().map(payer).collect();
        Payers { account, other_account, payers, opened_at }
    }

    /// An account that nobody pays into.
    pub(crate) fn other_account(&self) -> &str {
        &self.other_account
    }

    /// Stops them all, and checks that exactly what was acknowledged is there.
    pub(crate) fn stop(self, bank: &Bank) -> BTreeMap<u16, Paid> {
        for payer in self.payers.values() {
            payer.tell();
        }
        let paid: BTreeMap<u16, Paid> = self.payers.into_iter().map(|(node, payer)| (node, payer.stop())).collect();
        let total: usize = paid.values().map(|paid| paid.at.len()).sum();
        assert_eq!(bank.balance(self.opened_at, &self.account), format!("{total}.00"), "acknowledged, and there");
        paid
    }
}

/// For the log of a run: what was measured, shown with `--nocapture`.
pub(crate) fn note(mode: Mode, what: &str, pauses: &[(u16, Duration)]) {
    let each: Vec<String> =
        pauses.iter().map(|(node, pause)| format!("node {node}: {} ms", pause.as_millis())).collect();
    println!("{} mode, {what}: longest pause {}", mode.text(), each.join(", "));
}

/// The directory of a test in one mode.
pub(crate) fn dir(name: &str, mode: Mode) -> TestDir {
    TestDir::new(&format!("{name}-{}", mode.text()))
}
