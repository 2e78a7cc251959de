//! `/v1/accounts`: open, read, list, and an account's statement.

use axum::extract::State;
use axum::response::Response;

use api::field;
use api::json::{self, AccountPage, AccountsQuery, CreateAccount, StatementQuery, rfc3339};
use api::problem::Problem;
use ledger::{AccountId, AccountView, Currency, LineKind, Owner, StatementLine, money};

use super::answer::{self, Freshness, Refusal};
use super::body::Call;
use super::desk::{Desk, unknown_account};
use super::first_calls::{open, opening_meaning};
use super::identity::IdField;
use super::in_path::InPath;
use super::listing::{self, Listing};
use super::port::BankPort;
use super::statement::{self, Lines, Listed};

const ID: IdField = IdField { name: "id", member: "account_id" };

/// `POST /v1/accounts`.
pub async fn create<B: BankPort>(State(desk): State<Desk<B>>, call: Call) -> Result<Response, Refusal> {
    let body: CreateAccount = call.json_or_default()?;
    let given = body.id.as_deref().map(|text| field::account_id("id", text)).transpose()?;
    let owner = body.owner.as_deref().map_or(Ok(Owner::EMPTY), |text| field::owner("owner", text))?;
    let currency = body.currency.as_deref().map_or(Ok(Currency::EUR), |code| field::currency("currency", code))?;
    let meaning = opening_meaning(owner, currency);
    let named = (ID, given.map(AccountId::get));
    let identity = desk.identify(&call.headers, named, ("/v1/accounts", &meaning)).await?;
    let opened = open(&desk, &identity, owner, currency).await?;
    let account = json::Account {
        id: opened.id.to_string(),
        owner: owner.as_str().to_owned(),
        currency: currency.code(),
        balance: money::format(0, currency),
        available: money::format(0, currency),
        kind: "customer",
        closed: false,
        opened: Some(rfc3339(opened.time_ms)),
        replayed: Some(opened.freshness == Freshness::Replayed),
    };
    Ok(answer::created(&account, &format!("/v1/accounts/{}", opened.id), opened.freshness))
}

/// `GET /v1/accounts/{id}`, linearizable.
pub async fn read<B: BankPort>(
    State(desk): State<Desk<B>>,
    InPath(id): InPath,
    _call: Call,
) -> Result<Response, Refusal> {
    let id = field::account_id("id", &id)?;
    let found = desk.read(move |view| view.ledger().account(id).map(|account| shape(&account))).await?;
    Ok(answer::ok(&found.ok_or_else(|| unknown_account(id))?, Freshness::First))
}

/// `GET /v1/accounts`, linearizable.
pub async fn list<B: BankPort>(State(desk): State<Desk<B>>, call: Call) -> Result<Response, Refusal> {
    let listing = Listing::parse(&call.query::<AccountsQuery>()?)?;
    let page = desk
        .read(move |view| {
            let found = listing::page(view.ledger(), &listing);
            AccountPage { accounts: found.accounts.iter().map(shape).collect(), next_cursor: found.next_cursor }
        })
        .await?;
    Ok(answer::ok(&page, Freshness::First))
}

/// `GET /v1/accounts/{id}/statement`, linearizable, newest first.
pub async fn statement<B: BankPort>(
    State(desk): State<Desk<B>>,
    InPath(id): InPath,
    call: Call,
) -> Result<Response, Refusal> {
    let id = field::account_id("id", &id)?;
    let query: StatementQuery = call.query()?;
    let from = query.cursor.as_deref().map(|text| statement::parse_cursor(Listed::All, id, text)).transpose()?;
    let limit = field::limit(query.limit.as_deref())?;
    let found = desk.read(move |view| statement::lines(view, id, from, limit)).await?;
    let lines = found.map_err(Problem::from)?.ok_or_else(|| unknown_account(id))?;
    Ok(answer::ok(&statement_shape(id, &lines), Freshness::First))
}

fn shape(account: &AccountView<'_>) -> json::Account {
    json::Account {
        id: account.id.to_string(),
        owner: account.owner.to_owned(),
        currency: account.currency.code(),
        balance: money::format_signed(account.balances.balance(), account.currency),
        available: money::format_signed(account.balances.available(), account.currency),
        kind: account.internal.map_or("customer", ledger::Internal::name),
        closed: account.closed_ms.is_some(),
        opened: Some(rfc3339(account.opened_ms)),
        replayed: None,
    }
}

fn statement_shape(id: AccountId, lines: &Lines) -> json::Statement {
    json::Statement {
        account: id.to_string(),
        currency: lines.currency.code(),
        entries: lines.lines.iter().map(entry_shape).collect(),
        next_cursor: lines.next.map(|place| statement::cursor(Listed::All, id, place)),
    }
}

fn entry_shape(line: &StatementLine) -> json::StatementEntry {
    let currency = line.movement.currency;
    json::StatementEntry {
        transfer: line.movement.id.to_string(),
        kind: match line.kind {
            LineKind::Transfer => "transfer",
            LineKind::HoldPlaced => "hold_placed",
            LineKind::HoldPosted => "hold_posted",
            LineKind::HoldVoided => "hold_voided",
        },
        counterparty: line.counterparty.to_string(),
        change: money::format_signed(statement::change(line), currency),
        balance: money::format_signed(line.after.balance(), currency),
        time: rfc3339(line.time_ms),
        reference: line.movement.reference.as_str().to_owned(),
    }
}
