//! The desk: requests of this node's own callers, and changes that its operators ask for, whose slot is not known yet.
//!
//! Each lies at hand, or waits in this node's own queue to be proposed, or has been proposed here, or was passed on to
//! the proposer. An attempt that may have reached a log anywhere leaves the request *exposed*: from then on its
//! fate at the deadline is "unknown", never "refused". An attempt counts as harmless again only when the node that it
//! was passed on to says so.
//!
//! A request passed on is *kept*: whoever becomes the proposer proposes what lies on its own desk, wherever else it went. How
//! long the oldest has waited since it was last seen on its way, in somebody's accept, is leaderless mode's question.

use crate::message::ForwardRefusal;
use bytes::Bytes;
use paxos::{Ballot, NodeId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// To be sent on its way when there is a way.
    AtHand,
    /// In this node's queue, to be proposed.
    Queued,
    /// In a slot that this node proposed.
    Proposed,
    /// Passed on.
    Forwarded { to: NodeId, at_us: u64 },
    /// Refused by the node that it was passed on to; to be tried again a little later.
    Resting { until_us: u64 },
}

/// What an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The state machine.
    Request,
    /// The group: the bytes are a change, which goes into a batch of its own.
    Change,
}

/// What is taken off the desk to be sent on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) seq: u64,
    pub(crate) kind: Kind,
    pub(crate) request: Bytes,
    pub(crate) attempt: u32,
}

/// One caller's request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Order {
    kind: Kind,
    request: Bytes,
    /// When it came.
    since_us: u64,
    deadline_us: u64,
    place: Place,
    /// The ballot under which it was last seen in an accept, and when.
    seen: Option<(Ballot, u64)>,
    attempts: u32,
    /// Attempts that may yet be proposed by whoever got them.
    open_attempts: BTreeSet<u32>,
    proposed_here: bool,
    last_refusal: Option<ForwardRefusal>,
}

impl Order {
    /// May this request be in somebody's log?
    fn is_exposed(&self) -> bool {
        self.proposed_here || !self.open_attempts.is_empty()
    }
}

/// What is told to a caller whose request found no slot in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Nothing was proposed: no majority, or no proposer, until the deadline.
    NotProposed,
    /// Nothing was proposed: this node, or the proposer, holds all that it may.
    Overloaded,
    /// Nothing was proposed: the node is shutting down.
    Leaving,
    /// Nothing was proposed: the node is receiving its state, and cannot answer yet.
    Receiving,
    /// It was proposed, or may have been; only a retry of its ids, or voiding them, will tell.
    OutcomeUnknown,
}

/// All orders of this node's callers, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Desk {
    orders: BTreeMap<u64, Order>,
    /// Orders at hand, oldest first: looked at on every step, so kept apart from the many that are under way.
    at_hand: BTreeSet<u64>,
    /// Orders that were not seen in any accept, oldest first.
    unseen: BTreeSet<u64>,
    /// The others, by when they were seen; what is settled or was seen again is dropped when it comes to the front.
    seen: VecDeque<(u64, u64)>,
    bytes: usize,
}

impl Desk {
    pub(crate) fn len(&self) -> usize {
        self.orders.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn put(&mut self, seq: u64, kind: Kind, request: Bytes, now_us: u64, deadline_us: u64) {
        self.bytes += request.len();
        let order = Order {
            kind,
            request,
            since_us: now_us,
            deadline_us,
            place: Place::AtHand,
            seen: None,
            attempts: 0,
            open_attempts: BTreeSet::new(),
            proposed_here: false,
            last_refusal: None,
        };
        let before = self.orders.insert(seq, order);
        assert!(before.is_none(), "request numbers are given out once");
        self.at_hand.insert(seq);
        self.unseen.insert(seq);
    }

    /// Takes the oldest request at hand and says where it goes now.
    #[expect(clippy::expect_used, reason = "what is at hand is on the desk: both lists are changed together")]
    pub(crate) fn take_at_hand(&mut self, goes: Place) -> Option<Taken> {
        let seq = self.at_hand.pop_first()?;
        let order = self.orders.get_mut(&seq).expect("what is at hand is on the desk");
        order.attempts += 1;
        order.place = goes;
        if let Place::Forwarded { .. } = goes {
            order.open_attempts.insert(order.attempts);
        }
        Some(Taken { seq, kind: order.kind, request: order.request.clone(), attempt: order.attempts })
    }

    /// The request stands in an accept of that ballot: it is on its way, and its wait begins anew.
    pub(crate) fn saw(&mut self, seq: u64, ballot: Ballot, now_us: u64) {
        let Some(order) = self.orders.get_mut(&seq) else { return };
        // Resent by a holder that gets nowhere, it has not come further.
        if order.seen.is_none_or(|(seen, _)| seen < ballot) {
            order.seen = Some((ballot, now_us));
            self.unseen.remove(&seq);
            self.seen.push_back((now_us, seq));
        }
    }

    /// Since when the order that waits longest has waited, counted from when it came or was last seen in an accept.
    pub(crate) fn waits_since_us(&mut self) -> Option<u64> {
        let is_last = |(seen_us, seq): &(u64, u64)| {
            self.orders.get(seq).and_then(|order| order.seen).is_some_and(|(_, last_us)| last_us == *seen_us)
        };
        while self.seen.pop_front_if(|seen| !is_last(seen)).is_some() {}
        let unseen = self.unseen.first().and_then(|seq| self.orders.get(seq)).map(|order| order.since_us);
        let seen = self.seen.front().map(|(seen_us, _)| *seen_us);
        [unseen, seen].into_iter().flatten().min()
    }

    /// Size of the oldest request at hand.
    pub(crate) fn next_at_hand_bytes(&self) -> Option<usize> {
        let seq = self.at_hand.first()?;
        self.orders.get(seq).map(|order| order.request.len())
    }

    pub(crate) fn mark_proposed(&mut self, seq: u64) {
        if let Some(order) = self.orders.get_mut(&seq) {
            order.proposed_here = true;
            order.place = Place::Proposed;
        }
    }

    /// The request's slot is chosen: the state machine's answer will end it. Says when it came, if it is still waited for.
    pub(crate) fn settle(&mut self, seq: u64) -> Option<u64> {
        self.take_off(seq).map(|order| order.since_us)
    }

    fn take_off(&mut self, seq: u64) -> Option<Order> {
        let order = self.orders.remove(&seq)?;
        self.at_hand.remove(&seq);
        self.unseen.remove(&seq);
        self.bytes -= order.request.len();
        if self.orders.is_empty() {
            self.seen.clear();
        }
        Some(order)
    }

    /// The attempt was not proposed by the node that it was passed on to.
    pub(crate) fn refused(&mut self, seq: u64, attempt: u32, why: ForwardRefusal, rest_until_us: u64) {
        let Some(order) = self.orders.get_mut(&seq) else { return };
        let was_open = order.open_attempts.remove(&attempt);
        let is_latest = attempt == order.attempts && matches!(order.place, Place::Forwarded { .. });
        if was_open && is_latest {
            order.last_refusal = Some(why);
            order.place = Place::Resting { until_us: rest_until_us };
        }
    }

    /// Puts back at hand every order whose place `lost` says is lost.
    pub(crate) fn recall(&mut self, mut lost: impl FnMut(Place) -> bool) {
        for (seq, order) in &mut self.orders {
            if order.place != Place::AtHand && lost(order.place) {
                order.place = Place::AtHand;
                self.at_hand.insert(*seq);
            }
        }
    }

    /// Removes the orders whose time is up, each with what to tell its caller.
    pub(crate) fn expire(&mut self, now_us: u64) -> Vec<(u64, Refusal)> {
        let due: Vec<u64> =
            self.orders.iter().filter(|(_, order)| order.deadline_us <= now_us).map(|(seq, _)| *seq).collect();
        due.into_iter().map(|seq| (seq, self.give_up(seq))).collect()
    }

    /// Removes the orders that are in nobody's log and will be proposed by nobody: this node is a member no more.
    pub(crate) fn leave(&mut self) -> Vec<(u64, Refusal)> {
        let idle: Vec<u64> = self.orders.iter().filter(|(_, order)| !order.is_exposed()).map(|(seq, _)| *seq).collect();
        idle.iter().for_each(|seq| drop(self.take_off(*seq)));
        idle.into_iter().map(|seq| (seq, Refusal::Leaving)).collect()
    }

    #[expect(clippy::expect_used, reason = "its callers have just found the request in the list")]
    fn give_up(&mut self, seq: u64) -> Refusal {
        let order = self.take_off(seq).expect("listed just before");
        if order.is_exposed() {
            Refusal::OutcomeUnknown
        } else if order.last_refusal == Some(ForwardRefusal::Full) {
            Refusal::Overloaded
        } else {
            Refusal::NotProposed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u16) -> NodeId {
        NodeId::new(number).expect("not zero")
    }

    fn desk_with_one() -> Desk {
        let mut desk = Desk::default();
        desk.put(7, Kind::Request, Bytes::from_static(b"pay"), 100, 1_000);
        desk
    }

    fn forward(desk: &mut Desk) -> u32 {
        desk.take_at_hand(Place::Forwarded { to: node(2), at_us: 0 }).expect("one is at hand").attempt
    }

    fn ballot(round: u64) -> Ballot {
        Ballot { round, node: 2 }
    }

    #[test]
    fn a_request_that_went_nowhere_was_not_proposed() {
        let mut desk = desk_with_one();
        assert_eq!(desk.expire(999), []);
        assert_eq!(desk.expire(1_000), [(7, Refusal::NotProposed)]);
        assert_eq!((desk.len(), desk.bytes()), (0, 0));
    }

    #[test]
    fn a_request_passed_on_without_an_answer_has_an_unknown_fate() {
        let mut desk = desk_with_one();
        forward(&mut desk);
        assert_eq!(desk.expire(1_000), [(7, Refusal::OutcomeUnknown)]);
    }

    #[test]
    fn only_when_every_attempt_was_refused_was_nothing_proposed() {
        let mut desk = desk_with_one();
        let first = forward(&mut desk);
        desk.recall(|_| true);
        let second = forward(&mut desk);
        desk.refused(7, second, ForwardRefusal::Full, 0);
        assert_eq!(desk.clone().expire(1_000), [(7, Refusal::OutcomeUnknown)]);
        desk.refused(7, first, ForwardRefusal::NotProposer, 0);
        assert_eq!(desk.expire(1_000), [(7, Refusal::Overloaded)]);
    }

    #[test]
    fn what_was_proposed_here_stays_exposed_when_another_node_proposes() {
        let mut desk = desk_with_one();
        desk.take_at_hand(Place::Queued);
        desk.mark_proposed(7);
        desk.recall(|place| place == Place::Proposed);
        assert_eq!(desk.next_at_hand_bytes(), Some(3));
        assert_eq!(desk.expire(1_000), [(7, Refusal::OutcomeUnknown)]);
    }

    #[test]
    fn who_leaves_sends_away_only_what_is_in_nobodys_log() {
        let mut desk = desk_with_one();
        forward(&mut desk);
        desk.put(8, Kind::Request, Bytes::from_static(b"pay"), 110, 1_000);
        assert_eq!(desk.leave(), [(8, Refusal::Leaving)]);
        assert_eq!(desk.leave(), []);
        assert_eq!(desk.expire(1_000), [(7, Refusal::OutcomeUnknown)]);
    }

    #[test]
    fn a_chosen_request_is_waited_for_once() {
        let mut desk = desk_with_one();
        assert_eq!(desk.settle(7), Some(100));
        assert_eq!(desk.settle(7), None);
        assert_eq!(desk.expire(u64::MAX), []);
    }

    #[test]
    fn the_wait_begins_anew_when_the_request_is_seen_on_its_way() {
        let mut desk = desk_with_one();
        desk.put(8, Kind::Request, Bytes::from_static(b"pay"), 110, 1_000);
        assert_eq!(desk.waits_since_us(), Some(100));
        forward(&mut desk);
        assert_eq!(desk.waits_since_us(), Some(100), "passed on and kept, it waits as before");
        desk.saw(7, ballot(1), 150);
        assert_eq!(desk.waits_since_us(), Some(110), "the other was not seen");
        desk.saw(8, ballot(1), 160);
        assert_eq!(desk.waits_since_us(), Some(150));
        desk.saw(7, ballot(1), 170);
        assert_eq!(desk.waits_since_us(), Some(150), "sent again under the same ballot it has not come further");
        desk.settle(7);
        assert_eq!(desk.waits_since_us(), Some(160));
        desk.saw(8, ballot(2), 180);
        desk.saw(9, ballot(2), 180);
        assert_eq!(desk.waits_since_us(), Some(180));
        desk.settle(8);
        assert_eq!(desk.waits_since_us(), None);
    }
}
