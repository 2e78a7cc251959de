//! Finds banks in the file that `rialto up` keeps: `network.json`. Banks that come or move are known within a second.

use super::desk::Desk;
use crate::skipped::Skipped;
use clearing::BankName;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tracing::warn;

const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// The part of the file that is read here. Each node is read by itself.
#[derive(Deserialize)]
struct Network {
    nodes: Vec<Value>,
}

#[derive(Deserialize)]
struct Node {
    group: String,
    kind: String,
    grpc: String,
}

/// The banks of the file, and what in it could not be read.
pub(super) struct Found {
    pub(super) banks: Vec<(BankName, Vec<String>)>,
    pub(super) skipped: Skipped,
}

/// Runs as long as the node serves.
pub(super) async fn run(desk: Desk, file: PathBuf) {
    let mut seen = None;
    let mut is_told = false;
    loop {
        let changed = modified(&file);
        if changed != seen {
            match read(&file) {
                Ok(Found { banks, skipped }) => {
                    if !skipped.is_empty() {
                        warn!(event = "network_file", file = %file.display(), why = %skipped, count = skipped.count(), effect = "the other nodes are known");
                    }
                    desk.banks.know(&banks);
                    (seen, is_told) = (changed, false);
                }
                Err(why) if !is_told => {
                    is_told = true;
                    warn!(event = "network_file", file = %file.display(), why = %why, effect = "what is known goes on working");
                }
                Err(_) => {}
            }
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}

fn modified(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|it| it.modified()).ok()
}

fn read(file: &Path) -> Result<Found, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    understand(&text)
}

pub(super) fn understand(text: &str) -> Result<Found, String> {
    let network: Network = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let (mut banks, mut skipped) = (BTreeMap::<BankName, Vec<String>>::new(), Skipped::default());
    for (number, node) in (1..).zip(network.nodes) {
        match serde_json::from_value::<Node>(node) {
            Err(error) => skipped.note(|| format!("node {number} of the list: {error}")),
            Ok(node) if node.kind != "bank" => {}
            // A bank whose name the network has no room for is not one that can be paid.
            Ok(node) => match BankName::new(&node.group) {
                Ok(name) => banks.entry(name).or_default().push(node.grpc),
                Err(_) => skipped.note(|| format!("node {number} of the list: {:?} is no bank's name", node.group)),
            },
        }
    }
    Ok(Found { banks: banks.into_iter().collect(), skipped })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_that_cannot_be_read_hides_no_other() {
        let file = std::env::temp_dir().join(format!("rialto-network-{}.json", std::process::id()));
        let text = r#"{"nodes":[{"group":"alpha","kind":"bank","grpc":"127.0.0.1:1"},null,{"group":"beta","kind":"bank"},
            {"group":"No Name","kind":"bank","grpc":"x:1"},{"group":"gateway","kind":"gateway","grpc":"127.0.0.1:3"},
            {"group":"alpha","kind":"bank","grpc":"127.0.0.1:2"}]}"#;
        std::fs::write(&file, text).expect("there is room");
        let found = read(&file).expect("it is a network's file");
        let alpha = BankName::new("alpha").expect("a name");
        assert_eq!(found.banks, [(alpha, vec!["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()])]);
        assert_eq!(found.skipped.count(), 3);
        assert!(found.skipped.to_string().contains("node 3 of the list: missing field `grpc`"), "{}", found.skipped);
        std::fs::remove_file(&file).expect("it was written");
    }
}
