//! What a group of nodes replicates, as the shell sees it: the state machine, and the few things that the shell shows of it.
//!
//! A node's threads, files, peers and protocol are the same for a bank and for the gateway; what differs is in here and in
//! the edges.

use crate::edge::port::Life;
use replica::StateMachine;

/// A state machine with a name and a size.
pub(crate) trait Service: StateMachine + std::fmt::Debug {
    /// What a group of this kind is called: in sentences, and as `kind` in `network.json`.
    const KIND: &'static str;

    /// The empty state. The seed spreads hash tables and shows nowhere.
    fn fresh(hash_seed: u64) -> Self;

    /// How much there is in memory: accounts of a bank, payments on their way of a gateway.
    fn size(&self) -> u64;

    /// What must be known of a state that may have come from a backup, in that incarnation of the group.
    fn life(&self, incarnation: u32) -> Life;

    /// How many transfers or payments an answer tells of that moved money just now.
    fn posted(answer: &Self::Answer) -> u64;
}

impl Service for gateway::Machine {
    const KIND: &'static str = "gateway";

    fn fresh(_hash_seed: u64) -> Self {
        Self::new()
    }

    fn size(&self) -> u64 {
        self.clearing().payment_count()
    }

    fn life(&self, incarnation: u32) -> Life {
        let restoring = self.clearing().epoch().get() < incarnation;
        Life { incarnation, restoring, complete_through: 0 }
    }

    fn posted(answer: &Self::Answer) -> u64 {
        gateway::paid(answer)
    }
}

impl Service for bank::Machine {
    const KIND: &'static str = "bank";

    fn fresh(hash_seed: u64) -> Self {
        Self::new(hash_seed)
    }

    fn size(&self) -> u64 {
        self.ledger().account_count()
    }

    fn life(&self, incarnation: u32) -> Life {
        Life::of_bank(self.ledger(), incarnation)
    }

    fn posted(answer: &Self::Answer) -> u64 {
        bank::posted(answer)
    }
}
