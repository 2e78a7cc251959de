//! Both ends of a connection as rustls wants them: TLS 1.3, certificates on both sides, nothing resumed.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::expected::{Expected, subject_in};
use crate::failure::CertsError;
use crate::files::{Files, Loaded, provider};
use crate::fresh::Fresh;
use crate::pem;
use crate::subject::Subject;
use crate::verify::{OfClients, OfServers};

/// What is spoken inside. Both sides name it (ALPN), so bytes meant for one wire are never taken on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC: HTTP/2.
    Grpc,
    /// Members of a group among themselves.
    Peers,
    /// HTTP/1.1, for browsers and whoever else has no certificate: who calls shows a token.
    Http,
}

impl Protocol {
    fn name(self) -> Vec<u8> {
        match self {
            Protocol::Grpc => b"h2".to_vec(),
            Protocol::Peers => b"rialto-peer".to_vec(),
            Protocol::Http => b"http/1.1".to_vec(),
        }
    }
}

/// The side that is called.
#[derive(Debug)]
pub struct Server(pub(crate) Fresh<ServerConfig>);

/// The side that calls.
#[derive(Debug)]
pub struct Client(Fresh<ClientConfig>);

impl Server {
    /// Shows this certificate, and takes callers that are expected.
    ///
    /// # Errors
    /// When a file is missing or damaged, or when they do not belong together.
    pub fn new(files: Files, expected: Expected, protocol: Protocol) -> Result<Server, CertsError> {
        Fresh::new(files, move |loaded| server(loaded, &expected, protocol)).map(Server)
    }

    /// For one new connection: with the certificate that lies there now.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.current()
    }

    pub fn files(&self) -> &Files {
        self.0.files()
    }
}

impl Client {
    /// Shows this certificate, and speaks only to a server that is expected.
    ///
    /// # Errors
    /// When a file is missing or damaged, or when they do not belong together.
    pub fn new(files: Files, expected: Expected, protocol: Protocol) -> Result<Client, CertsError> {
        Fresh::new(files, move |loaded| client(loaded, &expected, protocol)).map(Client)
    }

    /// For one new connection: with the certificate that lies there now. The host that rustls asks for is not looked at.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.0.current()
    }

    pub fn files(&self) -> &Files {
        self.0.files()
    }
}

/// A caller without a certificate, as a browser is one: whom it calls must have one of that CA, for the host that was meant.
///
/// # Errors
/// When the CA's file is missing or damaged.
pub fn web_client(authority: &Path) -> Result<Arc<ClientConfig>, CertsError> {
    let roots = pem::read_certificates(authority)?;
    let roots = roots.ok_or_else(|| CertsError::NoAuthority { path: authority.to_owned() })?;
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root).map_err(|error| pem::damaged(authority, &error.to_string()))?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(CertsError::refused("speaking TLS 1.3"))?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![Protocol::Http.name()];
    Ok(Arc::new(config))
}

/// Who is on the other side, once the handshake is through; `None` before that.
pub fn subject_of(shown: Option<&[CertificateDer<'_>]>) -> Option<Subject> {
    subject_in(shown?.first()?)
}

fn server(loaded: &Loaded, expected: &Expected, protocol: Protocol) -> Result<ServerConfig, CertsError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(CertsError::refused("speaking TLS 1.3"))?;
    let builder = match protocol {
        Protocol::Http => builder.with_no_client_auth(),
        Protocol::Grpc | Protocol::Peers => {
            builder.with_client_cert_verifier(Arc::new(OfClients::new(Arc::clone(&loaded.roots), expected.clone())?))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&loaded.own))));
    config.alpn_protocols = vec![protocol.name()];
    // A resumed connection would go on with the certificates of the one before it.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client(loaded: &Loaded, expected: &Expected, protocol: Protocol) -> Result<ClientConfig, CertsError> {
    let servers = OfServers::new(Arc::clone(&loaded.roots), expected.clone());
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(CertsError::refused("speaking TLS 1.3"))?
        // Dangerous is a verifier that believes too much; this one asks for all that the usual one does but the host.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(servers))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&loaded.own))));
    config.alpn_protocols = vec![protocol.name()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(config)
}
