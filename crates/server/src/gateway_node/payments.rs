//! A customer's payments: taken, waited for, told; and what is known of one later.
//!
//! A payment enters the log whole, with its session checked there; from then on it goes to its end by itself. The caller is
//! told what was decided, or that it is not known yet, and never "failed" where it may yet be paid.

use super::banks::Link;
use super::desk::Desk;
use super::places::{Place, to_the_end};
use super::reads::Kind;
use super::sign_in::{check_session, digest};
use super::tokens::Caller;
use crate::edge::identity::not_claimed;
use crate::edge::origin::Origin;
use crate::edge::port::SubmitError;
use crate::edge::request_log;
use api::client::{Client, ClientError};
use api::code::Code;
use api::grpc::{id_bits, uuid};
use api::idempotency::{IdempotencyKey, request_digest};
use api::payment::{Ordered, PAYMENTS_MAX, ordered, party, payment_id, status_message, told_of, told_of_status};
use api::problem::Problem;
use api::proto;
use clearing::told::{Patience, Told};
use clearing::{Answer, Command, Holder, Outcome, PaymentId, PaymentRequest, Refusal, Side, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::debug;

/// How long a caller waits for a decision, if they do not say: a little longer than the votes may take.
const PATIENCE_MS: u32 = 4_000;
const PATIENCE_MS_MIN: u32 = 50;
const PATIENCE_MS_MAX: u32 = 60_000;
/// A payment that lingers for longer on its way into the log is not taken any more.
const TAKEN_WITHIN_MS: u64 = 30_000;
/// How long a look at one's balance waits for what is pending.
const DELIVERY_PATIENCE: Duration = Duration::from_millis(1_500);
/// And before the first look whether it still is. Each pause is twice the one before, for a look goes through all open payments.
const DELIVERY_PAUSE: Duration = Duration::from_millis(10);

pub(super) async fn pay(
    desk: &Desk,
    caller: &Caller,
    request: proto::TransferMoneyRequest,
) -> Result<proto::TransferMoneyResponse, Problem> {
    let until = Instant::now() + patience(request.timeout_ms)?;
    let items = read_all(caller, &request.payments)?;
    let orders: Vec<Ordered> = items.iter().filter_map(|item| item.as_ref().ok().copied()).collect();
    request_log::note_about(orders.iter().map(|order| order.id));
    desk.allowance.send(&caller.party(), orders.len(), std::time::Instant::now())?;
    for order in &orders {
        let Ordered { id, payee, amount, currency, reference } = order;
        debug!(target: "requests", event = "order", payment = %id, payer = %caller.party(), payee = %payee,
            minor = %amount.minor(), currency = currency.code(), reference = reference.as_str());
        desk.banks.remember_trace(*id);
    }
    let mut told: BTreeMap<PaymentId, (Told, bool)> = BTreeMap::new();
    let away = away(desk, caller, &orders).await?;
    let sent: Vec<&Ordered> = orders.iter().filter(|order| !away.contains_key(&order.id)).collect();
    // Whoever waits is there before anything can be decided.
    let waits: Vec<(PaymentId, oneshot::Receiver<Status>)> =
        sent.iter().map(|order| (order.id, desk.waiting.add(order.id))).collect();
    let answers = take(desk, caller, &sent).await?;
    for (order, answer) in sent.iter().zip(answers) {
        let entry = match answer {
            Some(answer) => told_of(&answer, Patience::Waiting),
            None => (Told::OutcomeUnknown, false),
        };
        told.insert(order.id, entry);
    }
    if let Some(problem) = told.values().find_map(|(told, _)| no_session(told)) {
        return Err(problem);
    }
    for (id, wait) in waits {
        let Some((Told::NotYet, duplicate)) = told.get(&id).copied() else { continue };
        let decided = match tokio::time::timeout_at(until, wait).await {
            Ok(Ok(status)) => told_of_status(status),
            Ok(Err(_)) | Err(_) => Told::OutcomeUnknown,
        };
        told.insert(id, (decided, duplicate));
    }
    let status = |(message, item): (&proto::Payment, &Result<Ordered, Problem>)| match item {
        Err(problem) => malformed(message, problem),
        Ok(order) => match told.get(&order.id) {
            Some((told, duplicate)) => status_message(order.id, told, *duplicate),
            None => not_sent(order, away.get(&order.id).copied().unwrap_or(Code::BankUnavailable)),
        },
    };
    let payments: Vec<proto::PaymentStatus> = request.payments.iter().zip(&items).map(status).collect();
    count(desk, &payments);
    Ok(proto::TransferMoneyResponse { payments })
}

/// Counts what became of payments, and notes it for the line of the request: the call itself succeeds also where all of them
/// are refused.
fn count(desk: &Desk, payments: &[proto::PaymentStatus]) {
    let mut outcomes: BTreeMap<&'static str, (u64, &str)> = BTreeMap::new();
    for status in payments {
        let is_paid = status.state() == proto::PaymentState::Paid;
        let code = if is_paid { "paid" } else { Code::from_text(&status.code).map_or("internal", Code::text) };
        outcomes.entry(code).or_insert((0, status.detail.as_str())).0 += 1;
    }
    for (code, (number, _)) in &outcomes {
        desk.metrics.count_outcomes(code, *number);
    }
    let told = |(code, (number, _)): (&&str, &(u64, &str))| format!("{code} {number}");
    match outcomes.iter().collect::<Vec<_>>().as_slice() {
        [] => {}
        [(code, _)] if **code == "paid" => {}
        [(code, (_, why))] => request_log::note_outcome(code, why),
        [_, _, ..] => {
            let each: Vec<String> = outcomes.iter().map(told).collect();
            request_log::note_outcome("mixed", &each.join(", "));
        }
    }
}

pub(super) fn check_count(count: usize) -> Result<(), Problem> {
    if (1..=PAYMENTS_MAX).contains(&count) {
        return Ok(());
    }
    let code = if count == 0 { Code::BatchEmpty } else { Code::BatchTooLarge };
    Err(Problem::new(code, format!("a call has 1 to {PAYMENTS_MAX} payments, this one {count}"))
        .with("limit", PAYMENTS_MAX))
}

/// A key stays on record for good, whatever becomes of its payments: it counts as so many payments that are sent.
const KEY_COSTS: usize = 20;

/// What a customer's idempotency key stands for: the base of the ids of that route's payments. Nothing of them is proposed
/// before.
pub(super) async fn claim(
    desk: &Desk,
    caller: &Caller,
    key: &IdempotencyKey,
    (route, messages): (&str, &[proto::Payment]),
) -> Result<u128, Problem> {
    desk.allowance.send(&caller.party(), KEY_COSTS, std::time::Instant::now())?;
    let mut meaning = Vec::new();
    for message in messages {
        // Each part is preceded by its length, so no two different requests have the same bytes.
        let order = ordered(&proto::Payment { id: Some(uuid(1)), ..message.clone() })?;
        let Ordered { id: _, payee, amount, currency, reference } = order;
        for part in [payee.to_string(), amount.minor().to_string(), currency.code().to_owned(), reference.to_string()] {
            meaning.extend_from_slice(&(part.len() as u64).to_le_bytes());
            meaning.extend_from_slice(part.as_bytes());
        }
    }
    let (number, digest) = (key.number(&caller.party().to_string()), request_digest(route, &meaning));
    let command = Command::ClaimKey { session: caller.session, key: number, digest, base: api::new_id() };
    match desk.order(command).await {
        Ok(Outcome::KeyClaimed { base }) => Ok(base),
        Ok(_) => Err(Problem::new(Code::Internal, "the node gave no answer to a key")),
        Err(problem) if problem.code == Code::OutcomeUnknown => Err(not_claimed(&SubmitError::OutcomeUnknown)),
        Err(problem) => Err(problem),
    }
}

/// Payments of one call are independent: one that makes no sense is not taken, and the others are. One alone is the whole
/// call, and refuses it; so does an id that is there twice, for then nobody could tell which answer is whose.
fn read_all(caller: &Caller, messages: &[proto::Payment]) -> Result<Vec<Result<Ordered, Problem>>, Problem> {
    check_count(messages.len())?;
    let mut ids = BTreeSet::new();
    let read = |(item, message): (usize, &proto::Payment)| {
        let order = match own(caller, message).and_then(|()| ordered(message)) {
            Ok(order) => order,
            // Of one there is nothing to tell apart.
            Err(problem) if messages.len() == 1 => return Err(problem),
            Err(problem) => return Ok(Err(problem.in_item(item))),
        };
        if !ids.insert(order.id) {
            let detail = format!("item {item}: the id {} is there twice", order.id);
            return Err(Problem::new(Code::IdReused, detail).with("item", item));
        }
        Ok(Ok(order))
    };
    messages.iter().enumerate().map(read).collect()
}

/// A payment that makes no sense, beside others of its call: it was not taken, and its id is not burnt.
fn malformed(message: &proto::Payment, problem: &Problem) -> proto::PaymentStatus {
    let mut status = proto::PaymentStatus { id: message.id, ..proto::PaymentStatus::default() };
    status.set_state(proto::PaymentState::NotTaken);
    status.code = problem.code.text().to_owned();
    status.detail.clone_from(&problem.detail);
    status
}

/// A customer spends only their own money.
fn own(caller: &Caller, message: &proto::Payment) -> Result<(), Problem> {
    let Some(payer) = &message.payer else { return Ok(()) };
    let payer = party("payer", Some(payer))?;
    if payer == caller.party() {
        return Ok(());
    }
    let detail = format!("the payer is {payer}, and you are {}", caller.party());
    Err(Problem::new(Code::NotPermitted, detail).with("field", "payer"))
}

/// The payments that are not even sent, and why: one of their banks is known to be away, or answers so late that a vote of it
/// would come too late. One whose id is known is no new payment: it has its answer.
async fn away(desk: &Desk, caller: &Caller, orders: &[Ordered]) -> Result<BTreeMap<PaymentId, Code>, Problem> {
    let timeout_ms = desk.vote_timeout_ms.load(std::sync::atomic::Ordering::Relaxed);
    let late = Duration::from_millis(timeout_ms / 2);
    let named: BTreeSet<clearing::BankName> =
        orders.iter().map(|order| order.payee.bank).chain([caller.bank]).collect();
    let mut suspected = BTreeMap::new();
    for link in named.iter().filter_map(|bank| desk.banks.link(bank)) {
        match (link.is_there().await, link.is_slower_than(late)) {
            (false, _) => suspected.insert(link.name, Code::BankUnavailable),
            (true, true) => suspected.insert(link.name, Code::BankBusy),
            (true, false) => None,
        };
    }
    let why = |bank: &clearing::BankName| suspected.get(bank).copied();
    let own = why(&caller.bank);
    let suspects: BTreeMap<PaymentId, Code> =
        orders.iter().filter_map(|order| Some((order.id, own.or_else(|| why(&order.payee.bank))?))).collect();
    if suspects.is_empty() {
        return Ok(BTreeMap::new());
    }
    check_session(desk, caller).await?;
    let unknown = desk.read(move |view| {
        let is_new = |id: &PaymentId| view.payment(*id).map(|known| known.is_none());
        let new = |(id, code)| is_new(&id).map(|new| new.then_some((id, code))).transpose();
        suspects.into_iter().filter_map(new).collect::<Result<BTreeMap<PaymentId, Code>, gateway::PastError>>()
    });
    unknown.await?.map_err(|error| desk.unreadable(&error))
}

fn not_sent(order: &Ordered, code: Code) -> proto::PaymentStatus {
    let mut message = proto::PaymentStatus { id: Some(uuid(order.id.get())), ..proto::PaymentStatus::default() };
    message.set_state(proto::PaymentState::NotTaken);
    message.code = code.text().to_owned();
    message.detail = match code {
        Code::BankBusy => "a bank of this payment answers too slowly now; it was not taken, send it again as it is",
        _ => "a bank of this payment cannot be reached now; it was not taken, send it again as it is",
    }
    .to_owned();
    message
}

/// Enters payments into the log. None where whether it was taken is not known.
async fn take(desk: &Desk, caller: &Caller, orders: &[&Ordered]) -> Result<Vec<Option<Answer>>, Problem> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let deadline_ms = desk.now().ms().saturating_add(TAKEN_WITHIN_MS);
    let command = |order: &&Ordered| Command::Take { request: request(caller, order), deadline_ms, taker: desk.node };
    match desk.submit(orders.iter().map(command).collect()).await {
        Ok(answers) => {
            desk.nudge(orders.iter().map(|order| order.id).collect());
            Ok(answers.into_iter().map(Some).collect())
        }
        Err(SubmitError::OutcomeUnknown) => Ok(vec![None; orders.len()]),
        Err(error) => Err(super::desk::unanswered(&error)),
    }
}

fn request(caller: &Caller, order: &Ordered) -> PaymentRequest {
    let Ordered { id, payee, amount, currency, reference } = *order;
    PaymentRequest { id, session: caller.session, payee, amount, currency, reference }
}

/// A token whose session is over is the whole call's problem.
fn no_session(told: &Told) -> Option<Problem> {
    match told {
        Told::NotTaken(refusal @ (Refusal::NoSession | Refusal::SessionExpired | Refusal::SessionEnded)) => {
            Some(api::payment::problem(refusal))
        }
        Told::NotTaken(_) | Told::Paid { .. } | Told::Refused(_) | Told::OutcomeUnknown | Told::NotYet => None,
    }
}

/// Asks for void, and tells what was decided.
pub(super) async fn cancel(
    desk: &Desk,
    caller: &Caller,
    request_message: proto::CancelPaymentRequest,
) -> Result<proto::PaymentStatus, Problem> {
    let until = Instant::now() + patience(request_message.timeout_ms)?;
    let message = request_message.payment.ok_or_else(|| Problem::new(Code::MissingField, "payment is missing"))?;
    own(caller, &message)?;
    let order = ordered(&message)?;
    desk.allowance.send(&caller.party(), 1, std::time::Instant::now())?;
    let command = Command::Cancel { request: request(caller, &order), taker: desk.node };
    let told = wait_for(desk, order.id, command, until).await?;
    if told.state() != proto::PaymentState::Refused || is_final(desk, order.id, until).await {
        return Ok(told);
    }
    // It is decided, and its bank does not have it in writing yet.
    Ok(status_message(order.id, &Told::OutcomeUnknown, told.duplicate))
}

/// Waits until the payer's bank keeps the void as well: then it stays, even if the gateway is put back from a backup. The
/// payee's bank may be away for as long as it likes.
async fn is_final(desk: &Desk, id: PaymentId, until: Instant) -> bool {
    loop {
        // What is decided stays among those on their way until everything is delivered.
        let is_pending = desk
            .peek(move |clearing| clearing.payment(id).is_some_and(|payment| payment.is_open_at(Side::Debit)))
            .await;
        // The void is decided: whatever keeps this node from looking, nobody is told that nothing was done.
        let Ok(is_pending) = is_pending else { return false };
        if !is_pending || Instant::now() >= until {
            return !is_pending;
        }
        desk.nudge(vec![id]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Has a command about a payment carried out, and waits for the decision.
pub(super) async fn wait_for(
    desk: &Desk,
    id: PaymentId,
    command: Command,
    until: Instant,
) -> Result<proto::PaymentStatus, Problem> {
    request_log::note_about([id]);
    desk.banks.remember_trace(id);
    let wait = desk.waiting.add(id);
    let answer = match desk.submit(vec![command]).await {
        Ok(answers) => {
            desk.nudge(vec![id]);
            answers.first().copied()
        }
        Err(SubmitError::OutcomeUnknown) => None,
        Err(error) => return Err(super::desk::unanswered(&error)),
    };
    let (told, duplicate) = match answer {
        Some(Answer::Refused(refusal)) => return Err(refused(desk, id, &refusal).await),
        Some(answer) => told_of(&answer, Patience::Waiting),
        None => (Told::NotYet, false),
    };
    let told = match told {
        Told::NotYet => match tokio::time::timeout_at(until, wait).await {
            Ok(Ok(status)) => told_of_status(status),
            Ok(Err(_)) | Err(_) => Told::OutcomeUnknown,
        },
        told => told,
    };
    let status = status_message(id, &told, duplicate);
    count(desk, std::slice::from_ref(&status));
    Ok(status)
}

/// Why a command about a payment is not taken. Who wants void what may be paid is told who would lose what.
async fn refused(desk: &Desk, id: PaymentId, refusal: &Refusal) -> Problem {
    let Refusal::MayBePaid { said } = *refusal else { return api::payment::problem(refusal) };
    let terms = desk.peek(move |clearing| clearing.payment(id).map(|payment| clearing.terms(&payment.order)));
    match terms.await {
        Ok(Some(terms)) => api::payment::may_be_paid(&terms, &said),
        Ok(None) | Err(_) => api::payment::problem(refusal),
    }
}

/// What became of a payment, for its payer at any time, and for its payee once it is paid: that is theirs to see. That somebody
/// ordered a payment to them that was refused, or is not decided, is not.
pub(super) async fn status(
    desk: &Desk,
    caller: &Caller,
    request: &proto::GetPaymentRequest,
) -> Result<proto::PaymentStatus, Problem> {
    let id = payment_id(request.id.as_ref())?;
    check_session(desk, caller).await?;
    let own = caller.party();
    let found = desk.read(move |view| {
        let clearing = view.clearing();
        let Some(known) = view.payment(id)? else { return Ok(None) };
        let terms = known.order.map(|order| clearing.terms(&order));
        let number = clearing.bank_named(&own.bank).map(|bank| bank.number);
        let is_payer = Some(known.payer.bank) == number && known.payer.holder == own.holder;
        let is_paid = match known.status {
            Status::Paid { .. } => true,
            Status::Undecided | Status::Refused { .. } => false,
        };
        let is_payee = is_paid && terms.is_some_and(|terms| terms.payee == own);
        // Another's payment is not told apart from none.
        Ok((is_payer || is_payee).then_some((known.status, terms)))
    });
    match found.await?.map_err(|error: gateway::PastError| desk.unreadable(&error))? {
        Some((status, terms)) => Ok(proto::PaymentStatus {
            currency: terms.map_or(0, |terms| u32::from(terms.currency.number())),
            payment: terms.map(|terms| api::payment::message(&terms)),
            ..status_message(id, &told_of_status(status), false)
        }),
        None => {
            let detail =
                format!("no payment {id} of yours so far; that is no outcome: send it again, or have it voided");
            Err(Problem::new(Code::UnknownPayment, detail))
        }
    }
}

/// What the caller has: after what is pending for them at their bank has been delivered.
pub(super) async fn balance(
    desk: &Desk,
    caller: &Caller,
    origin: &Origin,
) -> Result<proto::ViewBalanceResponse, Problem> {
    let ToRead { link, places } = to_read(desk, caller, origin, Kind::Balance)?;
    check_session(desk, caller).await?;
    let (desk, caller, link) = (desk.clone(), *caller, known(desk, caller, link)?);
    let read = to_the_end(places, async move { read_balance(&desk, &caller, link.customer_reads().client()).await });
    read.await.unwrap_or_else(|ended| Err(Problem::new(Code::Internal, format!("the balance was not read: {ended}"))))
}

async fn read_balance(desk: &Desk, caller: &Caller, client: &Client) -> Result<proto::ViewBalanceResponse, Problem> {
    let until = Instant::now() + DELIVERY_PATIENCE;
    let mut left = pending(desk, caller).await?;
    let mut pause = DELIVERY_PAUSE;
    while left > 0 && Instant::now() < until {
        tokio::time::sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
        left = pending(desk, caller).await?;
        pause *= 2;
    }
    let found = client.customer_balance(caller.customer.as_str()).await.map_err(|error| of_bank(caller, error))?;
    Ok(proto::ViewBalanceResponse { undelivered: left, ..found })
}

/// Decided payments of the caller that their bank has not acknowledged.
async fn pending(desk: &Desk, caller: &Caller) -> Result<u32, Problem> {
    let (bank, holder) = (caller.bank, Holder::Customer(caller.customer));
    let count = desk.read(move |view| {
        let clearing = view.clearing();
        let Some(number) = clearing.bank_named(&bank).map(|bank| bank.number) else { return 0 };
        let party = clearing::Party { bank: number, holder };
        clearing.payments().filter(|payment| payment.is_owed_to(&party)).count()
    });
    Ok(u32::try_from(count.await?).unwrap_or(u32::MAX))
}

/// What moved on the caller's account. The bank knows only the other bank of a payment; whose account it was there, is known
/// here.
pub(super) async fn history(
    desk: &Desk,
    caller: &Caller,
    origin: &Origin,
    request: proto::TransactionHistoryRequest,
) -> Result<proto::TransactionHistoryResponse, Problem> {
    let ToRead { link, places } = to_read(desk, caller, origin, Kind::List)?;
    check_session(desk, caller).await?;
    let (desk, caller, link) = (desk.clone(), *caller, known(desk, caller, link)?);
    let client = link.customer_reads().client().clone();
    let read = to_the_end(places, async move { read_history(&desk, &caller, &client, &request).await });
    read.await.unwrap_or_else(|ended| Err(Problem::new(Code::Internal, format!("the list was not read: {ended}"))))
}

async fn read_history(
    desk: &Desk,
    caller: &Caller,
    client: &Client,
    request: &proto::TransactionHistoryRequest,
) -> Result<proto::TransactionHistoryResponse, Problem> {
    let asked = client.customer_history(caller.customer.as_str(), &request.cursor, request.limit).await;
    let mut page = asked.map_err(|error| of_bank(caller, error))?;
    let ids: Vec<u128> = page.entries.iter().filter_map(|entry| entry.id.as_ref().map(id_bits)).collect();
    let own = caller.party();
    let names = desk.read(move |view| {
        let clearing = view.clearing();
        let name = |id: u128| {
            let order = view.payment(PaymentId::new(id)?).ok().flatten()?.order?;
            let terms = clearing.terms(&order);
            let other = if terms.payer == own { terms.payee } else { terms.payer };
            Some((id, other.to_string()))
        };
        ids.into_iter().filter_map(name).collect::<BTreeMap<u128, String>>()
    });
    let names = names.await?;
    for entry in &mut page.entries {
        if let Some(name) = entry.id.as_ref().and_then(|id| names.get(&id_bits(id))) {
            entry.counterparty.clone_from(name);
        }
    }
    Ok(page)
}

/// The way to the caller's bank, and places for one more read there, if that bank is known.
struct ToRead {
    link: Option<Arc<Link>>,
    places: Option<[Place; 2]>,
}

fn to_read(desk: &Desk, caller: &Caller, origin: &Origin, kind: Kind) -> Result<ToRead, Problem> {
    let link = desk.banks.link(&caller.bank);
    let customer = digest(caller.party().to_string().as_bytes());
    let places = link.as_ref().map(|link| link.customer_reads().take(kind, customer, origin.digest())).transpose()?;
    Ok(ToRead { link, places })
}

fn known(desk: &Desk, caller: &Caller, link: Option<Arc<Link>>) -> Result<Arc<Link>, Problem> {
    link.ok_or_else(|| desk.banks.unknown(&caller.bank))
}

fn of_bank(caller: &Caller, error: ClientError) -> Problem {
    match error {
        ClientError::Refused { code, detail, .. } => Problem::new(code, detail),
        error => {
            let detail = format!("bank {} does not answer now: {error}", caller.bank);
            Problem::new(Code::BankUnavailable, detail).retry_after_ms(1_000)
        }
    }
}

pub(super) fn patience(timeout_ms: u32) -> Result<Duration, Problem> {
    let timeout_ms = if timeout_ms == 0 { PATIENCE_MS } else { timeout_ms };
    if (PATIENCE_MS_MIN..=PATIENCE_MS_MAX).contains(&timeout_ms) {
        return Ok(Duration::from_millis(u64::from(timeout_ms)));
    }
    let detail = format!("timeout_ms: {timeout_ms} is out of bounds; give {PATIENCE_MS_MIN} to {PATIENCE_MS_MAX}");
    Err(Problem::new(Code::InvalidTimeout, detail).with("field", "timeout_ms"))
}
