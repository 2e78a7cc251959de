//! The state of one node as everyone outside sees it: `GET /v1/status`, the `Status` call, `rialto status`, the page.

use serde::{Deserialize, Serialize};

/// One node, as it sees itself and its group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    pub group: String,
    /// The number that all members share, as `rialto bank init` wants it: a UUID.
    pub cluster: String,
    pub node: u16,
    pub role: Role,
    /// Node number of the leader that this node knows of; in leaderless mode of the last proposer, while it is heard.
    pub leader: Option<u16>,
    /// How the group finds who proposes.
    pub mode: Mode,
    /// The current proposer, as far as this node knows.
    pub proposer: Option<u16>,
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
    /// The clock is too far from the others': the node does not lead, and is not ready.
    pub clock_off: bool,
    /// The clock moved against the machine's monotonic one, and is not believed for now.
    pub clock_jumped: bool,
    /// The log's time, in Unix milliseconds: what deadlines and expiry are counted in. 0 until it is known.
    pub log_time_ms: u64,
    /// By how much the log's time is ahead of the clocks of the group, in milliseconds.
    pub log_ahead_ms: u64,
    pub peers: Vec<PeerStatus>,
    /// The member whose checkpoint holds the trimming of the log back, if one does.
    pub held_back_by: Option<u16>,
    /// Counts the changes of the group that this node has applied.
    pub group_version: u64,
    /// Everybody of the group, by number, as of the last slot applied here.
    pub members: Vec<MemberState>,
    /// The number of this node's own disk, by which its peers know it.
    pub disk: u64,
    /// The node lost a promise or a vote, so it votes no more: it learns and serves, and is to be replaced.
    pub votes_lost: bool,
    /// This node is no member any more, and a majority of those that are has all that it had: it may be deleted.
    pub may_leave: bool,
    /// What this node still receives of the books, if it was too far behind to learn slot by slot.
    pub transfer: Option<TransferState>,
    /// Rotten records of log, journal and checkpoint that were found and repaired since the process started.
    pub rot_repaired: u64,
    /// Rotten places that this node cannot mend while it runs: others are asked for what stood there, if there are others.
    pub rot_unmended: u64,
    /// What was found rotten since then, a sentence each.
    pub rot: Vec<String>,
    /// Counts the lives of the group, from 1: each restore from a backup begins another.
    #[serde(default = "first_life")]
    pub incarnation: u32,
    /// The group was restored and waits for what the rest of the network has of it: it serves nobody else.
    #[serde(default)]
    pub restoring: bool,
    /// Of a bank: payments through the gateway up to this number are in its books, to their end.
    #[serde(default)]
    pub complete_through: u64,
    pub accounts: u64,
    /// Records of the journal: every outcome ever, rejections and tombstones too.
    pub journal_records: u64,
    pub log_bytes: u64,
    /// Resident memory of the process.
    pub memory_bytes: u64,
    pub uptime_ms: u64,
    pub version: String,
}

fn first_life() -> u32 {
    1
}

/// What a node is to its group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    #[default]
    Starting,
    Follower,
    Candidate,
    /// In leaderless mode: it is the current proposer.
    Leader,
    Stopping,
    /// It learns and serves; its vote does not count.
    Learner,
    /// It receives the books of another node, and serves nobody until it has them.
    Receiving,
    /// It is in no membership any more.
    Removed,
}

impl Role {
    pub const ALL: [Role; 8] = [
        Role::Starting,
        Role::Follower,
        Role::Candidate,
        Role::Leader,
        Role::Stopping,
        Role::Learner,
        Role::Receiving,
        Role::Removed,
    ];

    pub fn text(self) -> &'static str {
        match self {
            Role::Starting => "starting",
            Role::Follower => "follower",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
            Role::Stopping => "stopping",
            Role::Learner => "learner",
            Role::Receiving => "receiving",
            Role::Removed => "removed",
        }
    }
}

/// How a group finds who proposes. It never decides what is safe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", expecting = "\"leader\" or \"leaderless\"")]
pub enum Mode {
    /// An elected node proposes for all.
    #[default]
    Leader,
    /// Every node proposes what it is asked.
    Leaderless,
}

impl Mode {
    pub fn text(self) -> &'static str {
        match self {
            Mode::Leader => "leader",
            Mode::Leaderless => "leaderless",
        }
    }
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// Its promises and votes count.
    Voter,
    /// It learns and serves; nothing of it counts.
    Learner,
}

impl MemberRole {
    pub fn text(self) -> &'static str {
        match self {
            MemberRole::Voter => "voter",
            MemberRole::Learner => "learner",
        }
    }
}

/// A member of a group, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberState {
    pub node: u16,
    pub role: MemberRole,
    /// Where the other members reach it, `host:port`.
    pub peer: String,
    /// Where callers reach it over HTTP, `host:port`; empty if nobody said.
    pub http: String,
    /// The only disk that may speak for it; `null` while none is pinned.
    pub disk: Option<u64>,
}

/// How far a node has come that receives the books, in records of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferState {
    pub done: u64,
    pub total: u64,
}

impl TransferState {
    /// Whole percents; 100 only when all is there.
    pub fn percent(self) -> u64 {
        self.done.min(self.total).saturating_mul(100).checked_div(self.total).unwrap_or(0)
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
