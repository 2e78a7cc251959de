//! The network between the nodes of one group: cables that can be cut one way or both, and connections over them.
//!
//! ```text
//!   node a ──connection (generation g)── node b      like TCP: in order within one generation, nothing repaired after it
//!          ══cable a→b══►  ◄══cable b→a══            cut: what is sent into it is gone, and nobody is told at once
//! ```
//!
//! Worse than TCP on purpose: single messages may be lost or come twice within a connection, and what was under way when a
//! connection broke may arrive after the next one is up, which is how messages overtake each other. What was sent to
//! a process that has ended never reaches the next one.
//!
//! Nodes are numbered from 0 here; this module does not know what a message is.

use crate::random::Random;

/// How good the network is in this run.
#[derive(Debug, Clone)]
pub struct Weather {
    pub delay_us: u64,
    pub delay_us_max: u64,
    pub loss_per_mille: u64,
    pub duplicates_per_mille: u64,
}

#[derive(Debug)]
pub struct Network {
    nodes: usize,
    weather: Weather,
    random: Random,
    /// How many cuts lie on the cable from·nodes + to.
    cuts: Vec<u8>,
    /// The connection between a < b, at a·nodes + b.
    connections: Vec<Connection>,
}

#[derive(Debug, Clone, Default)]
struct Connection {
    up: bool,
    generation: u32,
    /// Latest arrival in each direction, so that order holds within a generation.
    latest_arrival_us: [u64; 2],
}

/// When copies of a message arrive: none, one or two times.
#[derive(Debug, PartialEq, Eq)]
pub struct Arrivals {
    pub generation: u32,
    pub at_us: [Option<u64>; 2],
}

/// What a connection that is gone does with what was under way.
const LATE_ARRIVALS_PER_MILLE: u64 = 300;

impl Network {
    pub fn new(nodes: usize, weather: Weather, random: Random) -> Network {
        let pairs = nodes * nodes;
        Network { nodes, weather, random, cuts: vec![0; pairs], connections: vec![Connection::default(); pairs] }
    }

    /// Sends one message; the caller delivers it at the times given, if `may_arrive` still says so then.
    pub fn send(&mut self, now_us: u64, from: usize, to: usize) -> Arrivals {
        let generation = self.connection(from, to).generation;
        let mut arrivals = Arrivals { generation, at_us: [None; 2] };
        if !self.connection(from, to).up || self.is_cut(from, to) || self.random.chance(self.weather.loss_per_mille) {
            return arrivals;
        }
        let copies = if self.random.chance(self.weather.duplicates_per_mille) { 2 } else { 1 };
        for arrival in arrivals.at_us.iter_mut().take(copies) {
            let delay = self.random.long_tailed(self.weather.delay_us, self.weather.delay_us_max);
            let latest = &mut self.connection_mut(from, to).latest_arrival_us[usize::from(from > to)];
            *latest = (*latest).max(now_us + delay);
            *arrival = Some(*latest);
        }
        arrivals
    }

    /// Whether what was sent over that generation arrives now. The cable must be whole at the end as at the start.
    pub fn may_arrive(&mut self, from: usize, to: usize, generation: u32) -> bool {
        if self.is_cut(from, to) {
            return false;
        }
        let connection = self.connection(from, to);
        let current = connection.up && connection.generation == generation;
        current || self.random.chance(LATE_ARRIVALS_PER_MILLE)
    }

    /// Connects the two; false if the cable is cut in either direction, for a handshake needs both, or they are connected.
    pub fn connect(&mut self, a: usize, b: usize) -> bool {
        if self.is_cut(a, b) || self.is_cut(b, a) || self.connection(a, b).up {
            return false;
        }
        let connection = self.connection_mut(a, b);
        connection.up = true;
        connection.generation += 1;
        connection.latest_arrival_us = [0; 2];
        true
    }

    /// Breaks the connection; false if there was none.
    pub fn disconnect(&mut self, a: usize, b: usize) -> bool {
        std::mem::replace(&mut self.connection_mut(a, b).up, false)
    }

    pub fn is_connected(&self, a: usize, b: usize) -> bool {
        self.connection(a, b).up
    }

    /// Counts the connections of this pair; of the last one, if there is none now.
    pub fn generation(&self, a: usize, b: usize) -> u32 {
        self.connection(a, b).generation
    }

    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts[from * self.nodes + to] > 0
    }

    /// Puts one cut on each of these cables (from, to); the same cables must be given to `mend`.
    pub fn cut(&mut self, cables: &[(usize, usize)]) {
        for (from, to) in cables {
            self.cuts[from * self.nodes + to] += 1;
        }
    }

    pub fn mend(&mut self, cables: &[(usize, usize)]) {
        for (from, to) in cables {
            self.cuts[from * self.nodes + to] -= 1;
        }
    }

    /// From here on no message is lost or doubled any more, and delays are short: the end of a run, when all must come right.
    pub fn calm(&mut self) {
        self.weather.loss_per_mille = 0;
        self.weather.duplicates_per_mille = 0;
        self.weather.delay_us_max = self.weather.delay_us * 2;
    }

    fn connection(&self, a: usize, b: usize) -> &Connection {
        &self.connections[a.min(b) * self.nodes + a.max(b)]
    }

    fn connection_mut(&mut self, a: usize, b: usize) -> &mut Connection {
        &mut self.connections[a.min(b) * self.nodes + a.max(b)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(loss: u64, duplicates: u64) -> Network {
        let weather =
            Weather { delay_us: 300, delay_us_max: 50_000, loss_per_mille: loss, duplicates_per_mille: duplicates };
        let mut network = Network::new(3, weather, Random::new(3));
        assert!(network.connect(0, 1));
        network
    }

    #[test]
    fn messages_of_one_connection_arrive_in_order_and_those_of_the_next_may_overtake_them() {
        let mut network = network(0, 0);
        let first: Vec<u64> = (0..500).filter_map(|now| network.send(now, 0, 1).at_us[0]).collect();
        assert!(first.is_sorted());
        network.disconnect(0, 1);
        assert!(network.connect(0, 1));
        let next = network.send(500, 0, 1).at_us[0].expect("nothing is lost here");
        assert!(next < first[499], "a new connection does not wait for the old one");
        let late = (0..1000).filter(|_| network.may_arrive(0, 1, 1)).count();
        assert!((100..600).contains(&late), "{late} of 1000 came late");
    }

    #[test]
    fn a_cable_cut_one_way_still_carries_the_other_way() {
        let mut network = network(0, 0);
        network.cut(&[(0, 1)]);
        assert_eq!(network.send(0, 0, 1).at_us, [None, None]);
        assert!(network.send(0, 1, 0).at_us[0].is_some());
        network.cut(&[(0, 1)]);
        network.mend(&[(0, 1)]);
        assert!(network.is_cut(0, 1), "the other cut is still there");
    }

    #[test]
    fn nothing_is_sent_without_a_connection_and_messages_come_twice_when_told_to() {
        let mut network = network(0, 1000);
        assert!(network.send(0, 0, 1).at_us[1].is_some());
        assert_eq!(network.send(0, 0, 2).at_us, [None, None]);
    }
}
