//! Checkpoints: when one is due, the job that makes it, and a machine that is made of one.

use super::Applier;
#[cfg(feature = "controls")]
use super::{Control, id_map};
use crate::group::{self, Group};
use crate::state_machine::StateMachine;
use paxos::Slot;
use std::marker::PhantomData;
use std::path::Path;
use storage::{Disk, FoldJob, FoldRules, Folded, IndexKey, JournalMark, JournalRecord, OpenError, RECORD, Store};

impl<S: StateMachine, D: Disk> Applier<S, D> {
    /// A job that makes a checkpoint of all that is applied, if enough has come since the last and none is under way.
    ///
    /// It may run only after a sync of the log that covers whatever was appended with the slots applied so far: a
    /// checkpoint ahead of the log's mark of what is chosen would leave slots, after a power cut of all nodes, that
    /// everybody has applied and nobody can serve to a node that lacks them.
    pub fn fold_if_due(&mut self) -> Option<FoldJob<D>> {
        let to = self.journal.mark();
        let since = to.places - self.store.mark().places;
        let is_worth_it = since.saturating_mul(RECORD as u64) >= self.store.table_bytes();
        let due = since >= self.settings.fold_records && is_worth_it;
        (due && self.folding.is_none() && !self.receiving).then(|| self.fold(to))
    }

    /// A job that makes a checkpoint of all that is applied, unless one is under way or nothing has come since.
    pub fn fold_now(&mut self) -> Option<FoldJob<D>> {
        let to = self.journal.mark();
        let is_idle = self.folding.is_none() && !self.receiving;
        (to.slot > self.store.mark().slot && is_idle).then(|| self.fold(to))
    }

    fn fold(&mut self, to: JournalMark) -> FoldJob<D> {
        let covered = std::mem::replace(&mut self.recent, std::mem::take(&mut self.spare));
        self.folding = Some(covered);
        let job = self.store.fold(self.journal.reader(), to, Rules::<S>(PhantomData));
        #[cfg(feature = "controls")]
        if self.control == Some(Control::DropIdsEarly) {
            self.folding = Some(id_map(self.settings));
        }
        job
    }

    /// The job is done: checkpoint and id run are durable. Returns the slot that they cover.
    pub fn install(&mut self, done: Folded<D>) -> Slot {
        self.store.install(done);
        if let Some(mut covered) = self.folding.take() {
            covered.clear();
            self.spare = covered;
        }
        self.checkpoint()
    }
}

/// Gives a checkpoint's entries to a fresh machine, and returns the group, if it is in there.
pub(super) fn restore<S: StateMachine, D: Disk>(
    dir: &Path,
    store: &Store<D>,
    machine: &mut S,
) -> Result<Option<Group>, OpenError> {
    let foreign = |what| OpenError::Foreign { file: dir.join("store"), what };
    let mut restored = group::Restored::default();
    let mut taken = Ok(());
    store.for_each_entry(|key, value| {
        if taken.is_ok() {
            let is_group = key.first() == Some(&group::KEY_PREFIX);
            taken = if is_group { restored.entry(key, value) } else { machine.restore(key, value) };
        }
    })?;
    taken.and_then(|()| machine.restored()).map_err(foreign)?;
    restored.finish().map_err(foreign)
}

/// The machine's fold rules without the machine, and the group's.
#[derive(Debug)]
pub struct Rules<S>(pub PhantomData<fn() -> S>);

impl<S: FoldRules> FoldRules for Rules<S> {
    fn effects(record: &JournalRecord, put: &mut dyn FnMut(&[u8], Option<&[u8]>)) -> Result<(), String> {
        if group::is_control(record) {
            group::effects(record, put);
            Ok(())
        } else {
            S::effects(record, put)
        }
    }

    fn key(record: &JournalRecord) -> Option<IndexKey> {
        if group::is_control(record) { None } else { S::key(record) }
    }
}
