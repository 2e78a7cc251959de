//! Virtual time: what happens next, and nothing ever waits for real.
//!
//! Events are ordered by their time in microseconds and then by when they were put in, so that two events of one
//! microsecond always come out in the same order: one seed is one run.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

#[derive(Debug)]
pub struct Schedule<E> {
    now_us: u64,
    put_in: u64,
    waiting: BinaryHeap<Reverse<Entry<E>>>,
}

#[derive(Debug)]
struct Entry<E> {
    at_us: u64,
    number: u64,
    event: E,
}

impl<E> Schedule<E> {
    pub fn new() -> Schedule<E> {
        Schedule { now_us: 0, put_in: 0, waiting: BinaryHeap::new() }
    }

    /// Virtual microseconds since the run began.
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    pub fn at(&mut self, at_us: u64, event: E) {
        let number = self.put_in;
        self.put_in += 1;
        self.waiting.push(Reverse(Entry { at_us: at_us.max(self.now_us), number, event }));
    }

    pub fn after(&mut self, delay_us: u64, event: E) {
        self.at(self.now_us + delay_us, event);
    }

    /// Takes the next event and moves time to it.
    pub fn take_next(&mut self) -> Option<E> {
        let Reverse(entry) = self.waiting.pop()?;
        self.now_us = entry.at_us;
        Some(entry.event)
    }
}

impl<E> Default for Schedule<E> {
    fn default() -> Schedule<E> {
        Schedule::new()
    }
}

impl<E> Entry<E> {
    fn rank(&self) -> (u64, u64) {
        (self.at_us, self.number)
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Entry<E>) -> bool {
        self.rank() == other.rank()
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Entry<E>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Entry<E>) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_they_were_put_in() {
        let mut schedule = Schedule::new();
        schedule.at(30, 'd');
        schedule.at(10, 'a');
        schedule.at(20, 'b');
        schedule.at(20, 'c');
        let mut seen = Vec::new();
        while let Some(event) = schedule.take_next() {
            seen.push((schedule.now_us(), event));
        }
        assert_eq!(seen, [(10, 'a'), (20, 'b'), (20, 'c'), (30, 'd')]);
    }

    #[test]
    fn nothing_happens_in_the_past() {
        let mut schedule = Schedule::new();
        schedule.at(50, "first");
        schedule.take_next();
        schedule.at(10, "late");
        schedule.take_next();
        assert_eq!(schedule.now_us(), 50);
    }
}
