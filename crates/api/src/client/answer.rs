//! What the bank said, in types: messages become values once, here.

use ledger::{AccountId, Currency, TransferId};

use super::error::ClientError;
use crate::code::Code;
use crate::grpc::{id_bits, int128_value};
use crate::proto;

/// The answer to one transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    pub outcome: Outcome,
    /// Ledger time of the outcome, milliseconds since 1970.
    pub time_ms: u64,
    /// True if the id had its outcome before this call. After a repeated attempt that is nothing unusual.
    pub replay: bool,
}

/// What became of an id, forever the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The money moved.
    Posted { debit: AfterTransfer, credit: AfterTransfer },
    /// Money is set aside.
    Held { debit: AfterTransfer, credit: AfterTransfer },
    /// It was voided and never moves money.
    Voided,
    /// The ledger refused it, for good.
    Rejected { code: Code, detail: String },
}

/// An account right after a transfer, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AfterTransfer {
    pub balance: i128,
    pub available: i128,
}

/// An account that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    pub id: AccountId,
    pub replay: bool,
}

/// An account, in minor units of its currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub owner: String,
    pub currency: Currency,
    pub balance: i128,
    pub available: i128,
    pub internal: bool,
    pub closed: bool,
    pub opened_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPage {
    pub accounts: Vec<Account>,
    /// Empty on the last page.
    pub next_cursor: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementEntry {
    pub transfer: TransferId,
    pub counterparty: AccountId,
    /// Negative for money that left.
    pub change: i128,
    /// The balance after it.
    pub balance: i128,
    pub time_ms: u64,
    pub reference: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementPage {
    pub entries: Vec<StatementEntry>,
    /// Empty when the account's first entry was reached.
    pub next_cursor: String,
}

pub(super) fn answered(message: Option<&proto::TransferOutcome>) -> Result<Answered, ClientError> {
    let message = message.ok_or(ClientError::Nonsense { what: "no outcome" })?;
    let sides = || Ok((after(message.debit_after.as_ref())?, after(message.credit_after.as_ref())?));
    let outcome = match message.kind() {
        proto::OutcomeKind::Posted => sides().map(|(debit, credit)| Outcome::Posted { debit, credit })?,
        proto::OutcomeKind::Held => sides().map(|(debit, credit)| Outcome::Held { debit, credit })?,
        proto::OutcomeKind::Voided => Outcome::Voided,
        proto::OutcomeKind::Rejected => {
            let code =
                Code::from_text(&message.code).ok_or(ClientError::Nonsense { what: "a code of another version" })?;
            Outcome::Rejected { code, detail: message.detail.clone() }
        }
        proto::OutcomeKind::Unspecified => return Err(ClientError::Nonsense { what: "an outcome of another version" }),
    };
    Ok(Answered { outcome, time_ms: message.time_ms, replay: message.replay })
}

pub(super) fn account(message: &proto::Account) -> Result<Account, ClientError> {
    let AfterTransfer { balance, available } = after(message.balances.as_ref())?;
    Ok(Account {
        id: account_id(message.id.as_ref())?,
        owner: message.owner.clone(),
        currency: currency(message.currency)?,
        balance,
        available,
        internal: message.internal,
        closed: message.closed,
        opened_ms: message.opened_ms,
    })
}

pub(super) fn statement_entry(message: &proto::StatementEntry) -> Result<StatementEntry, ClientError> {
    let number = |value: Option<&proto::Int128>| value.map_or(0, int128_value);
    let transfer = message.transfer.as_ref().and_then(|id| TransferId::new(id_bits(id)));
    Ok(StatementEntry {
        transfer: transfer.ok_or(ClientError::Nonsense { what: "an entry without an id" })?,
        counterparty: account_id(message.counterparty.as_ref())?,
        change: number(message.change.as_ref()),
        balance: number(message.balance.as_ref()),
        time_ms: message.time_ms,
        reference: message.reference.clone(),
    })
}

fn after(message: Option<&proto::Balances>) -> Result<AfterTransfer, ClientError> {
    let message = message.ok_or(ClientError::Nonsense { what: "no balances" })?;
    let balance = message.balance.as_ref().map_or(0, int128_value);
    let available = message.available.as_ref().map_or(balance, int128_value);
    Ok(AfterTransfer { balance, available })
}

fn account_id(message: Option<&proto::Uuid>) -> Result<AccountId, ClientError> {
    message.and_then(|id| AccountId::new(id_bits(id))).ok_or(ClientError::Nonsense { what: "an account without an id" })
}

fn currency(number: u32) -> Result<Currency, ClientError> {
    let known = u16::try_from(number).ok().and_then(Currency::from_number);
    known.ok_or(ClientError::Nonsense { what: "a currency of another version" })
}
