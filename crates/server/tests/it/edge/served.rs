//! A bank in memory behind both wires, on ports of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use server::edge::connections::{Intake, Limits, serve_grpc, serve_http};
use server::edge::customers::SignIns;
use server::edge::desk::Desk;
use server::edge::drain::Drain;
use server::edge::guard::{Guard, OperatorToken};
use server::edge::metrics::Metrics;
use server::edge::{grpc, router};
use tokio::net::TcpListener;

use super::memory_bank::MemoryBank;
use super::raw_http::{Reply, ask};

/// How long what must come may take on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Served {
    pub(super) bank: MemoryBank,
    pub(super) http: SocketAddr,
    pub(super) grpc: SocketAddr,
    pub(super) intake: Intake,
    pub(super) drain: Drain,
    pub(super) tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Served {
    pub(super) async fn start() -> Served {
        Served::with(Guard::default(), Limits::default()).await
    }

    pub(super) async fn with_token(token: &str) -> Served {
        Served::with(Guard::new(OperatorToken::new(token)), Limits::default()).await
    }

    pub(super) async fn of_cluster(cluster: u128) -> Served {
        Served::with(Guard::default().of_cluster(cluster), Limits::default()).await
    }

    pub(super) async fn with(guard: Guard, limits: Limits) -> Served {
        let bank = MemoryBank::new();
        let desk = Desk { bank: bank.clone(), guard, metrics: Metrics::new() };
        let (intake, drain) = (Intake::new(limits), Drain::default());
        let http = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let grpc_listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addresses = (http.local_addr().expect("bound"), grpc_listener.local_addr().expect("bound"));
        // What a real node serves beside the calls: here only the places.
        let page = ["/", "/assets/{name}", "/events", "/v1/audit"];
        let page = page.into_iter().fold(Router::new(), |page, path| page.route(path, get(async || "")));
        let routes = router::router(desk.clone(), &SignIns::default(), page);
        let tasks = vec![
            tokio::spawn(serve_http(vec![http], routes, None, intake.clone(), drain.clone())),
            tokio::spawn(serve_grpc(
                vec![grpc_listener],
                grpc::router(desk, SignIns::default()),
                None,
                intake.clone(),
                drain.clone(),
            )),
        ];
        Served { bank, http: addresses.0, grpc: addresses.1, intake, drain, tasks }
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Reply {
        ask(self.http, "POST", path, &[("content-type", "application/json")], body.as_bytes()).await
    }

    pub(super) async fn post_keyed(&self, path: &str, key: &str, body: &str) -> Reply {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        ask(self.http, "POST", path, &headers, body.as_bytes()).await
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        ask(self.http, "GET", path, &[], b"").await
    }

    /// Opens an account by the first call and gives its id.
    pub(super) async fn open(&self) -> String {
        self.post("/open_account", "").await.text("account_id")
    }

    /// An account with that much on it.
    pub(super) async fn rich(&self, amount: &str) -> String {
        let id = self.open().await;
        let reply = self.post("/deposit_money", &format!(r#"{{"account_id":"{id}","amount":"{amount}"}}"#)).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        id
    }

    /// The balance as the digits that were sent.
    pub(super) async fn balance(&self, id: &str) -> String {
        self.get(&format!("/check_account?account_id={id}")).await.body
    }
}

/// Waits for something that must come to be.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "a minute has passed and still not: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
