//! The shapes of `/v1`. Amounts and balances are exact decimal strings, times RFC 3339 in UTC, ids UUIDs as text.

use serde::{Deserialize, Serialize};

use super::digits::Digits;

/// `POST /v1/accounts`; the body may also be absent.
#[derive(Debug, Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object, such as {\"owner\": \"Alice\", \"currency\": \"EUR\"}, or no body at all"
)]
pub struct CreateAccount {
    pub id: Option<String>,
    pub owner: Option<String>,
    pub currency: Option<String>,
}

/// `POST /v1/customers`.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object, such as {\"username\": \"alice\", \"password\": \"…\", \"opening_balance\": \"100.00\"}"
)]
pub struct AddCustomer {
    pub username: String,
    pub password: Option<String>,
    /// `$argon2id$…` instead of a password.
    pub password_hash: Option<String>,
    pub opening_balance: Option<Digits>,
    pub currency: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Customer {
    pub username: String,
    pub account_id: String,
    pub currency: &'static str,
    pub replayed: bool,
}

/// `POST /v1/limits`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object, such as {\"limit\": \"daily_debit\", \"amount\": \"500.00\"}")]
pub struct ChangeLimit {
    pub limit: LimitKind,
    /// `null`, or left out, lifts it.
    pub amount: Option<Digits>,
    pub currency: Option<String>,
    /// The version that the change replaces; the present one if it is left out.
    pub expected_version: Option<u64>,
}

/// What of a bank is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", expecting = "\"daily_debit\" or \"transfer\"")]
pub enum LimitKind {
    /// What one customer can be debited on one UTC day.
    DailyDebit,
    /// What one transfer or hold can move.
    Transfer,
}

/// `GET /v1/limits`: what is in force.
#[derive(Debug, Serialize)]
pub struct LimitsInForce {
    /// Counts the changes: what the next one may name.
    pub version: u64,
    pub limits: Vec<LimitInForce>,
}

#[derive(Debug, Serialize)]
pub struct LimitInForce {
    pub limit: LimitKind,
    pub currency: &'static str,
    /// An exact decimal.
    pub amount: String,
}

/// `POST /v1/customers/{name}/password`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object, such as {\"password\": \"…\"}")]
pub struct SetPassword {
    pub id: Option<String>,
    pub password: Option<String>,
    pub password_hash: Option<String>,
}

/// `POST /v1/customers/{name}/lock`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object: {\"locked\": true} or {\"locked\": false}")]
pub struct LockCustomer {
    pub id: Option<String>,
    pub locked: bool,
}

/// What holds a password shows nothing of it.
macro_rules! hidden {
    ($($name:ident)*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(hidden)"))
            }
        }
    )*};
}

hidden!(AddCustomer SetPassword);

#[derive(Debug, Serialize)]
pub struct Account {
    pub id: String,
    pub owner: String,
    pub currency: &'static str,
    /// Posted credits less posted debits; negative only for the bank's own accounts.
    pub balance: String,
    /// The balance less what is set aside by holds.
    pub available: String,
    /// "customer", or what the account is to the bank: "vault", "interbank", "suspense".
    pub kind: &'static str,
    pub closed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened: Option<String>,
    /// True if this id was opened before this call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed: Option<bool>,
}

/// `GET /v1/accounts?…`, all optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountsQuery {
    pub cursor: Option<String>,
    pub limit: Option<String>,
    /// Part of an owner, regardless of case, or the beginning of an id.
    pub search: Option<String>,
    /// `opened` (default), `-opened`, `balance`, `-balance`, `owner` or `-owner`.
    pub sort: Option<String>,
    /// `bench`: without the accounts of `rialto bench`, unless something is searched for.
    pub hide: Option<String>,
}

/// The owner of every account that `rialto bench` opens: they stay in the bank's books, and lists for people leave them out. A
/// customer may be called so, too; the account of a customer is never left out.
pub const BENCH_OWNER: &str = "bench";

#[derive(Debug, Serialize)]
pub struct AccountPage {
    pub accounts: Vec<Account>,
    pub next_cursor: Option<String>,
}

/// `POST /v1/transfers`, and one item of a batch.
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object, such as {\"debit_account\": \"018f…\", \"credit_account\": \"018f…\", \"amount\": \"12.50\"}"
)]
pub struct CreateTransfer {
    pub id: Option<String>,
    pub debit_account: String,
    pub credit_account: String,
    pub amount: Digits,
    /// The debit account's, if absent.
    pub currency: Option<String>,
    pub reference: Option<String>,
}

/// `POST /v1/transfers/batch`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object, such as {\"transfers\": [{\"debit_account\": \"018f…\", …}]}")]
pub struct CreateTransfers {
    pub transfers: Vec<CreateTransfer>,
    /// All or none.
    #[serde(default)]
    pub linked: bool,
}

/// A transfer and what became of it.
#[derive(Debug, Serialize)]
pub struct Transfer {
    pub id: String,
    /// "posted", "held", "rejected" or "voided".
    pub outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debit_account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit_account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Balances right after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debit_balance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit_balance: Option<String>,
    /// True if this id had its outcome before this call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed: Option<bool>,
}

/// One item of a batch's answer.
pub type Item = Transfer;

#[derive(Debug, Serialize)]
pub struct BatchOutcome {
    pub posted: usize,
    pub rejected: usize,
    /// One for each transfer, in their order.
    pub transfers: Vec<Item>,
}

/// `GET /v1/accounts/{id}/statement?…`, all optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementQuery {
    pub cursor: Option<String>,
    pub limit: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Statement {
    pub account: String,
    pub currency: &'static str,
    /// Newest first.
    pub entries: Vec<StatementEntry>,
    pub next_cursor: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct StatementEntry {
    pub transfer: String,
    /// "transfer", "hold_placed", "hold_posted" or "hold_voided".
    pub kind: &'static str,
    pub counterparty: String,
    /// Negative for money that left.
    pub change: String,
    /// The balance after this entry.
    pub balance: String,
    pub time: String,
    pub reference: String,
}

/// `POST /v1/election`.
#[derive(Debug, Serialize)]
pub struct Elected {
    pub result: &'static str,
}
