//! A bank in memory behind both wires, on ports of its own.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use server::edge::connections::{Limits, serve_grpc, serve_http};
use server::edge::desk::Desk;
use server::edge::guard::{Guard, OperatorToken};
use server::edge::metrics::Metrics;
use server::edge::{grpc, router};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::memory_bank::MemoryBank;
use super::raw_http::{Reply, ask};

pub(super) struct Served {
    pub(super) bank: MemoryBank,
    pub(super) http: SocketAddr,
    pub(super) grpc: SocketAddr,
    pub(super) stop: watch::Sender<bool>,
    pub(super) tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Served {
    pub(super) async fn start() -> Served {
        Served::with(Guard::default(), Limits::default()).await
    }

    pub(super) async fn with_token(token: &str) -> Served {
        Served::with(Guard::new(OperatorToken::new(token)), Limits::default()).await
    }

    pub(super) async fn with(guard: Guard, limits: Limits) -> Served {
        let bank = MemoryBank::new();
        let desk = Desk { bank: bank.clone(), guard, metrics: Metrics::new() };
        let (stop, stopped) = watch::channel(false);
        let http = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let grpc_listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addresses = (http.local_addr().expect("bound"), grpc_listener.local_addr().expect("bound"));
        // What a real node serves beside the calls: here only the places.
        let page = ["/", "/assets/{name}", "/events", "/v1/audit"];
        let page = page.into_iter().fold(Router::new(), |page, path| page.route(path, get(async || "")));
        let routes = router::router(desk.clone(), page);
        let tasks = vec![
            tokio::spawn(serve_http(http, routes, None, limits, stopped.clone())),
            tokio::spawn(serve_grpc(grpc_listener, grpc::router(desk), None, limits, stopped)),
        ];
        Served { bank, http: addresses.0, grpc: addresses.1, stop, tasks }
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
    for _ in 0..2000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("ten seconds have passed and still not: {what}");
}
