//! Linearizable reads of this node's callers, gathered: all that wait share the next round of questions.
//!
//! A round may serve only reads that arrived before it was sent, so a read that arrives while one is under way waits
//! for the next. At most one round is under way, whatever the load.

use paxos::Slot;
use std::collections::VecDeque;

/// A read that waits, by its caller's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Waiting {
    seq: u64,
    deadline_us: u64,
}

/// Reads that wait for a round, and those that one under way will serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reads {
    next: VecDeque<Waiting>,
    under_way: Option<(u64, Vec<Waiting>)>,
    rounds: u64,
}

impl Reads {
    pub(crate) fn put(&mut self, seq: u64, deadline_us: u64) {
        self.next.push_back(Waiting { seq, deadline_us });
    }

    pub(crate) fn len(&self) -> usize {
        self.next.len() + self.under_way.as_ref().map_or(0, |(_, reads)| reads.len())
    }

    /// Starts a round for all that wait, unless one is under way or nothing waits. Returns the round's number.
    pub(crate) fn start_round(&mut self) -> Option<u64> {
        if self.under_way.is_some() || self.next.is_empty() {
            return None;
        }
        self.rounds += 1;
        self.under_way = Some((self.rounds, self.next.drain(..).collect()));
        Some(self.rounds)
    }

    /// The round is answered: its reads may be answered once this slot is applied.
    pub(crate) fn finish_round(&mut self, round: u64, after: Slot) -> Vec<(u64, Slot)> {
        match self.under_way.take_if(|(under_way, _)| *under_way == round) {
            Some((_, reads)) => reads.into_iter().map(|read| (read.seq, after)).collect(),
            None => Vec::new(),
        }
    }

    /// Removes the reads whose time is up. A round that serves nobody any more is given up: Paxos, too, forgets a round
    /// that no majority answers, and reads to come must not wait for it.
    pub(crate) fn expire(&mut self, now_us: u64) -> Vec<u64> {
        let mut expired = Vec::new();
        let mut keep = |read: &Waiting| {
            let in_time = read.deadline_us > now_us;
            if !in_time {
                expired.push(read.seq);
            }
            in_time
        };
        self.next.retain(&mut keep);
        if let Some((_, reads)) = &mut self.under_way {
            reads.retain(&mut keep);
        }
        self.under_way.take_if(|(_, reads)| reads.is_empty());
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_comes_during_a_round_waits_for_the_next() {
        let mut reads = Reads::default();
        reads.put(1, 10);
        let first = reads.start_round().expect("one waits");
        reads.put(2, 10);
        assert_eq!(reads.start_round(), None);
        assert_eq!(reads.finish_round(first, Slot::new(5)), [(1, Slot::new(5))]);
        let second = reads.start_round().expect("one waits");
        assert_eq!(reads.finish_round(first, Slot::new(9)), [], "an old round's answer serves nobody");
        assert_eq!(reads.finish_round(second, Slot::new(6)), [(2, Slot::new(6))]);
    }

    #[test]
    fn reads_expire_wherever_they_wait() {
        let mut reads = Reads::default();
        reads.put(1, 10);
        reads.start_round();
        reads.put(2, 20);
        assert_eq!(reads.expire(10), [1]);
        assert_eq!(reads.expire(20), [2]);
        assert_eq!(reads.len(), 0);
    }

    #[test]
    fn a_round_that_is_never_answered_does_not_stop_the_reads_to_come() {
        let mut reads = Reads::default();
        reads.put(1, 10);
        let first = reads.start_round().expect("one waits");
        reads.put(2, 20);
        assert_eq!(reads.expire(10), [1]);
        let second = reads.start_round().expect("the next need not wait for the first");
        assert_eq!(reads.finish_round(first, Slot::new(1)), []);
        assert_eq!(reads.finish_round(second, Slot::new(2)), [(2, Slot::new(2))]);
    }
}
