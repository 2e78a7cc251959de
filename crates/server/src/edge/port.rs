//! What the edges need of a running node, and nothing more.
//!
//! The node behind it may be one of a group, or the ledger alone in memory, as in the tests of this module. Everything
//! here is an answer or an error in a bounded time.

use std::future::Future;

use api::code::Code;
use api::problem::Problem;
use api::status::NodeStatus;
use ledger::record::RecordBytes;
use ledger::{Answer, Ledger, Placer, Request};
use replica::group::{Change, ChangeRefused, Group};

/// A running node of whatever kind, as its edges see it. A clone is another handle of the same node.
pub trait NodePort: Clone + Send + Sync + 'static {
    /// Who belongs to the group, and its mode: linearizable, as a read.
    fn group(&self) -> impl Future<Output = Result<Group, ReadError>> + Send;

    /// Has the change chosen and applied; the group after it. Safe to repeat: a change names the version that it replaces.
    fn change(&self, change: Change) -> impl Future<Output = Result<Group, ChangeError>> + Send;

    fn status(&self) -> NodeStatus;

    /// Has the group elect again. Safe at any time.
    fn elect(&self) -> impl Future<Output = ()> + Send;

    /// Hands the work over and stops the node; returns when that has begun.
    fn shut_down(&self) -> impl Future<Output = ()> + Send;
}

/// Where a group stands with its restores from backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Counts the lives of the group, from 1.
    pub incarnation: u32,
    /// It waits for what the rest of the network has of it, and serves nobody else.
    pub restoring: bool,
    /// Of a bank: the gateway's payments up to this number are in its books, to their end.
    pub complete_through: u64,
}

impl Life {
    /// A bank's, in that incarnation of its group. Whoever restores one that has no gateway says so in its books.
    pub fn of_bank(ledger: &Ledger, incarnation: u32) -> Life {
        let fence = ledger.fence(gateway_placer());
        let restoring = incarnation > 1 && fence.caught_up < incarnation;
        Life { incarnation, restoring, complete_through: fence.complete_through }
    }
}

/// Who the gateway is to a bank's ledger: only it ends what it placed.
pub fn gateway_placer() -> Placer {
    Placer::named("gateway")
}

/// A running bank node.
pub trait BankPort: NodePort {
    /// Where the bank stands with its restores, as of the last slot applied here.
    fn life(&self) -> Life;

    /// Has the request chosen and applied; one answer for each command. Waits up to 1.8 seconds.
    fn submit(&self, request: Request) -> impl Future<Output = Result<Vec<Answer>, SubmitError>> + Send;

    /// A linearizable look at the books: sees every request that was answered, by any node, before the call began.
    fn read<T, F>(&self, look: F) -> impl Future<Output = Result<T, ReadError>> + Send
    where
        T: Send + 'static,
        F: FnOnce(&dyn View) -> T + Send + 'static;

    /// A look at this node's own books, which may be a moment behind.
    fn peek<T, F>(&self, look: F) -> impl Future<Output = Result<T, ReadError>> + Send
    where
        T: Send + 'static,
        F: FnOnce(&dyn View) -> T + Send + 'static;
}

/// The books of a node at one applied slot.
pub trait View {
    fn ledger(&self) -> &Ledger;

    /// The record that holds the first outcome of an id.
    fn outcome_of(&self, id: u128) -> Result<Option<RecordBytes>, Unreadable>;

    /// How many records the journal has: places are counted from 0.
    fn places(&self) -> u64;

    /// The journal's record at that place, which some other record or account named.
    fn record(&self, place: u64) -> Result<RecordBytes, Unreadable>;
}

/// The journal could not be read: the disk's fault, told in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal could not be read: {reason}")]
pub struct Unreadable {
    pub reason: String,
}

/// Why a request has no outcome for its caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Nothing was proposed: there is no leader, or no majority.
    #[error("{reason}")]
    NotProposed { reason: String, retry_after_ms: u64 },
    /// Nothing was proposed: the queue is full.
    #[error("the node has as much in flight as it takes")]
    Overloaded { retry_after_ms: u64 },
    /// It may have been proposed, and may yet be chosen.
    #[error("the outcome is not known yet")]
    OutcomeUnknown,
    /// Nothing was proposed.
    #[error("the node is shutting down")]
    ShuttingDown,
}

/// Why the group did not change, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The group refused it: it is as it was.
    #[error(transparent)]
    Refused(ChangeRefused),
}

/// Why a read has no answer. A read changes nothing, so it may simply be repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("{reason}")]
    NotReady { reason: String, retry_after_ms: u64 },
    #[error("the node has as many reads waiting as it takes")]
    Overloaded { retry_after_ms: u64 },
    #[error("the node is shutting down")]
    ShuttingDown,
}

impl ReadError {
    pub fn problem(&self) -> Problem {
        match self {
            ReadError::NotReady { reason, retry_after_ms } => {
                let detail = format!("the bank cannot answer a read now: {reason}");
                Problem::new(Code::Unavailable, detail).retry_after_ms(*retry_after_ms)
            }
            ReadError::Overloaded { retry_after_ms } => {
                let detail = "the node has as many reads waiting as it takes; try again shortly";
                Problem::new(Code::Overloaded, detail).retry_after_ms(*retry_after_ms)
            }
            ReadError::ShuttingDown => shutting_down(),
        }
    }
}

impl From<Unreadable> for Problem {
    fn from(error: Unreadable) -> Problem {
        Problem::new(Code::Internal, format!("{error}; ask another node"))
    }
}

impl From<Unreadable> for super::answer::Refusal {
    fn from(error: Unreadable) -> super::answer::Refusal {
        Problem::from(error).into()
    }
}

pub(super) fn shutting_down() -> Problem {
    Problem::new(Code::ShuttingDown, "this node is shutting down; nothing was changed, send it to another node")
        .retry_after_ms(1000)
}
