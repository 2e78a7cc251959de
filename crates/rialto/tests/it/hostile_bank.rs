//! A bank that lies in all that it says, and calls what only its own lies lead to, beside an honest bank and a gateway that are
//! real processes: no customer of the honest bank loses a cent, and what the liar owes stays within its cap.
//!
//! The liar speaks `rialto.v1.Bank` as the generated service has it. It keeps no books at all.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use api::client::Secret;
use api::client::gateway::{
    Customer, GatewayClient, GatewayOptions, OpenPayment, PaymentsWanted, Standing, new_payment_id,
};
use api::code::Code;
use api::grpc::{int128, uuid};
use api::payment::message;
use api::problem::Problem;
use api::proto;
use api::proto::FindingKind;
use api::proto::bank_server::{Bank, BankServer};
use api::proto::gateway_client::GatewayClient as RawGateway;
use clearing::{NamedParty, Terms};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::by_hand::{Node, Place, init};
use crate::network::{TestDir, free_bases, rialto, run, stdout, until};
use crate::town::{order, paid, refused_for};

const OPENING: i128 = 1_000_00;
const GROUP: u128 = 0xbad;

/// What the liar says next, and what it was asked.
#[derive(Debug, Default)]
struct Lies {
    says: Option<FindingKind>,
    incarnation: u32,
    /// Payments that it claims to hold money for.
    invented: Vec<Terms>,
    asked_for_holds: u32,
    committed: u32,
}

#[derive(Debug, Clone, Default)]
struct Liar(Arc<Mutex<Lies>>);

impl Liar {
    fn lies(&self) -> MutexGuard<'_, Lies> {
        self.0.lock().expect("nobody panics with it")
    }

    fn says(&self, kind: FindingKind) {
        self.lies().says = Some(kind);
    }

    async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = tonic::transport::Server::builder().add_service(BankServer::new(self.clone()));
        // It ends with the test's runtime.
        tokio::spawn(async move { server.serve_with_incoming(TcpIncoming::from(listener)).await });
        address
    }
}

fn nothing<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("it keeps no books"))
}

/// Methods that a gateway does not call.
macro_rules! keeps_no_books {
    ($($name:ident($request:ident) -> $response:ident;)*) => {
        $(
            fn $name<'a, 'c>(
                &'a self,
                _request: Request<proto::$request>,
            ) -> std::pin::Pin<Box<dyn Future<Output = Result<Response<proto::$response>, Status>> + Send + 'c>>
            where
                'a: 'c,
                Self: 'c,
            {
                Box::pin(async { nothing() })
            }
        )*
    };
}

#[tonic::async_trait]
impl Bank for Liar {
    async fn status(&self, _: Request<proto::StatusRequest>) -> Result<Response<proto::StatusResponse>, Status> {
        Ok(Response::new(proto::StatusResponse {
            group: "evil".to_owned(),
            node: 1,
            role: "leader".to_owned(),
            leader: 1,
            quorum: true,
            proposer: 1,
            cluster: Some(uuid(GROUP)),
            incarnation: self.lies().incarnation,
            ..proto::StatusResponse::default()
        }))
    }

    async fn authenticate(
        &self,
        _: Request<proto::AuthenticateRequest>,
    ) -> Result<Response<proto::AuthenticateResponse>, Status> {
        Ok(Response::new(proto::AuthenticateResponse { currency: 978 }))
    }

    async fn view_balance(
        &self,
        _: Request<proto::ViewBalanceRequest>,
    ) -> Result<Response<proto::ViewBalanceResponse>, Status> {
        let balances = proto::Balances { balance: Some(int128(i128::MAX)), ..proto::Balances::default() };
        Ok(Response::new(proto::ViewBalanceResponse { balances: Some(balances), currency: 978, undelivered: 0 }))
    }

    async fn payment_calls(
        &self,
        request: Request<proto::PaymentCallBatch>,
    ) -> Result<Response<proto::FindingBatch>, Status> {
        let mut lies = self.lies();
        let kind = lies.says.unwrap_or(FindingKind::Posted);
        let calls = &request.get_ref().calls;
        let commits = calls
            .iter()
            .filter(|call| matches!(call.kind(), proto::CallKind::CommitDebit | proto::CallKind::CommitCredit));
        lies.committed += u32::try_from(commits.count()).expect("few");
        let finding = proto::Finding { kind: kind.into(), bank_epoch: 1, ..proto::Finding::default() };
        Ok(Response::new(proto::FindingBatch { findings: vec![finding; calls.len()] }))
    }

    async fn gateway_holds(
        &self,
        _: Request<proto::GatewayHoldsRequest>,
    ) -> Result<Response<proto::GatewayHoldsResponse>, Status> {
        let mut lies = self.lies();
        lies.asked_for_holds += 1;
        let invented = lies.invented.iter();
        let holds = invented.map(|terms| proto::GatewayHold { payment: Some(message(terms)), placed_ms: 1 });
        Ok(Response::new(proto::GatewayHoldsResponse { holds: holds.collect(), next_cursor: 0 }))
    }

    async fn caught_up(&self, _: Request<proto::CaughtUpRequest>) -> Result<Response<proto::CaughtUpResponse>, Status> {
        Ok(Response::new(proto::CaughtUpResponse {}))
    }

    keeps_no_books! {
        transfer(TransferRequest) -> TransferResponse;
        transfer_batch(TransferBatchRequest) -> TransferBatchResponse;
        void_transfer(VoidTransferRequest) -> TransferResponse;
        get_transfer(GetTransferRequest) -> GetTransferResponse;
        open_account(OpenAccountRequest) -> OpenAccountResponse;
        open_accounts(OpenAccountsRequest) -> OpenAccountsResponse;
        get_account(GetAccountRequest) -> Account;
        list_accounts(ListAccountsRequest) -> ListAccountsResponse;
        statement(StatementRequest) -> StatementResponse;
        members(MembersRequest) -> Group;
        change_members(ChangeMembersRequest) -> Group;
        set_mode(SetModeRequest) -> Group;
        transaction_history(TransactionHistoryRequest) -> TransactionHistoryResponse;
        transfer_payment(PaymentCall) -> Finding;
        prepare_debit(PaymentCall) -> Finding;
        prepare_credit(PaymentCall) -> Finding;
        commit_debit(PaymentCall) -> Finding;
        commit_credit(PaymentCall) -> Finding;
        abort_debit(PaymentCall) -> Finding;
        abort_credit(PaymentCall) -> Finding;
        hold_status(PaymentCall) -> Finding;
    }
}

/// Bank alpha and the gateway, a process each, and the liar in this one.
struct Neighbours {
    runtime: Runtime,
    liar: Liar,
    gateway: GatewayClient,
    gateway_grpc: String,
    gateway_node: Node,
    alpha: Place,
    _alpha_node: Node,
    _dir: TestDir,
}

impl Neighbours {
    /// In a directory of that name: tests run beside each other.
    fn start(name: &str) -> Neighbours {
        let (dir, base) = (TestDir::new(name), free_bases(2));
        let runtime = Runtime::new().expect("threads are to be had");
        let liar = Liar::default();
        liar.lies().incarnation = 1;
        let evil = runtime.block_on(liar.serve());
        let alpha = Place::of_alpha(base, 1, 1);
        let data = dir.path().join("alpha");
        init(&alpha, &data, 1, None);
        let mut alpha_node = Node::start(&alpha, &data, &dir.path().join("alpha.log"));
        alpha_node.ready();
        for name in ["alice", "carol"] {
            let body = json!({"username": name, "password": format!("{name}-demo"), "opening_balance": "1000.00"});
            let url = format!("{}/v1/customers", alpha.url());
            let (status, said) = crate::http::call("POST", &url, Some(&body)).expect("alpha answers");
            assert_eq!(status, 201, "{said}");
        }
        let banks = format!("alpha=127.0.0.1:{},evil={evil}", base + 11);
        let mut gateway_node = gateway_at(base + 100, &banks, dir.path());
        gateway_node.ready();
        let gateway_grpc = format!("127.0.0.1:{}", base + 111);
        let options = GatewayOptions { deadline: Duration::from_secs(60), ..GatewayOptions::default() };
        let client = {
            let _runtime = runtime.enter();
            GatewayClient::connect_with([&gateway_grpc], None).expect("an address").with_options(options)
        };
        let town = Neighbours {
            runtime,
            liar,
            gateway: client,
            gateway_grpc,
            gateway_node,
            alpha,
            _alpha_node: alpha_node,
            _dir: dir,
        };
        until("both banks are registered and reached", || {
            let operator = town.gateway.operator(None).expect("no token is needed here");
            let banks = town.runtime.block_on(operator.banks()).ok()?;
            (banks.iter().filter(|bank| bank.reachable).count() == 2).then_some(())
        });
        town
    }

    fn sign_in(&self, who: &str) -> Customer {
        let party: NamedParty = who.parse().expect("an address");
        let password = Secret::new(format!("{}-demo", who.split('@').next().expect("a name")));
        until("a sign-in", || {
            let signed_in = self.runtime.block_on(self.gateway.login(&party, &password)).ok()?;
            Some(self.gateway.customer(&signed_in.token).expect("a token"))
        })
    }

    fn pay(&self, customer: &Customer, terms: &Terms) -> Standing {
        until("it is decided", || {
            let answer = self.runtime.block_on(customer.pay(terms)).ok()?;
            (!matches!(answer.standing, Standing::Undecided { .. })).then_some(answer.standing)
        })
    }

    fn balance(&self, customer: &Customer) -> i128 {
        until("a balance", || self.runtime.block_on(customer.balance()).ok()).balance
    }

    /// Of the pair alpha and evil, what evil owes alpha and what may be added.
    fn evil_owes(&self) -> (i128, i128) {
        let operator = self.gateway.operator(None).expect("no token is needed here");
        let positions = self.runtime.block_on(operator.positions()).expect("the gateway answers");
        let of_evil = positions.iter().find(|position| position.debtor == "evil");
        of_evil.map_or((0, 0), |position| (position.owed, position.reserved))
    }

    fn raw<T, F>(&self, call: impl FnOnce(RawGateway<tonic::transport::Channel>) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.runtime.block_on(async {
            let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", self.gateway_grpc));
            let channel = endpoint.expect("a URI").connect().await.expect("the gateway listens");
            call(RawGateway::new(channel)).await.map(Response::into_inner)
        })
    }
}

fn gateway_at(base: u16, banks: &str, dir: &Path) -> Node {
    let (data, said) = (dir.join("gateway"), dir.join("gateway.log"));
    let data_text = data.to_str().expect("UTF-8");
    let made = run(&["gateway", "init", "--name", "main", "--node", "1", "--nodes", "1", "--data", data_text]);
    assert!(made.status.success(), "{}", stdout(&made));
    let local = |port: u16| format!("127.0.0.1:{port}");
    let process = rialto()
        .args(["gateway", "--name", "main", "--node", "1", "--peers", &format!("1={}", local(base + 21))])
        .args(["--http", &local(base + 1), "--grpc", &local(base + 11), "--peer-listen", &local(base + 21)])
        .args(["--banks", banks, "--timeout-2pc-ms", "60000", "--data", data_text])
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&said).expect("there is room"))
        .spawn()
        .expect("the binary was built");
    Node::adopt(process, format!("http://{}", local(base + 1)), &said)
}

#[test]
fn a_bank_that_lies_in_every_answer_takes_no_cent_from_another_banks_customers() {
    let mut town = Neighbours::start("hostile-bank");
    let (alice, mallory) = (town.sign_in("alice@alpha"), town.sign_in("mallory@evil"));
    let cap = run(&["settings", "pair-cap", "evil", "alpha", "100.00", "--gateway", &town.gateway_grpc]);
    assert!(cap.status.success(), "{}", stdout(&cap));

    // "Posted" to everything: nobody had decided so, so it is void, alarmed, and listed for the operator.
    town.liar.says(FindingKind::Posted);
    let out = order(new_payment_id(), "alice@alpha", "mallory@evil", 700_00);
    assert_eq!(refused_for(&town.pay(&alice, &out)), "contradicted_by_bank");
    town.gateway_node.says(&["bank_contradicts", &out.id.to_string()]);
    let back = order(new_payment_id(), "mallory@evil", "carol@alpha", 50_00);
    assert_eq!(refused_for(&town.pay(&mallory, &back)), "contradicted_by_bank");
    town.gateway_node.says(&["bank_contradicts", &back.id.to_string()]);
    let operator = town.gateway.operator(None).expect("no token is needed here");
    let (listed, _) = town.runtime.block_on(operator.payments(PaymentsWanted::Listed, 10)).expect("it answers");
    for id in [out.id, back.id] {
        assert!(listed.iter().any(|payment| payment.terms.id == id), "{id} is listed: {listed:?}");
    }
    assert_eq!(town.balance(&alice), OPENING);

    // Payments of alice's that nobody ordered, asked about as if they were old.
    for minor in [1, 900_00] {
        let unordered = order(new_payment_id(), "alice@alpha", "mallory@evil", minor);
        let asked = proto::ResolvePaymentRequest { bank: "evil".to_owned(), payment: Some(message(&unordered)) };
        let told = town.raw(|mut gateway| async move { gateway.resolve_payment(asked).await }).expect("it is answered");
        assert_eq!(told.state(), proto::PaymentState::Refused, "{told:?}");
    }
    let of_others = order(new_payment_id(), "alice@alpha", "carol@alpha", 10_00);
    let asked = proto::ResolvePaymentRequest { bank: "evil".to_owned(), payment: Some(message(&of_others)) };
    let told = town.raw(|mut gateway| async move { gateway.resolve_payment(asked).await });
    assert_eq!(told.as_ref().err().and_then(Problem::code_of), Some(Code::NotPermitted), "{told:?}");

    // Holds that it invents, for payments out of alice's account.
    town.liar.lies().invented =
        [5_00, 950_00].map(|minor| order(new_payment_id(), "alice@alpha", "mallory@evil", minor)).to_vec();
    let before = town.liar.lies().asked_for_holds;
    until("the gateway has looked at its holds twice more", || {
        (town.liar.lies().asked_for_holds >= before + 2).then_some(())
    });
    let (open, _) = town.runtime.block_on(operator.payments(PaymentsWanted::Open, 10)).expect("it answers");
    assert!(open.is_empty() || open.iter().all(|payment| !payment.paid), "{open:?}");

    // Incarnations beyond what a restore makes: its own, by a call and by its status, and that of the other bank.
    for (name, group) in [("evil", GROUP), ("alpha", GROUP)] {
        let request = proto::RegisterBankRequest {
            name: name.to_owned(),
            group: Some(uuid(group)),
            epoch: u32::MAX,
            last_number: u64::MAX,
        };
        let told = town.raw(|mut gateway| async move { gateway.register_bank(request).await });
        let code = told.as_ref().err().and_then(Problem::code_of);
        let expected = if name == "evil" { Code::EpochTooFar } else { Code::NameTaken };
        assert_eq!(code, Some(expected), "{told:?}");
    }

    // "Held" without a hold: it is believed about its own side, so it owes what its customers send, up to its cap.
    town.liar.says(FindingKind::Held);
    let carol = town.sign_in("carol@alpha");
    let mut sent = 0;
    for _ in 0..5 {
        let gift = order(new_payment_id(), "mallory@evil", "carol@alpha", 40_00);
        match town.pay(&mallory, &gift) {
            Standing::Paid { .. } => sent += 40_00,
            other => assert_eq!(refused_for(&other), "cap_exceeded"),
        }
    }
    assert_eq!(sent, 80_00, "a third would pass the cap");
    let (owed, reserved) = town.evil_owes();
    assert!(owed == 80_00 && owed + reserved <= 100_00, "owed {owed}, reserved {reserved}");
    until("carol has it", || (town.balance(&carol) == OPENING + 80_00).then_some(()));
    assert!(town.liar.lies().committed > 0, "it was told that they are paid");

    // Told to post, it says that it knows nothing of what it said to hold: listed, shown and found by the audit.
    town.liar.says(FindingKind::NotFound);
    let denied = until("what it denies is listed", || {
        let (listed, _) = town.runtime.block_on(operator.payments(PaymentsWanted::Listed, 10)).ok()?;
        let of_gifts = |payment: &&OpenPayment| payment.paid && payment.terms.amount.minor() == 40_00;
        let denied: Vec<OpenPayment> = listed.iter().filter(of_gifts).cloned().collect();
        let says = "bank evil says that it knows nothing of it, though it is paid";
        (denied.len() == 2 && denied.iter().all(|payment| payment.contradiction == says)).then_some(denied)
    });
    let id = denied[0].terms.id.to_string();
    town.gateway_node.says(&["contradiction", &id]);
    let shown = stdout(&run(&["payments", "show", &id, "--gateway", &town.gateway_grpc]));
    assert!(shown.contains("bank evil says that it knows nothing of it"), "{shown}");
    let metrics = format!("{}/metrics", town.gateway_node.url());
    until("the metrics count both, and no void that it takes for granted", || {
        let (_, figures) = crate::http::call("GET", &metrics, None).ok()?;
        figures.contains("rialto_payments_contradicted 2\n").then_some(())
    });

    // Honest business goes on, to the cent, and the honest bank's books are those of the gateway.
    assert!(paid(&town.pay(&alice, &order(new_payment_id(), "alice@alpha", "carol@alpha", 12_50))));
    assert_eq!(town.balance(&alice), OPENING - 12_50, "what alice did not order has not left");
    assert_eq!(town.balance(&carol), OPENING + 80_00 + 12_50);
    let audit = run(&["audit", "--url", &town.alpha.url(), "--gateway", &town.gateway_grpc]);
    let said = stdout(&audit);
    assert!(said.contains("within bank alpha: 1 payment, each booked once for its amount"), "{said}");
    let found =
        format!("payment {id}, 40.00 EUR from mallory@evil to carol@alpha: bank evil says that it knows nothing");
    assert!(said.contains(&found) && said.ends_with("NOT proved to be in order\n"), "{said}");
}

#[test]
fn a_bank_that_asks_without_end_is_told_to_wait_and_slows_no_other() {
    let town = Neighbours::start("asking-bank");
    let set = run(&["settings", "asked-per-bank", "1", "20", "--gateway", &town.gateway_grpc]);
    assert!(set.status.success(), "{}", stdout(&set));
    let unordered = |payer: &str, payee: &str| message(&order(new_payment_id(), payer, payee, 1));
    let ask = |bank: &str, payment: proto::Payment| {
        let asked = proto::ResolvePaymentRequest { bank: bank.to_owned(), payment: Some(payment) };
        town.raw(|mut gateway| async move { gateway.resolve_payment(asked).await })
    };
    let told = until("the setting is in force and the bucket is empty", || {
        ask("evil", unordered("alice@alpha", "mallory@evil")).err()
    });
    assert_eq!(Problem::code_of(&told), Some(Code::TooManyBankCalls), "{told:?}");
    let wait = Problem::wait_of(&told).expect("it says when to come back");
    assert!(Duration::ZERO < wait && wait <= Duration::from_secs(1), "{wait:?}");

    // Its registrations come out of the same bucket, and what is refused costs nothing.
    let answered = (0..200).filter(|_| ask("evil", unordered("alice@alpha", "mallory@evil")).is_ok()).count();
    assert!(answered < 30, "{answered} of two hundred were answered");
    let request = |name: &str| {
        let group = Some(uuid(GROUP));
        proto::RegisterBankRequest { name: name.to_owned(), group, epoch: 1, last_number: 0 }
    };
    let registered = (0..20).filter_map(|_| {
        let request = request("evil");
        town.raw(|mut gateway| async move { gateway.register_bank(request).await }).err()
    });
    let refused = registered.filter(|told| Problem::code_of(told) == Some(Code::TooManyBankCalls)).count();
    assert!(refused > 10, "{refused} of twenty were refused");

    // Nobody else waits for it.
    for _ in 0..10 {
        let told = ask("alpha", unordered("alice@alpha", "mallory@evil")).expect("alpha has asked nothing yet");
        assert_eq!(told.state(), proto::PaymentState::Refused);
    }
    let alice = town.sign_in("alice@alpha");
    assert!(paid(&town.pay(&alice, &order(new_payment_id(), "alice@alpha", "carol@alpha", 12_50))));
}
