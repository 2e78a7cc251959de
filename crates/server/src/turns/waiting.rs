//! One lane of those who wait for a place: a queue for each source, served one after the other.
//!
//! Bounded: of one source wait so many, and in a full lane the source that has most gives up its newest for one with fewer.
//!
//! Beside those who wait for a place stand those who wait for a moment: sign-ins at names that there are not. They are let
//! in, passed over and sent away by the rules for the others, and have their moment when a place would have been theirs.
//! They count for nobody: whoever waits for a place is served as if they were not there.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::Turn;

/// Waiting for a place in one lane, at most, and of one source in it.
pub(super) const WAITING_MAX: usize = 64;
pub(super) const OF_ONE_SOURCE_MAX: usize = 16;

/// One lane: queues in the order of their next turn.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queues: VecDeque<Queue>,
}

/// Those of one source, the oldest first. A source has one queue in which somebody waits for a place, at most, and may have
/// others in which nobody does: those keep the turn that a place would have had.
#[derive(Debug)]
struct Queue {
    source: u64,
    waiters: VecDeque<Waiter>,
}

#[derive(Debug)]
pub(super) enum Waiter {
    ForPlace(oneshot::Sender<Turn>),
    ForMoment(oneshot::Sender<()>),
}

impl Waiting {
    /// How many wait for a place.
    pub(super) fn count(&self) -> usize {
        self.queues.iter().map(Queue::places).sum()
    }

    /// False if there is no room.
    pub(super) fn enter(&mut self, source: u64, waiter: Waiter) -> bool {
        self.forget_gone();
        let waiting = self.queue_of(source).map_or(0, |queue| queue.places());
        if waiting >= OF_ONE_SOURCE_MAX || (self.count() >= WAITING_MAX && !self.has_longer(waiting)) {
            return false;
        }
        if matches!(waiter, Waiter::ForPlace(_)) && self.count() >= WAITING_MAX {
            self.make_room();
        }
        match self.queue_of(source) {
            Some(queue) => queue.waiters.push_back(waiter),
            None => self.queues.push_back(Queue { source, waiters: VecDeque::from([waiter]) }),
        }
        true
    }

    /// Whose place the next one is. Who waited for the moment before that has it now.
    pub(super) fn leave(&mut self) -> Option<oneshot::Sender<Turn>> {
        while let Some(mut queue) = self.queues.pop_front() {
            if let Some(next) = queue.leave() {
                if !queue.waiters.is_empty() {
                    self.queues.push_back(queue);
                }
                return Some(next);
            }
        }
        None
    }

    /// The one in which somebody of that source waits for a place.
    fn queue_of(&mut self, source: u64) -> Option<&mut Queue> {
        self.queues.iter_mut().find(|queue| queue.source == source && queue.places() > 0)
    }

    /// Whether a source has more than one who comes beside so many would have.
    fn has_longer(&self, waiting: usize) -> bool {
        self.queues.iter().any(|queue| queue.places() > waiting + 1)
    }

    /// The newest of the source that has most leaves.
    fn make_room(&mut self) {
        if let Some(longest) = self.queues.iter_mut().max_by_key(|queue| queue.places()) {
            longest.send_newest_away();
        }
        self.queues.retain(|queue| !queue.waiters.is_empty());
    }

    /// Callers that hung up make room.
    fn forget_gone(&mut self) {
        self.queues.iter_mut().for_each(|queue| queue.waiters.retain(Waiter::is_there));
        self.queues.retain(|queue| !queue.waiters.is_empty());
    }
}

impl Queue {
    fn places(&self) -> usize {
        self.waiters.iter().filter(|waiter| waiter.is_for_place() && waiter.is_there()).count()
    }

    /// The first who waits for a place, if one does. Callers that hung up do not use up the turn of their source.
    fn leave(&mut self) -> Option<oneshot::Sender<Turn>> {
        while let Some(waiter) = self.waiters.pop_front() {
            match waiter {
                Waiter::ForPlace(sender) if sender.is_closed() => {}
                Waiter::ForPlace(sender) => return Some(sender),
                // Whoever is not there any more does not hear it.
                Waiter::ForMoment(sender) => drop(sender.send(())),
            }
        }
        None
    }

    /// With those who came later and wait for a moment: one of them for a place would have been the newest.
    fn send_newest_away(&mut self) {
        while let Some(waiter) = self.waiters.pop_back() {
            if waiter.is_for_place() && waiter.is_there() {
                return;
            }
        }
    }
}

impl Waiter {
    fn is_for_place(&self) -> bool {
        match self {
            Waiter::ForPlace(_) => true,
            Waiter::ForMoment(_) => false,
        }
    }

    fn is_there(&self) -> bool {
        match self {
            Waiter::ForPlace(sender) => !sender.is_closed(),
            Waiter::ForMoment(sender) => !sender.is_closed(),
        }
    }
}
