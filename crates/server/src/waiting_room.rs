//! What a node answers before it serves: while its files are read or mended, which may take minutes, and while it waits to
//! be admitted.
//!
//! Without it callers would be connected by the system and hear nothing. Here they hear at once that the node lives, that
//! it does not serve yet, and why; balancers and clients go to another node.

use crate::config::{NodeConfig, NodeError};
use crate::edge::answer::{self, Freshness, Refusal};
use crate::edge::connections::{self, Intake, Limits};
use crate::edge::drain::{After, Drain, Phase};
use crate::edge::guard::Guard;
use crate::edge::node_calls;
use crate::serve::{Doors, guard, listen};
use api::code::Code;
use api::problem::Problem;
use api::status::{NodeStatus, Role};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use certs::{Expected, Protocol};
use std::sync::Arc;

/// A caller asks again after so long.
const RETRY_MS: u64 = 1_000;

/// Why the node does not serve yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Its files are read, and what the log holds beyond the checkpoint is applied.
    Files,
    /// The same, and what is damaged is made again.
    Mending,
    /// It is no member yet.
    Admission,
}

impl Waits {
    fn problem(self) -> Problem {
        let (code, why) = match self {
            Waits::Files => (Code::Unavailable, "it reads its files"),
            Waits::Mending => (Code::Mending, "what was damaged in its files is made again"),
            Waits::Admission => (Code::Unavailable, "it waits to be admitted by the members"),
        };
        let detail = format!("this node does not serve yet: {why}; nothing was done, send it to another node");
        Problem::new(code, detail).retry_after_ms(RETRY_MS)
    }
}

/// Answers as long as it is not dropped; whoever is being answered then still is.
#[derive(Debug)]
pub(crate) struct WaitingRoom(Drain);

impl WaitingRoom {
    /// Begins to answer at both doors. To be called inside the runtime.
    pub(crate) fn open(config: &NodeConfig, doors: Doors, waits: Waits) -> Result<WaitingRoom, NodeError> {
        let server = |protocol| {
            config.tls.clone().map(|files| certs::Server::new(files, Expected::Anybody, protocol)).transpose()
        };
        let tls = server(Protocol::Grpc)?.map(Arc::new);
        let https = if config.http_tls { server(Protocol::Http)?.map(Arc::new) } else { None };
        let status = NodeStatus {
            group: config.group.clone(),
            cluster: uuid::Uuid::from_u128(config.cluster).hyphenated().to_string(),
            node: config.node,
            role: Role::Starting,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..NodeStatus::default()
        };
        let told = Told { guard: guard(config)?, status: Arc::new(status) };
        let http = Router::new()
            .route("/livez", get(node_calls::live))
            .route("/v1/status", get(state))
            .fallback(async move |request: Request| {
                connections::take_unread(request).await;
                Refusal::from(waits.problem())
            })
            .with_state(told);
        let grpc = Router::new().fallback(async move || waits.problem().to_status().into_http::<axum::body::Body>());
        let drain = Drain::default();
        // No connection outlives the answer: the next one may find the node itself.
        drain.enter(Phase::Leaving);
        let intake = Intake::new(Limits::default());
        tokio::spawn(connections::serve_http(listen(doors.0)?, http, https, intake.clone(), drain.clone()));
        tokio::spawn(connections::serve_grpc(listen(doors.1)?, grpc, tls, intake, drain.clone()));
        Ok(WaitingRoom(drain))
    }
}

impl Drop for WaitingRoom {
    fn drop(&mut self) {
        self.0.close(After::Reopened);
    }
}

/// What the node tells of itself meanwhile.
#[derive(Clone, Debug)]
struct Told {
    guard: Guard,
    status: Arc<NodeStatus>,
}

async fn state(State(told): State<Told>, request: Request) -> Result<Response, Refusal> {
    told.guard.admit_to(&request)?;
    Ok(answer::ok(&*told.status, Freshness::First))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AlsoListen;
    use std::net::{SocketAddr, TcpListener};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    fn bound() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        (listener, address)
    }

    fn config(token: Option<&str>) -> NodeConfig {
        let nowhere = "127.0.0.1:1".parse().expect("an address");
        NodeConfig {
            group: "alpha".to_owned(),
            cluster: 7,
            node: 2,
            peers: Vec::new(),
            http_of_members: Vec::new(),
            http: nowhere,
            grpc: nowhere,
            peer_listen: nowhere,
            also: AlsoListen::default(),
            data: std::path::PathBuf::new(),
            operator_token: token.map(str::to_owned),
            tls: None,
            http_tls: false,
            consul: None,
            exit_with_parent: false,
        }
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request =
            format!("{request} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 100000\r\n\r\n{}", "x".repeat(100_000));
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer, and then the end of the connection");
        answer
    }

    #[tokio::test]
    async fn whoever_comes_before_the_node_serves_hears_why_and_the_next_one_finds_the_node() {
        let ((http, address), (grpc, _)) = (bound(), bound());
        let again = http.try_clone().expect("a handle is to be had");
        let room = WaitingRoom::open(&config(None), (vec![http], vec![grpc]), Waits::Mending).expect("it opens");
        let late = ask(address, "POST /v1/transfers").await.to_ascii_lowercase();
        assert!(late.starts_with("http/1.1 503") && late.contains(r#""code":"mending""#), "{late}");
        assert!(late.contains("retry-after: 1") && late.contains("connection: close"), "{late}");
        assert!(ask(address, "GET /livez").await.starts_with("HTTP/1.1 200"), "the process lives");
        let ready = ask(address, "GET /readyz").await;
        assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
        let status = ask(address, "GET /v1/status").await;
        assert!(status.contains(r#""role":"starting""#) && status.contains(r#""ready":false"#), "{status}");

        drop(room);
        let next =
            WaitingRoom::open(&config(Some("secret")), (vec![again], vec![bound().0]), Waits::Files).expect("it opens");
        // The room before may still have taken one; its answer is as good.
        let other = async { while !ask(address, "POST /v1/transfers").await.contains(r#""code":"unavailable""#) {} };
        tokio::time::timeout(std::time::Duration::from_secs(20), other).await.expect("the next one answers");
        let status = ask(address, "GET /v1/status").await;
        assert!(status.starts_with("HTTP/1.1 401"), "the status is the operator's: {status}");
        drop(next);
    }
}
