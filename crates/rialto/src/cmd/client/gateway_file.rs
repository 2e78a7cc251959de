//! Where the gateway's nodes are, as `DIR/network.json` says. Only what a client needs is read, so that a client of
//! another version than `rialto up` still finds its way.

use std::io;
use std::path::Path;

use serde::Deserialize;

use super::shown;
use crate::failure::Failure;

#[derive(Deserialize)]
struct Network {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    kind: String,
    #[serde(default)]
    grpc: String,
}

pub(super) fn addresses(dir: &Path) -> Result<Vec<String>, Failure> {
    let path = dir.join("network.json");
    let advice = "say where it is: --gateway ADDR, RIALTO_GATEWAY, or --dir DIR; or start one: rialto up";
    let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::new(format!("where the gateway is, is not known: no network has run in {}", shown(dir)))
                .line(advice)
        }
        _ => Failure::new(format!("reading {}: {error}", path.display())),
    })?;
    let network = parse(&bytes)
        .map_err(|error| Failure::new(format!("{} is not what rialto up writes: {error}", path.display())))?;
    if network.is_empty() {
        return Err(Failure::new(format!("the network in {} has no gateway", shown(dir))).line(advice));
    }
    Ok(network)
}

fn parse(bytes: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    let network: Network = serde_json::from_slice(bytes)?;
    let gateways = network.nodes.into_iter().filter(|node| node.kind == "gateway" && !node.grpc.is_empty());
    Ok(gateways.map(|node| node.grpc).collect())
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
        assert_eq!(parse(text).expect("it is read"), ["http://127.0.0.1:7311", "http://127.0.0.1:7312"]);
        assert!(parse(b"{}").is_err());
    }
}
