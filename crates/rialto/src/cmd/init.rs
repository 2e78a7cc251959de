//! `rialto bank init`: makes the identity of one node, once.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use storage::{Identity, OpenError, RealDisk, identity};

use super::bank::node_number;
use crate::failure::{Code, Failure};
use crate::network::cluster::Cluster;
use crate::network::name::BankName;

const EXAMPLES: &str = "\
Examples:
  rialto bank init --name alpha --node 1 --nodes 3 --data /srv/alpha
      makes the first member and prints the cluster's number, for the others:
  rialto bank init --name alpha --node 2 --nodes 3 --data /srv/alpha --cluster 018f2f6c-…";

/// Make the identity of a new node
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitArgs {
    /// The bank's name
    #[arg(long, value_name = "NAME", value_parser = |text: &str| text.parse::<BankName>())]
    name: BankName,
    /// This node's number in the bank, from 1
    #[arg(long, value_name = "N", value_parser = node_number)]
    node: u16,
    /// How many nodes the bank has
    #[arg(long, value_name = "N", value_parser = nodes_number)]
    nodes: u16,
    /// The node's own directory; made if it is not there
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The number that all members share; made for the first one if not given
    #[arg(long, value_name = "UUID", value_parser = |text: &str| text.parse::<Cluster>())]
    cluster: Option<Cluster>,
}

/// Majorities of these are what a bank is for: an even number adds a node that may fail and none that may be missed.
pub(crate) fn nodes_number(text: &str) -> Result<u16, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        "5" => Ok(5),
        "7" => Ok(7),
        other => Err(format!("a bank has 1, 3, 5 or 7 nodes, not `{other}`")),
    }
}

pub(crate) fn run(args: InitArgs) -> Result<Code, Failure> {
    if args.node > args.nodes {
        return Err(Failure::usage(format!("node {} is none of {} nodes", args.node, args.nodes)));
    }
    let cluster = args.cluster.unwrap_or_else(Cluster::make);
    make_identity(&args.data, &args.name, args.node, args.nodes, cluster)?;
    println!("node {} of {} of bank {} is made in {}", args.node, args.nodes, args.name, args.data.display());
    println!("cluster {cluster}");
    if args.cluster.is_none() && args.nodes > 1 {
        println!("make the other members with --cluster {cluster}");
    }
    Ok(Code::Done)
}

/// Writes a new node's identity; refuses a directory that has one.
pub(crate) fn make_identity(
    dir: &Path,
    name: &BankName,
    node: u16,
    nodes: u16,
    cluster: Cluster,
) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|error| Failure::new(format!("making {}: {error}", dir.display())))?;
    if identity_path(dir).exists() {
        let found = load_identity(dir)?;
        return Err(Failure::cannot_start(format!("{} already belongs to {}", dir.display(), whose(&found)))
            .line("a node is made once; to start it: rialto bank"));
    }
    let made_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let identity = Identity {
        cluster: cluster.number(),
        group: name.to_string(),
        node,
        incarnation: 1,
        nodes,
        made_ms: u64::try_from(made_ms).expect("the year is below half a billion"),
    };
    identity::create(&RealDisk, dir, &identity).map_err(|error| Failure::new(error.to_string()))
}

pub(crate) fn identity_path(dir: &Path) -> PathBuf {
    dir.join("identity")
}

pub(crate) fn load_identity(dir: &Path) -> Result<Identity, Failure> {
    if !identity_path(dir).exists() {
        return Err(Failure::cannot_start(format!("{} holds no identity", dir.display()))
            .line("a new node is made with: rialto bank init")
            .line(
                "a node that has lost its directory has lost its votes: it must not be made again under its old number",
            ));
    }
    identity::load(&RealDisk, dir).map_err(|error| {
        let failure = Failure::cannot_start(error.to_string());
        match error {
            OpenError::Rot { .. } => failure.with_code(Code::Damaged),
            OpenError::Foreign { .. } | OpenError::Failed(_) => failure,
        }
    })
}

/// A directory of somebody else is refused before anything in it is touched.
pub(crate) fn check_identity(
    found: &Identity,
    dir: &Path,
    name: &BankName,
    node: u16,
    cluster: Cluster,
) -> Result<(), Failure> {
    let wanted = if found.group == name.as_str() && found.node == node {
        if found.cluster == cluster.number() {
            return Ok(());
        }
        format!("cluster {cluster}")
    } else if found.group == name.as_str() {
        format!("node {node}")
    } else {
        format!("node {node} of bank {name}")
    };
    let made = crate::logging::rfc3339(UNIX_EPOCH + std::time::Duration::from_millis(found.made_ms));
    let made_day = made.split('T').next().unwrap_or(&made);
    let cluster = Cluster::from(found.cluster);
    Err(Failure::cannot_start(format!("this directory belongs to {}, not to {wanted}", whose(found)))
        .line(format!("identity: {} (cluster {cluster}, made {made_day})", identity_path(dir).display())))
}

fn whose(identity: &Identity) -> String {
    format!("node {} of bank {}", identity.node, identity.group)
}
