//! A bank without its majority, and a node without room: said at once, nothing lost, and on again by itself.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::by_hand::{Node, Place, init};
use crate::http;
use crate::network::{Network, TestDir, free_base, rialto, run, stdout, until};

/// The bank answers within 2 s; the rest is for a slow machine.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Without a majority: status and code of an answer, which came in time.
fn refusal(method: &str, url: &str) -> (u16, String) {
    let asked = Instant::now();
    let (status, body) = http::call(method, url, None).expect("the bank answers");
    let took = asked.elapsed();
    assert!(took <= ANSWER_MAX, "{method} {url}: {status} after {took:?}: {body}");
    let problem: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    (status, problem["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn with_a_majority_dead_callers_hear_so_in_time_and_all_resumes_with_it() {
    let dir = TestDir::new("majority");
    let base = free_base();
    let network = Network::up(dir.path(), &["--no-restart", "--base-port", &base.to_string()]);
    let account = network.open_account();
    network.deposit(&account, "10");
    network.all_ready();
    let leader = network.leader();
    let dead: Vec<u64> = (1..=3).filter(|node| *node != leader).collect();
    for node in &dead {
        network.kill(*node);
    }
    let own = network.node(leader)["http"].as_str().expect("it runs").to_owned();
    // At once, when what is proposed may still be chosen some day, and later, when nobody leads.
    let (mut asked, mut knows) = (0, false);
    while !knows || asked < 4 {
        knows = http::call("GET", &format!("{own}/readyz"), None).is_ok_and(|(status, _)| status == 503);
        for url in [network.url(), &own] {
            let (status, code) = refusal("POST", &format!("{url}/open_account"));
            let expected = [(503, "unavailable".to_owned()), (504, "outcome_unknown".to_owned())];
            assert!(expected.contains(&(status, code.clone())), "{status} {code}");
            // Reading changes nothing, so it never has an outcome that is not known.
            let (status, code) = refusal("GET", &format!("{url}/check_account?account_id={account}"));
            assert_eq!((status, code.as_str()), (503, "unavailable"));
        }
        asked += 1;
    }

    let back = u16::try_from(dead[0]).expect("a node's number");
    let data = dir.path().join(format!("alpha/{back}"));
    let node = Node::start(&Place::of_alpha(base, back, 3), &data, &dir.path().join("by-hand.log"));
    until("payments go through again", || {
        let (status, _) = http::call("POST", &format!("{}/open_account", network.url()), None).ok()?;
        (status == 200).then_some(())
    });
    network.deposit(&account, "10");
    assert_eq!(network.balance(&account), "20.00");
    node.stop();
}

/// A file system in memory with so much room, which ends with this value: it belongs to a process of its own, and is
/// seen from here through that process's root.
struct SmallDisk {
    holder: Child,
    path: PathBuf,
}

impl SmallDisk {
    fn new(dir: &Path, mebibytes: u32) -> SmallDisk {
        let mount = format!("mount -t tmpfs -o size={mebibytes}m,mode=700 none \"$1\" && echo mounted && exec cat");
        // The second needs no root where the system lets users have namespaces of their own.
        for flags in ["-m", "-rm"] {
            let mut holder = Command::new("unshare")
                .args([flags, "sh", "-c", &mount, "sh"])
                .arg(dir)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("there is `unshare`: install util-linux");
            let mut line = String::new();
            let stdout = holder.stdout.take().expect("it was asked to be piped");
            std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("it can be read");
            if line == "mounted\n" {
                let seen = dir.strip_prefix("/").expect("temporary directories are absolute");
                let seen = Path::new("/proc").join(holder.id().to_string()).join("root").join(seen);
                // By a name among ordinary ones: a node syncs the directories above its own, which /proc's cannot.
                let path = dir.with_extension("mounted");
                std::os::unix::fs::symlink(seen, &path).expect("there is room");
                return SmallDisk { holder, path };
            }
            let _ = holder.kill();
            let _ = holder.wait();
        }
        panic!(
            "a small disk can be made neither with `unshare -m` nor with `unshare -rm`: run this as root or allow user namespaces"
        );
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Takes all the room that is left.
fn fill(path: &Path) {
    let mut ballast = fs::File::create(path).expect("a file needs no room");
    let mut piece = 1 << 20;
    while piece > 0 {
        match ballast.write(&vec![1; piece]) {
            Ok(written) if written > 0 => {}
            Ok(_) => piece /= 2,
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => piece /= 2,
            Err(error) => panic!("{error}"),
        }
    }
}

fn post(base: u16, node: u16, path: &str, body: Option<&Value>) -> Option<Value> {
    let (status, text) = http::call("POST", &format!("http://127.0.0.1:{}{path}", base + node), body).ok()?;
    (status == 200).then(|| serde_json::from_str(&text).expect("answers are JSON"))
}

#[test]
fn a_node_whose_disk_is_full_ends_with_one_plain_line_and_goes_on_when_there_is_room() {
    let dir = TestDir::new("full");
    let (base, small) = (free_base(), dir.path().join("small"));
    fs::create_dir(&small).expect("there is room");
    // A segment of 64 MiB, a spare one that is prepared ahead, and a little.
    let disk = SmallDisk::new(&small, 160);
    let place = |node| Place::of_alpha(base, node, 3);
    let data = |node: u16| if node == 3 { disk.path.join("node") } else { dir.path().join(node.to_string()) };
    let start = |node: u16| Node::start(&place(node), &data(node), &dir.path().join(format!("{node}.log")));
    let cluster = init(&place(1), &data(1), 3, None);
    for node in [2, 3] {
        init(&place(node), &data(node), 3, Some(&cluster));
    }
    let mut nodes: Vec<Node> = (1..=3).map(start).collect();
    nodes.iter_mut().for_each(Node::ready);
    let account = until("an account", || post(base, 1, "/open_account", None))["account_id"].clone();
    until("the spare segment is there", || {
        let names = fs::read_dir(data(3).join("log")).expect("it is there");
        names.flatten().any(|name| name.file_name().to_string_lossy().starts_with("spare-")).then_some(())
    });

    let ballast = disk.path.join("ballast");
    fill(&ballast);
    // Journals grow a page at a time, so a few payments still fit; the other two nodes take them all.
    let mut paid = 0;
    let third = nodes.pop().expect("there are three");
    until("the full disk is noticed", || {
        paid += 1;
        let body =
            json!({"account_id": account, "amount": "1", "transfer_id": format!("01900000-0000-7000-8000-{paid:012}")});
        until("the others take the payment", || post(base, 1, "/deposit_money", Some(&body)));
        third.said().contains("error: ").then_some(())
    });
    let (code, said) = third.end();
    assert_eq!(code, Some(5), "{said}");
    let line = said.lines().find(|line| line.starts_with("error: ")).expect("the loop above has seen it");
    assert!(line.starts_with("error: node 3 stops: writing "), "{line}");
    assert!(line.contains("/node/journal/000000 at ") && line.ends_with(": no space left on device"), "{line}");
    assert!(said.contains("nothing is lost; free at least 128 MiB and start it again"), "{said}");

    // Still full: the same again, in the same plain words, and nothing worse.
    let (code, said) = start(3).end();
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("no space left on device") && said.contains("nothing is lost"), "{said}");

    fs::remove_file(&ballast).expect("it is there");
    let mut third = start(3);
    third.ready();
    let url = format!("{}/check_account?account_id={}", place(3).url(), account.as_str().expect("a UUID"));
    let (status, body) = http::call("GET", &url, None).expect("it answers");
    assert!(status == 200 && body.contains(&format!("{paid}.00")), "{status}, {paid} were paid: {body}");
    let urls: Vec<String> = (1..=3).flat_map(|node| ["--url".to_owned(), place(node).url()]).collect();
    let arguments: Vec<&str> = ["audit"].into_iter().chain(urls.iter().map(String::as_str)).collect();
    let audit = run(&arguments);
    let said = stdout(&audit);
    assert!(audit.status.success() && said.ends_with("the books are in order\n"), "{said}");
    third.stop();
}

/// Needs no rights at all: a limit on the size of files stands for the disk that ends in the middle of a segment.
#[test]
fn a_node_that_cannot_make_its_first_segment_says_which_file_and_what_to_do() {
    let dir = TestDir::new("file-limit");
    let place = Place::of_alpha(free_base(), 1, 1);
    let data = dir.path().join("node");
    init(&place, &data, 1, None);
    // In units of 1 KiB. The signal would end the process before it can say anything.
    let script = "trap '' XFSZ; ulimit -f 32768; exec \"$@\"";
    let log = dir.path().join("node.log");
    let limited = Command::new("bash")
        .args(["-c", script, "bash"])
        .arg(rialto().get_program())
        .args(["bank", "--name", "alpha", "--node", "1", "--data"])
        .arg(&data)
        .args(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stderr(fs::File::create(&log).expect("there is room"))
        .spawn()
        .expect("there is bash");
    let (code, said) = Node::adopt(limited, place.url(), &log).end();
    assert_eq!(code, Some(5), "{said}");
    let named = format!("error: node 1 stops: making room in {}", data.join("log/preparing-").display());
    assert!(said.lines().any(|line| line.starts_with(&named) && line.contains("File too large")), "{said}");
    assert!(said.contains("nothing that was acknowledged is lost; start it again when the disk is well"), "{said}");

    let mut node = Node::start(&place, &data, &log);
    node.ready();
    node.stop();
}
