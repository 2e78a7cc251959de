//! Which processes `up` runs, and how each is started.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::network::cluster::Cluster;
use crate::network::layout::{BankLayout, node_dir};
use crate::network::name::BankName;
use crate::network::ports::Ports;

/// One bank.
#[derive(Debug, Clone)]
pub(crate) struct BankPlan {
    pub(crate) name: BankName,
    pub(crate) ports: Ports,
    pub(crate) nodes: Vec<NodePlan>,
}

/// One process.
#[derive(Debug, Clone)]
pub(crate) struct NodePlan {
    pub(crate) bank: BankName,
    pub(crate) node: u16,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

impl BankPlan {
    /// `program` is this executable: a node is `rialto bank …`.
    pub(crate) fn new(dir: &Path, layout: &BankLayout, ports: Ports, program: &Path) -> BankPlan {
        let nodes = (1..=layout.nodes).map(|node| {
            let data = node_dir(dir, &layout.name, node);
            let mut plan = NodePlan {
                bank: layout.name.clone(),
                node,
                http: ports.http(node),
                grpc: ports.grpc(node),
                peer: ports.peer(node),
                data,
                program: program.to_owned(),
                arguments: Vec::new(),
            };
            plan.arguments = arguments(&plan, layout.cluster, layout.nodes, ports);
            plan
        });
        BankPlan { name: layout.name.clone(), ports, nodes: nodes.collect() }
    }
}

fn arguments(plan: &NodePlan, cluster: Cluster, nodes: u16, ports: Ports) -> Vec<OsString> {
    let members_http: Vec<String> = (1..=nodes).map(|n| format!("{n}={}", ports.http(n))).collect();
    let peers: Vec<String> = (1..=nodes).map(|n| format!("{n}={}", ports.peer(n))).collect();
    let mut arguments: Vec<OsString> = ["bank", "--name", plan.bank.as_str()].map(OsString::from).to_vec();
    let mut give = |flag: &str, value: OsString| arguments.extend([OsString::from(flag), value]);
    give("--node", plan.node.to_string().into());
    give("--cluster", cluster.to_string().into());
    give("--data", plan.data.clone().into());
    give("--http", plan.http.to_string().into());
    give("--grpc", plan.grpc.to_string().into());
    give("--peer-listen", plan.peer.to_string().into());
    give("--peers", peers.join(",").into());
    give("--members-http", members_http.join(",").into());
    give("--log-file", plan.data.join("node.log").into());
    arguments.push("--exit-with-parent".into());
    arguments
}
