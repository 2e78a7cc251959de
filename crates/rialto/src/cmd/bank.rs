//! `rialto bank`: one node of a bank, by itself.

use std::net::SocketAddr;
use std::path::PathBuf;

use certs::Files;
use clap::{ArgAction, Args, Subcommand};
use server::{Address, AlsoListen, Exit, ListensAt, NodeConfig};

use super::bank_failure::explain;
use super::init;
use super::listen;
use crate::environment;
use crate::exit_codes;
use crate::failure::{Code, Failure};
use crate::logging::{self, Format, Log, Target};
use crate::network::certificates;
use crate::network::cluster::Cluster;
use crate::network::name::BankName;
use crate::network::network_file::Kind;
use crate::settings::Settings;
use crate::settings::default_dir;
use crate::supervise::requests::{self, Reply, Request};
use crate::waiting::waiting_for;
use crate::{file_handles, token};

const EXAMPLES: &str = "\
Examples:
  rialto bank init --name alpha --node 1 --nodes 3 --data /srv/alpha
  rialto bank --name alpha --node 1 --data /srv/alpha \\
      --peers 1=10.0.0.1:7121,2=10.0.0.2:7122,3=10.0.0.3:7123 --peer-listen 10.0.0.1:7121 \\
      --operator-token-file /etc/rialto/token --tls-dir /etc/rialto/tls
      with /etc/rialto/tls holding ca.crt, bank-alpha-1.crt and bank-alpha-1.key of `rialto certs issue bank/alpha/1`
  rialto bank --config /etc/rialto/bank.toml

Every flag can also be given in the environment (--peer-listen: RIALTO_PEER_LISTEN) or in the file of --config
(peer_listen = \"…\"); flags win over the environment, the environment wins over the file.";

/// Run one node of a bank by itself
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit_codes::table()))]
pub(crate) struct BankArgs {
    #[command(subcommand)]
    command: Option<BankCommand>,
    #[command(flatten)]
    flags: NodeFlags,
}

#[derive(Debug, Subcommand)]
enum BankCommand {
    Init(init::InitArgs),
    Add(AddArgs),
}

/// Add a bank to a network that `rialto up` runs
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  rialto bank add gamma\n  rialto bank add gamma --nodes 5 --base-port 9600 --dir /srv/rialto\n\n\
                        The gateway takes it in as soon as it answers; the next `rialto up` starts it with the others.\n\
                        Its nodes are in the same Consul as the network's others, if these are in one.\n\
                        Exit codes: 0 it runs; 1 refused; 2 wrong flags; 4 its ports are taken; 8 no rialto up runs there;\n\
                        all: rialto help exit-codes"
)]
pub(crate) struct AddArgs {
    /// The name of the new bank
    #[arg(value_name = "NAME", value_parser = |text: &str| text.parse::<BankName>())]
    name: BankName,
    /// Its nodes: 1, 3, 5 or 7
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = init::nodes_number)]
    nodes: u16,
    /// First of its 100 ports [default: the next free block after those of the network]
    #[arg(long, value_name = "PORT")]
    base_port: Option<u16>,
    /// Directory of the network
    #[arg(long, value_name = "DIR", default_value_os_t = default_dir())]
    dir: PathBuf,
    /// One JSON object instead of a sentence
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct NodeFlags {
    /// The name of the bank, or of the gateway
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// This node's number, from 1
    #[arg(long, value_name = "N")]
    node: Option<String>,
    /// The node's own directory, made by `init`
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The cluster this node must belong to; what the directory says if not given
    #[arg(long, value_name = "UUID")]
    cluster: Option<String>,
    /// Where to serve HTTP [default: 127.0.0.1:7100 + node]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// Where to serve gRPC [default: 127.0.0.1:7110 + node]
    #[arg(long, value_name = "ADDRESS")]
    grpc: Option<String>,
    /// Where to listen for the other nodes [default: 127.0.0.1:7120 + node]
    #[arg(long, value_name = "ADDRESS")]
    peer_listen: Option<String>,
    /// Every member and where it listens for the others, this one too: 1=HOST:PORT,2=HOST:PORT,…
    #[arg(long, value_name = "LIST")]
    peers: Option<String>,
    /// Where the members serve HTTP, as far as known, for the page: 1=HOST:PORT,2=HOST:PORT,…
    #[arg(long, value_name = "LIST")]
    members_http: Option<String>,
    /// File with the token that every caller must show; needed on any address but loopback
    #[arg(long, value_name = "FILE")]
    operator_token_file: Option<String>,
    /// Directory with ca.crt and this node's certificate and key: gRPC and the other nodes are spoken to over TLS 1.3 with
    /// certificates on both sides
    #[arg(long, value_name = "DIR")]
    tls_dir: Option<String>,
    /// HTTP over TLS as well, with this node's certificate of --tls-dir (issued with --host for each name that it is called by);
    /// callers need none
    #[arg(long, num_args = 0, default_missing_value = "true")]
    http_tls: Option<String>,
    /// Consul, where the node says that it is there and others find it: http://HOST:PORT, or https://HOST:PORT with --consul-ca
    #[arg(long, value_name = "URL")]
    consul: Option<String>,
    /// File with an ACL token for Consul
    #[arg(long, value_name = "FILE")]
    consul_token_file: Option<String>,
    /// The certificate of the CA that signed Consul's own, PEM
    #[arg(long, value_name = "FILE")]
    consul_ca: Option<String>,
    /// How Consul finds out whether the node is well: ttl (it says so), or grpc (the agent asks it; over TLS the agent needs a
    /// certificate of the network's CA, and `enable_agent_tls_for_checks`) [default: ttl]
    #[arg(long, value_name = "KIND")]
    consul_check: Option<String>,
    /// Accept that traffic is not encrypted; needed on any address but loopback that is not covered by --tls-dir
    #[arg(long, num_args = 0, default_missing_value = "true", action = ArgAction::Set)]
    no_tls: Option<String>,
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Log to this file, of bounded size, instead of standard error
    #[arg(long, value_name = "FILE")]
    log_file: Option<String>,
    /// Log requests, a line each, to this file, of bounded size; `off` leaves them to --log-file
    /// [default: DATA/logs/<name>-<node>_requests.log]
    #[arg(long, value_name = "FILE")]
    request_log: Option<String>,
    /// error, warn, info, debug, trace, or info,paxos=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Stop in order when standard input is closed
    #[arg(long, num_args = 0, default_missing_value = "true", action = ArgAction::Set)]
    exit_with_parent: Option<String>,
    /// TOML file, or JSON file (*.json), with any of these settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl NodeFlags {
    /// The file of `--config`, or of its variable.
    pub(super) fn config_file(&mut self) -> Option<PathBuf> {
        self.config.take().or_else(|| environment::path("RIALTO_CONFIG").map(PathBuf::from))
    }

    pub(super) fn given(self) -> impl Iterator<Item = (&'static str, String)> {
        [
            ("name", self.name),
            ("node", self.node),
            ("data", self.data),
            ("cluster", self.cluster),
            ("http", self.http),
            ("grpc", self.grpc),
            ("peer-listen", self.peer_listen),
            ("peers", self.peers),
            ("members-http", self.members_http),
            ("operator-token-file", self.operator_token_file),
            ("tls-dir", self.tls_dir),
            ("http-tls", self.http_tls),
            ("consul", self.consul),
            ("consul-token-file", self.consul_token_file),
            ("consul-ca", self.consul_ca),
            ("consul-check", self.consul_check),
            ("no-tls", self.no_tls),
            ("log-format", self.log_format),
            ("log-file", self.log_file),
            ("request-log", self.request_log),
            ("log-level", self.log_level),
            ("exit-with-parent", self.exit_with_parent),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
    }
}

pub(crate) fn run(args: BankArgs) -> Result<Code, Failure> {
    match args.command {
        Some(BankCommand::Init(init)) => init::run(init, Kind::Bank),
        Some(BankCommand::Add(add)) => add_bank(&add),
        None => run_node(args.flags),
    }
}

fn add_bank(args: &AddArgs) -> Result<Code, Failure> {
    let request = Request::AddBank { bank: args.name.clone(), nodes: args.nodes, base_port: args.base_port };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("starting the runtime: {error}")))?;
    let asked = {
        let _waiting = waiting_for(format!("the rialto up of {}", args.dir.display()));
        runtime.block_on(requests::ask(&args.dir, &request))?
    };
    match asked {
        Reply::BankAdded { http } if args.json => {
            println!("{}", serde_json::json!({ "bank": args.name.to_string(), "http": http }));
        }
        Reply::BankAdded { http } => println!("bank {} runs; its page: {http}/", args.name),
        _ => return Err(Failure::new(format!("the rialto up of {} answered something else", args.dir.display()))),
    }
    Ok(Code::Done)
}

fn run_node(mut flags: NodeFlags) -> Result<Code, Failure> {
    let file = flags.config_file();
    let settings = Settings::gather(flags.given(), environment::text, file.as_deref())?;
    let node = understand(&settings, Kind::Bank)?;
    run_understood(&node, |listening| server::run_bank_node(&node.config, listening))
}

/// Runs a node whose settings are understood, and tells how it ended.
pub(super) fn run_understood(
    node: &Node,
    run: impl FnOnce(Box<dyn FnOnce(ListensAt) + Send>) -> Result<Exit, server::NodeError>,
) -> Result<Code, Failure> {
    logging::start(format!("{}/{}", node.config.group, node.config.node), &node.log)?;
    for warning in &node.warnings {
        tracing::warn!(event = "warning", what = warning);
    }
    file_handles::raise();
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(event = "starting", version, pid = std::process::id(), data = %node.config.data.display());
    let listening = |at: ListensAt| {
        tracing::info!(event = "listening", http = each(&at.http), grpc = each(&at.grpc));
    };
    match run(Box::new(listening)) {
        Ok(exit) => {
            tracing::info!(event = "stopped", why = why(exit));
            Ok(match exit {
                Exit::Asked => Code::ToldToShutDown,
                Exit::Signal | Exit::ParentGone => Code::Done,
                Exit::Removed => Code::Removed,
            })
        }
        Err(error) => {
            let failure = explain(&error, &node.config);
            tracing::error!(event = "failed", why = %error, exit_code = failure.code().number());
            Err(failure)
        }
    }
}

/// Every address, for one field of a line.
fn each(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
}

fn why(exit: Exit) -> &'static str {
    match exit {
        Exit::Asked => "a client asked for it",
        Exit::Signal => "a signal asked for it",
        Exit::ParentGone => "the process that started it has ended",
        Exit::Removed => "it was removed from the bank, which needs it no more: its directory may be deleted",
    }
}

/// A node's settings, understood and checked against each other.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) config: NodeConfig,
    log: Log,
    warnings: Vec<String>,
}

pub(super) fn understand(settings: &Settings, kind: Kind) -> Result<Node, Failure> {
    let name =
        settings.demand("name", "the name")?.parse(|text| text.parse::<BankName>().map_err(|e| e.to_string()))?;
    let node = settings.demand("node", "this node's number")?.parse(node_number)?;
    let data = PathBuf::from(&settings.demand("data", "the node's directory")?.text);
    let format = settings.get("log-format").map_or(Ok(Format::Text), |given| given.parse(logging::parse_format))?;
    let target = settings.get("log-file").map_or(Target::Stderr, |given| Target::File(PathBuf::from(&given.text)));
    let levels = match settings.get("log-level") {
        Some(given) => given.parse(logging::parse_level)?,
        None => logging::parse_level("info").expect("info is a level"),
    };
    let requests = match settings.get("request-log").map(|given| given.text.as_str()) {
        Some("off") => None,
        Some(file) => Some(PathBuf::from(file)),
        None => Some(data.join("logs").join(format!("{name}-{node}_requests.log"))),
    };
    let log = Log { format, target, requests, in_background: true, levels };
    let identity = init::load_identity(&data).map_err(|failure| match failure.code() {
        Code::Damaged => no_identity(&failure, (kind, &name, node), &log),
        _ => failure,
    })?;
    let cluster = match settings.get("cluster") {
        Some(given) => given.parse(|text| text.parse::<Cluster>().map_err(|e| e.to_string()))?,
        None => Cluster::from(identity.cluster),
    };
    init::check_identity(&identity, &data, &name, node, cluster)?;
    let usual = |offset: u16| SocketAddr::from(([127, 0, 0, 1], 7100 + offset + node));
    let all = |setting, offset| listen::addresses(settings.get(setting), usual(offset));
    let (http, also_http) = all("http", 0)?;
    let (grpc, also_grpc) = all("grpc", 10)?;
    let (peer_listen, also_peers) = all("peer-listen", 20)?;
    let also = AlsoListen { http: also_http, grpc: also_grpc, peers: also_peers };
    let peers = match settings.get("peers") {
        Some(given) => given.parse(peer_list)?,
        None if identity.nodes == 1 => vec![(node, of_socket(peer_listen))],
        None => {
            return Err(Failure::usage(format!(
                "{} {name} has {} nodes: say where they listen for each other",
                kind.text(),
                identity.nodes
            ))
            .line("give --peers 1=HOST:PORT,2=HOST:PORT,… with this node among them"));
        }
    };
    let http_of_members = match settings.get("members-http") {
        Some(given) => given.parse(peer_list)?,
        None => vec![(node, of_socket(http))],
    };
    let (operator_token, mut warnings) = match settings.get("operator-token-file") {
        Some(given) => token::read(given.text.as_ref()).map(|read| (Some(read.token), read.warnings))?,
        None => (None, Vec::new()),
    };
    let tls = settings.get("tls-dir").map(|given| given.parse(|dir| files(dir, kind, &name, node))).transpose()?;
    let no_tls = settings.switch("no-tls")?;
    let http_tls = settings.switch("http-tls")?;
    if http_tls && tls.is_none() {
        return Err(Failure::usage("--http-tls needs certificates").line("give --tls-dir DIR (`rialto certs --help`)"));
    }
    let firsts = [(http, http_tls), (grpc, tls.is_some()), (peer_listen, tls.is_some())];
    let further = [&also.http, &also.grpc, &also.peers].into_iter().zip(firsts);
    let further = further.flat_map(|(also, (_, encrypted))| also.iter().map(move |address| (*address, encrypted)));
    for (address, encrypted) in firsts.into_iter().chain(further) {
        if address.ip().is_loopback() {
            continue;
        }
        demand_protection(address, operator_token.is_some(), encrypted || no_tls)?;
        if !encrypted {
            warnings
                .push(format!("{address} is not on loopback and nothing that passes there is encrypted (--no-tls)"));
        }
    }
    let (consul, of_consul) = crate::consul::of_settings(settings)?;
    warnings.extend(of_consul);
    let config = NodeConfig {
        group: name.to_string(),
        cluster: cluster.number(),
        node,
        peers,
        http_of_members,
        http,
        grpc,
        peer_listen,
        also,
        data,
        operator_token,
        tls,
        http_tls,
        consul,
        exit_with_parent: settings.switch("exit-with-parent")?,
    };
    Ok(Node { config, log, warnings })
}

/// A node whose identity is damaged does not know whose its votes are. Nothing here can make the file again, and it is told
/// here because nobody else runs yet: in the log, where that is a file, as every other reason to stay down.
fn no_identity(failure: &Failure, (kind, name, node): (Kind, &BankName, u16), log: &Log) -> Failure {
    let group = kind.text();
    let why = format!(
        "{}; it says whose this directory is, and without it node {node} must not vote; put `identity` back from a copy of \
         this directory (it is written once and never changes), or give the {group} a new node in its place: rialto members \
         replace {node}; a {group} of this one node is restored from a copy: rialto restore {name} --from COPY",
        failure.what()
    );
    let failure = Failure::new(why).with_code(Code::Damaged);
    let log = Log { requests: None, in_background: false, ..log.clone() };
    if matches!(log.target, Target::File(_)) && logging::start(format!("{name}/{node}"), &log).is_ok() {
        tracing::error!(event = "failed", why = failure.what(), exit_code = failure.code().number());
    }
    failure
}

/// Where this node's certificate has to be.
fn files(dir: &str, kind: Kind, name: &BankName, node: u16) -> Result<Files, String> {
    let subject = certificates::of_node(kind, name.as_str(), node).map_err(|failure| failure.to_string())?;
    Ok(Files::new(dir, subject))
}

/// Operators show a token everywhere but on loopback; and only loopback is open in plain text.
fn demand_protection(address: SocketAddr, has_token: bool, may_speak: bool) -> Result<(), Failure> {
    if !has_token {
        return Err(Failure::usage(format!(
            "{address} can be reached from other machines, so callers must show a token"
        ))
        .line("give --operator-token-file FILE, or listen on 127.0.0.1"));
    }
    if !may_speak {
        return Err(Failure::usage(format!(
            "{address} can be reached from other machines, and traffic would not be encrypted"
        ))
        .line("give --tls-dir DIR with certificates (`rialto certs --help`), and --http-tls for HTTP")
        .line("or listen on 127.0.0.1, or accept that with --no-tls"));
    }
    Ok(())
}

pub(super) fn node_number(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(number) if (1..=99).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(format!("`{text}` is no node number: nodes are numbered from 1 to 99")),
    }
}

fn of_socket(address: SocketAddr) -> Address {
    Address::new(&address.to_string()).expect("a socket's address is short")
}

/// Of a member: a name is looked up when it is called, so it need not be there yet.
fn member_address(text: &str) -> Result<Address, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    if host.is_empty() || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(format!("`{text}` is no address: it is HOST:PORT, for example 10.0.0.1:7121"));
    }
    Address::new(text)
        .ok_or_else(|| format!("`{text}` is no address: it has at most {} letters and signs", Address::MAX))
}

fn peer_list(text: &str) -> Result<Vec<(u16, Address)>, String> {
    let one = |item: &str| {
        let (number, address) = item
            .split_once('=')
            .ok_or_else(|| format!("`{item}` is no member: write NUMBER=HOST:PORT, separated by commas"))?;
        Ok((node_number(number.trim())?, member_address(address.trim())?))
    };
    let peers = text.split(',').map(one).collect::<Result<Vec<_>, String>>()?;
    for (index, (number, address)) in peers.iter().enumerate() {
        if let Some((other, _)) = peers[..index].iter().find(|(n, a)| n == number || a == address) {
            return Err(if other == number {
                format!("member {number} is named twice")
            } else {
                format!("members {other} and {number} have the same address {address}")
            });
        }
    }
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_members_says_what_is_wrong_with_it() {
        let good = peer_list("1=127.0.0.1:7121, 2=127.0.0.1:7122").expect("it is well formed");
        assert_eq!(good.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 2]);
        let complaint = |text| peer_list(text).expect_err("it is wrong");
        assert_eq!(complaint("1=127.0.0.1:1,1=127.0.0.1:2"), "member 1 is named twice");
        assert_eq!(complaint("1=127.0.0.1:1,2=127.0.0.1:1"), "members 1 and 2 have the same address 127.0.0.1:1");
        assert!(complaint("127.0.0.1:7121").contains("write NUMBER=HOST:PORT"));
        assert!(complaint("1=127.0.0.1").contains("it is HOST:PORT"));
        assert!(complaint("0=127.0.0.1:1").contains("numbered from 1"));
    }

    #[test]
    fn a_line_names_every_address_that_is_listened_on() {
        let addresses = ["127.0.0.1:7101", "[::1]:7101"].map(|text| text.parse().expect("an address"));
        assert_eq!(each(&addresses), "127.0.0.1:7101,[::1]:7101");
    }

    #[test]
    fn other_machines_may_only_reach_what_is_protected() {
        let address = "0.0.0.0:7101".parse().expect("an address");
        let first = demand_protection(address, false, true).expect_err("there is no token").to_string();
        assert!(first.contains("--operator-token-file"), "{first}");
        let second = demand_protection(address, true, false).expect_err("there is no encryption").to_string();
        assert!(second.contains("--no-tls"), "{second}");
        assert_eq!(demand_protection(address, true, true), Ok(()));
    }
}
