//! The public face (first cut: signatures).

use crate::config::{Config, Now, Recovered};
use crate::effects::Effects;
use crate::ids::{Ballot, Batch, NodeId, Slot};
use crate::message::Message;
use crate::status::{Role, Status};

/// Why a batch was not proposed; it comes back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProposed {
    #[error("this node does not hold the pen")]
    NoPen(Batch),
    #[error("the pipeline is full")]
    WindowFull(Batch),
}

impl NotProposed {
    pub fn into_batch(self) -> Batch {
        match self {
            NotProposed::NoPen(batch) | NotProposed::WindowFull(batch) => batch,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Paxos {
    config: Config,
}

impl Paxos {
    /// `on_applied` must be told once what was replayed at start (at least `recovered.chosen`), or nothing can be proposed
    /// beyond the first alpha slots.
    pub fn new(config: Config, _recovered: Recovered, _now: Now) -> Paxos {
        Paxos { config }
    }
    pub fn on_message(&mut self, _now: Now, _from: NodeId, _message: Message, _fx: &mut Effects) {}
    pub fn on_tick(&mut self, _now: Now, _fx: &mut Effects) {}
    pub fn on_connected(&mut self, _now: Now, _peer: NodeId, _fx: &mut Effects) {}
    pub fn on_disconnected(&mut self, _now: Now, _peer: NodeId, _fx: &mut Effects) {}
    pub fn propose(&mut self, batch: Batch, _fx: &mut Effects) -> Result<Slot, NotProposed> {
        Err(NotProposed::NoPen(batch))
    }
    pub fn can_propose(&self) -> bool {
        false
    }
    pub fn in_flight(&self) -> usize {
        0
    }
    pub fn has_pen(&self) -> bool {
        false
    }
    pub fn leader(&self) -> Option<NodeId> {
        None
    }
    pub fn announce(&mut self, _fx: &mut Effects) {}
    pub fn on_applied(&mut self, _slot: Slot) {}
    pub fn set_checkpoint(&mut self, _slot: Slot) {}
    pub fn trim_point(&self) -> Slot {
        Slot::ZERO
    }
    pub fn held_back_by(&self) -> Option<NodeId> {
        None
    }
    pub fn read(&mut self, _now: Now, _read: u64, _fx: &mut Effects) {}
    pub fn nudge(&mut self, _through: Slot, _fx: &mut Effects) {}
    pub fn elect(&mut self, _now: Now, _fx: &mut Effects) {}
    pub fn resign(&mut self, _now: Now, _fx: &mut Effects) {}
    pub fn status(&self) -> Status {
        Status {
            role: Role::Follower,
            leader: None,
            ballot: Ballot::ZERO,
            promised: Ballot::ZERO,
            accepted: Slot::ZERO,
            chosen: Slot::ZERO,
            applied: Slot::ZERO,
            checkpoint: Slot::ZERO,
            peers: Vec::new(),
            clock_skew_ms: 0,
            quorum: self.config.members.len() == 1,
        }
    }
}
