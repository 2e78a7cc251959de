//! What the search must never come across.

/// A rule that is broken, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// Two batches for one slot: handed out by two nodes, or each with a majority of durable votes.
    Agreement(String),
    /// A batch was handed out that no majority has on disk: a crash could make the group forget it.
    Durability(String),
    /// A node stands below what it has promised or voted.
    Vow(String),
    /// A read was released below what was known to be chosen when it began.
    StaleRead(String),
    /// The code's own assertions.
    Invariant(String),
}

impl Wrong {
    /// Its name, one of the constants below.
    pub fn rule(&self) -> &'static str {
        match self {
            Wrong::Agreement(_) => AGREEMENT,
            Wrong::Durability(_) => DURABILITY,
            Wrong::Vow(_) => VOW,
            Wrong::StaleRead(_) => STALE_READ,
            Wrong::Invariant(_) => INVARIANT,
        }
    }

    pub fn how(&self) -> &str {
        match self {
            Wrong::Agreement(how)
            | Wrong::Durability(how)
            | Wrong::Vow(how)
            | Wrong::StaleRead(how)
            | Wrong::Invariant(how) => how,
        }
    }
}

pub const AGREEMENT: &str = "one batch for each slot";
pub const DURABILITY: &str = "what is handed out is on a majority's disks";
pub const VOW: &str = "promises and votes are never taken back";
pub const STALE_READ: &str = "a read sees all that was known when it began";
pub const INVARIANT: &str = "every node's own invariants";
