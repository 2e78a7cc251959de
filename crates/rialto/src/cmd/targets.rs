//! Which nodes a command asks: those of a directory's network, or those that are named.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use hyper::header::HeaderValue;

use crate::failure::Failure;
use crate::http::{Address, Client};
use crate::members::bank::{Bank, Nodes};
use crate::network::name::BankName;
use crate::network::network_file::{NetworkFile, State};
use crate::token;

#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// Directory of a network that `rialto up` runs
    #[arg(long, global = true, value_name = "DIR", default_value = "./rialto-data", conflicts_with = "url")]
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
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) group: String,
    pub(crate) node: u16,
    pub(crate) state: State,
}

impl Target {
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address.clone()).with_token(self.token.clone())
    }
}

impl TargetArgs {
    /// One bank: of the directory's network, or the one whose nodes are named.
    pub(crate) fn bank(&self, name: &BankName) -> Result<Bank, Failure> {
        let token = token::header(self.operator_token_file.as_deref())?;
        let authority = self.authority()?;
        let address = |url: &String| {
            Address::parse_with(url, authority.as_ref()).map_err(|error| Failure::usage(error.to_string()))
        };
        let nodes = match self.network() {
            Network::Here(dir) => Nodes::Of { dir: dir.to_owned(), bank: name.to_string() },
            Network::Elsewhere => Nodes::At(self.url.iter().map(address).collect::<Result<_, _>>()?),
        };
        Ok(Bank { nodes, token })
    }

    /// Whom to believe over https.
    fn authority(&self) -> Result<Option<Arc<rustls::ClientConfig>>, Failure> {
        let of_environment = || std::env::var_os("RIALTO_CA").filter(|text| !text.is_empty()).map(PathBuf::from);
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
        let token = token::header(self.operator_token_file.as_deref())?;
        let authority = self.authority()?;
        let address =
            |url: &str| Address::parse_with(url, authority.as_ref()).map_err(|error| Failure::usage(error.to_string()));
        if !self.url.is_empty() {
            let named =
                self.url.iter().map(|url| Ok(Target { known: None, address: address(url)?, token: token.clone() }));
            return named.collect();
        }
        let network = NetworkFile::load(&self.dir)?;
        let listed = network.nodes.iter().map(|entry| {
            let known = Known { group: entry.group.clone(), node: entry.node, state: entry.state };
            Ok(Target { known: Some(known), address: address(&entry.http)?, token: token.clone() })
        });
        listed.collect()
    }
}
