//! Who pays: customers of the benchmark's own at every bank, and the callers that sign in as them.

use super::Shape;
use crate::cmd::bench::report::Screen;
use crate::cmd::tls::TlsArgs;
use crate::failure::Failure;
use crate::follow_up::dir_flag;
use crate::http::{Address, Client};
use crate::members::bank::Bank;
use crate::network::layout::Layout;
use crate::network::name::{BadBankName, GATEWAY_NAME};
use crate::network::network_file::{NetworkFile, NodeEntry};
use api::client::gateway::{Customer, GatewayClient, GatewayOptions};
use api::client::{Options, Secret};
use api::cluster::ClusterPin;
use api::network::NetworkId;
use api::status::NodeStatus;
use certs::{Expected, Files, Protocol, Subject};
use clearing::NamedParty;
use ledger::{AccountId, CustomerName};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Customers of the benchmark at each bank, at least: payees that are not all hot.
const CUSTOMERS_MIN: usize = 64;
const PASSWORD: &str = "a password of the benchmark";
/// More than a load can spend.
const OPENING_BALANCE: &str = "1000000000.00";
/// Customers that are made, or sign in, at once: a password is checked by a bank at some cost.
const AT_ONCE: usize = 4;
/// How long a payment is repeated under its id before its outcome counts as unknown.
const DEADLINE: Duration = Duration::from_secs(30);

/// The network as the benchmark uses it.
#[derive(Debug)]
pub(super) struct Town {
    pub(super) banks: Vec<String>,
    /// Bank after bank, as many of each.
    pub(super) parties: Vec<NamedParty>,
    /// A caller's customer, by number, and their way to the gateway.
    pub(super) callers: Vec<(usize, Customer)>,
    readers: Vec<api::client::Client>,
    pub(super) nodes: usize,
}

impl Town {
    /// Makes the customers that are not there yet, and signs the callers in.
    pub(super) async fn settle(
        dir: &Path,
        network: &NetworkFile,
        shape: &Shape,
        tls: &TlsArgs,
        screen: &Screen,
    ) -> Result<Town, Failure> {
        let nodes = in_order(network).await;
        if nodes.is_empty() {
            return Err(Failure::new(format!("the network in {} has no gateway", dir.display()))
                .line(format!("payments go through one; start it: rialto up{}", dir_flag(dir))));
        }
        let banks: Vec<String> = network.banks.keys().cloned().collect();
        let each = shape.callers.div_ceil(banks.len()).max(CUSTOMERS_MIN);
        let names: Vec<CustomerName> =
            (1..=each).map(|number| CustomerName::new(&format!("bench-{number}")).expect("a plain word")).collect();
        make(dir, &banks, &names, screen).await?;
        let party = |bank: &String, name: &CustomerName| format!("{name}@{bank}").parse().expect("both are names");
        let parties: Vec<NamedParty> =
            banks.iter().flat_map(|bank| names.iter().map(move |name| party(bank, name))).collect();
        let readers = banks.iter().map(|bank| reader(dir, network, bank, tls)).collect::<Result<_, _>>()?;
        let callers = sign_in(dir, (network, &nodes), (&parties, banks.len()), shape.callers, screen).await?;
        Ok(Town { banks, parties, callers, readers, nodes: network.nodes.len() })
    }

    /// Customers of each bank.
    pub(super) fn each(&self) -> usize {
        self.parties.len() / self.banks.len()
    }

    /// What each customer has, by number, linearizable.
    pub(super) async fn balances(&self) -> Result<Vec<i128>, Failure> {
        let mut balances = Vec::new();
        for (number, party) in self.parties.iter().enumerate() {
            let bank = &self.readers[number / self.each()];
            let clearing::Holder::Customer(name) = party.holder else { continue };
            let balance = bank.balance(AccountId::of_customer(&name)).await;
            balances.push(balance.map_err(|error| Failure::new(format!("reading the balance of {party}: {error}")))?);
        }
        Ok(balances)
    }
}

/// The gateway's nodes, who leads first: others would pass on what they are asked.
async fn in_order(network: &NetworkFile) -> Vec<&NodeEntry> {
    let mut nodes: Vec<&NodeEntry> = network.nodes.iter().filter(|node| node.group == GATEWAY_NAME).collect();
    let mut leader = None;
    for node in &nodes {
        let Ok(address) = Address::parse(&node.http) else { continue };
        let Ok(answer) = Client::new(address).get("/v1/status", Duration::from_secs(1)).await else { continue };
        let status = serde_json::from_slice::<NodeStatus>(&answer.body).ok();
        leader = leader.or(status.and_then(|status| status.leader));
    }
    nodes.sort_by_key(|node| leader != Some(node.node));
    nodes
}

async fn make(dir: &Path, banks: &[String], names: &[CustomerName], screen: &Screen) -> Result<(), Failure> {
    let (mut making, all) = (JoinSet::new(), banks.len() * names.len());
    let mut made = 0;
    for bank in banks {
        let bank = bank.parse().map_err(|error: BadBankName| Failure::new(error.to_string()))?;
        let at = Bank::here(dir, &bank);
        for name in names {
            let at = at.clone();
            let body = json!({ "username": name.as_str(), "password": PASSWORD, "opening_balance": OPENING_BALANCE });
            making.spawn(async move { at.post("/v1/customers", &body).await.map(drop) });
            if making.len() >= AT_ONCE {
                finished(making.join_next().await)?;
                made += 1;
                screen.progress("making customers", made, all);
            }
        }
    }
    while let Some(done) = making.join_next().await {
        finished(Some(done))?;
    }
    Ok(())
}

fn reader(dir: &Path, network: &NetworkFile, bank: &str, tls: &TlsArgs) -> Result<api::client::Client, Failure> {
    let nodes = network.nodes.iter().filter(|node| node.group == bank).map(|node| &node.grpc);
    let cluster = Layout::cluster_in(dir, bank).map(|cluster| ClusterPin::to(cluster.number()));
    let options = Options { tls: tls.of_bank(bank, Some(dir))?, cluster, ..Options::default() };
    api::client::Client::connect_with(nodes, options).map_err(|error| Failure::new(format!("connecting: {error}")))
}

/// Every caller is a customer of their own, at each bank in turn, with a connection and a token of their own.
async fn sign_in(
    dir: &Path,
    (network, nodes): (&NetworkFile, &[&NodeEntry]),
    (parties, banks): (&[NamedParty], usize),
    callers: usize,
    screen: &Screen,
) -> Result<Vec<(usize, Customer)>, Failure> {
    let tls = network.tls.as_ref().map(|tls| {
        certs::Client::new(Files::new(tls, Subject::Client), Expected::NodeOfAnyGateway, Protocol::Grpc).map(Arc::new)
    });
    let tls = tls.transpose().map_err(|error| Failure::new(error.to_string()))?;
    let meant = Layout::cluster_in(dir, GATEWAY_NAME).and_then(|cluster| NetworkId::new(cluster.number()));
    let each = parties.len() / banks;
    let mut signing = JoinSet::new();
    let mut signed_in = Vec::new();
    for caller in 0..callers {
        let number = caller % banks * each + caller / banks;
        let party = parties[number];
        let gateway = GatewayClient::connect_with(nodes.iter().map(|node| &node.grpc), tls.clone());
        let options = GatewayOptions { deadline: DEADLINE, ..GatewayOptions::default() };
        let gateway = gateway.map_err(|error| Failure::new(error.to_string()))?.with_options(options);
        let gateway = meant.map_or(gateway.clone(), |network| gateway.pinned_to(network));
        signing.spawn(async move {
            let failed = |error| Failure::new(format!("signing in as {party}: {error}"));
            let signed_in = gateway.login(&party, &Secret::new(PASSWORD.to_owned())).await.map_err(failed)?;
            Ok((number, gateway.customer(&signed_in.token).map_err(failed)?))
        });
        if signing.len() >= AT_ONCE {
            signed_in.push(finished(signing.join_next().await)?);
            screen.progress("signing in", signed_in.len(), callers);
        }
    }
    while let Some(done) = signing.join_next().await {
        signed_in.push(finished(Some(done))?);
    }
    Ok(signed_in.into_iter().flatten().collect())
}

fn finished<T>(done: Option<Result<Result<T, Failure>, tokio::task::JoinError>>) -> Result<Option<T>, Failure> {
    match done {
        Some(Ok(done)) => done.map(Some),
        Some(Err(error)) => Err(Failure::new(format!("a task ended by itself: {error}"))),
        None => Ok(None),
    }
}
