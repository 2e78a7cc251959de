//! Waiting for what becomes of payments while a worker works, and telling it.

use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use api::code::Code;
use clearing::PaymentId;
use clearing::outbox::ItemState;
use tokio::time::{Instant, timeout_at};
use wallet::{Condition, Entry, Outbox, Running};

use super::of_outbox;
use crate::failure::Failure;
use crate::follow_up;
use crate::waiting::{Waiting, waiting_for};

/// Another process may be the one that sends: its changes are seen on disk only.
const LOOK: Duration = Duration::from_millis(100);

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// It has its end, or nothing can be known within this time, or at once where there is no connection.
    KnownWithin(Duration),
    /// It has its end, or waits for a person; or this time is over, whether there is a connection or not.
    OverWithin(Duration),
    /// It has its end, or waits for a person.
    Over,
}

impl Until {
    /// Whether there is no more waiting, after so long.
    fn is_over(self, waited: Duration, sending: Sending) -> bool {
        match self {
            Until::Over => false,
            Until::OverWithin(patience) => waited >= patience,
            Until::KnownWithin(patience) => sending == Sending::Stuck || waited >= patience,
        }
    }
}

/// Whether anything can be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Works,
    Stuck,
}

/// Why there is no more waiting for all payments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing is left that can be sent.
    NothingLeft,
    /// Some are left, and this is how the worker fared at the end.
    GivenUp(Condition),
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
    let mut whom = Whom::default();
    loop {
        whom.is(&pulse.borrow().condition);
        let entry = outbox.entry(id).map_err(of_outbox)?;
        let rests = entry.item.state.is_final() || entry.waits_for_sign_in();
        // What may have arrived has its answer soon, or is known to have none.
        let sending = match matches!(entry.item.state, ItemState::Queued(_)) {
            true => sending(&pulse.borrow().condition),
            false => Sending::Works,
        };
        if rests || until.is_over(began.elapsed(), sending) {
            return Ok(entry);
        }
        let _ = timeout_at(Instant::now() + LOOK, pulse.changed()).await;
    }
}

/// For whom a person is told that the command waits.
#[derive(Debug, Default)]
struct Whom(Option<(Discriminant<Condition>, Waiting)>);

impl Whom {
    /// The wait counts anew when the condition is another, and not when only its reason is.
    fn is(&mut self, condition: &Condition) {
        let kind = discriminant(condition);
        if self.0.as_ref().is_none_or(|(before, _)| *before != kind) {
            self.0 = Some((kind, waiting_for(whom(condition))));
        }
    }
}

fn whom(condition: &Condition) -> String {
    match condition {
        Condition::Fine => "the gateway's answer about a payment".to_owned(),
        Condition::Offline { why } => format!("the gateway to answer: {why}"),
        Condition::OtherNetwork { why } | Condition::Broken { why } => format!("a payment to be sent: {why}"),
    }
}

fn sending(condition: &Condition) -> Sending {
    match condition {
        Condition::Offline { .. } | Condition::OtherNetwork { .. } => Sending::Stuck,
        Condition::Fine | Condition::Broken { .. } => Sending::Works,
    }
}

/// Tells what has become of payments since it was last told.
pub(super) fn tell_news(outbox: &mut Outbox, mut tell: impl FnMut(&Entry)) -> Result<(), Failure> {
    for entry in outbox.news().map_err(of_outbox)? {
        tell(&entry);
        outbox.mark_seen(&entry).map_err(of_outbox)?;
    }
    Ok(())
}

/// Waits until nothing is left that can be sent or there is no more waiting, and tells each result as it comes.
pub(super) async fn wait_for_all(
    running: &Running,
    outbox: &mut Outbox,
    until: Until,
    mut tell: impl FnMut(&Entry),
) -> Result<Ended, Failure> {
    let began = Instant::now();
    let mut pulse = running.pulse();
    let mut whom = Whom::default();
    loop {
        whom.is(&pulse.borrow().condition);
        tell_news(outbox, &mut tell)?;
        let open = outbox.open_entries().map_err(of_outbox)?;
        let waiting: Vec<_> = open.iter().filter(|entry| entry.waits_for_sign_in()).map(|e| e.terms.payer).collect();
        // What is behind a payment that waits for a sign-in waits with it.
        let rests = open.iter().all(|entry| waiting.contains(&entry.terms.payer));
        let condition = pulse.borrow().condition.clone();
        if let Condition::OtherNetwork { why } = &condition {
            // It would be waited for until somebody stops the other network.
            return Err(Failure::new(why.clone()).with_problem(Code::OtherCluster).line(format!(
                "nothing was sent; the payments are kept: {}",
                follow_up::command("outbox list --open")
            )));
        }
        if rests {
            return Ok(Ended::NothingLeft);
        }
        if until.is_over(began.elapsed(), sending(&condition)) {
            return Ok(Ended::GivenUp(condition));
        }
        let _ = timeout_at(Instant::now() + LOOK, pulse.changed()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_ends_the_wait_whether_something_can_be_sent_or_not_and_only_patience_ends_it_at_once() {
        let (before, after) = (Duration::from_secs(1), Duration::from_secs(10));
        let limit = Duration::from_secs(5);
        for sending in [Sending::Works, Sending::Stuck] {
            let over = |until: Until| [before, after].map(|waited| until.is_over(waited, sending));
            assert_eq!(over(Until::Over), [false, false]);
            assert_eq!(over(Until::OverWithin(limit)), [false, true]);
            assert_eq!(over(Until::KnownWithin(limit)), [sending == Sending::Stuck, true]);
        }
    }
}
