//! `/v1/transfers`: one, many, read, void.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;

use api::code::Code;
use api::field;
use api::idempotency::{IdempotencyKey, item_id, request_digest};
use api::json::{self, BatchOutcome, CreateTransfer, CreateTransfers};
use api::problem::Problem;
use ledger::{
    AccountId, Answer, Body, Command, Currency, HoldState, Movement, Outcome, Record, RecordKey, Reference, Request,
};
use ledger::{TransferId, TransferView};

use super::answer::{self, Freshness, Refusal};
use super::body::{BatchCall, Call};
use super::desk::{Desk, unknown_account};
use super::first_calls::{NO_ID, movements_meaning};
use super::identity::{self, IdField};
use super::in_path::InPath;
use super::outcome;
use super::port::{BankPort, Unreadable, View};

const ID: IdField = IdField { name: "id", member: "transfer_id" };
const BATCH_ROUTE: &str = "/v1/transfers/batch";

/// `POST /v1/transfers`: one transfer, a problem unless it posted.
pub async fn create<B: BankPort>(State(desk): State<Desk<B>>, call: Call) -> Result<Response, Refusal> {
    let body: CreateTransfer = call.json()?;
    let given = body.id.as_deref().map(|text| field::transfer_id("id", text)).transpose()?;
    let draft = Draft::parse(&body)?;
    let known = desk.currencies(draft.without_currency().into_iter().collect()).await?;
    let movement = draft.finish(&known)?;
    let meaning = movements_meaning(false, [movement]);
    let named = (ID, given.map(TransferId::get));
    let identity = desk.identify(&call.headers, named, ("/v1/transfers", &meaning)).await?;
    let movement = Movement { id: transfer_id(identity.id), ..movement };
    let answer = desk.submit_one(api::grpc::transfer_command(&movement), &identity).await?;
    outcome::posted(&answer, &movement)?;
    let shape = answered(&answer, &movement);
    Ok(answer::created(&shape, &format!("/v1/transfers/{}", movement.id), Freshness::of(answer.replay)))
}

/// `POST /v1/transfers/batch`: each with its own outcome, or with `linked` all or none.
pub async fn create_batch<B: BankPort>(State(desk): State<Desk<B>>, call: BatchCall) -> Result<Response, Refusal> {
    let key = identity::key_of(&call.headers)?;
    let body: CreateTransfers = call.json()?;
    check_count(body.transfers.len())?;
    let drafts = parse_items(&body.transfers, Draft::parse)?;
    let ids = parse_items(&body.transfers, |item| given_id(item, key.as_ref()))?;
    let mut unnamed: Vec<AccountId> = drafts.iter().filter_map(Draft::without_currency).collect();
    unnamed.sort_unstable();
    unnamed.dedup();
    let known = desk.currencies(unnamed).await?;
    let mut movements = Vec::with_capacity(drafts.len());
    for (item, draft) in drafts.iter().enumerate() {
        movements.push(draft.finish(&known).map_err(|problem| problem.in_item(item))?);
    }
    let ids = match &key {
        Some(key) => keyed_ids(&desk, key, body.linked, &movements).await?,
        None => ids.into_iter().map(|id| id.unwrap_or_else(api::new_id)).collect(),
    };
    for (movement, id) in movements.iter_mut().zip(&ids) {
        movement.id = transfer_id(*id);
    }
    let commands = movements.iter().map(api::grpc::transfer_command).collect();
    let answers = desk
        .submit(Request { linked: body.linked, commands })
        .await
        .map_err(|error| batch_unanswered(&identity::not_done(&error), &ids, key.as_ref()))?;
    Ok(batch_answer(&answers, &movements))
}

/// `GET /v1/transfers/{id}`, linearizable.
pub async fn read<B: BankPort>(
    State(desk): State<Desk<B>>,
    InPath(id): InPath,
    _call: Call,
) -> Result<Response, Refusal> {
    let id = field::transfer_id("id", &id)?;
    let found = desk.read(move |view| find(view, id)).await?;
    let view = found?.ok_or_else(|| unknown_transfer(id))?;
    Ok(answer::ok(&outcome::transfer(id, view.movement.as_ref(), &view.outcome), Freshness::First))
}

/// `POST /v1/transfers/{id}/void`: settles an id. Its first outcome if it has one, otherwise void forever.
pub async fn void<B: BankPort>(
    State(desk): State<Desk<B>>,
    InPath(id): InPath,
    call: Call,
) -> Result<Response, Refusal> {
    call.nothing()?;
    let id = field::transfer_id("id", &id)?;
    let answers = desk
        .submit(Request::single(Command::VoidTransfer { id }))
        .await
        .map_err(|error| identity::not_done(&error).with("transfer_id", id.to_string()).with("retry_with", "id"))?;
    let answer = answers.first().ok_or_else(|| Problem::new(Code::Internal, "the node gave no answer to a command"))?;
    // What the id stood for is told by its record; the answer alone knows only the outcome.
    let movement = match &answer.outcome {
        Outcome::Voided { .. } => None,
        Outcome::Opened { .. }
        | Outcome::Closed { .. }
        | Outcome::Posted { .. }
        | Outcome::Held { .. }
        | Outcome::HoldPosted { .. }
        | Outcome::HoldVoided { .. }
        | Outcome::SettingChanged { .. }
        | Outcome::SecretChanged { .. }
        | Outcome::LockChanged { .. }
        | Outcome::Noted { .. }
        | Outcome::Fenced { .. }
        | Outcome::KeyClaimed { .. }
        | Outcome::Rejected { .. } => desk.read(move |view| find(view, id)).await??.and_then(|found| found.movement),
    };
    let mut shape = outcome::transfer(id, movement.as_ref(), &answer.outcome);
    shape.replayed = Some(answer.replay);
    Ok(answer::ok(&shape, Freshness::of(answer.replay)))
}

/// What an id stands for and what has become of it, a hold's end included.
pub fn find(view: &dyn View, id: TransferId) -> Result<Option<TransferView>, Unreadable> {
    let Some(record) = view.outcome_of(RecordKey::outcome(id))?.and_then(|bytes| Record::decode(&bytes).ok()) else {
        return Ok(None);
    };
    let hold_now = match record.body {
        Body::HoldPlaced { .. } => end_of_hold(view, id)?,
        _ => HoldState::Held,
    };
    Ok(TransferView::new(&record, hold_now))
}

fn end_of_hold(view: &dyn View, id: TransferId) -> Result<HoldState, Unreadable> {
    let end = view.outcome_of(RecordKey::hold_end(id))?.and_then(|bytes| Record::decode(&bytes).ok());
    Ok(match end.map(|record| record.body) {
        Some(Body::HoldPosted { .. }) => HoldState::Posted,
        Some(Body::HoldVoided { .. }) => HoldState::Voided,
        _ => HoldState::Held,
    })
}

pub fn unknown_transfer(id: TransferId) -> Problem {
    let detail = format!(
        "no outcome for {id} so far. That is no outcome: a request on its way may still be chosen; send it again, or void the id"
    );
    Problem::new(Code::UnknownTransfer, detail).with("transfer_id", id.to_string())
}

pub fn check_count(count: usize) -> Result<(), Problem> {
    let most = Request::COMMANDS_MAX;
    match count {
        0 => Err(Problem::new(Code::BatchEmpty, "the batch has no transfers; send at least one")),
        count if count > most => {
            let detail = format!("the batch has {count} transfers; at most {most} are taken in one call");
            Err(Problem::new(Code::BatchTooLarge, detail).with("limit", most))
        }
        _ => Ok(()),
    }
}

/// A transfer of a body, all read but its amount, which waits for the currency.
struct Draft<'a> {
    debit: AccountId,
    credit: AccountId,
    amount: &'a json::Digits,
    currency: Option<Currency>,
    reference: Reference,
}

impl<'a> Draft<'a> {
    fn parse(body: &'a CreateTransfer) -> Result<Draft<'a>, Problem> {
        let debit = field::account_id("debit_account", &body.debit_account)?;
        let credit = field::account_id("credit_account", &body.credit_account)?;
        field::two_accounts(debit, credit)?;
        Ok(Draft {
            debit,
            credit,
            amount: &body.amount,
            currency: body.currency.as_deref().map(|code| field::currency("currency", code)).transpose()?,
            reference: body
                .reference
                .as_deref()
                .map_or(Ok(Reference::EMPTY), |text| field::reference("reference", text))?,
        })
    }

    /// The account whose currency decides, where the body names none.
    fn without_currency(&self) -> Option<AccountId> {
        self.currency.is_none().then_some(self.debit)
    }

    /// All but its id.
    fn finish(&self, known: &BTreeMap<AccountId, Currency>) -> Result<Movement, Problem> {
        let currency = match self.currency {
            Some(currency) => currency,
            None => *known.get(&self.debit).ok_or_else(|| unknown_account(self.debit))?,
        };
        Ok(Movement {
            id: NO_ID,
            debit: self.debit,
            credit: self.credit,
            amount: field::amount("amount", self.amount, currency)?,
            currency,
            reference: self.reference,
        })
    }
}

/// Reads every item; a problem says which one it is about.
fn parse_items<'a, T>(
    items: &'a [CreateTransfer],
    parse: impl Fn(&'a CreateTransfer) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    items.iter().enumerate().map(|(item, body)| parse(body).map_err(|problem| problem.in_item(item))).collect()
}

fn given_id(body: &CreateTransfer, key: Option<&IdempotencyKey>) -> Result<Option<u128>, Problem> {
    match (&body.id, key) {
        (Some(_), Some(_)) => Err(identity::key_and_id("id")),
        (Some(text), None) => Ok(Some(field::transfer_id("id", text)?.get())),
        (None, _) => Ok(None),
    }
}

/// A batch with a key has ids that follow from what the key stands for.
async fn keyed_ids<B: BankPort>(
    desk: &Desk<B>,
    key: &IdempotencyKey,
    linked: bool,
    movements: &[Movement],
) -> Result<Vec<u128>, Problem> {
    let meaning = movements_meaning(linked, movements.iter().copied());
    let base = desk.claim(key.number(desk.guard.scope()), request_digest(BATCH_ROUTE, &meaning)).await?;
    Ok((0..).zip(movements).map(|(item, _)| item_id(base, item)).collect())
}

#[expect(clippy::expect_used, reason = "ids of requests are not nil: parsed, hashed or made with a version")]
fn transfer_id(id: u128) -> TransferId {
    TransferId::new(id).expect("ids of requests are not nil: parsed, hashed or made with a version")
}

fn answered(answer: &Answer, movement: &Movement) -> json::Transfer {
    let mut shape = outcome::transfer(movement.id, Some(movement), &answer.outcome);
    shape.replayed = Some(answer.replay);
    shape
}

fn batch_answer(answers: &[Answer], movements: &[Movement]) -> Response {
    let transfers: Vec<json::Transfer> =
        answers.iter().zip(movements).map(|(answer, movement)| answered(answer, movement)).collect();
    let posted = transfers.iter().filter(|transfer| transfer.outcome == "posted").count();
    let all_replayed = answers.iter().all(|answer| answer.replay);
    let body = BatchOutcome { posted, rejected: transfers.len() - posted, transfers };
    answer::ok(&body, Freshness::of(all_replayed))
}

/// An open fate names every id, unless the key stands for them.
fn batch_unanswered(problem: &Problem, ids: &[u128], key: Option<&IdempotencyKey>) -> Problem {
    let problem = problem.clone();
    if problem.code != Code::OutcomeUnknown {
        return problem;
    }
    if key.is_some() {
        return problem.with("retry_with", "Idempotency-Key");
    }
    let ids: Vec<String> = ids.iter().map(|id| uuid::Uuid::from_u128(*id).to_string()).collect();
    problem.with("retry_with", "id").with("transfer_ids", ids)
}
