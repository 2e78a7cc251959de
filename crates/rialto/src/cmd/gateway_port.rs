//! What answers where the gateway's gRPC was looked for in vain: a node's port for HTTP, perhaps, and of whom.

use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;

use crate::failure::Failure;
use crate::http::{Address, Client};

/// How long a port may take to show that it speaks HTTP.
const PATIENCE: Duration = Duration::from_secs(1);

/// Only nodes of the gateway have it.
const OF_GATEWAY: &str = "/.well-known/jwks.json";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bank,
    Gateway,
}

/// What a node of Rialto says of itself.
#[derive(Deserialize)]
struct Said {
    group: String,
    node: u16,
}

/// An error that says who is there, if one of these addresses is a port for HTTP of a node: these commands do not use that.
pub(super) async fn misdirected(addresses: &[String]) -> Option<Failure> {
    for address in addresses {
        let host = address.split_once("://").map_or(address.as_str(), |(_, rest)| rest).trim_end_matches('/');
        let Ok(parsed) = Address::parse(&format!("http://{host}")) else { continue };
        // Something that is not HTTP breaks the connection, or answers nothing.
        let mut client = Client::new(parsed);
        let Ok(answer) = client.get("/v1/status", PATIENCE).await else { continue };
        let Ok(said) = serde_json::from_slice::<Said>(&answer.body) else { continue };
        let has_none = client.get(OF_GATEWAY, PATIENCE).await.is_ok_and(|it| it.status == StatusCode::NOT_FOUND);
        let kind = if has_none { Kind::Bank } else { Kind::Gateway };
        return Some(failure(address, host, (kind, &said)));
    }
    None
}

fn failure(address: &str, host: &str, (kind, said): (Kind, &Said)) -> Failure {
    let where_it_is = "where the gateway is: the network.json of --dir DIR, or its operator; give its gRPC address";
    if kind == Kind::Bank {
        let Said { group, node } = said;
        let whose = format!("{address} is of node {node} of bank {group}, and not of the gateway");
        return Failure::usage(whose).line(where_it_is);
    }
    let failure = Failure::usage(format!("{address} speaks HTTP, and this command needs the node's gRPC address"));
    match host.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?.checked_add(10)?))) {
        Some((name, port)) => {
            failure.line(format!("in a network of rialto up that is ten ports further: --gateway {name}:{port}"))
        }
        None => failure.line(where_it_is),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_a_bank_is_not_sent_ten_ports_further() {
        let said = Said { group: "alpha".to_owned(), node: 3 };
        let of = |kind| failure("127.0.0.1:7103", "127.0.0.1:7103", (kind, &said)).to_string();
        let (gateway, bank) = (of(Kind::Gateway), of(Kind::Bank));
        assert!(gateway.contains("--gateway 127.0.0.1:7113"), "{gateway}");
        assert!(bank.contains("node 3 of bank alpha") && !bank.contains("7113"), "{bank}");
    }
}
