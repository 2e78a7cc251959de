//! Changes of members, as one node lives through them.
//!
//! ```text
//!   slot   ...  c  ...............  c + alpha − 1 │ c + alpha ...
//!               the change is chosen              │ its epoch begins
//!               the old members' slots            │ the holder prepares again, and goes on with the new
//! ```
//!
//! A change counts for the slots from c + alpha on, and nobody proposes one of those before having applied c. The holder's
//! promises were made by the old members, so at the first slot of the new epoch, with all before it chosen, it prepares
//! again with a new ballot, if it still has a vote; otherwise it steps down. Who is in no epoch from a node's floor
//! on is a stranger to it: told so, not promised to, and allowed to learn that it was removed.

use crate::config::Now;
use crate::effects::{Effects, Event, Record, Serve};
use crate::ids::{NodeId, Slot};
use crate::members::{Membership, Window};
use crate::message::Message;
use crate::paxos::Paxos;
use crate::proposer::Proposer;

impl Paxos {
    /// A change of members was chosen in this slot. To be called as soon as the batch came out of `Effects::chosen`, and
    /// before `on_applied` says that it is applied.
    ///
    /// # Panics
    /// If the slot is not chosen, or a later change was told before.
    pub fn on_change(&mut self, now: Now, chosen_at: Slot, membership: Membership, fx: &mut Effects) {
        self.enter(now);
        assert!(chosen_at <= self.acceptor.floor(), "{chosen_at} holds a change and is not chosen");
        let first = chosen_at.plus(self.config.alpha);
        let newest = self.members.newest().0;
        assert!(first >= newest, "a change that begins at {first} was told after one that begins at {newest}");
        self.members.begin(first, membership);
        self.was_member |= self.members.newest().1.contains(self.members.me());
        self.peers.follow(&self.members);
        self.settle(fx);
    }

    /// State made elsewhere is in place here and durable: everything through `through` is chosen and applied, and slots
    /// belong to `epochs` from there on; changes chosen above it are told after this. Nothing happens if this node has
    /// applied as much by itself.
    pub fn install(&mut self, now: Now, through: Slot, epochs: Vec<(Slot, Membership)>, fx: &mut Effects) {
        self.enter(now);
        if through > self.learner.applied {
            // What is in flight below may have been decided by others, so the marks of this ballot could be untrue.
            self.give_up(fx);
        }
        if through > self.acceptor.floor() {
            self.acceptor.jump(through);
            self.learner.note_progress(self.now);
        }
        if through > self.learner.applied {
            self.members.replace(epochs);
            self.was_member |= self.members.epochs().iter().any(|(_, known)| known.contains(self.members.me()));
            self.peers.follow(&self.members);
            self.learner.applied = through;
            self.mark_chosen(fx);
        }
        self.settle(fx);
    }

    /// The slots that this node may have to do with next: their epochs are what it stands for.
    pub(crate) fn window(&self) -> Window {
        let first = self.acceptor.floor().next();
        Window { first, last: first.max(self.learner.applied.plus(self.config.alpha)) }
    }

    /// Whether this node has a vote in the last slot that it may propose. Who has none there leaves proposing to others.
    pub(crate) fn is_voter(&self) -> bool {
        self.members.of(self.window().last).is_voter(self.members.me())
    }

    /// A proposer's promises end where another epoch begins, and standing ends with the vote.
    pub(crate) fn cross(&mut self, fx: &mut Effects) {
        let must_cross = match &self.proposer {
            Proposer::Idle => return,
            Proposer::Standing(_) => !self.is_voter(),
            Proposer::Active(active) => active.must_cross(self.learner.applied, &self.members, self.rules),
        };
        if must_cross && self.is_voter() && self.may_lead() && self.may_vote() {
            self.stand(fx);
        } else if must_cross {
            self.announce(fx);
            self.give_up(fx);
        }
    }

    /// Epochs that end at the floor or below are of no use any more, nor are those who were only in them.
    pub(crate) fn forget_epochs(&mut self) {
        if self.members.forget_below(self.acceptor.floor()) {
            self.peers.follow(&self.members);
        }
    }

    /// Somebody speaks that is in no epoch from this node's floor on. It may learn, hear how far the others are, and tell
    /// what it remembers: who comes back on an empty disk knows only the founders, and they may be long gone.
    pub(crate) fn on_stranger(&mut self, from: NodeId, message: &Message, fx: &mut Effects) {
        let answer = match message {
            Message::Prepare { .. } | Message::Accept { .. } | Message::ReadQuery { .. } => {
                let (floor, version) = (self.acceptor.floor(), self.members.of(self.acceptor.floor().next()).version);
                Message::NotMember { floor, version }
            }
            Message::Heartbeat { round, .. } => Message::HeartbeatReply { round: *round, pulse: self.pulse() },
            Message::Learn { from: first } => return self.serve(from, *first, fx),
            Message::Memory { promised, accepted } => return self.on_memory(from, *promised, *accepted, fx),
            _ => return,
        };
        fx.send.push((from, answer));
    }

    pub(crate) fn serve(&mut self, to: NodeId, first: Slot, fx: &mut Effects) {
        if first > Slot::ZERO && first <= self.acceptor.floor() {
            fx.serve.push(Serve { to, from: first });
        }
    }

    pub(crate) fn on_not_member(&mut self, from: NodeId, floor: Slot, version: u64, fx: &mut Effects) {
        if floor > self.acceptor.floor() {
            fx.events.push(Event::NotMember { by: from, version });
        }
    }

    /// Asked for a slot that it needs next, a peer says that its log begins later: only state sent from there helps.
    pub(crate) fn on_behind(&mut self, from: NodeId, slot: Slot, first: Slot, fx: &mut Effects) {
        let next = self.acceptor.floor().next();
        if slot == next && first > next && self.learner.has_asked(from) {
            fx.behind = Some(from);
        }
    }

    /// This node was a member and is none any more, and a majority of those that are has everything durably that it ever
    /// had a vote in: nobody will need it again.
    pub(crate) fn may_leave(&self) -> bool {
        let me = self.members.me();
        let is_out = !self.members.epochs().iter().any(|(_, membership)| membership.contains(me));
        let last = self.members.first_known().prev();
        let keeps = |node: NodeId| self.peers.get(node).is_some_and(|peer| peer.kept >= last);
        self.was_member && is_out && self.members.of(self.acceptor.floor().next()).is_majority(keeps)
    }

    pub(crate) fn mark_chosen(&mut self, fx: &mut Effects) {
        let through = self.acceptor.floor();
        if through > self.marked {
            self.marked = through;
            fx.persist.push(Record::Chosen { through });
        }
    }
}
