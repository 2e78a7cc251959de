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
use ledger::{AccountId, Command, Placer, Request, TransferId};

use std::fmt;

use super::desk::Desk;
use super::port::{BankPort, SubmitError, Unreadable, View};
use super::request_log;
use super::transfers::find;

/// Who the gateway is to the ledger: only it ends what it placed.
const GATEWAY: &str = "gateway";

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

/// What becomes of each call. Those that change something go to the group as one request.
async fn find_all<B: BankPort>(desk: &Desk<B>, asked: &[Asked]) -> Result<Vec<proto::Finding>, Problem> {
    let bank = desk.bank.status().group;
    let steps = asked.iter().map(|it| step(&bank, it)).collect::<Result<Vec<Step>, Problem>>()?;
    let commands: Vec<Command> = steps.iter().filter_map(Step::command).collect();
    let mut answers = Vec::new();
    if !commands.is_empty() {
        answers = desk.bank.submit(Request { linked: false, commands }).await.map_err(|error| unanswered(&error))?;
    }
    let looked_up: Vec<TransferId> = steps.iter().filter_map(Step::look).collect();
    let mut seen = Vec::new();
    if !looked_up.is_empty() {
        seen =
            desk.read(move |view| looked_up.iter().map(|id| look(view, *id)).collect::<Result<Vec<_>, _>>()).await??;
    }
    let (mut answers, mut seen) = (answers.into_iter(), seen.into_iter());
    let finding = |step: &Step| match step {
        Step::Order(_) => answers.next().map(|answer| Finding::of(&answer.outcome)),
        Step::Look(_) => seen.next(),
    };
    let found = steps.iter().map(finding).collect::<Option<Vec<Finding>>>();
    let found =
        found.ok_or_else(|| Problem::new(Code::Internal, "the node gave fewer answers than there were calls"))?;
    Ok(found.iter().map(|finding| finding_message(finding, Epoch::FIRST)).collect())
}

/// What a call comes to.
enum Step {
    Order(Command),
    Look(TransferId),
}

impl Step {
    fn command(&self) -> Option<Command> {
        match self {
            Step::Order(command) => Some(*command),
            Step::Look(_) => None,
        }
    }

    fn look(&self) -> Option<TransferId> {
        match self {
            Step::Order(_) => None,
            Step::Look(id) => Some(*id),
        }
    }
}

fn step(bank: &str, asked: &Asked) -> Result<Step, Problem> {
    let terms = &asked.terms;
    let ours = terms.party(asked.kind.side()).bank;
    if ours.as_str() != bank {
        let detail = format!("payment {} concerns bank {ours} here, and this is bank {bank}", terms.id);
        return Err(Problem::new(Code::NotPermitted, detail));
    }
    let (id, placer) = (terms.id, Placer::named(GATEWAY));
    Ok(match asked.kind {
        CallKind::PrepareDebit => Step::Order(hold(terms, placer, Side::Debit)),
        CallKind::PrepareCredit => Step::Order(hold(terms, placer, Side::Credit)),
        CallKind::CommitDebit | CallKind::CommitCredit => Step::Order(Command::PostHold { id, placer }),
        CallKind::AbortDebit | CallKind::AbortCredit => Step::Order(Command::VoidHold { id, placer }),
        CallKind::Transfer => Step::Order(transfer(terms)),
        CallKind::VoidTransfer => Step::Order(Command::VoidTransfer { id }),
        CallKind::HoldStatus(_) => Step::Look(id),
    })
}

fn hold(terms: &Terms, placer: Placer, side: Side) -> Command {
    let own = account(terms.party(side), terms);
    let theirs = AccountId::interbank(terms.party(side.other()).bank.as_str(), terms.currency);
    let (debit, credit) = match side {
        Side::Debit => (own, theirs),
        Side::Credit => (theirs, own),
    };
    let Terms { id, amount, currency, reference, .. } = *terms;
    Command::PlaceHold { id, placer, debit, credit, amount, currency, reference }
}

fn transfer(terms: &Terms) -> Command {
    let (debit, credit) = (account(&terms.payer, terms), account(&terms.payee, terms));
    let Terms { id, amount, currency, reference, .. } = *terms;
    Command::Transfer { id, debit, credit, amount, currency, reference }
}

fn account(party: &NamedParty, terms: &Terms) -> AccountId {
    match party.holder {
        Holder::Customer(name) => AccountId::of_customer(&name),
        Holder::House => AccountId::vault(terms.currency),
    }
}

fn look(view: &dyn View, id: TransferId) -> Result<Finding, Unreadable> {
    Ok(find(view, id)?.map_or(Finding::NotFound, |found| Finding::of(&found.outcome)))
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
