//! Connections over TLS: dials a node, and makes sure that it is one of those that are meant.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::Uri;
use tower_service::Service;

use super::dial;

/// What the transport asks for connections. How long one may take is the endpoint's to say.
#[derive(Debug, Clone)]
pub(super) struct Dialler(pub(super) Arc<certs::Client>);

impl Service<Uri> for Dialler {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, node: Uri) -> Self::Future {
        Box::pin(secure(Arc::clone(&self.0), node))
    }
}

async fn secure(tls: Arc<certs::Client>, node: Uri) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
    let stream = dial::to(&node, 443).await?;
    // Who answers is known by the name in its certificate; its host is not looked at, nor told.
    let address = ServerName::from(stream.peer_addr()?.ip());
    let mut stream = TlsConnector::from(tls.config()).connect(address, stream).await?;
    // In TLS 1.3 a client is through before the node has looked at its certificate. The node's first word, which HTTP/2
    // gives without being asked, says that it was believed; it stays where it is for whoever reads next.
    if stream.fill_buf().await?.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(TokioIo::new(stream))
}

/// The failure of a handshake somewhere below an error: the node never saw the request then.
pub(super) fn not_believed(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut below = Some(error);
    while let Some(error) = below {
        match error.downcast_ref::<io::Error>() {
            Some(error) if certs::is_of_handshake(error) => return Some(certs::why(error)),
            Some(_) | None => below = error.source(),
        }
    }
    None
}
