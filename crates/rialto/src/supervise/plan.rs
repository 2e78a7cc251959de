//! Which processes `up` runs, and how each is started.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::network::certificates;
use crate::network::layout::{BankLayout, ConsulLayout, Seat, founders, node_dir};
use crate::network::name::BankName;
use crate::network::network_file::{Kind, NetworkFile};
use crate::network::ports::Ports;

/// One bank, or the gateway.
#[derive(Debug, Clone)]
pub(crate) struct BankPlan {
    pub(crate) name: BankName,
    pub(crate) kind: Kind,
    pub(crate) ports: Ports,
    pub(crate) nodes: Vec<NodePlan>,
}

/// One process.
#[derive(Debug, Clone)]
pub(crate) struct NodePlan {
    pub(crate) bank: BankName,
    pub(crate) kind: Kind,
    pub(crate) node: u16,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) data: PathBuf,
    /// It speaks TLS.
    pub(crate) tls: bool,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

impl BankPlan {
    /// `program` is this executable: a node is `rialto bank …` or `rialto gateway …`.
    pub(crate) fn new(dir: &Path, layout: &BankLayout, ports: Ports, program: &Path) -> BankPlan {
        let nodes = layout.seats().into_iter().map(|seat| NodePlan::new(dir, layout, ports, program, seat));
        BankPlan { name: layout.name.clone(), kind: layout.kind, ports, nodes: nodes.collect() }
    }
}

impl NodePlan {
    pub(crate) fn new(dir: &Path, layout: &BankLayout, ports: Ports, program: &Path, seat: Seat) -> NodePlan {
        let mut plan = NodePlan {
            bank: layout.name.clone(),
            kind: layout.kind,
            node: seat.node,
            http: ports.http(seat.place),
            grpc: ports.grpc(seat.place),
            peer: ports.peer(seat.place),
            data: node_dir(dir, &layout.name, seat.node),
            tls: layout.tls,
            program: program.to_owned(),
            arguments: Vec::new(),
        };
        plan.arguments = arguments(dir, &plan, layout, ports);
        plan
    }
}

/// A founder is told of the founders, always the same; who joins, of those who are there. Everything later is in the log.
fn peers_of(node: u16, layout: &BankLayout) -> Vec<Seat> {
    if node <= layout.nodes { founders(layout.nodes) } else { layout.seats() }
}

fn arguments(dir: &Path, plan: &NodePlan, layout: &BankLayout, ports: Ports) -> Vec<OsString> {
    let list = |address: fn(Ports, u16) -> SocketAddr| {
        let seats = peers_of(plan.node, layout);
        let each: Vec<String> =
            seats.iter().map(|seat| format!("{}={}", seat.node, address(ports, seat.place))).collect();
        each.join(",")
    };
    let mut arguments: Vec<OsString> = [plan.kind.text(), "--name", plan.bank.as_str()].map(OsString::from).to_vec();
    let mut give = |flag: &str, value: OsString| arguments.extend([OsString::from(flag), value]);
    give("--node", plan.node.to_string().into());
    give("--cluster", layout.cluster.to_string().into());
    give("--data", plan.data.clone().into());
    give("--http", plan.http.to_string().into());
    give("--grpc", plan.grpc.to_string().into());
    give("--peer-listen", plan.peer.to_string().into());
    give("--peers", list(Ports::peer).into());
    give("--members-http", list(Ports::http).into());
    give("--log-file", plan.data.join("node.log").into());
    if plan.tls {
        give("--tls-dir", certificates::dir(dir).into());
    }
    if let Some(ConsulLayout { url, token_file, ca }) = &layout.consul {
        give("--consul", url.into());
        for (flag, file) in [("--consul-token-file", token_file), ("--consul-ca", ca)] {
            file.iter().for_each(|file| give(flag, file.into()));
        }
    }
    match plan.kind {
        Kind::Bank => {}
        Kind::Gateway if layout.consul.is_some() => {}
        // The banks that there are, and those that come later.
        Kind::Gateway => give("--network-file", NetworkFile::path(dir).into()),
    }
    arguments.push("--exit-with-parent".into());
    arguments
}
