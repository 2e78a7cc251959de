//! What one node is told when it starts. Nothing in here may change the outcome of a command: that would be an entry
//! in the log.

use crate::consul::ConsulConfig;
use clearing::BankName;
use replica::ApplyError;
use replica::group::Address;
use replica::recover::RecoverError;
use std::net::SocketAddr;
use std::path::PathBuf;
use storage::{OpenError, Part, StorageError};

/// One node of one bank.
pub type BankNodeConfig = NodeConfig;

/// One node of the gateway.
#[derive(Clone, Debug)]
pub struct GatewayNodeConfig {
    pub node: NodeConfig,
    /// The banks that this gateway knows from the beginning, and where their nodes serve gRPC: addresses, or names that
    /// stand for all addresses that they have ([`crate::dns`]).
    pub banks: Vec<(BankName, Vec<String>)>,
    /// The file in which `rialto up` names all nodes; looked at all the time, so that banks may come and move.
    pub network_file: Option<PathBuf>,
    /// What the gateway's setting of that name is to be, 50 to 60,000 ms; an entry in its log, made when this node serves.
    pub vote_timeout_ms: Option<u64>,
    /// How long tokens are good, in milliseconds.
    pub token_ms: u64,
}

/// Further addresses to listen on, where a name was given that has several.
#[derive(Clone, Debug, Default)]
pub struct AlsoListen {
    pub http: Vec<SocketAddr>,
    pub grpc: Vec<SocketAddr>,
    pub peers: Vec<SocketAddr>,
}

/// One node of one group.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The bank's or gateway's name.
    pub group: String,
    /// The network that the group belongs to, as its identity says.
    pub cluster: u128,
    /// This node's number in the group.
    pub node: u16,
    /// Every member's number and the address where it listens for its peers, this node included. A name is looked up each
    /// time that the member is called: it may have moved, or not be there yet.
    pub peers: Vec<(u16, Address)>,
    /// Where every member serves HTTP, as the page shows it.
    pub http_of_members: Vec<(u16, Address)>,
    /// Where to serve HTTP.
    pub http: SocketAddr,
    /// Where to serve gRPC.
    pub grpc: SocketAddr,
    /// Where to listen for peers.
    pub peer_listen: SocketAddr,
    /// What else the names stand for of which those three are the first addresses.
    pub also: AlsoListen,
    /// The node's directory; its identity is in it.
    pub data: PathBuf,
    /// If set, every call but the page's files and the health checks needs this token.
    pub operator_token: Option<String>,
    /// This node's certificate: with one, gRPC and the links between members are TLS 1.3 with certificates on both sides.
    pub tls: Option<certs::Files>,
    /// HTTP is spoken over TLS as well, with that certificate; callers show none.
    pub http_tls: bool,
    /// Where this node says that it is there, if anywhere.
    pub consul: Option<ConsulConfig>,
    /// Stop in order when standard input ends: the supervising process holds its other end.
    pub exit_with_parent: bool,
}

/// How a node came to its orderly end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// `POST /shutdown`: it is to stay down until somebody starts it.
    Asked,
    /// A signal.
    Signal,
    /// The process that supervised it has ended.
    ParentGone,
    /// It was removed from its bank, which needs nothing of it any more: its directory may be deleted.
    Removed,
}

/// Why a node did not start, or could not go on. Each is one plain sentence.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The directory is in use, or cannot be locked.
    #[error(transparent)]
    Lock(#[from] storage::LockError),
    /// The identity cannot be read.
    #[error(transparent)]
    Identity(#[from] storage::OpenError),
    /// The directory is another node's.
    #[error("{found}, not to {wanted}")]
    NotThisNode { found: String, wanted: String },
    /// The directory's log was lost.
    #[error(
        "{} is empty, but this node has run before: with its log it lost its promises and votes, and must not vote \
         under its number; put the log back, or give the bank a new node in its place: rialto members replace {node}",
        log.display()
    )]
    LogGone { log: PathBuf, node: u16 },
    /// The others remember more of this node than it does.
    #[error(
        "node {by} remembers that this node voted with ballot {ballot} and in slot {slot}, and its log knows of less: \
         this directory is an older copy, or was made anew; put the newest one back, or give the bank a new node in its \
         place: rialto members replace {node}"
    )]
    Forgetful { by: u16, ballot: String, slot: u64, node: u16 },
    /// What this node holds differs from what a majority holds.
    #[error(
        "this node's books differ from a majority's, and it stays down; the evidence is kept in {}; give the bank a new \
         node in its place: rialto members replace {node}",
        evidence.display()
    )]
    Diverged { evidence: PathBuf, node: u16 },
    /// Journal, checkpoint or ids have rotted while the node ran: the next opening mends them.
    #[error("{what}")]
    Rotten { part: Part, what: String },
    /// The others know this node by another disk: what this one should remember, it never knew.
    #[error(
        "{why}; an empty or older disk has forgotten its promises and must not vote under the old number: put the old \
         directory back, or give the bank a new node in its place: rialto members replace {node}"
    )]
    OtherDisk { why: String, node: u16 },
    /// The others have removed this node, and need nothing of it any more.
    #[error("{why}: its directory may be deleted")]
    Removed { why: String },
    /// The configuration does not fit together.
    #[error("{0}")]
    Config(String),
    /// Certificate, key and CA are not there, or do not belong together.
    #[error(transparent)]
    Certificate(#[from] certs::CertsError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {purpose}: {}", certs::why(.source))]
    Listen { address: SocketAddr, purpose: &'static str, source: std::io::Error },
    /// The files are damaged, or the disk failed, while the node started.
    #[error(transparent)]
    Recover(#[from] Box<replica::recover::RecoverError>),
    /// The machine refused a thread or the like.
    #[error("{doing}: {source}")]
    System { doing: &'static str, source: std::io::Error },
    /// The node could not go on. Nothing that was acknowledged is lost.
    #[error("{what}")]
    Failed { kind: FailureKind, what: String },
}

/// What is the matter with a node that does not start or cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The disk is full.
    DiskFull,
    /// The disk failed.
    Disk,
    /// What is on the disk is not what was written, or the disk is not this node's.
    Damaged,
    /// A broken invariant.
    Bug,
    /// Anything else: the configuration, an address, the machine.
    Other,
}

impl NodeError {
    /// What is the matter, for an exit code.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Failed { kind, .. } => *kind,
            Self::LogGone { .. }
            | Self::OtherDisk { .. }
            | Self::Forgetful { .. }
            | Self::Diverged { .. }
            | Self::Rotten { .. } => FailureKind::Damaged,
            Self::Identity(error) => of_open(error),
            Self::Recover(error) => match error.as_ref() {
                RecoverError::Open(error) => of_open(error),
                RecoverError::Log(error) => of_storage(error),
                RecoverError::Apply(error) => of_apply(error),
                RecoverError::Gap { .. } | RecoverError::LogBehind { .. } => FailureKind::Damaged,
            },
            Self::Lock(_)
            | Self::NotThisNode { .. }
            | Self::Removed { .. }
            | Self::Config(_)
            | Self::Certificate(_)
            | Self::Listen { .. }
            | Self::System { .. } => FailureKind::Other,
        }
    }

    /// Of a failure of storage, on the way: rot that the next opening mends is told apart.
    pub(crate) fn of_storage(error: &StorageError) -> Self {
        match error.rotten_part() {
            Some(part @ (Part::Journal | Part::Store | Part::Ids)) => Self::Rotten { part, what: error.to_string() },
            Some(Part::Log | Part::Identity) | None => {
                Self::Failed { kind: of_storage(error), what: error.to_string() }
            }
        }
    }

    pub(crate) fn system(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}

pub(crate) fn of_storage(error: &StorageError) -> FailureKind {
    match error {
        error if error.is_full() => FailureKind::DiskFull,
        StorageError::Rot { .. } | StorageError::Diverged { .. } => FailureKind::Damaged,
        // As a file of a format that this build does not know.
        StorageError::Unreadable { .. } => FailureKind::Other,
        StorageError::Io { .. }
        | StorageError::Poisoned { .. }
        | StorageError::Refused { .. }
        | StorageError::TooLarge { .. }
        | StorageError::Absent { .. } => FailureKind::Disk,
    }
}

pub(crate) fn of_apply(error: &ApplyError) -> FailureKind {
    match error {
        ApplyError::Storage(error) => of_storage(error),
        ApplyError::Unknown { .. } => FailureKind::Damaged,
        ApplyError::OutOfOrder { .. } => FailureKind::Bug,
    }
}

fn of_open(error: &OpenError) -> FailureKind {
    match error {
        OpenError::Rot { .. } => FailureKind::Damaged,
        OpenError::Foreign { .. } => FailureKind::Other,
        OpenError::Failed(error) => of_storage(error),
    }
}
