//! Disks that are empty, emptied, or cut short: what a node refuses to start on, and what it mends by itself.
//!
//! The rule behind all of these: what lies before the end of what was synced must be there, or the node stays down. What
//! is only made from the log (the journal behind the last checkpoint) is made again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use storage::RECORD;

use crate::by_hand::{Node, Place, cluster_of, init, shut_down};
use crate::checkpoint;
use crate::http;
use crate::network::{Network, TestDir, free_base, run, stderr, until};
use crate::rot::flip;

const DAMAGED: Option<i32> = Some(6);

#[test]
fn an_empty_disk_must_not_vote_under_an_old_number_and_the_old_one_heals_it() {
    let dir = TestDir::new("empty-disk");
    let base = free_base();
    let network = Network::start(&dir, base);
    let account = network.open_account();
    network.all_ready();
    network.deposit(&account, "10");
    shut_down(&network, 2);
    let (data, aside) = (dir.path().join("alpha/2"), dir.path().join("aside"));
    fs::rename(&data, &aside).expect("nobody uses it");

    let place = Place::of_alpha(base, 2, 3);
    init(&place, &data, 3, Some(&cluster_of(dir.path())));
    let (code, said) = Node::start(&place, &data, &dir.path().join("new.log")).end();
    assert_eq!(code, DAMAGED, "{said}");
    assert!(said.contains("comes with another disk"), "{said}");
    assert!(
        said.contains("an empty or older disk has forgotten its promises and must not vote under the old number"),
        "{said}"
    );
    network.deposit(&account, "10");

    fs::remove_dir_all(&data).expect("it has ended");
    fs::rename(&aside, &data).expect("nobody uses it");
    let mut node = Node::start(&place, &data, &dir.path().join("old.log"));
    node.ready();
    let url = format!("{}/check_account?account_id={account}", place.url());
    let (status, body) = http::call("GET", &url, None).expect("it answers");
    assert!(status == 200 && body.contains("20.00"), "{status}: {body}");
    node.stop();
}

#[test]
fn a_node_whose_log_was_emptied_stays_down_and_the_others_go_on() {
    let dir = TestDir::new("emptied-log");
    let base = free_base();
    let network = Network::start(&dir, base);
    let account = network.open_account();
    network.all_ready();
    shut_down(&network, 2);
    let data = dir.path().join("alpha/2");
    for entry in fs::read_dir(data.join("log")).expect("it is there") {
        fs::remove_file(entry.expect("it can be read").path()).expect("nobody uses it");
    }
    let (code, said) = Node::start(&Place::of_alpha(base, 2, 3), &data, &dir.path().join("node.log")).end();
    assert_eq!(code, DAMAGED, "{said}");
    assert!(said.contains("alpha/2/log is empty, but this node has run before"), "{said}");
    assert!(said.contains("must not vote under its number; put the log back"), "{said}");
    network.deposit(&account, "1");
    assert_eq!(network.balance(&account), "1.00");
}

/// One flipped byte: who the directory belongs to cannot be made again by anybody, so what to do is said, in the log too.
#[test]
fn a_node_whose_identity_is_damaged_says_what_to_do_there_and_in_its_log() {
    let stopped = Stopped::new("rotten-identity");
    let data = stopped.data();
    let (identity, log) = (data.join("identity"), data.join("node.log"));
    let whole = fs::read(&identity).expect("it is there");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    for (at, bits) in [(0, 0x80), (whole.len() / 2, 1), (whole.len() - 3, 0x10)] {
        let mut flipped = whole.clone();
        flipped[at] ^= bits;
        fs::write(&identity, &flipped).expect("there is room");
        let _ = fs::remove_file(&log);
        let (data, log_file) = (text(&data), text(&log));
        let flags = ["bank", "--name", "alpha", "--node", "1", "--data", &data, "--log-file", &log_file];
        let refused = run(&flags);
        assert_eq!(refused.status.code(), DAMAGED, "{}", stderr(&refused));
        let told = fs::read_to_string(&log).expect("there is a log");
        for text in [&stderr(&refused), &told] {
            for part in ["identity", "is damaged", "rialto members replace 1", "rialto restore alpha --from COPY"] {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    // As it says: the file from a copy is as good as the one that was lost.
    fs::write(&identity, &whole).expect("there is room");
    stopped.starts_with_the_money();
}

/// A bank of one node that has stopped in order, with 5.00 on one account.
struct Stopped {
    dir: TestDir,
    place: Place,
    account: String,
}

impl Stopped {
    fn new(name: &str) -> Stopped {
        let dir = TestDir::new(name);
        let base = free_base();
        let network = Network::up(dir.path(), &["--nodes", "1", "--base-port", &base.to_string()]);
        let account = network.open_account();
        for _ in 0..5 {
            network.deposit(&account, "1");
        }
        assert!(network.stop().success());
        Stopped { dir, place: Place::of_alpha(base, 1, 1), account }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("alpha/1")
    }

    fn start(&self) -> Node {
        Node::start(&self.place, &self.data(), &self.dir.path().join("by-hand.log"))
    }

    /// It starts, and the money is there.
    fn starts_with_the_money(&self) {
        let mut node = self.start();
        node.ready();
        let url = format!("{}/check_account?account_id={}", self.place.url(), self.account);
        let (status, body) = http::call("GET", &url, None).expect("it answers");
        assert!(status == 200 && body.contains("5.00"), "{status}: {body}");
        node.stop();
    }

    /// It ends, or it says that it is not ready and answers no question about money, or it answers it right.
    fn serves_the_money_or_nobody(&self) {
        let mut node = self.start();
        let url = format!("{}/check_account?account_id={}", self.place.url(), self.account);
        let told = until("it ends, or says why it does not serve", || {
            if node.has_ended() {
                return Some(node.said());
            }
            http::call("GET", &url, None).ok().map(|(status, body)| format!("{status} {body}"))
        });
        assert!(told.starts_with("503 ") || told.contains("error: ") || is_the_money(&told), "{told}");
    }

    /// It ends, with a sentence that names the file and the place in it.
    fn stays_down(&self, file: &Path) {
        let (code, said) = self.start().end();
        assert_eq!(code, DAMAGED, "{}: {said}", file.display());
        let named = format!("error: {} at ", file.display());
        let sentence = said.lines().find(|line| line.starts_with(&named));
        assert!(sentence.is_some_and(|line| line.contains(" is damaged: ")), "{named}: {said}");
        assert!(said.contains("node 1 stays down so that it cannot spread what is wrong"), "{said}");
    }
}

/// What the node's log still holds may be enough to make everything again.
fn is_the_money(told: &str) -> bool {
    told == "200 {\"balance\":5.00}"
}

fn cut(file: &Path, bytes: u64) {
    File::options().write(true).open(file).and_then(|file| file.set_len(bytes)).expect("nobody uses it");
}

/// A script that waits for the one line of `up --json` is told why it will never come.
#[test]
fn a_network_whose_nodes_stay_down_ends_for_a_script_with_the_reason() {
    let bank = Stopped::new("up-in-vain");
    cut(&bank.data().join("log/000001"), 0);
    let dir = bank.dir.path().to_str().expect("UTF-8");
    let up = run(&["up", "--json", "--no-restart", "--no-gateway", "--dir", dir]);
    let said = stderr(&up);
    assert_eq!((up.status.code(), up.stdout.len()), (Some(4), 0), "{said}");
    assert!(said.contains("\"message\":\"bank alpha does not start: its nodes end again and again"), "{said}");
    assert!(said.contains("node 1: ") && said.contains("log/000001"), "{said}");
}

/// What a node alone has lost of its history comes from nobody: it says so, and promises nothing.
#[test]
fn history_that_a_node_alone_has_lost_is_told_as_lost() {
    let bank = Stopped::new("lost-history");
    checkpoint::make(&bank.data());
    let mut node = bank.start();
    node.ready();
    let journal = bank.data().join("journal/000000");
    let records = fs::metadata(&journal).expect("it is there").len() / RECORD as u64;
    (0..records).for_each(|record| flip(&journal, record * RECORD as u64 + 20));
    let url = format!("{}/v1/accounts/{}/statement", bank.place.url(), bank.account);
    for _ in 0..3 {
        let (status, body) = http::call("GET", &url, None).expect("it answers");
        assert!(status == 500 && body.contains(r#""code":"beyond_repair""#), "{status}: {body}");
        assert!(body.contains("nobody has a good copy") && body.contains("rialto restore"), "{body}");
        let is_promised = body.contains("good again") || body.contains("retry_after_ms");
        assert!(!is_promised && !body.contains("journal/"), "{body}");
    }
    let url = format!("{}/check_account?account_id={}", bank.place.url(), bank.account);
    let (status, body) = http::call("GET", &url, None).expect("it answers");
    assert!(status == 200 && body.contains("5.00"), "balances are right: {status}: {body}");
    node.stop();
}

/// A segment never changes its length, so a shorter one has lost what was synced. Cut anywhere: within its records,
/// behind them (nothing of worth is lost, but nobody can know that), to nothing.
#[test]
fn a_cut_segment_of_the_log_keeps_the_node_down() {
    let bank = Stopped::new("cut-log");
    let segment = bank.data().join("log/000001");
    let whole = fs::read(&segment).expect("it is there");
    for bytes in [4096 + 70, whole.len() as u64 / 2, 0] {
        cut(&segment, bytes);
        bank.stays_down(&segment);
        fs::write(&segment, &whole).expect("there is room");
    }
    bank.starts_with_the_money();
}

/// Behind the last checkpoint the journal is made from the log at every start: a cut there is what a crash leaves, and
/// heals to the same bytes.
#[test]
fn a_journal_cut_behind_the_checkpoint_is_made_again() {
    let bank = Stopped::new("cut-journal");
    let journal = bank.data().join("journal/000000");
    let whole = fs::read(&journal).expect("it is there");
    for bytes in [whole.len() as u64 - 100, RECORD as u64 + 100, 0] {
        cut(&journal, bytes);
        bank.starts_with_the_money();
        let healed = fs::read(&journal).expect("it is there");
        assert!(healed.starts_with(&whole), "cut at {bytes}: {} bytes became {}", whole.len(), healed.len());
    }
}

/// Table and runs are functions of the journal: whatever of them is cut is made again from it.
#[test]
fn a_cut_checkpoint_is_made_again_from_the_journal() {
    let bank = Stopped::new("cut-store");
    let data = bank.data();
    checkpoint::make(&data);
    bank.starts_with_the_money();
    let files = |dir: &str| {
        let names = fs::read_dir(data.join(dir)).expect("it is there").map(|entry| entry.expect("readable").path());
        names.collect::<Vec<PathBuf>>()
    };
    assert_eq!(files("store").len(), 2, "a manifest and a table: {:?}", files("store"));
    for (dir, number) in [("store", 0), ("store", 1), ("ids", 0)] {
        for part in [2, u64::MAX] {
            let mut names = files(dir);
            names.sort();
            let file = names.get(number).expect("what was made again is there again");
            cut(file, fs::metadata(file).expect("it is there").len() / part);
            bank.starts_with_the_money();
        }
    }
}

/// Without others it serves what was there, to the cent, or nobody. Serving is right whenever it happens: the log's chosen
/// batches are whole by their sums and are applied without a gap from the last journal batch that is whole by hash and chain,
/// so they give the same books as before. Where the log begins later than that, the start refuses, and throws nothing away.
#[test]
fn a_node_alone_whose_journal_lost_what_was_synced_serves_the_money_or_nobody() {
    let bank = Stopped::new("cut-synced-journal");
    let data = bank.data();
    checkpoint::make(&data);
    bank.starts_with_the_money();
    let journal = data.join("journal/000000");
    let whole = fs::read(&journal).expect("it is there");
    cut(&journal, whole.len() as u64 / 2);
    bank.serves_the_money_or_nobody();
    fs::write(&journal, &whole).expect("there is room");
    bank.starts_with_the_money();
}
