//! A bounded number of places, shared by sources: whoever has a place may have something done that others wait for.
//!
//! Half of them is for sources that have none: so a source finds one though a few others take all that they can, until there are
//! about half as many sources as places. Of the other half a source may have as many as are free there then: a quarter of all
//! if it is alone.

use api::trace::{self, TraceContext};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::JoinError;

/// Does what has a place to its end, also for a caller who hangs up: nobody has more done at once by hanging up.
///
/// # Errors
/// When it panics, or the node ends.
pub(super) async fn to_the_end<T: Send + 'static>(
    place: impl Send + 'static,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, JoinError> {
    let context = TraceContext::current().unwrap_or_else(TraceContext::begin);
    let done = tokio::spawn(async move {
        let done = trace::within(context, work).await;
        drop(place);
        done
    });
    done.await
}

/// Those places.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    of_one_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    in_all: usize,
    /// Of those who have one.
    of_source: HashMap<u64, usize>,
}

/// Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    source: u64,
}

impl Places {
    pub(super) fn new(max: usize) -> Arc<Places> {
        Places::with_most(max, max)
    }

    /// Of one source at most so many.
    pub(super) fn with_most(max: usize, of_one_max: usize) -> Arc<Places> {
        Arc::new(Places { max, of_one_max, taken: Mutex::default() })
    }

    pub(super) fn take(self: &Arc<Places>, source: u64) -> Option<Place> {
        let mut taken = self.lock();
        let own = taken.of_source.get(&source).copied().unwrap_or(0);
        let may_have = match own {
            0 => self.max - taken.in_all,
            _ => (self.max / 2).saturating_sub(taken.in_all),
        };
        if own >= may_have.min(self.of_one_max) {
            return None;
        }
        taken.in_all += 1;
        *taken.of_source.entry(source).or_default() += 1;
        Some(Place { places: Arc::clone(self), source })
    }

    /// How many are taken.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().in_all
    }

    /// Whole after each step.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.in_all -= 1;
        if let Some(own) = taken.of_source.get_mut(&self.source) {
            *own -= 1;
            if *own == 0 {
                taken.of_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_no_more_places_than_are_free_and_half_of_all_is_for_those_who_have_none() {
        let places = Places::new(12);
        let all_of = |source: u64| std::iter::from_fn(|| places.take(source)).collect::<Vec<_>>();
        let first = all_of(1);
        assert_eq!(first.len(), 3);
        let second = all_of(2);
        assert_eq!(second.len(), 2);
        let others: Vec<_> = (3..100).map(all_of).take_while(|own| !own.is_empty()).collect();
        assert_eq!(others.len(), 7, "each source has its one while there is one");
        assert!(others.iter().all(|own| own.len() == 1));
        drop((first, second, others));
        assert_eq!(places.lock().in_all, 0);
        assert!(places.lock().of_source.is_empty(), "nothing is kept of those who are gone");
    }

    #[test]
    fn sources_that_take_all_that_they_can_leave_one_for_the_next() {
        for max in [32, 64, 128, 208] {
            let places = Places::new(max);
            let all_of = |source: u64| std::iter::from_fn(|| places.take(source)).collect::<Vec<_>>();
            let greedy: Vec<_> = (0..1_000).map(all_of).take_while(|own| !own.is_empty()).collect();
            assert!(greedy.len() > max / 2, "{} sources take all of {max}", greedy.len());
        }
    }
}
