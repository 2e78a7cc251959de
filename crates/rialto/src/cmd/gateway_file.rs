//! Where the gateway's nodes are, as `DIR/network.json` says. Only what a client needs is read, so that a client of
//! another version than `rialto up` still finds its way.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::failure::Failure;

#[derive(Deserialize)]
struct Network {
    nodes: Vec<Node>,
    #[serde(default)]
    tls: Option<PathBuf>,
}

/// The way to the gateway.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) addresses: Vec<String>,
    /// Where certificates are, if it speaks TLS.
    pub(super) tls: Option<PathBuf>,
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
            Failure::new(format!("where the gateway is, is not known: no network has run in {}", dir.display()))
                .line(advice)
        }
        _ => Failure::new(format!("reading {}: {error}", path.display())),
    })?;
    let known = parse(&bytes)
        .map_err(|error| Failure::new(format!("{} is not what rialto up writes: {error}", path.display())))?;
    if known.addresses.is_empty() {
        return Err(Failure::new(format!("the network in {} has no gateway", dir.display())).line(advice));
    }
    Ok(known)
}

fn parse(bytes: &[u8]) -> Result<Known, serde_json::Error> {
    let network: Network = serde_json::from_slice(bytes)?;
    let gateways = network.nodes.into_iter().filter(|node| node.kind == "gateway" && !node.grpc.is_empty());
    Ok(Known { addresses: gateways.map(|node| node.grpc).collect(), tls: network.tls })
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
            {"group":"x","kind":"of next year","node":2}],"banks":{}}"#;
        let known = parse(text).expect("it is read");
        assert_eq!(known.addresses, ["http://127.0.0.1:7311", "http://127.0.0.1:7312"]);
        assert_eq!(known.tls, None);
        let secured = parse(br#"{"nodes":[],"tls":"/srv/tls"}"#).expect("it is read");
        assert_eq!(secured.tls, Some(PathBuf::from("/srv/tls")));
        assert!(parse(b"{}").is_err());
    }
}
