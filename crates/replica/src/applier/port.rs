//! What a state machine sees of journal and ids while it applies a batch.

use super::KeyMap;
use crate::state_machine::JournalPort;
use storage::{Disk, IndexKey, Journal, JournalRecord};

/// The machine's door to the journal during one batch.
pub(super) struct Port<'a, D: Disk> {
    pub(super) journal: &'a mut Journal<D>,
    /// Records of earlier batches.
    pub(super) known: KeyMap<JournalRecord>,
    /// Places by key since the last fold began, those of this batch among them.
    pub(super) recent: &'a mut KeyMap<u64>,
    /// Where this batch begins in the journal.
    pub(super) begins_at: u64,
}

impl<D: Disk> JournalPort for Port<'_, D> {
    #[expect(clippy::expect_used, reason = "records of the batch that is being written are in memory")]
    fn find(&self, key: IndexKey) -> Option<JournalRecord> {
        match self.recent.get(&key) {
            Some(place) if *place >= self.begins_at => {
                Some(self.journal.read(*place).expect("records of the open batch are in memory"))
            }
            _ if self.known.is_empty() => None,
            _ => self.known.get(&key).copied(),
        }
    }

    fn push(&mut self, key: Option<IndexKey>, record: &JournalRecord) -> u64 {
        let place = self.journal.push(record);
        if let Some(key) = key {
            // The first record of a key is the one that counts.
            if self.known.is_empty() || !self.known.contains_key(&key) {
                self.recent.entry(key).or_insert(place);
            }
        }
        place
    }

    fn next_place(&self) -> u64 {
        self.journal.next_place()
    }
}
