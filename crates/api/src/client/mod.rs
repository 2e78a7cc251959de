//! The SDK: a bank over gRPC, from Rust.
//!
//! ```no_run
//! # async fn example() -> Result<(), api::client::ClientError> {
//! use api::client::{Client, Outcome, Transfer, new_account_id};
//! use ledger::{AccountId, Amount, Currency};
//!
//! let bank = Client::connect(["127.0.0.1:7111", "127.0.0.1:7112", "127.0.0.1:7113"])?;
//! let alice = bank.open_account(new_account_id(), "Alice", Currency::EUR).await?.id;
//! let deposit = Transfer::new(AccountId::vault(Currency::EUR), alice, Amount::new(12_50).expect("in range"));
//! match bank.transfer(&deposit).await?.outcome {
//!     Outcome::Posted { credit, .. } => println!("Alice has {} cents", credit.balance),
//!     other => println!("{other:?}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What the client does for its caller:
//!
//! - **It keeps on asking.** A call is repeated, with the same id and so without danger, until it has an outcome or its
//!   deadline has passed. Only then does an error leave the fate open, and it says so: [`ClientError::OutcomeUnknown`].
//! - **It goes where the answer is.** Any node takes any request; the leader is quickest. The client finds the leader,
//!   follows it, and turns to the next node at once when one does not answer.
//! - **It gathers.** A [`Gatherer`] makes batches of transfers that are asked for at the same time: one caller alone
//!   waits for nobody, a thousand callers share a few calls.
//!
//! A rejection is no error: it is the outcome of its id, and stays.
//!
//! This is a bank's side. A bank's customers pay through the gateway: see [`gateway`].

mod answer;
mod connect;
pub mod dial;
pub(crate) mod ending;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod gateway;
mod gatherer;
mod nodes;
mod once;
mod retry;
mod road;
mod secret;
mod secured;
pub mod words;

pub use answer::{Account, AccountPage, AfterTransfer, Answered, Opened, Outcome, StatementEntry, StatementPage};
pub use error::{ClientError, Work};
pub use gatherer::Gatherer;
pub use road::{outcome, why};
pub use secret::Secret;

use std::sync::Arc;
use std::time::Duration;

use ledger::{AccountId, Amount, Currency, Movement, Owner, Reference, Request, TransferId};

use crate::cluster::ClusterPin;
use crate::code::Code;
use crate::grpc;
use crate::payment;
use crate::proto;
use crate::trace::TraceContext;
use nodes::Nodes;
use retry::Pursuit;

/// A bank looks at few passwords at once, and says within two seconds if there are too many.
const AUTHENTICATE_WITHIN: Duration = Duration::from_secs(4);

/// A new id for an account: UUIDv7.
pub fn new_account_id() -> AccountId {
    AccountId::new(crate::new_id()).expect("a UUID with a version is not nil")
}

/// A new id for a transfer: UUIDv7.
pub fn new_transfer_id() -> TransferId {
    TransferId::new(crate::new_id()).expect("a UUID with a version is not nil")
}

/// An order to move money: keep it as it is for as long as its outcome is not known, and repeat it with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    pub id: TransferId,
    pub debit: AccountId,
    pub credit: AccountId,
    pub amount: Amount,
    pub currency: Currency,
    pub reference: Reference,
}

impl Transfer {
    /// A transfer in euro under a new id, without a reference.
    pub fn new(debit: AccountId, credit: AccountId, amount: Amount) -> Transfer {
        Transfer { id: new_transfer_id(), debit, credit, amount, currency: Currency::EUR, reference: Reference::EMPTY }
    }

    pub(crate) fn message(&self) -> proto::Transfer {
        let Transfer { id, debit, credit, amount, currency, reference } = *self;
        grpc::transfer_message(&Movement { id, debit, credit, amount, currency, reference })
    }
}

/// Whether the items of a batch stand alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// Each item has its own outcome.
    Independent,
    /// All or none.
    Linked,
}

/// How a client behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a call is repeated until it has an outcome.
    pub deadline: Duration,
    /// How long one node may take; nodes answer within two seconds by themselves.
    pub attempt_timeout: Duration,
    /// The operator token, where the bank wants one.
    pub token: Option<String>,
    /// Certificate and CA, and whom to expect, where the bank speaks TLS; one for all its nodes, for the protocol
    /// [`certs::Protocol::Grpc`]. Certificates that are replaced are taken for new connections.
    pub tls: Option<Arc<certs::Client>>,
    /// Which node to turn to while all are well.
    pub prefer: Prefer,
    /// Which cluster the calls are meant for, for whoever must not meet another one at the same addresses. Without one no
    /// call says.
    pub cluster: Option<ClusterPin>,
}

/// Which node a client turns to while all are well. Every node takes every request: this is about time only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Prefer {
    /// The one that leads, wherever that moves: its answers have one hop less.
    #[default]
    Leader,
    /// The one whose address was given first; for clients that are to be spread over the nodes.
    First,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            deadline: Duration::from_secs(30),
            attempt_timeout: Duration::from_millis(2500),
            token: None,
            tls: None,
            prefer: Prefer::default(),
            cluster: None,
        }
    }
}

/// A bank. A clone shares its connections.
#[derive(Debug, Clone)]
pub struct Client {
    nodes: Arc<Nodes>,
    options: Options,
}

impl Client {
    /// Most transfers of one batch.
    pub const BATCH_MAX: usize = Request::COMMANDS_MAX;

    /// A client of the nodes at these addresses (`host:port`, `http://host:port`, or with TLS
    /// `https://host:port`), all of one bank. Connects when the
    /// first call needs it. Must be called within a tokio runtime.
    pub fn connect<A: AsRef<str>>(addresses: impl IntoIterator<Item = A>) -> Result<Client, ClientError> {
        Client::connect_with(addresses, Options::default())
    }

    pub fn connect_with<A: AsRef<str>>(
        addresses: impl IntoIterator<Item = A>,
        options: Options,
    ) -> Result<Client, ClientError> {
        let nodes = Nodes::new(addresses, &options)?;
        Ok(Client { nodes, options })
    }

    /// The same connections with another deadline for each call.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Client {
        Client { nodes: self.nodes.clone(), options: Options { deadline, ..self.options.clone() } }
    }

    /// Gathers concurrent transfers into batches; see [`Gatherer`].
    pub fn gatherer(&self) -> Gatherer {
        Gatherer::new(self.clone(), 1)
    }

    /// Makes one transfer.
    pub async fn transfer(&self, transfer: &Transfer) -> Result<Answered, ClientError> {
        check(transfer)?;
        let response = self
            .pursue(Pursuit::moving([transfer.id]), |mut bank| async move {
                bank.transfer(proto::TransferRequest { transfer: Some(transfer.message()) }).await
            })
            .await?;
        answer::answered(response.outcome.as_ref())
    }

    /// Makes at most [`Client::BATCH_MAX`] transfers; one answer for each, in their order.
    pub async fn transfer_batch(&self, transfers: &[Transfer], batch: Batch) -> Result<Vec<Answered>, ClientError> {
        transfers.iter().try_for_each(check)?;
        let ids = Pursuit::moving(transfers.iter().map(|transfer| transfer.id));
        let response = self
            .pursue(ids, |mut bank| async move {
                let transfers = transfers.iter().map(Transfer::message).collect();
                bank.transfer_batch(proto::TransferBatchRequest { transfers, linked: batch == Batch::Linked }).await
            })
            .await?;
        if response.outcomes.len() != transfers.len() {
            return Err(ClientError::Nonsense { what: "another number of outcomes than of transfers" });
        }
        response.outcomes.iter().map(|outcome| answer::answered(Some(outcome))).collect()
    }

    /// Settles an id whose fate is unknown: void forever if the bank never saw it, otherwise its first outcome.
    pub async fn void(&self, id: TransferId) -> Result<Answered, ClientError> {
        let request = proto::VoidTransferRequest { id: Some(grpc::uuid(id.get())) };
        let response =
            self.pursue(Pursuit::moving([id]), |mut bank| async move { bank.void_transfer(request).await }).await?;
        answer::answered(response.outcome.as_ref())
    }

    /// What became of an id; `None` is no outcome, the transfer may still be on its way.
    pub async fn outcome(&self, id: TransferId) -> Result<Option<Answered>, ClientError> {
        let request = proto::GetTransferRequest { id: Some(grpc::uuid(id.get())) };
        let found = self.pursue(Pursuit::reading(), |mut bank| async move { bank.get_transfer(request).await }).await;
        match found {
            Ok(response) => answer::answered(response.outcome.as_ref()).map(Some),
            Err(ClientError::Refused { code: Code::UnknownTransfer, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens an account under an id of the caller's. `owner` has at most 64 bytes.
    pub async fn open_account(&self, id: AccountId, owner: &str, currency: Currency) -> Result<Opened, ClientError> {
        let owner = Owner::enforce(owner)
            .map_err(|reason| ClientError::refused(Code::InvalidOwner, format!("owner: {reason}")))?;
        let response = self
            .pursue(Pursuit::opening(id), |mut bank| async move {
                let owner = owner.as_str().to_owned();
                let request = proto::OpenAccountRequest {
                    id: Some(grpc::uuid(id.get())),
                    currency: u32::from(currency.number()),
                    owner,
                };
                bank.open_account(request).await
            })
            .await?;
        Ok(Opened { id, replay: response.replay })
    }

    /// Opens up to [`Client::BATCH_MAX`] accounts of one owner and currency in one call.
    ///
    /// # Errors
    /// The first account that was not opened ends the call; the others are open, and repeating the call is safe.
    pub async fn open_accounts(&self, ids: &[AccountId], owner: &str, currency: Currency) -> Result<(), ClientError> {
        let account = |id: &AccountId| proto::OpenAccountRequest {
            id: Some(grpc::uuid(id.get())),
            currency: u32::from(currency.number()),
            owner: owner.to_owned(),
        };
        let Some(first) = ids.first() else { return Ok(()) };
        let request = proto::OpenAccountsRequest { accounts: ids.iter().map(account).collect() };
        let response = self
            .pursue(Pursuit::opening(*first), |mut bank| {
                let request = request.clone();
                async move { bank.open_accounts(request).await }
            })
            .await?;
        let refused = response.outcomes.iter().zip(ids).find(|(outcome, _)| !outcome.code.is_empty());
        match refused {
            Some((outcome, id)) => {
                let code = Code::from_text(&outcome.code).unwrap_or(Code::Internal);
                Err(ClientError::refused(code, format!("account {id} was not opened: {}", outcome.code)))
            }
            None => Ok(()),
        }
    }

    /// An account with its balances, linearizable.
    pub async fn account(&self, id: AccountId) -> Result<Account, ClientError> {
        let request = proto::GetAccountRequest { id: Some(grpc::uuid(id.get())) };
        let found = self.pursue(Pursuit::reading(), |mut bank| async move { bank.get_account(request).await }).await?;
        answer::account(&found)
    }

    /// The balance of an account in minor units, linearizable.
    pub async fn balance(&self, id: AccountId) -> Result<i128, ClientError> {
        Ok(self.account(id).await?.balance)
    }

    /// Accounts in the order in which they were opened. `cursor` is that of the page before, empty for the first.
    pub async fn accounts(&self, cursor: &str, limit: u32) -> Result<AccountPage, ClientError> {
        let page = self
            .pursue(Pursuit::reading(), |mut bank| async move {
                bank.list_accounts(proto::ListAccountsRequest { cursor: cursor.to_owned(), limit }).await
            })
            .await?;
        let accounts = page.accounts.iter().map(answer::account).collect::<Result<_, _>>()?;
        Ok(AccountPage { accounts, next_cursor: page.next_cursor })
    }

    /// What moved on an account, newest first. `cursor` is that of the page before, empty for the newest.
    pub async fn statement(&self, id: AccountId, cursor: &str, limit: u32) -> Result<StatementPage, ClientError> {
        let page = self
            .pursue(Pursuit::reading(), |mut bank| async move {
                let account = Some(grpc::uuid(id.get()));
                bank.statement(proto::StatementRequest { account, cursor: cursor.to_owned(), limit }).await
            })
            .await?;
        let entries = page.entries.iter().map(answer::statement_entry).collect::<Result<_, _>>()?;
        Ok(StatementPage { entries, next_cursor: page.next_cursor })
    }

    /// The state of the node that the client talks to just now.
    pub async fn status(&self) -> Result<proto::StatusResponse, ClientError> {
        self.pursue(Pursuit::reading(), |mut bank| async move { bank.status(proto::StatusRequest {}).await }).await
    }

    /// The gateway's calls about payments, one answer for each; none where the bank's makes no sense.
    /// Each carries the trace of the request that its payment came with, where that is known.
    pub async fn payment_calls(
        &self,
        calls: &[(clearing::Call, Option<TraceContext>)],
    ) -> Result<Vec<Option<clearing::Reported>>, ClientError> {
        let message = |(call, trace): &(clearing::Call, Option<TraceContext>)| proto::PaymentCall {
            traceparent: trace.map(|trace| trace.child().to_string()).unwrap_or_default(),
            ..payment::call_message(call)
        };
        self.findings(proto::PaymentCallBatch { calls: calls.iter().map(message).collect() }).await
    }

    /// Brings a restored bank payments that were decided before: what it then finds of each.
    pub async fn replay_payments(
        &self,
        calls: &[clearing::Call],
    ) -> Result<Vec<Option<clearing::Reported>>, ClientError> {
        self.findings(proto::PaymentCallBatch { calls: calls.iter().map(payment::call_message).collect() }).await
    }

    async fn findings(&self, request: proto::PaymentCallBatch) -> Result<Vec<Option<clearing::Reported>>, ClientError> {
        let response = self
            .pursue(Pursuit::reading(), |mut bank| {
                let request = request.clone();
                async move { bank.payment_calls(request).await }
            })
            .await?;
        if response.findings.len() != request.calls.len() {
            return Err(ClientError::Nonsense { what: "another number of findings than of calls" });
        }
        Ok(response.findings.iter().map(payment::reported).collect())
    }

    /// What the gateway has set aside or moved in the bank, as whole payments. One that makes no sense hides no other.
    pub async fn gateway_holds(&self, request: proto::GatewayHoldsRequest) -> Result<GatewayHolds, ClientError> {
        let response =
            self.pursue(Pursuit::reading(), |mut bank| async move { bank.gateway_holds(request).await }).await?;
        let terms = |hold: &proto::GatewayHold| payment::terms(hold.payment.as_ref()?).ok();
        let payments: Vec<clearing::Terms> = response.holds.iter().filter_map(terms).collect();
        let unreadable = response.holds.len() - payments.len();
        Ok(GatewayHolds { payments, unreadable, next_cursor: response.next_cursor })
    }

    /// Tells a restored bank that it has all its payments again, and which those were that it had lost.
    pub async fn caught_up(
        &self,
        gateway: clearing::Epoch,
        incarnation: u32,
        lost: ledger::Lost,
    ) -> Result<(), ClientError> {
        let request = proto::CaughtUpRequest {
            gateway_epoch: gateway.get(),
            incarnation,
            lost_after: lost.after,
            lost_through: lost.through,
        };
        self.pursue(Pursuit::reading(), |mut bank| async move { bank.caught_up(request).await }).await?;
        Ok(())
    }

    /// Whether this is the customer's password: otherwise a refusal. Each attempt counts at the bank, so this waits longer
    /// for one answer than other calls do, rather than ask twice.
    pub async fn authenticate(
        &self,
        question: &proto::AuthenticateRequest,
    ) -> Result<proto::AuthenticateResponse, ClientError> {
        let (deadline, attempt_timeout) = (AUTHENTICATE_WITHIN, AUTHENTICATE_WITHIN);
        let options = Options { deadline, attempt_timeout, ..self.options.clone() };
        let ask = |mut bank: nodes::Bank| async move {
            let mut request = tonic::Request::new(question.clone());
            request.set_timeout(AUTHENTICATE_WITHIN);
            bank.authenticate(request).await
        };
        retry::pursue(&self.nodes, &options, Pursuit::reading(), ask).await
    }

    /// What a customer has, linearizable.
    pub async fn customer_balance(&self, customer: &str) -> Result<proto::ViewBalanceResponse, ClientError> {
        self.pursue(Pursuit::reading(), |mut bank| async move {
            bank.view_balance(proto::ViewBalanceRequest { customer: customer.to_owned() }).await
        })
        .await
    }

    /// What moved on a customer's account, newest first.
    pub async fn customer_history(
        &self,
        customer: &str,
        cursor: &str,
        limit: u32,
    ) -> Result<proto::TransactionHistoryResponse, ClientError> {
        self.pursue(Pursuit::reading(), |mut bank| async move {
            let (customer, cursor) = (customer.to_owned(), cursor.to_owned());
            bank.transaction_history(proto::TransactionHistoryRequest { customer, cursor, limit }).await
        })
        .await
    }

    async fn pursue<T, F>(&self, pursuit: Pursuit, call: impl Fn(nodes::Bank) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        retry::pursue(&self.nodes, &self.options, pursuit, call).await
    }
}

/// A page of what the gateway has set aside in a bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayHolds {
    pub payments: Vec<clearing::Terms>,
    /// Holds of this page whose payment cannot be understood.
    pub unreadable: usize,
    /// Where to go on; 0 at the end.
    pub next_cursor: u64,
}

/// What a node would refuse as malformed is refused here, so that one item never fails a whole gathered batch.
fn check(transfer: &Transfer) -> Result<(), ClientError> {
    if transfer.debit == transfer.credit {
        let detail = format!("debit and credit are both account {}", transfer.debit);
        return Err(ClientError::refused(Code::SameAccount, detail));
    }
    Ok(())
}
