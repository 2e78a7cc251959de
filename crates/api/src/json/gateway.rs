//! The shapes of the gateway's `/v1`: sign in, pay, look. As of a bank: amounts are exact decimal strings, times RFC 3339 in
//! UTC, ids UUIDs as text.

use serde::{Deserialize, Serialize};

use super::digits::Digits;
use super::time::rfc3339;
use crate::code::Code;
use crate::grpc::{id_bits, int128_value};
use crate::problem::Problem;
use crate::proto;
use ledger::{Currency, money};

/// `POST /v1/login`.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object, such as {\"bank\": \"alpha\", \"username\": \"alice\", \"password\": \"…\"}"
)]
pub struct SignIn {
    pub bank: String,
    pub username: String,
    pub password: String,
}

/// What holds a password shows nothing of it.
impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignIn").finish_non_exhaustive()
    }
}

/// The answer, in the words of RFC 6749. It holds a token, so it has no `Debug`.
#[derive(Serialize)]
#[allow(missing_debug_implementations, reason = "it holds a token")]
pub struct SignedIn {
    pub access_token: String,
    pub token_type: &'static str,
    pub expires: String,
    pub live_sessions: u32,
}

impl SignedIn {
    pub fn new(message: proto::LoginResponse) -> SignedIn {
        let proto::LoginResponse { token, expires_ms, live_sessions } = message;
        SignedIn { access_token: token, token_type: "Bearer", expires: rfc3339(expires_ms), live_sessions }
    }
}

/// `GET /v1/balance`.
#[derive(Debug, Serialize)]
pub struct OwnBalance {
    pub customer: String,
    pub balance: String,
    /// What can be spent.
    pub available: String,
    pub currency: &'static str,
    /// Payments that are decided and not yet in the bank's books.
    pub undelivered: u32,
}

impl OwnBalance {
    /// # Errors
    /// When the bank told what makes no sense.
    pub fn new(customer: String, message: &proto::ViewBalanceResponse) -> Result<OwnBalance, Problem> {
        let currency = currency(message.currency)?;
        let balances = message.balances.as_ref().ok_or_else(nonsense)?;
        let balance = balances.balance.as_ref().map_or(0, int128_value);
        let available = balances.available.as_ref().map_or(balance, int128_value);
        Ok(OwnBalance {
            customer,
            balance: money::format_signed(balance, currency),
            available: money::format_signed(available, currency),
            currency: currency.code(),
            undelivered: message.undelivered,
        })
    }
}

/// `POST /v1/payments`, one of a batch, and `POST /v1/payments/{id}/cancel`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object, such as {\"payee\": \"bob@beta\", \"amount\": \"12.50\"}")]
pub struct Pay {
    pub id: Option<String>,
    /// `name@bank`.
    pub payee: String,
    pub amount: Digits,
    /// EUR, if absent.
    pub currency: Option<String>,
    pub reference: Option<String>,
}

/// `POST /v1/payments/batch`.
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object: {\"payments\": [{\"payee\": \"bob@beta\", \"amount\": \"12.50\"}, …]}"
)]
pub struct PayMany {
    pub payments: Vec<Pay>,
}

/// How a payment stands.
#[derive(Debug, Serialize)]
pub struct PaymentState {
    pub id: String,
    /// `paid`, `refused`, `undecided`, `not_taken`, or `id_reused`: the id stands for another payment.
    pub state: &'static str,
    /// Both banks have it in their books.
    pub delivered: bool,
    /// The id had its outcome, or was on its way, before this call.
    pub duplicate: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub code: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// With `insufficient_funds`: what the payer had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available: Option<String>,
    /// With `not_taken`, where waiting helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl PaymentState {
    /// `currency` is the payment's.
    pub fn new(message: &proto::PaymentStatus, currency: Currency) -> PaymentState {
        let state = match message.state() {
            proto::PaymentState::Paid => "paid",
            proto::PaymentState::Refused => "refused",
            proto::PaymentState::NotTaken => "not_taken",
            proto::PaymentState::IdReused => "id_reused",
            proto::PaymentState::Undecided | proto::PaymentState::Unspecified => "undecided",
        };
        let available = message.available.as_ref().map(|minor| money::format_signed(int128_value(minor), currency));
        PaymentState {
            id: message.id.as_ref().map_or_else(String::new, |id| uuid::Uuid::from_u128(id_bits(id)).to_string()),
            state,
            delivered: message.delivered,
            duplicate: message.duplicate,
            code: message.code.clone(),
            detail: message.detail.clone(),
            available,
            retry_after_ms: Some(message.retry_after_ms).filter(|wait_ms| *wait_ms > 0),
        }
    }

    /// A payment that makes no sense, beside others of its call; `id` as it was sent.
    pub fn malformed(id: String, problem: &Problem) -> PaymentState {
        let (code, detail) = (problem.code.text().to_owned(), problem.detail.clone());
        let (delivered, duplicate) = (false, false);
        PaymentState {
            id,
            state: "not_taken",
            delivered,
            duplicate,
            code,
            detail,
            available: None,
            retry_after_ms: None,
        }
    }

    /// As the problem that it is to whoever ordered it, unless it is paid.
    ///
    /// # Errors
    /// When it is not paid.
    pub fn paid(self) -> Result<PaymentState, Problem> {
        if self.state == "paid" {
            return Ok(self);
        }
        let problem = Problem::new(Code::from_text(&self.code).unwrap_or(Code::Internal), self.detail);
        let problem = problem.with("payment_id", self.id).with("state", self.state);
        let problem = if self.duplicate { problem.with("replayed", true) } else { problem };
        let problem = match self.retry_after_ms {
            Some(wait_ms) => problem.retry_after_ms(wait_ms),
            None => problem,
        };
        Err(match self.available {
            Some(available) => problem.with("available", available),
            None => problem,
        })
    }
}

/// `POST /v1/payments/batch`: one for each, in their order.
#[derive(Debug, Serialize)]
pub struct PaymentStates {
    pub payments: Vec<PaymentState>,
}

/// `GET /v1/history?…`, all optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    pub cursor: Option<String>,
    pub limit: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct HistoryPage {
    pub entries: Vec<HistoryEntry>,
    pub currency: &'static str,
    pub next_cursor: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct HistoryEntry {
    pub id: String,
    /// Negative for money that left.
    pub change: String,
    /// The balance after it.
    pub balance: String,
    pub time: String,
    pub reference: String,
    /// `bob@beta`, `cash`, or empty where it is not known any more.
    pub counterparty: String,
}

impl HistoryPage {
    /// # Errors
    /// When the bank told what makes no sense.
    pub fn new(message: proto::TransactionHistoryResponse) -> Result<HistoryPage, Problem> {
        let currency = currency(message.currency)?;
        let money = |value: Option<&proto::Int128>| money::format_signed(value.map_or(0, int128_value), currency);
        let entry = |entry: proto::HistoryEntry| HistoryEntry {
            id: entry.id.as_ref().map_or_else(String::new, |id| uuid::Uuid::from_u128(id_bits(id)).to_string()),
            change: money(entry.change.as_ref()),
            balance: money(entry.balance.as_ref()),
            time: rfc3339(entry.time_ms),
            reference: entry.reference,
            counterparty: entry.counterparty,
        };
        let next_cursor = (!message.next_cursor.is_empty()).then_some(message.next_cursor);
        Ok(HistoryPage {
            entries: message.entries.into_iter().map(entry).collect(),
            currency: currency.code(),
            next_cursor,
        })
    }
}

fn currency(number: u32) -> Result<Currency, Problem> {
    u16::try_from(number).ok().and_then(Currency::from_number).ok_or_else(nonsense)
}

fn nonsense() -> Problem {
    Problem::new(Code::Internal, "the bank answered what a bank of this version would not")
}
