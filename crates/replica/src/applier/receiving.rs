//! A journal that grows by what another node sends, and the state that is made of it.

use super::Applier;
use super::checkpoint::{Rules, restore};
use crate::state_machine::StateMachine;
use paxos::Slot;
use std::collections::VecDeque;
use storage::{Disk, JournalMark, OpenError, StorageError};

impl<S: StateMachine, D: Disk> Applier<S, D> {
    /// From now on the journal grows by what another node sends, from this mark on; nothing is applied and no checkpoint
    /// made before [`Applier::install_received`]. None while a fold is under way: to be asked again when it is installed.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn begin_receiving(&mut self) -> Result<Option<JournalMark>, StorageError> {
        if self.folding.is_some() {
            return Ok(None);
        }
        self.receiving = true;
        Ok(Some(self.journal.mark()))
    }

    /// Takes over what an earlier process received and found good, up to that slot: only what lacks needs to be sent.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn take_over(&mut self, through: Slot) -> Result<JournalMark, StorageError> {
        self.found_through = through.get();
        self.take_over_found()
    }

    fn take_over_found(&mut self) -> Result<JournalMark, StorageError> {
        self.journal.take_over(JournalMark { slot: self.found_through, places: u64::MAX, chain: [0; 32] })
    }

    /// Takes a piece of another node's journal; returns where this one stands then. Good batches that were found behind
    /// a bad one are taken over as soon as it is replaced: only what is bad travels.
    ///
    /// # Errors
    /// [`StorageError::Refused`] when it does not continue this journal ([`crate::Input::JournalRefused`]); else the disk
    /// failed.
    pub fn receive(&mut self, from_place: u64, records: &[u8]) -> Result<JournalMark, StorageError> {
        assert!(self.receiving, "receiving was begun");
        let mark = self.journal.receive(from_place, records)?.mark;
        if mark.slot < self.found_through { self.take_over_found() } else { Ok(mark) }
    }

    /// What was received becomes checkpoint and ids, and `machine`, a fresh one, is made from them in the place of the
    /// present one. The log must have been told of the mark before, and synced: see `Log::install`.
    ///
    /// # Errors
    /// When the disk fails, or what was received is no state of this machine; then the node must stop.
    pub fn install_received(&mut self, mut machine: S) -> Result<JournalMark, OpenError> {
        assert!(self.receiving && self.folding.is_none(), "receiving was begun, and no fold since");
        let mark = self.journal.mark();
        self.store.rebuild::<Rules<S>>(&self.journal.reader(), mark, |_| ())?;
        if let Some(group) = restore(&self.dir, &self.store, &mut machine)? {
            self.group = group;
        }
        self.machine = machine;
        self.recent.clear();
        self.applied = mark.slot;
        self.chains = VecDeque::from([(mark.slot, mark.chain)]);
        Ok(mark)
    }
}
