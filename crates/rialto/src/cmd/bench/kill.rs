//! Kills a node's process, as the network file names it, and looks how long nobody was answered.

use super::disk::Longest;
use super::tally::Pulse;
use crate::http::{Address, Client};
use crate::network::network_file::{NetworkFile, State};
use api::status::NodeStatus;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A network that starts its dead nodes again needs five seconds for it; after a kill the next waits for the full group.
const LOOK: Duration = Duration::from_millis(200);

/// Which node dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    /// Who leads, or is the proposer.
    Leader,
    /// Each in turn, whatever it is.
    Any,
}

/// Who kills whom, and how often.
#[derive(Debug)]
pub(crate) struct Killer {
    pub(crate) dir: PathBuf,
    pub(crate) bank: String,
    pub(crate) every: Duration,
    pub(crate) victim: Victim,
    /// What the disk does, beside.
    pub(crate) disk: Option<Longest>,
}

/// What one kill did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kill {
    pub(crate) node: u16,
    /// Whether it led, or was the proposer.
    pub(crate) led: bool,
    /// The longest time without any answer for callers at home elsewhere; for all if nobody is at home anywhere.
    pub(crate) pause_us: u64,
    /// The longest time that the disk took for 4 KiB meanwhile; `None` if nobody looked.
    pub(crate) disk_us: Option<u64>,
    /// Calls of those that ended without an outcome.
    pub(crate) failed: u64,
}

/// A node that may be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Alive {
    node: u16,
    pid: Pid,
    leads: bool,
}

type Pulses = Vec<(Option<u16>, Arc<Pulse>)>;

impl Killer {
    pub(crate) fn new(dir: &Path, bank: &str, every_s: u32, victim: Victim) -> Self {
        let every = Duration::from_secs(every_s.into());
        Self { dir: dir.to_owned(), bank: bank.to_owned(), every, victim, disk: None }
    }

    pub(crate) fn beside(self, disk: Option<Longest>) -> Self {
        Self { disk, ..self }
    }

    /// Kills until the time is up.
    pub(crate) async fn run(self, until: Instant, pulses: Pulses) -> Vec<Kill> {
        let mut kills = Vec::new();
        let mut next = Instant::now() + self.every / 2;
        while next + self.every / 2 < until {
            tokio::time::sleep_until(next.into()).await;
            if let Some(victim) = self.victim(kills.len()).await {
                let elsewhere = |(home, _): &&(Option<u16>, Arc<Pulse>)| *home != Some(victim.node);
                let others: Vec<&Pulse> = pulses.iter().filter(elsewhere).map(|(_, pulse)| pulse.as_ref()).collect();
                for pulse in &others {
                    pulse.take_longest_us();
                }
                let disk_us = || self.disk.as_ref().map(Longest::take_us);
                disk_us();
                let failed_before: u64 = others.iter().map(|pulse| pulse.failed()).sum();
                if kill_process(victim.pid, Signal::KILL).is_ok() {
                    tokio::time::sleep(self.every / 2).await;
                    kills.push(Kill {
                        node: victim.node,
                        led: victim.leads,
                        pause_us: others.iter().map(|pulse| pulse.take_longest_us()).max().unwrap_or(0),
                        disk_us: disk_us(),
                        failed: others.iter().map(|pulse| pulse.failed()).sum::<u64>() - failed_before,
                    });
                }
            }
            next += self.every;
        }
        kills
    }

    /// Whose turn it is, once all nodes of the bank run and are ready.
    async fn victim(&self, kills: usize) -> Option<Alive> {
        let give_up = Instant::now() + self.every;
        while Instant::now() < give_up {
            if let Some(group) = self.full_group().await {
                let victim = match self.victim {
                    Victim::Leader => group.into_iter().find(|node| node.leads),
                    Victim::Any => group.get(kills % group.len().max(1)).copied(),
                };
                if victim.is_some() {
                    return victim;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        None
    }

    async fn full_group(&self) -> Option<Vec<Alive>> {
        let network = NetworkFile::load(&self.dir).ok()?;
        let mut group = Vec::new();
        for entry in network.nodes.iter().filter(|entry| entry.group == self.bank) {
            let mut client = Client::new(Address::parse(&entry.http).ok()?);
            let answer = client.get("/v1/status", LOOK).await.ok()?;
            let status: NodeStatus = serde_json::from_slice(&answer.body).ok()?;
            if entry.state != State::Running || !status.ready {
                return None;
            }
            let pid = i32::try_from(entry.pid?).ok().and_then(Pid::from_raw)?;
            group.push(Alive { node: entry.node, pid, leads: status.leader == Some(status.node) });
        }
        Some(group)
    }
}
