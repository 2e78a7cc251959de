//! The gateway, for who runs it.

use clearing::{BankName, PaymentId, Terms};
use ledger::{Amount, Currency};
use tonic::metadata::{Ascii, MetadataValue};

use super::answer::{self, PaymentAnswer};
use super::error::GatewayError;
use super::walk::Node;
use super::{GatewayClient, bearer};
use crate::client::Secret;
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
        let look = |mut node: Node, request| async move { node.banks(request).await };
        Ok(self.gateway.call(self.bearer.as_ref(), &[], proto::BanksRequest {}, look).await?.banks)
    }

    /// Payments of that kind, the oldest first, at most `limit`; and how many there are in all.
    pub async fn payments(&self, wanted: PaymentsWanted, limit: u32) -> Result<(Vec<OpenPayment>, u64), GatewayError> {
        let look = |mut node: Node, request| async move { node.payments(request).await };
        let request = proto::PaymentsRequest { limit, wanted: wanted.into() };
        let answer = self.gateway.call(self.bearer.as_ref(), &[], request, look).await?;
        let open = answer.payments.iter().map(open).collect::<Result<_, _>>()?;
        Ok((open, answer.count))
    }

    /// Somebody has looked at a payment that was listed for that.
    pub async fn acknowledge(&self, id: PaymentId) -> Result<(), GatewayError> {
        let request = proto::AcknowledgePaymentRequest { id: Some(uuid(id.get())) };
        let note = |mut node: Node, request| async move { node.acknowledge_payment(request).await };
        self.gateway.call(self.bearer.as_ref(), &[], request, note).await.map(drop)
    }

    /// What tokens are signed with.
    pub async fn keys(&self) -> Result<Vec<proto::TokenKey>, GatewayError> {
        let look = |mut node: Node, request| async move { node.keys(request).await };
        Ok(self.gateway.call(self.bearer.as_ref(), &[], proto::KeysRequest {}, look).await?.keys)
    }

    /// No token of that key is good any more, on any node.
    pub async fn retire_key(&self, kid: &str) -> Result<(), GatewayError> {
        let request = proto::RetireKeyRequest { kid: kid.to_owned() };
        let retire = |mut node: Node, request| async move { node.retire_key(request).await };
        self.gateway.call(self.bearer.as_ref(), &[], request, retire).await.map(drop)
    }

    /// Voids a payment that is undecided, through the decision itself. `by` goes on record; at most 32 bytes.
    pub async fn void(&self, id: PaymentId, by: &str) -> Result<PaymentAnswer, GatewayError> {
        let request = proto::VoidPaymentRequest { id: Some(uuid(id.get())), operator: by.to_owned() };
        let void = |mut node: Node, request| async move { node.void_payment(request).await };
        answer::payment(self.gateway.call(self.bearer.as_ref(), &[id], request, void).await?, id)
    }

    /// What banks owe each other: of each pair that ever paid, both directions.
    pub async fn positions(&self) -> Result<Vec<BankPosition>, GatewayError> {
        let look = |mut node: Node, request| async move { node.positions(request).await };
        let answer = self.gateway.call(self.bearer.as_ref(), &[], proto::PositionsRequest {}, look).await?;
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
        let settle = |mut node: Node, request| async move { node.settle(request).await };
        answer::payment(self.gateway.call(self.bearer.as_ref(), &[id], request, settle).await?, id)
    }

    /// What is in force.
    pub async fn settings(&self) -> Result<proto::GatewaySettings, GatewayError> {
        let look = |mut node: Node, request| async move { node.settings(request).await };
        self.gateway.call(self.bearer.as_ref(), &[], proto::SettingsRequest {}, look).await
    }

    /// Changes one setting of that version; what is in force then.
    pub async fn change_setting(
        &self,
        expected_version: u64,
        change: SettingChange,
    ) -> Result<proto::GatewaySettings, GatewayError> {
        let request = proto::ChangeSettingRequest { expected_version, change: Some(change) };
        let change = |mut node: Node, request| async move { node.change_setting(request).await };
        self.gateway.call(self.bearer.as_ref(), &[], request, change).await
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
