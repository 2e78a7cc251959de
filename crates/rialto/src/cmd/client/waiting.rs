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
    let mut whom = Whom::default();
    loop {
        whom.is(&pulse.borrow().condition);
        let entry = outbox.entry(id).map_err(of_outbox)?;
        let rests = entry.item.state.is_final() || entry.waits_for_sign_in();
        let given_up = match until {
            Until::Over => false,
            Until::KnownWithin(patience) => {
                let offline = is_away(&pulse.borrow().condition);
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

/// Nothing can be sent now.
fn is_away(condition: &Condition) -> bool {
    match condition {
        Condition::Offline { .. } | Condition::OtherNetwork { .. } => true,
        Condition::Fine | Condition::Broken { .. } => false,
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

/// Waits until nothing is left that can be sent, and tells each result as it comes.
pub(super) async fn wait_for_all(
    running: &Running,
    outbox: &mut Outbox,
    until: Until,
    mut tell: impl FnMut(&Entry),
) -> Result<(), Failure> {
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
        let offline = is_away(&pulse.borrow().condition);
        if let Condition::OtherNetwork { why } = &pulse.borrow().condition {
            // It would be waited for until somebody stops the other network.
            return Err(Failure::new(why.clone()).with_problem(Code::OtherCluster).line(format!(
                "nothing was sent; the payments are kept: {}",
                follow_up::command("outbox list --open")
            )));
        }
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
