//! What the gateway said, in types: messages become values once, here.

use clearing::{PaymentId, Terms};
use ledger::{Currency, TransferId};

use super::error::{GatewayError, NotSignedIn};
use crate::client::Secret;
use crate::code::Code;
use crate::grpc::{id_bits, int128_value};
use crate::payment::terms as payment_terms;
use crate::proto;

/// A sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    pub token: Secret,
    /// Milliseconds since 1970.
    pub expires_ms: u64,
    /// Sign-ins of this customer that are good now, this one included.
    pub live_sessions: u32,
}

/// A customer's own money, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    pub balance: i128,
    /// What can be spent.
    pub available: i128,
    pub currency: Currency,
    /// Payments that are decided and that the bank has not in its books yet.
    pub undelivered: u32,
}

/// How a payment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentAnswer {
    pub id: PaymentId,
    pub standing: Standing,
    /// The id had its outcome, or was on its way, before this call. After a repeated attempt that is nothing unusual.
    pub duplicate: bool,
    /// What was ordered, where the gateway was asked about a payment and knows it.
    pub terms: Option<Terms>,
}

impl PaymentAnswer {
    /// What the answer means where an attempt before it may have been done: that this one was not taken says nothing of that.
    pub(super) fn after(self, may_be_done_before: bool) -> PaymentAnswer {
        let standing = match self.standing {
            Standing::NotTaken { detail, .. } if may_be_done_before => Standing::Undecided {
                detail: format!(
                    "an attempt before may have been taken, and the last one was not ({detail}): send it again with the same \
                     id, or ask for it to be void"
                ),
            },
            standing => standing,
        };
        PaymentAnswer { standing, ..self }
    }
}

/// How far a payment has come. Codes are those of `docs/errors.md`, as text: a client must understand that a payment was
/// refused also when the reason is newer than itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It goes to its end by itself; what that is, is not known yet.
    Undecided { detail: String },
    /// It is paid, whatever happens. `delivered`: both banks have it in their books.
    Paid { delivered: bool },
    /// It moves no money, ever. `available`: what the payer had, where that was the reason. With the code `id_reused` the id
    /// stands for another payment, whose outcome this is not.
    Refused { code: String, detail: String, available: Option<i128> },
    /// It was not taken and its id is not burnt: it may be sent again as it is.
    NotTaken { code: String, detail: String },
}

impl Standing {
    /// Whether it was not taken for want of a sign-in.
    pub fn not_signed_in(&self) -> Option<NotSignedIn> {
        match self {
            Standing::NotTaken { code, .. } => NotSignedIn::from_code(Code::from_text(code)?),
            Standing::Undecided { .. } | Standing::Paid { .. } | Standing::Refused { .. } => None,
        }
    }
}

/// One line of a customer's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    pub id: TransferId,
    /// Minor units; negative for money that left.
    pub change: i128,
    /// The balance after it.
    pub balance: i128,
    pub time_ms: u64,
    pub reference: String,
    /// `bob@beta`, `cash`, or empty.
    pub counterparty: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    pub entries: Vec<HistoryEntry>,
    pub currency: Currency,
    /// Empty when the account's first entry was reached.
    pub next_cursor: String,
}

pub(super) fn signed_in(message: proto::LoginResponse) -> Result<SignedIn, GatewayError> {
    let proto::LoginResponse { token, expires_ms, live_sessions } = message;
    if token.is_empty() {
        return Err(GatewayError::Nonsense { what: "an empty token" });
    }
    Ok(SignedIn { token: Secret::new(token), expires_ms, live_sessions })
}

pub(super) fn balance(message: &proto::ViewBalanceResponse) -> Result<Balance, GatewayError> {
    let balances = message.balances.as_ref().ok_or(GatewayError::Nonsense { what: "no balances" })?;
    let balance = balances.balance.as_ref().map_or(0, int128_value);
    let available = balances.available.as_ref().map_or(balance, int128_value);
    Ok(Balance { balance, available, currency: currency(message.currency)?, undelivered: message.undelivered })
}

/// The statuses of the payments that were sent: as many, in their order, each with its id.
pub(super) fn payments(
    messages: Vec<proto::PaymentStatus>,
    sent: &[PaymentId],
) -> Result<Vec<PaymentAnswer>, GatewayError> {
    if messages.len() != sent.len() {
        return Err(GatewayError::Nonsense { what: "another number of outcomes than of payments" });
    }
    messages.into_iter().zip(sent).map(|(message, id)| payment(message, *id)).collect()
}

/// An answer about another payment must never pass for one about this.
pub(super) fn payment(message: proto::PaymentStatus, sent: PaymentId) -> Result<PaymentAnswer, GatewayError> {
    let id = message.id.as_ref().and_then(|id| TransferId::new(id_bits(id)));
    if id != Some(sent) {
        return Err(GatewayError::Nonsense { what: "the outcome of another payment" });
    }
    let (state, duplicate) = (message.state(), message.duplicate);
    let terms = message.payment.as_ref().map(payment_terms).transpose();
    let terms = terms.map_err(|_| GatewayError::Nonsense { what: "terms that make no sense" })?;
    let proto::PaymentStatus { code, detail, delivered, available, .. } = message;
    let standing = match state {
        proto::PaymentState::Undecided => Standing::Undecided { detail },
        proto::PaymentState::Paid => Standing::Paid { delivered },
        proto::PaymentState::Refused => {
            Standing::Refused { code, detail, available: available.as_ref().map(int128_value) }
        }
        proto::PaymentState::NotTaken => Standing::NotTaken { code, detail },
        proto::PaymentState::IdReused => Standing::Refused { code, detail, available: None },
        proto::PaymentState::Unspecified => return Err(GatewayError::Nonsense { what: "a state of another version" }),
    };
    Ok(PaymentAnswer { id: sent, standing, duplicate, terms })
}

pub(super) fn history(message: proto::TransactionHistoryResponse) -> Result<HistoryPage, GatewayError> {
    let currency = currency(message.currency)?;
    let entries = message.entries.into_iter().map(entry).collect::<Result<_, _>>()?;
    Ok(HistoryPage { entries, currency, next_cursor: message.next_cursor })
}

fn entry(message: proto::HistoryEntry) -> Result<HistoryEntry, GatewayError> {
    let number = |value: Option<&proto::Int128>| value.map_or(0, int128_value);
    let id = message.id.as_ref().and_then(|id| TransferId::new(id_bits(id)));
    Ok(HistoryEntry {
        id: id.ok_or(GatewayError::Nonsense { what: "an entry without an id" })?,
        change: number(message.change.as_ref()),
        balance: number(message.balance.as_ref()),
        time_ms: message.time_ms,
        reference: message.reference,
        counterparty: message.counterparty,
    })
}

pub(super) fn currency(number: u32) -> Result<Currency, GatewayError> {
    let known = u16::try_from(number).ok().and_then(Currency::from_number);
    known.ok_or(GatewayError::Nonsense { what: "a currency of another version" })
}
