//! The network that a client belongs to, and the check that a connection leads there.
//!
//! Addresses say nothing about who answers: another network may have started at the same ports. So the gateway is asked
//! which network it is on every new connection, before a password, a token or a payment leaves on it. Over TLS the answer
//! is as good as the CA that stands behind the certificate; in plain text it guards against mistakes, not against somebody
//! who means harm.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tonic::Status;

use super::error::GatewayError;
use crate::client::connect::Singly;
use crate::client::once::Life;
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

/// Where a node of the gateway is, and the connection to it that there is now.
#[derive(Debug)]
pub(super) struct Place {
    singly: Singly,
    node: Mutex<Node>,
}

/// A node of the gateway on one connection, which is never made again: what is sent on it comes to whoever answered on it, or
/// to nobody. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) calls: GatewayClient<Road>,
    road: Road,
    life: Life,
    /// The network that answered on this connection.
    answered: Arc<OnceLock<NetworkId>>,
}

/// Why nothing may be sent to a node.
#[derive(Debug)]
pub(super) enum Unchecked {
    /// It did not answer, and may answer later.
    NoAnswer(Status),
    Wrong(GatewayError),
}

impl Node {
    fn new(singly: &Singly) -> Node {
        let (road, life) = singly.once();
        Node { calls: GatewayClient::new(road.clone()), road, life, answered: Arc::default() }
    }

    /// Which network it is, asked once on a connection.
    async fn network(&self) -> Result<NetworkId, Unchecked> {
        if let Some(network) = self.answered.get() {
            return Ok(*network);
        }
        let answer = self.calls.clone().network(proto::NetworkRequest {}).await.map_err(Unchecked::NoAnswer)?;
        let network = answer.get_ref().id.as_ref().and_then(|id| NetworkId::new(id_bits(id)));
        let network = network.ok_or(Unchecked::Wrong(GatewayError::Nonsense { what: "no network of its own" }))?;
        Ok(*self.answered.get_or_init(|| network))
    }
}

impl Place {
    pub(super) fn new(singly: Singly) -> Place {
        let node = Mutex::new(Node::new(&singly));
        Place { singly, node }
    }

    /// The node that is there, on a connection that leads to the network that is meant.
    pub(super) async fn check(&self, pin: &Pin) -> Result<Node, Unchecked> {
        let node = self.node();
        let found = node.network().await?;
        let meant = pin.meet(found);
        if found == meant {
            return Ok(node);
        }
        // Nothing will be sent on it that would show when it has closed, and who is meant may come back to the address.
        node.life.end();
        let node = node.road.node().to_owned();
        Err(Unchecked::Wrong(GatewayError::OtherNetwork { node, meant, found }))
    }

    /// The node on the connection that there is, or on a new one where that has ended. Nothing is known of a new one.
    fn node(&self) -> Node {
        let mut node = self.node.lock().unwrap_or_else(PoisonError::into_inner);
        if node.life.is_over() {
            *node = Node::new(&self.singly);
        }
        node.clone()
    }
}
