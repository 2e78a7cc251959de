//! What is done to disks and memories behind the back of a node: its disk is wiped, or an older copy of it is put back; a
//! byte rots; a balance in memory is another one.
//!
//! Each is done only where the group is promised to survive it: never to more than a minority of the voters, in whatever
//! version of the group is in force or coming. A wiped or older disk is put in while every other voter runs and has
//! heard more from the node than the disk holds; nobody can know what was only ever told to somebody who is not there.

use crate::check::must;
use crate::control::Control;
use crate::node::{DIR, Fate, Stored};
use crate::trace::Who;
use crate::world::{End, Event, Step, World};
use paxos::NodeId;
use std::path::{Path, PathBuf};
use storage::{FaultyDisk, LogPlace, Target};

/// Copies of a disk are taken this often, and so many are kept.
const COPY_EVERY_US: (u64, u64) = (50_000, 400_000);
const COPIES: usize = 3;
/// After a disk was put back, other trouble waits this long: the others' memory of the node must still be there.
const EXAM_US: u64 = 400_000;

/// Where a byte rots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A record of the log, the first place of votes and promises.
    Log,
    /// Their second place.
    SecondPlace,
    Journal,
    Table,
    Runs,
    Manifest,
}

pub(crate) const ALL_PARTS: [Part; 6] =
    [Part::Log, Part::SecondPlace, Part::Journal, Part::Table, Part::Runs, Part::Manifest];

impl Part {
    fn holds(self, target: &Target) -> bool {
        let is_manifest = target.path.to_string_lossy().contains("manifest");
        match (self, target.part, target.place) {
            (Part::Log, storage::Part::Log, Some(LogPlace::First))
            | (Part::SecondPlace, storage::Part::Log, Some(LogPlace::Second))
            | (Part::Journal, storage::Part::Journal, _)
            | (Part::Runs, storage::Part::Ids, _) => true,
            (Part::Table, storage::Part::Store, _) => !is_manifest,
            (Part::Manifest, storage::Part::Store, _) => is_manifest,
            _ => false,
        }
    }
}

impl World {
    /// Takes a copy of some running node's disk, to be put back later.
    pub(crate) fn on_copy(&mut self) -> Step {
        if !self.is_troubled() {
            return Ok(());
        }
        let delay = self.random.between(COPY_EVERY_US.0, COPY_EVERY_US.1);
        self.schedule.after(delay, Event::Copy);
        let node = self.random.index(self.nodes.len());
        let seed = self.random.next();
        let machine = &mut self.nodes[node];
        if let Some(process) = &machine.process {
            let status = process.replica.status();
            let copy = Stored {
                disk: machine.disk.copy(seed),
                promised: status.promised,
                accepted: status.accepted,
                checkpoint: machine.checkpoint,
            };
            if machine.copies.len() >= COPIES {
                machine.copies.remove(0);
            }
            machine.copies.push(copy);
        }
        Ok(())
    }

    pub(crate) fn schedule_copies(&mut self) {
        let delay = self.random.between(COPY_EVERY_US.0, COPY_EVERY_US.1);
        self.schedule.after(delay, Event::Copy);
    }

    /// Ends the node, and starts it on an empty disk.
    pub(crate) fn wipe(&mut self, node: usize) {
        let empty = Stored {
            disk: FaultyDisk::new(self.random.next()),
            promised: paxos::Ballot::ZERO,
            accepted: paxos::Slot::ZERO,
            checkpoint: 0,
        };
        if self.may_put_in(node, &empty) {
            self.tally.wiped += 1;
            self.put_in(node, empty, "wiped");
        }
    }

    /// Ends the node, and starts it on an older copy of its own disk.
    pub(crate) fn put_back(&mut self, node: usize) {
        if self.nodes[node].copies.is_empty() {
            return;
        }
        let copy = self.nodes[node].copies.remove(0);
        if self.may_put_in(node, &copy) {
            self.tally.older_copies += 1;
            self.put_in(node, copy, "older copy");
        }
    }

    fn put_in(&mut self, node: usize, stored: Stored, what: &'static str) {
        self.crash(node, End::PowerLoss);
        let machine = &mut self.nodes[node];
        (machine.disk, machine.checkpoint) = (stored.disk, stored.checkpoint);
        machine.forgot = true;
        machine.armed = false;
        machine.copies.clear();
        let now = self.schedule.now_us();
        self.quiet_until_us = if self.is_unguarded() { now } else { now + EXAM_US };
        self.trace.event(now, Who::Node(node), what, &[], || {
            format!("disk: promised {}, accepted through {}", stored.promised, stored.accepted)
        });
    }

    /// Whether the rule of the peers' memory promises to notice this disk.
    fn may_put_in(&self, node: usize, stored: &Stored) -> bool {
        let id = self.nodes[node].id;
        let is_voter = self.checks.members.present().voters().any(|voter| voter == id);
        let no_change = self.checks.members.present().turn.is_none_or(|turn| {
            let applied =
                self.nodes.iter().filter_map(|node| node.process.as_ref().map(|process| process.applier.applied()));
            applied.min().is_some_and(|lowest| lowest >= turn.since)
        });
        let others = || self.voters().into_iter().filter(|other| *other != node);
        is_voter
            && no_change
            && self.nodes[node].is_up()
            && !self.nodes[node].full
            && self.voters().len() >= 3
            && (self.is_unguarded() || self.may_lose(node) && self.schedule.now_us() >= self.quiet_until_us)
            && others().all(|other| self.remembers(other, node, stored))
    }

    /// The rule is off that would refuse such a disk: then it need not be given the time to.
    fn is_unguarded(&self) -> bool {
        matches!(self.control, Some(Control::WipedDiskVotes | Control::OlderCopyVotes))
    }

    /// The other runs, is in hearing, and has heard more from the node than this disk holds.
    fn remembers(&self, other: usize, node: usize, stored: &Stored) -> bool {
        let machine = &self.nodes[other];
        let Some(process) = machine.process.as_ref().filter(|process| !process.leaving) else { return false };
        let hears = self.network.is_connected(other, node)
            && !self.network.is_cut(other, node)
            && !self.network.is_cut(node, other);
        let status = process.replica.status();
        let heard = status.peers.iter().find(|peer| peer.node == self.nodes[node].id);
        hears
            && !machine.armed
            && !machine.full
            && heard.is_some_and(|peer| peer.promised > stored.promised || peer.chosen > stored.accepted)
    }

    /// Whether the group is promised to bear that something happens to this node, besides what has happened to others.
    pub(crate) fn may_lose(&self, node: usize) -> bool {
        let group = self.checks.members.present();
        let is_bad = |id: &NodeId| {
            let number = usize::from(id.get()) - 1;
            number == node || self.nodes[number].is_bad()
        };
        group.epochs().iter().all(|(_, members)| {
            let bad = members.voters.iter().filter(|id| is_bad(id)).count();
            bad <= (members.voters.len().max(1) - 1) / 2
        })
    }

    /// One byte of one file of that part rots, if the group is promised to bear it.
    pub(crate) fn rot(&mut self, node: usize) {
        let part = self.random.pick(&self.plan.rot);
        if !(self.nodes[node].rotten || self.may_lose(node)) || matches!(self.nodes[node].fate, Fate::Retired) {
            return;
        }
        let Some((path, offset)) = self.place_to_rot(node, part) else { return };
        self.nodes[node].disk.flip(&path, offset);
        self.nodes[node].rotten = true;
        self.tally.rotten += 1;
        self.trace.event(self.schedule.now_us(), Who::Node(node), "rots", &[offset], || {
            format!("{part:?}: {} at {offset}", path.display())
        });
    }

    /// Any byte of any record of that part, the newest ones more often.
    fn place_to_rot(&mut self, node: usize, part: Part) -> Option<(PathBuf, u64)> {
        let machine = &self.nodes[node];
        let targets = machine.disk.targets(Path::new(DIR), machine.owner());
        let targets: Vec<Target> = targets.into_iter().filter(|target| part.holds(target)).collect();
        if targets.is_empty() {
            return None;
        }
        let newest = targets.len().saturating_sub(4);
        let at = if self.random.chance(500) {
            newest + self.random.index(targets.len() - newest)
        } else {
            self.random.index(targets.len())
        };
        let bytes = targets[at].bytes.clone();
        Some((targets[at].path.clone(), self.random.between(bytes.start, bytes.end - 1)))
    }

    /// What a start mended.
    pub(crate) fn note_rot(&mut self, node: usize, mended: &[replica::recover::Mended]) -> Step {
        for found in mended {
            self.found_rot(node, &found.what);
        }
        must(mended.is_empty() || self.nodes[node].rotten, || {
            format!("node {} found rot though nothing on its disk was touched: {mended:?}", node + 1)
        })
    }

    pub(crate) fn found_rot(&mut self, node: usize, what: &str) {
        self.tally.rot_found += 1;
        self.trace.event(self.schedule.now_us(), Who::Node(node), "finds rot", &[], || what.to_owned());
    }

    /// A balance in one node's memory is another one from now on.
    pub(crate) fn flip_balance(&mut self, node: usize) {
        let reserve = self.clients.reserve();
        let may = self.may_lose(node) && self.voters().contains(&node) && self.voters().len() >= 3;
        let (Some(account), true) = (reserve, may) else { return };
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        if process.flipped_at_us.is_none() && process.applier.machine_mut().flip_balance(account) {
            process.flipped_at_us = Some(self.schedule.now_us());
            self.tally.flipped += 1;
            self.trace.event(self.schedule.now_us(), Who::Node(node), "flips", &[], || {
                "a balance in memory, of an account that nobody uses".to_owned()
            });
        }
    }

    /// What the rules make of a node that must not vote any more: it stops, and is to be replaced.
    pub(crate) fn condemn(&mut self, node: usize, why: &'static str) {
        self.trace.event(self.schedule.now_us(), Who::Node(node), "stops", &[], || format!("for good: {why}"));
        self.crash(node, End::Killed);
        self.nodes[node].fate = Fate::Stopped(why);
    }

    /// Switched off for good: no member any more.
    pub(crate) fn retire(&mut self, node: usize) {
        self.trace.event(self.schedule.now_us(), Who::Node(node), "retires", &[], String::new);
        self.tally.retired += 1;
        self.crash(node, End::Killed);
        self.nodes[node].fate = Fate::Retired;
    }
}
