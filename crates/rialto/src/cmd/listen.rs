//! Where a node listens: what `HOST:PORT` of a setting stands for.

use std::net::{SocketAddr, ToSocketAddrs};

use api::client::dial;

use crate::failure::Failure;
use crate::settings::Given;

/// Where to listen: at least one address, and all that a name stands for.
pub(super) fn addresses(given: Option<&Given>, default: SocketAddr) -> Result<(SocketAddr, Vec<SocketAddr>), Failure> {
    given.map_or(Ok((default, Vec::new())), |given| given.parse(resolve))
}

/// `host:port`; a name is looked up once, at the start.
fn resolve(text: &str) -> Result<(SocketAddr, Vec<SocketAddr>), String> {
    let port_is_there = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if !port_is_there {
        return Err(format!("`{text}` is no address: it is HOST:PORT, for example 127.0.0.1:7101"));
    }
    let found = text.to_socket_addrs().map_err(|error| format!("`{text}` does not resolve to an address: {error}"))?;
    // Most names have IPv4, and what is registered or shown elsewhere is the first one.
    let mut found = dial::in_turn(found);
    found.sort_by_key(SocketAddr::is_ipv6);
    let mut found = found.into_iter();
    let first = found.next().ok_or_else(|| format!("`{text}` does not resolve to an address"))?;
    Ok((first, found.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_a_name_are_listened_on_the_first_of_them_an_ipv4_one() {
        let (first, also) = resolve("localhost:7101").expect("every machine knows itself");
        assert_eq!(first, SocketAddr::from(([127, 0, 0, 1], 7101)));
        assert!(also.iter().all(|address| address.ip().is_loopback() && *address != first), "{also:?}");
        assert_eq!(resolve("[::1]:7101").expect("an address").0, "[::1]:7101".parse().expect("an address"));
        assert!(resolve("localhost").is_err() && resolve("127.0.0.1:70000").is_err());
    }
}
