//! What the page shows at one moment: the shape on the wire, filled in by the node's loop.
//!
//! Amounts are exact decimal text as the currency writes them ("12.50"); ids are UUIDs as text. Nothing here is a domain
//! type: the page's wire may change without the ledger's.

use serde::Serialize;

/// One moment of a bank, as seen by one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// The bank's name.
    pub bank: String,
    /// The node that says this.
    pub node: u16,
    pub health: Health,
    /// One short clause that says why, such as "3 of 3 nodes, node 1 leads".
    pub reason: String,
    /// What customers have together, a row for each currency in use, the most used first.
    pub money: Vec<Money>,
    /// Customers' accounts.
    pub accounts: u64,
    /// The bank's own accounts: vaults and the like.
    pub internal_accounts: u64,
    /// Outcomes in the journal: transfers, openings, rejections and all else.
    pub outcomes: u64,
    /// Transfers posted since the node's start; the page's rates are made from it.
    pub transfers: u64,
    /// "leader" or "leaderless".
    pub mode: &'static str,
    /// Rotten records that this node found and repaired since its start.
    pub rot_repaired: u64,
    /// Rotten places that it cannot mend while it runs.
    pub rot_unmended: u64,
    /// Every member of the group, by number.
    pub nodes: Vec<NodeCard>,
    /// Newest first; `LATEST_MAX` of them are sent at most.
    pub latest: Vec<LatestTransfer>,
    pub changed: Changed,
}

/// The group's health in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Every node is up and close.
    Healthy,
    /// Payments go on, with less to spare: a node is away or far behind.
    Degraded,
    /// No majority: nothing can be paid until a node comes back.
    Stalled,
    /// This node is not yet caught up.
    Starting,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Money {
    /// ISO 4217, such as "EUR".
    pub currency: String,
    pub amount: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeCard {
    pub node: u16,
    pub role: Role,
    pub address: String,
    /// The last slot that it is known to have applied.
    pub slot: Option<u64>,
    /// Slots behind the newest known to be chosen.
    pub lag: Option<u64>,
    /// How long its last sync of the log took, where that is known.
    pub last_fsync_us: Option<u64>,
    /// Its promises and votes count.
    pub voter: bool,
    /// It is the current proposer, as far as is known.
    pub proposer: bool,
    /// Whole percents of the books that are there, while it receives them.
    pub received_percent: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Leader,
    Follower,
    Starting,
    /// It learns, and has no vote yet.
    Learner,
    /// It receives the books.
    Receiving,
    /// Not heard by this node.
    Away,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LatestTransfer {
    pub id: String,
    /// Ledger time, milliseconds of Unix time.
    pub time_ms: u64,
    pub debit: Party,
    pub credit: Party,
    pub amount: String,
    pub currency: String,
    pub reference: String,
}

/// One side of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Party {
    pub id: String,
    /// The owner; of an internal account its name, such as "vault:EUR". May be empty.
    pub owner: String,
    pub internal: bool,
}

/// Whose balances changed since the snapshot before, so that a page reads again only what it shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    pub accounts: Vec<String>,
    /// There were more than are listed; a page then reads what it shows.
    pub more: bool,
}
