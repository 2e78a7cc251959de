//! The queue of the proposer: requests, its own and those passed on to it, that wait for a slot.
//!
//! Everything that waits goes into one batch, up to the batch's bound; a change of the group goes alone. A request already waiting or in flight is not
//! taken a second time: a resend costs nothing then.

use crate::desk::Kind;
use crate::request::{Tag, Tagged, encoded_len};
use paxos::NodeId;
use std::collections::{BTreeSet, VecDeque};

/// Most bytes of requests in one batch; a single larger request goes alone.
pub(crate) const BATCH_BYTES_MAX: usize = 1 << 20;
/// Most bytes that wait to be proposed.
const QUEUE_BYTES_MAX: usize = 32 << 20;

/// A request that waits, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Waiting {
    pub(crate) request: Tagged,
    pub(crate) kind: Kind,
    /// Who passed it on, and its attempt; none for this node's own.
    pub(crate) from: Option<(NodeId, u32)>,
}

/// What waits to be proposed, and what is in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Queue {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Tags of what waits.
    waiting_tags: BTreeSet<Tag>,
    /// Tags of what was proposed under the present ballot and is not chosen yet.
    in_flight: BTreeSet<Tag>,
}

/// What became of an attempt to queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    /// It waits now.
    Taken,
    /// It waited, or was in flight, already.
    Known,
    /// There is no room.
    Full,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes of requests that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn has_room(&self) -> bool {
        self.bytes < QUEUE_BYTES_MAX
    }

    pub(crate) fn push(&mut self, waiting: Waiting) -> Queued {
        let tag = waiting.request.tag;
        if self.waiting_tags.contains(&tag) || self.in_flight.contains(&tag) {
            return Queued::Known;
        }
        if !self.has_room() {
            return Queued::Full;
        }
        self.waiting_tags.insert(tag);
        self.bytes += encoded_len(&waiting.request.request);
        self.waiting.push_back(waiting);
        Queued::Taken
    }

    /// Takes the next batch's requests, or one change, off the front; their tags stay known until they are chosen.
    pub(crate) fn next_batch(&mut self) -> (Kind, Vec<Tagged>) {
        let mut bytes = 0;
        let mut batch = Vec::new();
        let kind = self.waiting.front().map_or(Kind::Request, |first| first.kind);
        while let Some(first) = self.waiting.front() {
            let more = encoded_len(&first.request.request);
            let fits = first.kind == kind && kind == Kind::Request && bytes + more <= BATCH_BYTES_MAX;
            if !batch.is_empty() && !fits {
                break;
            }
            bytes += more;
            self.bytes -= more;
            self.waiting_tags.remove(&first.request.tag);
            self.in_flight.insert(first.request.tag);
            batch.extend(self.waiting.pop_front().map(|waiting| waiting.request));
        }
        (kind, batch)
    }

    /// A request is chosen: a copy that still waits would only be a replay.
    pub(crate) fn chosen(&mut self, tag: Tag) {
        if !self.in_flight.remove(&tag) {
            self.withdraw(tag);
        }
    }

    /// Removes a request that waits: its caller's time is up, or it was chosen by another way.
    pub(crate) fn withdraw(&mut self, tag: Tag) {
        if self.waiting_tags.remove(&tag)
            && let Some(index) = self.waiting.iter().position(|waiting| waiting.request.tag == tag)
            && let Some(waiting) = self.waiting.remove(index)
        {
            self.bytes -= encoded_len(&waiting.request.request);
        }
    }

    /// What was in flight under another ballot may be taken again.
    pub(crate) fn forget_in_flight(&mut self) {
        self.in_flight.clear();
    }

    /// Hands back all that waits.
    pub(crate) fn clear(&mut self) -> Vec<Waiting> {
        self.bytes = 0;
        self.waiting_tags.clear();
        self.waiting.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn waiting(seq: u64, bytes: usize) -> Waiting {
        let tag = Tag { origin: 1, boot: 1, seq };
        let request = Tagged { tag, request: Bytes::from(vec![0; bytes]) };
        Waiting { request, kind: Kind::Request, from: None }
    }

    #[test]
    fn a_batch_takes_all_that_fits_and_at_least_one() {
        let mut queue = Queue::default();
        for (seq, bytes) in [(1, 10), (2, BATCH_BYTES_MAX), (3, 10), (4, 10)] {
            assert_eq!(queue.push(waiting(seq, bytes)), Queued::Taken);
        }
        let sizes: Vec<usize> = std::iter::repeat_with(|| queue.next_batch().1.len()).take(4).collect();
        assert_eq!(sizes, [1, 1, 2, 0]);
    }

    #[test]
    fn a_change_goes_alone_and_in_its_turn() {
        let mut queue = Queue::default();
        for seq in 1..=6 {
            let kind = if seq == 3 || seq == 4 { Kind::Change } else { Kind::Request };
            queue.push(Waiting { kind, ..waiting(seq, 10) });
        }
        let batches: Vec<_> = std::iter::repeat_with(|| queue.next_batch()).take(4).collect();
        let kinds_and_sizes: Vec<_> = batches.iter().map(|(kind, batch)| (*kind, batch.len())).collect();
        let expected = [(Kind::Request, 2), (Kind::Change, 1), (Kind::Change, 1), (Kind::Request, 2)];
        assert_eq!(kinds_and_sizes, expected);
    }

    #[test]
    fn a_request_in_flight_is_not_taken_again_until_it_is_chosen() {
        let mut queue = Queue::default();
        queue.push(waiting(1, 1));
        queue.next_batch();
        assert_eq!(queue.push(waiting(1, 1)), Queued::Known);
        queue.chosen(waiting(1, 1).request.tag);
        assert_eq!(queue.push(waiting(1, 1)), Queued::Taken);
    }

    #[test]
    fn a_full_queue_says_so_and_takes_again_when_emptied() {
        let mut queue = Queue::default();
        let mut taken = 0;
        while queue.push(waiting(taken, 1 << 20)) == Queued::Taken {
            taken += 1;
        }
        assert_eq!(taken, 32);
        queue.next_batch();
        queue.next_batch();
        assert_eq!(queue.push(waiting(1_000, 1)), Queued::Taken);
    }
}
