//! Ways in which the cables of a group are cut, the named ones of partial cuts among them (Ng, Haridi, Carbone: "Omni-Paxos:
//! Breaking the Barriers of Partial Connectivity", EuroSys 2023, section 2).
//!
//! A shape is only a set of cables; when it is laid on and when it is mended is `faults`' business.

use crate::random::Random;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One node hears nobody and is heard by nobody.
    Isolated,
    /// One node is heard and does not hear.
    Deaf,
    /// One node hears and is not heard.
    Mute,
    /// One cable between two nodes, one way.
    OneWay,
    /// Two nodes do not hear each other, others hear both.
    Pair,
    /// Two camps.
    Split,
    /// Everyone hears only the one in the middle: who leads has lost its quorum and is still alive for all that it hears.
    QuorumLoss,
    /// Who leads is gone, and of the rest only one hears a majority, whose log may be behind.
    Constrained,
    /// Each hears only its neighbours in a row.
    Chained,
}

pub const ALL: [Shape; 9] = [
    Shape::Isolated,
    Shape::Deaf,
    Shape::Mute,
    Shape::OneWay,
    Shape::Pair,
    Shape::Split,
    Shape::QuorumLoss,
    Shape::Constrained,
    Shape::Chained,
];

impl Shape {
    /// The cables (from, to) to cut. `leader`, where one is known, is the node that hurts most.
    pub fn cables(self, nodes: usize, leader: Option<usize>, random: &mut Random) -> Vec<(usize, usize)> {
        let mut order: Vec<usize> = (0..nodes).collect();
        random.shuffle(&mut order);
        if let Some(leader) = leader.filter(|_| random.chance(600)) {
            // The victim is the first in the order.
            let at = order.iter().position(|node| *node == leader).expect("the leader is a node of the group");
            order.swap(0, at);
        }
        let camp = random.between(1, nodes as u64 - 1) as usize;
        self.cables_of(&order, camp)
    }

    /// The same with the nodes in the order of their numbers.
    pub fn cables_in_order(self, nodes: usize) -> Vec<(usize, usize)> {
        let order: Vec<usize> = (0..nodes).collect();
        self.cables_of(&order, nodes / 2)
    }

    fn cables_of(self, order: &[usize], camp: usize) -> Vec<(usize, usize)> {
        let nodes = order.len();
        let place = |node: usize| order.iter().position(|other| *other == node).expect("the order holds every node");
        let is_cut = |from: usize, to: usize| {
            let (from, to) = (place(from), place(to));
            match self {
                Shape::Isolated => from == 0 || to == 0,
                Shape::Deaf => to == 0,
                Shape::Mute => from == 0,
                Shape::OneWay => (from, to) == (0, 1),
                Shape::Pair => from.min(to) == 0 && from.max(to) == 1,
                Shape::Split => (from < camp) != (to < camp),
                Shape::QuorumLoss => from != 1 && to != 1,
                Shape::Constrained => from == 0 || to == 0 || (from != 1 && to != 1),
                Shape::Chained => from.abs_diff(to) > 1,
            }
        };
        let pairs = (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to)));
        pairs.filter(|(from, to)| from != to && is_cut(*from, *to)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cables(shape: Shape, nodes: usize) -> usize {
        let counts: Vec<usize> =
            (0..20).map(|seed| shape.cables(nodes, Some(2), &mut Random::new(seed)).len()).collect();
        assert!(counts.iter().all(|count| *count == counts[0]), "{shape:?} always has the same size: {counts:?}");
        counts[0]
    }

    #[test]
    fn each_shape_cuts_as_many_cables_as_its_name_says() {
        assert_eq!(cables(Shape::Isolated, 5), 8);
        assert_eq!(cables(Shape::Deaf, 5), 4);
        assert_eq!(cables(Shape::Mute, 5), 4);
        assert_eq!(cables(Shape::OneWay, 5), 1);
        assert_eq!(cables(Shape::Pair, 5), 2);
        assert_eq!(cables(Shape::QuorumLoss, 5), 12, "four nodes do not hear each other");
        assert_eq!(cables(Shape::Constrained, 5), 14, "and the leader is not even heard by the one in the middle");
        assert_eq!(cables(Shape::Chained, 5), 12, "of ten pairs four are left");
        assert_eq!(cables(Shape::Chained, 3), 2);
    }

    #[test]
    fn a_split_leaves_two_camps_that_hear_nothing_of_each_other() {
        for seed in 0..50 {
            let cut = Shape::Split.cables(5, None, &mut Random::new(seed));
            assert!(cut.iter().all(|(from, to)| cut.contains(&(*to, *from))), "both ways, seed {seed}");
            assert!([8, 12].contains(&cut.len()), "one against four or two against three, seed {seed}");
        }
    }
}
