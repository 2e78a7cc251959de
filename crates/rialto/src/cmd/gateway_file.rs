//! Where the gateway's nodes are, as `DIR/network.json` says. Only what a client needs is read, so that a client of
//! another version than `rialto up` still finds its way.

use std::io;
use std::path::{Path, PathBuf};

use api::network::NetworkId;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;

#[derive(Deserialize)]
struct Network {
    /// Each is read by itself: one that cannot be read hides no other.
    nodes: Vec<Value>,
    #[serde(default)]
    tls: Option<PathBuf>,
}

/// The way to the gateway.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) addresses: Vec<String>,
    /// Where certificates are, if it speaks TLS.
    pub(super) tls: Option<PathBuf>,
    /// Which network it is, if `rialto up` made the gateway here.
    pub(super) network: Option<NetworkId>,
}

/// What was made in the directory.
#[derive(Deserialize)]
struct Layout {
    banks: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    kind: String,
    cluster: String,
}

#[derive(Deserialize)]
struct Node {
    kind: String,
    #[serde(default)]
    grpc: String,
}

pub(super) fn read(dir: &Path) -> Result<Known, Failure> {
    let path = dir.join("network.json");
    let advice = "say where it is: --gateway ADDR, RIALTO_GATEWAY, or --dir DIR; or start one: rialto up";
    let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::new(format!("it is not known where the gateway is: no network has run in {}", dir.display()))
                .line(advice)
        }
        _ => Failure::new(format!("reading {}: {error}", path.display())),
    })?;
    let mut known = parse(&bytes)
        .map_err(|error| Failure::new(format!("{} is not what rialto up writes: {error}", path.display())))?;
    if known.addresses.is_empty() {
        return Err(Failure::new(format!("the network in {} has no gateway", dir.display())).line(advice));
    }
    known.network = std::fs::read(dir.join("layout.json")).ok().and_then(|bytes| network(&bytes));
    Ok(known)
}

/// A network is known by the number that its gateway was founded with.
fn network(layout: &[u8]) -> Option<NetworkId> {
    let layout: Layout = serde_json::from_slice(layout).ok()?;
    layout.banks.iter().find(|group| group.kind == "gateway")?.cluster.parse().ok()
}

fn parse(bytes: &[u8]) -> Result<Known, serde_json::Error> {
    let network: Network = serde_json::from_slice(bytes)?;
    let nodes = network.nodes.into_iter().filter_map(|node| Node::deserialize(node).ok());
    let gateways = nodes.filter(|node| node.kind == "gateway" && !node.grpc.is_empty());
    Ok(Known { addresses: gateways.map(|node| node.grpc).collect(), tls: network.tls, network: None })
}

/// For [`crate::fuzzing`]: what a client finds in files of `rialto up`.
#[cfg(any(test, fuzzing))]
pub(crate) fn files(bytes: &[u8]) {
    if let Ok(known) = parse(bytes) {
        assert!(known.addresses.iter().all(|address| !address.is_empty()));
    }
    if let Some(id) = network(bytes) {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_nodes_are_found_among_others() {
        let text = br#"{"up":7,"nodes":[
            {"group":"alpha","kind":"bank","node":1,"grpc":"http://127.0.0.1:7111"},
            {"group":"gateway","kind":"gateway","node":1,"grpc":"http://127.0.0.1:7311","new":true},
            {"group":"gateway","kind":"gateway","node":2,"grpc":"http://127.0.0.1:7312"},
            {"group":"x","kind":"of next year","node":2},null,7,{"kind":null},{"kind":"gateway","grpc":7}],"banks":{}}"#;
        let known = parse(text).expect("it is read");
        assert_eq!(known.addresses, ["http://127.0.0.1:7311", "http://127.0.0.1:7312"]);
        assert_eq!(known.tls, None);
        let secured = parse(br#"{"nodes":[],"tls":"/srv/tls"}"#).expect("it is read");
        assert_eq!(secured.tls, Some(PathBuf::from("/srv/tls")));
        assert!(parse(b"{}").is_err());
        let made = br#"{"banks":[{"name":"alpha","cluster":"018f2f6c-0000-7000-8000-000000000001"},
            {"name":"gateway","kind":"gateway","cluster":"018f2f6c-0000-7000-8000-000000000002","new":1}]}"#;
        let id = network(made).map(|id| id.to_string());
        assert_eq!(id.as_deref(), Some("018f2f6c-0000-7000-8000-000000000002"));
        assert_eq!((network(b"{}"), network(br#"{"banks":[]}"#)), (None, None));
    }
}
