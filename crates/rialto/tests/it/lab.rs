//! Nodes that are cut off from each other for real: each in a network namespace of its own, a router between them.
//!
//! ```text
//!   node 1 (10.77.1.1) ══ veth ══╗
//!   node 2 (10.77.2.1) ══ veth ══╬══ router ◄── the test's own thread is in here, and so reaches every node at any time
//!   node 3 (10.77.3.1) ══ veth ══╝      │
//!                                       └─ a cut is a rule of the router that drops packets silently: by sender and
//!                                          receiver, so each direction by itself, at once, and for a connection that
//!                                          is open as for one that is being made
//! ```
//!
//! Nothing of this touches the machine's own network. It needs the right to make namespaces; where that is not given, the
//! tests say so loudly in one line and are left out. Namespaces are named after this process and removed at the end.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports are the same on every node: each has an address of its own.
pub(crate) const HTTP: u16 = 7100;
pub(crate) const GRPC: u16 = 7110;
pub(crate) const PEER: u16 = 7120;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A link from one node to another, in this direction only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) from: u16,
    pub(crate) to: u16,
}

/// Both directions of the link between two nodes.
pub(crate) fn between(one: u16, other: u16) -> [Way; 2] {
    [Way { from: one, to: other }, Way { from: other, to: one }]
}

/// What is dropped on a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drop {
    /// Every packet: also the acknowledgements of what comes the other way, so that connections both ways die in time.
    Packets,
    /// What goes to the peer port: the messages that the sender says, on the connection that it made. What it hears goes on.
    Messages,
}

/// A network of namespaces; gone, with all cuts, when dropped.
#[derive(Debug)]
pub(crate) struct Lab {
    prefix: String,
    nodes: u16,
    rules: Mutex<Vec<String>>,
}

pub(crate) fn address(node: u16) -> String {
    format!("10.77.{node}.1")
}

impl Lab {
    /// Makes the namespaces and puts the calling thread into the router's; `None`, after one loud line, where that is not
    /// allowed.
    pub(crate) fn new(nodes: u16) -> Option<Lab> {
        let prefix = format!("rialto{}-{}-", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let lab = Lab { prefix, nodes, rules: Mutex::new(Vec::new()) };
        match lab.build() {
            Ok(()) => Some(lab),
            Err(why) => {
                // Past the test harness, which keeps what a test prints that does not fail.
                let line = format!(
                    "LEFT OUT: no network namespaces, so nothing was cut: {why} (run as root, with iproute2)\n"
                );
                let _ = std::io::stderr().lock().write_all(line.as_bytes());
                assert!(
                    std::env::var_os("RIALTO_NAMESPACES_REQUIRED").is_none(),
                    "RIALTO_NAMESPACES_REQUIRED is set, and there are none: {why}"
                );
                None
            }
        }
    }

    fn build(&self) -> Result<(), String> {
        let router = self.router();
        ip(&["netns", "add", &router])?;
        ip(&["-n", &router, "link", "set", "lo", "up"])?;
        for node in 1..=self.nodes {
            let name = self.namespace(node);
            ip(&["netns", "add", &name])?;
            batch(
                &router,
                &[
                    format!("link add to{node} type veth peer name eth0 netns {name}"),
                    format!("addr add 10.77.{node}.254/24 dev to{node}"),
                    format!("link set to{node} up"),
                ],
            )?;
            batch(
                &name,
                &[
                    "link set lo up".to_owned(),
                    format!("addr add {}/24 dev eth0", address(node)),
                    "link set eth0 up".to_owned(),
                    format!("route add default via 10.77.{node}.254"),
                ],
            )?;
        }
        let forward = Command::new("ip")
            .args(["netns", "exec", &router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
            .stderr(Stdio::piped())
            .output()
            .map_err(|error| error.to_string())?;
        if !forward.status.success() {
            return Err(String::from_utf8_lossy(&forward.stderr).trim().to_owned());
        }
        enter(&router)
    }

    fn router(&self) -> String {
        format!("{}router", self.prefix)
    }

    fn namespace(&self, node: u16) -> String {
        format!("{}node{node}", self.prefix)
    }

    /// A command that runs where this node is.
    pub(crate) fn command(&self, node: u16, program: &Command) -> Command {
        let mut command = Command::new("ip");
        // It becomes the program, under the same process number.
        command.args(["netns", "exec", &self.namespace(node)]).arg(program.get_program()).stdin(Stdio::null());
        command
    }

    /// Cuts all of these at the same moment.
    pub(crate) fn cut(&self, what: Drop, ways: &[Way]) {
        let rules: Vec<String> = ways.iter().map(|way| rule(what, *way)).collect();
        let lines: Vec<String> = rules.iter().map(|rule| format!("rule add {rule}")).collect();
        batch(&self.router(), &lines).expect("the router is there");
        self.rules.lock().expect("nobody panics with it").extend(rules);
    }

    /// Cuts a node off from all others, both ways.
    pub(crate) fn isolate(&self, node: u16) {
        let ways: Vec<Way> = self.others(node).flat_map(|other| between(node, other)).collect();
        self.cut(Drop::Packets, &ways);
    }

    pub(crate) fn others(&self, node: u16) -> impl Iterator<Item = u16> + use<> {
        (1..=self.nodes).filter(move |other| *other != node)
    }

    /// All links are whole again.
    pub(crate) fn heal(&self) {
        let lines: Vec<String> = self
            .rules
            .lock()
            .expect("nobody panics with it")
            .drain(..)
            .map(|rule| format!("rule del {rule}"))
            .collect();
        batch(&self.router(), &lines).expect("what was cut is cut");
    }

    /// As if somebody pulled the cable, or put it back: the node itself notices, unlike at a cut.
    pub(crate) fn set_link(&self, node: u16, state: &str) {
        batch(&self.router(), &[format!("link set to{node} {state}")]).expect("it has a link");
    }
}

impl std::ops::Drop for Lab {
    fn drop(&mut self) {
        // Those that were never made cannot be removed, which is fine.
        for name in (1..=self.nodes).map(|node| self.namespace(node)).chain([self.router()]) {
            let _ = ip(&["netns", "del", &name]);
        }
    }
}

fn rule(what: Drop, way: Way) -> String {
    let Way { from, to } = way;
    let only = match what {
        Drop::Packets => String::new(),
        Drop::Messages => format!(" ipproto tcp dport {PEER}"),
    };
    format!("from {} to {}{only} blackhole", address(from), address(to))
}

/// From now on this thread, and whatever it starts, is in that namespace.
fn enter(name: &str) -> Result<(), String> {
    let path = format!("/run/netns/{name}");
    let namespace = File::open(&path).map_err(|error| format!("{path}: {error}"))?;
    let kind = rustix::thread::LinkNameSpaceType::Network;
    rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(kind))
        .map_err(|error| format!("entering {path}: {error}"))
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`ip` cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// Many changes with one process, so that they are a moment and not a while.
fn batch(namespace: &str, lines: &[String]) -> Result<(), String> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut ip = Command::new("ip")
        .args(["-n", namespace, "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("`ip` cannot be started: {error}"))?;
    let text = lines.join("\n") + "\n";
    let mut stdin = ip.stdin.take().expect("it was asked to be piped");
    stdin.write_all(text.as_bytes()).map_err(|error| error.to_string())?;
    drop(stdin);
    let output = ip.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip -n {namespace}: {text}{}", String::from_utf8_lossy(&output.stderr).trim()))
}
