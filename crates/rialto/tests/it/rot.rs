//! Bytes flipped in one node's files while it is down, one file after the other: started again it heals, and says so, or stays
//! down and says what to do. The others never notice.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::by_hand::{Node, Place, shut_down};
use crate::checkpoint;
use crate::http;
use crate::network::{Network, TestDir, free_base, run, stdout, until};

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
        bank.pay(8);
        bank.network.all_ready();
        shut_down(&bank.network, 2);
        bank
    }

    fn pay(&mut self, times: u64) {
        for _ in 0..times {
            self.network.deposit(&self.account, "1");
            self.paid += 1;
        }
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

    /// Node 2 starts, has all the money, and all three journals are equal.
    fn heals(&mut self) -> Value {
        self.pay(2);
        let mut node = self.start();
        node.ready();
        let url = format!("{}/check_account?account_id={}", self.place().url(), self.account);
        let (status, body) = http::call("GET", &url, None).expect("it answers");
        assert!(status == 200 && body.contains(&format!("{}.00", self.paid)), "{status}: {body}");
        let (_, body) = http::call("GET", &format!("{}/v1/status", self.place().url()), None).expect("it answers");
        let status: Value = serde_json::from_str(&body).expect("a status is JSON");
        let urls: Vec<String> =
            (1..=3).flat_map(|n| ["--url".to_owned(), format!("http://127.0.0.1:{}", self.base + n)]).collect();
        let arguments: Vec<&str> = ["audit"].into_iter().chain(urls.iter().map(String::as_str)).collect();
        let audit = run(&arguments);
        assert!(stdout(&audit).contains("3 equal journals were compared"), "{}\n{}", stdout(&audit), node.said());
        node.stop();
        status
    }
}

fn flip(file: &Path, place: u64) {
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
    prepare(&bank.data());
    for place in at {
        let (file, offset) = place(&bank.data());
        flip(&file, offset);
        let status = bank.heals();
        let repaired = status["rot_repaired"].as_u64().expect("a number");
        assert!(repaired >= 1, "{} at {offset} was repaired and not told: {status}", file.display());
        let said = status["rot"].to_string();
        let file_name = file.file_name().expect("it has a name").to_str().expect("UTF-8");
        assert!(said.contains(file_name), "{said} does not name {}", file.display());
    }
    let metrics = until("the figures", || {
        let url = format!("http://127.0.0.1:{}/metrics", bank.base + 1);
        http::call("GET", &url, None).ok().map(|(_, body)| body)
    });
    assert!(metrics.contains("rialto_rot_repaired_total"), "{metrics}");
}

#[test]
fn a_rotten_journal_is_mended() {
    let record = |data: &Path| (data.join("journal/000000"), 256 + 40);
    let header = |data: &Path| (data.join("journal/000000"), 33);
    heals_and_says_so("rot-journal", checkpoint::make, &[record, header]);
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
    let early = |data: &Path| (data.join("log/000001"), 4096 + 70);
    heals_and_says_so("rot-log", |_| {}, &[early]);
}
