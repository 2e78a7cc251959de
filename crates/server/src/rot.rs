//! What was found rotten and mended since the process started: counted, told once each, and shown.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::warn;

/// Sentences kept for the page and the status; the count goes on.
const SHOWN_MAX: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Rot(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    count: u64,
    sentences: Vec<String>,
}

impl Rot {
    /// One rotten record, and what becomes of it.
    pub(crate) fn note(&self, part: &str, what: &str) {
        warn!(event = "rot", part, what, effect = "nothing is lost: it is made again, or comes from the others");
        let mut found = self.lock();
        found.count += 1;
        if found.sentences.len() < SHOWN_MAX {
            found.sentences.push(format!("{part}: {what}"));
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.lock().count
    }

    pub(crate) fn sentences(&self) -> Vec<String> {
        self.lock().sentences.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rot_is_counted_and_some_of_it_shown() {
        let rot = Rot::default();
        for number in 0..100 {
            rot.note("log", &format!("record {number}"));
        }
        assert_eq!((rot.count(), rot.sentences().len()), (100, SHOWN_MAX));
        assert_eq!(rot.sentences()[0], "log: record 0");
    }
}
