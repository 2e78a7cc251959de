//! What the node's threads tell the outside: a few numbers, and a snapshot of the protocol's status.

use paxos::Status;
use replica::Replica;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use storage::JournalMark;

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
    /// Customers' transfers posted since the start.
    pub(crate) posted: AtomicU64,
    pub(crate) queue_len: AtomicUsize,
    pub(crate) requests_waiting: AtomicUsize,
    pub(crate) log_bytes: AtomicU64,
    pub(crate) last_sync_us: AtomicU64,
    held_back_by: AtomicU64,
    published_us: AtomicU64,
    status: Mutex<Status>,
    books: Mutex<Books>,
    on_sync: Box<dyn SyncObserver>,
}

/// What the books amount to after a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Books {
    pub(crate) mark: JournalMark,
    pub(crate) accounts: u64,
}

/// Where the durations of syncs go.
pub(crate) trait SyncObserver: Send + Sync + std::fmt::Debug {
    fn observe(&self, took: Duration);
}

impl Gauges {
    pub(crate) fn new(replica: &Replica, books: Books, checkpoint: u64, on_sync: Box<dyn SyncObserver>) -> Self {
        Self {
            applied: AtomicU64::new(books.mark.slot),
            checkpoint: AtomicU64::new(checkpoint),
            fold_waits: AtomicBool::new(false),
            posted: AtomicU64::new(0),
            queue_len: AtomicUsize::new(0),
            requests_waiting: AtomicUsize::new(0),
            log_bytes: AtomicU64::new(0),
            last_sync_us: AtomicU64::new(0),
            held_back_by: AtomicU64::new(0),
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
        let held_back_by = replica.paxos().held_back_by().map_or(0, |node| u64::from(node.get()));
        self.held_back_by.store(held_back_by, Ordering::Relaxed);
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = replica.status();
    }

    pub(crate) fn observe_sync(&self, took: Duration) {
        self.last_sync_us.store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.on_sync.observe(took);
    }

    /// A slot was applied; the replica's thread and the outside may know.
    pub(crate) fn set_books(&self, books: Books) {
        *self.books.lock().unwrap_or_else(PoisonError::into_inner) = books;
        self.applied.store(books.mark.slot, Ordering::Release);
    }

    pub(crate) fn books(&self) -> Books {
        *self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The status as of a few milliseconds ago.
    pub(crate) fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The member whose checkpoint holds the trimming of the log back.
    pub(crate) fn held_back_by(&self) -> Option<u16> {
        u16::try_from(self.held_back_by.load(Ordering::Relaxed)).ok().filter(|node| *node != 0)
    }
}
