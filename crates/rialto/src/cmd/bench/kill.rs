//! Kills the leader's process, as the network file names it, and looks how long nobody was answered.

use super::load::Pulse;
use crate::http::{Address, Client};
use crate::network::network_file::{NetworkFile, State};
use api::status::NodeStatus;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A network that starts its dead nodes again needs five seconds for it; after a kill the next waits for the full group.
const LOOK: Duration = Duration::from_millis(200);

/// Who kills whom, and how often.
#[derive(Debug)]
pub(crate) struct Killer {
    dir: PathBuf,
    bank: String,
    every: Duration,
}

impl Killer {
    pub(crate) fn new(dir: &Path, bank: &str, every_s: u32) -> Self {
        Self { dir: dir.to_owned(), bank: bank.to_owned(), every: Duration::from_secs(every_s.into()) }
    }

    /// Kills until the time is up; the longest pause after each kill, in microseconds.
    pub(crate) async fn run(self, until: Instant, pulse: Arc<Pulse>) -> Vec<u64> {
        let mut pauses_us = Vec::new();
        let mut next = Instant::now() + self.every / 2;
        while next + self.every / 2 < until {
            tokio::time::sleep_until(next.into()).await;
            if let Some(leader) = self.leader().await {
                pulse.take_longest_us();
                if kill_process(leader, Signal::KILL).is_ok() {
                    tokio::time::sleep(self.every / 2).await;
                    pauses_us.push(pulse.take_longest_us());
                }
            }
            next += self.every;
        }
        pauses_us
    }

    /// The leader's process, once all nodes of the bank run and are ready.
    async fn leader(&self) -> Option<Pid> {
        let give_up = Instant::now() + self.every;
        while Instant::now() < give_up {
            if let Some(pid) = self.leader_of_full_group().await {
                return Some(pid);
            }
            tokio::time::sleep(LOOK).await;
        }
        None
    }

    async fn leader_of_full_group(&self) -> Option<Pid> {
        let network = NetworkFile::load(&self.dir).ok()?;
        let mut leader = None;
        for node in network.nodes.iter().filter(|node| node.group == self.bank) {
            let mut client = Client::new(Address::parse(&node.http).ok()?);
            let answer = client.get("/v1/status", LOOK).await.ok()?;
            let status: NodeStatus = serde_json::from_slice(&answer.body).ok()?;
            if node.state != State::Running || !status.ready {
                return None;
            }
            if status.leader == Some(status.node) {
                leader = i32::try_from(node.pid?).ok().and_then(Pid::from_raw);
            }
        }
        leader
    }
}
