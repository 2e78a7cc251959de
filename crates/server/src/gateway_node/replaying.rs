//! Brings a bank that came back from a backup the payments that its books lack.
//!
//! ```text
//! RegisterBank (a newer incarnation, its last complete number) ─► Restored { after }
//!     the chain of its payments, newest first ─► numbers above `after` ─► oldest first, decided ones, again
//! BankCaughtUp ─► Live ─► the bank is told, and serves
//! ```
//!
//! All of it is safe to repeat, so it is simply begun again when it was cut off. What is not decided yet is asked of the
//! bank anew once it has caught up.

use super::banks::Link;
use super::desk::Desk;
use api::code::Code;
use api::problem::Problem;
use clearing::bank::Bank;
use clearing::{Call, CallKind, Command, Finding, PaymentId};
use std::sync::Arc;
use tracing::{error, info, warn};

/// Payments that are looked at between two batches, at most.
const STEP: usize = 1_000;

/// Begins it, unless this node is at it.
pub(super) fn begin(desk: &Desk, link: &Arc<Link>, bank: &Bank, after: u64) {
    if !link.begin_replay() {
        return;
    }
    let (desk, link, bank) = (desk.clone(), Arc::clone(link), *bank);
    tokio::spawn(async move {
        info!(event = "bank_replay", bank = %bank.name, incarnation = bank.epoch.get(), after, through = bank.last_number);
        match bring(&desk, &link, &bank, after).await {
            Ok(replayed) => {
                info!(event = "bank_caught_up", bank = %bank.name, incarnation = bank.epoch.get(), replayed)
            }
            Err(problem) => {
                warn!(event = "bank_replay_stopped", bank = %bank.name, why = %problem.detail, effect = "it is begun again")
            }
        }
        link.end_replay();
    });
}

async fn bring(desk: &Desk, link: &Arc<Link>, bank: &Bank, after: u64) -> Result<u64, Problem> {
    let lacking = lacking(desk, bank, after).await?;
    let mut replayed = 0;
    for ids in lacking.rchunks(STEP) {
        let (ids, number) = (ids.to_vec(), bank.number);
        let calls = desk.read(move |view| {
            let oldest_first = ids.iter().rev();
            oldest_first.filter_map(|id| view.replay_call(number, *id).transpose()).collect::<Result<Vec<Call>, _>>()
        });
        let calls = calls.await?.map_err(|error| desk.unreadable(&error))?;
        if calls.is_empty() {
            continue;
        }
        let found = link.client().replay_payments(&calls).await.map_err(|error| {
            Problem::new(Code::Unavailable, format!("bank {} did not take its payments: {error}", bank.name))
        })?;
        for (call, found) in calls.iter().zip(found) {
            // Only what this very incarnation has is what it will serve with.
            if let Some(other) = found.filter(|reported| reported.epoch != bank.epoch) {
                let detail = format!("incarnation {} of bank {} answered", other.epoch.get(), bank.name);
                return Err(Problem::new(Code::StaleEpoch, detail));
            }
            let found = found.map(|reported| reported.finding);
            if found != Some(wanted(call.kind)) {
                error!(event = "replay_refused", bank = %bank.name, payment = %call.terms.id, call = ?call.kind, bank_says = ?found,
                    todo = "its books contradict the gateway's decision, or have no account for either side: set it right by hand");
            }
        }
        replayed += calls.len() as u64;
    }
    desk.order(Command::BankCaughtUp { name: bank.name, epoch: bank.epoch }).await?;
    Ok(replayed)
}

/// What the bank says of a payment that it has as it was decided.
fn wanted(kind: CallKind) -> Finding {
    match kind {
        CallKind::AbortDebit | CallKind::AbortCredit | CallKind::VoidTransfer => Finding::Voided,
        CallKind::PrepareDebit
        | CallKind::PrepareCredit
        | CallKind::CommitDebit
        | CallKind::CommitCredit
        | CallKind::Transfer
        | CallKind::HoldStatus(_) => Finding::Posted,
    }
}

/// The bank's payments with numbers above that, newest first.
async fn lacking(desk: &Desk, bank: &Bank, after: u64) -> Result<Vec<PaymentId>, Problem> {
    let (number, mut found, mut from) = (bank.number, Vec::new(), bank.last_place);
    while let Some(place) = from {
        let step = desk.read(move |view| view.payments_back(number, place, after, STEP));
        let (ids, next) = step.await?.map_err(|error| desk.unreadable(&error))?;
        found.extend(ids);
        from = next;
    }
    Ok(found)
}
