//! gRPC over TLS: who gets in, what the handlers learn of them, and who is turned away.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use api::client::{Client, ClientError, Options, new_account_id};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use certs::{Authority, Expected, Protocol, Subject};
use ledger::Currency;
use server::edge::connections::{Intake, Limits, serve_grpc};
use server::edge::customers::SignIns;
use server::edge::desk::Desk;
use server::edge::drain::Drain;
use server::edge::grpc;
use server::edge::guard::Guard;
use server::edge::metrics::Metrics;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::memory_bank::MemoryBank;
use super::served::PATIENCE;

/// Who is refused tries again until its time is over.
const REFUSAL: Duration = Duration::from_secs(4);

/// A CA in a directory that goes when the test ends.
struct Network {
    dir: PathBuf,
    authority: Authority,
}

impl Network {
    fn new(test: &str) -> Network {
        let dir = std::env::temp_dir().join(format!("rialto-edge-tls-{test}-{}", std::process::id()));
        let authority = Authority::init(&dir, SystemTime::now()).expect("a new directory");
        Network { dir, authority }
    }

    fn issue(&self, subject: &str) -> certs::Files {
        let subject = subject.parse().expect("a subject");
        self.authority.issue(&subject, &[], SystemTime::now()).expect("there is none yet")
    }

    /// Somebody of this network who means to call that server.
    fn caller(&self, subject: &str, expected: Expected) -> Options {
        let tls = certs::Client::new(self.issue(subject), expected, Protocol::Grpc).expect("just issued");
        Options { tls: Some(Arc::new(tls)), deadline: PATIENCE, ..Options::default() }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Node 1 of bank alpha, and who called it.
struct Secured {
    address: SocketAddr,
    callers: Arc<Mutex<Vec<Option<Subject>>>>,
}

impl Secured {
    async fn start(network: &Network, limits: Limits) -> Secured {
        let callers = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&callers);
        let note = move |request: Request, next: Next| {
            seen.lock().expect("nobody panics with it").push(request.extensions().get::<Subject>().cloned());
            next.run(request)
        };
        let desk = Desk { bank: MemoryBank::new(), guard: Guard::default(), metrics: Metrics::new() };
        let routes = grpc::router(desk, SignIns::default()).layer(from_fn(note));
        let files = network.issue("bank/alpha/1");
        let tls = certs::Server::new(files, Expected::Anybody, Protocol::Grpc).expect("just issued");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(serve_grpc(vec![listener], routes, Some(Arc::new(tls)), Intake::new(limits), Drain::default()));
        Secured { address, callers }
    }

    async fn open_account(&self, options: Options) -> Result<(), ClientError> {
        let bank = Client::connect_with([self.address.to_string()], options).expect("an address");
        bank.open_account(new_account_id(), "Alice", Currency::EUR).await.map(drop)
    }
}

fn alpha() -> Expected {
    Expected::NodeOfBank("alpha".parse().expect("a name"))
}

/// Tries until the refusal says those words: on a busy machine a call may run out of time before a handshake is over.
async fn refused_with(node: &Secured, options: Options, words: &str) {
    let began = Instant::now();
    loop {
        let told = refusal(node.open_account(Options { deadline: REFUSAL, ..options.clone() }).await);
        if told.contains(words) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{told}");
    }
}

fn refusal(called: Result<(), ClientError>) -> String {
    match called {
        Err(ClientError::Unavailable { last }) => last,
        other => panic!("nothing was proposed, and it was told otherwise: {other:?}"),
    }
}

#[tokio::test]
async fn a_handler_learns_who_calls() {
    let network = Network::new("caller");
    let node = Secured::start(&network, Limits::default()).await;
    node.open_account(network.caller("operator/anna", alpha())).await.expect("opened");
    let callers = node.callers.lock().expect("nobody panics with it").clone();
    assert_eq!(callers, [Some("operator/anna".parse().expect("a subject"))]);
}

#[tokio::test]
async fn who_has_no_certificate_of_this_network_is_told_so_and_nothing_is_done() {
    let (network, others) = (Network::new("refused"), Network::new("others"));
    let node = Secured::start(&network, Limits::default()).await;
    refused_with(&node, others.caller("gateway/main/1", alpha()), "its certificate is of another CA").await;
    // It trusts this network, and shows a certificate of another one.
    let mixed = others.issue("client");
    let good = certs::Files::new(&network.dir, Subject::Client).authority();
    std::fs::write(
        mixed.authority(),
        [good, mixed.authority()].map(|ca| std::fs::read(ca).expect("it is there")).concat(),
    )
    .expect("written");
    let mixed = certs::Client::new(mixed, alpha(), Protocol::Grpc).expect("both are trusted");
    let options = Options { tls: Some(Arc::new(mixed)), ..Options::default() };
    refused_with(&node, options, "it does not trust the CA of the certificate that it was shown").await;
    let in_plain_text = Options { deadline: Duration::from_millis(500), ..Options::default() };
    assert!(node.open_account(in_plain_text).await.is_err());
    assert!(node.callers.lock().expect("nobody panics with it").is_empty(), "a call came through");
}

#[tokio::test]
async fn a_client_speaks_only_to_the_bank_that_it_means() {
    let network = Network::new("meant");
    let node = Secured::start(&network, Limits::default()).await;
    let beta = Expected::NodeOfBank("beta".parse().expect("a name"));
    refused_with(&node, network.caller("client", beta), "it is bank/alpha/1, and not a node of bank beta").await;
    assert!(node.callers.lock().expect("nobody panics with it").is_empty(), "a call came through");
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_ends_and_keeps_nobody_out() {
    let network = Network::new("silent");
    let limits = Limits { connections_max: 4, header_timeout: Duration::from_secs(2), ..Limits::default() };
    let node = Secured::start(&network, limits).await;
    let mut silent = Vec::new();
    for _ in 0..32 {
        silent.push(TcpStream::connect(node.address).await.expect("accepted"));
    }
    node.open_account(network.caller("operator/anna", alpha())).await.expect("opened");
    for mut stream in silent {
        let ended = tokio::time::timeout(PATIENCE, stream.read(&mut [0])).await;
        assert!(ended.is_ok(), "still open after a minute");
    }
}
