//! Waiting for what becomes of payments while a worker works, and telling it.

use std::time::Duration;

use clearing::PaymentId;
use clearing::outbox::ItemState;
use tokio::time::{Instant, timeout_at};
use wallet::{Condition, Entry, Outbox, Running};

use super::of_outbox;
use crate::failure::Failure;

/// Another process may be the one that sends: its changes are seen on disk only.
const LOOK: Duration = Duration::from_millis(100);

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// It has its end, or nothing can be known within this time, or at once where there is no connection.
    KnownWithin(Duration),
    /// It has its end, or waits for a person.
    Over,
}

/// Waits for one payment.
pub(super) async fn wait_for(
    running: &Running,
    outbox: &Outbox,
    id: PaymentId,
    until: Until,
) -> Result<Entry, Failure> {
    let began = Instant::now();
    let mut pulse = running.pulse();
    loop {
        let entry = outbox.entry(id).map_err(of_outbox)?;
        let rests = entry.item.state.is_final() || entry.waits_for_sign_in();
        let given_up = match until {
            Until::Over => false,
            Until::KnownWithin(patience) => {
                let offline = matches!(pulse.borrow().condition, Condition::Offline { .. });
                let unsent = matches!(entry.item.state, ItemState::Queued(_));
                began.elapsed() >= patience || (offline && unsent)
            }
        };
        if rests || given_up {
            return Ok(entry);
        }
        let _ = timeout_at(Instant::now() + LOOK, pulse.changed()).await;
    }
}

/// Waits until nothing is left that can be sent, and tells each result as it comes.
pub(super) async fn wait_for_all(
    running: &Running,
    outbox: &mut Outbox,
    until: Until,
    mut tell: impl FnMut(&Entry),
) -> Result<(), Failure> {
    let began = Instant::now();
    let mut pulse = running.pulse();
    loop {
        for entry in outbox.news().map_err(of_outbox)? {
            tell(&entry);
            outbox.mark_seen(&entry).map_err(of_outbox)?;
        }
        let open = outbox.open_entries().map_err(of_outbox)?;
        let waiting: Vec<_> = open.iter().filter(|entry| entry.waits_for_sign_in()).map(|e| e.terms.payer).collect();
        // What is behind a payment that waits for a sign-in waits with it.
        let rests = open.iter().all(|entry| waiting.contains(&entry.terms.payer));
        let offline = matches!(pulse.borrow().condition, Condition::Offline { .. });
        let given_up = match until {
            Until::Over => false,
            Until::KnownWithin(patience) => offline || began.elapsed() >= patience,
        };
        if rests || given_up {
            return Ok(());
        }
        let _ = timeout_at(Instant::now() + LOOK, pulse.changed()).await;
    }
}
