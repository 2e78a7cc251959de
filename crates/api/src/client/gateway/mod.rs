//! The SDK for customers: the gateway between banks over gRPC, from Rust.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use api::client::gateway::{GatewayClient, Standing, new_payment_id};
//! use api::client::Secret;
//! use clearing::{NamedParty, Terms};
//! use ledger::{Amount, Currency, Reference};
//!
//! let gateway = GatewayClient::connect(["127.0.0.1:7311", "127.0.0.1:7312", "127.0.0.1:7313"])?;
//! let alice: NamedParty = "alice@alpha".parse()?;
//! let signed_in = gateway.login(&alice, &Secret::new("correct horse")).await?;
//! let customer = gateway.customer(&signed_in.token)?;
//! let payment = Terms {
//!     id: new_payment_id(), // keep it: a retry must repeat it
//!     payer: alice,
//!     payee: "bob@beta".parse()?,
//!     amount: Amount::new(12_50).expect("in range"),
//!     currency: Currency::EUR,
//!     reference: Reference::new("rent")?,
//! };
//! match customer.pay(&payment).await?.standing {
//!     Standing::Paid { .. } => println!("paid"),
//!     other => println!("{other:?}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A call is repeated, over all nodes and with the same ids, until it has an answer or its deadline has passed. The
//! error then tells whether a byte can have arrived: [`GatewayError::Unreachable`] and [`GatewayError::Overloaded`] say
//! that nothing happened, [`GatewayError::OutcomeUnknown`] that it may have. A payment that was refused is no error: it
//! is the outcome of its id, and stays. Who must not lose a payment when the process dies keeps it on disk before it is
//! sent; that is what the crate `wallet` does with this client.

mod answer;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod operator;
mod pin;
mod walk;

pub use answer::{Balance, HistoryEntry, HistoryPage, PaymentAnswer, SignedIn, Standing};
pub use error::{GatewayError, NotSignedIn};
pub use operator::{
    AuditPage, AuditedPayment, AuditedStanding, BankPosition, OpenPayment, Operator, PaymentsWanted, SettingChange,
};

use std::sync::Arc;
use std::time::Duration;

use clearing::{Holder, NamedParty, PaymentId, Terms};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};

use super::Secret;
use crate::cluster::CLUSTER_HEADER;
use crate::code::Code;
use crate::grpc::{id_bits, uuid};
use crate::network::NetworkId;
use crate::payment;
use crate::proto;
use pin::{Node, Pin};
use walk::{Nodes, Route, Walked};

/// A new id for a payment: UUIDv7.
pub fn new_payment_id() -> PaymentId {
    super::new_transfer_id()
}

/// How a client of the gateway behaves.
#[derive(Debug, Clone, Copy)]
pub struct GatewayOptions {
    /// How long a call is repeated until it has an answer.
    pub deadline: Duration,
    /// How long one node may take. More than the second that a connection may take, or a node that is gone looks like
    /// one that is silent.
    pub attempt_timeout: Duration,
    /// How long the walk goes on, round after round, while no node at all can be connected to. Whoever keeps what it
    /// sends and comes back by itself needs one round.
    pub connect_patience: Duration,
}

impl Default for GatewayOptions {
    fn default() -> GatewayOptions {
        let deadline = Duration::from_secs(10);
        GatewayOptions { deadline, attempt_timeout: Duration::from_millis(2500), connect_patience: deadline }
    }
}

impl GatewayOptions {
    /// How long a node is asked to wait for a decision: a little less than its attempt, so that its answer that the
    /// payment is undecided still arrives.
    fn wait_ms(&self) -> u32 {
        let wait = self.attempt_timeout.min(self.deadline) * 4 / 5;
        u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).clamp(50, 60_000)
    }
}

/// The gateway. A clone shares its connections.
#[derive(Debug, Clone)]
pub struct GatewayClient {
    nodes: Arc<Nodes>,
    options: GatewayOptions,
    pin: Pin,
}

impl GatewayClient {
    /// A client of the gateway's nodes at these addresses (`host:port` or `http://host:port`). Connects when the first
    /// call needs it. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When there is no address, or one that cannot be used.
    pub fn connect<A: AsRef<str>>(addresses: impl IntoIterator<Item = A>) -> Result<GatewayClient, GatewayError> {
        GatewayClient::connect_with(addresses, None)
    }

    /// As [`GatewayClient::connect`], over TLS: with the certificate and CA of `tls`, which says whom to expect
    /// ([`certs::Expected::NodeOfAnyGateway`]) and is for the protocol [`certs::Protocol::Grpc`]. Addresses may then also
    /// be `https://host:port`.
    ///
    /// # Errors
    /// When there is no address, or one that cannot be used.
    pub fn connect_with<A: AsRef<str>>(
        addresses: impl IntoIterator<Item = A>,
        tls: Option<Arc<certs::Client>>,
    ) -> Result<GatewayClient, GatewayError> {
        let nodes = Arc::new(Nodes::new(addresses, tls.as_ref())?);
        Ok(GatewayClient { nodes, options: GatewayOptions::default(), pin: Pin::default() })
    }

    /// The gateway's nodes are at these addresses from now on, for every clone of this client.
    ///
    /// # Errors
    /// When there is no address, or one that cannot be used; then nothing changes.
    pub fn move_to<A: AsRef<str>>(&self, addresses: impl IntoIterator<Item = A>) -> Result<(), GatewayError> {
        self.nodes.move_to(addresses)
    }

    /// The same connections, used otherwise.
    #[must_use]
    pub fn with_options(&self, options: GatewayOptions) -> GatewayClient {
        GatewayClient { options, ..self.clone() }
    }

    /// The same connections, for this network and no other: where another one answers, calls end with
    /// [`GatewayError::OtherNetwork`] before a password, a token or a payment has left. A client that is not pinned, and all
    /// its clones, stay with the first network that answers.
    #[must_use]
    pub fn pinned_to(&self, network: NetworkId) -> GatewayClient {
        GatewayClient { pin: Pin::to(network), ..self.clone() }
    }

    /// The network that this client is pinned to, or has met.
    pub fn network(&self) -> Option<NetworkId> {
        self.pin.network()
    }

    /// Asks the gateway which network it is.
    ///
    /// # Errors
    /// Among others when it is another one than the client is pinned to.
    pub async fn ask_network(&self) -> Result<NetworkId, GatewayError> {
        let ask = |node: Node| async move { node.calls.clone().network(proto::NetworkRequest {}).await };
        let answer = self.walk(&[], ask).await?.answer;
        let id = answer.id.as_ref().and_then(|id| NetworkId::new(id_bits(id)));
        id.ok_or(GatewayError::Nonsense { what: "no network of its own" })
    }

    /// Signs a customer in.
    ///
    /// # Errors
    /// Among others [`NotSignedIn::WrongCredentials`], which does not tell what of them is wrong.
    pub async fn login(&self, customer: &NamedParty, password: &Secret) -> Result<SignedIn, GatewayError> {
        self.login_again(customer, password, None).await
    }

    /// The same, with the token of an earlier sign-in of that customer, which may be over its time or signed out: it shows
    /// that the caller knew the password before, so that whoever guesses at it elsewhere does not keep them out.
    ///
    /// # Errors
    /// As [`GatewayClient::login`].
    pub async fn login_again(
        &self,
        customer: &NamedParty,
        password: &Secret,
        earlier: Option<&Secret>,
    ) -> Result<SignedIn, GatewayError> {
        // One that no header takes helps nobody.
        let earlier = earlier.and_then(|token| bearer(token).ok());
        let Holder::Customer(name) = &customer.holder else {
            let detail = format!("{customer} is a bank; customers sign in, as name@{customer}");
            return Err(GatewayError::Refused { code: Code::InvalidName, detail });
        };
        let request = proto::LoginRequest {
            username: name.as_str().to_owned(),
            bank_name: customer.bank.as_str().to_owned(),
            password: password.expose().to_owned(),
        };
        let ask = |mut node: Node, request| async move { node.calls.login(request).await };
        answer::signed_in(self.call(earlier.as_ref(), request, ask).await?)
    }

    /// Acts in the name of whoever the token was given to.
    ///
    /// # Errors
    /// When no token looks like that.
    pub fn customer(&self, token: &Secret) -> Result<Customer, GatewayError> {
        Ok(Customer { gateway: self.clone(), bearer: bearer(token)? })
    }

    /// Calls in somebody's name, by their token, or in nobody's, where no payment is at stake.
    async fn call<M, T, F>(
        &self,
        bearer: Option<&MetadataValue<Ascii>>,
        message: M,
        call: impl Fn(Node, Request<M>) -> F,
    ) -> Result<T, GatewayError>
    where
        M: Clone,
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        Ok(self.call_about(&[], bearer, message, call).await?.answer)
    }

    /// Calls about these payments.
    async fn call_about<M, T, F>(
        &self,
        stake: &[PaymentId],
        bearer: Option<&MetadataValue<Ascii>>,
        message: M,
        call: impl Fn(Node, Request<M>) -> F,
    ) -> Result<Walked<T>, GatewayError>
    where
        M: Clone,
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let with_token = |node| {
            let mut request = Request::new(message.clone());
            request.set_timeout(self.options.attempt_timeout);
            if let Some(bearer) = bearer {
                request.metadata_mut().insert("authorization", bearer.clone());
            }
            if let Some(meant) = self.pin.network().and_then(|network| network.to_string().parse().ok()) {
                request.metadata_mut().insert(CLUSTER_HEADER, meant);
            }
            call(node, request)
        };
        self.walk(stake, with_token).await
    }

    async fn walk<T, F>(&self, stake: &[PaymentId], call: impl Fn(Node) -> F) -> Result<Walked<T>, GatewayError>
    where
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        walk::walk(Route { nodes: &self.nodes, options: &self.options, pin: &self.pin, stake }, call).await
    }
}

fn bearer(token: &Secret) -> Result<MetadataValue<Ascii>, GatewayError> {
    let bearer = format!("Bearer {}", token.expose().trim()).parse::<MetadataValue<Ascii>>();
    let mut bearer = bearer.map_err(|_| GatewayError::NotSignedIn(NotSignedIn::Invalid))?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

/// The gateway, in the name of one customer.
#[derive(Debug, Clone)]
pub struct Customer {
    gateway: GatewayClient,
    bearer: MetadataValue<Ascii>,
}

impl Customer {
    /// Most payments of one call.
    pub const PAYMENTS_MAX: usize = 1_000;

    /// Ends the sign-in at once, on every node.
    pub async fn logout(&self) -> Result<(), GatewayError> {
        self.end_sessions(false).await.map(drop)
    }

    /// Ends the customer's other sign-ins at once, on every node, and keeps this one. How many there were.
    pub async fn logout_others(&self) -> Result<u32, GatewayError> {
        self.end_sessions(true).await
    }

    async fn end_sessions(&self, others: bool) -> Result<u32, GatewayError> {
        let end = |mut node: Node, request| async move { node.calls.logout(request).await };
        Ok(self.gateway.call(Some(&self.bearer), proto::LogoutRequest { others }, end).await?.ended)
    }

    /// The customer's own sign-ins that are good now, the newest first.
    pub async fn sessions(&self) -> Result<Vec<proto::Session>, GatewayError> {
        let look = |mut node: Node, request| async move { node.calls.sessions(request).await };
        Ok(self.gateway.call(Some(&self.bearer), proto::SessionsRequest {}, look).await?.sessions)
    }

    /// The customer's own money, linearizable.
    pub async fn balance(&self) -> Result<Balance, GatewayError> {
        let request = proto::ViewBalanceRequest::default();
        let view = |mut node: Node, request| async move { node.calls.view_balance(request).await };
        answer::balance(&self.gateway.call(Some(&self.bearer), request, view).await?)
    }

    /// Pays, and says how the payment stands.
    pub async fn pay(&self, terms: &Terms) -> Result<PaymentAnswer, GatewayError> {
        let mut answers = self.pay_many(std::slice::from_ref(terms)).await?;
        answers.pop().ok_or(GatewayError::Nonsense { what: "no outcome" })
    }

    /// Makes at most [`Customer::PAYMENTS_MAX`] payments, each with its own outcome; one answer for each, in their order.
    pub async fn pay_many(&self, terms: &[Terms]) -> Result<Vec<PaymentAnswer>, GatewayError> {
        let ids: Vec<PaymentId> = terms.iter().map(|terms| terms.id).collect();
        let request = proto::TransferMoneyRequest {
            payments: terms.iter().map(payment::message).collect(),
            timeout_ms: self.gateway.options.wait_ms(),
        };
        let pay = |mut node: Node, request| async move { node.calls.transfer_money(request).await };
        let walked = self.gateway.call_about(&ids, Some(&self.bearer), request, pay).await?;
        let answers = answer::payments(walked.answer.payments, &ids)?;
        Ok(answers.into_iter().map(|answer| answer.after(walked.may_be_done_before)).collect())
    }

    /// What moved on the customer's account, newest first. `cursor` is that of the page before, empty for the newest.
    pub async fn history(&self, cursor: &str, limit: u32) -> Result<HistoryPage, GatewayError> {
        let request = proto::TransactionHistoryRequest { customer: String::new(), cursor: cursor.to_owned(), limit };
        let look = |mut node: Node, request| async move { node.calls.transaction_history(request).await };
        answer::history(self.gateway.call(Some(&self.bearer), request, look).await?)
    }

    /// How one of the customer's payments stands; `None` is no outcome, it may still be on its way.
    pub async fn payment(&self, id: PaymentId) -> Result<Option<PaymentAnswer>, GatewayError> {
        let request = proto::GetPaymentRequest { id: Some(uuid(id.get())) };
        let look = |mut node: Node, request| async move { node.calls.get_payment(request).await };
        match self.gateway.call(Some(&self.bearer), request, look).await {
            Ok(status) => answer::payment(status, id).map(Some),
            Err(GatewayError::Refused { code: Code::UnknownPayment, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks for a payment to be void unless it is decided otherwise, and says what was decided. Of a payment that the
    /// gateway never saw it makes one that never will be paid.
    pub async fn cancel(&self, terms: &Terms) -> Result<PaymentAnswer, GatewayError> {
        let request = proto::CancelPaymentRequest {
            payment: Some(payment::message(terms)),
            timeout_ms: self.gateway.options.wait_ms(),
        };
        let cancel = |mut node: Node, request| async move { node.calls.cancel_payment(request).await };
        let walked = self.gateway.call_about(&[terms.id], Some(&self.bearer), request, cancel).await?;
        Ok(answer::payment(walked.answer, terms.id)?.after(walked.may_be_done_before))
    }
}
