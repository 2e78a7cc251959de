//! Payments that banks hold money for and this gateway does not know: after it was restored from a backup, or after anything
//! else that nobody thought of.
//!
//! A bank that has voted ends no hold on its own: it waits for the gateway's word. Here the gateway looks for those who wait.
//! What it does not know it takes up as a question to both banks ([`clearing::Command::Resolve`]): what both have held or
//! posted is posted,
//! voided anywhere forces void. A restored gateway asks so for all that was placed since its copy, ended or not, and
//! takes nothing new for a bank before that; so its positions are what the banks' books say. Payments within one bank are told
//! of as well: otherwise whoever knows the id of one could use it for something else. Which banks it has asked is in its
//! replicated state, so that the next proposer goes on.

use super::banks::Link;
use super::desk::Desk;
use super::registry;
use crate::edge::gateway_holds::HOLDS_MAX;
use api::client::GatewayHolds;
use api::code::Code;
use api::problem::Problem;
use api::proto;
use clearing::agenda::Booking;
use clearing::{Answer, BankName, Call, CallKind, Clearing, Command, Epoch, Recall, Refusal, Side, Status, Terms};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{error, info, warn};

/// How long a bank's payments wait for room, before they are asked for anew.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(300);
/// A hold is old when its payment has had its time several times over.
const OLD_MS: u64 = 10_000;
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

/// A restored gateway's next incarnation begins. What it then has to ask every bank stands in its state: see
/// [`Clearing::to_recall`](clearing::Clearing::to_recall).
pub(super) async fn begin_epoch(desk: &Desk, epoch: Epoch) {
    match desk.submit(vec![Command::BeginEpoch { epoch }]).await {
        Ok(_) => info!(
            event = "gateway_restored",
            incarnation = epoch.get(),
            effect = "banks are asked what was paid since the backup; what an older incarnation still sends is refused"
        ),
        Err(error) => warn!(event = "gateway_restore_waits", why = %error, effect = "it is tried again"),
    }
}

/// Asks banks about what this gateway may have forgotten, or has never known. Runs as long as the node serves.
pub(super) async fn run(desk: Desk) {
    let mut old_holds_at = Instant::now() + BETWEEN_LOOKS;
    let asked = Asked::default();
    loop {
        tokio::time::sleep(PAUSE).await;
        let serves = !desk.gateway.life().restoring && registry::is_proposer(&desk);
        let Ok((epoch, to_recall)) = desk.peek(to_recall).await else { continue };
        let looks_for_old = Instant::now() >= old_holds_at;
        if looks_for_old {
            old_holds_at = Instant::now() + BETWEEN_LOOKS;
        }
        for link in desk.banks.links().into_iter().filter(|link| serves && link.is_reachable()) {
            let of = to_recall.get(&link.name).copied();
            if of.is_none() && !looks_for_old {
                continue;
            }
            // Each bank in a task of its own: one that answers slowly, or goes on for ever, delays no other.
            let Some(asking) = Asking::begin(&asked, link.name) else { continue };
            let desk = desk.clone();
            tokio::spawn(async move {
                ask(&desk, &link, epoch, of).await;
                drop(asking);
            });
        }
    }
}

/// Banks that are being asked now.
type Asked = Arc<Mutex<BTreeSet<BankName>>>;

/// A bank is being asked, until this is dropped.
struct Asking {
    asked: Asked,
    bank: BankName,
}

impl Asking {
    /// None if it is going on.
    fn begin(asked: &Asked, bank: BankName) -> Option<Asking> {
        let is_new = asked.lock().unwrap_or_else(PoisonError::into_inner).insert(bank);
        is_new.then(|| Asking { asked: Arc::clone(asked), bank })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.bank);
    }
}

/// Recalls a bank, or looks for its old holds.
async fn ask(desk: &Desk, link: &Link, epoch: Epoch, of: Option<Recall>) {
    let Some(of) = of else { return old_holds(desk, link, epoch).await };
    match recall(desk, link, epoch, of).await {
        Ok(asked_about) => info!(event = "bank_recalled", bank = %link.name, asked_about),
        Err(problem) => {
            warn!(event = "bank_recall_stopped", bank = %link.name, why = %problem.detail, effect = "it is begun again; no new payment of this bank is taken before")
        }
    }
}

fn to_recall(clearing: &Clearing) -> (Epoch, BTreeMap<BankName, Recall>) {
    (clearing.epoch(), clearing.to_recall().map(|(bank, recall)| (bank.name, recall)).collect())
}

/// Enters everything that a bank set aside and that may not be known here, and that it has been asked. A page at a time,
/// each waited for, so that
/// neither memory nor the log has to hold it all at once.
async fn recall(desk: &Desk, link: &Link, epoch: Epoch, of: Recall) -> Result<usize, Problem> {
    let recall = proto::Recall { epoch: of.epoch.get(), complete_through: of.complete_through };
    let (mut asked_about, mut cursor) = (0, 0);
    loop {
        let request =
            proto::GatewayHoldsRequest { cursor, gateway_epoch: epoch.get(), recall: Some(recall), open_for_ms: 0 };
        let held = link.client().gateway_holds(request).await.map_err(|error| {
            Problem::new(Code::Unavailable, format!("bank {} did not tell what it holds: {error}", link.name))
        })?;
        if held.unreadable > 0 {
            error!(event = "recall_unreadable", bank = %link.name, count = held.unreadable, todo = "this bank holds money for payments that cannot be understood: look at its open holds");
        }
        check_page(cursor, &held)
            .map_err(|why| Problem::new(Code::Unavailable, format!("bank {} {why}", link.name)))?;
        asked_about += held.payments.len();
        await_allowance(desk, link.name, held.payments.len().max(1)).await;
        enter(desk, link.name, held.payments).await?;
        if held.next_cursor == 0 {
            break;
        }
        cursor = held.next_cursor;
    }
    desk.order(Command::BankRecalled { name: link.name, epoch }).await?;
    Ok(asked_about)
}

/// An honest bank tells of so many at once, and goes back through its journal, so its cursor falls from page to page.
fn check_page(cursor: u64, page: &GatewayHolds) -> Result<(), &'static str> {
    if page.payments.len() + page.unreadable > HOLDS_MAX {
        return Err("tells of more holds at once than it may");
    }
    if cursor > 0 && page.next_cursor >= cursor { Err("tells again of what it has told of") } else { Ok(()) }
}

/// What a bank tells of is recorded, also if it made it up: so it tells no faster than one bank may. Only its own recall
/// waits for that. A page without any costs as much as one payment.
async fn await_allowance(desk: &Desk, bank: BankName, payments: usize) {
    while let Err(wait) = desk.bank_allowance.take(&bank, payments, std::time::Instant::now()) {
        tokio::time::sleep(wait).await;
    }
}

/// Until each is there. What finds no room waits for those before it to come to their end.
async fn enter(desk: &Desk, bank: BankName, mut placed: Vec<Terms>) -> Result<(), Problem> {
    let until = Instant::now() + PATIENCE;
    while !placed.is_empty() {
        let commands = placed.iter().map(|terms| Command::Resolve { bank, terms: *terms, taker: desk.node }).collect();
        let answers = desk.submit(commands).await.map_err(|error| super::desk::unanswered(&error))?;
        let mut waiting = Vec::new();
        for (terms, answer) in placed.into_iter().zip(answers) {
            match answer {
                Answer::Refused(Refusal::BankBusy { .. } | Refusal::BankRestoring { .. } | Refusal::Full) => {
                    waiting.push(terms);
                }
                // Its other bank tells of it as well, when it registers; if it may have lost it, this one is asked again then.
                Answer::Refused(Refusal::UnknownBank) | Answer::Done { .. } => {}
                Answer::Refused(why) => {
                    error!(event = "recall_refused", bank = %bank, payment = %terms.id, why = ?why, todo = "its books contradict the gateway's: set it right by hand");
                }
            }
        }
        if !waiting.is_empty() && Instant::now() >= until {
            let detail = format!("{} of the payments that {bank} tells of find no room yet", waiting.len());
            return Err(Problem::new(Code::Overloaded, detail));
        }
        placed = waiting;
        if !placed.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// Looks for holds of a bank that have grown old, and sees to it that each comes to its end.
async fn old_holds(desk: &Desk, link: &Link, epoch: Epoch) {
    // An age, not a time: the bank's log has its own.
    let (gateway_epoch, open_for_ms) = (epoch.get(), OLD_MS);
    let request = proto::GatewayHoldsRequest { cursor: 0, gateway_epoch, recall: None, open_for_ms };
    let Ok(GatewayHolds { payments: old, .. }) = link.client().gateway_holds(request).await else { return };
    if old.is_empty() || old.len() > HOLDS_MAX {
        return;
    }
    // What is on its way has its driver.
    let ids: Vec<_> = old.iter().map(|terms| terms.id).collect();
    let Ok(known) =
        desk.peek(move |clearing| ids.iter().map(|id| clearing.payment(*id).is_some()).collect::<Vec<_>>()).await
    else {
        return;
    };
    let stray: Vec<Terms> = old.into_iter().zip(known).filter(|(_, known)| !known).map(|(terms, _)| terms).collect();
    if stray.is_empty() || desk.bank_allowance.take(&link.name, stray.len(), std::time::Instant::now()).is_err() {
        // Beyond what a bank may have looked into: the next look finds them again.
        return;
    }
    info!(event = "old_holds", bank = %link.name, holds = stray.len(), effect = "both banks are asked, and they come to their end");
    let bank = link.name;
    let resolve = |terms: &Terms| Command::Resolve { bank, terms: *terms, taker: desk.node };
    let Ok(answers) = desk.submit(stray.iter().map(resolve).collect()).await else { return };
    for (terms, answer) in stray.iter().zip(answers) {
        if let Some(call) = again(desk, terms, bank, &answer, epoch).await {
            desk.banks.call(call);
        }
    }
}

/// The call that tells a bank what was decided long ago.
async fn again(desk: &Desk, terms: &Terms, bank: BankName, answer: &Answer, gateway: Epoch) -> Option<Call> {
    let is_post = match answer.status()? {
        Status::Paid { .. } => true,
        Status::Refused { .. } => false,
        Status::Undecided => return None,
    };
    let side = Side::BOTH.into_iter().find(|side| terms.party(*side).bank == bank)?;
    let kind = match (is_post, side) {
        (true, Side::Debit) => CallKind::CommitDebit,
        (true, Side::Credit) => CallKind::CommitCredit,
        (false, Side::Debit) => CallKind::AbortDebit,
        (false, Side::Credit) => CallKind::AbortCredit,
    };
    let number = desk.peek(move |clearing| clearing.banks().iter().find(|of| of.name == bank).map(|of| of.number));
    let (to, booking) = (number.await.ok()??, Booking::Held);
    Some(Call { kind, to, terms: *terms, number: 0, complete_through: 0, gateway, booking })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_bank_fall_and_are_bounded() {
        let page = |unreadable, next_cursor| GatewayHolds { payments: Vec::new(), unreadable, next_cursor };
        for (cursor, unreadable, next_cursor) in [(0, 0, 0), (0, HOLDS_MAX, u64::MAX), (9, 3, 8), (9, 0, 0)] {
            assert_eq!(check_page(cursor, &page(unreadable, next_cursor)), Ok(()), "{cursor} {next_cursor}");
        }
        for (cursor, unreadable, next_cursor) in [(0, HOLDS_MAX + 1, 0), (9, 0, 9), (9, 0, 10), (1, 0, u64::MAX)] {
            assert!(check_page(cursor, &page(unreadable, next_cursor)).is_err(), "{cursor} {next_cursor}");
        }
    }

    #[test]
    fn a_bank_that_is_being_asked_is_not_asked_beside_that_and_others_are() {
        let asked = Asked::default();
        let name = |name| BankName::new(name).expect("a name");
        let alpha = Asking::begin(&asked, name("alpha")).expect("nobody asks it");
        assert!(Asking::begin(&asked, name("alpha")).is_none());
        assert!(Asking::begin(&asked, name("beta")).is_some());
        drop(alpha);
        assert!(Asking::begin(&asked, name("alpha")).is_some());
    }
}
