//! `/v1` of the gateway: a customer signs in, pays and looks, over HTTP. The same handlers as over gRPC answer; here are only
//! the shapes. The token travels as `Authorization: Bearer`.

use super::desk::Desk;
use super::tokens::Caller;
use super::{payments, permits, sign_in};
use crate::edge::answer::{self, Freshness, Refusal};
use crate::edge::body::{BatchCall, Call};
use crate::edge::identity::{key_and_id, key_of, new_id};
use api::code::Code;
use api::field;
use api::grpc::uuid;
use api::idempotency::IdempotencyKey;
use api::json::{HistoryPage, HistoryQuery, OwnBalance, Pay, PayMany, PaymentState, PaymentStates, SignIn, SignedIn};
use api::payment::party_message;
use api::problem::Problem;
use api::proto;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use clearing::NamedParty;
use ledger::{Currency, TransferId};

const PAYMENTS: &str = "/v1/payments";
const BATCH: &str = "/v1/payments/batch";

/// `POST /v1/login`.
pub(super) async fn login(State(desk): State<Desk>, call: Call) -> Result<Response, Refusal> {
    let SignIn { bank, username, password } = call.json()?;
    let request = proto::LoginRequest { username, bank_name: bank, password };
    let signed_in = sign_in::login(&desk, request).await?;
    Ok(answer::ok(&SignedIn::new(signed_in), Freshness::First))
}

/// `POST /v1/logout`.
pub(super) async fn logout(State(desk): State<Desk>, call: Call) -> Result<Response, Refusal> {
    let caller = permits::customer(&desk, &call.headers).await?;
    call.nothing()?;
    sign_in::logout(&desk, &caller, api::proto::LogoutRequest { others: false }).await?;
    Ok(answer::ok(&serde_json::json!({ "result": "signed out, on every node" }), Freshness::First))
}

/// `GET /v1/balance`.
pub(super) async fn balance(State(desk): State<Desk>, headers: HeaderMap) -> Result<Response, Refusal> {
    let caller = permits::customer(&desk, &headers).await?;
    let found = payments::balance(&desk, &caller).await?;
    Ok(answer::ok(&OwnBalance::new(caller.party().to_string(), &found)?, Freshness::First))
}

/// `GET /v1/history`.
pub(super) async fn history(State(desk): State<Desk>, call: Call) -> Result<Response, Refusal> {
    let caller = permits::customer(&desk, &call.headers).await?;
    let query: HistoryQuery = call.query()?;
    let limit = u32::try_from(field::limit(query.limit.as_deref())?).unwrap_or(u32::MAX);
    let cursor = query.cursor.unwrap_or_default();
    let request = proto::TransactionHistoryRequest { customer: String::new(), cursor, limit };
    let page = payments::history(&desk, &caller, &request).await?;
    Ok(answer::ok(&HistoryPage::new(page)?, Freshness::First))
}

/// `POST /v1/payments`: one payment. Refused is a problem, and stays; not known yet is 504 with the id.
pub(super) async fn pay(State(desk): State<Desk>, call: Call) -> Result<Response, Refusal> {
    let caller = permits::customer(&desk, &call.headers).await?;
    let body: Pay = call.json()?;
    let key = key_of(&call.headers)?;
    let (message, currency) = payment(&caller, &body, id_of(&caller, key.as_ref(), (PAYMENTS, None), &body)?)?;
    let state = one(&desk, &caller, message, currency).await?.paid()?;
    let freshness = Freshness::of(state.duplicate);
    let location = format!("{PAYMENTS}/{}", state.id);
    Ok(answer::created(&state, &location, freshness))
}

async fn one(
    desk: &Desk,
    caller: &Caller,
    message: proto::Payment,
    currency: Currency,
) -> Result<PaymentState, Problem> {
    let request = proto::TransferMoneyRequest { payments: vec![message], timeout_ms: 0 };
    let answered = payments::pay(desk, caller, request).await?;
    let status = answered.payments.first();
    status
        .map(|status| PaymentState::new(status, currency))
        .ok_or_else(|| Problem::new(Code::Internal, "the node gave no answer to a payment"))
}

/// `POST /v1/payments/batch`: each with its own outcome, so the call itself succeeds.
pub(super) async fn pay_many(State(desk): State<Desk>, call: BatchCall) -> Result<Response, Refusal> {
    let caller = permits::customer(&desk, &call.headers).await?;
    let body: PayMany = call.json()?;
    let key = key_of(&call.headers)?;
    let read = |(item, pay): (usize, &Pay)| {
        let number = u32::try_from(item).ok();
        id_of(&caller, key.as_ref(), (BATCH, number), pay)
            .and_then(|id| payment(&caller, pay, id))
            .map_err(|problem| problem.in_item(item))
    };
    let read = body.payments.iter().enumerate().map(read).collect::<Result<Vec<_>, Problem>>()?;
    let (messages, currencies): (Vec<proto::Payment>, Vec<Currency>) = read.into_iter().unzip();
    let request = proto::TransferMoneyRequest { payments: messages, timeout_ms: 0 };
    let answered = payments::pay(&desk, &caller, request).await?.payments;
    let states = answered.iter().zip(currencies).map(|(status, currency)| PaymentState::new(status, currency));
    Ok(answer::ok(&PaymentStates { payments: states.collect() }, Freshness::First))
}

/// `GET /v1/payments/{id}`.
pub(super) async fn read(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = permits::customer(&desk, &headers).await?;
    let id = field::transfer_id("id", &id)?;
    let request = proto::GetPaymentRequest { id: Some(uuid(id.get())) };
    let status = payments::status(&desk, &caller, &request).await?;
    let currency = u16::try_from(status.currency).ok().and_then(Currency::from_number).unwrap_or(Currency::EUR);
    Ok(answer::ok(&PaymentState::new(&status, currency), Freshness::First))
}

/// `POST /v1/payments/{id}/cancel`: void, unless it is decided otherwise. The body repeats the payment, which the gateway may
/// never have seen.
pub(super) async fn cancel(State(desk): State<Desk>, Path(id): Path<String>, call: Call) -> Result<Response, Refusal> {
    let caller = permits::customer(&desk, &call.headers).await?;
    let body: Pay = call.json()?;
    let id = field::transfer_id("id", &id)?;
    if body.id.as_deref().is_some_and(|own| field::transfer_id("id", own) != Ok(id)) {
        let detail = "the id in the path is another than the one in the body; leave it out there";
        return Err(Problem::new(Code::MalformedId, detail).with("field", "id").into());
    }
    let (message, currency) = payment(&caller, &body, id)?;
    let request = proto::CancelPaymentRequest { payment: Some(message), timeout_ms: 0 };
    let status = payments::cancel(&desk, &caller, request).await?;
    Ok(answer::ok(&PaymentState::new(&status, currency), Freshness::of(status.duplicate)))
}

/// The id of a payment: the caller's own, what its Idempotency-Key stands for, or a new one.
fn id_of(
    caller: &Caller,
    key: Option<&IdempotencyKey>,
    (route, item): (&str, Option<u32>),
    body: &Pay,
) -> Result<TransferId, Problem> {
    match (key, body.id.as_deref()) {
        (Some(_), Some(_)) => Err(key_and_id("id")),
        (Some(key), None) => Ok(nonzero(key.id(&caller.party().to_string(), route, item))),
        (None, Some(id)) => field::transfer_id("id", id),
        (None, None) => Ok(nonzero(new_id())),
    }
}

fn nonzero(id: u128) -> TransferId {
    TransferId::new(id).expect("ids of requests are not nil: hashed or made with a version")
}

fn payment(caller: &Caller, body: &Pay, id: TransferId) -> Result<(proto::Payment, Currency), Problem> {
    let currency = body.currency.as_deref().map_or(Ok(Currency::EUR), |code| field::currency("currency", code))?;
    let minor = field::amount("amount", &body.amount, currency)?.minor();
    let payee: NamedParty = body.payee.parse().map_err(|error| {
        let detail = format!("payee: {:?} is no customer ({error}); write name@bank", body.payee);
        Problem::new(Code::InvalidName, detail).with("field", "payee")
    })?;
    let message = proto::Payment {
        id: Some(uuid(id.get())),
        payer: Some(party_message(&caller.party())),
        payee: Some(party_message(&payee)),
        amount: minor as u64,
        amount_high: (minor >> 64) as u32,
        currency: u32::from(currency.number()),
        reference: body.reference.clone().unwrap_or_default(),
    };
    Ok((message, currency))
}
