//! The clock rule: a node whose wall clock is further than a second (configurable) from the majority's median neither
//! leads nor stands, because the ledger's time comes from its leader. Acceptors never refuse on time.
//!
//! Offsets come from heartbeat answers: a peer's clock when it answered, minus ours, with half of the round trip taken
//! off. With an even number of clocks in sight the middle one that is nearer to ours counts: of two clocks that differ
//! nobody can tell which is wrong, and a group that has just lost a node must not lose its leader to that.

use crate::effects::{Effects, Event};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Clock {
    max_ms: u64,
    skew_ms: i64,
    off: bool,
}

impl Clock {
    pub(crate) fn new(max_ms: u64) -> Clock {
        Clock { max_ms, skew_ms: 0, off: false }
    }

    /// This node's clock minus the median; positive: ahead.
    pub(crate) fn skew_ms(&self) -> i64 {
        self.skew_ms
    }

    pub(crate) fn is_off(&self) -> bool {
        self.off
    }

    /// Compares with the clocks of the peers that answer, given as theirs minus ours. The caller sees to it that they are
    /// a majority, this node included: fewer say nothing about it, and the last judgement stands.
    pub(crate) fn compare(&mut self, peers_ahead_ms: Vec<i64>, fx: &mut Effects) {
        self.skew_ms = median_nearest_zero(peers_ahead_ms).saturating_neg();
        let off = self.skew_ms.unsigned_abs() > self.max_ms;
        if off && !self.off {
            fx.events.push(Event::ClockOff { skew_ms: self.skew_ms });
        }
        if !off && self.off {
            fx.events.push(Event::ClockFine);
        }
        self.off = off;
    }
}

fn median_nearest_zero(mut offsets: Vec<i64>) -> i64 {
    offsets.push(0);
    offsets.sort_unstable();
    let upper = offsets[offsets.len() / 2];
    let lower = offsets[(offsets.len() - 1) / 2];
    if upper.unsigned_abs() < lower.unsigned_abs() { upper } else { lower }
}

/// The peer's clock minus ours: its wall time was read somewhere between our asking and its answer's arrival.
pub(crate) fn ahead_ms(peer_wall_ms: u64, own_wall_ms: u64, round_trip_us: u64) -> i64 {
    let own_then_ms = own_wall_ms.saturating_sub(round_trip_us / 2_000);
    let difference = i128::from(peer_wall_ms) - i128::from(own_then_ms);
    difference.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

#[cfg(test)]
mod tests {
    use super::median_nearest_zero;

    #[test]
    fn of_an_even_number_of_clocks_the_middle_one_nearer_to_ours_counts() {
        assert_eq!(median_nearest_zero(vec![]), 0);
        assert_eq!(median_nearest_zero(vec![5_000]), 0);
        assert_eq!(median_nearest_zero(vec![-5_000]), 0);
        assert_eq!(median_nearest_zero(vec![5_000, 5_010]), 5_000);
        assert_eq!(median_nearest_zero(vec![4_000, 5_000, 6_000]), 4_000);
        assert_eq!(median_nearest_zero(vec![-6_000, 10, 6_000, -10]), 0);
    }
}
