//! `rialto bank init`: makes the identity of one node, once.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use api::status::Mode;
use clap::Args;
use serde_json::json;
use storage::{FirstMode, Identity, OpenError, RealDisk, identity};

use super::bank::node_number;
use crate::failure::{Code, Failure};
use crate::network::cluster::Cluster;
use crate::network::name::BankName;
use crate::network::network_file::Kind;

const EXAMPLES: &str = "\
Examples:
  rialto bank init --name alpha --node 1 --nodes 3 --data /srv/alpha
      makes the first member and prints the cluster's number, for the others:
  rialto bank init --name alpha --node 2 --nodes 3 --data /srv/alpha --cluster 018f2f6c-…
  rialto bank init --name alpha --node 1 --nodes 3 --mode leaderless --data /srv/alpha
      every node proposes what it is asked; give all founders the same mode
  rialto bank init --name alpha --node 4 --join --data /srv/alpha --cluster 018f2f6c-…
      makes a node for a bank that is there; `rialto members add` prints this line as it has to be";

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
    /// How many nodes a new bank has
    #[arg(long, value_name = "N", value_parser = nodes_number, required_unless_present = "join")]
    nodes: Option<u16>,
    /// The node joins a bank that is there: see `rialto members add`
    #[arg(long, conflicts_with_all = ["nodes", "mode"], requires = "cluster")]
    join: bool,
    /// How a new bank finds who proposes: afterwards an entry in its log, changed with `rialto mode` [default: leader]
    #[arg(long, value_name = "MODE", value_parser = mode)]
    mode: Option<Mode>,
    /// The node's own directory; made if it is not there
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The number that all members share; made for the first one if not given
    #[arg(long, value_name = "UUID", value_parser = |text: &str| text.parse::<Cluster>())]
    cluster: Option<Cluster>,
    /// One JSON object instead of sentences
    #[arg(long)]
    json: bool,
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

/// The two modes, as people write them.
pub(crate) fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "leader" => Ok(Mode::Leader),
        "leaderless" => Ok(Mode::Leaderless),
        other => Err(format!("`{other}` is no mode: use leader or leaderless")),
    }
}

pub(crate) fn run(args: InitArgs, kind: Kind) -> Result<Code, Failure> {
    let group = kind.text();
    let InitArgs { name, node, data, .. } = &args;
    let nodes = args.nodes.unwrap_or(JOINS);
    if args.node > nodes && nodes != JOINS {
        return Err(Failure::usage(format!("node {node} is none of {nodes} nodes"))
            .line("for a node that joins a bank that is there: rialto members add --help"));
    }
    let cluster = args.cluster.unwrap_or_else(Cluster::make);
    let mode = args.mode.unwrap_or_default();
    make_identity(data, &NewNode { name, node: *node, nodes, cluster, mode })?;
    if args.json {
        // Who joins a group finds its founders and its mode there.
        let (nodes, mode) = if nodes == JOINS { (None, None) } else { (Some(nodes), Some(mode.text())) };
        let made = json!({
            "kind": group,
            "group": name.to_string(),
            "node": node,
            "nodes": nodes,
            "mode": mode,
            "cluster": cluster.to_string(),
            "data": data.display().to_string(),
        });
        println!("{made}");
        return Ok(Code::Done);
    }
    if nodes == JOINS {
        println!("node {node}, which joins {group} {name}, is made in {}", data.display());
    } else {
        println!("node {node} of {nodes} of {group} {name} is made in {}, {} mode", data.display(), mode.text());
    }
    println!("cluster {cluster}");
    if args.cluster.is_none() && nodes > 1 {
        let with_mode = if mode == Mode::default() { String::new() } else { format!(" --mode {}", mode.text()) };
        println!("make the other members with --cluster {cluster}{with_mode}");
    }
    Ok(Code::Done)
}

/// Instead of a number of founders: the node joins a bank that is there.
pub(crate) const JOINS: u16 = 0;

/// Who a new node is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewNode<'a> {
    pub(crate) name: &'a BankName,
    pub(crate) node: u16,
    /// The number of founders, or [`JOINS`].
    pub(crate) nodes: u16,
    pub(crate) cluster: Cluster,
    /// The first mode, of founders.
    pub(crate) mode: Mode,
}

/// Writes a new node's identity; refuses a directory that has one.
pub(crate) fn make_identity(dir: &Path, new: &NewNode<'_>) -> Result<(), Failure> {
    storage::private::make_dir(dir).map_err(|error| Failure::new(format!("making {}: {error}", dir.display())))?;
    storage::private::check_dir(dir).map_err(|open| Failure::cannot_start(open.to_string()))?;
    if identity_path(dir).exists() {
        let found = load_identity(dir)?;
        return Err(Failure::cannot_start(format!("{} already belongs to {}", dir.display(), whose(&found)))
            .line("a node is made once; to start it: rialto bank"));
    }
    let made_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let identity = Identity {
        cluster: new.cluster.number(),
        group: new.name.to_string(),
        node: new.node,
        incarnation: 1,
        nodes: new.nodes,
        made_ms: u64::try_from(made_ms).expect("the year is below half a billion"),
        first_mode: match new.mode {
            Mode::Leader => FirstMode::Leader,
            Mode::Leaderless => FirstMode::Leaderless,
        },
    };
    identity::create(&RealDisk, dir, &identity).map_err(|error| Failure::new(error.to_string()))
}

pub(crate) fn identity_path(dir: &Path) -> PathBuf {
    dir.join("identity")
}

pub(crate) fn load_identity(dir: &Path) -> Result<Identity, Failure> {
    if !identity_path(dir).exists() {
        return Err(Failure::cannot_start(format!("{} holds no identity", dir.display()))
            .line(
                "a new node is made with: rialto bank init; one that takes a lost one's place: rialto members replace",
            )
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
