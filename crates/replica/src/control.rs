//! The replica's half of the group's changes: founding, what a chosen change means here, checks.
//!
//! The proposer sees to it that the founding is in the log, that a change of members is followed by no-ops until
//! it is in force, and that all nodes compare their books now and then. None of these waits for a caller.

use crate::group::{Group, Op};
use crate::message::Message;
use crate::output::Output;
use crate::replica::Replica;
use crate::request;
use paxos::{Batch, Effects, Membership, Mode, NodeId, Now, Slot};

/// The number under which this node proposes on its own behalf: no caller has it.
const OWN_SEQ: u64 = u64::MAX;

/// In leaderless mode nobody stays the proposer for good: who has seen no check for so many times the usual, in hundredths,
/// takes over to propose one. Nodes differ, so that rarely two do.
const CHECK_MISSED_PERCENT: (u64, u64) = (150, 300);

/// Where the group stands with comparing its books, as far as this node has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Checks {
    /// Number of the next check.
    next: u64,
    /// When the last one was chosen, or proposed here.
    last_us: u64,
    /// A founding proposed here and not chosen yet; proposed again under another ballot.
    pub(crate) founding: bool,
}

impl Replica {
    /// The group as far as this node knows: as of the last slot chosen here, or, before a newcomer has come that far, as
    /// its configuration says.
    pub fn group(&self) -> &Group {
        if self.configured.version > self.group.version { &self.configured } else { &self.group }
    }

    /// Whose slots are, for Paxos.
    pub(crate) fn epochs(&self) -> Vec<(Slot, Membership)> {
        self.group().epochs()
    }

    /// If a change is chosen, it is in force for the slots that it says, on every node alike.
    pub(crate) fn on_control(&mut self, now: Now, slot: Slot, batch: &Batch, fx: &mut Effects) {
        let Some(control) = request::control(batch) else { return };
        if let Op::Check { number } = control.change.op {
            self.checks.next = number.wrapping_add(1);
            self.checks.last_us = now.mono_us;
        }
        let (turn, was_founded) = (self.group.turn, self.group.is_founded());
        // Refused here, it is refused everywhere; who asked is told by the applier.
        if self.group.apply(slot, &control.change, self.group_rules).is_err() {
            return;
        }
        let is_news = self.group.version > self.configured.version;
        if is_news && was_founded && self.group.turn != turn {
            self.paxos.on_change(now, slot, self.group.membership(), fx);
        }
        if is_news {
            self.paxos.set_mode(now, self.group.mode, fx);
        }
    }

    /// What the proposer proposes on its own behalf.
    pub(crate) fn propose_control(&mut self, now: Now, fx: &mut Effects) {
        if let Some(since) = self.group.pending_after(self.paxos.floor().next()) {
            self.paxos.nudge(since.prev(), fx);
        }
        if !self.paxos.can_propose() {
            return;
        }
        if !self.group.is_founded() {
            if !self.checks.founding && !self.group.members.is_empty() {
                self.checks.founding = true;
                let (members, mode, alpha) = (self.group.members.clone(), self.group.mode, self.group.alpha);
                self.propose_own(now, Op::Found { members, mode, alpha }, fx);
            }
            return;
        }
        let check_us = self.settings.check_us;
        if check_us > 0 && now.mono_us.saturating_sub(self.checks.last_us) >= check_us {
            self.checks.last_us = now.mono_us;
            self.propose_own(now, Op::Check { number: self.checks.next }, fx);
        }
    }

    fn propose_own(&mut self, now: Now, op: Op, fx: &mut Effects) {
        let change = crate::group::Change { expected_version: 0, op };
        let time_ms = self.next_log_time_ms(now);
        let batch = request::encode_control(time_ms, self.own_tag(OWN_SEQ), &change);
        // Not proposed now, it is proposed a little later: nobody waits for it.
        let _ = self.paxos.propose(batch, fx);
    }

    /// In leaderless mode a node takes over when something has waited too long: a request, or the next check.
    pub(crate) fn tell_what_waits(&mut self) {
        if self.group().mode != Mode::Leaderless {
            return;
        }
        let request = self.desk.waits_since_us();
        self.paxos.waits(request.into_iter().chain(self.missed_check_us()).min());
    }

    /// Since when a check is missed, if one is.
    fn missed_check_us(&self) -> Option<u64> {
        let (least, most) = CHECK_MISSED_PERCENT;
        let check_us = Some(self.settings.check_us).filter(|check_us| *check_us > 0)?;
        // Another share on every node and after every check.
        let spread = u64::from(self.me.get()).wrapping_add(self.checks.next).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let percent = least + spread % (most - least);
        let due_us = self.checks.last_us.saturating_add(check_us.saturating_mul(percent) / 100);
        Some(due_us).filter(|due_us| *due_us <= self.now_us)
    }

    /// What this node found at a check goes to all others.
    pub(crate) fn on_own_digest(&mut self, slot: Slot, digest: [u8; 32], out: &mut Output) {
        let members = self.group().members.clone();
        let others = members.keys().filter(|node| **node != self.me);
        out.send.extend(others.map(|node| (*node, Message::Digest { slot, digest })));
        self.digests.keep(|node| members.contains_key(&node));
        self.digests.note(self.me, slot, digest);
        self.compare(slot, out);
    }

    pub(crate) fn on_digest(&mut self, from: NodeId, slot: Slot, digest: [u8; 32], out: &mut Output) {
        self.digests.note(from, slot, digest);
        self.compare(slot, out);
    }

    fn compare(&mut self, slot: Slot, out: &mut Output) {
        let voters = self.group().voters().collect();
        if let Some(divergence) = self.digests.divergence(self.me, slot, &voters) {
            out.diverged.get_or_insert(divergence);
        }
        self.confirm(slot);
    }
}
