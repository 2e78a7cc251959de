//! What was made in a directory: `DIR/layout.json`.
//!
//! Written before the first identity of a bank is made and again when the last one is: a bank that is `made` has all its
//! identities, so one that is missing later was lost, and must not be made anew (its votes went with it). While a
//! bank is not `made` none of its nodes has run, and making goes on where it stopped.
//!
//! Who is a member is for the bank's log to say, not for this file: it names the nodes whose processes run here.

use std::io;
use std::path::{Path, PathBuf};

use api::status::Mode;
use serde::{Deserialize, Serialize};

use super::atomic_file;
use super::cluster::Cluster;
use super::name::BankName;
use super::network_file::Kind;
use super::ports::PLACES;
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
    #[serde(default, skip_serializing_if = "is_bank")]
    pub(crate) kind: Kind,
    /// The founders: nodes 1 to this.
    pub(crate) nodes: u16,
    pub(crate) cluster: Cluster,
    pub(crate) base_port: u16,
    pub(crate) port_choice: PortChoice,
    pub(crate) made: bool,
    /// Its nodes speak TLS, with the certificates of `DIR/tls`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) tls: bool,
    /// Where its nodes say that they are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) consul: Option<ConsulLayout>,
    /// Its demo customers are still to be made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) wants_demo: bool,
    /// It was there before the network was, so nobody made customers in it unasked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) no_demo: bool,
    /// How many lives its restores from backups have begun, with the first: none is begun twice, from whatever copy.
    #[serde(default = "first_life", skip_serializing_if = "is_first_life")]
    pub(crate) incarnation: u32,
    /// The mode that the bank was last seen in; of a new one, the first.
    #[serde(default)]
    pub(crate) mode: Mode,
    /// Nodes that came later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) joined: Vec<Seat>,
    /// Nodes that were removed from the bank. Their directories are left where they are; they are not started any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) left: Vec<u16>,
}

/// Consul, as nodes are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsulLayout {
    pub(crate) url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
}

/// Directories of before there was a gateway say nothing of it.
fn is_bank(kind: &Kind) -> bool {
    *kind == Kind::Bank
}

pub(crate) fn first_life() -> u32 {
    1
}

fn is_first_life(incarnation: &u32) -> bool {
    *incarnation == 1
}

/// A node whose process runs here, and which of the bank's places for ports it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seat {
    pub(crate) node: u16,
    pub(crate) place: u16,
    /// The node that goes when this one has a vote: so an interrupted replacement goes on with the same newcomer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaces: Option<u16>,
}

/// Founders sit at the place of their number.
pub(crate) fn founders(nodes: u16) -> Vec<Seat> {
    (1..=nodes).map(|node| Seat { node, place: node, replaces: None }).collect()
}

impl BankLayout {
    /// The nodes whose processes run here, by number.
    pub(crate) fn seats(&self) -> Vec<Seat> {
        let mut seats = founders(self.nodes);
        seats.extend(&self.joined);
        seats.retain(|seat| !self.left.contains(&seat.node));
        seats.sort_unstable_by_key(|seat| seat.node);
        seats
    }

    pub(crate) fn seat(&self, node: u16) -> Option<Seat> {
        self.seats().into_iter().find(|seat| seat.node == node)
    }

    /// The lowest place that nobody has.
    pub(crate) fn free_place(&self) -> Option<u16> {
        let seats = self.seats();
        (1..=PLACES).find(|place| seats.iter().all(|seat| seat.place != *place))
    }
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

    /// The cluster that a directory holds under that name, where one was made there.
    pub(crate) fn cluster_in(dir: &Path, group: &str) -> Option<Cluster> {
        let layout = Layout::load(dir).ok().flatten()?;
        layout.banks.iter().find(|known| known.name.as_str() == group).map(|known| known.cluster)
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

    pub(crate) fn bank_mut(&mut self, name: &BankName) -> Option<&mut BankLayout> {
        self.banks.iter_mut().find(|bank| bank.name == *name)
    }
}

/// Where one node keeps its files.
pub(crate) fn node_dir(dir: &Path, bank: &BankName, node: u16) -> PathBuf {
    dir.join(bank.as_str()).join(node.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it was written before there were members that come and go.
    const OLD: &str = r#"{"banks":[{"name":"alpha","nodes":3,"cluster":"018f2f6c-0000-7000-8000-000000000001",
        "base_port":7100,"port_choice":"by_default","made":true}]}"#;

    fn old() -> BankLayout {
        serde_json::from_str::<Layout>(OLD).expect("it was written by this program").banks.remove(0)
    }

    #[test]
    fn a_directory_of_before_reads_as_its_founders_in_leader_mode() {
        let bank = old();
        assert_eq!(bank.seats(), founders(3));
        assert_eq!(bank.mode, Mode::Leader);
    }

    #[test]
    fn a_place_is_used_again_and_a_number_never() {
        let mut bank = old();
        assert_eq!(bank.free_place(), Some(4));
        bank.joined.push(Seat { node: 4, place: 4, replaces: Some(2) });
        bank.left.push(2);
        assert_eq!(
            bank.seats().iter().map(|seat| (seat.node, seat.place)).collect::<Vec<_>>(),
            [(1, 1), (3, 3), (4, 4)]
        );
        assert_eq!(bank.free_place(), Some(2));
        bank.joined.push(Seat { node: 5, place: 2, replaces: None });
        assert_eq!(bank.seat(5).map(|seat| seat.place), Some(2));
        assert_eq!(bank.seat(2), None);
        let again: BankLayout =
            serde_json::from_str(&serde_json::to_string(&bank).expect("plain data")).expect("just written");
        assert_eq!(again, bank);
    }
}
