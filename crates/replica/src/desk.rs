//! The desk: requests of this node's own callers whose slot is not known yet.
//!
//! Each lies at hand, or waits in this node's own queue for the pen, or has been proposed here, or was passed on to
//! who holds the pen. An attempt that may have reached a log anywhere leaves the request *exposed*: from then on its
//! fate at the deadline is "unknown", never "refused". An attempt counts as harmless again only when the node that it
//! was passed on to says so.

use crate::message::ForwardRefusal;
use bytes::Bytes;
use paxos::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// To be sent on its way when there is a way.
    AtHand,
    /// In this node's queue for the pen.
    Queued,
    /// In a slot that this node proposed.
    Proposed,
    /// Passed on.
    Forwarded { to: NodeId, at_us: u64 },
    /// Refused by the node that it was passed on to; to be tried again a little later.
    Resting { until_us: u64 },
}

/// One caller's request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Order {
    pub(crate) request: Bytes,
    pub(crate) deadline_us: u64,
    pub(crate) place: Place,
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
    /// Nothing was proposed: no majority, or nobody held the pen, until the deadline.
    NotProposed,
    /// Nothing was proposed: this node, or the one that holds the pen, holds all that it may.
    Overloaded,
    /// Nothing was proposed: the node is shutting down.
    Leaving,
    /// It was proposed, or may have been; only a retry of its ids, or voiding them, will tell.
    OutcomeUnknown,
}

/// All orders of this node's callers, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Desk {
    orders: BTreeMap<u64, Order>,
    /// Orders at hand, oldest first: looked at on every step, so kept apart from the many that are under way.
    at_hand: BTreeSet<u64>,
    bytes: usize,
}

impl Desk {
    pub(crate) fn len(&self) -> usize {
        self.orders.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn put(&mut self, seq: u64, request: Bytes, deadline_us: u64) {
        self.bytes += request.len();
        let order = Order {
            request,
            deadline_us,
            place: Place::AtHand,
            attempts: 0,
            open_attempts: BTreeSet::new(),
            proposed_here: false,
            last_refusal: None,
        };
        let before = self.orders.insert(seq, order);
        assert!(before.is_none(), "request numbers are given out once");
        self.at_hand.insert(seq);
    }

    /// Takes the oldest request at hand and says where it goes now.
    pub(crate) fn take_at_hand(&mut self, goes: impl FnOnce(&mut Order) -> Place) -> Option<(u64, Bytes, u32)> {
        let seq = self.at_hand.pop_first()?;
        let order = self.orders.get_mut(&seq).expect("what is at hand is on the desk");
        order.attempts += 1;
        order.place = goes(order);
        if let Place::Forwarded { .. } = order.place {
            order.open_attempts.insert(order.attempts);
        }
        Some((seq, order.request.clone(), order.attempts))
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

    /// The request's slot is chosen: the state machine's answer will end it. Is it still waited for?
    pub(crate) fn settle(&mut self, seq: u64) -> bool {
        self.at_hand.remove(&seq);
        match self.orders.remove(&seq) {
            Some(order) => {
                self.bytes -= order.request.len();
                true
            }
            None => false,
        }
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

    fn give_up(&mut self, seq: u64) -> Refusal {
        let order = self.orders.remove(&seq).expect("listed just before");
        self.at_hand.remove(&seq);
        self.bytes -= order.request.len();
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
        desk.put(7, Bytes::from_static(b"pay"), 1_000);
        desk
    }

    fn forward(desk: &mut Desk) -> u32 {
        desk.take_at_hand(|_| Place::Forwarded { to: node(2), at_us: 0 }).expect("one is at hand").2
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
        desk.refused(7, first, ForwardRefusal::NoPen, 0);
        assert_eq!(desk.expire(1_000), [(7, Refusal::Overloaded)]);
    }

    #[test]
    fn what_was_proposed_here_stays_exposed_when_the_pen_is_lost() {
        let mut desk = desk_with_one();
        desk.take_at_hand(|_| Place::Queued);
        desk.mark_proposed(7);
        desk.recall(|place| place == Place::Proposed);
        assert_eq!(desk.next_at_hand_bytes(), Some(3));
        assert_eq!(desk.expire(1_000), [(7, Refusal::OutcomeUnknown)]);
    }

    #[test]
    fn a_chosen_request_is_waited_for_once() {
        let mut desk = desk_with_one();
        assert!(desk.settle(7));
        assert!(!desk.settle(7));
        assert_eq!(desk.expire(u64::MAX), []);
    }
}
