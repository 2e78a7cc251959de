//! What a state machine sees of journal and ids while it applies a batch.

use super::KeyMap;
use crate::state_machine::JournalPort;
use storage::{Disk, IndexKey, Journal, JournalRecord};

/// The machine's door to the journal during one batch.
pub(super) struct Port<'a, D: Disk> {
    pub(super) journal: &'a mut Journal<D>,
    /// Records of earlier batches.
    pub(super) known: KeyMap<JournalRecord>,
    /// Places of this batch, by key. Small, so it stays in the processor's cache; among all recent keys each look would be one
    /// at the main memory.
    pub(super) of_batch: &'a mut KeyMap<u64>,
}

impl<D: Disk> JournalPort for Port<'_, D> {
    #[expect(clippy::expect_used, reason = "records of the batch that is being written are in memory")]
    fn find(&self, key: IndexKey) -> Option<JournalRecord> {
        match self.of_batch.get(&key) {
            Some(place) => Some(self.journal.read(*place).expect("records of the open batch are in memory")),
            None if self.known.is_empty() => None,
            None => self.known.get(&key).copied(),
        }
    }

    fn push(&mut self, key: Option<IndexKey>, record: &JournalRecord) -> u64 {
        let place = self.journal.push(record);
        if let Some(key) = key {
            // The first record of a key is the one that counts.
            if self.known.is_empty() || !self.known.contains_key(&key) {
                self.of_batch.entry(key).or_insert(place);
            }
        }
        place
    }

    fn next_place(&self) -> u64 {
        self.journal.next_place()
    }
}
