//! Whose password is looked at next: a bounded number at once, and those who wait in turn by where they come from.
//!
//! Looking at a password is slow on purpose, so it is the first thing that a flood exhausts. What waits is kept in two
//! lanes: callers who have shown before that they know the password of that name, and all others. Each lane is a queue for
//! each source, served one after the other, so that a source which sends a thousand waits for itself and not before the
//! others. All of it is bounded: when a lane is full, the source that has most in it gives up its newest.
//!
//! A sign-in at a name that there is not has no password to look at. It waits as one at a name that there is would wait, is
//! turned away when that one would be, with the same words, and takes no place: see `waiting`.

#[cfg(test)]
mod mirrored;
mod waiting;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use waiting::{Waiter, Waiting};

/// Looked at, at once.
const AT_ONCE: usize = 2;
/// Nobody waits for longer: a caller of the gateway turns to another node after two and a half seconds.
const PATIENCE: Duration = Duration::from_millis(1_200);
/// How long one takes, as long as none was seen.
const TAKES: Duration = Duration::from_millis(50);
/// Of the known that are served, after which it is a stranger's turn.
const KNOWN_IN_A_ROW: u32 = 3;
/// How long it is remembered how long the slowest took.
const LATELY: Duration = Duration::from_secs(5);

/// Who is served before whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lane {
    /// Has shown before that they know the password, or is an operator.
    Known,
    Stranger,
}

/// There are too many: come back after so long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Busy {
    pub(crate) retry_after_ms: u64,
}

/// The places at which passwords are looked at. A clone is another handle of the same.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    queues: Arc<Mutex<Queues>>,
}

#[derive(Debug)]
struct Queues {
    free: usize,
    known: Waiting,
    strangers: Waiting,
    /// Served of the first lane since one of the other was.
    in_a_row: u32,
    /// How long one takes: a moving average.
    takes: Duration,
    /// The slowest of late, from when it had its place.
    slowest: Option<(Instant, Duration)>,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    began: Instant,
    is_held: bool,
}

impl Default for Turns {
    fn default() -> Turns {
        let (known, strangers) = (Waiting::default(), Waiting::default());
        let queues = Queues { free: AT_ONCE, known, strangers, in_a_row: 0, takes: TAKES, slowest: None };
        Turns { queues: Arc::new(Mutex::new(queues)) }
    }
}

impl Turns {
    /// Waits for a place.
    ///
    /// # Errors
    /// When there are too many who wait, or it took too long.
    pub(crate) async fn wait(&self, lane: Lane, source: u64) -> Result<Turn, Busy> {
        let mut turn = self.heard(self.ask(lane, source)?).await?;
        turn.began = Instant::now();
        Ok(turn)
    }

    /// Waits for as long as for a place, without one: nobody waits for longer because of this.
    ///
    /// # Errors
    /// Those of [`Turns::wait`].
    pub(crate) async fn wait_as_if(&self, lane: Lane, source: u64) -> Result<(), Busy> {
        self.heard(self.ask_as_if(lane, source)?).await
    }

    async fn heard<T>(&self, asked: Asked<T>) -> Result<T, Busy> {
        match asked {
            Asked::Now(turn) => Ok(turn),
            Asked::Later(turn) => match tokio::time::timeout(PATIENCE, turn).await {
                Ok(Ok(turn)) => Ok(turn),
                // Its place in the queue went to a source that had fewer, or its time is over.
                Ok(Err(_)) | Err(_) => Err(self.lock().busy()),
            },
        }
    }

    fn ask(&self, lane: Lane, source: u64) -> Result<Asked<Turn>, Busy> {
        let mut queues = self.lock();
        if queues.free > 0 {
            queues.free -= 1;
            return Ok(Asked::Now(self.turn()));
        }
        let (sender, receiver) = oneshot::channel();
        queues.enter(lane, source, Waiter::ForPlace(sender)).map(|()| Asked::Later(receiver))
    }

    fn ask_as_if(&self, lane: Lane, source: u64) -> Result<Asked<()>, Busy> {
        let mut queues = self.lock();
        if queues.free > 0 {
            return Ok(Asked::Now(()));
        }
        let (sender, receiver) = oneshot::channel();
        queues.enter(lane, source, Waiter::ForMoment(sender)).map(|()| Asked::Later(receiver))
    }

    fn turn(&self) -> Turn {
        Turn { turns: self.clone(), began: Instant::now(), is_held: true }
    }

    /// How long the slowest took lately, from when it had its place; if there was none, how long one usually takes.
    pub(crate) fn slowest_lately(&self) -> Duration {
        let queues = self.lock();
        queues.slowest.filter(|(at, _)| at.elapsed() < LATELY).map_or(queues.takes, |(_, took)| took)
    }

    fn give_back(&self, began: Instant) {
        let mut queues = self.lock();
        queues.note(began);
        // Who stopped waiting is passed over.
        while let Some(next) = queues.next() {
            match next.send(self.turn()) {
                Ok(()) => return,
                // The lock is held: this place goes to the next one, and not back.
                Err(mut unheard) => unheard.is_held = false,
            }
        }
        queues.free += 1;
    }

    /// Whole whatever happened to who held the lock: each step leaves the queues consistent.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// When it was given.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_held {
            self.turns.give_back(self.began);
        }
    }
}

enum Asked<T> {
    Now(T),
    Later(oneshot::Receiver<T>),
}

impl Queues {
    fn enter(&mut self, lane: Lane, source: u64, waiter: Waiter) -> Result<(), Busy> {
        let lane = match lane {
            Lane::Known => &mut self.known,
            Lane::Stranger => &mut self.strangers,
        };
        if lane.enter(source, waiter) { Ok(()) } else { Err(self.busy()) }
    }

    /// Three of the known to one stranger: neither keeps the other out.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        if self.in_a_row >= KNOWN_IN_A_ROW
            && let Some(stranger) = self.strangers.leave()
        {
            self.in_a_row = 0;
            return Some(stranger);
        }
        if let Some(known) = self.known.leave() {
            self.in_a_row = self.in_a_row.saturating_add(1);
            return Some(known);
        }
        self.in_a_row = 0;
        self.strangers.leave()
    }

    /// How long those who wait now will take.
    fn busy(&self) -> Busy {
        let ahead = u32::try_from(self.known.count() + self.strangers.count() + AT_ONCE).unwrap_or(u32::MAX);
        let wait = self.takes.saturating_mul(ahead) / u32::try_from(AT_ONCE).unwrap_or(1);
        Busy { retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(100) }
    }

    fn note(&mut self, began: Instant) {
        let took = began.elapsed();
        self.takes = (self.takes * 7 + took) / 8;
        if self.slowest.is_none_or(|(at, before)| took >= before || at.elapsed() >= LATELY) {
            self.slowest = Some((Instant::now(), took));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::waiting::{OF_ONE_SOURCE_MAX, WAITING_MAX};
    use super::*;
    use futures_util::FutureExt;

    /// All places are taken; what is asked for now waits.
    async fn taken(turns: &Turns) -> Vec<Turn> {
        let mut held = Vec::new();
        for _ in 0..AT_ONCE {
            held.push(turns.wait(Lane::Stranger, 0).await.expect("there are as many places"));
        }
        held
    }

    fn later(turns: &Turns, lane: Lane, source: u64) -> Option<oneshot::Receiver<Turn>> {
        match turns.ask(lane, source) {
            Ok(Asked::Later(turn)) => Some(turn),
            Ok(Asked::Now(_)) => panic!("no place is free"),
            Err(_) => None,
        }
    }

    #[tokio::test]
    async fn a_source_that_sends_many_waits_for_itself() {
        let turns = Turns::default();
        let mut held = taken(&turns).await;
        let mut crowd: Vec<_> = (0..OF_ONE_SOURCE_MAX).filter_map(|_| later(&turns, Lane::Stranger, 1)).collect();
        assert_eq!(crowd.len(), OF_ONE_SOURCE_MAX);
        assert!(later(&turns, Lane::Stranger, 1).is_none(), "one source may have so many waiting");
        let other = later(&turns, Lane::Stranger, 2).expect("there is room for another source");
        // One of the crowd was first; after it the other source has its turn.
        held.truncate(AT_ONCE - 1);
        let first = crowd.remove(0).now_or_never();
        let first = first.expect("a place was free").expect("it was given");
        drop(first);
        assert!(other.now_or_never().is_some_and(|turn| turn.is_ok()), "the other source is next");
    }

    #[tokio::test]
    async fn a_full_lane_makes_room_for_a_source_with_fewer() {
        let turns = Turns::default();
        let _held = taken(&turns).await;
        let mut crowd = Vec::new();
        for source in 1..=(WAITING_MAX / OF_ONE_SOURCE_MAX) as u64 {
            crowd.extend((0..OF_ONE_SOURCE_MAX).filter_map(|_| later(&turns, Lane::Stranger, source)));
        }
        assert_eq!(crowd.len(), WAITING_MAX);
        let newcomer = later(&turns, Lane::Stranger, 99);
        assert!(newcomer.is_some(), "somebody with many gives up one");
        crowd.retain_mut(|turn| turn.now_or_never().is_none());
        assert_eq!(crowd.len(), WAITING_MAX - 1);
        assert_eq!(turns.lock().strangers.count(), WAITING_MAX);
    }

    #[tokio::test]
    async fn the_known_go_first_and_strangers_are_not_kept_out() {
        let turns = Turns::default();
        let mut held = taken(&turns).await;
        held.truncate(1);
        let place = turns.wait(Lane::Stranger, 0).await.expect("one is free");
        let mut strangers: Vec<_> = (0..2).filter_map(|_| later(&turns, Lane::Stranger, 1)).collect();
        let mut known: Vec<_> = (0..6).filter_map(|source| later(&turns, Lane::Known, source)).collect();
        drop(place);
        let mut order = String::new();
        for _ in 0..8 {
            let of_known = known.iter_mut().find_map(|turn| turn.try_recv().ok());
            order.push(if of_known.is_some() { 'k' } else { 's' });
            let turn = of_known.or_else(|| strangers.iter_mut().find_map(|turn| turn.try_recv().ok()));
            drop(turn.expect("one place goes round"));
        }
        assert_eq!(order, "kkkskkks", "three of the known to one stranger");
    }

    #[tokio::test]
    async fn places_come_back_also_from_callers_who_hang_up() {
        let turns = Turns::default();
        let mut held = taken(&turns).await;
        let gone = later(&turns, Lane::Stranger, 1);
        let next = later(&turns, Lane::Stranger, 2).expect("there is room");
        drop(gone);
        held.clear();
        drop(next.now_or_never().expect("its turn came").expect("it was given"));
        assert_eq!(turns.lock().free, AT_ONCE);
    }
}
