//! How a run ends: the trouble stops and everything heals, and then the group must come right by itself, in bounded time.
//!
//! ```text
//! Troubled ──time──► Healed ──all asked for is answered, all nodes equal──► power cut of all ──► Restarted ──all equal──► Over
//! ```
//!
//! The last power cut asks for what acknowledgement promises: what was answered is on disks, not in memories. After it the
//! journals of all nodes are read from end to end.

use crate::check::{Violation, must};
use crate::control::Control;
use crate::node::Node;
use crate::trace::Who;
use crate::world::{End, Event, Step, World};
use ledger::{Body, Outcome, Record, TransferId};
use std::collections::BTreeMap;
use storage::{JournalMark, StorageError};

/// From the end of trouble until everything must be well, in virtual microseconds. A few elections and catch-ups take
/// well under a second; what is not done in this time is stuck.
const RECOVERY_US: u64 = 20_000_000;
/// The same where nothing has to be well.
const STANDSTILL_US: u64 = 3_000_000;
/// A node that differs from the others stops within this time.
const DIVERGENCE_US: u64 = 10_000_000;
const LOOK_EVERY_US: u64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Troubled,
    Healed { since_us: u64 },
    Restarted { since_us: u64 },
    Over,
}

impl World {
    pub(crate) fn is_troubled(&self) -> bool {
        self.phase == Phase::Troubled
    }

    /// Since when there has been no trouble.
    pub(crate) fn healed_us(&self) -> Option<u64> {
        match self.phase {
            Phase::Troubled | Phase::Over => None,
            Phase::Healed { since_us } | Phase::Restarted { since_us } => Some(since_us),
        }
    }

    /// Time to see whether the next part of the run can begin.
    pub(crate) fn look_around(&mut self) -> Step {
        let now = self.schedule.now_us();
        if !self.is_troubled() {
            self.check_flipped()?;
        }
        match self.phase {
            Phase::Troubled => {
                self.heal();
                self.phase = Phase::Healed { since_us: now };
            }
            Phase::Healed { since_us } => {
                if self.clients.are_done() && self.operator_is_content() && self.nodes_are_equal() {
                    self.restart_all();
                    self.phase = Phase::Restarted { since_us: now };
                } else {
                    self.wait_on(now - since_us)?;
                }
            }
            Phase::Restarted { since_us } => {
                if self.nodes_are_equal() {
                    self.check_journals()?;
                    self.phase = Phase::Over;
                } else {
                    self.wait_on(now - since_us)?;
                }
            }
            Phase::Over => {}
        }
        self.schedule.after(LOOK_EVERY_US, Event::LookAround);
        Ok(())
    }

    fn heal(&mut self) {
        self.trace
            .event(self.schedule.now_us(), Who::World, "healed", &[], || "no more trouble from here on".to_owned());
        self.network.calm();
        for node in 0..self.nodes.len() {
            let machine = &mut self.nodes[node];
            machine.clock.correct();
            machine.full = false;
            machine.slowness = 1;
            // A process that would have failed at its next operation goes on: the trouble is over.
            machine.armed = false;
            machine.disk.heal();
            self.schedule.after(1_000, Event::Start { node });
        }
        self.clients.finish();
        self.settle_wishes();
    }

    fn restart_all(&mut self) {
        self.trace.event(self.schedule.now_us(), Who::World, "power cut", &[], || "of all nodes".to_owned());
        for node in 0..self.nodes.len() {
            self.crash(node, End::PowerLoss);
        }
    }

    /// All members run and have applied the same slots, the highest that anybody ever applied among them; who is a member
    /// no longer has been switched off. A newcomer that was removed before it heard of the group waits at its door for ever: it
    /// holds nothing, and has no vote to cast, and whoever set it up switches it off.
    fn nodes_are_equal(&self) -> bool {
        let highest = self.checks.agreement.highest();
        let group = self.checks.members.present();
        let is_member = |node: &Node| group.role(node.id).is_some() || !group.is_founded();
        self.nodes.iter().all(|node| match &node.process {
            Some(process) if is_member(node) => {
                process.applier.applied().get() == highest && process.to_apply.is_empty() && !process.is_flipped()
            }
            Some(process) => u32::from(node.id.get()) >= group.next_number || process.applier.applied().get() == 0,
            None => !is_member(node),
        })
    }

    /// A balance that is another one in one node's memory is noticed, or gone with the process, in time.
    pub(crate) fn check_flipped(&self) -> Step {
        let now = self.schedule.now_us();
        let late = self.nodes.iter().find(|node| {
            let flipped_at_us = node.process.as_ref().and_then(|process| process.flipped_at_us);
            flipped_at_us.is_some_and(|at_us| at_us + DIVERGENCE_US < now)
        });
        must(late.is_none(), || {
            let node = late.map_or(0, |node| node.id.get());
            format!(
                "divergence: a balance in node {node}'s memory was changed {} s ago, and nobody notices",
                DIVERGENCE_US / 1_000_000
            )
        })
    }

    /// Waits on, unless it took too long. A run whose rule about members is off may come to stand still, and is over
    /// then: what such a rule guards is that nobody disagrees.
    fn wait_on(&mut self, waited_us: u64) -> Step {
        if self.control.is_some_and(Control::may_stand_still) {
            if waited_us > STANDSTILL_US {
                self.phase = Phase::Over;
            }
            return Ok(());
        }
        self.check_progress(waited_us)
    }

    fn check_progress(&self, waited_us: u64) -> Step {
        must(waited_us < RECOVERY_US, || {
            let nodes: Vec<String> = self
                .nodes
                .iter()
                .map(|node| match &node.process {
                    None => format!("{} down", node.id),
                    Some(process) => {
                        let status = process.replica.status();
                        format!(
                            "{} {:?} leader {:?} chosen {} applied {}",
                            node.id, status.role, status.leader, status.chosen, status.applied
                        )
                    }
                })
                .collect();
            format!(
                "progress: {} s after all trouble ended, highest slot {}, {}; {}; nodes: {}",
                RECOVERY_US / 1_000_000,
                self.checks.agreement.highest(),
                self.clients.waiting(),
                self.in_short(),
                nodes.join("; ")
            )
        })
    }

    /// Every node's journal, from end to end: each id's first outcome is there exactly once, and nothing else moved money.
    fn check_journals(&self) -> Step {
        let group = self.checks.members.present();
        for node in self.nodes.iter().filter(|node| group.role(node.id).is_some()) {
            let process = node.process.as_ref().expect("all members run");
            let reader = process.applier.reader();
            let whole = reader.check(JournalMark::START, process.applier.mark(), |_, _| ());
            if node.rotten && whole.as_ref().is_err_and(StorageError::is_rot) {
                // It lies in what nobody has read since; whoever reads it is told so.
                continue;
            }
            whole.map_err(|error| Violation(format!("journal: node {}: {error}", node.id)))?;
            let mut outcomes: BTreeMap<TransferId, Record> = BTreeMap::new();
            for place in 0..process.applier.places() {
                let bytes = process.applier.record(place).map_err(|error| {
                    Violation(format!("journal: node {} cannot read place {place}: {error}", node.id))
                })?;
                // A batch's header is no record of the ledger.
                let Ok(record) = Record::decode(&bytes) else { continue };
                let Some(id) = outcome_id(&record.body) else { continue };
                let before = outcomes.insert(id, record);
                must(before.is_none(), || {
                    format!("journal: node {} has two outcomes of {id}: {:?} and {:?}", node.id, before, record.body)
                })?;
            }
            for (id, first) in self.checks.books.outcomes() {
                let Some(record) = outcomes.remove(&id) else {
                    return Err(Violation(format!(
                        "journal: node {} has lost {id}, which was {:?} in slot {}",
                        node.id, first.outcome, first.slot
                    )));
                };
                must((record.slot, record.place) == (first.slot, first.place), || {
                    format!("journal: node {} has {id} in slot {}, it was in {}", node.id, record.slot, first.slot)
                })?;
                let posted = matches!(record.body, Body::TransferPosted { .. });
                must(posted == matches!(first.outcome, Outcome::Posted { .. }), || {
                    format!(
                        "journal: node {} has {:?} for {id}, the answer was {:?}",
                        node.id, record.body, first.outcome
                    )
                })?;
            }
            must(outcomes.is_empty(), || {
                format!("journal: node {} has outcomes that nobody was given: {:?}", node.id, outcomes.keys())
            })?;
        }
        Ok(())
    }
}

/// The id whose one outcome this record is.
fn outcome_id(body: &Body) -> Option<TransferId> {
    match body {
        Body::TransferPosted { movement, .. }
        | Body::HoldPlaced { movement, .. }
        | Body::TransferRejected { movement, .. }
        | Body::HoldRejected { movement, .. } => Some(movement.id),
        Body::AccountClosed { id, .. }
        | Body::CloseRejected { id, .. }
        | Body::Tombstone { id }
        | Body::SecretChanged { id, .. }
        | Body::SecretRejected { id, .. }
        | Body::LockChanged { id, .. }
        | Body::LockRejected { id, .. } => Some(*id),
        Body::AccountOpened { .. }
        | Body::HoldNoted { .. }
        | Body::KeyClaimed { .. }
        | Body::FenceRaised { .. }
        | Body::OpenRejected { .. }
        | Body::HoldPosted { .. }
        | Body::HoldVoided { .. }
        | Body::PostHoldRejected { .. }
        | Body::VoidHoldRejected { .. }
        | Body::VoidTransferRejected { .. }
        | Body::SettingChanged { .. }
        | Body::SettingRejected { .. }
        | Body::CustomerAdded { .. }
        | Body::CustomerRejected { .. } => None,
    }
}
