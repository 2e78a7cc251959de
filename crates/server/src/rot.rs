//! What was found rotten since the process started: counted, told once each, and shown.
//!
//! What is mended, or about to be, is counted as repaired. What this node cannot mend while it runs is shown and told too, and
//! counted apart: a batch of the log that is not given to others, or the history of a node that has no others.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::{error, warn};

/// Sentences kept for the page and the status; the count goes on.
const SHOWN_MAX: usize = 16;
/// Places that are remembered, so that one that is met again and again is counted once.
const UNREADABLE_MAX: usize = 4_096;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Rot(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    count: u64,
    sentences: Vec<String>,
    /// What is rotten and was not mended.
    unmended: BTreeSet<String>,
}

impl Found {
    fn show(&mut self, sentence: String) {
        if self.sentences.len() < SHOWN_MAX {
            self.sentences.push(sentence);
        }
    }
}

impl Rot {
    /// One rotten record, and what becomes of it.
    pub(crate) fn note(&self, part: &str, what: &str) {
        warn!(event = "rot", part, what, effect = "nothing is lost: it is made again, or comes from the others");
        let mut found = self.lock();
        found.count += 1;
        found.show(format!("{part}: {what}"));
    }

    /// A chosen batch of the log that this node cannot give to who lacks it. Whoever asked asks another node.
    pub(crate) fn note_unreadable(&self, part: &str, what: &str) {
        if self.is_new_unmended(part, what, "others are asked for it") {
            warn!(event = "rot", part, what, effect = "another node is asked; mended at the next start");
        }
    }

    /// Rot that nobody can mend.
    pub(crate) fn note_beyond_repair(&self, part: &str, what: &str, effect: &str) {
        if self.is_new_unmended(part, what, effect) {
            error!(event = "rot", part, what, effect);
        }
    }

    /// Whether this is new.
    fn is_new_unmended(&self, part: &str, what: &str, effect: &str) -> bool {
        let mut found = self.lock();
        let is_new = found.unmended.len() < UNREADABLE_MAX && found.unmended.insert(what.to_owned());
        if is_new {
            found.show(format!("{part}: {what}; {effect}"));
        }
        is_new
    }

    pub(crate) fn count(&self) -> u64 {
        self.lock().count
    }

    /// Places that are rotten and were not mended.
    pub(crate) fn unmended(&self) -> u64 {
        self.lock().unmended.len() as u64
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

    #[test]
    fn what_is_not_mended_is_counted_apart_and_once_however_often_it_is_met() {
        let rot = Rot::default();
        for _ in 0..3 {
            rot.note_unreadable("log", "log/000001 at 512");
        }
        rot.note_beyond_repair("journal", "journal/000000 at 0", "nobody has a good copy");
        assert_eq!((rot.count(), rot.unmended()), (0, 2));
        let told =
            ["log: log/000001 at 512; others are asked for it", "journal: journal/000000 at 0; nobody has a good copy"];
        assert_eq!(rot.sentences(), told);
    }
}
