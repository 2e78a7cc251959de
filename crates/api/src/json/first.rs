//! The first calls: `/open_account`, `/deposit_money`, `/withdraw_money`, `/move_money`, `/check_account`.

use serde::{Deserialize, Serialize};

use super::digits::{Digits, ExactNumber};

/// `POST /open_account`; the body may also be absent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object, such as {\"account_id\": \"018f…\"}, or no body at all")]
pub struct OpenAccount {
    pub account_id: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct AccountOpened {
    pub account_id: String,
}

/// `POST /deposit_money`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object, such as {\"account_id\": \"018f…\", \"amount\": 12.50}")]
pub struct DepositMoney {
    pub account_id: String,
    pub amount: Digits,
    pub transfer_id: Option<String>,
}

/// `POST /withdraw_money`.
pub type WithdrawMoney = DepositMoney;

/// What a deposit or a withdrawal did.
#[derive(Debug, Serialize)]
pub struct Deposited {
    pub result: String,
    pub balance: ExactNumber,
    pub transfer_id: String,
}

/// `POST /move_money`.
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object, such as {\"source\": {\"account_id\": \"018f…\"}, \"destination\": {\"account_id\": \"018f…\"}, \"amount\": 12.50}"
)]
pub struct MoveMoney {
    pub source: Party,
    pub destination: Party,
    pub amount: Digits,
    pub transfer_id: Option<String>,
}

/// One end of a move.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object, such as {\"account_id\": \"018f…\"}")]
pub struct Party {
    pub account_id: String,
}

#[derive(Debug, Serialize)]
pub struct MoneyMoved {
    pub result: String,
    pub transfer_id: String,
}

/// `GET /check_account`, in the body or in the query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object, such as {\"account_id\": \"018f…\"}")]
pub struct CheckAccount {
    pub account_id: String,
}

#[derive(Debug, Serialize)]
pub struct Balance {
    pub balance: ExactNumber,
}
