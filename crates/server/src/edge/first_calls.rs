//! The first calls of the bank: open, deposit, withdraw, move, check.
//!
//! A deposit comes from the bank's vault of the account's currency and a withdrawal goes back to it, so that debits equal
//! credits always. Amounts are in the account's own currency.

use axum::extract::State;
use axum::response::Response;

use api::json::{
    AccountOpened, Balance, CheckAccount, DepositMoney, Deposited, ExactNumber, MoneyMoved, MoveMoney, OpenAccount,
    WithdrawMoney,
};
use api::problem::Problem;
use api::{field, rejection};
use ledger::{
    AccountId, Amount, BalancesAfter, Command, Currency, Movement, Outcome, Owner, Reference, Rejected, Request,
    TransferId, money,
};

use super::answer::{self, Freshness, Refusal};
use super::body::Call;
use super::desk::{Desk, unknown_account};
use super::identity::{IdField, Identity};
use super::outcome;
use super::port::BankPort;

const TRANSFER_ID: IdField = IdField { name: "transfer_id", member: "transfer_id" };
const ACCOUNT_ID: IdField = IdField { name: "account_id", member: "account_id" };

/// `POST /open_account`: an account in euro, without a name.
pub async fn open_account<B: BankPort>(State(desk): State<Desk<B>>, call: Call) -> Result<Response, Refusal> {
    let body: OpenAccount = call.json_or_default()?;
    let given = body.account_id.as_deref().map(|text| field::account_id("account_id", text)).transpose()?;
    let meaning = opening_meaning(Owner::EMPTY, Currency::EUR);
    let named = (ACCOUNT_ID, given.map(AccountId::get));
    let identity = desk.identify(&call.headers, named, ("/open_account", &meaning)).await?;
    let opened = open(&desk, &identity, Owner::EMPTY, Currency::EUR).await?;
    Ok(answer::ok(&AccountOpened { account_id: opened.id.to_string() }, opened.freshness))
}

/// Stands for the ids of a request where only its meaning counts.
pub(super) const NO_ID: TransferId = TransferId::new(1).expect("not nil");

/// What an opening means, whatever its id: for an idempotency key.
#[expect(clippy::expect_used, reason = "one is not nil")]
pub(super) fn opening_meaning(owner: Owner, currency: Currency) -> Vec<u8> {
    let id = AccountId::new(1).expect("not nil");
    Request::single(Command::OpenAccount { id, owner, currency }).encode()
}

/// What movements mean, whatever their ids: for an idempotency key.
pub(super) fn movements_meaning(linked: bool, movements: impl IntoIterator<Item = Movement>) -> Vec<u8> {
    let unnamed = |movement| Movement { id: NO_ID, ..movement };
    let commands = movements.into_iter().map(|it| api::grpc::transfer_command(&unnamed(it))).collect();
    Request { linked, commands }.encode()
}

/// An account that is open.
#[derive(Debug)]
pub struct Opened {
    pub id: AccountId,
    pub time_ms: u64,
    pub freshness: Freshness,
}

/// Opens an account under the id of the request.
#[expect(clippy::expect_used, reason = "ids of requests are not nil: parsed, hashed or made with a version")]
pub async fn open<B: BankPort>(
    desk: &Desk<B>,
    identity: &Identity,
    owner: Owner,
    currency: Currency,
) -> Result<Opened, Problem> {
    let id = AccountId::new(identity.id).expect("ids of requests are not nil: parsed, hashed or made with a version");
    let answer = desk.submit_one(Command::OpenAccount { id, owner, currency }, identity).await?;
    let problem = match &answer.outcome {
        Outcome::Opened { time_ms, .. } => {
            return Ok(Opened { id, time_ms: *time_ms, freshness: Freshness::of(answer.replay) });
        }
        Outcome::Rejected { rejection, .. } => rejection::of_other(rejection),
        // An id that stands for something else is a rejection; the ledger answers an opening with nothing else.
        Outcome::Closed { .. }
        | Outcome::Posted { .. }
        | Outcome::Held { .. }
        | Outcome::HoldPosted { .. }
        | Outcome::HoldVoided { .. }
        | Outcome::Voided { .. }
        | Outcome::SettingChanged { .. }
        | Outcome::SecretChanged { .. }
        | Outcome::LockChanged { .. }
        | Outcome::Noted { .. }
        | Outcome::Fenced { .. }
        | Outcome::KeyClaimed { .. } => rejection::of_other(&Rejected::IdReused),
    };
    Err(outcome::told_once(problem.with("account_id", id.to_string()), &answer))
}

/// `POST /deposit_money`.
pub async fn deposit_money<B: BankPort>(State(desk): State<Desk<B>>, call: Call) -> Result<Response, Refusal> {
    let body: DepositMoney = call.json()?;
    let account = field::account_id("account_id", &body.account_id)?;
    let currency = desk.currency(account).await?;
    let amount = field::amount("amount", &body.amount, currency)?;
    let ends = Ends { debit: AccountId::vault(currency), credit: account };
    let done =
        carry_out(&desk, &call, "/deposit_money", Order { ends, amount, currency, id: body.transfer_id }).await?;
    let what = format!("{} {currency} deposited to account {account}", money::format(amount.minor(), currency));
    Ok(deposited(what, &done, &done.credit, currency))
}

/// `POST /withdraw_money`.
pub async fn withdraw_money<B: BankPort>(State(desk): State<Desk<B>>, call: Call) -> Result<Response, Refusal> {
    let body: WithdrawMoney = call.json()?;
    let account = field::account_id("account_id", &body.account_id)?;
    let currency = desk.currency(account).await?;
    let amount = field::amount("amount", &body.amount, currency)?;
    let ends = Ends { debit: account, credit: AccountId::vault(currency) };
    let done =
        carry_out(&desk, &call, "/withdraw_money", Order { ends, amount, currency, id: body.transfer_id }).await?;
    let what = format!("{} {currency} withdrawn from account {account}", money::format(amount.minor(), currency));
    Ok(deposited(what, &done, &done.debit, currency))
}

/// `POST /move_money`.
pub async fn move_money<B: BankPort>(State(desk): State<Desk<B>>, call: Call) -> Result<Response, Refusal> {
    let body: MoveMoney = call.json()?;
    let debit = field::account_id("source.account_id", &body.source.account_id)?;
    let credit = field::account_id("destination.account_id", &body.destination.account_id)?;
    field::two_accounts(debit, credit)?;
    let known = desk.currencies(vec![debit, credit]).await?;
    let currency = *known.get(&debit).ok_or_else(|| unknown_account(debit))?;
    if !known.contains_key(&credit) {
        return Err(unknown_account(credit).into());
    }
    let amount = field::amount("amount", &body.amount, currency)?;
    let order = Order { ends: Ends { debit, credit }, amount, currency, id: body.transfer_id };
    let done = carry_out(&desk, &call, "/move_money", order).await?;
    let sum = money::format(amount.minor(), currency);
    let result = format!("{sum} {currency} moved from account {debit} to account {credit}");
    Ok(answer::ok(&MoneyMoved { result, transfer_id: done.id.to_string() }, done.freshness))
}

/// `GET /check_account`, linearizable; the id in the body or in the query.
pub async fn check_account<B: BankPort>(State(desk): State<Desk<B>>, call: Call) -> Result<Response, Refusal> {
    let asked: CheckAccount = if call.body.is_empty() { call.query()? } else { call.json()? };
    let id = field::account_id("account_id", &asked.account_id)?;
    let found = desk
        .read(move |view| view.ledger().account(id).map(|account| (account.balances.balance(), account.currency)))
        .await?;
    let (balance, currency) = found.ok_or_else(|| unknown_account(id))?;
    Ok(answer::ok(&Balance { balance: exact(balance, currency) }, Freshness::First))
}

struct Ends {
    debit: AccountId,
    credit: AccountId,
}

struct Order {
    ends: Ends,
    amount: Amount,
    currency: Currency,
    /// The caller's own id, as text.
    id: Option<String>,
}

struct Done {
    id: TransferId,
    debit: BalancesAfter,
    credit: BalancesAfter,
    freshness: Freshness,
}

#[expect(clippy::expect_used, reason = "ids of requests are not nil: parsed, hashed or made with a version")]
async fn carry_out<B: BankPort>(desk: &Desk<B>, call: &Call, route: &str, order: Order) -> Result<Done, Problem> {
    let Ends { debit, credit } = order.ends;
    field::two_accounts(debit, credit)?;
    let given = order.id.as_deref().map(|text| field::transfer_id("transfer_id", text)).transpose()?;
    let movement = |id: TransferId| {
        let Order { amount, currency, .. } = order;
        Movement { id, debit, credit, amount, currency, reference: Reference::EMPTY }
    };
    let meaning = movements_meaning(false, [movement(NO_ID)]);
    let identity = desk.identify(&call.headers, (TRANSFER_ID, given.map(TransferId::get)), (route, &meaning)).await?;
    let id = TransferId::new(identity.id).expect("ids of requests are not nil: parsed, hashed or made with a version");
    let movement = movement(id);
    let answer = desk.submit_one(api::grpc::transfer_command(&movement), &identity).await?;
    let posted = outcome::posted(&answer, &movement)?;
    Ok(Done { id, debit: posted.debit, credit: posted.credit, freshness: Freshness::of(answer.replay) })
}

fn deposited(result: String, done: &Done, after: &BalancesAfter, currency: Currency) -> Response {
    let balance = exact(after.balance(), currency);
    answer::ok(&Deposited { result, balance, transfer_id: done.id.to_string() }, done.freshness)
}

fn exact(balance: i128, currency: Currency) -> ExactNumber {
    ExactNumber::new(money::format_signed(balance, currency))
}
