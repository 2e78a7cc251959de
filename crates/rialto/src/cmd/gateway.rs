//! `rialto gateway`: one node of the gateway, by itself.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clearing::BankName;
use server::GatewayNodeConfig;

use super::bank::{Node, NodeFlags, run_understood, understand};
use super::init;
use crate::environment;
use crate::exit_codes;
use crate::failure::{Code, Failure};
use crate::network::network_file::Kind;
use crate::settings::Settings;

const TOKEN_MINUTES: u64 = 60;
/// A token that is good for longer than a day is a mistake: it is a password by then.
const TOKEN_MINUTES_MAX: u64 = 24 * 60;

const EXAMPLES: &str = "\
Examples:
  rialto gateway init --name gateway --node 1 --nodes 3 --data /srv/gateway
  rialto gateway --name gateway --node 1 --data /srv/gateway \\
      --peers 1=10.0.0.1:7321,2=10.0.0.2:7322,3=10.0.0.3:7323 --peer-listen 10.0.0.1:7321 \\
      --banks alpha=10.0.1.1:7111+10.0.1.2:7112+10.0.1.3:7113,beta=10.0.2.1:7111 --no-tls --operator-token-file token
  rialto gateway … --consul https://10.0.0.9:8501 --consul-ca consul-ca.pem --consul-token-file token
      the banks are found in Consul, and customers find this node there; gateway_addr and consul_addr are its keys in a file
  rialto gateway … --banks alpha=dns:alpha.internal:7111,beta=dns:beta.internal:7111
      in Kubernetes: the names of headless services, whose pods may come and go
  rialto gateway --config /etc/rialto/gateway.toml

Every flag can also be given in the environment (--network-file: RIALTO_NETWORK_FILE) or in the file of --config
(network_file = \"…\"); flags win over the environment, the environment wins over the file.";

/// Run one node of the gateway by itself
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit_codes::table()))]
pub(crate) struct GatewayArgs {
    #[command(subcommand)]
    command: Option<GatewayCommand>,
    #[command(flatten)]
    flags: NodeFlags,
    /// Banks and where their nodes serve gRPC: NAME=HOST:PORT+HOST:PORT,NAME=…; dns:HOST:PORT stands for every address that
    /// the name has, now and later
    #[arg(long, value_name = "LIST")]
    banks: Option<String>,
    /// The network.json of a `rialto up`, which names all banks, also those that come later
    #[arg(long, value_name = "FILE")]
    network_file: Option<String>,
    /// How long a payment waits for the votes of its banks, in milliseconds, 50 to 60000: when this node serves it becomes the
    /// setting of that name for the whole gateway [default: what its log says, 2000 at first]
    #[arg(long = "timeout-2pc-ms", value_name = "MS")]
    timeout_2pc_ms: Option<String>,
    /// How long a sign-in is good, in minutes [default: 60]
    #[arg(long, value_name = "MINUTES")]
    token_minutes: Option<String>,
}

#[derive(Debug, Subcommand)]
enum GatewayCommand {
    Init(init::InitArgs),
}

const INIT_EXAMPLES: &str = "\
Examples:
  rialto gateway init --name main --node 1 --nodes 3 --data /srv/gateway
      makes the first member and prints the cluster's number, for the others:
  rialto gateway init --name main --node 2 --nodes 3 --data /srv/gateway --cluster 018f2f6c-…
  rialto gateway init --name main --node 4 --join --data /srv/gateway --cluster 018f2f6c-…
      makes a node for a gateway that is there; `rialto members add` admits it";

/// The gateway's nodes are made as a bank's are; only the words differ.
pub(crate) fn worded(command: clap::Command) -> clap::Command {
    let help = |name: &'static str, text: &'static str| {
        move |command: clap::Command| command.mut_arg(name, |arg| arg.help(text))
    };
    let init = |init: clap::Command| {
        let init = init.about("Make the identity of a new node of the gateway").after_help(INIT_EXAMPLES);
        let init = help("name", "The gateway's name")(init);
        let init = help("node", "This node's number in the gateway, from 1")(init);
        let init = help("nodes", "How many nodes a new gateway has")(init);
        let init = help("join", "The node joins a gateway that is there: see `rialto members add`")(init);
        help("mode", "How a new gateway finds who proposes: afterwards an entry in its log [default: leader]")(init)
    };
    command.mut_subcommand("gateway", |gateway| gateway.mut_subcommand("init", init))
}

pub(crate) fn run(args: GatewayArgs) -> Result<Code, Failure> {
    let GatewayArgs { command, mut flags, banks, network_file, timeout_2pc_ms, token_minutes } = args;
    if let Some(GatewayCommand::Init(init)) = command {
        return init::run(init, Kind::Gateway);
    }
    let file = flags.config_file();
    let own = [
        ("banks", banks),
        ("network-file", network_file),
        ("timeout-2pc-ms", timeout_2pc_ms),
        ("token-minutes", token_minutes),
    ];
    let own = own.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
    let settings = Settings::gather(flags.given().chain(own), environment::text, file.as_deref())?;
    let node = understand(&settings, Kind::Gateway)?;
    let config = gateway(&settings, &node)?;
    run_understood(&node, |listening| server::run_gateway_node(&config, listening))
}

fn gateway(settings: &Settings, node: &Node) -> Result<GatewayNodeConfig, Failure> {
    let minutes = match settings.get("token-minutes") {
        Some(given) => given.parse(minutes)?,
        None => TOKEN_MINUTES,
    };
    Ok(GatewayNodeConfig {
        node: node.config.clone(),
        banks: settings.get("banks").map_or(Ok(Vec::new()), |given| given.parse(bank_list))?,
        network_file: settings.get("network-file").map(|given| PathBuf::from(&given.text)),
        token_ms: minutes * 60_000,
        vote_timeout_ms: settings.get("timeout-2pc-ms").map(|given| given.parse(vote_timeout)).transpose()?,
    })
}

pub(super) fn minutes(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(minutes) if (1..=TOKEN_MINUTES_MAX).contains(&minutes) => Ok(minutes),
        Ok(_) | Err(_) => Err(format!("`{text}` is no time for a sign-in: give 1 to {TOKEN_MINUTES_MAX} minutes")),
    }
}

pub(super) fn vote_timeout(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(ms) if (50..=60_000).contains(&ms) => Ok(ms),
        Ok(_) | Err(_) => Err(format!("`{text}` is no time for votes: give 50 to 60000 milliseconds")),
    }
}

fn bank_list(text: &str) -> Result<Vec<(BankName, Vec<String>)>, String> {
    let bank = |item: &str| {
        let (name, addresses) = item
            .split_once('=')
            .ok_or_else(|| format!("`{item}` is no bank: write NAME=HOST:PORT+HOST:PORT, separated by commas"))?;
        let name = BankName::new(name.trim()).map_err(|error| error.to_string())?;
        let addresses: Vec<String> = addresses.split('+').map(|address| address.trim().to_owned()).collect();
        addresses.iter().try_for_each(|address| server::dns::check(address))?;
        Ok((name, addresses))
    };
    text.split(',').map(bank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_banks_says_what_is_wrong_with_it() {
        let banks = bank_list("alpha=a:1+b:2, beta=c:3").expect("it is well formed");
        let shown: Vec<(&str, usize)> = banks.iter().map(|(name, nodes)| (name.as_str(), nodes.len())).collect();
        assert_eq!(shown, [("alpha", 2), ("beta", 1)]);
        assert!(bank_list("alpha").expect_err("no address").contains("NAME=HOST:PORT"));
        assert!(bank_list("Alpha=a:1").is_err());
        assert!(bank_list("alpha=dns:a:1+b:2").is_ok());
        assert!(bank_list("alpha=dns:a").expect_err("no port").contains("dns:HOST:PORT"));
    }

    #[test]
    fn a_sign_in_is_good_for_a_day_at_most() {
        assert_eq!(minutes("60"), Ok(60));
        for wrong in ["0", "1441", "x", "-5"] {
            assert!(minutes(wrong).is_err(), "{wrong}");
        }
        assert_eq!((vote_timeout("50"), vote_timeout("60000")), (Ok(50), Ok(60_000)));
        for wrong in ["49", "60001", "2s", ""] {
            assert!(vote_timeout(wrong).expect_err(wrong).contains("50 to 60000"), "{wrong}");
        }
    }

    #[test]
    fn init_speaks_of_the_gateway() {
        let mut command = crate::command_line();
        let gateway = command.find_subcommand_mut("gateway").and_then(|it| it.find_subcommand_mut("init"));
        let page = gateway.expect("there is one").render_long_help().to_string();
        assert!(page.contains("rialto gateway init --name main"), "{page}");
        assert!(!page.to_lowercase().contains("bank"), "{page}");
    }
}
