//! Finds banks in the file that `rialto up` keeps: `network.json`. Banks that come or move are known within a second.

use super::desk::Desk;
use clearing::BankName;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tracing::warn;

const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// The part of the file that is read here.
#[derive(Deserialize)]
struct Network {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    group: String,
    kind: String,
    grpc: String,
}

/// Runs as long as the node serves.
pub(super) async fn run(desk: Desk, file: PathBuf) {
    let mut seen = None;
    let mut is_told = false;
    loop {
        let changed = modified(&file);
        if changed != seen {
            match read(&file) {
                Ok(banks) => {
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

fn read(file: &Path) -> Result<Vec<(BankName, Vec<String>)>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let network: Network = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let mut banks: BTreeMap<BankName, Vec<String>> = BTreeMap::new();
    for node in network.nodes.into_iter().filter(|node| node.kind == "bank") {
        // A bank whose name the network has no room for is not one that can be paid.
        let Ok(name) = BankName::new(&node.group) else { continue };
        banks.entry(name).or_default().push(node.grpc);
    }
    Ok(banks.into_iter().collect())
}
