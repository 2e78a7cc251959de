//! Where callers are at home: all at the bank as a whole, or spread over its nodes.

use super::tally::{Pulse, Tally};
use crate::failure::Failure;
use api::client::{Client, Options, Prefer};
use api::cluster::ClusterPin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a call is repeated before its outcome counts as unknown.
const DEADLINE: Duration = Duration::from_secs(30);

/// A node of the bank, as far as it is known which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeAddress {
    pub(crate) node: Option<u16>,
    pub(crate) grpc: String,
}

/// Callers that send to the same node, or wherever the SDK finds it quickest.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    pub(crate) node: Option<u16>,
    pub(crate) client: Client,
    pub(crate) pulse: Arc<Pulse>,
    tally: Arc<Mutex<Tally>>,
}

impl Home {
    fn new(node: Option<u16>, client: Client) -> Home {
        Home { node, client, pulse: Arc::new(Pulse::new()), tally: Arc::new(Mutex::new(Tally::new())) }
    }

    /// Nothing was measured yet; the connections are the same.
    pub(crate) fn afresh(&self) -> Home {
        Home::new(self.node, self.client.clone())
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn count(&self, how: impl FnOnce(&mut Tally)) {
        how(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// How all callers reach the bank.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) tls: Option<Arc<certs::Client>>,
    /// The cluster that the benchmark began with: it opens accounts and moves money in no other.
    pub(crate) cluster: ClusterPin,
}

impl Way {
    fn options(&self, prefer: Prefer) -> Options {
        let (tls, cluster) = (self.tls.clone(), Some(self.cluster.clone()));
        Options { deadline: DEADLINE, prefer, tls, cluster, ..Options::default() }
    }
}

/// Everybody at the bank: the SDK follows whoever leads.
pub(crate) fn together(nodes: &[NodeAddress], way: &Way) -> Result<Vec<Home>, Failure> {
    let addresses = nodes.iter().map(|node| &node.grpc);
    let options = way.options(Prefer::Leader);
    Ok(vec![Home::new(None, connect(addresses, options)?)])
}

/// An equal part at each node. Who finds their node gone turns to the next one, and comes back when it serves again.
pub(crate) fn spread(nodes: &[NodeAddress], way: &Way) -> Result<Vec<Home>, Failure> {
    let home = |first: usize| {
        let addresses = (0..nodes.len()).map(|step| &nodes[(first + step) % nodes.len()].grpc);
        Ok(Home::new(nodes[first].node, connect(addresses, way.options(Prefer::First))?))
    };
    (0..nodes.len()).map(home).collect()
}

fn connect<'a>(addresses: impl Iterator<Item = &'a String>, options: Options) -> Result<Client, Failure> {
    Client::connect_with(addresses, options).map_err(|error| Failure::new(format!("connecting: {error}")))
}
