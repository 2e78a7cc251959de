//! Customers by name: whether a password is theirs, what they have, what moved. For the gateway, which has checked who asks.

use api::code::Code;
use api::grpc;
use api::payment::customer_name;
use api::problem::Problem;
use api::proto;
use ledger::{AccountId, CustomerName, Internal, StatementLine};

use super::desk::Desk;
use super::port::{BankPort, Unreadable, View};
use super::request_log;
use super::statement;
use crate::passwords::Passwords;

/// Whether this is the customer's password. A wrong name takes as long as a wrong password, and is told alike.
pub(super) async fn authenticate<B: BankPort>(
    desk: &Desk<B>,
    passwords: &Passwords,
    request: proto::AuthenticateRequest,
) -> Result<proto::AuthenticateResponse, Problem> {
    let Ok(name) = CustomerName::new(&request.username) else { return Err(wrong()) };
    request_log::note_about([name]);
    let known = desk
        .read(move |view| {
            let customer = view.ledger().customer(&name)?;
            let account = view.ledger().account(customer.account)?;
            Some((customer.secret, customer.locked, account.currency))
        })
        .await?;
    let secret = known.as_ref().map(|(secret, _, _)| *secret);
    let is_right = passwords.verify(secret, request.password).await?;
    match known {
        Some((_, false, currency)) if is_right => {
            Ok(proto::AuthenticateResponse { currency: u32::from(currency.number()) })
        }
        Some((_, true, _)) if is_right => {
            Err(Problem::new(Code::CustomerLocked, "this customer was locked; ask the bank"))
        }
        Some(_) | None => Err(wrong()),
    }
}

fn wrong() -> Problem {
    Problem::new(Code::WrongCredentials, "name or password is wrong")
}

/// What a customer has, linearizable.
pub(super) async fn balance<B: BankPort>(
    desk: &Desk<B>,
    request: &proto::ViewBalanceRequest,
) -> Result<proto::ViewBalanceResponse, Problem> {
    let name = customer_name("customer", &request.customer)?;
    let found = desk.read(move |view| {
        let account = view.ledger().account(AccountId::of_customer(&name))?;
        Some((grpc::balances(&account.balances), account.currency))
    });
    let (balances, currency) = found.await?.ok_or_else(|| unknown(&name))?;
    let currency = u32::from(currency.number());
    Ok(proto::ViewBalanceResponse { balances: Some(balances), currency, undelivered: 0 })
}

/// Pages of a statement that are looked at for one page of what moved.
const PAGES_MAX: usize = 16;

/// What moved on a customer's account, newest first.
pub(super) async fn history<B: BankPort>(
    desk: &Desk<B>,
    request: &proto::TransactionHistoryRequest,
) -> Result<proto::TransactionHistoryResponse, Problem> {
    let name = customer_name("customer", &request.customer)?;
    let limit = grpc::limit(request.limit)?;
    let from = match request.cursor.as_str() {
        "" => None,
        cursor => Some(statement::parse_cursor(cursor)?),
    };
    let account = AccountId::of_customer(&name);
    let bank = desk.bank.status().group;
    let found = desk.read(move |view| {
        let (mut entries, mut from) = (Vec::new(), from);
        // Money set aside and let go moved nothing: what is left of a page may be little, or nothing.
        for _ in 0..PAGES_MAX {
            let Some(page) = statement::lines(view, account, from, limit - entries.len())? else { return Ok(None) };
            let moved = page.lines.iter().filter(|line| line.kind.moved_money());
            entries.extend(moved.map(|line| entry(view, line, &bank)));
            if entries.len() == limit || page.next.is_none() {
                return Ok(Some((entries, page.next, page.currency)));
            }
            from = page.next;
        }
        let currency = view.ledger().account(account).map(|found| found.currency);
        Ok::<_, Unreadable>(currency.map(|currency| (entries, from, currency)))
    });
    let (entries, next, currency) = found.await??.ok_or_else(|| unknown(&name))?;
    let next_cursor = next.map_or_else(String::new, statement::cursor);
    Ok(proto::TransactionHistoryResponse { entries, next_cursor, currency: u32::from(currency.number()) })
}

fn entry(view: &dyn View, line: &StatementLine, bank: &str) -> proto::HistoryEntry {
    let counterparty = match line.counterparty.internal() {
        Some((Internal::Vault, _)) => "cash".to_owned(),
        // The gateway knows the name behind it.
        Some((Internal::Interbank | Internal::Suspense, _)) => String::new(),
        None => match view.ledger().account(line.counterparty) {
            Some(account) => format!("{}@{bank}", account.owner),
            None => String::new(),
        },
    };
    proto::HistoryEntry {
        id: Some(grpc::uuid(line.movement.id.get())),
        change: Some(grpc::int128(statement::change(line))),
        balance: Some(grpc::int128(line.after.balance())),
        time_ms: line.time_ms,
        reference: line.movement.reference.as_str().to_owned(),
        counterparty,
    }
}

fn unknown(name: &CustomerName) -> Problem {
    Problem::new(Code::UnknownCustomer, format!("this bank has no customer {name}"))
}
