//! The state of one node as everyone outside sees it: `GET /v1/status`, the `Status` call, `rialto status`, the page.

use serde::{Deserialize, Serialize};

/// One node, as it sees itself and its group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub group: String,
    pub node: u16,
    pub role: Role,
    /// Node number of the leader that this node knows of.
    pub leader: Option<u16>,
    pub ballot: BallotStatus,
    pub slots: SlotStatus,
    /// Last slot of the durable checkpoint.
    pub checkpoint: u64,
    /// Head of the journal's hash chain at the applied slot, in hex: equal journals have equal digests.
    pub digest: String,
    /// Slots that the leader, or the best informed peer, has chosen and this node has not applied.
    pub lag: u64,
    /// True while a majority of the group answers this node.
    pub quorum: bool,
    /// True when it has a quorum and has caught up: `/readyz`.
    pub ready: bool,
    /// This node's clock less the median of the majority's, in milliseconds.
    pub clock_skew_ms: i64,
    pub peers: Vec<PeerStatus>,
    /// The member whose checkpoint holds the trimming of the log back, if one does.
    pub held_back_by: Option<u16>,
    pub accounts: u64,
    /// Records of the journal: every outcome ever, rejections and tombstones too.
    pub journal_records: u64,
    pub log_bytes: u64,
    /// Resident memory of the process.
    pub memory_bytes: u64,
    pub uptime_ms: u64,
    pub version: String,
}

/// What a node is to its group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    #[default]
    Starting,
    Follower,
    Candidate,
    Leader,
    Stopping,
}

impl Role {
    pub const ALL: [Role; 5] = [Role::Starting, Role::Follower, Role::Candidate, Role::Leader, Role::Stopping];

    pub fn text(self) -> &'static str {
        match self {
            Role::Starting => "starting",
            Role::Follower => "follower",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
            Role::Stopping => "stopping",
        }
    }
}

/// A proposer's number: later rounds win, node numbers break ties.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BallotStatus {
    pub round: u64,
    pub node: u16,
}

/// How far the log has come: applied ≤ chosen, always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotStatus {
    pub accepted: u64,
    pub chosen: u64,
    pub applied: u64,
}

/// Another member, as this node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    pub node: u16,
    pub connected: bool,
    /// Highest slot that it said is chosen.
    pub chosen: u64,
    /// Last slot of the checkpoint that it told.
    pub checkpoint: u64,
    /// How long ago it was last heard of; `null` if never.
    pub heard_ms_ago: Option<u64>,
}
