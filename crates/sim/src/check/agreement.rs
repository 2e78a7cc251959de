//! Agreement: no two nodes, and no two lives of one node, ever apply different batches in one slot, and after the same
//! slot all have given the same answers and have the same journal and the same state.
//!
//! Whoever comes to a slot first says what it holds; what follows from it is the ideal machine's (`reference`) to say.
//! Everyone else, and everyone who applies it again after a restart, must find the same.

use super::{Violation, must};
use bank::BankAnswer;

/// What one slot is.
#[derive(Debug)]
struct Known {
    first: usize,
    batch: [u8; 32],
    answers: Vec<BankAnswer>,
    state: [u8; 32],
    /// The journal's chain after it, once somebody has written it.
    chain: Option<[u8; 32]>,
}

/// What one node found in, and after, one slot.
#[derive(Debug, Clone)]
pub struct Found {
    pub batch: [u8; 32],
    pub answers: Vec<BankAnswer>,
    pub state: [u8; 32],
    pub chain: [u8; 32],
}

#[derive(Debug, Default)]
pub struct Agreement {
    slots: Vec<Known>,
}

impl Agreement {
    /// The highest slot that is known.
    pub fn highest(&self) -> u64 {
        self.slots.len() as u64
    }

    /// What the next slot holds, as this node says, and what the ideal machine does with it.
    pub fn learn(&mut self, first: usize, batch: [u8; 32], answers: Vec<BankAnswer>, state: [u8; 32]) {
        self.slots.push(Known { first, batch, answers, state, chain: None });
    }

    /// What a node found when it applied the slot.
    pub fn check(&mut self, node: usize, slot: u64, found: &Found) -> Result<(), Violation> {
        let known = self.known(node, slot)?;
        let differs = [
            ("another batch", found.batch != known.batch),
            ("other answers", found.answers != known.answers),
            ("another state", found.state != known.state),
        ];
        if let Some((what, _)) = differs.iter().find(|(_, differs)| *differs) {
            return Err(disagree(node, slot, what, known.first));
        }
        self.check_chain(node, slot, found.chain)
    }

    /// The state of a node that has just started, or received its state.
    pub fn check_state(&mut self, node: usize, slot: u64, state: [u8; 32]) -> Result<(), Violation> {
        if slot == 0 {
            return Ok(());
        }
        let known = self.known(node, slot)?;
        if state == known.state { Ok(()) } else { Err(disagree(node, slot, "another state", known.first)) }
    }

    /// The batch that a node's log has for a slot.
    pub fn check_batch(&mut self, node: usize, slot: u64, batch: [u8; 32]) -> Result<(), Violation> {
        let known = self.known(node, slot)?;
        if known.batch == batch { Ok(()) } else { Err(disagree(node, slot, "another batch", known.first)) }
    }

    /// The chain of a node's journal that ends with that slot.
    pub fn check_chain(&mut self, node: usize, slot: u64, chain: [u8; 32]) -> Result<(), Violation> {
        if slot == 0 {
            return Ok(());
        }
        let known = self.known(node, slot)?;
        let expected = *known.chain.get_or_insert(chain);
        if chain == expected { Ok(()) } else { Err(disagree(node, slot, "another journal", known.first)) }
    }

    fn known(&mut self, node: usize, slot: u64) -> Result<&mut Known, Violation> {
        let highest = self.highest();
        must((1..=highest).contains(&slot), || {
            format!("node {} stands at slot {slot}, but nothing is known beyond slot {highest}", node + 1)
        })?;
        Ok(&mut self.slots[slot as usize - 1])
    }
}

fn disagree(node: usize, slot: u64, what: &str, first: usize) -> Violation {
    Violation(format!("agreement: node {} has {what} in slot {slot} than node {} had", node + 1, first + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreement() -> Agreement {
        let mut agreement = Agreement::default();
        agreement.learn(0, [7; 32], vec![Ok(Vec::new())], [2; 32]);
        agreement
    }

    fn found() -> Found {
        Found { batch: [7; 32], answers: vec![Ok(Vec::new())], state: [2; 32], chain: [1; 32] }
    }

    #[test]
    fn two_nodes_with_different_batches_in_one_slot_disagree() {
        let mut agreement = agreement();
        assert_eq!(agreement.check(1, 1, &found()), Ok(()));
        let other = Found { batch: [8; 32], ..found() };
        let violation = agreement.check(2, 1, &other).expect_err("the batches differ");
        assert_eq!(violation.0, "agreement: node 3 has another batch in slot 1 than node 1 had");
    }

    #[test]
    fn answers_state_and_journal_must_be_the_same_too() {
        let others = [
            (Found { answers: Vec::new(), ..found() }, "other answers"),
            (Found { state: [9; 32], ..found() }, "another state"),
            (Found { chain: [9; 32], ..found() }, "another journal"),
        ];
        for (other, what) in others {
            let mut agreement = agreement();
            agreement.check(0, 1, &found()).expect("the first");
            assert!(agreement.check(0, 1, &other).expect_err("something differs").0.contains(what));
        }
    }

    #[test]
    fn nobody_stands_where_nobody_has_been() {
        assert!(agreement().check_state(0, 2, [2; 32]).is_err());
        assert!(agreement().check_state(0, 1, [2; 32]).is_ok());
        assert!(agreement().check_state(0, 1, [3; 32]).is_err());
        assert!(agreement().check_state(0, 0, [9; 32]).is_ok());
        assert!(agreement().check_chain(0, 2, [1; 32]).is_err());
    }
}
