//! What was made in a directory: `DIR/layout.json`.
//!
//! Written before the first identity of a bank is made and again when the last one is: a bank that is `made` has all its
//! identities, so one that is missing later was lost, and must not be made anew (its votes went with it). While a
//! bank is not `made` none of its nodes has run, and making goes on where it stopped.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::atomic_file;
use super::cluster::Cluster;
use super::name::BankName;
use crate::failure::Failure;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layout {
    pub(crate) banks: Vec<BankLayout>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BankLayout {
    pub(crate) name: BankName,
    pub(crate) nodes: u16,
    pub(crate) cluster: Cluster,
    pub(crate) base_port: u16,
    pub(crate) port_choice: PortChoice,
    pub(crate) made: bool,
}

/// Who chose the ports: what a person chose is not moved behind their back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PortChoice {
    ByFlag,
    ByDefault,
}

impl Layout {
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("layout.json")
    }

    /// `None` when nothing was made there yet.
    pub(crate) fn load(dir: &Path) -> Result<Option<Layout>, Failure> {
        let path = Layout::path(dir);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::new(format!("reading {}: {error}", path.display()))),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Failure::new(format!("{} is not what this program wrote: {error}", path.display()))
                .line("it names the banks of this directory; restore it, or choose another directory with --dir")
        })
    }

    pub(crate) fn save(&self, dir: &Path) -> Result<(), Failure> {
        let path = Layout::path(dir);
        let text = serde_json::to_string_pretty(self).expect("a layout holds only strings, numbers and lists");
        atomic_file::replace(&path, text.as_bytes())
            .map_err(|error| Failure::new(format!("writing {}: {error}", path.display())))
    }

    pub(crate) fn bank(&self, name: &BankName) -> Option<&BankLayout> {
        self.banks.iter().find(|bank| bank.name == *name)
    }
}

/// Where one node keeps its files.
pub(crate) fn node_dir(dir: &Path, bank: &BankName, node: u16) -> PathBuf {
    dir.join(bank.as_str()).join(node.to_string())
}
