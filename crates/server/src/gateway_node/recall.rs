//! Payments that banks hold money for and this gateway does not know: after it was restored from a backup, or after anything
//! else that nobody thought of.
//!
//! A bank that has voted ends no hold on its own: it waits for the gateway's word. Here the gateway looks for those who wait.
//! What it does not know it takes up as a question to both banks ([`clearing::Command::Resolve`]): posted anywhere forces post,
//! voided anywhere forces void. A restored gateway asks so for all that was placed since its last record, ended or not,
//! before it says that it is there again; so its positions are what the banks' books say.

use super::banks::Link;
use super::desk::{Desk, now_ms};
use super::registry;
use clearing::{Answer, BankName, Call, CallKind, Command, Epoch, Side, Status, Terms};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

/// Clocks of banks and gateway differ by less.
const MARGIN_MS: u64 = 60_000;
/// Banks that are away are waited for so long by a gateway that begins anew.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(500);
/// A hold is old when its payment has had its time several times over.
const OLD_MS: u64 = 10_000;
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);
/// Commands of one proposal.
const AT_ONCE: usize = 1_000;

/// A restored gateway hears from its banks what was paid since its backup, and begins its next incarnation with that.
pub(super) async fn begin_epoch(desk: &Desk, epoch: Epoch) {
    let Ok((last_ms, registered)) = desk
        .peek(|clearing| (clearing.time_ms(), clearing.banks().iter().map(|bank| bank.name).collect::<Vec<BankName>>()))
        .await
    else {
        return;
    };
    let since_ms = last_ms.saturating_sub(MARGIN_MS).max(1);
    let until = Instant::now() + PATIENCE;
    let mut told = BTreeMap::new();
    for name in registered {
        loop {
            let heard = match desk.banks.link(&name) {
                Some(link) => placed_since(&link, since_ms).await,
                None => None,
            };
            if let Some(terms) = heard {
                told.extend(terms.into_iter().map(|terms| (terms.id, (name, terms))));
                break;
            }
            if Instant::now() >= until {
                warn!(event = "bank_not_asked", bank = %name, effect = "what was paid through it since the backup may be missing here: rialto audit tells");
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    let resolve = |(bank, terms): (BankName, Terms)| Command::Resolve { bank, terms, taker: desk.node };
    let mut commands: Vec<Command> = told.into_values().map(resolve).collect();
    let rest = commands.split_off(commands.len().min(AT_ONCE));
    let asked = commands.len() + rest.len();
    // With the beginning itself, so that no crash comes between.
    commands.insert(0, Command::BeginEpoch { epoch });
    if let Err(error) = desk.submit(commands).await {
        warn!(event = "gateway_restore_waits", why = %error, effect = "it is tried again");
        return;
    }
    info!(
        event = "gateway_restored",
        incarnation = epoch.get(),
        asked_about = asked,
        effect = "what an older one still sends is refused"
    );
    for commands in rest.chunks(AT_ONCE) {
        // Those that are still held are found again in any case.
        let _ = desk.submit(commands.to_vec()).await;
    }
}

async fn placed_since(link: &Arc<Link>, since_ms: u64) -> Option<Vec<Terms>> {
    let (mut found, mut cursor) = (Vec::new(), 0);
    loop {
        let request = api::proto::GatewayHoldsRequest { placed_since_ms: since_ms, open_since_before_ms: 0, cursor };
        let (terms, next) = link.client().gateway_holds(request).await.ok()?;
        found.extend(terms);
        if next == 0 {
            return Some(found);
        }
        cursor = next;
    }
}

/// Looks for old holds now and then, beside everything else. Runs as long as the node serves.
pub(super) async fn run(desk: Desk) {
    loop {
        tokio::time::sleep(BETWEEN_LOOKS).await;
        for link in desk.banks.links() {
            if link.is_reachable() && !desk.gateway.life().restoring && registry::holds_the_pen(&desk) {
                old_holds(&desk, &link).await;
            }
        }
    }
}

/// Looks for holds of a bank that have grown old, and sees to it that each comes to its end.
async fn old_holds(desk: &Desk, link: &Arc<Link>) {
    let Ok(now_ms) = desk.peek(now_ms).await else { return };
    let before_ms = now_ms.saturating_sub(OLD_MS).max(1);
    let request = api::proto::GatewayHoldsRequest { placed_since_ms: 0, open_since_before_ms: before_ms, cursor: 0 };
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
    let Ok(epoch) = desk.peek(|clearing| clearing.epoch()).await else { return };
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
