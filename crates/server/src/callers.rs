//! Who waits inside this node: callers of requests for their answers, callers of reads for their turn.
//!
//! Numbers are given out here and never twice in one start of the process. A caller that stopped waiting costs its
//! entry until its answer or its deadline comes, whichever is first: the replica reports both.

use replica::{Refusal, Reply};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// What a request's caller is told.
pub(crate) type Told<A> = Result<Reply<A>, Refusal>;

/// Callers by the numbers of their requests.
#[derive(Debug)]
pub(crate) struct Callers<A> {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Told<A>>>>,
}

impl<A> Default for Callers<A> {
    fn default() -> Self {
        Self { next: AtomicU64::default(), waiting: Mutex::default() }
    }
}

impl<A> Callers<A> {
    /// A number that was never given out before.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A new request: its number, and where its answer will come.
    pub(crate) fn add(&self) -> (u64, oneshot::Receiver<Told<A>>) {
        let seq = self.number();
        let (sender, receiver) = oneshot::channel();
        self.lock().insert(seq, sender);
        (seq, receiver)
    }

    /// Tells many callers at once. Those that stopped waiting are passed over.
    pub(crate) fn tell(&self, told: impl IntoIterator<Item = (u64, Told<A>)>) {
        let mut ready = Vec::new();
        {
            let mut waiting = self.lock();
            for (seq, answer) in told {
                ready.extend(waiting.remove(&seq).map(|sender| (sender, answer)));
            }
        }
        // Waking a task costs more than finding it: not under the lock.
        for (sender, answer) in ready {
            let _ = sender.send(answer);
        }
    }

    /// What becomes of requests that are under way will not be heard here.
    pub(crate) fn give_up(&self) {
        let all: Vec<u64> = self.lock().keys().copied().collect();
        self.tell(all.into_iter().map(|seq| (seq, Err(Refusal::OutcomeUnknown))));
    }

    /// Requests whose callers wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// A panic while the lock was held leaves the map whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Told<A>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
