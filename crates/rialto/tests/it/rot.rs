//! Bytes flipped in one node's files while it is down, one file after the other: started again it heals, and says so, or stays
//! down and says what to do. The others never notice.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::by_hand::{Node, Place, shut_down};
use crate::checkpoint;
use crate::http;
use crate::network::{Network, TestDir, free_base, run, stdout, until};

/// The first payment of all.
const FIRST: &str = "01900000-0000-7000-8000-00000000000f";

/// Of which file, and where in it, a byte is turned.
type Where = fn(&Path) -> (PathBuf, u64);

struct Bank {
    network: Network,
    dir: TestDir,
    base: u16,
    account: String,
    paid: u64,
}

impl Bank {
    /// Three nodes, some money, and a checkpoint on node 2, which is then down.
    fn with_node_2_down(name: &str) -> Bank {
        let dir = TestDir::new(name);
        let base = free_base();
        let network = Network::start(&dir, base);
        let account = network.open_account();
        let mut bank = Bank { network, dir, base, account, paid: 0 };
        let first = json!({"account_id": bank.account, "amount": "1", "transfer_id": FIRST});
        bank.network.post("/deposit_money", first);
        bank.paid += 1;
        bank.pay(8);
        bank.network.all_ready();
        // Ready is also who lags a little, and on a busy machine that may be everything so far.
        let applied = |node| bank.network.status(node).and_then(|status| status["slots"]["applied"].as_u64());
        let all = until("node 1 says how far it is", || applied(1));
        until("node 2 has as much", || applied(2).filter(|has| *has >= all));
        shut_down(&bank.network, 2);
        bank
    }

    fn pay(&mut self, times: u64) {
        for _ in 0..times {
            self.network.deposit(&self.account, "1");
        }
        self.paid += times;
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("alpha/2")
    }

    fn place(&self) -> Place {
        Place::of_alpha(self.base, 2, 3)
    }

    fn start(&self) -> Node {
        Node::start(&self.place(), &self.data(), &self.dir.path().join("by-hand.log"))
    }

    /// Node 2 starts and reads all that it has. Where rot is found only then, it opens its files anew, and mends them. Then it
    /// has all the money, all three journals are equal, and it says what it did.
    fn heals(&mut self, what: &str) {
        self.pay(2);
        let mut node = self.start();
        node.ready();
        self.read_everything();
        let told = until("it says what it has repaired", || Some(self.rot_told()).filter(|told| !told.is_empty()));
        assert!(told.contains(what), "{told} does not name {what}");
        node.ready();
        assert!(self.figures().contains("rialto_rot_repaired_total"), "{}", self.figures());
        self.is_whole(&node);
        node.stop();
    }

    /// Counts the books again from the journal, and asks for the first payment once more, whose id only a run on disk holds.
    fn read_everything(&self) {
        self.ask_for_the_first_again();
        // A node that opens its files anew for what it finds gives no answer.
        let _ = http::call("GET", &format!("{}/v1/audit", self.place().url()), None);
    }

    fn ask_for_the_first_again(&self) {
        let again = json!({"account_id": self.account, "amount": "1", "transfer_id": FIRST});
        let (_, first) = http::call("POST", &format!("{}/deposit_money", self.network.url()), Some(&again))
            .expect("the bank answers");
        assert!(first.contains(FIRST), "{first}");
    }

    /// Of node 2.
    fn status(&self) -> Option<Value> {
        let (status, body) = http::call("GET", &format!("{}/v1/status", self.place().url()), None).ok()?;
        (status == 200).then(|| serde_json::from_str(&body).expect("a status is JSON"))
    }

    fn figures(&self) -> String {
        http::call("GET", &format!("{}/metrics", self.place().url()), None).expect("it answers").1
    }

    /// What it says that it has repaired; nothing if it has not, or is gone.
    fn rot_told(&self) -> String {
        let Some(status) = self.status() else { return String::new() };
        match status["rot_repaired"].as_u64() {
            Some(0) | None => String::new(),
            Some(_) => status["rot"].to_string(),
        }
    }

    fn is_whole(&self, node: &Node) {
        let url = format!("{}/check_account?account_id={}", self.place().url(), self.account);
        let (status, body) = http::call("GET", &url, None).expect("it answers");
        assert!(status == 200 && body.contains(&format!("{}.00", self.paid)), "{status}: {body}");
        let urls: Vec<String> =
            (1..=3).flat_map(|n| ["--url".to_owned(), format!("http://127.0.0.1:{}", self.base + n)]).collect();
        let arguments: Vec<&str> = ["audit"].into_iter().chain(urls.iter().map(String::as_str)).collect();
        let audit = run(&arguments);
        let said = stdout(&audit);
        assert!(said.contains("3 equal journals were compared"), "{said}\n{}", node.said());
        assert!(audit.status.success() && said.ends_with("the books are in order\n"), "{said}");
    }
}

pub(crate) fn flip(file: &Path, place: u64) {
    let file =
        File::options().read(true).write(true).open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).expect("it is that long");
    file.write_all_at(&[byte[0] ^ 0x10], place).expect("there is room");
}

fn names_in(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> =
        fs::read_dir(dir).expect("it is there").map(|entry| entry.expect("readable").path()).collect();
    names.sort();
    names
}

/// Repaired, counted and shown.
fn heals_and_says_so(name: &str, prepare: fn(&Path), at: &[Where]) {
    let mut bank = Bank::with_node_2_down(name);
    for place in at {
        // What was made good from the log may have no checkpoint above it any more.
        prepare(&bank.data());
        let (file, offset) = place(&bank.data());
        flip(&file, offset);
        bank.heals(file.file_name().and_then(|name| name.to_str()).expect("it has a name"));
    }
}

#[test]
fn a_rotten_journal_is_mended() {
    let record = |data: &Path| (data.join("journal/000000"), 256 + 40);
    let header = |data: &Path| (data.join("journal/000000"), 33);
    heals_and_says_so("rot-journal", checkpoint::make, &[record, header]);
}

/// Nobody asks for anything that lies there: the node finds it by itself, and mends it without being started again.
#[test]
fn rot_below_the_checkpoint_is_found_and_mended_while_the_node_runs() {
    let mut bank = Bank::with_node_2_down("rot-scrub");
    checkpoint::make(&bank.data());
    let mut node = bank.start();
    node.ready();
    bank.pay(2);
    flip(&bank.data().join("journal/000000"), 256 + 40);
    let told = until("it says what it has repaired", || Some(bank.rot_told()).filter(|told| !told.is_empty()));
    assert!(told.contains("journal/000000"), "{told}");
    node.ready();
    bank.pay(2);
    bank.is_whole(&node);
    node.stop();
}

/// Alone, there is no good copy: it says so, and the balances, which do not come from there, are served on.
#[test]
fn a_node_alone_with_a_rotten_history_says_so_and_serves_on() {
    let dir = TestDir::new("rot-alone");
    let base = free_base();
    let network = Network::up(dir.path(), &["--nodes", "1", "--base-port", &base.to_string()]);
    let account = network.open_account();
    network.deposit(&account, "5");
    flip(&dir.path().join("alpha/1/journal/000000"), 256 + 40);
    let status = until("it says what it has found", || network.status(1).filter(|status| status["rot_unmended"] == 1));
    assert!(status["rot"].to_string().contains("nobody has a good copy"), "{status}");
    assert_eq!(status["rot_repaired"], 0);
    network.deposit(&account, "1");
    assert_eq!(network.balance(&account), "6.00");
}

#[test]
fn a_rotten_checkpoint_is_made_again() {
    let table = |data: &Path| {
        let is_table = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy() != "manifest");
        let file = names_in(&data.join("store")).into_iter().find(is_table).expect("a table");
        let half = fs::metadata(&file).expect("it is there").len() / 2;
        (file, half)
    };
    let manifest = |data: &Path| (data.join("store/manifest"), 20);
    heals_and_says_so("rot-store", checkpoint::make, &[table, manifest]);
}

#[test]
fn a_rotten_run_of_ids_is_made_again() {
    let run = |data: &Path| {
        let file = names_in(&data.join("ids")).into_iter().next().expect("a run");
        let half = fs::metadata(&file).expect("it is there").len() / 2;
        (file, half)
    };
    heals_and_says_so("rot-ids", checkpoint::make, &[run]);
}

/// A record that was synced long before the end: what it says stands in the second place too.
#[test]
fn a_rotten_record_of_the_log_is_mended() {
    let early = |data: &Path| (data.join("log/000001"), 4096 + 16);
    heals_and_says_so("rot-log", |_| {}, &[early]);
}

/// The node's log holds a repetition of an old id behind its checkpoint: its start looks the id up, where the block is
/// rotten that holds it.
#[test]
fn rot_that_a_start_meets_while_it_applies_its_log_is_mended_by_that_start() {
    let bank = Bank::with_node_2_down("rot-at-start");
    checkpoint::make(&bank.data());
    let mut node = bank.start();
    node.ready();
    bank.ask_for_the_first_again();
    let applied = |node| bank.network.status(node).and_then(|status| status["slots"]["applied"].as_u64());
    let all = until("node 1 says how far it is", || applied(1));
    until("node 2 has it too", || bank.status().filter(|status| status["slots"]["applied"].as_u64() >= Some(all)));
    node.stop();
    flip_in_every_run(&bank.data());

    let mut node = bank.start();
    node.ready();
    let told = until("it says what it has repaired", || Some(bank.rot_told()).filter(|told| !told.is_empty()));
    assert!(told.contains("ids/run-"), "{told}");
    bank.is_whole(&node);
    node.stop();
}

/// A caller's question meets it, long before anybody would have read there: the caller is sent elsewhere, and what was met
/// is made again at once.
#[test]
fn rot_that_a_question_meets_is_told_with_its_code_and_mended_at_once() {
    for in_ids in [true, false] {
        let mut bank = Bank::with_node_2_down(if in_ids { "rot-read-ids" } else { "rot-read-journal" });
        checkpoint::make(&bank.data());
        let mut node = bank.start();
        node.ready();
        bank.pay(1);
        if in_ids {
            flip_in_every_run(&bank.data());
        } else {
            flip_the_record_of_the_first(&bank.data());
        }
        let url = format!("{}/v1/transfers/{FIRST}", bank.place().url());
        // The journal's own reader may come by first: then the node mends already, and says that.
        let (status, body) = until("it answers", || http::call("GET", &url, None).ok());
        assert!(status == 503, "{status}: {body}");
        assert!(
            ["mending", "shutting_down"].iter().any(|code| body.contains(&format!("\"code\":\"{code}\""))),
            "{body}"
        );
        until("the same question has its answer", || {
            http::call("GET", &url, None).ok().filter(|(status, body)| *status == 200 && body.contains(FIRST))
        });
        let told = bank.rot_told();
        assert!(told.contains(if in_ids { "ids/run-" } else { "journal/000000" }), "{told}");
        bank.is_whole(&node);
        node.stop();
    }
}

fn flip_in_every_run(data: &Path) {
    for run in names_in(&data.join("ids")) {
        let half = fs::metadata(&run).expect("it is there").len() / 2;
        // The whole of the only block, its sum first: whatever is looked up there.
        flip(&run, 3.min(half));
    }
}

fn flip_the_record_of_the_first(data: &Path) {
    let file = data.join("journal/000000");
    let bytes = fs::read(&file).expect("it is there");
    let id = u128::from_str_radix(&FIRST.replace('-', ""), 16).expect("a UUID").to_le_bytes();
    let at = bytes.windows(16).position(|window| window == id).expect("the first payment is in there");
    flip(&file, at as u64);
}
