//! The replica's half of the group's changes: founding, what a chosen change means here, checks.
//!
//! Whoever holds the pen sees to it that the founding is in the log, that a change of members is followed by no-ops until
//! it is in force, and that all nodes compare their books now and then. None of these waits for a caller.

use crate::group::{Change, Op};
use crate::message::Message;
use crate::output::Output;
use crate::replica::Replica;
use crate::request;
use paxos::{Effects, NodeId, Now, Slot};

/// The number under which this node proposes on its own behalf: no caller has it.
const OWN_SEQ: u64 = u64::MAX;

/// Where the group stands with comparing its books, as far as this node has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Checks {
    /// Number of the next check.
    next: u64,
    /// When the last one was chosen, or proposed here.
    last_us: u64,
    /// A founding proposed here and not chosen yet; proposed again under another pen.
    pub(crate) founding: bool,
}

impl Replica {
    /// A change is chosen. It is in force for the slots that it says, on every node alike.
    pub(crate) fn on_control(&mut self, now: Now, slot: Slot, change: &Change) {
        if let Op::Check { number } = change.op {
            self.checks.next = number.wrapping_add(1);
            self.checks.last_us = now.mono_us;
        }
        // Refused here, it is refused everywhere; who asked is told by the applier.
        let _ = self.group.apply(slot, change, self.group_rules);
    }

    /// What the holder of the pen proposes on its own behalf.
    pub(crate) fn propose_control(&mut self, now: Now, fx: &mut Effects) {
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
        let change = Change { expected_version: 0, op };
        let batch = request::encode_control(now.wall_ms, self.own_tag(OWN_SEQ), &change);
        // Not proposed now, it is proposed a little later: nobody waits for it.
        let _ = self.paxos.propose(batch, fx);
    }

    /// What this node found at a check goes to all others.
    pub(crate) fn on_own_digest(&mut self, slot: Slot, digest: [u8; 32], out: &mut Output) {
        let others = self.group.members.keys().filter(|node| **node != self.me);
        out.send.extend(others.map(|node| (*node, Message::Digest { slot, digest })));
        self.digests.keep(|node| self.group.members.contains_key(&node));
        self.digests.note(self.me, slot, digest);
        self.compare(slot, out);
    }

    pub(crate) fn on_digest(&mut self, from: NodeId, slot: Slot, digest: [u8; 32], out: &mut Output) {
        self.digests.note(from, slot, digest);
        self.compare(slot, out);
    }

    fn compare(&mut self, slot: Slot, out: &mut Output) {
        let voters = self.group.voters().collect();
        if let Some(divergence) = self.digests.divergence(self.me, slot, &voters) {
            out.diverged.get_or_insert(divergence);
        }
    }
}
