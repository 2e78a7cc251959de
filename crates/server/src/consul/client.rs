//! Consul's HTTP API, as much of it as is used here (<https://developer.hashicorp.com/consul/api-docs>).
//!
//! Each request has a connection of its own and an end in time; answers are bounded.

use api::client::words::in_our_words;
use api::client::{Secret, dial};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

/// Some 25,000 registrations, as Consul writes them: also a list that others have filled is read to its end.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// A request that waits for nothing.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where Consul is, and what it is shown.
#[derive(Clone, Debug)]
pub struct ConsulConfig {
    /// `http://host:port`, or `https://host:port` with `ca`.
    pub url: String,
    /// An ACL token: `service:write` for rialto-bank and rialto-gateway, `key:write` below cert/, `node:read`.
    pub token: Option<Secret>,
    /// The certificate, PEM, of who signed Consul's own: its CA, not the network's.
    pub ca: Option<PathBuf>,
    /// How it is found out whether a node is well.
    pub check: Check,
}

/// How Consul finds out whether a node is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// The node says so, every two seconds.
    #[default]
    Ttl,
    /// The agent asks it, by the health protocol of gRPC. Where nodes speak TLS the agent needs a certificate of theirs.
    Grpc,
}

/// Why Consul gave no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ConsulError {
    #[error("{0}")]
    Config(String),
    #[error("Consul at {at} cannot be reached: {why}")]
    Away { at: String, why: String },
    #[error("Consul at {at} refused {what}: {status} {said}")]
    Refused { at: String, what: String, status: StatusCode, said: String },
}

/// The way to one Consul agent.
#[derive(Clone)]
pub struct Consul {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    token: Option<HeaderValue>,
}

impl std::fmt::Debug for Consul {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consul").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// What Consul said.
pub(super) struct Answer {
    pub(super) body: Bytes,
    /// Of a query that can wait: what to wait for a change of.
    pub(super) index: u64,
}

impl Consul {
    /// Connects when it is first asked something.
    ///
    /// # Errors
    /// When the address, the token or the CA cannot be used.
    pub fn new(config: &ConsulConfig) -> Result<Consul, ConsulError> {
        let wrong = |why: String| ConsulError::Config(format!("{}: {why}", config.url));
        let (rest, secured) = match (config.url.strip_prefix("http://"), config.url.strip_prefix("https://")) {
            (Some(rest), _) => (rest, false),
            (None, Some(rest)) => (rest, true),
            (None, None) => return Err(wrong("write it like http://127.0.0.1:8500".to_owned())),
        };
        let authority = rest.trim_end_matches('/');
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, if secured { "443" } else { "8500" }));
        let port = port.parse().map_err(|_| wrong(format!("{port:?} is no port")))?;
        if host.is_empty() || host.contains('/') {
            return Err(wrong("it names no host".to_owned()));
        }
        let tls = secured.then(|| tls(host, config.ca.as_deref())).transpose()?;
        let token = config.token.as_ref().map(|token| {
            let mut value =
                HeaderValue::from_str(token.expose()).map_err(|_| wrong("the token is no token".to_owned()))?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Consul { host: host.to_owned(), port, tls, token: token.transpose()? })
    }

    fn at(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub(super) async fn get(&self, path: &str, waits: Duration) -> Result<Answer, ConsulError> {
        self.ask(Method::GET, path, String::new(), PATIENCE + waits).await
    }

    pub(super) async fn put(&self, path: &str, body: String) -> Result<(), ConsulError> {
        self.ask(Method::PUT, path, body, PATIENCE).await.map(drop)
    }

    async fn ask(&self, method: Method, path: &str, body: String, patience: Duration) -> Result<Answer, ConsulError> {
        let what = format!("{method} {}", path.split('?').next().unwrap_or(path));
        let away = |why: String| ConsulError::Away { at: self.at(), why };
        let exchanged = tokio::time::timeout(patience, self.exchange(method, path, body)).await;
        let (status, index, body) =
            exchanged.map_err(|_| away(format!("no answer within {} s", patience.as_secs())))?.map_err(away)?;
        if status.is_success() {
            return Ok(Answer { body, index });
        }
        let said: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        Err(ConsulError::Refused { at: self.at(), what, status, said })
    }

    async fn exchange(&self, method: Method, path: &str, body: String) -> Result<(StatusCode, u64, Bytes), String> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.at());
        if let Some(token) = &self.token {
            request = request.header("x-consul-token", token);
        }
        let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| error.to_string())?;
        let tcp = dial::dial(&self.host, self.port).await.map_err(|error| certs::why(&error))?;
        match &self.tls {
            None => over(tcp, request).await,
            Some((connector, name)) => {
                let io = connector.connect(name.clone(), tcp).await.map_err(|error| certs::why(&error))?;
                over(io, request).await
            }
        }
    }
}

async fn over<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    io: T,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, u64, Bytes), String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(|error| broken(&error))?;
    let carried = tokio::spawn(connection);
    let answered = sender.send_request(request).await.map_err(|error| broken(&error));
    let read = async {
        let answer = answered?;
        let index = answer.headers().get("x-consul-index").and_then(|index| index.to_str().ok()?.parse().ok());
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, index.unwrap_or(0), body.map_err(|error| unread(error.as_ref()))?.to_bytes()))
    };
    let read = read.await;
    carried.abort();
    read
}

/// A connection that was made and did not bring an answer.
fn broken(error: &hyper::Error) -> String {
    if error.is_parse() || error.is_parse_too_large() {
        return "it does not speak HTTP there; is that its port for HTTP, and is it https?".to_owned();
    }
    in_our_words(error)
}

fn unread(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    if error.is::<LengthLimitError>() { "its answer is too long".to_owned() } else { in_our_words(error) }
}

/// Consul's own certificate must be of that CA, and for that host.
fn tls(host: &str, ca: Option<&Path>) -> Result<(TlsConnector, ServerName<'static>), ConsulError> {
    let wrong = ConsulError::Config;
    let path = ca.ok_or_else(|| wrong("https needs the certificate of Consul's CA (--consul-ca)".to_owned()))?;
    let unusable = |why: String| wrong(format!("{}: {why}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong(format!("{host:?} is no host's name")))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn that_consul_is_away_is_told_without_the_systems_numbers() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let at = listener.local_addr().expect("it is bound");
        let config = ConsulConfig { url: format!("http://{at}"), token: None, ca: None, check: Check::Ttl };
        let consul = Consul::new(&config).expect("good");
        // Whatever is said there is no HTTP, and the connection ends.
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody calls");
            std::io::Write::write_all(&mut stream, b"220 mail.example.com\r\n\r\n").expect("it listens");
        });
        let told = |asked: Result<Answer, ConsulError>| asked.map(|_| ()).expect_err("no Consul is there").to_string();
        let foreign = told(consul.get("/v1/status/leader", Duration::ZERO).await);
        answering.join().expect("it does not panic");
        assert!(!foreign.contains("os error") && !foreign.contains("HTTP version"), "{foreign}");
        let refused = told(consul.get("/v1/status/leader", Duration::ZERO).await);
        let words = format!("Consul at {at} cannot be reached: connection refused, nothing listens there");
        assert_eq!(refused, words);
    }

    #[test]
    fn an_address_that_cannot_be_used_says_why() {
        let of =
            |url: &str| Consul::new(&ConsulConfig { url: url.to_owned(), token: None, ca: None, check: Check::Ttl });
        assert_eq!(of("http://127.0.0.1:8500/").expect("good").at(), "127.0.0.1:8500");
        assert_eq!(of("http://consul").expect("good").at(), "consul:8500");
        for (url, why) in [
            ("127.0.0.1:8500", "write it like"),
            ("http://consul:port", "no port"),
            ("http://", "names no host"),
            ("https://consul:8501", "--consul-ca"),
        ] {
            let said = of(url).expect_err("not usable").to_string();
            assert!(said.contains(why), "{url}: {said}");
        }
    }
}
