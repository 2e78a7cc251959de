//! Which nodes a command asks: those of a directory's network, or those that are named.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::client::Secret;
use clap::Args;
use hyper::header::HeaderValue;

use crate::environment;
use crate::failure::Failure;
use crate::follow_up::{self, Options};
use crate::http::{Address, Client, Pin};
use crate::members;
use crate::members::bank::{Bank, Nodes};
use crate::network::cluster::Cluster;
use crate::network::layout::Layout;
use crate::network::name::{BadBankName, BankName};
use crate::network::network_file::{NetworkFile, State};
use crate::settings::default_dir;
use crate::token;

#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// Directory of a network that `rialto up` runs
    #[arg(long, global = true, value_name = "DIR", default_value_os_t = default_dir(), conflicts_with = "url")]
    dir: PathBuf,
    /// A node's address, http://HOST:PORT or https://HOST:PORT; give it once for each node
    #[arg(long, global = true, value_name = "URL")]
    url: Vec<String>,
    /// The certificate of the network's CA (ca.crt), for https [default: RIALTO_CA]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// File with the operator's token, for nodes that demand one
    #[arg(long, global = true, value_name = "FILE")]
    operator_token_file: Option<PathBuf>,
    /// The cluster that is meant, as `rialto status --json` names it; whoever else answers is left alone [default: with
    /// --dir the directory's own, otherwise that of the first node that answers]
    #[arg(long, global = true, value_name = "UUID", value_parser = |text: &str| text.parse::<Cluster>())]
    cluster: Option<Cluster>,
    /// Give up after so many seconds without an answer
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: Option<u64>,
}

/// Which bank a command is about.
#[derive(Debug, Args)]
pub(crate) struct WhichBank {
    /// Which bank; needed where the network has several
    #[arg(long, global = true, value_name = "NAME", value_parser = |text: &str| text.parse::<BankName>())]
    bank: Option<BankName>,
}

impl WhichBank {
    /// The bank that was named, or that one.
    pub(crate) fn named_or(&self, usual: &str) -> Result<BankName, Failure> {
        let usual = || usual.parse().map_err(|error: BadBankName| Failure::new(error.to_string()));
        self.bank.clone().map_or_else(usual, Ok)
    }

    /// The bank that was named, or the only one of the directory. Which of several is meant is never guessed.
    pub(crate) fn of_network(&self, dir: &Path) -> Result<BankName, Failure> {
        if let Some(name) = &self.bank {
            return Ok(name.clone());
        }
        let network = NetworkFile::load(dir)?;
        let banks: Vec<&str> = network.banks.keys().map(String::as_str).collect();
        match banks.as_slice() {
            [only] => only.parse().map_err(|error: BadBankName| Failure::new(error.to_string())),
            [] => Err(Failure::new(format!("the network in {} has no bank", dir.display()))),
            [first, ..] => Err(Failure::usage("which bank? the network has several")
                .line(format!("they are: {}", banks.join(", ")))
                .line(format!("for example: --bank {first}"))),
        }
    }
}

/// Whose nodes they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network<'a> {
    /// Those of the `rialto up` that runs in this directory.
    Here(&'a Path),
    /// On machines of their own.
    Elsewhere,
}

/// One node to ask.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// What the network file says; a node that is only an address says who it is when it answers.
    pub(crate) known: Option<Known>,
    pub(crate) address: Address,
    token: Option<HeaderValue>,
    pin: Pin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) group: String,
    pub(crate) node: u16,
    pub(crate) state: State,
}

impl Target {
    /// Whoever answers at that address, without a token.
    pub(crate) fn at(address: Address) -> Target {
        Target { known: None, address, token: None, pin: Pin::default() }
    }

    /// It is this cluster and no other, where that is known.
    pub(crate) fn of_cluster(self, cluster: Option<Cluster>) -> Target {
        Target { pin: cluster.map_or_else(Pin::default, Pin::to), ..self }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address.clone()).with_token(self.token.clone()).with_pin(&self.pin)
    }
}

impl TargetArgs {
    /// What a command that is typed next needs as well.
    fn options(&self) -> Options {
        let file = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        // A directory and addresses exclude each other.
        let dir = (self.url.is_empty() && self.dir != default_dir()).then(|| self.dir.display());
        let options = self.url.iter().fold(Options::default(), |options, url| options.flag("url", Some(url)));
        let options = options.flag("dir", dir).flag("ca", file(&self.ca));
        options.flag("operator-token-file", file(&self.operator_token_file))
    }

    /// One bank: of the directory's network, or the one whose nodes are named.
    pub(crate) fn bank(&self, which: &WhichBank) -> Result<Bank, Failure> {
        follow_up::keep(self.options());
        let token = token::header(self.operator_token_file.as_deref())?;
        let authority = self.authority()?;
        let address = |url: &String| {
            Address::parse_with(url, authority.as_ref()).map_err(|error| Failure::usage(error.to_string()))
        };
        let bank = match self.network() {
            Network::Here(dir) => Bank::here(dir, &which.of_network(dir)?),
            Network::Elsewhere => {
                let nodes = self.url.iter().map(address).collect::<Result<_, _>>()?;
                Bank::at(Nodes::At(nodes)).named(which.bank.clone())
            }
        };
        let patience = self.patience(members::bank::PATIENCE);
        Ok(bank.of_cluster(self.cluster).with_token(token).with_authority(authority).with_patience(patience))
    }

    /// The operator's token, for calls over gRPC.
    pub(crate) fn secret(&self) -> Result<Option<Secret>, Failure> {
        let read = self.operator_token_file.as_deref().map(token::read).transpose()?;
        Ok(read.map(|read| Secret::new(read.token)))
    }

    /// How long to wait: what was said, or what suits the command.
    pub(crate) fn patience(&self, usual: Duration) -> Duration {
        self.timeout.map_or(usual, Duration::from_secs)
    }

    /// Whom to believe over https.
    fn authority(&self) -> Result<Option<Arc<rustls::ClientConfig>>, Failure> {
        let of_environment = || environment::path("RIALTO_CA").map(PathBuf::from);
        let Some(path) = self.ca.clone().or_else(of_environment) else { return Ok(None) };
        certs::web_client(&path)
            .map(Some)
            .map_err(|error| Failure::usage(error.to_string()).line("given by --ca, or RIALTO_CA"))
    }

    /// Whether `rialto up` runs the nodes.
    pub(crate) fn network(&self) -> Network<'_> {
        if self.url.is_empty() { Network::Here(&self.dir) } else { Network::Elsewhere }
    }

    pub(crate) fn targets(&self) -> Result<Vec<Target>, Failure> {
        follow_up::keep(self.options());
        let token = token::header(self.operator_token_file.as_deref())?;
        let authority = self.authority()?;
        let address =
            |url: &str| Address::parse_with(url, authority.as_ref()).map_err(|error| Failure::usage(error.to_string()));
        let pin = |cluster: Option<Cluster>| self.cluster.or(cluster).map_or_else(Pin::default, Pin::to);
        if !self.url.is_empty() {
            let target =
                |url: &String| Ok(Target { known: None, address: address(url)?, token: token.clone(), pin: pin(None) });
            return self.url.iter().map(target).collect();
        }
        let network = NetworkFile::load(&self.dir)
            .map_err(|failure| failure.line("nodes on other machines are named by their addresses: --url URL"))?;
        let layout = Layout::load(&self.dir).ok().flatten().unwrap_or_default();
        let cluster_of =
            |group: &str| layout.banks.iter().find(|bank| bank.name.as_str() == group).map(|it| it.cluster);
        let listed = network.nodes.iter().map(|entry| {
            let known = Known { group: entry.group.clone(), node: entry.node, state: entry.state };
            let pin = pin(cluster_of(&entry.group));
            Ok(Target { known: Some(known), address: address(&entry.http)?, token: token.clone(), pin })
        });
        listed.collect()
    }
}
