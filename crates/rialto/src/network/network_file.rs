//! What runs at this moment: `DIR/network.json`, kept current by `rialto up` and read by everybody else.
//!
//! A node that is down keeps its entry, with its state and `pid: null`. The shape is public: scripts read it.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::atomic_file;
use crate::failure::Failure;
use crate::follow_up::dir_flag;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworkFile {
    /// The `rialto up` that keeps this file; `null` once it has ended in order.
    pub(crate) up: Option<u32>,
    pub(crate) nodes: Vec<NodeEntry>,
    pub(crate) banks: BTreeMap<String, BankEntry>,
    /// Where customers sign in and pay, if there is a gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gateway: Option<BankEntry>,
    /// The directory with CA and certificates, where nodes speak TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeEntry {
    pub(crate) group: String,
    pub(crate) kind: Kind,
    pub(crate) node: u16,
    pub(crate) pid: Option<u32>,
    pub(crate) state: State,
    pub(crate) http: String,
    pub(crate) grpc: String,
    pub(crate) peer: String,
    pub(crate) data: PathBuf,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    #[default]
    Bank,
    Gateway,
}

impl Kind {
    /// As sentences call a group of this kind, and the subcommand that runs a node of it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Kind::Bank => "bank",
            Kind::Gateway => "gateway",
        }
    }
}

/// What `up` knows about a process; what the node itself says is in its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Running,
    /// Ended without being told to; started again unless `--no-restart`.
    Died,
    /// A client told it to: stays down until `up` runs again.
    ShutDown,
    /// Ended because `up` ended.
    Stopped,
}

/// The address under which a group is always found: a balancer that follows the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BankEntry {
    pub(crate) http: String,
    pub(crate) grpc: String,
}

impl NetworkFile {
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("network.json")
    }

    pub(crate) fn save(&self, dir: &Path) -> io::Result<()> {
        atomic_file::replace(&NetworkFile::path(dir), self.to_json().as_bytes())
    }

    /// One line.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a network file holds only strings, numbers, lists and maps of strings")
    }

    pub(crate) fn load(dir: &Path) -> Result<NetworkFile, Failure> {
        let path = NetworkFile::path(dir);
        let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::new(format!("no network has run in {}", dir.display()))
                .line(format!("start one: rialto up{}; or name the directory of one: --dir DIR", dir_flag(dir))),
            _ => Failure::new(format!("reading {}: {error}", path.display())),
        })?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Failure::new(format!("{} is not what rialto up writes: {error}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_shape_is_stable() {
        let file = NetworkFile {
            up: Some(7),
            nodes: vec![NodeEntry {
                group: "alpha".to_owned(),
                kind: Kind::Bank,
                node: 1,
                pid: Some(123),
                state: State::Running,
                http: "http://127.0.0.1:7101".to_owned(),
                grpc: "http://127.0.0.1:7111".to_owned(),
                peer: "127.0.0.1:7121".to_owned(),
                data: PathBuf::from("/srv/alpha/1"),
            }],
            banks: BTreeMap::from([(
                "alpha".to_owned(),
                BankEntry { http: "http://127.0.0.1:7100".to_owned(), grpc: "http://127.0.0.1:7110".to_owned() },
            )]),
            gateway: None,
            tls: None,
        };
        assert_eq!(
            file.to_json(),
            concat!(
                r#"{"up":7,"nodes":[{"group":"alpha","kind":"bank","node":1,"pid":123,"state":"running","#,
                r#""http":"http://127.0.0.1:7101","grpc":"http://127.0.0.1:7111","peer":"127.0.0.1:7121","data":"/srv/alpha/1"}],"#,
                r#""banks":{"alpha":{"http":"http://127.0.0.1:7100","grpc":"http://127.0.0.1:7110"}}}"#
            )
        );
    }
}
