//! Two banks and the gateway between them, as real processes, and what a customer or an operator does there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::client::Secret;
use api::client::gateway::{Customer, GatewayClient, GatewayError, GatewayOptions, SignedIn, Standing, new_payment_id};
use api::code::Code;
use certs::{Expected, Files, Protocol};
use clearing::{PaymentId, Terms};
use ledger::{Amount, Currency, Reference};
use tokio::runtime::Runtime;

use crate::http::BUSY;
use crate::network::{Network, TestDir, free_bases, network_json, run, signal, stderr, stdout, until};

pub(crate) const OPENING: i128 = 1000_00;

pub(crate) struct Town {
    pub(crate) network: Network,
    pub(crate) runtime: Runtime,
    pub(crate) gateway: GatewayClient,
    dir: TestDir,
}

impl Town {
    pub(crate) fn new(name: &str) -> Town {
        Town::logging(name, "info")
    }

    /// With nodes that log so much.
    pub(crate) fn logging(name: &str, level: &str) -> Town {
        Town::whose(name, |_| vec![("RIALTO_LOG_LEVEL", level.to_owned())])
    }

    /// In an environment with these variables, which may name files in the town's directory.
    pub(crate) fn whose(name: &str, variables: impl FnOnce(&Path) -> Vec<(&'static str, String)>) -> Town {
        let dir = TestDir::new(name);
        let variables = variables(dir.path());
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let network = Network::run_where(dir.path(), &["--base-port", &free_bases(4).to_string()], &variables);
        for bank in ["alpha", "beta"] {
            network.event(&[&format!("bank {bank} has customers")]);
        }
        let runtime = Runtime::new().expect("threads are to be had");
        let gateway = runtime.block_on(async { connect(&network) });
        Town { network, runtime, gateway, dir }
    }

    /// The network alone, and the directory that has to stay as long as it is looked at.
    pub(crate) fn into_network(self) -> (Network, TestDir) {
        (self.network, self.dir)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn sign_in(&self, who: &str) -> Customer {
        let name = who.split('@').next().expect("a name");
        let signed_in = self.login(&self.gateway, who, &format!("{name}-demo")).expect("the demo's password");
        self.gateway.customer(&signed_in.token).expect("a token")
    }

    /// What somebody is told who signs in there: again while the bank is too busy to answer.
    pub(crate) fn login(&self, gateway: &GatewayClient, who: &str, password: &str) -> Result<SignedIn, GatewayError> {
        let (party, password) = (who.parse().expect("well formed"), Secret::new(password.to_owned()));
        until("its bank answers", || match self.runtime.block_on(gateway.login(&party, &password)) {
            Err(GatewayError::Refused { code: Code::BankUnavailable, .. }) => None,
            told => Some(told),
        })
    }

    /// With votes that may take as long as a busy machine needs.
    pub(crate) fn patient(name: &str) -> Town {
        let town = Town::new(name);
        let (done, told) = operate(&town, &["settings", "timeout-2pc-ms", "60000"]);
        assert!(done, "{told}");
        town
    }

    /// After everything that is decided has been delivered.
    pub(crate) fn balance(&self, customer: &Customer) -> i128 {
        until("the bank has all that is decided", || {
            let balance = self.runtime.block_on(customer.balance()).ok()?;
            (balance.undelivered == 0).then_some(balance.balance)
        })
    }

    /// What is decided about a payment: asked again while its banks are too busy to be given one.
    pub(crate) fn pay(&self, customer: &Customer, terms: &Terms) -> Standing {
        until("it is decided", || {
            let answer = self.runtime.block_on(customer.pay(terms)).expect("the gateway answers");
            match &answer.standing {
                Standing::Undecided { .. } => None,
                Standing::NotTaken { code, .. } if BUSY.contains(&code.as_str()) => None,
                _ => Some(answer.standing),
            }
        })
    }

    /// A payment that has to go through: one that became void on a busy machine is ordered again.
    pub(crate) fn pays(&self, customer: &Customer, payer: &str, payee: &str, minor: u128) {
        let mut terms = order(new_payment_id(), payer, payee, minor);
        until("it is paid", || match self.pay(customer, &terms) {
            Standing::Paid { .. } => Some(()),
            Standing::Refused { code, .. } if code == "bank_timed_out" => {
                terms = order(new_payment_id(), payer, payee, minor);
                None
            }
            refused => panic!("{payer} pays {payee}: {refused:?}"),
        });
    }

    pub(crate) fn pid(&self, group: &str, node: u64) -> Option<u32> {
        u32::try_from(self.network.node_of(group, node)["pid"].as_u64()?).ok()
    }

    /// SIGKILL to the node of a group that leads now.
    pub(crate) fn kill_leader(&self, group: &str) {
        let pid = until("a leader that runs", || {
            let leads = |node: &u64| {
                let url = self.network.node_of(group, *node)["http"].as_str()?.to_owned();
                let (_, body) = crate::http::call("GET", &format!("{url}/v1/status"), None).ok()?;
                let status: serde_json::Value = serde_json::from_str(&body).ok()?;
                (status["role"] == "leader").then_some(())
            };
            (1..=3).find(|node| leads(node).is_some()).and_then(|node| self.pid(group, node))
        });
        signal("KILL", pid);
    }
}

pub(crate) fn connect(network: &Network) -> GatewayClient {
    let file = network_json(network.dir().as_ref());
    let nodes = file["nodes"].as_array().expect("a list of nodes");
    let addresses = nodes.iter().filter(|node| node["kind"] == "gateway").filter_map(|node| node["grpc"].as_str());
    gateway_at(network, addresses)
        .with_options(GatewayOptions { deadline: Duration::from_secs(60), ..GatewayOptions::default() })
}

/// The gateway's nodes at these addresses, as a client with a client's certificate sees them.
pub(crate) fn gateway_at<'a>(network: &Network, addresses: impl Iterator<Item = &'a str>) -> GatewayClient {
    let tls = caller(network, "client", Expected::NodeOfAnyGateway);
    GatewayClient::connect_with(addresses, Some(tls)).expect("addresses")
}

pub(crate) fn caller(network: &Network, subject: &str, expected: Expected) -> Arc<certs::Client> {
    let file = network_json(network.dir().as_ref());
    let files = Files::new(file["tls"].as_str().expect("a directory"), subject.parse().expect("a subject"));
    Arc::new(certs::Client::new(files, expected, Protocol::Grpc).expect("up has made it"))
}

pub(crate) fn order(id: PaymentId, payer: &str, payee: &str, minor: u128) -> Terms {
    Terms {
        id,
        payer: payer.parse().expect("well formed"),
        payee: payee.parse().expect("well formed"),
        amount: Amount::new(minor).expect("not zero"),
        currency: Currency::EUR,
        reference: Reference::EMPTY,
    }
}

pub(crate) fn paid(standing: &Standing) -> bool {
    matches!(standing, Standing::Paid { .. })
}

pub(crate) fn refused_for(standing: &Standing) -> &str {
    match standing {
        Standing::Refused { code, .. } | Standing::NotTaken { code, .. } => code,
        Standing::Paid { .. } | Standing::Undecided { .. } => panic!("it was not refused: {standing:?}"),
    }
}

/// A command of the operator's, on the network's own directory.
pub(crate) fn operate(town: &Town, arguments: &[&str]) -> (bool, String) {
    let done = run(&[arguments, &["--dir", town.network.dir()]].concat());
    // That it waits is told from the second second on.
    let told = stderr(&done);
    let told: String = told.split_inclusive('\n').filter(|line| !line.starts_with("waiting for ")).collect();
    (done.status.success(), stdout(&done) + &told)
}
