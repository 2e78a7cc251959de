//! `/v1` of the gateway: a customer signs in, pays and looks, over HTTP. The same handlers as over gRPC answer; here are only
//! the shapes. The token travels as `Authorization: Bearer`.

use super::desk::Desk;
use super::tokens::Caller;
use super::{payments, permits, sign_in};
use crate::edge::answer::{self, Freshness, Refusal};
use crate::edge::body::{BatchCall, Call};
use crate::edge::identity::{key_and_id, key_of};
use crate::edge::in_path::InPath;
use crate::edge::origin::Origin;
use api::code::Code;
use api::field;
use api::grpc::uuid;
use api::idempotency::{IdempotencyKey, item_id};
use api::json::{HistoryPage, HistoryQuery, OwnBalance, Pay, PayMany, PaymentState, PaymentStates, SignIn, SignedIn};
use api::new_id;
use api::payment::{bank_name, party_message};
use api::problem::Problem;
use api::proto;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use clearing::NamedParty;
use ledger::{Currency, TransferId};

const PAYMENTS: &str = "/v1/payments";
const BATCH: &str = "/v1/payments/batch";

/// `POST /v1/login`.
pub(super) async fn login(State(desk): State<Desk>, origin: Origin, call: Call) -> Result<Response, Refusal> {
    let SignIn { bank, username, password } = call.json()?;
    // Over gRPC the field has another name, which whoever sends JSON does not know.
    bank_name("bank", &bank)?;
    let request = proto::LoginRequest { username, bank_name: bank, password };
    let stranger = sign_in::Stranger { origin, token: permits::token(&call.headers) };
    let signed_in = sign_in::login(&desk, stranger, request).await?;
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
pub(super) async fn balance(State(desk): State<Desk>, origin: Origin, headers: HeaderMap) -> Result<Response, Refusal> {
    let caller = permits::customer(&desk, &headers).await?;
    let found = payments::balance(&desk, &caller, &origin).await?;
    Ok(answer::ok(&OwnBalance::new(caller.party().to_string(), &found)?, Freshness::First))
}

/// `GET /v1/history`.
pub(super) async fn history(State(desk): State<Desk>, origin: Origin, call: Call) -> Result<Response, Refusal> {
    let caller = permits::customer(&desk, &call.headers).await?;
    let query: HistoryQuery = call.query()?;
    let limit = u32::try_from(field::limit(query.limit.as_deref())?).unwrap_or(u32::MAX);
    let cursor = query.cursor.unwrap_or_default();
    let request = proto::TransactionHistoryRequest { customer: String::new(), cursor, limit };
    let page = payments::history(&desk, &caller, &origin, request).await?;
    Ok(answer::ok(&HistoryPage::new(page)?, Freshness::First))
}

/// `POST /v1/payments`: one payment. Refused is a problem, and stays; not known yet is 504 with the id.
pub(super) async fn pay(State(desk): State<Desk>, call: Call) -> Result<Response, Refusal> {
    let caller = permits::customer(&desk, &call.headers).await?;
    let body: Pay = call.json()?;
    let key = key_of(&call.headers)?;
    let given = given_id(key.as_ref(), &body)?;
    let (mut message, currency) = payment(&caller, &body)?;
    let id = match &key {
        Some(key) => payments::claim(&desk, &caller, key, (PAYMENTS, std::slice::from_ref(&message))).await?,
        None => given.map_or_else(new_id, TransferId::get),
    };
    message.id = Some(uuid(id));
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
    payments::check_count(body.payments.len())?;
    let read = |(item, pay): (usize, &Pay)| {
        // Of one there is nothing to tell apart.
        let told = |problem: Problem| if body.payments.len() == 1 { problem } else { problem.in_item(item) };
        let given = given_id(key.as_ref(), pay).map_err(told)?;
        let (message, currency) = payment(&caller, pay).map_err(told)?;
        Ok((given, message, currency))
    };
    let read: Vec<Result<Read, Problem>> = body.payments.iter().enumerate().map(read).collect();
    // A key names a whole request, so all of it must make sense; so must one payment that is the whole call.
    let must_be_whole = key.is_some() || read.len() == 1;
    if let Some(problem) = read.iter().find_map(|read| read.as_ref().err()).filter(|_| must_be_whole) {
        return Err(problem.clone().into());
    }
    let mut good: Vec<proto::Payment> = read.iter().flatten().map(|(_, message, _)| message.clone()).collect();
    let base = match &key {
        Some(key) => Some(payments::claim(&desk, &caller, key, (BATCH, &good)).await?),
        None => None,
    };
    for ((number, message), (given, _, _)) in (0..).zip(&mut good).zip(read.iter().flatten()) {
        let id = base.map_or_else(|| given.map_or_else(new_id, TransferId::get), |base| item_id(base, number));
        message.id = Some(uuid(id));
    }
    let answered = match good.is_empty() && !read.is_empty() {
        true => Vec::new(),
        false => {
            let request = proto::TransferMoneyRequest { payments: good, timeout_ms: 0 };
            payments::pay(&desk, &caller, request).await?.payments
        }
    };
    // Each good one has an answer, in order; what makes no sense has its own here.
    let mut answered = answered.iter();
    let states = body.payments.iter().zip(&read).map(|(pay, read)| match read {
        Ok((_, _, currency)) => answered
            .next()
            .map(|status| PaymentState::new(status, *currency))
            .ok_or_else(|| Problem::new(Code::Internal, "the node gave no answer to a payment")),
        Err(problem) => Ok(PaymentState::malformed(pay.id.clone().unwrap_or_default(), problem)),
    });
    Ok(answer::ok(&PaymentStates { payments: states.collect::<Result<_, Problem>>()? }, Freshness::First))
}

/// `GET /v1/payments/{id}`.
pub(super) async fn read(
    State(desk): State<Desk>,
    InPath(id): InPath,
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
pub(super) async fn cancel(State(desk): State<Desk>, InPath(id): InPath, call: Call) -> Result<Response, Refusal> {
    let caller = permits::customer(&desk, &call.headers).await?;
    let body: Pay = call.json()?;
    let id = field::transfer_id("id", &id)?;
    if body.id.as_deref().is_some_and(|own| field::transfer_id("id", own) != Ok(id)) {
        let detail = "the id in the path is another than the one in the body; leave it out there";
        return Err(Problem::new(Code::MalformedId, detail).with("field", "id").into());
    }
    let (message, currency) = payment(&caller, &body)?;
    let message = proto::Payment { id: Some(uuid(id.get())), ..message };
    let request = proto::CancelPaymentRequest { payment: Some(message), timeout_ms: 0 };
    let status = payments::cancel(&desk, &caller, request).await?;
    Ok(answer::ok(&PaymentState::new(&status, currency), Freshness::of(status.duplicate)))
}

/// A payment of a batch: the id that its caller gave it, all the rest, and its currency.
type Read = (Option<TransferId>, proto::Payment, Currency);

/// The id that the caller gave a payment, if any; beside a key there may be none.
fn given_id(key: Option<&IdempotencyKey>, body: &Pay) -> Result<Option<TransferId>, Problem> {
    match (key, body.id.as_deref()) {
        (Some(_), Some(_)) => Err(key_and_id("id")),
        (_, given) => given.map(|id| field::transfer_id("id", id)).transpose(),
    }
}

/// The payment without its id.
fn payment(caller: &Caller, body: &Pay) -> Result<(proto::Payment, Currency), Problem> {
    let currency = body.currency.as_deref().map_or(Ok(Currency::EUR), |code| field::currency("currency", code))?;
    let minor = field::amount("amount", &body.amount, currency)?.minor();
    let payee: NamedParty = body.payee.parse().map_err(|error| {
        let detail = format!("payee: {:?} is no customer ({error}); write name@bank", body.payee);
        Problem::new(Code::InvalidName, detail).with("field", "payee")
    })?;
    let reference = field::reference("reference", body.reference.as_deref().unwrap_or_default())?;
    let message = proto::Payment {
        id: None,
        payer: Some(party_message(&caller.party())),
        payee: Some(party_message(&payee)),
        amount: minor as u64,
        amount_high: (minor >> 64) as u32,
        currency: u32::from(currency.number()),
        reference: reference.as_str().to_owned(),
    };
    Ok((message, currency))
}
