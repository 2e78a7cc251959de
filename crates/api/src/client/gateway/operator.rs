//! The gateway, for who runs it.

use clearing::{BankName, PaymentId, Risk, Terms};
use ledger::{Amount, Currency};
use tonic::metadata::{Ascii, MetadataValue};

use super::answer::{self, PaymentAnswer};
use super::error::GatewayError;
use super::pin::Node;
use super::{GatewayClient, bearer};
use crate::client::Secret;
use crate::code::Code;
use crate::grpc::{int128_value, uuid};
use crate::payment;
use crate::proto;

/// Which payments to list.
pub use crate::proto::PaymentsWanted;
/// One setting, and what it is to be.
pub use crate::proto::change_setting_request::Change as SettingChange;

/// The gateway, in the name of an operator: by the certificate that the client shows, or by the operator's token.
#[derive(Debug, Clone)]
pub struct Operator {
    gateway: GatewayClient,
    bearer: Option<MetadataValue<Ascii>>,
}

/// A payment that is undecided or undelivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPayment {
    pub terms: Terms,
    pub decided: bool,
    pub paid: bool,
    pub age_ms: u64,
    /// Whom it waits for and why, a sentence for people.
    pub waits_for: String,
    /// What a bank says that contradicts the decision, a sentence for people; empty where none does.
    pub contradiction: String,
}

/// Payments as the audit asks for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    pub payments: Vec<AuditedPayment>,
    /// Where to go on; none when there are no more.
    pub next_cursor: Option<u64>,
    /// The gateway's incarnation: above 1 it was restored from a backup, and may have forgotten what it ordered.
    pub gateway_epoch: u32,
}

/// A payment and what was decided of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedPayment {
    pub id: PaymentId,
    pub standing: AuditedStanding,
    /// None where it was refused at once: then only a digest of its content is kept.
    pub terms: Option<Terms>,
}

/// What was decided of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditedStanding {
    Undecided,
    Paid,
    Refused,
}

/// What one bank owes another, in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BankPosition {
    pub debtor: String,
    pub creditor: String,
    pub currency: Currency,
    pub owed: i128,
    /// What undecided payments may add.
    pub reserved: i128,
    /// The most that may be owed, if that is bounded.
    pub cap: Option<i128>,
}

impl GatewayClient {
    /// Acts as an operator.
    ///
    /// # Errors
    /// When no token looks like that.
    pub fn operator(&self, token: Option<&Secret>) -> Result<Operator, GatewayError> {
        Ok(Operator { gateway: self.clone(), bearer: token.map(bearer).transpose()? })
    }
}

impl Operator {
    /// Every bank that has registered.
    pub async fn banks(&self) -> Result<Vec<proto::RegisteredBank>, GatewayError> {
        let look = |mut node: Node, request| async move { node.calls.banks(request).await };
        Ok(self.gateway.call(self.bearer.as_ref(), proto::BanksRequest {}, look).await?.banks)
    }

    /// Payments of that kind, the oldest first, at most `limit`; and how many there are in all.
    pub async fn payments(&self, wanted: PaymentsWanted, limit: u32) -> Result<(Vec<OpenPayment>, u64), GatewayError> {
        let look = |mut node: Node, request| async move { node.calls.payments(request).await };
        let request = proto::PaymentsRequest { limit, wanted: wanted.into() };
        let answer = self.gateway.call(self.bearer.as_ref(), request, look).await?;
        let open = answer.payments.iter().map(open).collect::<Result<_, _>>()?;
        Ok((open, answer.count))
    }

    /// One payment's whole way; none where nothing is on record of it.
    pub async fn show(&self, id: PaymentId) -> Result<Option<proto::PaymentWay>, GatewayError> {
        let request = proto::GetPaymentRequest { id: Some(uuid(id.get())) };
        let look = |mut node: Node, request| async move { node.calls.show_payment(request).await };
        match self.gateway.call(self.bearer.as_ref(), request, look).await {
            Ok(way) => Ok(Some(way)),
            Err(GatewayError::Refused { code: Code::UnknownPayment, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Decided payments within one bank, newest first, a page at a time: of the newest where there is no `cursor`.
    pub async fn decided_within(&self, bank: &str, cursor: Option<u64>) -> Result<AuditPage, GatewayError> {
        let request = proto::AuditPaymentsRequest { bank: bank.to_owned(), cursor, ids: Vec::new() };
        self.audited(request).await
    }

    /// What is known of payments, at most 1,000; what is not known is left out.
    pub async fn known(&self, ids: &[PaymentId]) -> Result<AuditPage, GatewayError> {
        let ids = ids.iter().map(|id| uuid(id.get())).collect();
        self.audited(proto::AuditPaymentsRequest { bank: String::new(), cursor: None, ids }).await
    }

    async fn audited(&self, request: proto::AuditPaymentsRequest) -> Result<AuditPage, GatewayError> {
        let look = |mut node: Node, request| async move { node.calls.audit_payments(request).await };
        let answer = self.gateway.call(self.bearer.as_ref(), request, look).await?;
        let (next_cursor, gateway_epoch) = (answer.next_cursor, answer.gateway_epoch);
        let payments = answer.payments.iter().map(audited).collect::<Result<_, _>>()?;
        Ok(AuditPage { payments, next_cursor, gateway_epoch })
    }

    /// Somebody has looked at a payment that was listed for that.
    pub async fn acknowledge(&self, id: PaymentId) -> Result<(), GatewayError> {
        let request = proto::AcknowledgePaymentRequest { id: Some(uuid(id.get())) };
        let note = |mut node: Node, request| async move { node.calls.acknowledge_payment(request).await };
        self.gateway.call(self.bearer.as_ref(), request, note).await.map(drop)
    }

    /// What tokens are signed with.
    pub async fn keys(&self) -> Result<Vec<proto::TokenKey>, GatewayError> {
        let look = |mut node: Node, request| async move { node.calls.keys(request).await };
        Ok(self.gateway.call(self.bearer.as_ref(), proto::KeysRequest {}, look).await?.keys)
    }

    /// No token of that key is good any more, on any node.
    pub async fn retire_key(&self, kid: &str) -> Result<(), GatewayError> {
        let request = proto::RetireKeyRequest { kid: kid.to_owned() };
        let retire = |mut node: Node, request| async move { node.calls.retire_key(request).await };
        self.gateway.call(self.bearer.as_ref(), request, retire).await.map(drop)
    }

    /// Voids a payment that is undecided, through the decision itself. `by` goes on record; at most 32 bytes. What may be paid is
    /// void only with [`Risk::Taken`].
    pub async fn void(&self, id: PaymentId, by: &str, risk: Risk) -> Result<PaymentAnswer, GatewayError> {
        let request = proto::VoidPaymentRequest {
            id: Some(uuid(id.get())),
            operator: by.to_owned(),
            although_it_may_be_paid: risk == Risk::Taken,
        };
        let void = |mut node: Node, request| async move { node.calls.void_payment(request).await };
        let walked = self.gateway.call_about(&[id], self.bearer.as_ref(), request, void).await?;
        Ok(answer::payment(walked.answer, id)?.after(walked.may_be_done_before))
    }

    /// What banks owe each other: of each pair that ever paid, both directions.
    pub async fn positions(&self) -> Result<Vec<BankPosition>, GatewayError> {
        let look = |mut node: Node, request| async move { node.calls.positions(request).await };
        let answer = self.gateway.call(self.bearer.as_ref(), proto::PositionsRequest {}, look).await?;
        answer.positions.into_iter().map(position).collect()
    }

    /// Has the debtor pay back what it owes the creditor, by a payment between the banks themselves.
    pub async fn settle(
        &self,
        id: PaymentId,
        (debtor, creditor): (BankName, BankName),
        (amount, currency): (Amount, Currency),
    ) -> Result<PaymentAnswer, GatewayError> {
        let minor = amount.minor();
        let request = proto::SettleRequest {
            id: Some(uuid(id.get())),
            debtor: debtor.as_str().to_owned(),
            creditor: creditor.as_str().to_owned(),
            amount: minor as u64,
            amount_high: (minor >> 64) as u32,
            currency: u32::from(currency.number()),
            timeout_ms: self.gateway.options.wait_ms(),
        };
        let settle = |mut node: Node, request| async move { node.calls.settle(request).await };
        let walked = self.gateway.call_about(&[id], self.bearer.as_ref(), request, settle).await?;
        Ok(answer::payment(walked.answer, id)?.after(walked.may_be_done_before))
    }

    /// What is in force.
    pub async fn settings(&self) -> Result<proto::GatewaySettings, GatewayError> {
        let look = |mut node: Node, request| async move { node.calls.settings(request).await };
        self.gateway.call(self.bearer.as_ref(), proto::SettingsRequest {}, look).await
    }

    /// Changes one setting of that version; what is in force then.
    pub async fn change_setting(
        &self,
        expected_version: u64,
        change: SettingChange,
    ) -> Result<proto::GatewaySettings, GatewayError> {
        let request = proto::ChangeSettingRequest { expected_version, change: Some(change) };
        let change = |mut node: Node, request| async move { node.calls.change_setting(request).await };
        self.gateway.call(self.bearer.as_ref(), request, change).await
    }
}

fn open(message: &proto::OpenPayment) -> Result<OpenPayment, GatewayError> {
    let terms = message.payment.as_ref().and_then(|terms| payment::terms(terms).ok());
    Ok(OpenPayment {
        terms: terms.ok_or(GatewayError::Nonsense { what: "a payment without terms" })?,
        decided: message.decided,
        paid: message.paid,
        age_ms: message.age_ms,
        waits_for: message.waits_for.clone(),
        contradiction: message.contradiction.clone(),
    })
}

fn audited(message: &proto::AuditedPayment) -> Result<AuditedPayment, GatewayError> {
    let nonsense = |what| GatewayError::Nonsense { what };
    let standing = match message.state() {
        proto::PaymentState::Undecided => AuditedStanding::Undecided,
        proto::PaymentState::Paid => AuditedStanding::Paid,
        proto::PaymentState::Refused => AuditedStanding::Refused,
        proto::PaymentState::Unspecified | proto::PaymentState::NotTaken | proto::PaymentState::IdReused => {
            return Err(nonsense("a payment in no state that is audited"));
        }
    };
    let terms = message.payment.as_ref().map(payment::terms).transpose();
    Ok(AuditedPayment {
        id: payment::payment_id(message.id.as_ref()).map_err(|_| nonsense("a payment without an id"))?,
        standing,
        terms: terms.map_err(|_| nonsense("a payment whose terms cannot be read"))?,
    })
}

fn position(message: proto::BankPosition) -> Result<BankPosition, GatewayError> {
    let number = |value: Option<proto::Int128>| value.as_ref().map(int128_value);
    Ok(BankPosition {
        debtor: message.debtor,
        creditor: message.creditor,
        currency: answer::currency(message.currency)?,
        owed: number(message.owed).unwrap_or_default(),
        reserved: number(message.reserved).unwrap_or_default(),
        cap: number(message.cap),
    })
}
