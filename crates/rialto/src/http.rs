//! A tiny HTTP/1.1 client for a node's own pages: one connection, kept open, one request at a time.
//!
//! Answers are bounded in size and time, so a stranger on a node's port cannot hang or fill the caller.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::client::dial;
use api::client::words::in_our_words;
use api::cluster::CLUSTER_HEADER;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::network::cluster::Cluster;
use crate::plain::cell;

const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Where a node (or a balancer) answers HTTP.
#[derive(Clone)]
pub(crate) struct Address {
    host: String,
    /// All that the name stands for, in the order in which they are tried.
    sockets: Vec<SocketAddr>,
    /// With one, it is spoken to over TLS, and must have a certificate for its name.
    secured: Option<(TlsConnector, ServerName<'static>)>,
}

impl PartialEq for Address {
    fn eq(&self, other: &Address) -> bool {
        (&self.host, &self.sockets, self.secured.is_some()) == (&other.host, &other.sockets, other.secured.is_some())
    }
}

impl Eq for Address {}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.secured.is_some() { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)
    }
}

/// What became of a request, in words that end a sentence "node 2 does not answer: …".
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("{}", certs::why(.0))]
    Connect(std::io::Error),
    #[error("nothing came within {}", seconds(.0))]
    TooSlow(Duration),
    #[error("{}", broken(.0))]
    Broken(hyper::Error),
    /// Nothing was sent. What others said may be part of a path.
    #[error("no request can be made of that: {0}")]
    Unsendable(hyper::http::Error),
    #[error("its answer could not be read: {}", unread(.0.as_ref()))]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

/// As people say it: short times in milliseconds.
fn seconds(time: &Duration) -> String {
    if time.as_secs() < 10 { format!("{} ms", time.as_millis()) } else { format!("{} s", time.as_secs()) }
}

/// A connection that was made and did not bring an answer.
fn broken(error: &hyper::Error) -> String {
    if error.is_parse() || error.is_parse_too_large() {
        return "it does not speak HTTP there; is that its port for HTTP, and is it https?".to_owned();
    }
    in_our_words(error)
}

fn unread(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    if error.is::<LengthLimitError>() { "it is too long".to_owned() } else { in_our_words(error) }
}

/// Status and body of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Why there was no success: the sentence of a Rialto node, or else the status of whatever answers there.
    pub(crate) fn refusal(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Problem {
            detail: String,
        }
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) if !problem.detail.trim().is_empty() => cell(&problem.detail).into_owned(),
            Ok(_) | Err(_) => format!("it answered with HTTP status {}", self.status),
        }
    }

    /// Whether whoever answers could not do it now: it is busy, or nobody leads.
    pub(crate) fn is_later(&self) -> bool {
        [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT]
            .contains(&self.status)
    }
}

/// Whether somebody who was asked in vain has said why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It refused for good, or is no Rialto node.
    Answered,
    /// It cannot be reached, or can answer nothing now.
    Nobody,
}

/// Why an address could not be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadAddress {
    #[error("`{0}` begins with neither http:// nor https://")]
    NotHttp(String),
    #[error("`{0}` needs the certificate of the network's CA: give --ca FILE, or RIALTO_CA")]
    NoAuthority(String),
    #[error("`{0}` does not resolve to an address: {1}")]
    Unresolved(String, String),
}

impl Address {
    /// Understands `http://host:port`, with or without a path, which is ignored.
    pub(crate) fn parse(url: &str) -> Result<Address, BadAddress> {
        Address::parse_with(url, None)
    }

    /// The same, and `https://host:port` for whoever knows the CA.
    pub(crate) fn parse_with(url: &str, authority: Option<&Arc<ClientConfig>>) -> Result<Address, BadAddress> {
        let (rest, is_secured) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (rest, false),
            (None, Some(rest)) => (rest, true),
            (None, None) => return Err(BadAddress::NotHttp(url.to_owned())),
        };
        let config = authority.filter(|_| is_secured);
        if is_secured && config.is_none() {
            return Err(BadAddress::NoAuthority(url.to_owned()));
        }
        let authority = rest.split('/').next().unwrap_or(rest);
        let port = if is_secured { 443 } else { 80 };
        // The colons of an IPv6 address are within brackets.
        let has_port = authority.rfind(':') > authority.rfind(']');
        let with_port = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
        let unresolved = |why: String| BadAddress::Unresolved(authority.to_owned(), why);
        let sockets = dial::in_turn(with_port.to_socket_addrs().map_err(|error| unresolved(error.to_string()))?);
        if sockets.is_empty() {
            return Err(unresolved("the name has no address".to_owned()));
        }
        let secured = match config {
            None => None,
            Some(config) => {
                let host = with_port.rsplit_once(':').map_or(authority, |(host, _)| host);
                let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
                let name = name.map_err(|error| BadAddress::Unresolved(host.to_owned(), error.to_string()))?;
                Some((TlsConnector::from(Arc::clone(config)), name))
            }
        };
        Ok(Address { host: authority.to_owned(), sockets, secured })
    }
}

impl Address {
    /// Whether it is spoken to over TLS.
    pub(crate) fn is_secured(&self) -> bool {
        self.secured.is_some()
    }
}

impl From<SocketAddr> for Address {
    fn from(socket: SocketAddr) -> Address {
        Address { host: socket.to_string(), sockets: vec![socket], secured: None }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.host)
    }
}

/// The cluster that a command began with: known from the start, or learned from the first node that answers. From then on
/// every call of the command says that it is meant for this one, and nodes of another refuse it. A clone is the same pin.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pin(Arc<OnceLock<Cluster>>);

impl Pin {
    /// The cluster is known already.
    pub(crate) fn to(cluster: Cluster) -> Pin {
        let pin = Pin::default();
        pin.learn(cluster);
        pin
    }

    pub(crate) fn cluster(&self) -> Option<Cluster> {
        self.0.get().copied()
    }

    /// The first cluster that is met counts, whatever comes later.
    pub(crate) fn learn(&self, cluster: Cluster) {
        let _ = self.0.set(cluster);
    }

    fn learn_from(&self, headers: &HeaderMap) {
        if let Some(cluster) = named_in(headers) {
            self.learn(cluster);
        }
    }
}

/// The cluster that an answer says it comes from.
fn named_in(headers: &HeaderMap) -> Option<Cluster> {
    headers.get(CLUSTER_HEADER)?.to_str().ok()?.parse().ok()
}

/// One node's HTTP, asked again and again.
#[derive(Debug)]
pub(crate) struct Client {
    address: Address,
    token: Option<HeaderValue>,
    pin: Option<Pin>,
    connection: Option<SendRequest<Full<Bytes>>>,
    /// The cluster that the last answer named as its own.
    named: Option<Cluster>,
}

impl Client {
    pub(crate) fn new(address: Address) -> Client {
        Client { address, token: None, pin: None, connection: None, named: None }
    }

    /// Sends the operator's token along.
    pub(crate) fn with_token(mut self, token: Option<HeaderValue>) -> Client {
        self.token = token;
        self
    }

    /// Says with every call which cluster it is meant for, once that is known.
    pub(crate) fn with_pin(mut self, pin: &Pin) -> Client {
        self.pin = Some(pin.clone());
        self
    }

    /// Whether the last answer said that it comes from the cluster that the calls are meant for. That is known of answers
    /// without success too.
    pub(crate) fn met_its_cluster(&self) -> bool {
        let meant = self.pin.as_ref().and_then(Pin::cluster);
        meant.is_some() && self.named == meant
    }

    pub(crate) async fn get(&mut self, path: &str, patience: Duration) -> Result<Answer, HttpError> {
        self.ask(Method::GET, path, None, patience).await
    }

    /// One request, connecting first if need be. A kept connection that turns out to be closed is replaced once;
    /// that is safe for requests that may be sent twice, and everything here may.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        json: Option<String>,
        patience: Duration,
    ) -> Result<Answer, HttpError> {
        let kept = self.connection.is_some();
        let asked = async {
            match self.ask_once(method.clone(), path, json.clone()).await {
                Err(HttpError::Broken(_)) if kept => self.ask_once(method, path, json).await,
                other => other,
            }
        };
        let answer = timeout(patience, asked).await.unwrap_or(Err(HttpError::TooSlow(patience)));
        if answer.is_err() {
            // An answer that comes after all must not be taken for the next one's.
            self.connection = None;
        }
        answer
    }

    async fn ask_once(&mut self, method: Method, path: &str, json: Option<String>) -> Result<Answer, HttpError> {
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            Some(_) | None => connect(&self.address).await?,
        };
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.address.host);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(cluster) = self.pin.as_ref().and_then(Pin::cluster) {
            request = request.header(CLUSTER_HEADER, cluster.to_string());
        }
        if json.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(json.unwrap_or_default()));
        let request = request.body(body).map_err(HttpError::Unsendable)?;
        connection.ready().await.map_err(HttpError::Broken)?;
        let response = connection.send_request(request).await.map_err(HttpError::Broken)?;
        let status = response.status();
        self.named = named_in(response.headers());
        if let Some(pin) = self.pin.as_ref().filter(|_| status.is_success()) {
            pin.learn_from(response.headers());
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(HttpError::Body)?;
        self.connection = Some(connection);
        Ok(Answer { status, body: body.to_bytes() })
    }
}

async fn connect(address: &Address) -> Result<SendRequest<Full<Bytes>>, HttpError> {
    let stream = dial::race(address.sockets.clone()).await.map_err(HttpError::Connect)?;
    stream.set_nodelay(true).map_err(HttpError::Connect)?;
    match &address.secured {
        None => shake_hands(stream).await,
        Some((connector, name)) => {
            shake_hands(connector.connect(name.clone(), stream).await.map_err(HttpError::Connect)?).await
        }
    }
}

async fn shake_hands(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>, HttpError> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(HttpError::Broken)?;
    // Ends by itself when either side closes; what went wrong is seen by whoever waits for an answer.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_nodes_own_words_where_there_are_any() {
        let said = |body: &'static str| Answer { status: StatusCode::FORBIDDEN, body: Bytes::from(body) }.refusal();
        let problem = r#"{"code":"forbidden_host","detail":"the Host `gw:7101` is not this machine"}"#;
        assert_eq!(said(problem), "the Host `gw:7101` is not this machine");
        for other in ["", "<html>", "{}", r#"{"detail":" "}"#, r#"{"detail":7}"#] {
            assert_eq!(said(other), "it answered with HTTP status 403 Forbidden", "{other}");
        }
        assert_eq!(said("{\"detail\":\"one\\ntwo\"}"), "one\\u000atwo", "it stays one line");
    }

    #[test]
    fn an_address_says_what_is_wrong_with_it() {
        assert_eq!(
            Address::parse("http://127.0.0.1:7101/").map(|a| a.to_string()).ok().as_deref(),
            Some("127.0.0.1:7101")
        );
        let sockets = |url: &str| Address::parse(url).map(|address| address.sockets).expect("an address");
        assert_eq!(sockets("http://[::1]"), ["[::1]:80".parse().expect("an address")]);
        assert_eq!(sockets("http://[::1]:7101/v1"), ["[::1]:7101".parse().expect("an address")]);
        let no_tls = Address::parse("https://127.0.0.1:7101").expect_err("there are no certificates");
        assert!(no_tls.to_string().contains("--ca FILE"), "{no_tls}");
        let other = Address::parse("ftp://127.0.0.1:7101").expect_err("none of ours");
        assert!(other.to_string().contains("neither http:// nor https://"), "{other}");
    }

    #[tokio::test]
    async fn where_the_first_address_of_a_name_refuses_the_next_answers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let there = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("somebody calls");
            let mut head = [0; 1024];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut head).await;
            let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
        });
        let refusing = SocketAddr::from(([127, 0, 0, 7], there.port()));
        let address = Address { host: "localhost".to_owned(), sockets: vec![refusing, there], secured: None };
        let answer = Client::new(address).get("/", Duration::from_secs(10)).await.expect("one listens");
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }

    #[tokio::test]
    async fn a_path_that_is_none_is_refused_and_nothing_is_sent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let mut client = Client::new(listener.local_addr().expect("it is bound").into());
        for path in ["/v1/transfers/x y", "/v1/\r\nhost: b", "/\u{1b}"] {
            let refused = client.get(path, Duration::from_secs(5)).await.expect_err("it is no path");
            assert!(matches!(refused, HttpError::Unsendable(_)), "{path:?}: {refused}");
        }
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_reads_as_such() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        drop(listener);
        let error = Client::new(address.into()).get("/", Duration::from_secs(5)).await.expect_err("nobody listens");
        assert_eq!(error.to_string(), "connection refused, nothing listens there");
    }
}
