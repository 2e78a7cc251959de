//! `rialto up`: a whole network on this machine.

use std::path::PathBuf;

use api::status::Mode;
use clap::Args;

use super::gateway;
use super::init::{mode, nodes_number};
use crate::environment;
use crate::failure::{Code, Failure};
use crate::follow_up::{self, Options};
use crate::logging;
use crate::network::layout::ConsulLayout;
use crate::network::name::BankName;
use crate::settings;
use crate::settings::default_dir;
use crate::supervise::fleet::Restart;
use crate::supervise::prepare::{Fresh, Gateway, Wishes, prepare};
use crate::supervise::running;
use crate::supervise::screen::Screen;

const EXAMPLES: &str = "\
Examples:
  rialto up                               banks alpha and beta and the gateway between them; data in ./rialto-data
  rialto up --nodes 5 --dir /tmp/five
  rialto up --nodes 5                     on a directory with 3 nodes: it grows while it serves; --nodes 3 shrinks it back
  rialto up --mode leaderless             a new bank in which every node proposes what it is asked
  rialto up --bank alpha --bank gamma     these banks and no others; beside banks that run: rialto bank add gamma
  rialto up --bank alpha --no-gateway     one bank by itself
  rialto up --consul http://127.0.0.1:8500 --consul-token-file token     nodes find each other there
  rialto up --json --base-port 9000       for scripts: one JSON line when ready
  rialto up --fresh                       delete what is there and begin anew (asks first)

Ctrl-C stops everything in order; the next `rialto up` goes on with the same money.
DIR/network.json lists every process and address at any time; DIR/<bank>/<node>/node.log is a node's log, and logs/ beside it has a
line for each request. RIALTO_LOG_LEVEL (info; info,requests=debug shows what requests hold, but secrets) and RIALTO_LOG_FORMAT
(text or json), RIALTO_TOKEN_MINUTES and RIALTO_TIMEOUT_2PC_MS in the environment of `up` are for all its nodes.
Exit codes: 0 stopped in order; 1 refused; 2 wrong flags or environment; 4 a port is taken, or the directory in use; 6 what is
on disk is damaged; all: rialto help exit-codes";

/// Run a network on this machine: node processes, a balancer for each bank, a live table
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UpArgs {
    /// Where everything is kept
    #[arg(long, value_name = "DIR", default_value_os_t = default_dir())]
    dir: PathBuf,
    /// A bank to run, and no other; may be given more than once [default: all of the directory, or alpha and beta]
    #[arg(long = "bank", value_name = "NAME", value_parser = |text: &str| text.parse::<BankName>())]
    banks: Vec<BankName>,
    /// Run banks only, without the gateway between them
    #[arg(long)]
    no_gateway: bool,
    /// Nodes of each bank and of the gateway: 1, 3, 5 or 7; one that is there grows or shrinks to it [default: 3 for a new one]
    #[arg(long, value_name = "N", value_parser = nodes_number)]
    nodes: Option<u16>,
    /// How a new bank finds who proposes, leader or leaderless; later: rialto mode [default: leader]
    #[arg(long, value_name = "MODE", value_parser = mode)]
    mode: Option<Mode>,
    /// First of the 100 ports of the first bank [default: 7100, or where there is room]
    #[arg(long, value_name = "PORT")]
    base_port: Option<u16>,
    /// Consul, where nodes say that they are there and the gateway finds banks: http://HOST:PORT, or https://HOST:PORT
    #[arg(long, value_name = "URL")]
    consul: Option<String>,
    /// File with an ACL token for Consul
    #[arg(long, value_name = "FILE", requires = "consul")]
    consul_token_file: Option<PathBuf>,
    /// The certificate of the CA that signed Consul's own, PEM
    #[arg(long, value_name = "FILE", requires = "consul")]
    consul_ca: Option<PathBuf>,
    /// Delete what is in the directory first
    #[arg(long)]
    fresh: bool,
    /// Do not ask before deleting
    #[arg(long, requires = "fresh")]
    yes: bool,
    /// Leave a node that died where it is
    #[arg(long)]
    no_restart: bool,
    /// Print one JSON line when all is ready, events to standard error
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: UpArgs) -> Result<Code, Failure> {
    // Asked once: a build that replaces the file must not keep nodes from being started again.
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(format!("finding this program's own file, to start nodes with: {error}")))?;
    // What is wrong in it would otherwise be told by each node, in its own log.
    let refused =
        |name: &'static str| move |why: String| Failure::usage(why).line(format!("given by {name} in the environment"));
    if let Some(level) = environment::text("RIALTO_LOG_LEVEL") {
        logging::parse_level(&level).map_err(refused("RIALTO_LOG_LEVEL"))?;
    }
    if let Some(format) = environment::text("RIALTO_LOG_FORMAT") {
        logging::parse_format(&format).map_err(refused("RIALTO_LOG_FORMAT"))?;
    }
    if let Some(minutes) = environment::text("RIALTO_TOKEN_MINUTES") {
        gateway::minutes(&minutes).map_err(refused("RIALTO_TOKEN_MINUTES"))?;
    }
    if let Some(time) = environment::text("RIALTO_TIMEOUT_2PC_MS") {
        gateway::vote_timeout(&time).map_err(refused("RIALTO_TIMEOUT_2PC_MS"))?;
    }
    let fresh = match (args.fresh, args.yes) {
        (false, _) => Fresh::Keep,
        (true, false) => Fresh::DeleteAfterAsking,
        (true, true) => Fresh::Delete,
    };
    let consul = args.consul.map(|url| ConsulLayout {
        url,
        token_file: args.consul_token_file.map(absolute),
        ca: args.consul_ca.map(absolute),
    });
    if let Some(ConsulLayout { url, token_file, ca }) = &consul {
        crate::consul::config(url.clone(), token_file.as_deref(), ca.clone())?;
    }
    follow_up::keep(Options::default().flag("dir", (args.dir != default_dir()).then(|| args.dir.display())));
    let UpArgs { dir, banks, nodes, mode, base_port, .. } = args;
    let has_gateway = if args.no_gateway { Gateway::Not } else { Gateway::Runs };
    let wishes = Wishes { dir, banks, gateway: has_gateway, nodes, mode, base_port, fresh, consul };
    let mut prepared = prepare(&wishes, &program)?;
    let unused = settings::not_for_up(|name| std::env::var_os(name).is_some());
    if !unused.is_empty() {
        prepared.notes.push(format!(
            "{} in the environment: for single nodes, each of which has its own here, so it is not used",
            unused.join(", ")
        ));
    }
    let restart = if args.no_restart { Restart::Never } else { Restart::After5s };
    running::run(wishes.dir, prepared, restart, Screen::choose(args.json), &program).await
}

/// Nodes are started elsewhere.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
