//! The seats of one listener: who is connected, and who gives up its seat to a newcomer.
//!
//! A connection is *at work* while a request that is wholly here is being answered; only then it keeps its seat for sure. Of
//! the others, those go first whose network has more than its share of the seats, and among them the most silent. No network
//! takes more than three quarters of the seats, so there is always room for another.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use crate::edge::sources::Network;

/// A connection rests when nothing went through for so long: then its caller has nothing on its way.
const REST: Duration = Duration::from_millis(200);
/// How often a connection that is to end is looked at.
pub(super) const REST_LOOK: Duration = Duration::from_millis(20);

/// The seats of one listener.
pub(super) struct Seats {
    taken: Mutex<Taken>,
    max: usize,
    began: Instant,
}

#[derive(Default)]
struct Taken {
    seats: BTreeMap<u64, Arc<Seat>>,
    of_network: HashMap<Network, usize>,
    next: u64,
}

/// One connection, as the others need to know it.
pub(super) struct Seat {
    network: Network,
    began: Instant,
    /// When a byte last went through, in milliseconds after `began`.
    heard_ms: AtomicU64,
    /// Bytes that came.
    heard_bytes: AtomicU64,
    /// Requests that are wholly here and not answered yet.
    at_work: AtomicU32,
    /// Requests that are not answered to their end, streams aside.
    unanswered: AtomicU32,
    /// Answers that leave, by the period in which they began to, and whether the present one is odd.
    leaving: [AtomicU32; 2],
    odd: AtomicBool,
    /// Whoever reads, when the last of those is answered.
    pub(super) answered: AtomicWaker,
    /// It has had an answer.
    pub(super) has_answered: AtomicBool,
    /// Something was answered before the whole request was read.
    pub(super) lingers: AtomicBool,
    pub(super) evicted: Notify,
}

impl Seat {
    fn new(network: Network, began: Instant) -> Seat {
        let seat = Seat {
            network,
            began,
            heard_ms: AtomicU64::new(0),
            heard_bytes: AtomicU64::new(0),
            at_work: AtomicU32::new(0),
            unanswered: AtomicU32::new(0),
            leaving: [AtomicU32::new(0), AtomicU32::new(0)],
            odd: AtomicBool::new(false),
            answered: AtomicWaker::new(),
            has_answered: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            evicted: Notify::new(),
        };
        seat.hear();
        seat
    }

    pub(super) fn hear(&self) {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(super) fn hear_bytes(&self, bytes: usize) {
        self.heard_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.hear();
    }

    pub(super) fn heard_bytes(&self) -> u64 {
        self.heard_bytes.load(Ordering::Relaxed)
    }

    fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::Relaxed) > 0
    }

    pub(super) fn has_unanswered(&self) -> bool {
        self.unanswered.load(Ordering::Acquire) > 0
    }

    /// An answer begins to leave.
    pub(super) fn departure(self: &Arc<Self>) -> Departure {
        let odd = self.odd.load(Ordering::Relaxed);
        self.leaving[usize::from(odd)].fetch_add(1, Ordering::Relaxed);
        Departure { seat: Arc::clone(self), odd }
    }

    /// Ends when an answer has been leaving for a whole period, and for two at most.
    pub(super) async fn stalls(&self, period: Duration) {
        loop {
            tokio::time::sleep(period).await;
            let before = !self.odd.load(Ordering::Relaxed);
            if self.leaving[usize::from(before)].load(Ordering::Relaxed) > 0 {
                return;
            }
            self.odd.store(before, Ordering::Relaxed);
        }
    }

    /// Ends when nothing has happened on the connection for a moment.
    pub(super) async fn rests(&self) {
        loop {
            let heard = self.began + Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
            if !self.has_unanswered() && heard.elapsed() >= REST {
                return;
            }
            tokio::time::sleep(REST_LOOK).await;
        }
    }
}

impl Seats {
    pub(super) fn new(max: usize) -> Seats {
        Seats { taken: Mutex::default(), max, began: Instant::now() }
    }

    /// A seat, if need be somebody else's; `None` when all are at work that could be given up.
    pub(super) fn take(self: &Arc<Self>, network: Network) -> Option<SeatGuard> {
        let mut taken = self.lock();
        let share_max = (self.max - self.max / 4).max(1);
        let of_network = taken.of_network.get(&network).copied().unwrap_or(0);
        if of_network >= share_max && !taken.evict(self.max, Some(network)) {
            return None;
        }
        if taken.seats.len() >= self.max && !taken.evict(self.max, None) {
            return None;
        }
        let seat = Arc::new(Seat::new(network, self.began));
        let number = taken.next;
        taken.next += 1;
        taken.seats.insert(number, Arc::clone(&seat));
        *taken.of_network.entry(network).or_default() += 1;
        drop(taken);
        Some(SeatGuard { seats: Arc::clone(self), number, seat })
    }

    /// Frees seats where that is possible.
    pub(super) fn evict(&self) -> bool {
        self.lock().evict(self.max, None)
    }

    /// The maps are whole after every method that changes them, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Frees one in 32 of the seats that can be given up, at least one, because looking at all seats for each newcomer of a
    /// crowd would itself keep the others waiting. With `only`, seats of that network.
    fn evict(&mut self, max: usize, only: Option<Network>) -> bool {
        let share = max / self.of_network.len().max(1);
        let is_over = |network: &Network| self.of_network.get(network).copied().unwrap_or(0) > share;
        let is_free = |seat: &Seat| !seat.is_at_work() && only.is_none_or(|only| only == seat.network);
        let mut candidates: Vec<(bool, u64, u64)> = self
            .seats
            .iter()
            .filter(|(_, seat)| is_free(seat))
            .map(|(number, seat)| (!is_over(&seat.network), seat.heard_ms.load(Ordering::Relaxed), *number))
            .collect();
        candidates.sort_unstable();
        let evicted = (candidates.len() / 32).max(1).min(candidates.len());
        for (_, _, number) in &candidates[..evicted] {
            if let Some(seat) = self.remove(*number) {
                seat.evicted.notify_one();
            }
        }
        evicted > 0
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Seat>> {
        let seat = self.seats.remove(&number)?;
        if let Some(count) = self.of_network.get_mut(&seat.network) {
            *count -= 1;
            if *count == 0 {
                self.of_network.remove(&seat.network);
            }
        }
        Some(seat)
    }
}

/// Gives the seat back.
pub(super) struct SeatGuard {
    seats: Arc<Seats>,
    number: u64,
    pub(super) seat: Arc<Seat>,
}

impl Drop for SeatGuard {
    fn drop(&mut self) {
        self.seats.lock().remove(self.number);
    }
}

/// A request that is wholly here, until its answer is known.
#[derive(Default)]
pub(super) struct Work(Mutex<Option<Arc<Seat>>>);

impl Work {
    /// From now on the connection keeps its seat. Saying so twice is the same as once.
    pub(super) fn begin(&self, seat: &Arc<Seat>) {
        let mut working = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if working.is_none() {
            seat.at_work.fetch_add(1, Ordering::Relaxed);
            *working = Some(Arc::clone(seat));
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(seat) = self.0.get_mut().unwrap_or_else(PoisonError::into_inner) {
            // Its answer is about to be written: it was not silent, however long the work took.
            seat.hear();
            seat.at_work.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// An answer while it leaves.
pub(super) struct Departure {
    seat: Arc<Seat>,
    odd: bool,
}

impl Drop for Departure {
    fn drop(&mut self) {
        self.seat.leaving[usize::from(self.odd)].fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request until the end of its answer.
pub(super) struct Unanswered(Arc<Seat>);

impl Unanswered {
    pub(super) fn new(seat: &Arc<Seat>) -> Unanswered {
        seat.unanswered.fetch_add(1, Ordering::Relaxed);
        Unanswered(Arc::clone(seat))
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.has_answered.store(true, Ordering::Relaxed);
        if self.0.unanswered.fetch_sub(1, Ordering::Release) == 1 {
            self.0.answered.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(last: u8) -> Network {
        Network::of([10, 0, 0, last].into())
    }

    fn numbers(seats: &Seats) -> Vec<u64> {
        seats.lock().seats.keys().copied().collect()
    }

    #[test]
    fn the_most_silent_gives_up_its_seat_and_a_working_one_never() {
        let seats = Arc::new(Seats::new(2));
        let first = seats.take(network(1)).expect("free");
        let second = seats.take(network(2)).expect("free");
        first.seat.heard_ms.store(1, Ordering::Relaxed);
        second.seat.heard_ms.store(2, Ordering::Relaxed);
        let (work, more_work) = (Work::default(), Work::default());
        work.begin(&first.seat);
        work.begin(&first.seat);
        let third = seats.take(network(3)).expect("the second was silent and idle");
        assert_eq!(numbers(&seats), [0, 2]);
        more_work.begin(&third.seat);
        assert!(seats.take(network(4)).is_none(), "both are at work");
        drop((work, more_work));
        assert!(seats.take(network(4)).is_some());
        drop((first, second, third));
        assert!(seats.lock().of_network.is_empty());
    }

    #[test]
    fn a_network_with_more_than_its_share_gives_way_to_others_however_lively_it_is() {
        let seats = Arc::new(Seats::new(8));
        let quiet = seats.take(network(1)).expect("free");
        let crowd: Vec<SeatGuard> = (0..6).map(|_| seats.take(network(2)).expect("free")).collect();
        quiet.seat.heard_ms.store(0, Ordering::Relaxed);
        crowd.iter().for_each(|guard| guard.seat.heard_ms.store(1_000_000, Ordering::Relaxed));
        let others: Vec<SeatGuard> = (3..6).filter_map(|last| seats.take(network(last))).collect();
        assert_eq!(others.len(), 3);
        assert!(numbers(&seats).contains(&0), "the quiet one is not of the crowd");
    }

    #[test]
    fn no_network_takes_every_seat_even_if_all_its_connections_are_at_work() {
        let seats = Arc::new(Seats::new(8));
        let works: Vec<Work> = (0..8).map(|_| Work::default()).collect();
        let taken: Vec<SeatGuard> = (0..6).filter_map(|_| seats.take(network(1))).collect();
        works.iter().zip(&taken).for_each(|(work, guard)| work.begin(&guard.seat));
        assert_eq!(numbers(&seats).len(), 6);
        assert!(seats.take(network(1)).is_none(), "all that it may have are at work");
        assert!(seats.take(network(2)).is_some());
    }
}
