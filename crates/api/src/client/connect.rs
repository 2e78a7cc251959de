//! The one place where the client makes a connection, to a bank's node or the gateway's.

use std::sync::Arc;
use std::time::Duration;

use tonic::transport::Endpoint;

use super::dial;
use super::once::{Life, Once};
use super::road::Road;
use super::secured::Dialler;

/// Shorter than any attempt may take, so that an attempt that never got a connection is known for what it is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection to `host:port` or `http://host:port`, made when the first call needs it and again when it broke. With `tls`
/// it is to a node that is meant, or none; then the address may also be `https://host:port`.
pub(super) fn channel(address: &str, tls: Option<&Arc<certs::Client>>) -> Result<Road, String> {
    let endpoint = endpoint(address, tls)?;
    let channel = match tls {
        Some(tls) => endpoint.connect_with_connector_lazy(Dialler(Arc::clone(tls))),
        None => endpoint.connect_with_connector_lazy(dial::Plain),
    };
    Ok(Road::new(channel, address))
}

/// How single connections to an address are made, each of which ends when it breaks.
#[derive(Debug)]
pub(super) struct Singly {
    address: String,
    endpoint: Endpoint,
    tls: Option<Arc<certs::Client>>,
}

impl Singly {
    /// Addresses are as in [`channel`].
    pub(super) fn new(address: &str, tls: Option<&Arc<certs::Client>>) -> Result<Singly, String> {
        Ok(Singly { address: address.to_owned(), endpoint: endpoint(address, tls)?, tls: tls.cloned() })
    }

    /// A connection that is made when the first call needs it, and never again.
    pub(super) fn once(&self) -> (Road, Life) {
        let life = Life::default();
        let channel = match &self.tls {
            Some(tls) => self.endpoint.connect_with_connector_lazy(Once::new(Dialler(Arc::clone(tls)), &life)),
            None => self.endpoint.connect_with_connector_lazy(Once::new(dial::Plain, &life)),
        };
        (Road::new(channel, &self.address), life)
    }
}

fn endpoint(address: &str, tls: Option<&Arc<certs::Client>>) -> Result<Endpoint, String> {
    let endpoint = Endpoint::from_shared(uri(address, tls.is_some())?).map_err(|error| error.to_string())?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        // Two whole batches fit into the windows, so none waits for an update.
        .initial_stream_window_size(2 << 20)
        .initial_connection_window_size(8 << 20)
        // A node that is cut off sends no reset; its silence shows after some seconds.
        .http2_keep_alive_interval(Duration::from_secs(2))
        .keep_alive_timeout(Duration::from_secs(2)))
}

/// An address says by itself how it is to be spoken to; that must be how this client can.
fn uri(address: &str, secured: bool) -> Result<String, String> {
    let scheme = if secured { "https://" } else { "http://" };
    let wrong = |reason: &str| Err(reason.to_owned());
    match address.split_once("://") {
        None => Ok(format!("{scheme}{address}")),
        Some(_) if address.starts_with(scheme) => Ok(address.to_owned()),
        Some(("https", _)) => wrong("TLS needs a certificate: give the client one"),
        Some(("http", _)) => wrong("this client speaks TLS only"),
        Some(_) => wrong("it begins with neither http:// nor https://"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_speaks_in_plain_text_by_a_slip() {
        assert_eq!(uri("bank:1", false), Ok("http://bank:1".to_owned()));
        assert_eq!(uri("bank:1", true), Ok("https://bank:1".to_owned()));
        assert_eq!(uri("https://bank:1", true), Ok("https://bank:1".to_owned()));
        for (address, secured) in [("http://bank:1", true), ("https://bank:1", false), ("ftp://bank:1", false)] {
            assert!(uri(address, secured).is_err(), "{address}");
        }
    }
}
