//! Who waits for a payment's decision on this node.
//!
//! Whoever hears of a decision first tells them: the answer to this node's own report, or a look at the state now and then.

use clearing::{PaymentId, Status};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Callers by payment. A caller that stopped waiting costs its entry until the payment is decided or looked at again.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    callers: Mutex<HashMap<PaymentId, Vec<oneshot::Sender<Status>>>>,
}

/// Those who wait, for the length of a look.
pub(super) struct Present<'a>(MutexGuard<'a, HashMap<PaymentId, Vec<oneshot::Sender<Status>>>>);

impl Present<'_> {
    pub(super) fn has(&self, id: PaymentId) -> bool {
        self.0.get(&id).is_some_and(|waiting| waiting.iter().any(|caller| !caller.is_closed()))
    }
}

impl Waiting {
    /// Where the decision will be told.
    pub(super) fn add(&self, id: PaymentId) -> oneshot::Receiver<Status> {
        let (sender, receiver) = oneshot::channel();
        self.lock().entry(id).or_default().push(sender);
        receiver
    }

    /// Tells who waits, if it is a decision.
    pub(super) fn tell(&self, id: PaymentId, status: Status) {
        if status == Status::Undecided {
            return;
        }
        let callers = self.lock().remove(&id);
        for caller in callers.into_iter().flatten() {
            // One that stopped waiting asks again, or not.
            let _ = caller.send(status);
        }
    }

    /// Nobody will tell them here any more: whoever waits hears that the outcome is not known, and asks another node.
    pub(super) fn give_up(&self) {
        self.lock().clear();
    }

    /// The payments that somebody waits for; who has given up is forgotten.
    pub(super) fn ids(&self) -> Vec<PaymentId> {
        let mut callers = self.lock();
        callers.retain(|_, waiting| {
            waiting.retain(|caller| !caller.is_closed());
            !waiting.is_empty()
        });
        callers.keys().copied().collect()
    }

    /// Who waits now; nobody comes or goes while it is looked at.
    pub(super) fn present(&self) -> Present<'_> {
        Present(self.lock())
    }

    /// A panic while the lock was held leaves the map whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<PaymentId, Vec<oneshot::Sender<Status>>>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
