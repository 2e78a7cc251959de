//! A gateway for tests: one process, in memory, with faults on demand. It keeps each payment by its id, once, which is
//! all that a client's safety rests on. It is no model of the real one: no banks, no consensus, no clock.

#![allow(dead_code, reason = "the tests of several crates use it, each a part")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use api::code::Code;
use api::grpc::{int128, uuid};
use api::payment;
use api::problem::Problem;
use api::proto;
use api::proto::gateway_server::{Gateway, GatewayServer};
use clearing::{NamedParty, PaymentId, Terms};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// What goes wrong with one call that pays or cancels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The payment is taken, and the answer never comes.
    AnswerLost,
    /// The payment is taken, and the node says that it does not know the outcome.
    OutcomeUnknown,
    /// Refused for load, before anything was proposed.
    Overloaded,
    /// The payment is taken, and undecided until it is asked about again.
    Undecided,
    /// Not taken, and no answer comes.
    RequestLost,
    /// Not taken, and the whole call is refused.
    Refused(Code),
    /// Not taken, and somebody before the gateway answers, who knows nothing of payments.
    NoSuchMethod,
    /// Not taken, as the payment's own answer says.
    NotTaken,
}

/// What was decided of an id, for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decided {
    Paid,
    Refused(&'static str),
}

#[derive(Debug, Default)]
struct Books {
    balances: BTreeMap<NamedParty, u128>,
    tokens: BTreeMap<String, NamedParty>,
    expired: BTreeSet<String>,
    revoked: BTreeSet<String>,
    tokens_made: u64,
    payments: BTreeMap<PaymentId, (Terms, Decided)>,
    /// In the order in which they were taken.
    taken: Vec<PaymentId>,
    faults: VecDeque<Fault>,
    /// How often a call about a payment came in.
    calls: BTreeMap<PaymentId, u32>,
    /// Payments about which a call is on its way now, and those of which two ever were at the same time.
    open: BTreeMap<PaymentId, u32>,
    doubled: BTreeSet<PaymentId>,
    /// How long a call takes.
    delay: Duration,
    /// Which network it is.
    network: u128,
    /// Calls that carried a token.
    with_token: u32,
    observer: Observer,
}

/// Is told of each call about a payment before anything is done about it.
#[derive(Clone, Default)]
struct Observer(Option<Arc<dyn Fn(PaymentId) + Send + Sync>>);

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

/// The gateway, and the hands on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestGateway {
    books: Arc<Mutex<Books>>,
}

/// A gateway that serves; it stops when this goes.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) const PASSWORD: &str = "correct horse";

impl TestGateway {
    /// Alice, bob and carol have 100.00 each.
    pub(crate) fn new() -> TestGateway {
        TestGateway::of_network(1)
    }

    /// A gateway of that network.
    pub(crate) fn of_network(network: u128) -> TestGateway {
        let gateway = TestGateway::default();
        gateway.books().network = network;
        for party in ["alice@alpha", "bob@beta", "carol@alpha"] {
            gateway.books().balances.insert(party.parse().expect("well formed"), 10_000);
        }
        gateway
    }

    /// Serves at a port that the system chooses.
    pub(crate) async fn serve(&self) -> Serving {
        self.serve_at("127.0.0.1:0".parse().expect("an address")).await
    }

    pub(crate) async fn serve_at(&self, address: SocketAddr) -> Serving {
        // The listener of before, at a port that is used again, is closed a moment after it was told to.
        let mut tries = 0;
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(error) => assert!(tries < 1_000, "the port stays taken: {error}"),
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let address = listener.local_addr().expect("it is bound");
        let service = GatewayServer::new(self.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        let task = tokio::spawn(async move {
            server.serve_with_incoming(TcpIncoming::from(listener)).await.expect("it serves until it is aborted");
        });
        Serving { address, task }
    }

    /// The next calls that pay or cancel go wrong in this way, one after the other.
    pub(crate) fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.books().faults.extend(faults);
    }

    pub(crate) fn no_more_faults(&self) {
        self.books().faults.clear();
    }

    pub(crate) fn on_call(&self, observer: impl Fn(PaymentId) + Send + Sync + 'static) {
        self.books().observer = Observer(Some(Arc::new(observer)));
    }

    pub(crate) fn take_time(&self, delay: Duration) {
        self.books().delay = delay;
    }

    /// All tokens that were given out are over their time.
    pub(crate) fn expire_tokens(&self) {
        let mut books = self.books();
        let all: Vec<String> = books.tokens.keys().cloned().collect();
        books.expired.extend(all);
    }

    /// How many calls carried a token, a good one or not.
    pub(crate) fn with_token(&self) -> u32 {
        self.books().with_token
    }

    pub(crate) fn live_tokens(&self) -> usize {
        let books = self.books();
        books.tokens.keys().filter(|token| !books.expired.contains(*token) && !books.revoked.contains(*token)).count()
    }

    pub(crate) fn balance(&self, party: &str) -> u128 {
        self.books().balances[&party.parse().expect("well formed")]
    }

    pub(crate) fn decided(&self, id: PaymentId) -> Option<Decided> {
        self.books().payments.get(&id).map(|(_, decided)| decided.clone())
    }

    pub(crate) fn taken(&self) -> Vec<PaymentId> {
        self.books().taken.clone()
    }

    pub(crate) fn calls(&self, id: PaymentId) -> u32 {
        self.books().calls.get(&id).copied().unwrap_or(0)
    }

    /// How many calls about payments came in.
    pub(crate) fn called(&self) -> u32 {
        self.books().calls.values().sum()
    }

    /// Payments that were sent twice at the same time.
    pub(crate) fn doubled(&self) -> usize {
        self.books().doubled.len()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no test panics while it holds the books")
    }

    fn caller<T>(&self, request: &Request<T>) -> Result<NamedParty, Status> {
        let no = |code, detail: &str| Problem::new(code, detail).to_status();
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let token = header.and_then(|text| text.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| no(Code::TokenMissing, "no token"))?;
        let mut books = self.books();
        books.with_token += 1;
        let party = books.tokens.get(token).ok_or_else(|| no(Code::TokenInvalid, "no such token"))?;
        if books.revoked.contains(token) {
            return Err(no(Code::TokenRevoked, "signed out"));
        }
        if books.expired.contains(token) {
            return Err(no(Code::TokenExpired, "over its time"));
        }
        Ok(*party)
    }

    /// One call about one payment, with what goes wrong with it.
    async fn about(
        &self,
        terms: Terms,
        act: impl FnOnce(&mut Books, Terms) -> Result<proto::PaymentStatus, Status>,
    ) -> Result<proto::PaymentStatus, Status> {
        let observer = self.books().observer.clone();
        if let Observer(Some(observe)) = observer {
            observe(terms.id);
        }
        let (fault, delay) = {
            let mut books = self.books();
            *books.calls.entry(terms.id).or_default() += 1;
            let open = books.open.entry(terms.id).or_default();
            *open += 1;
            if *open > 1 {
                books.doubled.insert(terms.id);
            }
            (books.faults.pop_front(), books.delay)
        };
        tokio::time::sleep(delay).await;
        let answer = match fault {
            None => act(&mut self.books(), terms),
            Some(Fault::AnswerLost) => {
                act(&mut self.books(), terms)?;
                Err(Status::unavailable("the connection broke"))
            }
            Some(Fault::OutcomeUnknown) => {
                act(&mut self.books(), terms)?;
                Err(Problem::new(Code::OutcomeUnknown, "no answer in time").to_status())
            }
            Some(Fault::Overloaded) => {
                Err(Problem::new(Code::Overloaded, "too much at once").retry_after_ms(20).to_status())
            }
            Some(Fault::Undecided) => {
                act(&mut self.books(), terms)?;
                Ok(status(terms.id, proto::PaymentState::Undecided, "outcome_unknown"))
            }
            Some(Fault::RequestLost) => Err(Status::unavailable("the connection broke")),
            Some(Fault::Refused(code)) => Err(Problem::new(code, "this attempt is refused").to_status()),
            Some(Fault::NoSuchMethod) => Err(Status::unimplemented("404 Not Found")),
            Some(Fault::NotTaken) => Ok(status(terms.id, proto::PaymentState::NotTaken, "payer_busy")),
        };
        let mut books = self.books();
        *books.open.get_mut(&terms.id).expect("it was counted") -= 1;
        answer
    }
}

impl Books {
    /// Decides, once; whoever comes later takes the decision.
    fn decide(&mut self, terms: Terms, wanted: Decided) -> Result<proto::PaymentStatus, Status> {
        let known = self.payments.get(&terms.id);
        if known.is_some_and(|(first, _)| *first != terms) {
            return Ok(status(terms.id, proto::PaymentState::IdReused, "id_reused"));
        }
        let duplicate = known.is_some();
        let decided = match known {
            Some((_, decided)) => decided.clone(),
            None => {
                let decided = self.carry_out(&terms, wanted);
                self.payments.insert(terms.id, (terms, decided.clone()));
                self.taken.push(terms.id);
                decided
            }
        };
        let mut status = match decided {
            Decided::Paid => status(terms.id, proto::PaymentState::Paid, ""),
            Decided::Refused(code) => status(terms.id, proto::PaymentState::Refused, code),
        };
        status.duplicate = duplicate;
        Ok(status)
    }

    fn carry_out(&mut self, terms: &Terms, wanted: Decided) -> Decided {
        if wanted != Decided::Paid {
            return wanted;
        }
        if !self.balances.contains_key(&terms.payee) {
            return Decided::Refused("unknown_credit_account");
        }
        let payer = self.balances.get_mut(&terms.payer).expect("who signed in has an account");
        let Some(rest) = payer.checked_sub(terms.amount.minor()) else {
            return Decided::Refused("insufficient_funds");
        };
        *payer = rest;
        *self.balances.get_mut(&terms.payee).expect("looked up above") += terms.amount.minor();
        Decided::Paid
    }
}

fn status(id: PaymentId, state: proto::PaymentState, code: &str) -> proto::PaymentStatus {
    let detail = match code {
        "" => String::new(),
        code => format!("the test's gateway says {code}"),
    };
    let mut status =
        proto::PaymentStatus { id: Some(uuid(id.get())), code: code.to_owned(), detail, ..Default::default() };
    status.set_state(state);
    status
}

fn terms_of(message: Option<&proto::Payment>, payer: NamedParty) -> Result<Terms, Status> {
    let missing = || Problem::new(Code::MissingField, "payment is missing");
    let terms = message.ok_or_else(missing).and_then(payment::terms).map_err(|problem| problem.to_status())?;
    if terms.payer != payer {
        return Err(Status::permission_denied("the payer is another than the token's"));
    }
    Ok(terms)
}

#[tonic::async_trait]
impl Gateway for TestGateway {
    async fn network(
        &self,
        _request: Request<proto::NetworkRequest>,
    ) -> Result<Response<proto::NetworkResponse>, Status> {
        Ok(Response::new(proto::NetworkResponse { id: Some(uuid(self.books().network)) }))
    }

    async fn login(&self, request: Request<proto::LoginRequest>) -> Result<Response<proto::LoginResponse>, Status> {
        let proto::LoginRequest { username, bank_name, password } = request.into_inner();
        let mut books = self.books();
        let party = format!("{username}@{bank_name}").parse::<NamedParty>().ok();
        let party = party.filter(|party| books.balances.contains_key(party) && password == PASSWORD);
        let party =
            party.ok_or_else(|| Problem::new(Code::WrongCredentials, "bank, name or password is wrong").to_status())?;
        books.tokens_made += 1;
        let token = format!("token-{}-of-{username}", books.tokens_made);
        books.tokens.insert(token.clone(), party);
        Ok(Response::new(proto::LoginResponse { token, expires_ms: 4_000_000_000_000, live_sessions: 1 }))
    }

    async fn logout(&self, request: Request<proto::LogoutRequest>) -> Result<Response<proto::LogoutResponse>, Status> {
        self.caller(&request)?;
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let token = header.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
        self.books().revoked.insert(token.to_owned());
        Ok(Response::new(proto::LogoutResponse { ended: 1 }))
    }

    async fn view_balance(
        &self,
        request: Request<proto::ViewBalanceRequest>,
    ) -> Result<Response<proto::ViewBalanceResponse>, Status> {
        let caller = self.caller(&request)?;
        let balance = i128::try_from(self.books().balances[&caller]).expect("small");
        let balances = proto::Balances { balance: Some(int128(balance)), available: None };
        Ok(Response::new(proto::ViewBalanceResponse { balances: Some(balances), currency: 978, undelivered: 0 }))
    }

    async fn transfer_money(
        &self,
        request: Request<proto::TransferMoneyRequest>,
    ) -> Result<Response<proto::TransferMoneyResponse>, Status> {
        let caller = self.caller(&request)?;
        let mut payments = Vec::new();
        for message in &request.into_inner().payments {
            let terms = terms_of(Some(message), caller)?;
            payments.push(self.about(terms, |books, terms| books.decide(terms, Decided::Paid)).await?);
        }
        Ok(Response::new(proto::TransferMoneyResponse { payments }))
    }

    async fn transaction_history(
        &self,
        request: Request<proto::TransactionHistoryRequest>,
    ) -> Result<Response<proto::TransactionHistoryResponse>, Status> {
        let caller = self.caller(&request)?;
        let books = self.books();
        let paid = books.taken.iter().rev().map(|id| &books.payments[id]).filter(|(_, d)| *d == Decided::Paid);
        let own = paid.filter(|(terms, _)| terms.payer == caller || terms.payee == caller);
        let entry = |(terms, _): &(Terms, Decided)| {
            let amount = i128::try_from(terms.amount.minor()).expect("small");
            let left = terms.payer == caller;
            let other = if left { terms.payee } else { terms.payer };
            proto::HistoryEntry {
                id: Some(uuid(terms.id.get())),
                change: Some(int128(if left { -amount } else { amount })),
                balance: Some(int128(0)),
                time_ms: 1_700_000_000_000,
                reference: terms.reference.as_str().to_owned(),
                counterparty: other.to_string(),
            }
        };
        let entries = own.map(entry).collect();
        Ok(Response::new(proto::TransactionHistoryResponse { entries, next_cursor: String::new(), currency: 978 }))
    }

    async fn get_payment(
        &self,
        request: Request<proto::GetPaymentRequest>,
    ) -> Result<Response<proto::PaymentStatus>, Status> {
        self.caller(&request)?;
        let id = api::grpc::transfer_id("id", request.get_ref().id.as_ref()).map_err(|problem| problem.to_status())?;
        let known = self.books().payments.get(&id).cloned();
        let (terms, decided) =
            known.ok_or_else(|| Problem::new(Code::UnknownPayment, "no such payment so far").to_status())?;
        let status = self.books().decide(terms, decided)?;
        Ok(Response::new(proto::PaymentStatus { payment: Some(payment::message(&terms)), ..status }))
    }

    async fn cancel_payment(
        &self,
        request: Request<proto::CancelPaymentRequest>,
    ) -> Result<Response<proto::PaymentStatus>, Status> {
        let caller = self.caller(&request)?;
        let terms = terms_of(request.get_ref().payment.as_ref(), caller)?;
        let answer = self.about(terms, |books, terms| books.decide(terms, Decided::Refused("voided"))).await?;
        Ok(Response::new(answer))
    }

    async fn register_bank(
        &self,
        _request: Request<proto::RegisterBankRequest>,
    ) -> Result<Response<proto::RegisterBankResponse>, Status> {
        Err(not_for_customers())
    }

    async fn resolve_payment(
        &self,
        _request: Request<proto::ResolvePaymentRequest>,
    ) -> Result<Response<proto::PaymentStatus>, Status> {
        Err(not_for_customers())
    }

    async fn banks(&self, _request: Request<proto::BanksRequest>) -> Result<Response<proto::BanksResponse>, Status> {
        Err(not_for_customers())
    }

    async fn payments(
        &self,
        _request: Request<proto::PaymentsRequest>,
    ) -> Result<Response<proto::PaymentsResponse>, Status> {
        Err(not_for_customers())
    }

    async fn audit_payments(
        &self,
        _: Request<proto::AuditPaymentsRequest>,
    ) -> Result<Response<proto::AuditPaymentsResponse>, Status> {
        Err(Status::unimplemented("this gateway is audited by nobody"))
    }

    async fn show_payment(
        &self,
        _request: Request<proto::GetPaymentRequest>,
    ) -> Result<Response<proto::PaymentWay>, Status> {
        Err(not_for_customers())
    }

    async fn void_payment(
        &self,
        _request: Request<proto::VoidPaymentRequest>,
    ) -> Result<Response<proto::PaymentStatus>, Status> {
        Err(not_for_customers())
    }

    async fn positions(
        &self,
        _request: Request<proto::PositionsRequest>,
    ) -> Result<Response<proto::PositionsResponse>, Status> {
        Err(not_for_customers())
    }

    async fn settle(&self, _request: Request<proto::SettleRequest>) -> Result<Response<proto::PaymentStatus>, Status> {
        Err(not_for_customers())
    }

    async fn settings(
        &self,
        _request: Request<proto::SettingsRequest>,
    ) -> Result<Response<proto::GatewaySettings>, Status> {
        Err(not_for_customers())
    }

    async fn sessions(
        &self,
        _request: Request<proto::SessionsRequest>,
    ) -> Result<Response<proto::SessionsResponse>, Status> {
        Ok(Response::new(proto::SessionsResponse::default()))
    }

    async fn acknowledge_payment(
        &self,
        _request: Request<proto::AcknowledgePaymentRequest>,
    ) -> Result<Response<proto::AcknowledgePaymentResponse>, Status> {
        Err(not_for_customers())
    }

    async fn keys(&self, _request: Request<proto::KeysRequest>) -> Result<Response<proto::KeysResponse>, Status> {
        Err(not_for_customers())
    }

    async fn retire_key(
        &self,
        _request: Request<proto::RetireKeyRequest>,
    ) -> Result<Response<proto::RetireKeyResponse>, Status> {
        Err(not_for_customers())
    }

    async fn change_setting(
        &self,
        _request: Request<proto::ChangeSettingRequest>,
    ) -> Result<Response<proto::GatewaySettings>, Status> {
        Err(not_for_customers())
    }
}

fn not_for_customers() -> Status {
    Status::permission_denied("not for customers")
}
