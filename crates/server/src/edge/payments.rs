//! The gateway's calls: both halves of a payment between banks, as holds of this bank's ledger.
//!
//! ```text
//! PrepareDebit   hold  payer's account → interbank:<payee's bank>      CommitDebit,  CommitCredit   post the hold
//! PrepareCredit  hold  interbank:<payer's bank> → payee's account      AbortDebit,   AbortCredit    void it, or its id
//! Transfer       move  payer's account → payee's account               VoidTransfer                void the id
//! HoldStatus     look, and change nothing
//! ```
//!
//! What is answered is how the payment stands *now*, whatever was answered first. Accounts follow from names, so nothing is
//! looked up before, and an unknown customer is the ledger's own, lasting word.

use api::code::Code;
use api::payment::{Asked, CALLS_MAX, asked, finding_message};
use api::problem::Problem;
use api::proto;
use api::trace::TraceContext;
use clearing::{CallKind, Epoch, Finding, Holder, NamedParty, Side, Terms};
use ledger::{
    AccountId, Body, Command, Counterparty, Fence, Lost, Movement, OrderEnd, Outcome, Placer, Record, RecordKey,
    Rejected, Request,
};
use std::num::NonZeroU64;

use std::fmt;

use super::desk::{Desk, restoring};
use super::port::{BankPort, Life, SubmitError, Unreadable, View, gateway_placer};
use super::request_log;
use super::transfers::find;

/// One call whose method says its kind.
pub(super) async fn call<B: BankPort>(
    desk: &Desk<B>,
    message: &proto::PaymentCall,
    kind: CallKind,
) -> Result<proto::Finding, Problem> {
    let asked = asked(message, Some(kind))?;
    let found = find_all(desk, &[asked]).await?;
    found.first().copied().ok_or_else(|| Problem::new(Code::Internal, "the node gave no answer to a call"))
}

/// Many calls, each with its kind.
pub(super) async fn calls<B: BankPort>(
    desk: &Desk<B>,
    batch: &proto::PaymentCallBatch,
) -> Result<proto::FindingBatch, Problem> {
    if batch.calls.is_empty() || batch.calls.len() > CALLS_MAX {
        let detail = format!("a batch has 1 to {CALLS_MAX} calls, this one {}", batch.calls.len());
        let code = if batch.calls.is_empty() { Code::BatchEmpty } else { Code::BatchTooLarge };
        return Err(Problem::new(code, detail));
    }
    let parse = |(item, call): (usize, &proto::PaymentCall)| asked(call, None).map_err(|it| it.in_item(item));
    let asked = batch.calls.iter().enumerate().map(parse).collect::<Result<Vec<Asked>, Problem>>()?;
    request_log::note_about(asked.iter().zip(&batch.calls).map(|(asked, call)| Told { asked, call }));
    Ok(proto::FindingBatch { findings: find_all(desk, &asked).await? })
}

/// A call in a log: `PrepareDebit:<payment>`, and its own trace, for a batch has many.
struct Told<'a> {
    asked: &'a Asked,
    call: &'a proto::PaymentCall,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{}", self.asked.kind, self.asked.terms.id)?;
        TraceContext::parse(&self.call.traceparent).map_or(Ok(()), |trace| write!(f, ":trace-{}", trace.trace_id()))
    }
}

/// What becomes of each call. Those that change something go to the group as one request, which begins with the
/// incarnation of the gateway that speaks.
async fn find_all<B: BankPort>(desk: &Desk<B>, asked: &[Asked]) -> Result<Vec<proto::Finding>, Problem> {
    let bank = desk.bank.status().group;
    let life = desk.bank.life();
    check_life(&life, asked)?;
    let steps = asked.iter().map(|it| step(&bank, &life, it)).collect::<Result<Vec<Step>, Problem>>()?;
    // Also before a mere look: what is said now must stay so, and nothing that an older incarnation of the gateway still has
    // on its way may come after it.
    let commands = [fence(&life, asked)].into_iter().chain(steps.iter().flat_map(Step::commands)).collect();
    let submitted = desk.bank.submit(Request { linked: false, commands }).await;
    let answers = submitted.map_err(|error| unanswered(&error))?;
    if let Some(Rejected::StaleFence { known }) = answers.first().and_then(|answer| answer.outcome.rejection()) {
        return Err(superseded(*known));
    }
    let looked_up: Vec<Movement> = steps.iter().filter_map(Step::look).collect();
    let mut seen = Vec::new();
    if !looked_up.is_empty() {
        seen = desk
            .read(move |view| looked_up.iter().map(|hold| look(view, hold)).collect::<Result<Vec<_>, _>>())
            .await??;
    }
    // The first answer is the fence's.
    let (mut answers, mut seen) = (answers.into_iter().skip(1), seen.into_iter());
    let mut finding = |step: &Step| match step {
        Step::Order(_) => answers.next().map(|answer| Finding::of(&answer.outcome)),
        Step::Hold(_) => {
            let held = answers.next().map(|answer| Finding::of(&answer.outcome));
            answers.next().and(held)
        }
        Step::Look(_) => seen.next(),
    };
    let found = steps.iter().map(&mut finding).collect::<Option<Vec<Finding>>>();
    let found =
        found.ok_or_else(|| Problem::new(Code::Internal, "the node gave fewer answers than there were calls"))?;
    let epoch = Epoch::new(life.incarnation).unwrap_or(Epoch::FIRST);
    Ok(found.iter().map(|finding| finding_message(finding, epoch)).collect())
}

/// A restored bank takes nothing but what it lacks, and only one that was restored takes that: for it, also later, a
/// payment that it has is repeated and one that it lacks is booked. A gateway that was itself restored may have forgotten
/// that it brought it all.
fn check_life(life: &Life, asked: &[Asked]) -> Result<(), Problem> {
    if asked.iter().any(|it| it.replay) && life.incarnation <= 1 {
        let detail = "this bank was never restored from a backup: it lacks nothing, so nothing is replayed to it";
        return Err(Problem::new(Code::NotPermitted, detail));
    }
    if life.restoring && !asked.iter().all(|it| it.replay) { Err(restoring()) } else { Ok(()) }
}

/// The gateway's incarnation: of several the oldest, so that nothing of an older one passes with a newer one's calls.
fn epoch_of(asked: &[Asked]) -> u32 {
    asked.iter().map(|it| it.gateway.get()).min().unwrap_or(0)
}

/// What a restored bank lacks lies behind the number that its own books end with, whatever others have by now: until it has
/// that, no call raises the number.
fn fence(life: &Life, asked: &[Asked]) -> Command {
    let epoch = epoch_of(asked);
    let same = asked.iter().filter(|it| it.gateway.get() == epoch);
    let complete_through =
        same.filter(|it| !life.restoring || it.replay).map(|it| it.complete_through).max().unwrap_or(0);
    Command::Fence { placer: gateway_placer(), fence: Fence { epoch, complete_through, ..Fence::default() } }
}

fn superseded(known: u32) -> Problem {
    let detail = format!("incarnation {known} of the gateway has been heard here: this call is of an older one");
    Problem::new(Code::StaleEpoch, detail).with("known", known)
}

/// From now on nothing of an older incarnation of the gateway is carried out here.
pub(super) async fn listen_to<B: BankPort>(desk: &Desk<B>, epoch: u32) -> Result<(), Problem> {
    raise(desk, Fence { epoch, ..Fence::default() }).await
}

async fn raise<B: BankPort>(desk: &Desk<B>, fence: Fence) -> Result<(), Problem> {
    let request = Request::single(Command::Fence { placer: gateway_placer(), fence });
    let answers = desk.bank.submit(request).await.map_err(|error| unanswered(&error))?;
    match answers.first().and_then(|answer| answer.outcome.rejection()) {
        Some(Rejected::StaleFence { known }) => Err(superseded(*known)),
        Some(_) | None => Ok(()),
    }
}

/// A restored bank has all its payments again: from now on it serves.
pub(super) async fn caught_up<B: BankPort>(
    desk: &Desk<B>,
    message: &proto::CaughtUpRequest,
) -> Result<proto::CaughtUpResponse, Problem> {
    let life = desk.bank.life();
    if message.incarnation != life.incarnation {
        let detail = format!("this is incarnation {} of the bank, not {}", life.incarnation, message.incarnation);
        return Err(Problem::new(Code::StaleEpoch, detail).with("known", life.incarnation));
    }
    let lost = Lost { after: message.lost_after, through: message.lost_through };
    let fence = Fence { epoch: message.gateway_epoch, complete_through: 0, caught_up: message.incarnation, lost };
    raise(desk, fence).await?;
    Ok(proto::CaughtUpResponse {})
}

/// What a call comes to.
enum Step {
    Order(Command),
    /// A hold, placed or posted, and what is kept beside it for whoever asks the gateway about it later.
    Hold(Box<[Command; 2]>),
    Look(Movement),
}

impl Step {
    fn commands(&self) -> impl Iterator<Item = Command> {
        let commands = match self {
            Step::Order(command) => std::slice::from_ref(command),
            Step::Hold(commands) => commands.as_slice(),
            Step::Look(_) => &[],
        };
        commands.iter().copied()
    }

    fn look(&self) -> Option<Movement> {
        match self {
            Step::Order(_) | Step::Hold(_) => None,
            Step::Look(hold) => Some(*hold),
        }
    }
}

fn step(bank: &str, life: &Life, asked: &Asked) -> Result<Step, Problem> {
    let terms = &asked.terms;
    let ours = terms.party(asked.kind.side()).bank;
    if ours.as_str() != bank {
        let detail = format!("payment {} concerns bank {ours} here, and this is bank {bank}", terms.id);
        return Err(Problem::new(Code::NotPermitted, detail));
    }
    let placer = gateway_placer();
    let command = match asked.kind {
        // What was decided is decided: a bank that was restored may lack the hold. It knows which payments it lost, unless the
        // gateway says that this is one.
        CallKind::CommitDebit | CallKind::CommitCredit if life.incarnation > 1 => {
            let side = asked.kind.side();
            let number =
                if asked.replay { None } else { Some(NonZeroU64::new(asked.number).unwrap_or(NonZeroU64::MAX)) };
            let posted = replay((Some(placer), number), &hold(terms, side));
            return Ok(Step::Hold(Box::new([posted, note(terms, placer, side)])));
        }
        CallKind::Transfer if asked.replay => Some(replay((None, None), &transfer(terms))),
        CallKind::PrepareDebit | CallKind::PrepareCredit if asked.replay => None,
        CallKind::PrepareDebit | CallKind::PrepareCredit => {
            let side = asked.kind.side();
            let Movement { id, debit, credit, amount, currency, reference } = hold(terms, side);
            let placed = Command::PlaceHold { id, placer, debit, credit, amount, currency, reference };
            return Ok(Step::Hold(Box::new([placed, note(terms, placer, side)])));
        }
        // An end and a question name all of what they mean, so they find nothing else that has the id.
        CallKind::CommitDebit | CallKind::CommitCredit => {
            Some(end(OrderEnd::Post, Some(placer), &hold(terms, asked.kind.side())))
        }
        CallKind::AbortDebit | CallKind::AbortCredit => {
            Some(end(OrderEnd::Void, Some(placer), &hold(terms, asked.kind.side())))
        }
        CallKind::Transfer => Some(placed(placer, &transfer(terms))),
        CallKind::VoidTransfer => Some(end(OrderEnd::Void, None, &transfer(terms))),
        CallKind::HoldStatus(side) => return Ok(Step::Look(hold(terms, side))),
    };
    let command = command.ok_or_else(|| {
        Problem::new(Code::NotPermitted, "replay: what was decided is booked, not prepared").with("field", "replay")
    })?;
    Ok(Step::Order(command))
}

/// The same movement, as of a payment that was decided before.
fn replay((placer, number): (Option<Placer>, Option<NonZeroU64>), decided: &Movement) -> Command {
    let Movement { id, debit, credit, amount, currency, reference } = *decided;
    Command::Replay { id, placer, number, debit, credit, amount, currency, reference }
}

/// A transfer in the gateway's name, by which the audit finds it.
fn placed(placer: Placer, ordered: &Movement) -> Command {
    let Movement { id, debit, credit, amount, currency, reference } = *ordered;
    Command::Transfer { id, placer: Some(placer), debit, credit, amount, currency, reference }
}

fn end(end: OrderEnd, placer: Option<Placer>, ordered: &Movement) -> Command {
    let Movement { id, debit, credit, amount, currency, reference } = *ordered;
    Command::EndOrder { end, id, placer, debit, credit, amount, currency, reference }
}

/// The other side, which the hold itself knows only by its bank's account.
#[expect(clippy::expect_used, reason = "a counterparty has room for the longest name, '@' and the longest bank")]
fn note(terms: &Terms, placer: Placer, side: Side) -> Command {
    let other = terms.party(side.other()).to_string();
    let counterparty = Counterparty::stored(&other).expect("a customer's and a bank's name are shorter");
    Command::NoteHold { id: terms.id, placer, counterparty }
}

fn hold(terms: &Terms, side: Side) -> Movement {
    let own = account(terms.party(side), terms);
    let theirs = AccountId::interbank(terms.party(side.other()).bank.as_str(), terms.currency);
    let (debit, credit) = match side {
        Side::Debit => (own, theirs),
        Side::Credit => (theirs, own),
    };
    let Terms { id, amount, currency, reference, .. } = *terms;
    Movement { id, debit, credit, amount, currency, reference }
}

fn transfer(terms: &Terms) -> Movement {
    let (debit, credit) = (account(&terms.payer, terms), account(&terms.payee, terms));
    let Terms { id, amount, currency, reference, .. } = *terms;
    Movement { id, debit, credit, amount, currency, reference }
}

fn account(party: &NamedParty, terms: &Terms) -> AccountId {
    match party.holder {
        Holder::Customer(name) => AccountId::of_customer(&name),
        Holder::House => AccountId::vault(terms.currency),
    }
}

/// How the hold stands; where its id stands for something else, that nothing of it is held here.
fn look(view: &dyn View, hold: &Movement) -> Result<Finding, Unreadable> {
    let first = view.outcome_of(RecordKey::outcome(hold.id))?.and_then(|bytes| Record::decode(&bytes).ok());
    let (Some(found), Some(first)) = (find(view, hold.id)?, first) else { return Ok(Finding::NotFound) };
    let is_meant = matches!(first.body, Body::Tombstone { .. }) || first.body.is_of_order(hold);
    let reused = Outcome::Rejected { time_ms: first.time_ms, rejection: Rejected::IdReused };
    Ok(Finding::of(if is_meant { &found.outcome } else { &reused }))
}

/// The gateway repeats what it does not know the end of, so all that matters is that nothing is told as done.
fn unanswered(error: &SubmitError) -> Problem {
    match error {
        SubmitError::OutcomeUnknown => {
            Problem::new(Code::OutcomeUnknown, "what became of these calls is not known yet; repeat them as they are")
        }
        SubmitError::NotProposed { .. } | SubmitError::Overloaded { .. } | SubmitError::ShuttingDown => {
            super::identity::not_done(error)
        }
    }
}
