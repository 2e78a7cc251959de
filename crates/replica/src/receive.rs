//! The replica's half of receiving the state from another node.
//!
//! While it receives, a node hands nothing over to be applied: what is chosen meanwhile waits. It takes no requests and
//! no reads either, until what it received is in place *and* another voter has said the same of the books at a check: not
//! the one that sent it, as long as there is a third that could say it. (If that one is gone for good, two nodes that had
//! received from each other would else wait for it for ever, and the bank with them.) Its promises and votes are as good
//! as ever: they depend on the log alone.

use crate::group::Group;
use crate::output::{Divergence, Output};
use crate::replica::Replica;
use crate::transfer::{Next, Transfer};
use bytes::Bytes;
use paxos::{Batch, Effects, NodeId, Now, Slot};
use storage::JournalMark;

/// Where a node stands with its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Receiving {
    transfer: Option<Transfer>,
    /// Chosen meanwhile.
    held: Vec<(Slot, Batch)>,
    /// Received from that node and not confirmed by another.
    unconfirmed: Option<Option<NodeId>>,
}

impl Receiving {
    /// Is the state machine behind what is chosen by more than a moment?
    pub(crate) fn is_under_way(&self) -> bool {
        self.transfer.is_some()
    }

    /// May callers be answered from the books here?
    pub(crate) fn is_done(&self) -> bool {
        self.transfer.is_none() && self.unconfirmed.is_none()
    }
}

impl Replica {
    /// The journal ends at `mark`, which is before what the log knows to be chosen: the rest is to be received.
    pub fn receive_at_start(&mut self, now: Now, mark: JournalMark, out: &mut Output) {
        let through = self.paxos.status().chosen.get();
        let mut transfer = Transfer::new(now.mono_us, through, self.settings.transfer_places);
        transfer.on_written(now.mono_us, mark, out);
        self.receiving.transfer = Some(transfer);
    }

    /// Places of the journal that are here, and in all, while the state is received.
    pub fn transfer(&self) -> Option<(u64, u64)> {
        self.receiving.transfer.as_ref().map(Transfer::progress)
    }

    /// Does this node answer callers? Not while it receives its state, nor before somebody has confirmed that.
    pub fn serves(&self) -> bool {
        self.receiving.is_done()
    }

    /// A peer's log begins behind what this node needs next.
    pub(crate) fn on_behind(&mut self, now: Now, peer: NodeId, out: &mut Output) {
        if self.receiving.is_under_way() {
            return;
        }
        let needs = self.paxos.status().chosen.next().get();
        let mut transfer = Transfer::new(now.mono_us, needs, self.settings.transfer_places);
        transfer.choose(now.mono_us, &[peer], out);
        self.receiving.transfer = Some(transfer);
        out.begin_transfer = true;
    }

    /// Batches that were chosen and may be applied now; none of them while the state is received.
    pub(crate) fn hand_over(&mut self, now: Now, slot: Slot, batch: Batch, fx: &mut Effects, out: &mut Output) {
        if self.receiving.is_under_way() {
            self.receiving.held.push((slot, batch));
        } else {
            self.on_control(now, slot, &batch, fx);
            out.apply.push((slot, batch));
        }
    }

    /// Sees to it that somebody sends.
    pub(crate) fn seek_sender(&mut self, now: Now, out: &mut Output) {
        let Some(transfer) = &mut self.receiving.transfer else { return };
        let mut peers = self.paxos.status().peers;
        peers.retain(|peer| peer.connected && peer.heard_us_ago.is_some());
        // Who knows most has most to send.
        peers.sort_by_key(|peer| std::cmp::Reverse(peer.chosen));
        let able: Vec<NodeId> = peers.into_iter().map(|peer| peer.node).collect();
        transfer.choose(now.mono_us, &able, out);
    }

    pub(crate) fn on_piece(&mut self, now: Now, from: NodeId, piece: (u64, JournalMark, Bytes), out: &mut Output) {
        if let Some(transfer) = &mut self.receiving.transfer {
            transfer.on_piece(now.mono_us, from, piece, out);
        }
    }

    pub(crate) fn on_receiving(&mut self, now: Now, mark: JournalMark, out: &mut Output) {
        if let Some(transfer) = &mut self.receiving.transfer {
            transfer.on_written(now.mono_us, mark, out);
        }
    }

    pub(crate) fn on_journal_refused(&mut self, now: Now, mark: JournalMark, out: &mut Output) {
        let voters = self.group().voters().count();
        let Some(transfer) = &mut self.receiving.transfer else { return };
        if transfer.on_refused(now.mono_us, mark, voters) == Next::Contradicted {
            let (slot, own) = (Slot::new(mark.slot), mark.chain);
            out.diverged.get_or_insert(Divergence { slot, own, others: Vec::new() });
        }
        self.seek_sender(now, out);
    }

    /// Everything through `mark` is in place, and the group is as it was after it.
    pub(crate) fn on_installed(
        &mut self,
        now: Now,
        (mark, group): (JournalMark, Group),
        fx: &mut Effects,
        out: &mut Output,
    ) {
        let Some(transfer) = &mut self.receiving.transfer else { return };
        let sender = transfer.sender();
        let is_over = transfer.on_installed(now.mono_us, mark, out);
        let through = Slot::new(mark.slot);
        self.group = group;
        let epochs = self.epochs();
        self.paxos.install(now, through, epochs, fx);
        let mode = self.group().mode;
        self.paxos.set_mode(now, mode, fx);
        self.note_applied(through);
        self.receiving.held.retain(|(slot, _)| *slot > through);
        if is_over {
            self.receiving.transfer = None;
            self.receiving.unconfirmed = Some(sender);
            self.confirm(through);
            for (slot, batch) in std::mem::take(&mut self.receiving.held) {
                self.hand_over(now, slot, batch, fx, out);
            }
        }
    }

    /// At that slot somebody else may have said the same as this node: then what was received is right.
    pub(crate) fn confirm(&mut self, slot: Slot) {
        let Some(sender) = self.receiving.unconfirmed else { return };
        let group = self.group();
        let others = || group.voters().filter(|node| *node != self.me);
        let peers = self.paxos.status().peers;
        let answers =
            |node| peers.iter().any(|peer| peer.node == node && peer.connected && peer.heard_us_ago.is_some());
        let is_only_other = others().filter(|node| answers(*node)).all(|node| Some(node) == sender);
        let may_confirm = |node| others().any(|other| other == node) && (is_only_other || Some(node) != sender);
        let is_confirmed = self.settings.check_us == 0
            || others().next().is_none()
            || self.digests.is_confirmed(self.me, slot, may_confirm);
        if is_confirmed {
            self.receiving.unconfirmed = None;
        }
    }
}
