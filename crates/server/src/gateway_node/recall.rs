//! Payments that banks hold money for and this gateway does not know: after it was restored from a backup, or after anything
//! else that nobody thought of.
//!
//! A bank that has voted ends no hold on its own: it waits for the gateway's word. Here the gateway looks for those who wait.
//! What it does not know it takes up as a question to both banks ([`clearing::Command::Resolve`]): posted anywhere forces post,
//! voided anywhere forces void. A restored gateway asks so for all that was placed since its last record, ended or not, and
//! takes nothing new for a bank before that; so its positions are what the banks' books say. Which banks it has asked is in its
//! replicated state, so that whoever holds the pen next goes on.

use super::banks::Link;
use super::desk::{Desk, now_ms};
use super::registry;
use api::code::Code;
use api::problem::Problem;
use api::proto;
use clearing::{Answer, BankName, Call, CallKind, Clearing, Command, Epoch, Refusal, Side, Status, Terms};
use std::collections::BTreeMap;
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
    loop {
        tokio::time::sleep(PAUSE).await;
        let serves = !desk.gateway.life().restoring && registry::holds_the_pen(&desk);
        let Ok((epoch, to_recall)) = desk.peek(to_recall).await else { continue };
        let looks_for_old = Instant::now() >= old_holds_at;
        if looks_for_old {
            old_holds_at = Instant::now() + BETWEEN_LOOKS;
        }
        for link in desk.banks.links().into_iter().filter(|link| serves && link.is_reachable()) {
            if let Some(since_ms) = to_recall.get(&link.name) {
                match recall(&desk, &link, epoch, *since_ms).await {
                    Ok(asked_about) => info!(event = "bank_recalled", bank = %link.name, asked_about),
                    Err(problem) => {
                        warn!(event = "bank_recall_stopped", bank = %link.name, why = %problem.detail, effect = "it is begun again; no new payment of this bank is taken before")
                    }
                }
            } else if looks_for_old {
                old_holds(&desk, &link, epoch).await;
            }
        }
    }
}

fn to_recall(clearing: &Clearing) -> (Epoch, BTreeMap<BankName, u64>) {
    (clearing.epoch(), clearing.to_recall().map(|(bank, recall)| (bank.name, recall.since_ms)).collect())
}

/// Enters everything that a bank set aside since then, and that it has been asked. A page at a time, each waited for, so that
/// neither memory nor the log has to hold it all at once.
async fn recall(desk: &Desk, link: &Link, epoch: Epoch, since_ms: u64) -> Result<usize, Problem> {
    let (mut asked_about, mut cursor) = (0, 0);
    loop {
        let request = proto::GatewayHoldsRequest {
            placed_since_ms: since_ms,
            open_since_before_ms: 0,
            cursor,
            gateway_epoch: epoch.get(),
        };
        let (placed, next) = link.client().gateway_holds(request).await.map_err(|error| {
            Problem::new(Code::Unavailable, format!("bank {} did not tell what it holds: {error}", link.name))
        })?;
        asked_about += placed.len();
        enter(desk, link.name, placed).await?;
        if next == 0 {
            break;
        }
        cursor = next;
    }
    desk.order(Command::BankRecalled { name: link.name, epoch }).await?;
    Ok(asked_about)
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
                // Its other bank tells of it as well, when it registers.
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
    let Ok(now_ms) = desk.peek(now_ms).await else { return };
    let before_ms = now_ms.saturating_sub(OLD_MS).max(1);
    let request = proto::GatewayHoldsRequest {
        placed_since_ms: 0,
        open_since_before_ms: before_ms,
        cursor: 0,
        gateway_epoch: epoch.get(),
    };
    let Ok((old, _)) = link.client().gateway_holds(request).await else { return };
    if old.is_empty() {
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
    if stray.is_empty() {
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
    Some(Call { kind, to: number.await.ok()??, terms: *terms, number: 0, complete_through: 0, gateway })
}
