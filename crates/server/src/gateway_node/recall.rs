//! Payments that banks hold money for and this gateway does not know: after it was restored from a backup, or after anything
//! else that nobody thought of.
//!
//! A bank that has voted ends no hold on its own: it waits for the gateway's word. Here the gateway looks for those who wait.
//! What it does not know it takes up as a question to both banks ([`clearing::Command::Resolve`]): what both have held or
//! posted is posted,
//! voided anywhere forces void. A restored gateway asks so for all that was placed since its copy, ended or not, and
//! takes nothing new for a bank before that; so its positions are what the banks' books say. Payments within one bank are told
//! of as well: otherwise whoever knows the id of one could use it for something else. What finds no room at another bank, which
//! may be away or full for long, is put off: the two banks take part in nothing new with each other until it has been told, and
//! nobody else waits. Which banks it has asked, and about whom, is in its replicated state, so that the next proposer goes on.

use super::banks::Link;
use super::desk::Desk;
use super::registry;
use crate::edge::gateway_holds::HOLDS_MAX;
use api::client::GatewayHolds;
use api::code::Code;
use api::problem::Problem;
use api::proto;
use clearing::agenda::Booking;
use clearing::{
    Answer, BankName, BankNumber, Call, CallKind, Clearing, Command, Epoch, Recall, Refusal, Side, Status, Terms,
};
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
/// Before a bank is asked again about one other bank: it walks its journal back for that.
const BETWEEN_ASKING_WITH: Duration = Duration::from_secs(30);

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
    let mut asked_with: BTreeMap<[BankName; 2], Instant> = BTreeMap::new();
    loop {
        tokio::time::sleep(PAUSE).await;
        let serves = !desk.gateway.life().restoring && registry::is_proposer(&desk);
        if !serves {
            continue;
        }
        let Ok(Wanted { epoch, whole: to_recall, with }) = desk.peek(wanted).await else { continue };
        asked_with.retain(|pair, _| with.contains_key(pair));
        for ([bank, other], recall) in with {
            let is_time = asked_with.get(&[bank, other]).is_none_or(|at| at.elapsed() >= BETWEEN_ASKING_WITH);
            let link = desk.banks.link(&bank).filter(|link| is_time && link.is_reachable());
            let Some(link) = link else { continue };
            // About one other at a time: it walks its journal back for each.
            let Some(asking) = Asking::begin(&asked, (bank, About::OneBank)) else { continue };
            asked_with.insert([bank, other], Instant::now());
            let desk = desk.clone();
            tokio::spawn(async move {
                ask_with(&desk, &link, epoch, (recall, other)).await;
                drop(asking);
            });
        }
        let looks_for_old = Instant::now() >= old_holds_at;
        if looks_for_old {
            old_holds_at = Instant::now() + BETWEEN_LOOKS;
        }
        for link in desk.banks.links().into_iter().filter(|link| link.is_reachable()) {
            let of = to_recall.get(&link.name).copied();
            if of.is_none() && !looks_for_old {
                continue;
            }
            // Each bank in a task of its own: one that answers slowly, or goes on for ever, delays no other.
            let Some(asking) = Asking::begin(&asked, (link.name, About::Everything)) else { continue };
            let desk = desk.clone();
            tokio::spawn(async move {
                ask(&desk, &link, epoch, of).await;
                drop(asking);
            });
        }
    }
}

/// What a bank is asked about: all that it set aside and its old holds, or what it set aside with one other bank.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum About {
    Everything,
    OneBank,
}

type Question = (BankName, About);

/// What is being asked now.
type Asked = Arc<Mutex<BTreeSet<Question>>>;

/// A bank is being asked, until this is dropped.
struct Asking {
    asked: Asked,
    question: Question,
}

impl Asking {
    /// None if it is going on.
    fn begin(asked: &Asked, question: Question) -> Option<Asking> {
        let is_new = asked.lock().unwrap_or_else(PoisonError::into_inner).insert(question);
        is_new.then(|| Asking { asked: Arc::clone(asked), question })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.question);
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

/// Asks a bank about its payments with one other bank.
async fn ask_with(desk: &Desk, link: &Link, epoch: Epoch, (of, other): (Recall, BankName)) {
    match recall_with(desk, link, epoch, (of, other)).await {
        Ok(asked_about) => info!(event = "bank_recalled_with", bank = %link.name, other = %other, asked_about),
        Err(problem) => {
            warn!(event = "bank_recall_stopped", bank = %link.name, other = %other, why = %problem.detail, effect = "it is begun again; no new payment between the two is taken before")
        }
    }
}

/// Whom the gateway has yet to ask.
struct Wanted {
    epoch: Epoch,
    whole: BTreeMap<BankName, Recall>,
    /// About one other bank alone: the bank, and the other.
    with: BTreeMap<[BankName; 2], Recall>,
}

fn wanted(clearing: &Clearing) -> Wanted {
    let with = clearing.to_recall_with().map(|(bank, other, recall)| ([bank.name, other.name], recall));
    let whole = clearing.to_recall().map(|(bank, recall)| (bank.name, recall));
    Wanted { epoch: clearing.epoch(), whole: whole.collect(), with: with.collect() }
}

/// Enters everything that a bank set aside and that may not be known here, and that it has been asked.
async fn recall(desk: &Desk, link: &Link, epoch: Epoch, of: Recall) -> Result<usize, Problem> {
    let name = link.name;
    let mut put_off: BTreeSet<BankName> = desk
        .peek(move |clearing| {
            let own = clearing.to_recall_with().filter(|(bank, ..)| bank.name == name);
            own.map(|(_, other, _)| other.name).collect()
        })
        .await?;
    let (mut told, mut asked_about) = (Telling::begin(link, epoch, of), 0);
    while let Some(mut placed) = told.next_page().await? {
        await_allowance(desk, link.name, placed.len().max(1)).await;
        placed.retain(|terms| !put_off.contains(&other_bank(terms, link.name)));
        asked_about += placed.len();
        for other in enter(desk, link.name, placed).await? {
            warn!(event = "bank_recall_put_off", bank = %link.name, other = %other, effect = "the rest goes on; no new payment between the two is taken before it has been told");
            desk.order(Command::RecallWith { name: link.name, other, epoch }).await?;
            put_off.insert(other);
        }
    }
    desk.order(Command::BankRecalled { name: link.name, epoch }).await?;
    Ok(asked_about)
}

/// As [`recall`], of the payments with one other bank.
async fn recall_with(
    desk: &Desk,
    link: &Link,
    epoch: Epoch,
    (of, other): (Recall, BankName),
) -> Result<usize, Problem> {
    let (mut told, mut asked_about, mut has_room) = (Telling::begin(link, epoch, of), 0, true);
    while let Some(mut placed) = told.next_page().await? {
        placed.retain(|terms| other_bank(terms, link.name) == other);
        await_allowance(desk, link.name, placed.len().max(1)).await;
        asked_about += placed.len();
        has_room &= enter(desk, link.name, placed).await?.is_empty();
    }
    // Older pages may make the room that newer ones lacked, so all of them are told before it is said.
    if !has_room {
        return Err(Problem::new(Code::Overloaded, format!("bank {other} takes no more payments now")));
    }
    desk.order(Command::BankRecalledWith { name: link.name, other, epoch }).await?;
    Ok(asked_about)
}

/// The bank that a bank's payment is with: the same one where it is within that bank.
fn other_bank(terms: &Terms, bank: BankName) -> BankName {
    if terms.payer.bank == bank { terms.payee.bank } else { terms.payer.bank }
}

/// A bank tells what it set aside, a page at a time, so that neither memory nor the log has to hold it all at once.
struct Telling<'a> {
    link: &'a Link,
    epoch: Epoch,
    recall: proto::Recall,
    /// Where the next page begins; none behind the last one.
    cursor: Option<u64>,
}

impl Telling<'_> {
    fn begin(link: &Link, epoch: Epoch, of: Recall) -> Telling<'_> {
        let recall = proto::Recall { epoch: of.epoch.get(), complete_through: of.complete_through };
        Telling { link, epoch, recall, cursor: Some(0) }
    }

    async fn next_page(&mut self) -> Result<Option<Vec<Terms>>, Problem> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        let (gateway_epoch, recall, bank) = (self.epoch.get(), Some(self.recall), self.link.name);
        let request = proto::GatewayHoldsRequest { cursor, gateway_epoch, recall, open_for_ms: 0 };
        let held = self.link.client().gateway_holds(request).await.map_err(|error| {
            Problem::new(Code::Unavailable, format!("bank {bank} did not tell what it holds: {error}"))
        })?;
        if held.unreadable > 0 {
            error!(event = "recall_unreadable", bank = %bank, count = held.unreadable, todo = "this bank holds money for payments that cannot be understood: look at its open holds");
        }
        check_page(cursor, &held).map_err(|why| Problem::new(Code::Unavailable, format!("bank {bank} {why}")))?;
        self.cursor = Some(held.next_cursor).filter(|next| *next > 0);
        Ok(Some(held.payments))
    }
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

/// Until each is there. What finds no room waits for those before it to come to their end. Gives the other banks that took no
/// more all the time.
async fn enter(desk: &Desk, bank: BankName, mut placed: Vec<Terms>) -> Result<BTreeSet<BankName>, Problem> {
    let until = Instant::now() + PATIENCE;
    while !placed.is_empty() {
        let commands = placed.iter().map(|terms| Command::Resolve { bank, terms: *terms, taker: desk.node }).collect();
        let answers = desk.submit(commands).await.map_err(|error| super::desk::unanswered(&error))?;
        let (mut waiting, mut without_room, mut full) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for (terms, answer) in placed.into_iter().zip(answers) {
            match answer {
                Answer::Refused(Refusal::BankBusy { bank } | Refusal::BankRestoring { bank }) => {
                    waiting.push(terms);
                    without_room.insert(bank);
                }
                // What the two owe each other cannot grow: that is between them.
                Answer::Refused(Refusal::Full) => {
                    waiting.push(terms);
                    full.insert(other_bank(&terms, bank));
                }
                // Its other bank tells of it as well, when it registers; if it may have lost it, this one is asked about it then.
                Answer::Refused(Refusal::UnknownBank) | Answer::Done { .. } => {}
                Answer::Refused(why) => {
                    error!(event = "recall_refused", bank = %bank, payment = %terms.id, why = ?why, todo = "its books contradict the gateway's: set it right by hand");
                }
            }
        }
        if !waiting.is_empty() && Instant::now() >= until {
            let without_room = desk.peek(move |clearing| names_of(clearing, &without_room)).await?;
            let put_off: BTreeSet<BankName> = without_room.union(&full).copied().collect();
            if !put_off.contains(&bank) {
                return Ok(put_off);
            }
            let detail = format!("{} of the payments that {bank} tells of find no room yet", waiting.len());
            return Err(Problem::new(Code::Overloaded, detail));
        }
        placed = waiting;
        if !placed.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(BTreeSet::new())
}

fn names_of(clearing: &Clearing, numbers: &BTreeSet<BankNumber>) -> BTreeSet<BankName> {
    numbers.iter().filter_map(|number| Some(clearing.bank(*number)?.name)).collect()
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
        let name = |name: &str| BankName::new(name).expect("a name");
        let begin = |bank, about| Asking::begin(&asked, (name(bank), about));
        let alpha = begin("alpha", About::Everything).expect("nobody asks it");
        assert!(begin("alpha", About::Everything).is_none());
        assert!(begin("beta", About::Everything).is_some());
        assert!(begin("alpha", About::OneBank).is_some(), "about one other bank it is asked beside that");
        drop(alpha);
        assert!(begin("alpha", About::Everything).is_some());
    }
}
