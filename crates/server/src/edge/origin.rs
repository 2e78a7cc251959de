//! Where a call comes from: the network address of its connection, and the certificate that was shown on it.
//!
//! An address stands for all of its network that one subscriber has: one IPv4 address, 64 bits of IPv6. The certificate of
//! customers' clients says nothing of who they are, since all may share one; any other is a source of its own. What headers
//! say of where a call was passed on from is not believed: anybody can write them. So callers behind one balancer that
//! hides their addresses are one source, and are told apart by their tokens only.

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;
use certs::Subject;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};

/// The address at the other end of a connection, as an extension of each of its requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerAddress(pub IpAddr);

/// Where a call comes from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Origin {
    address: Option<IpAddr>,
    subject: Option<Subject>,
}

impl Origin {
    pub fn of(extensions: &Extensions) -> Origin {
        let address = extensions.get::<PeerAddress>().map(|peer| network(peer.0));
        let subject = extensions.get::<Subject>().filter(|subject| **subject != Subject::Client);
        Origin { address, subject: subject.cloned() }
    }

    /// The same wherever it is made, and for every call of the same source.
    #[expect(clippy::expect_used, reason = "a slice of eight bytes is eight bytes")]
    pub fn digest(&self) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"rialto source of calls");
        hasher.update(self.address.map_or_else(String::new, |address| address.to_string()).as_bytes());
        hasher.update(&[0]);
        hasher.update(self.subject.as_ref().map_or_else(String::new, ToString::to_string).as_bytes());
        u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("eight bytes of thirty-two"))
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Origin, Infallible> {
        Ok(Origin::of(&parts.extensions))
    }
}

/// What one subscriber has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(address: &str, subject: Option<&str>) -> u64 {
        let mut extensions = Extensions::new();
        extensions.insert(PeerAddress(address.parse().expect("an address")));
        if let Some(subject) = subject {
            extensions.insert(subject.parse::<Subject>().expect("a subject"));
        }
        Origin::of(&extensions).digest()
    }

    #[test]
    fn a_source_is_what_one_subscriber_has() {
        assert_eq!(digest("2001:db8::1", None), digest("2001:db8::ffff:1", None), "one subscriber's network");
        assert_ne!(digest("2001:db8::1", None), digest("2001:db8:0:1::1", None));
        assert_eq!(digest("192.0.2.1", None), digest("::ffff:192.0.2.1", None), "the same machine over either");
        assert_ne!(digest("192.0.2.1", None), digest("192.0.2.2", None));
        assert_eq!(digest("192.0.2.1", None), digest("192.0.2.1", Some("client")), "all customers may share it");
        assert_ne!(digest("192.0.2.1", None), digest("192.0.2.1", Some("operator/anna")));
    }
}
