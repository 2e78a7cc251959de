//! The network that a client belongs to, and the check that a connection leads there.
//!
//! Addresses say nothing about who answers: another network may have started at the same ports. So the gateway is asked
//! which network it is on every new connection, before a password, a token or a payment leaves on it. Over TLS the answer
//! is as good as the CA that stands behind the certificate; in plain text it guards against mistakes, not against somebody
//! who means harm.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tonic::Status;

use super::error::GatewayError;
use crate::client::road::Road;
use crate::grpc::id_bits;
use crate::network::NetworkId;
use crate::proto;
use crate::proto::gateway_client::GatewayClient;

/// Which network is meant: the one that was given, or the first that answered. A clone is another handle of the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Pin(Arc<OnceLock<NetworkId>>);

impl Pin {
    pub(super) fn to(network: NetworkId) -> Pin {
        Pin(Arc::new(OnceLock::from(network)))
    }

    pub(super) fn network(&self) -> Option<NetworkId> {
        self.0.get().copied()
    }

    /// The network that is meant, which is this one where none was given.
    pub(super) fn meet(&self, found: NetworkId) -> NetworkId {
        *self.0.get_or_init(|| found)
    }
}

/// A node of the gateway, and on which of its connections it was asked for its network.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) calls: GatewayClient<Road>,
    road: Road,
    answered: Arc<Mutex<Option<Answered>>>,
}

/// Which network answered on a connection.
#[derive(Debug, Clone, Copy)]
struct Answered {
    /// The number of the connection, from 1.
    dial: u64,
    network: NetworkId,
}

/// Why nothing may be sent to a node.
#[derive(Debug)]
pub(super) enum Unchecked {
    /// It did not answer, and may answer later.
    NoAnswer(Status),
    Wrong(GatewayError),
}

impl Node {
    pub(super) fn new(road: Road) -> Node {
        Node { calls: GatewayClient::new(road.clone()), road, answered: Arc::default() }
    }

    /// Makes sure that the connection leads to the network that is meant.
    pub(super) async fn check(&self, pin: &Pin) -> Result<(), Unchecked> {
        let found = loop {
            let before = self.road.dials();
            if let Some(network) = self.known(before) {
                break network;
            }
            let answer = self.calls.clone().network(proto::NetworkRequest {}).await.map_err(Unchecked::NoAnswer)?;
            let network = answer.get_ref().id.as_ref().and_then(|id| NetworkId::new(id_bits(id)));
            let network = network.ok_or(Unchecked::Wrong(GatewayError::Nonsense { what: "no network of its own" }))?;
            // Where it was connected anew meanwhile, which connection answered is not known: it is asked again.
            let dial = self.road.dials();
            if dial == before || (before == 0 && dial == 1) {
                *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Answered { dial, network });
            }
        };
        let meant = pin.meet(found);
        if found == meant {
            return Ok(());
        }
        let node = self.road.node().to_owned();
        Err(Unchecked::Wrong(GatewayError::OtherNetwork { node, meant, found }))
    }

    /// The network that answered on this connection.
    fn known(&self, dial: u64) -> Option<NetworkId> {
        let answered = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.filter(|answered| answered.dial == dial).map(|answered| answered.network)
    }
}
