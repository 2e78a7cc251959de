//! What happens to a node, and the bounds that it keeps.

use crate::group::{Change, Group};
use crate::message::Message;
use bytes::Bytes;
use paxos::{NodeId, Slot, Vow};
use storage::JournalMark;

/// Bounds and times of one replica. They change no outcome, only when one comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Distinguishes this start of the process from every other of the same node.
    pub boot: u64,
    /// Batches proposed and not yet chosen, at most: a deeper window only adds waiting.
    pub in_flight_max: usize,
    /// The same while less than `small_bytes` wait: small batches cost their syncs, not their bytes, and those that wait for
    /// a sync under way share the next one.
    pub small_in_flight_max: usize,
    pub small_bytes: usize,
    /// Requests of this node's callers under way, at most.
    pub requests_max: usize,
    /// Bytes of the same, at most.
    pub request_bytes_max: usize,
    /// Reads under way, at most.
    pub reads_max: usize,
    /// A request passed on and not chosen for this long is passed on again, in microseconds.
    pub resend_us: u64,
    /// Chosen bytes not applied yet, from which on the node accepts no more until it has caught up.
    pub backlog_bytes_max: usize,
    /// The log keeps so many slots below the own checkpoint for nodes that lag a little, whoever lags more.
    pub tail_slots: u64,
    /// But no more than about so many bytes of them.
    pub tail_bytes: u64,
    /// The proposer has all nodes compare their books this often; zero: never.
    pub check_us: u64,
    /// Places of the journal that are received before they are made part of the checkpoint.
    pub transfer_places: u64,
}

impl Settings {
    /// The settings that nodes run with.
    pub fn new(boot: u64) -> Self {
        Self {
            boot,
            in_flight_max: 4,
            small_in_flight_max: 2,
            small_bytes: 64 << 10,
            requests_max: 100_000,
            request_bytes_max: 64 << 20,
            reads_max: 100_000,
            resend_us: 400_000,
            backlog_bytes_max: 64 << 20,
            tail_slots: 1_024,
            tail_bytes: 64 << 20,
            check_us: 1_000_000,
            transfer_places: 4 << 20,
        }
    }
}

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time has passed; called every few milliseconds.
    Tick,
    /// A member said something.
    Received { from: NodeId, message: Message },
    /// A connection to a member stands.
    Connected(NodeId),
    /// A connection to a member was closed.
    Disconnected(NodeId),
    /// The log proved that what these waited for is on disk.
    Released(Vows),
    /// A caller's request; `seq` is never used twice in one boot.
    Submit { seq: u64, request: Bytes, deadline_us: u64 },
    /// An operator's change of the group; numbered like a request, and answered like one.
    Change { seq: u64, change: Change, deadline_us: u64 },
    /// A caller's linearizable read.
    Read { seq: u64, deadline_us: u64 },
    /// The state machine has applied everything through this slot.
    Applied(Slot),
    /// A checkpoint through this slot is durable.
    Checkpointed(Slot),
    /// What the check in that slot found here: see [`crate::Applier::take_check`].
    Digest { slot: Slot, digest: [u8; 32] },
    /// The journal stands here: everything handed over is applied, or the last piece received is written.
    Receiving(JournalMark),
    /// A piece that was to be written does not continue this node's journal, which stands here.
    JournalRefused(JournalMark),
    /// The journal received through this mark is checkpointed, and the state machine was opened anew from it.
    Installed { mark: JournalMark, group: Group },
    /// An operator asks for an election.
    Elect,
    /// The node is about to shut down: step down as proposer, take nothing new.
    Leave,
}

/// Messages that wait for a sync, each with its receiver, which may be the node itself.
#[derive(Clone, Debug, Default)]
pub struct Vows(pub(crate) Vec<(NodeId, Vow)>);
