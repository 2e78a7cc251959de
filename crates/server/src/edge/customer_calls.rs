//! `/v1/customers`: who banks here, for operators. A customer has a name, a password and one account.
//!
//! All of these may be repeated. Adding without an `Idempotency-Key` answers as at first, whatever the password, for it is the
//! name that says who is meant; an opening balance is posted once. With a key, or with an id, the password belongs to what is
//! repeated: with another one the request is refused.

use axum::extract::State;
use axum::response::Response;

use api::code::Code;
use api::field;
use api::grpc::transfer_command;
use api::idempotency::{opening_balance_key, password_salt, request_digest};
use api::json::{AddCustomer, Customer, LockCustomer, SetPassword};
use api::payment::customer_name;
use api::problem::Problem;
use api::rejection;
use ledger::{
    AccountId, Amount, Answer, Command, Currency, CustomerName, Movement, Outcome, Reference, Request, Secret,
    TransferId,
};

use super::answer::{self, Freshness, Refusal};
use super::body::Call;
use super::desk::Desk;
use super::first_calls::{NO_ID, movements_meaning};
use super::identity::{IdField, Identity, key_of};
use super::in_path::InPath;
use super::port::BankPort;
use crate::passwords::{Passwords, parse_phc};

const ID: IdField = IdField { name: "id", member: "id" };

/// What these calls need beside the desk.
#[derive(Debug, Clone)]
pub struct Registrar<B> {
    pub(super) desk: Desk<B>,
    pub(super) passwords: Passwords,
}

/// `POST /v1/customers`.
pub async fn add<B: BankPort>(State(at): State<Registrar<B>>, call: Call) -> Result<Response, Refusal> {
    let body: AddCustomer = call.json()?;
    let name = customer_name("username", &body.username)?;
    let currency = body.currency.as_deref().map_or(Ok(Currency::EUR), |code| field::currency("currency", code))?;
    let opening = match body.opening_balance.as_ref().map(|digits| field::amount("opening_balance", digits, currency)) {
        Some(Err(problem)) if problem.code == Code::AmountZero => None,
        opening => opening.transpose()?,
    };
    let key = key_of(&call.headers)?;
    let salt = key.as_ref().map(|key| salt(&at, key.number(at.desk.guard.scope()), &name));
    let secret = secret(&at.passwords, salt, (body.password, body.password_hash.as_deref())).await?;
    let account = AccountId::of_customer(&name);
    let command = Command::AddCustomer { name, currency, secret };
    let opening = opening.map(|amount| opening_of(account, amount, currency));
    if key.is_some() {
        // What the key stands for is kept; the account has its id by the customer's name.
        let commands = [command].into_iter().chain(opening.as_ref().map(transfer_command)).collect();
        let meaning = Request { linked: false, commands }.encode();
        at.desk.identify(&call.headers, (ID, None), ("/v1/customers", &meaning)).await?;
    }
    let identity = Identity::unkeyed(ID, Some(account.get()));
    let added = at.desk.submit_one(command, &identity).await?;
    check(&added)?;
    let mut replayed = added.replay;
    if let Some(opening) = opening {
        let posted = post_opening(&at, &name, &opening).await.map_err(|problem| not_opened(&name, problem))?;
        // Who was there already, without one, has it now.
        replayed &= posted.replay;
    }
    let customer = Customer {
        username: name.as_str().to_owned(),
        account_id: account.to_string(),
        currency: currency.code(),
        replayed,
    };
    Ok(answer::created(&customer, &format!("/v1/accounts/{account}"), Freshness::of(replayed)))
}

/// The customer is there by now: no error of what comes after may say that nothing was done, as 429 and 503 do.
fn not_opened(name: &CustomerName, problem: Problem) -> Problem {
    if problem.code == Code::IdempotencyKeyReused {
        let detail = format!(
            "opening_balance: customer {name} is there already, with another opening balance; nothing was changed"
        );
        return Problem::new(Code::CustomerExists, detail).with("field", "opening_balance");
    }
    if !matches!(problem.code.row().http, 429 | 503 | 504) {
        return problem;
    }
    let detail = format!(
        "{name} is a customer now, and it is not known whether the opening balance was posted; send the same again: {}",
        problem.detail
    );
    Problem::new(Code::OutcomeUnknown, detail)
}

/// The opening balance comes from the bank's vault.
fn opening_of(account: AccountId, amount: Amount, currency: Currency) -> Movement {
    let reference = Reference::new("opening balance").unwrap_or(Reference::EMPTY);
    Movement { id: NO_ID, debit: AccountId::vault(currency), credit: account, amount, currency, reference }
}

/// `POST /v1/customers/{name}/password`.
pub async fn set_password<B: BankPort>(
    State(at): State<Registrar<B>>,
    InPath(name): InPath,
    call: Call,
) -> Result<Response, Refusal> {
    let body: SetPassword = call.json()?;
    let name = customer_name("username", &name)?;
    let (key, given) = (key_of(&call.headers)?, change_id(body.id.as_deref())?);
    let unkeyed = Identity::unkeyed(ID, given);
    let number = key.as_ref().map_or(unkeyed.id, |key| key.number(at.desk.guard.scope()));
    let salt = salt(&at, number, &name);
    let secret = secret(&at.passwords, Some(salt), (body.password, body.password_hash.as_deref())).await?;
    let identity = match key {
        Some(_) => {
            let meaning = Request::single(Command::SetSecret { id: NO_ID, name, secret }).encode();
            at.desk.identify(&call.headers, (ID, given), ("/v1/customers/{name}/password", &meaning)).await?
        }
        // Its salt was made of this id.
        None => unkeyed,
    };
    let id = transfer_id(&identity);
    let done = at.desk.submit_one(Command::SetSecret { id, name, secret }, &identity).await?;
    check(&done)?;
    Ok(answer::ok(&serde_json::json!({ "username": name.as_str() }), Freshness::of(done.replay)))
}

/// `POST /v1/customers/{name}/lock`.
pub async fn lock<B: BankPort>(
    State(at): State<Registrar<B>>,
    InPath(name): InPath,
    call: Call,
) -> Result<Response, Refusal> {
    let body: LockCustomer = call.json()?;
    let (name, locked) = (customer_name("username", &name)?, body.locked);
    let meaning = [&[u8::from(locked)], name.as_str().as_bytes()].concat();
    let named = (ID, change_id(body.id.as_deref())?);
    let identity = at.desk.identify(&call.headers, named, ("/v1/customers/{name}/lock", &meaning)).await?;
    let id = transfer_id(&identity);
    let done = at.desk.submit_one(Command::LockCustomer { id, name, locked }, &identity).await?;
    check(&done)?;
    let shape = serde_json::json!({ "username": name.as_str(), "locked": locked });
    Ok(answer::ok(&shape, Freshness::of(done.replay)))
}

/// The id of a change, if the caller gives one.
fn change_id(given: Option<&str>) -> Result<Option<u128>, Problem> {
    Ok(given.map(|text| field::transfer_id("id", text)).transpose()?.map(TransferId::get))
}

#[expect(clippy::expect_used, reason = "ids of requests are not nil: parsed, hashed or made with a version")]
fn transfer_id(identity: &Identity) -> TransferId {
    TransferId::new(identity.id).expect("ids of requests are not nil: parsed, hashed or made with a version")
}

/// The salt of a customer's password, in a request that may be repeated under that number.
fn salt<B: BankPort>(at: &Registrar<B>, number: u128, name: &CustomerName) -> [u8; 16] {
    password_salt(number, &at.desk.bank.status().group, name.as_str())
}

/// What is stored of a password, or of the hash of one that another system knew. It is also what a key or an id is compared
/// by: with the salt of that request the same password has the same secret.
async fn secret(
    passwords: &Passwords,
    salt: Option<[u8; 16]>,
    (password, hash): (Option<String>, Option<&str>),
) -> Result<Secret, Problem> {
    match (password, hash) {
        (Some(password), None) => match salt {
            Some(salt) => passwords.make_salted(password, salt).await,
            None => passwords.make(password).await,
        },
        (None, Some(hash)) => parse_phc(hash),
        (Some(_), Some(_)) | (None, None) => {
            Err(Problem::new(Code::InvalidPassword, "send either password or password_hash").with("field", "password"))
        }
    }
}

fn check(answer: &Answer) -> Result<(), Problem> {
    match &answer.outcome {
        Outcome::Rejected { rejection, .. } => Err(rejection::of_other(rejection)),
        _ => Ok(()),
    }
}

/// Posts a customer's opening balance: one for each customer of a bank, forever. Its id is kept as those of idempotency keys
/// are, under a number that no caller's key has, so that nobody can take it in advance.
async fn post_opening<B: BankPort>(
    at: &Registrar<B>,
    name: &CustomerName,
    opening: &Movement,
) -> Result<Answer, Problem> {
    let (key, meaning) = (opening_balance_key(name.as_str()), movements_meaning(false, [*opening]));
    let base = at.desk.claim(key, request_digest("opening balance", &meaning)).await?;
    let id = TransferId::new(base).ok_or_else(|| Problem::new(Code::Internal, "an id that was kept is nil"))?;
    let identity = Identity::unkeyed(ID, Some(opening.credit.get()));
    let posted = at.desk.submit_one(transfer_command(&Movement { id, ..*opening }), &identity).await?;
    check(&posted)?;
    Ok(posted)
}
