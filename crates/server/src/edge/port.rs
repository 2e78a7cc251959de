//! What the edges need of a running node, and nothing more.
//!
//! The node behind it may be one of a group, or the ledger alone in memory, as in the tests of this module. Everything
//! here is an answer or an error in a bounded time.

use std::future::Future;

use crate::mending::{BEYOND_REPAIR, is_beyond_repair};
use api::code::Code;
use api::problem::Problem;
use api::status::NodeStatus;
use ledger::record::RecordBytes;
use ledger::{Answer, Ledger, Placer, RecordKey, Request};
use replica::group::{Change, ChangeRefused, Group};
use storage::StorageError;
use tracing::warn;

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
    fn outcome_of(&self, key: RecordKey) -> Result<Option<RecordBytes>, Unreadable>;

    /// How many records the journal has: places are counted from 0.
    fn places(&self) -> u64;

    /// The journal's record at that place, which some other record or account named.
    fn record(&self, place: u64) -> Result<RecordBytes, Unreadable>;
}

/// This node's files could not be read: the disk's fault. Where in which file is for the log and the status; callers are no
/// readers of paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// What is there is not what was written. The node makes it good again.
    #[error("what was asked for is damaged on this node")]
    Mending,
    /// The same, and nobody has a good copy of it.
    #[error("what was asked for is damaged")]
    BeyondRepair,
    /// The disk did not answer.
    #[error("this node's disk could not be read")]
    Failed,
}

impl Unreadable {
    /// What a failure of the disk means in a group of so many members.
    pub(crate) fn of(error: &StorageError, members: usize) -> Unreadable {
        match error.rotten_part() {
            Some(part) if is_beyond_repair(part, members) => Unreadable::BeyondRepair,
            // What is rotten is told where it is mended.
            Some(_) => Unreadable::Mending,
            None => {
                warn!(event = "disk_not_read", why = %error, effect = "the caller is sent to another node");
                Unreadable::Failed
            }
        }
    }
}

/// How long the mending of a small bank takes; whoever comes earlier asks again.
const MENDING_RETRY_MS: u64 = 2_000;

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
        match error {
            Unreadable::Mending => {
                let detail = format!("{error}; it is made good again; ask another node, or here again");
                Problem::new(Code::Mending, detail).retry_after_ms(MENDING_RETRY_MS)
            }
            Unreadable::BeyondRepair => {
                let todo = "asking again does not help; the operator can restore an older copy: rialto restore";
                Problem::new(Code::BeyondRepair, format!("{error}, and {BEYOND_REPAIR}; {todo}"))
            }
            Unreadable::Failed => {
                Problem::new(Code::Unavailable, format!("{error}; ask another node")).retry_after_ms(MENDING_RETRY_MS)
            }
        }
    }
}

impl From<Unreadable> for super::answer::Refusal {
    fn from(error: Unreadable) -> super::answer::Refusal {
        Problem::from(error).into()
    }
}

pub(crate) fn shutting_down() -> Problem {
    Problem::new(Code::ShuttingDown, "this node is shutting down; nothing was changed, send it to another node")
        .retry_after_ms(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::Part;

    fn rot(part: Part) -> StorageError {
        let path = "/srv/alpha/1/journal/000000".into();
        StorageError::Rot { part, path, offset: 512, what: "its checksum does not match".to_owned() }
    }

    #[test]
    fn rot_of_which_nobody_has_a_good_copy_is_promised_to_nobody() {
        for (part, members, code) in [
            (Part::Journal, 1, Code::BeyondRepair),
            (Part::Journal, 3, Code::Mending),
            // These are made again from the journal, also by a node alone.
            (Part::Ids, 1, Code::Mending),
            (Part::Store, 1, Code::Mending),
        ] {
            let problem = Problem::from(Unreadable::of(&rot(part), members));
            assert_eq!(problem.code, code, "{part:?} of {members}");
            assert_eq!(problem.retry_after_s().is_some(), code == Code::Mending, "{part:?} of {members}");
            let is_promised = problem.detail.contains("good again");
            assert_eq!(is_promised, code == Code::Mending, "{}", problem.detail);
            assert_eq!(problem.detail.contains("rialto restore"), code == Code::BeyondRepair, "{}", problem.detail);
        }
    }

    #[test]
    fn no_caller_is_shown_a_path_of_the_server() {
        let failed = StorageError::Absent { path: "/srv/alpha/1/journal".into(), wanted: 9, end: 7 };
        for error in [rot(Part::Journal), rot(Part::Ids), failed] {
            for members in [1, 3] {
                let detail = Problem::from(Unreadable::of(&error, members)).detail;
                assert!(!detail.contains('/'), "{detail}");
            }
        }
    }
}
