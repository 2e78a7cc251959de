//! Nodes that a test runs by hand: `rialto bank`, without a supervisor that would start them again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::http;
use crate::network::{rialto, run, stderr, stdout, until};

/// Where a node of a block of ports is, and who it believes that its peers are.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) bank: &'static str,
    pub(crate) node: u16,
    /// Its own ports are of this block.
    pub(crate) base: u16,
    /// Members and their peer ports.
    pub(crate) peers: Vec<(u16, u16)>,
}

impl Place {
    /// A member of bank alpha in this block.
    pub(crate) fn of_alpha(base: u16, node: u16, nodes: u16) -> Place {
        let peers = (1..=nodes).map(|number| (number, base + 20 + number)).collect();
        Place { bank: "alpha", node, base, peers }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.base + self.node)
    }
}

/// A running `rialto bank`; killed if the test forgets it.
#[derive(Debug)]
pub(crate) struct Node {
    process: Child,
    said: PathBuf,
    url: String,
}

impl Node {
    /// Starts it on a directory that has an identity. What it logs and says goes to `said`.
    pub(crate) fn start(place: &Place, data: &Path, said: &Path) -> Node {
        let local = |port: u16| format!("127.0.0.1:{port}");
        let peers: Vec<String> = place.peers.iter().map(|(node, port)| format!("{node}={}", local(*port))).collect();
        let process = rialto()
            .args(["bank", "--name", place.bank, "--node", &place.node.to_string(), "--peers", &peers.join(",")])
            .args(["--http", &local(place.base + place.node), "--grpc", &local(place.base + 10 + place.node)])
            .args(["--peer-listen", &local(place.base + 20 + place.node), "--data"])
            .arg(data)
            .stdout(Stdio::null())
            .stderr(File::create(said).expect("there is room"))
            .spawn()
            .expect("the binary was built");
        Node { process, said: said.to_owned(), url: place.url() }
    }

    /// A node that the test started in its own way, with its standard error in `said`; `url` is where it serves HTTP.
    pub(crate) fn adopt(process: Child, url: String, said: &Path) -> Node {
        Node { process, said: said.to_owned(), url }
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.said).expect("it was made before the node was started")
    }

    /// Waits for a line of its log that holds all the parts.
    pub(crate) fn says(&mut self, parts: &[&str]) -> String {
        line_in(&self.said.clone(), parts)
    }

    pub(crate) fn ready(&mut self) {
        until("the node is ready", || {
            let ended = self.process.try_wait().expect("it is ours to wait for");
            assert!(ended.is_none(), "it ended: {ended:?}: {}", self.said());
            http::call("GET", &format!("{}/readyz", self.url), None).ok().filter(|(status, _)| *status == 200)
        });
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the process hears SIGTERM itself: before that the system ends it.
    pub(crate) fn handles_signals(&self) {
        const SIGTERM: u64 = 15;
        until("it listens for signals", || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
            let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
            (caught >> (SIGTERM - 1) & 1 == 1).then_some(())
        });
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().expect("it is ours to wait for").is_some()
    }

    /// Waits until it ends by itself: exit code, and all that it said.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status = until("the node ends", || self.process.try_wait().expect("it is ours to wait for"));
        (status.code(), self.said())
    }

    /// Stops it in order.
    pub(crate) fn stop(self) {
        crate::network::signal("TERM", self.process.id());
        let (code, said) = self.end();
        assert_eq!(code, Some(0), "{said}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes an identity, of this cluster or of a new one; the cluster is the answer.
pub(crate) fn init(place: &Place, data: &Path, nodes: u16, cluster: Option<&str>) -> String {
    let (node, nodes) = (place.node.to_string(), nodes.to_string());
    let data = data.to_str().expect("UTF-8");
    let mut arguments = vec!["bank", "init", "--name", place.bank, "--node", &node, "--nodes", &nodes, "--data", data];
    arguments.extend(cluster.iter().flat_map(|cluster| ["--cluster", *cluster]));
    let made = run(&arguments);
    assert!(made.status.success(), "{}", stderr(&made));
    let said = stdout(&made);
    said.lines().find_map(|line| line.strip_prefix("cluster ")).expect("it is told").to_owned()
}

/// The cluster of a network that `up` made.
pub(crate) fn cluster_of(network: &Path) -> String {
    let text = std::fs::read_to_string(network.join("layout.json")).expect("up made it");
    let layout: Value = serde_json::from_str(&text).expect("it is JSON");
    layout["banks"][0]["cluster"].as_str().expect("a UUID").to_owned()
}

/// Waits for a line of a log that holds all the parts.
pub(crate) fn line_in(log: &Path, parts: &[&str]) -> String {
    until(&format!("a line with {parts:?} in {}", log.display()), || {
        let text = std::fs::read_to_string(log).ok()?;
        text.lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
    })
}

/// Tells a node of a network to shut down, and waits until it has.
pub(crate) fn shut_down(network: &crate::network::Network, node: u64) {
    let url = network.node(node)["http"].as_str().expect("it runs").to_owned();
    http::call("POST", &format!("{url}/shutdown"), None).expect("it answers");
    until("it is down", || (network.node(node)["state"] == "shut_down").then_some(()));
}
