//! Requests that go to another node: to the proposer, or through a node that hears it.
//!
//! What is not proposed there comes back refused, with the attempt that it was, and goes its way again; a node refuses only
//! what it has not proposed, so the refusal is a promise.

use super::Replica;
use crate::desk::{Kind, Place, Taken};
use crate::group;
use crate::message::{ForwardRefusal, Forwarded, ForwardedChange, Message, RefusedForward};
use crate::output::Output;
use crate::queue::{BATCH_BYTES_MAX, Queued, Waiting};
use crate::request::{Tag, Tagged};
use paxos::{NodeId, Now};
use std::collections::BTreeMap;

/// How long a request rests after a node refused it, unless another node is elected before.
const REST_US: u64 = 10_000;

impl Replica {
    /// Somebody passed requests on to this node, taking it for the proposer.
    pub(super) fn on_forward(&mut self, from: NodeId, requests: Vec<Forwarded>, out: &mut Output) {
        let (mut refused, mut relayed) = (Vec::new(), Vec::new());
        let relay_to = self.relay_to(from);
        for Forwarded { request, attempt } in requests {
            let tag = request.tag;
            if relay_to.is_some() && tag.origin == from.get() {
                relayed.push(Forwarded { request, attempt });
                continue;
            }
            let waiting = Waiting { request, kind: Kind::Request, from: Some((from, attempt)) };
            refused.extend(self.queue_forwarded(waiting).map(|why| refusal(tag, attempt, why)));
        }
        if !refused.is_empty() {
            out.send.push((from, Message::ForwardRefused(refused)));
        }
        if let Some(leader) = relay_to.filter(|_| !relayed.is_empty()) {
            out.send.push((leader, Message::Forward(relayed)));
        }
    }

    /// Where requests go that `from` sends to this node because it has no connection to the leader itself. They go one
    /// node further, never more: only those of the sender's own callers are relayed.
    fn relay_to(&self, from: NodeId) -> Option<NodeId> {
        let leader = self.paxos.leader().filter(|leader| !self.leaving && *leader != self.me && *leader != from)?;
        (self.paxos.next_hop() == Some(leader)).then_some(leader)
    }

    /// What another node did not propose. What was relayed goes back to where it came from.
    pub(super) fn on_forward_refused(
        &mut self,
        now: Now,
        from: NodeId,
        refused: Vec<RefusedForward>,
        out: &mut Output,
    ) {
        let mut relayed: BTreeMap<NodeId, Vec<RefusedForward>> = BTreeMap::new();
        for refusal in refused {
            let RefusedForward { origin, seq, boot, attempt, why } = refusal;
            if origin != self.me.get() {
                if let Some(origin) = NodeId::new(origin).filter(|origin| *origin != from) {
                    relayed.entry(origin).or_default().push(refusal);
                }
            } else if boot == self.settings.boot {
                self.desk.refused(seq, attempt, why, now.mono_us + REST_US);
            }
        }
        out.send.extend(relayed.into_iter().map(|(origin, list)| (origin, Message::ForwardRefused(list))));
    }

    pub(super) fn on_forward_change(&mut self, from: NodeId, forwarded: ForwardedChange, out: &mut Output) {
        if let Some(leader) = self.relay_to(from).filter(|_| forwarded.tag.origin == from.get()) {
            out.send.push((leader, Message::ForwardChange(forwarded)));
            return;
        }
        let ForwardedChange { tag, attempt, change } = forwarded;
        let request = Tagged { tag, request: group::encode(&change) };
        let waiting = Waiting { request, kind: Kind::Change, from: Some((from, attempt)) };
        if let Some(why) = self.queue_forwarded(waiting) {
            out.send.push((from, Message::ForwardRefused(vec![refusal(tag, attempt, why)])));
        }
    }

    /// Says why not, if it is not queued.
    fn queue_forwarded(&mut self, waiting: Waiting) -> Option<ForwardRefusal> {
        if self.leaving || !self.is_or_becomes_proposer() {
            Some(ForwardRefusal::NotProposer)
        } else if self.queue.push(waiting) == Queued::Full {
            Some(ForwardRefusal::Full)
        } else {
            None
        }
    }

    pub(super) fn refuse_waiting(&mut self, out: &mut Output) {
        for Waiting { request: Tagged { tag, .. }, from, .. } in self.queue.clear() {
            if let Some((from, attempt)) = from {
                let refused = refusal(tag, attempt, ForwardRefusal::NotProposer);
                out.send.push((from, Message::ForwardRefused(vec![refused])));
            }
        }
    }

    #[expect(clippy::expect_used, reason = "the change was encoded by this node")]
    pub(super) fn forward_own(&mut self, now: Now, to: NodeId, out: &mut Output) {
        let place = Place::Forwarded { to, at_us: now.mono_us };
        let mut bytes = 0;
        let mut requests = Vec::new();
        while let Some(more) = self.desk.next_at_hand_bytes() {
            if bytes + more > BATCH_BYTES_MAX && !requests.is_empty() {
                out.send.push((to, Message::Forward(std::mem::take(&mut requests))));
                bytes = 0;
            }
            bytes += more;
            let Some(Taken { seq, kind, request, attempt }) = self.desk.take_at_hand(place) else { break };
            let tag = self.own_tag(seq);
            match kind {
                Kind::Request => requests.push(Forwarded { request: Tagged { tag, request }, attempt }),
                Kind::Change => {
                    let change = group::decode(request).expect("it was encoded when it came");
                    out.send.push((to, Message::ForwardChange(ForwardedChange { tag, attempt, change })));
                }
            }
        }
        if !requests.is_empty() {
            out.send.push((to, Message::Forward(requests)));
        }
    }
}

fn refusal(tag: Tag, attempt: u32, why: ForwardRefusal) -> RefusedForward {
    RefusedForward { origin: tag.origin, seq: tag.seq, boot: tag.boot, attempt, why }
}
