//! `/v1/transfers`: one, many, read, void.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::Response;

use api::code::Code;
use api::field;
use api::idempotency::IdempotencyKey;
use api::json::{self, BatchOutcome, CreateTransfer, CreateTransfers};
use api::problem::Problem;
use ledger::hold::end_id;
use ledger::{AccountId, Answer, Body, Command, Currency, HoldState, Movement, Outcome, Record, Reference, Request};
use ledger::{TransferId, TransferView};

use super::answer::{self, Freshness, Refusal};
use super::body::{BatchCall, Call};
use super::desk::{Desk, unknown_account};
use super::identity::{self, IdField, Identity};
use super::outcome;
use super::port::{BankPort, Unreadable, View};

const ID: IdField = IdField { name: "id", member: "transfer_id" };
const BATCH_ROUTE: &str = "/v1/transfers/batch";

/// `POST /v1/transfers`: one transfer, a problem unless it posted.
pub async fn create<B: BankPort>(State(desk): State<Desk<B>>, call: Call) -> Result<Response, Refusal> {
    let body: CreateTransfer = call.json()?;
    let given = body.id.as_deref().map(|text| field::transfer_id("id", text)).transpose()?;
    let identity = Identity::settle(&call.headers, desk.place("/v1/transfers"), ID, given.map(TransferId::get))?;
    let draft = Draft::parse(&body)?;
    let known = desk.currencies(draft.without_currency().into_iter().collect()).await?;
    let movement = draft.finish(identity.id, &known)?;
    let answer = desk.submit_one(api::grpc::transfer_command(&movement), &identity).await?;
    outcome::posted(&answer, &movement, &identity)?;
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
    let ids = settle_ids(&desk, ids, key.as_ref());
    let mut unnamed: Vec<AccountId> = drafts.iter().filter_map(Draft::without_currency).collect();
    unnamed.sort_unstable();
    unnamed.dedup();
    let known = desk.currencies(unnamed).await?;
    let mut movements = Vec::with_capacity(drafts.len());
    for (item, (draft, id)) in drafts.iter().zip(&ids).enumerate() {
        movements.push(draft.finish(*id, &known).map_err(|problem| problem.in_item(item))?);
    }
    let commands = movements.iter().map(api::grpc::transfer_command).collect();
    let answers = desk
        .submit(Request { linked: body.linked, commands })
        .await
        .map_err(|error| batch_unanswered(&identity::not_done(&error), &ids, key.as_ref()))?;
    batch_answer(&answers, &movements, key.as_ref())
}

/// `GET /v1/transfers/{id}`, linearizable.
pub async fn read<B: BankPort>(
    State(desk): State<Desk<B>>,
    Path(id): Path<String>,
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
    Path(id): Path<String>,
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
        | Outcome::Rejected { .. } => desk.read(move |view| find(view, id)).await??.and_then(|found| found.movement),
    };
    let mut shape = outcome::transfer(id, movement.as_ref(), &answer.outcome);
    shape.replayed = Some(answer.replay);
    Ok(answer::ok(&shape, Freshness::of(answer.replay)))
}

/// What an id stands for and what has become of it, a hold's end included.
pub fn find(view: &dyn View, id: TransferId) -> Result<Option<TransferView>, Unreadable> {
    let Some(record) = view.outcome_of(id.get())?.and_then(|bytes| Record::decode(&bytes).ok()) else {
        return Ok(None);
    };
    let hold_now = match record.body {
        Body::HoldPlaced { .. } => end_of_hold(view, id)?,
        _ => HoldState::Held,
    };
    Ok(TransferView::new(&record, hold_now))
}

fn end_of_hold(view: &dyn View, id: TransferId) -> Result<HoldState, Unreadable> {
    let end = view.outcome_of(end_id(id))?.and_then(|bytes| Record::decode(&bytes).ok());
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

    fn finish(&self, id: u128, known: &BTreeMap<AccountId, Currency>) -> Result<Movement, Problem> {
        let currency = match self.currency {
            Some(currency) => currency,
            None => *known.get(&self.debit).ok_or_else(|| unknown_account(self.debit))?,
        };
        Ok(Movement {
            id: TransferId::new(id).expect("ids of requests are not nil: parsed, hashed or made with a version"),
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

fn settle_ids<B: BankPort>(desk: &Desk<B>, given: Vec<Option<u128>>, key: Option<&IdempotencyKey>) -> Vec<u128> {
    let scope = desk.guard.scope();
    let made = |item: usize| match key {
        Some(key) => key.id(scope, BATCH_ROUTE, Some(u32::try_from(item).expect("a batch is short"))),
        None => identity::new_id(),
    };
    given.into_iter().enumerate().map(|(item, id)| id.unwrap_or_else(|| made(item))).collect()
}

fn answered(answer: &Answer, movement: &Movement) -> json::Transfer {
    let mut shape = outcome::transfer(movement.id, Some(movement), &answer.outcome);
    shape.replayed = Some(answer.replay);
    shape
}

fn batch_answer(answers: &[Answer], movements: &[Movement], key: Option<&IdempotencyKey>) -> Result<Response, Refusal> {
    let transfers: Vec<json::Transfer> =
        answers.iter().zip(movements).map(|(answer, movement)| answered(answer, movement)).collect();
    let posted = transfers.iter().filter(|transfer| transfer.outcome == "posted").count();
    let reused = transfers.iter().filter(|transfer| transfer.code == Some(Code::IdReused.text())).count();
    if key.is_some() && reused > 0 {
        // What else the batch held was done under ids of its own, so the caller must see each outcome.
        let items = serde_json::to_value(&transfers).expect("our shapes have text keys and no failing writers");
        return Err(outcome::key_reused().with("transfers", items).into());
    }
    let all_replayed = answers.iter().all(|answer| answer.replay);
    let body = BatchOutcome { posted, rejected: transfers.len() - posted, transfers };
    Ok(answer::ok(&body, Freshness::of(all_replayed)))
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
