//! Which ports a bank uses.
//!
//! A bank has a block of 100, with room for nine nodes at a time:
//!
//! ```text
//! base        HTTP of the balancer      base + 1 … 9         HTTP of the node at that place
//! base + 10   gRPC of the balancer      base + 10 + 1 … 9    gRPC of the node at that place
//!                                       base + 20 + 1 … 9    Paxos, node to node
//! ```
//!
//! Founders sit at the place of their number. Numbers are never used twice but places are: who joins later takes the lowest free one.
//!
//! A port is taken when nobody can listen on it; the test is to listen and let go, so a program that comes in between
//! is noticed only when the node starts, which then says so itself.

use super::layout::Seat;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;

/// First base port, and the distance between the blocks of two banks.
pub(crate) const BASE_DEFAULT: u16 = 7100;
pub(crate) const BLOCK: u16 = 100;
/// Highest base whose whole block exists.
const BASE_MAX: u16 = u16::MAX - BLOCK + 1;

/// Nodes of one bank at a time: seven, and one that comes while another goes.
pub(crate) const PLACES: u16 = 9;

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

/// That nobody can listen on a port. An ended connection may hold it for a minute, and no program is to be found then.
pub(crate) fn in_use(port: u16) -> String {
    format!("port {port} is in use: by another program, or by a connection that has just ended")
}

/// Ports that the system gives to connections: one of them may be in use at any time, for as long as a connection takes.
pub(crate) fn of_connections() -> Option<RangeInclusive<u16>> {
    read_range(&std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?)
}

fn read_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut ends = text.split_whitespace().map(str::parse);
    match (ends.next(), ends.next(), ends.next()) {
        (Some(Ok(first)), Some(Ok(last)), None) => Some(first..=last),
        _ => None,
    }
}

impl Ports {
    /// `None` when the block would reach beyond the last port, or into those that only root may use.
    pub(crate) fn at(base: u16) -> Option<Ports> {
        (1024..=BASE_MAX).contains(&base).then_some(Ports { base })
    }

    pub(crate) fn base(self) -> u16 {
        self.base
    }

    /// Whether one of its ports is among these.
    pub(crate) fn meets(self, others: &RangeInclusive<u16>) -> bool {
        self.base <= *others.end() && *others.start() < self.base.saturating_add(BLOCK)
    }

    pub(crate) fn balancer_http(self) -> SocketAddr {
        loopback(self.base)
    }

    pub(crate) fn balancer_grpc(self) -> SocketAddr {
        loopback(self.base + 10)
    }

    pub(crate) fn http(self, place: u16) -> SocketAddr {
        loopback(self.base + place)
    }

    pub(crate) fn grpc(self, place: u16) -> SocketAddr {
        loopback(self.base + 10 + place)
    }

    pub(crate) fn peer(self, place: u16) -> SocketAddr {
        loopback(self.base + 20 + place)
    }

    /// The first port of the block, for these nodes, on which nobody else can listen.
    pub(crate) fn first_taken(self, seats: &[Seat]) -> Option<Taken> {
        let balancer = [self.balancer_http(), self.balancer_grpc()].map(|address| (address, Use::Balancer));
        let nodes = seats.iter().flat_map(|seat| self.of(seat.place).map(|address| (address, Use::Node(seat.node))));
        balancer
            .into_iter()
            .chain(nodes)
            .find(|(address, _)| TcpListener::bind(address).is_err())
            .map(|(address, wanted_by)| Taken { port: address.port(), wanted_by })
    }

    /// The first wholly free block from `from` on that none of `spoken_for` uses.
    pub(crate) fn free_from(from: u16, seats: &[Seat], spoken_for: &[Ports]) -> Option<Ports> {
        (from..=BASE_MAX)
            .step_by(usize::from(BLOCK))
            .filter_map(Ports::at)
            .find(|ports| !spoken_for.iter().any(|other| ports.overlaps(*other)) && ports.first_taken(seats).is_none())
    }

    /// The ports of one place: HTTP, gRPC, Paxos.
    pub(crate) fn of(self, place: u16) -> [SocketAddr; 3] {
        [self.http(place), self.grpc(place), self.peer(place)]
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
    use crate::network::layout::founders;

    #[test]
    fn nine_nodes_fit_into_a_block_without_meeting() {
        let ports = Ports::at(7100).expect("an ordinary base");
        let mut all: Vec<u16> = (1..=PLACES).flat_map(|place| ports.of(place)).map(|a| a.port()).collect();
        all.extend([ports.balancer_http().port(), ports.balancer_grpc().port()]);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 29);
        assert!(all.iter().all(|p| (7100..7200).contains(p)));
    }

    #[test]
    fn a_block_with_one_taken_port_is_passed_over() {
        let free = Ports::free_from(21_100, &founders(3), &[]).expect("some block is free");
        let squatter = TcpListener::bind(free.peer(2)).expect("it was free a moment ago");
        assert_eq!(free.first_taken(&founders(3)), Some(Taken { port: free.peer(2).port(), wanted_by: Use::Node(2) }));
        let next = Ports::free_from(free.base(), &founders(3), &[]).expect("another block is free");
        assert!(next.base() >= free.base() + BLOCK);
        drop(squatter);
    }

    #[test]
    fn a_block_meets_the_ports_of_connections_where_one_of_its_own_is_among_them() {
        let range = read_range("32768\t60999\n").expect("as Linux writes it");
        let meets = |base| Ports::at(base).expect("an ordinary base").meets(&range);
        assert_eq!(
            [32_600, 32_668, 32_669, 47_000, 60_999, 61_000].map(meets),
            [false, false, true, true, true, false]
        );
        for other in ["", "32768", "32768 x", "1 2 3", "1 70000"] {
            assert_eq!(read_range(other), None, "{other}");
        }
    }

    #[test]
    fn a_base_without_a_whole_block_is_refused() {
        assert_eq!(Ports::at(65_500), None);
        assert_eq!(Ports::at(80), None);
    }
}
