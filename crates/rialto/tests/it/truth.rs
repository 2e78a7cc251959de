//! `status` and `audit`: what they say is so.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::network::{Network, TestDir, free_base, run, stdout};

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("there is room");
    for entry in std::fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("it can be read");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("it has one").is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("there is room");
        }
    }
}

/// All files below, the largest first.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

#[test]
fn status_shows_every_node_and_the_silent_ones_with_the_reason() {
    let dir = TestDir::new("status");
    let network = Network::up(dir.path(), &["--no-restart", "--base-port", &free_base().to_string()]);
    let leader = network.leader();
    let table = stdout(&run(&["status", "--dir", network.dir()]));
    assert!(table.contains(&format!("bank alpha   leader mode   node {leader} leads")), "{table}");

    let dead = if leader == 3 { 2 } else { 3 };
    network.kill(dead);
    network.event(&[&format!("node {dead} died")]);
    let output = run(&["status", "--json", "--dir", network.dir()]);
    assert!(output.status.success(), "two of three are a majority");
    let json: Value = serde_json::from_str(&stdout(&output)).expect("one JSON object");
    let nodes = json["nodes"].as_array().expect("a list");
    assert_eq!(nodes.len(), 3);
    let silent = nodes.iter().find(|node| node["node"] == dead).expect("it is listed");
    assert!(silent["silent"].as_str().expect("a reason").contains("connection refused"), "{silent}");
}

#[test]
fn status_without_a_network_says_how_to_start_one() {
    let dir = TestDir::new("no-network");
    let output = run(&["status", "--dir", dir.path().to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(crate::network::stderr(&output).contains("start one: rialto up"));
}

#[test]
fn an_audit_is_clean_while_money_moves() {
    let dir = TestDir::new("audit");
    let network = Network::start(&dir, free_base());
    let (a, b) = (network.open_account(), network.open_account());
    network.deposit(&a, "1000");
    let output = std::thread::scope(|scope| {
        let audit = scope.spawn(|| run(&["audit", "--dir", network.dir()]));
        for number in 0..50 {
            network.move_until_done(&format!("01900000-0000-7000-8000-{number:012}"), &a, &b, "1");
        }
        audit.join().expect("it ran")
    });
    let said = stdout(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("3 equal journals were compared") && said.ends_with("the books are in order\n"), "{said}");
}

/// Changes one byte of the file, as a stray hand or a bad disk would.
fn flip(path: &Path, place: u64) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().read(true).write(true).open(path).expect("it can be opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).expect("it is that long");
    file.write_all_at(&[byte[0] ^ 1], place).expect("there is room");
}

fn only_file_below(dir: &Path) -> PathBuf {
    let files = files_below(dir);
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().expect("there is one")
}

#[test]
fn an_audit_finds_what_was_tampered_with_under_a_running_node() {
    let dir = TestDir::new("tampered-journal");
    let network = Network::start(&dir, free_base());
    let account = network.open_account();
    network.deposit(&account, "10");
    // Inside the first outcome of the first batch, whose header takes the first 256 bytes.
    let journal = dir.path().join("alpha/2/journal");
    crate::network::until("node 2, which need not be of the majority, has it in its journal", || {
        let files = std::fs::read_dir(&journal).ok()?;
        let bytes: u64 = files.flatten().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
        (bytes > 256 + 256).then_some(())
    });
    flip(&only_file_below(&journal), 256 + 40);
    let output = run(&["audit", "--dir", network.dir()]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("node 2 of bank alpha found its books broken: "), "{said}");
    assert!(said.ends_with("the books are NOT proved to be in order\n"), "{said}");
}

#[test]
fn a_node_on_a_tampered_copy_stays_down_and_the_audit_says_so() {
    let dir = TestDir::new("tampered-log");
    let network = Network::start(&dir, free_base());
    let account = network.open_account();
    for _ in 0..5 {
        network.deposit(&account, "10");
    }
    assert!(network.stop().success());
    let copy = dir.path().join("copy");
    copy_all(&dir.path().join("alpha"), &copy.join("alpha"));
    std::fs::copy(dir.path().join("layout.json"), copy.join("layout.json")).expect("there is room");
    // What a node keeps of its books it mends (see `rot`); who it is it must be able to believe.
    flip(&copy.join("alpha/2/identity"), 30);

    let tampered = Network::up(&copy, &["--base-port", &free_base().to_string()]);
    let told = tampered.event(&["node 2 died (exit code 6)", "is damaged"]);
    assert!(told.contains("/alpha/2/identity"), "{told}");
    let output = run(&["audit", "--dir", tampered.dir()]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("node 2 of bank alpha") && said.contains("could not be asked"), "{said}");
    assert_eq!(tampered.balance(&account), "50.00", "the others go on");
}
