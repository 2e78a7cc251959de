//! What the node's threads tell the outside: a few numbers, and a snapshot of the protocol's status.

use crate::edge::port::Life;
use crate::rot::Rot;
use crate::service::Service;
use api::status::TransferState;
use paxos::Status;
use replica::group::Group;
use replica::{Applier, Replica};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use storage::{Disk, JournalMark};

/// How often the protocol's status is copied out.
const PUBLISH_US: u64 = 20_000;

/// Numbers that one thread writes and others read.
#[derive(Debug)]
pub(crate) struct Gauges {
    /// Last slot applied; the replica's thread asks for it.
    pub(crate) applied: AtomicU64,
    /// Last slot of the durable checkpoint.
    pub(crate) checkpoint: AtomicU64,
    /// The apply thread wants a sync of the log, so that a checkpoint may be written.
    pub(crate) fold_waits: AtomicBool,
    /// Transfers or payments that moved money since the start.
    pub(crate) posted: AtomicU64,
    pub(crate) queue_len: AtomicUsize,
    pub(crate) requests_waiting: AtomicUsize,
    pub(crate) log_bytes: AtomicU64,
    pub(crate) last_sync_us: AtomicU64,
    /// The log's time as of the last tick, in Unix milliseconds; 0 before the first.
    pub(crate) log_time_ms: AtomicU64,
    /// By how much that is ahead of the group's clocks.
    pub(crate) log_ahead_ms: AtomicU64,
    /// What was found rotten since the process started.
    pub(crate) rot: Arc<Rot>,
    /// The log lost a promise or a vote: this node votes no more.
    pub(crate) votes_lost: bool,
    /// The apply thread runs.
    pub(crate) applies: AtomicBool,
    /// Callers may be answered from the books here.
    serves: AtomicBool,
    published_us: AtomicU64,
    status: Mutex<Status>,
    group: Mutex<Arc<Group>>,
    transfer: Mutex<Option<TransferState>>,
    books: Mutex<Books>,
    on_sync: Box<dyn SyncObserver>,
}

/// What the books amount to after a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Books {
    pub(crate) mark: JournalMark,
    pub(crate) accounts: u64,
    /// The version of the group after that slot.
    pub(crate) group_version: u64,
    pub(crate) life: Life,
}

impl Books {
    /// The books of a node between two batches.
    pub(crate) fn of<S: Service, D: Disk>(applier: &Applier<S, D>, mark: JournalMark) -> Books {
        Books {
            mark,
            accounts: applier.machine().size(),
            group_version: applier.group().version,
            life: applier.machine().life(applier.group().incarnation),
        }
    }
}

/// What is known beside the replica when a node starts.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) rot: Arc<Rot>,
    pub(crate) votes_lost: bool,
    pub(crate) on_sync: Box<dyn SyncObserver>,
}

/// Where the durations of syncs go.
pub(crate) trait SyncObserver: Send + Sync + std::fmt::Debug {
    fn observe(&self, took: Duration);
}

impl Gauges {
    pub(crate) fn new(replica: &Replica, books: Books, checkpoint: u64, seen: Seen) -> Self {
        let Seen { rot, votes_lost, on_sync } = seen;
        Self {
            rot,
            votes_lost,
            applies: AtomicBool::new(true),
            serves: AtomicBool::new(replica.serves()),
            group: Mutex::new(Arc::new(replica.group().clone())),
            transfer: Mutex::new(transfer_of(replica)),
            applied: AtomicU64::new(books.mark.slot),
            checkpoint: AtomicU64::new(checkpoint),
            fold_waits: AtomicBool::new(false),
            posted: AtomicU64::new(0),
            queue_len: AtomicUsize::new(0),
            requests_waiting: AtomicUsize::new(0),
            log_bytes: AtomicU64::new(0),
            last_sync_us: AtomicU64::new(0),
            log_time_ms: AtomicU64::new(0),
            log_ahead_ms: AtomicU64::new(0),
            published_us: AtomicU64::new(0),
            status: Mutex::new(replica.status()),
            books: Mutex::new(books),
            on_sync,
        }
    }

    /// Copies the replica's status out, now and then.
    pub(crate) fn publish(&self, replica: &Replica, log_bytes: u64, now_us: u64) {
        if now_us.saturating_sub(self.published_us.load(Ordering::Relaxed)) < PUBLISH_US {
            return;
        }
        self.published_us.store(now_us, Ordering::Relaxed);
        self.queue_len.store(replica.queue_len(), Ordering::Relaxed);
        self.requests_waiting.store(replica.requests_waiting(), Ordering::Relaxed);
        self.log_bytes.store(log_bytes, Ordering::Relaxed);
        self.serves.store(replica.serves(), Ordering::Relaxed);
        *lock(&self.transfer) = transfer_of(replica);
        *lock(&self.status) = replica.status();
    }

    /// The group has changed.
    pub(crate) fn set_group(&self, group: &Arc<Group>) {
        *lock(&self.group) = Arc::clone(group);
    }

    /// The group as of the last slot chosen here.
    pub(crate) fn group(&self) -> Arc<Group> {
        Arc::clone(&lock(&self.group))
    }

    /// May callers be answered from the books here? Not while they are received.
    pub(crate) fn serves(&self) -> bool {
        self.serves.load(Ordering::Relaxed)
    }

    /// How far the books have come that are received.
    pub(crate) fn transfer(&self) -> Option<TransferState> {
        *lock(&self.transfer)
    }

    pub(crate) fn observe_sync(&self, took: Duration) {
        self.last_sync_us.store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.on_sync.observe(took);
    }

    /// A slot was applied; the replica's thread and the outside may know.
    pub(crate) fn set_books(&self, books: Books) {
        *lock(&self.books) = books;
        self.applied.store(books.mark.slot, Ordering::Release);
    }

    pub(crate) fn books(&self) -> Books {
        *lock(&self.books)
    }

    /// The status as of a few milliseconds ago.
    pub(crate) fn status(&self) -> Status {
        lock(&self.status).clone()
    }
}

fn transfer_of(replica: &Replica) -> Option<TransferState> {
    replica.transfer().map(|(done, total)| TransferState { done, total })
}

/// A panic while a lock was held leaves these values whole: they are only replaced.
fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
