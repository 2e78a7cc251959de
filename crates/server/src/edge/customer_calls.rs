//! `/v1/customers`: who banks here, for operators. A customer has a name, a password and one account.
//!
//! All of these may be repeated: adding answers as at first, whatever the password; an opening balance is posted once, under
//! an id that follows from bank and name.

use axum::extract::{Path, State};
use axum::response::Response;

use api::code::Code;
use api::field;
use api::json::{AddCustomer, Customer, LockCustomer, SetPassword};
use api::payment::customer_name;
use api::problem::Problem;
use api::rejection;
use ledger::{AccountId, Answer, Command, Currency, CustomerName, Outcome, Reference, Secret, TransferId};

use super::answer::{self, Freshness, Refusal};
use super::body::Call;
use super::desk::Desk;
use super::identity::{IdField, Identity};
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
    let secret = secret(&at.passwords, body.password, body.password_hash.as_deref()).await?;
    let account = AccountId::of_customer(&name);
    let identity = Identity::settle(&call.headers, at.desk.place("/v1/customers"), ID, Some(account.get()))?;
    let added = at.desk.submit_one(Command::AddCustomer { name, currency, secret }, &identity).await?;
    check(&added)?;
    if let Some(amount) = opening {
        let (debit, reference) =
            (AccountId::vault(currency), Reference::new("opening balance").unwrap_or(Reference::EMPTY));
        let id = opening_id(&at.desk.bank.status().group, &name);
        let transfer = Command::Transfer { id, debit, credit: account, amount, currency, reference };
        check(&at.desk.submit_one(transfer, &identity).await?)?;
    }
    let freshness = Freshness::of(added.replay);
    let customer = Customer {
        username: name.as_str().to_owned(),
        account_id: account.to_string(),
        currency: currency.code(),
        replayed: added.replay,
    };
    Ok(answer::created(&customer, &format!("/v1/accounts/{account}"), freshness))
}

/// `POST /v1/customers/{name}/password`.
pub async fn set_password<B: BankPort>(
    State(at): State<Registrar<B>>,
    Path(name): Path<String>,
    call: Call,
) -> Result<Response, Refusal> {
    let body: SetPassword = call.json()?;
    let name = customer_name("username", &name)?;
    let secret = secret(&at.passwords, body.password, body.password_hash.as_deref()).await?;
    let (id, identity) = change_id(&at, &call, "/v1/customers/{name}/password", body.id.as_deref())?;
    let done = at.desk.submit_one(Command::SetSecret { id, name, secret }, &identity).await?;
    check(&done)?;
    Ok(answer::ok(&serde_json::json!({ "username": name.as_str() }), Freshness::of(done.replay)))
}

/// `POST /v1/customers/{name}/lock`.
pub async fn lock<B: BankPort>(
    State(at): State<Registrar<B>>,
    Path(name): Path<String>,
    call: Call,
) -> Result<Response, Refusal> {
    let body: LockCustomer = call.json()?;
    let (name, locked) = (customer_name("username", &name)?, body.locked);
    let (id, identity) = change_id(&at, &call, "/v1/customers/{name}/lock", body.id.as_deref())?;
    let done = at.desk.submit_one(Command::LockCustomer { id, name, locked }, &identity).await?;
    check(&done)?;
    let shape = serde_json::json!({ "username": name.as_str(), "locked": locked });
    Ok(answer::ok(&shape, Freshness::of(done.replay)))
}

fn change_id<B: BankPort>(
    at: &Registrar<B>,
    call: &Call,
    route: &'static str,
    given: Option<&str>,
) -> Result<(TransferId, Identity), Problem> {
    let given = given.map(|text| field::transfer_id("id", text)).transpose()?;
    let identity = Identity::settle(&call.headers, at.desk.place(route), ID, given.map(TransferId::get))?;
    let id = TransferId::new(identity.id).expect("ids of requests are not nil: parsed, hashed or made with a version");
    Ok((id, identity))
}

/// What is stored of a password, or of the hash of one that another system knew.
async fn secret(passwords: &Passwords, password: Option<String>, hash: Option<&str>) -> Result<Secret, Problem> {
    match (password, hash) {
        (Some(password), None) => passwords.make(password).await,
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

/// The transfer that brings a customer's opening balance: one for each customer of a bank, forever.
fn opening_id(bank: &str, name: &CustomerName) -> TransferId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"rialto opening balance");
    hasher.update(bank.as_bytes());
    hasher.update(&[0]);
    hasher.update(name.as_str().as_bytes());
    let bits = u128::from_le_bytes(hasher.finalize().as_bytes()[..16].try_into().expect("sixteen bytes of thirty-two"));
    TransferId::new(bits.max(1)).expect("not nil")
}
