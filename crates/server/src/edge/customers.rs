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
use super::statement::{self, Listed};
use crate::attempts::{Attempt, Attempts};
use crate::passwords::{Passwords, Place};
use crate::turns::Lane;
use std::time::{Duration, Instant};

/// How long a sign-in that fails takes at least, whatever is wrong with it. If it takes longer it ends at a whole number of
/// such steps, so that little is told by how long it took.
const FAILS_AFTER: Duration = Duration::from_millis(500);
const FAILS_IN_STEPS_OF: Duration = Duration::from_millis(250);

/// What a bank has at hand to check passwords. A clone is another handle of the same.
#[derive(Debug, Clone, Default)]
pub struct SignIns {
    pub(crate) passwords: Passwords,
    attempts: Attempts,
}

/// Whether this is the customer's password. A wrong name is told as a wrong password is, and as late; where so many wait that
/// no password is looked at, both are told that. An invented name costs nothing, and no flood of them keeps anybody waiting.
pub(super) async fn authenticate<B: BankPort>(
    desk: &Desk<B>,
    sign_ins: &SignIns,
    request: proto::AuthenticateRequest,
) -> Result<proto::AuthenticateResponse, Problem> {
    let asked = tokio::time::Instant::now();
    let looked_at = look_at(desk, sign_ins, request).await;
    if looked_at.as_ref().is_err_and(|problem| problem.code == Code::WrongCredentials) {
        tokio::time::sleep_until(asked + fails_after(asked.elapsed())).await;
    }
    looked_at
}

/// When a sign-in that fails is answered, from when it was asked, if it took so long to find out.
fn fails_after(took: Duration) -> Duration {
    let steps = took.as_micros().div_ceil(FAILS_IN_STEPS_OF.as_micros());
    FAILS_AFTER.max(FAILS_IN_STEPS_OF.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX)))
}

async fn look_at<B: BankPort>(
    desk: &Desk<B>,
    sign_ins: &SignIns,
    request: proto::AuthenticateRequest,
) -> Result<proto::AuthenticateResponse, Problem> {
    let Ok(name) = CustomerName::enforce(&request.username) else { return Err(wrong()) };
    request_log::note_about([name]);
    let known = desk
        .read(move |view| {
            let customer = view.ledger().customer(&name)?;
            let account = view.ledger().account(customer.account)?;
            Some((customer.secret, customer.locked, account.currency))
        })
        .await?;
    let (source, earlier, exists) = (request.source, request.earlier, known.is_some());
    let attempt = Attempt { name: name_digest(&name), exists, source, earlier };
    let reserved = sign_ins.attempts.reserve(attempt, Instant::now()).map_err(|many| too_many(many.retry_after_ms))?;
    // Each earlier sign-in is a source of its own, so that none of them waits behind a crowd at the same address.
    let place = match reserved.is_known() {
        true => Place { lane: Lane::Known, source: earlier.unwrap_or(source) },
        false => Place { lane: Lane::Stranger, source },
    };
    let secret = known.map(|(secret, ..)| secret);
    match sign_ins.passwords.verify(secret, request.password, place).await {
        Ok(true) => reserved.succeeded(Instant::now()),
        Ok(false) => return Err(wrong()),
        Err(problem) => {
            reserved.not_tried(Instant::now());
            return Err(problem);
        }
    }
    // Without a secret no password is right.
    let Some((_, locked, currency)) = known else { return Err(wrong()) };
    match locked {
        false => Ok(proto::AuthenticateResponse { currency: u32::from(currency.number()) }),
        true => Err(Problem::new(Code::CustomerLocked, "this customer was locked; ask the bank")),
    }
}

#[expect(clippy::expect_used, reason = "a slice of eight bytes is eight bytes")]
fn name_digest(name: &CustomerName) -> u64 {
    let hash = blake3::hash(name.as_str().as_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes of thirty-two"))
}

fn too_many(retry_after_ms: u64) -> Problem {
    let detail = format!("too many failed sign-ins; try again in {} s", retry_after_ms.div_ceil(1_000));
    Problem::new(Code::TooManyAttempts, detail).retry_after_ms(retry_after_ms)
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

/// Lines of a statement that are looked at for one page of what moved: a look keeps everything else waiting that this node
/// applies and reads.
const LOOKED_AT_MAX: usize = 2_000;

/// What moved on a customer's account, newest first.
pub(super) async fn history<B: BankPort>(
    desk: &Desk<B>,
    request: &proto::TransactionHistoryRequest,
) -> Result<proto::TransactionHistoryResponse, Problem> {
    let name = customer_name("customer", &request.customer)?;
    let limit = grpc::limit(request.limit)?;
    let account = AccountId::of_customer(&name);
    let from = match request.cursor.as_str() {
        "" => None,
        cursor => Some(statement::parse_cursor(Listed::Moved, account, cursor)?),
    };
    let bank = desk.bank.status().group;
    let found = desk.read(move |view| {
        let (mut entries, mut from, mut left) = (Vec::new(), from, LOOKED_AT_MAX);
        // Money set aside and let go moved nothing: what is left of a page may be little, or nothing.
        while left > 0 {
            let wanted = left.min(limit - entries.len());
            let Some(page) = statement::lines(view, account, from, wanted)? else { return Ok(None) };
            left -= wanted;
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
    let next_cursor = next.map_or_else(String::new, |place| statement::cursor(Listed::Moved, account, place));
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
