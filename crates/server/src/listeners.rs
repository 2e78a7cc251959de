//! The sockets on which a node listens: all addresses of the names that it was given.

use crate::config::{NodeConfig, NodeError};
use crate::serve::Doors;
use std::net::{SocketAddr, TcpListener};

/// Where the node listens: bound once, however often its files are opened.
pub(crate) struct Listeners {
    http: Vec<TcpListener>,
    grpc: Vec<TcpListener>,
    peers: Vec<TcpListener>,
}

/// Where a node listens for callers: every address of a name that this machine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListensAt {
    pub http: Vec<SocketAddr>,
    pub grpc: Vec<SocketAddr>,
}

impl Listeners {
    pub(crate) fn bind(config: &NodeConfig) -> Result<Self, NodeError> {
        let also = &config.also;
        let http = bind(config.http, &also.http, "HTTP")?;
        let grpc = bind(config.grpc, &also.grpc, "gRPC")?;
        Ok(Self { http, grpc, peers: bind(config.peer_listen, &also.peers, "its peers")? })
    }

    pub(crate) fn at(&self) -> Result<ListensAt, NodeError> {
        let at = |listeners: &[TcpListener]| {
            let found = listeners.iter().map(TcpListener::local_addr).collect::<std::io::Result<Vec<_>>>();
            found.map_err(NodeError::system("asking where it listens"))
        };
        Ok(ListensAt { http: at(&self.http)?, grpc: at(&self.grpc)? })
    }

    pub(crate) fn again(&self) -> Result<(Doors, Vec<TcpListener>), NodeError> {
        let again = |listeners: &[TcpListener]| {
            let cloned = listeners.iter().map(TcpListener::try_clone).collect::<std::io::Result<Vec<_>>>();
            cloned.map_err(NodeError::system("listening again"))
        };
        Ok(((again(&self.http)?, again(&self.grpc)?), again(&self.peers)?))
    }
}

/// Listens on all addresses of a name. One that this machine does not have (`localhost` is ::1 too, where there is no IPv6)
/// is passed over, unless none is left.
fn bind(first: SocketAddr, also: &[SocketAddr], purpose: &'static str) -> Result<Vec<TcpListener>, NodeError> {
    let mut bound = Vec::new();
    let mut passed_over = None;
    for address in std::iter::once(first).chain(also.iter().copied()) {
        match TcpListener::bind(address) {
            Ok(listener) => bound.push(listener),
            Err(source) if is_elsewhere(&source) => {
                passed_over.get_or_insert(NodeError::Listen { address, purpose, source });
            }
            Err(source) => return Err(NodeError::Listen { address, purpose, source }),
        }
    }
    match passed_over {
        Some(error) if bound.is_empty() => Err(error),
        Some(_) | None => Ok(bound),
    }
}

/// Whether no interface of this machine has the address, or even its family.
fn is_elsewhere(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn a_node_listens_on_every_address_of_a_name_that_this_machine_has() {
        let also = addresses(&["127.0.0.2:0", "192.0.2.1:0"]);
        let bound = bind("127.0.0.1:0".parse().expect("an address"), &also, "HTTP").expect("two are this machine's");
        let listeners = Listeners { http: bound, grpc: Vec::new(), peers: Vec::new() };
        let told = listeners.at().expect("they are bound").http;
        let ips: Vec<String> = told.iter().map(|address| address.ip().to_string()).collect();
        assert_eq!(ips, ["127.0.0.1", "127.0.0.2"], "nobody has an address of TEST-NET-1");
        let taken = vec![told[1]];
        let refused = bind("127.0.0.1:0".parse().expect("an address"), &taken, "HTTP");
        assert!(matches!(refused, Err(NodeError::Listen { address, .. }) if address == taken[0]), "it is in use");
        let nowhere = bind(also[1], &[], "HTTP");
        assert!(matches!(nowhere, Err(NodeError::Listen { address, .. }) if address == also[1]));
    }
}
