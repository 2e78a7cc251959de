//! Which ports a bank uses.
//!
//! A bank has a block of 100, of which it takes, for `n` nodes:
//!
//! ```text
//! base        HTTP of the balancer      base + 1 … n         HTTP of the nodes
//! base + 10   gRPC of the balancer      base + 10 + 1 … n    gRPC of the nodes
//!                                       base + 20 + 1 … n    Paxos, node to node
//! ```
//!
//! A port is taken when nobody can listen on it; the test is to listen and let go, so a program that comes in between
//! is noticed only when the node starts, which then says so itself.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// First base port, and the distance between the blocks of two banks.
pub(crate) const BASE_DEFAULT: u16 = 7100;
pub(crate) const BLOCK: u16 = 100;
/// Highest base whose whole block exists.
const BASE_MAX: u16 = u16::MAX - BLOCK + 1;

/// The block of one bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    base: u16,
}

/// What a port is for, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Balancer,
    Node(u16),
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Use::Balancer => write!(f, "the balancer"),
            Use::Node(node) => write!(f, "node {node}"),
        }
    }
}

/// A port of the block that somebody else listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) port: u16,
    pub(crate) wanted_by: Use,
}

impl Ports {
    /// `None` when the block would reach beyond the last port, or into those that only root may use.
    pub(crate) fn at(base: u16) -> Option<Ports> {
        (1024..=BASE_MAX).contains(&base).then_some(Ports { base })
    }

    pub(crate) fn base(self) -> u16 {
        self.base
    }

    pub(crate) fn balancer_http(self) -> SocketAddr {
        loopback(self.base)
    }

    pub(crate) fn balancer_grpc(self) -> SocketAddr {
        loopback(self.base + 10)
    }

    pub(crate) fn http(self, node: u16) -> SocketAddr {
        loopback(self.base + node)
    }

    pub(crate) fn grpc(self, node: u16) -> SocketAddr {
        loopback(self.base + 10 + node)
    }

    pub(crate) fn peer(self, node: u16) -> SocketAddr {
        loopback(self.base + 20 + node)
    }

    /// The first port of the block, for that many nodes, on which nobody else can listen.
    pub(crate) fn first_taken(self, nodes: u16) -> Option<Taken> {
        let balancer = [self.balancer_http(), self.balancer_grpc()].map(|address| (address, Use::Balancer));
        let nodes =
            (1..=nodes).flat_map(|n| [self.http(n), self.grpc(n), self.peer(n)].map(|address| (address, Use::Node(n))));
        balancer
            .into_iter()
            .chain(nodes)
            .find(|(address, _)| TcpListener::bind(address).is_err())
            .map(|(address, wanted_by)| Taken { port: address.port(), wanted_by })
    }

    /// The first wholly free block from `from` on that none of `spoken_for` uses.
    pub(crate) fn free_from(from: u16, nodes: u16, spoken_for: &[Ports]) -> Option<Ports> {
        (from..=BASE_MAX)
            .step_by(usize::from(BLOCK))
            .filter_map(Ports::at)
            .find(|ports| !spoken_for.iter().any(|other| ports.overlaps(*other)) && ports.first_taken(nodes).is_none())
    }

    pub(crate) fn overlaps(self, other: Ports) -> bool {
        self.base.abs_diff(other.base) < BLOCK
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_nodes_fit_into_a_block_without_meeting() {
        let ports = Ports::at(7100).expect("an ordinary base");
        let mut all: Vec<u16> =
            (1..=7).flat_map(|n| [ports.http(n), ports.grpc(n), ports.peer(n)]).map(|a| a.port()).collect();
        all.extend([ports.balancer_http().port(), ports.balancer_grpc().port()]);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 23);
        assert!(all.iter().all(|p| (7100..7200).contains(p)));
    }

    #[test]
    fn a_block_with_one_taken_port_is_passed_over() {
        let free = Ports::free_from(21_100, 3, &[]).expect("some block is free");
        let squatter = TcpListener::bind(free.peer(2)).expect("it was free a moment ago");
        assert_eq!(free.first_taken(3), Some(Taken { port: free.peer(2).port(), wanted_by: Use::Node(2) }));
        let next = Ports::free_from(free.base(), 3, &[]).expect("another block is free");
        assert!(next.base() >= free.base() + BLOCK);
        drop(squatter);
    }

    #[test]
    fn a_base_without_a_whole_block_is_refused() {
        assert_eq!(Ports::at(65_500), None);
        assert_eq!(Ports::at(80), None);
    }
}
