//! Runs a state machine over the journal: chosen batches in, answers out.
//!
//! ```text
//! batch ─► ids that it touches ─► looked up: memory, then filters, then runs ─► rules, in memory ─► journal, unsynced
//!                                                                                      └─► answers
//! ```
//!
//! Looking up comes first and may read the disk; the rules then run on memory alone. Nothing here waits for a sync:
//! the log has made the batch durable, the journal follows. Now and then the journal is *folded*: a background job
//! syncs it, writes checkpoint and id run through one slot, and switches both with one atomic write.
//!
//! Changes of the group come the same way, each in a batch of its own: the group's state lies in journal and checkpoint
//! beside the machine's, which never sees it. A check compares: there the digest of chain and books is taken.
//!
//! Ids that no run covers are in memory, in two generations: what came since the last fold began, and what the fold
//! under way covers. The older one is dropped only when its run is durable and installed.

mod checkpoint;
mod port;
mod receiving;

pub use checkpoint::Rules;

use crate::group::{self, ChangeRefused, Group, Op};
use crate::request::{self, Content, Control as ControlBatch, Requests, Tag, UnknownBatch};
use crate::state_machine::{At, StateMachine};
use checkpoint::restore;
use hashbrown::HashMap;
use paxos::{Batch, Slot};
use port::Port;
use std::cell::Cell;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use storage::{
    Disk, IndexKey, Journal, JournalMark, JournalReader, JournalRecord, OpenError, Owner, Part, StorageError, Store,
};

type KeyMap<V> = HashMap<IndexKey, V, foldhash::fast::FixedState>;

/// How many past chain digests are kept, so that nodes can be compared at the same slot.
const CHAIN_HISTORY: usize = 4_096;

/// When to fold, and how to hash.
#[derive(Clone, Copy, Debug)]
pub struct ApplierSettings {
    /// Fold when this many journal records are not covered by the checkpoint, and they are as many bytes as the table
    /// that is written again with it: so checkpoints write no more than the journal, and the less there is the sooner.
    pub fold_records: u64,
    /// Seed of the hash maps: different on every start, so that nobody can aim at their collisions.
    pub hash_seed: u64,
}

/// How many slices the books have for comparing: each check looks at the next one.
const SLICES: u64 = 8;

/// The answer to one request of a batch.
#[derive(Clone, Debug)]
pub struct Applied<A> {
    /// Who waits for it.
    pub tag: Tag,
    /// What to tell them.
    pub reply: Reply<A>,
}

/// What somebody who asked is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<A> {
    /// The state machine's answer to a request.
    Answer(A),
    /// The group after the change that was asked for, or why it was not taken.
    Group(Result<Group, ChangeRefused>),
}

impl<A> Reply<A> {
    /// The state machine's answer, if this is one.
    pub fn answer(self) -> Option<A> {
        match self {
            Self::Answer(answer) => Some(answer),
            Self::Group(_) => None,
        }
    }
}

/// Why a chosen batch could not be applied. The node must stop: the others go on without it.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The batch is of a format that this version does not know.
    #[error("slot {slot} cannot be applied: {source}; was it written by a newer version?")]
    Unknown { slot: u64, source: UnknownBatch },
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Slots must come in order.
    #[error("slot {slot} came to be applied after slot {applied}")]
    OutOfOrder { slot: u64, applied: u64 },
}

/// A state machine, its journal, its ids and its checkpoint. See the module's picture.
pub struct Applier<S, D: Disk> {
    dir: PathBuf,
    machine: S,
    journal: Journal<D>,
    store: Store<D>,
    settings: ApplierSettings,
    applied: u64,
    /// Ids since the last fold began.
    recent: KeyMap<u64>,
    /// Ids of the batch that is being applied; empty between two.
    of_batch: KeyMap<u64>,
    /// Ids that the fold under way covers.
    folding: Option<KeyMap<u64>>,
    /// An empty map that has the room of a full one: growing one in the middle of a batch would stop payments.
    spare: KeyMap<u64>,
    chains: VecDeque<(u64, [u8; 32])>,
    group: Group,
    rules: group::Rules,
    /// What the last check found here, until it is taken.
    checked: Option<(Slot, [u8; 32])>,
    /// Not while the log is replayed: nobody compares what was long ago.
    compares: bool,
    /// The journal grows by what another node sends; what the machine knows is behind it.
    receiving: bool,
    /// What was found in the journal through this slot may be taken over.
    found_through: u64,
    /// The first rot that a question met, until it is taken.
    met: Cell<Option<Met>>,
    #[cfg(feature = "controls")]
    control: Option<Control>,
}

/// Rot that was met by reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// Which part of the node's files.
    pub part: Part,
    /// Where, and what is the matter with it, in words.
    pub what: String,
}

/// Safety rules of the ids that the simulator can switch off.
#[cfg(feature = "controls")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Ids in runs are not looked up.
    SkipIdIndex,
    /// Ids leave memory when the fold begins, not when its run is durable.
    DropIdsEarly,
    /// The fold's id run reaches past its checkpoint.
    RunPastCheckpoint,
}

impl<S: StateMachine, D: Disk> Applier<S, D> {
    /// Loads the checkpoint into `machine`, a fresh one. What the log holds beyond it is to be applied next. The group is
    /// `founders` until the founding is found in the checkpoint or comes out of the log.
    ///
    /// # Errors
    /// When the files cannot be read, are damaged, or belong to another node.
    pub fn open(
        disk: &D,
        dir: &Path,
        owner: Owner,
        machine: S,
        founders: Group,
        settings: ApplierSettings,
    ) -> Result<Self, OpenError> {
        let store = Store::open(disk.clone(), dir, owner)?;
        let journal = Journal::open(disk.clone(), dir, owner, store.mark())?;
        Self::assemble(dir, (journal, store), machine, founders, settings)
    }

    /// As [`Applier::open`], when journal, checkpoint or ids have rotted: the journal counts as far as it is good, but
    /// not beyond `through`, which is what the log knows to be chosen; checkpoint and ids are made of it anew.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn rebuild(
        disk: &D,
        dir: &Path,
        owner: Owner,
        machine: S,
        founders: Group,
        settings: ApplierSettings,
        through: Slot,
    ) -> Result<Self, OpenError> {
        Store::discard(disk, dir)?;
        let journal = Journal::salvage(disk.clone(), dir, owner, through.get())?;
        let mut store = Store::open(disk.clone(), dir, owner)?;
        store.rebuild::<Rules<S>>(&journal.reader(), journal.mark(), |_| ())?;
        Self::assemble(dir, (journal, store), machine, founders, settings)
    }

    fn assemble(
        dir: &Path,
        (journal, store): (Journal<D>, Store<D>),
        mut machine: S,
        founders: Group,
        settings: ApplierSettings,
    ) -> Result<Self, OpenError> {
        let mark = store.mark();
        let group = restore(dir, &store, &mut machine)?.unwrap_or(founders);
        Ok(Self {
            dir: dir.to_path_buf(),
            receiving: false,
            found_through: 0,
            met: Cell::new(None),
            machine,
            journal,
            applied: mark.slot,
            chains: VecDeque::from([(mark.slot, mark.chain)]),
            store,
            settings,
            recent: roomy_id_map(settings),
            of_batch: id_map(settings),
            folding: None,
            spare: roomy_id_map(settings),
            group,
            rules: group::Rules::default(),
            checked: None,
            compares: false,
            #[cfg(feature = "controls")]
            control: None,
        })
    }

    /// Switches one safety rule off.
    #[cfg(feature = "controls")]
    pub fn set_control(&mut self, control: Control) {
        self.control = Some(control);
        if control == Control::RunPastCheckpoint {
            self.store.set_control(Some(storage::Control::RunPastCheckpoint));
        }
    }

    /// Switches rules of the group's changes off.
    #[cfg(feature = "controls")]
    pub fn set_group_rules(&mut self, rules: group::Rules) {
        self.rules = rules;
    }

    /// The group as of the last slot applied.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// From now on checks are carried out: what comes is new.
    pub fn compare_from_now_on(&mut self) {
        self.compares = true;
    }

    /// What the last check found here, for the replica to compare with the others' ([`crate::Input::Digest`]); once.
    pub fn take_check(&mut self) -> Option<(Slot, [u8; 32])> {
        self.checked.take()
    }

    /// The last slot applied.
    pub fn applied(&self) -> Slot {
        Slot::new(self.applied)
    }

    /// The slot that the durable checkpoint covers.
    pub fn checkpoint(&self) -> Slot {
        Slot::new(self.store.mark().slot)
    }

    /// The state machine, for questions.
    pub fn machine(&self) -> &S {
        &self.machine
    }

    /// The state machine, for switching its controls.
    #[cfg(feature = "controls")]
    pub fn machine_mut(&mut self) -> &mut S {
        &mut self.machine
    }

    /// The journal's chain digest after `slot`, if that is not too long ago.
    pub fn chain_at(&self, slot: Slot) -> Option<[u8; 32]> {
        self.chains.iter().rev().find(|(of, _)| *of == slot.get()).map(|(_, chain)| *chain)
    }

    /// Where the journal stands: slot, number of records, chain digest.
    pub fn mark(&self) -> JournalMark {
        self.journal.mark()
    }

    /// Applies the batch of the next slot.
    ///
    /// # Errors
    /// See [`ApplyError`]; after one, nothing of the batch may be told to anybody, and the node must stop.
    pub fn apply(&mut self, slot: Slot, batch: &Batch) -> Result<Vec<Applied<S::Answer>>, ApplyError> {
        let slot = slot.get();
        if slot != self.applied + 1 || self.journal.mark().slot != self.applied {
            return Err(ApplyError::OutOfOrder { slot, applied: self.applied });
        }
        // Nothing is handed over before a transfer is over.
        self.receiving = false;
        let content = request::decode(batch).map_err(|source| ApplyError::Unknown { slot, source })?;
        let answers = match content {
            Content::Requests(requests) => self.apply_requests(slot, requests)?,
            Content::Control(control) => vec![self.apply_control(slot, &control)?],
        };
        self.applied = slot;
        self.remember_chain(slot);
        Ok(answers)
    }

    fn apply_requests(&mut self, slot: u64, requests: Requests) -> Result<Vec<Applied<S::Answer>>, StorageError> {
        let mut keys = Vec::new();
        for tagged in &requests.requests {
            S::keys(&tagged.request, &mut keys);
        }
        let known = self.look_up(&keys)?;
        self.journal.begin(slot);
        let mut port = Port { journal: &mut self.journal, known, of_batch: &mut self.of_batch };
        let at = At { slot, clock_ms: requests.clock_ms };
        let mut answers = Vec::with_capacity(requests.requests.len());
        for tagged in requests.requests {
            let reply = Reply::Answer(self.machine.apply(at, &tagged.request, &mut port));
            answers.push(Applied { tag: tagged.tag, reply });
        }
        for (key, place) in self.of_batch.drain() {
            self.recent.entry(key).or_insert(place);
        }
        self.journal.finish()?;
        Ok(answers)
    }

    fn apply_control(&mut self, slot: u64, control: &ControlBatch) -> Result<Applied<S::Answer>, StorageError> {
        let at = Slot::new(slot);
        let outcome = self.group.apply(at, &control.change, self.rules);
        self.journal.begin(slot);
        for record in group::records(at, control.clock_ms, &control.change, outcome, &self.group) {
            self.journal.push(&record);
        }
        self.journal.finish()?;
        if let Op::Check { number } = control.change.op
            && self.compares
        {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&self.journal.chain());
            hasher.update(&self.machine.slice_digest(number % SLICES, SLICES));
            self.checked = Some((at, *hasher.finalize().as_bytes()));
        }
        Ok(Applied { tag: control.tag, reply: Reply::Group(outcome.map(|()| self.group.clone())) })
    }

    /// The record pushed under `key`, ever.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn find(&self, key: IndexKey) -> Result<Option<JournalRecord>, StorageError> {
        let found = self.find_place(key).and_then(|place| place.map(|place| self.journal.read(place)).transpose());
        found.inspect_err(|error| self.note_met(error))
    }

    /// The record at a place of the journal.
    ///
    /// # Errors
    /// When the disk fails, or there is no such place.
    pub fn record(&self, place: u64) -> Result<JournalRecord, StorageError> {
        self.journal.read(place).inspect_err(|error| self.note_met(error))
    }

    /// The first rot that a question met since this was last asked: whoever runs the node has it mended.
    pub fn take_met(&self) -> Option<Met> {
        self.met.take()
    }

    fn note_met(&self, error: &StorageError) {
        if let Some(part) = error.rotten_part() {
            let first = self.met.take().unwrap_or_else(|| Met { part, what: error.to_string() });
            self.met.set(Some(first));
        }
    }

    /// Reads the journal from another thread.
    pub fn reader(&self) -> JournalReader<D> {
        self.journal.reader()
    }

    /// Bytes of the checkpoint's table.
    pub fn table_bytes(&self) -> u64 {
        self.store.table_bytes()
    }

    /// Number of records in the journal.
    pub fn places(&self) -> u64 {
        self.journal.next_place()
    }

    /// The records of those keys that were used before.
    fn look_up(&self, keys: &[IndexKey]) -> Result<KeyMap<JournalRecord>, StorageError> {
        let mut known = id_map(self.settings);
        let find = if self.any_is_in_memory(keys) { Self::find_place } else { Self::find_in_runs };
        for key in keys {
            if let Some(place) = find(self, *key)? {
                let record = self.journal.read(place)?;
                S::check_record(&record).map_err(|what| self.journal.reader().unreadable(place, what))?;
                known.insert(*key, record);
            }
        }
        Ok(known)
    }

    /// Whether any of the keys is in memory. Nearly every batch has new keys only, so each look is made whatever the one before
    /// said: then they do not wait for each other at the main memory.
    fn any_is_in_memory(&self, keys: &[IndexKey]) -> bool {
        let is_in = |map: &KeyMap<u64>| keys.iter().fold(false, |any, key| map.contains_key(key) | any);
        is_in(&self.recent) || self.folding.as_ref().is_some_and(is_in)
    }

    fn find_place(&self, key: IndexKey) -> Result<Option<u64>, StorageError> {
        if let Some(place) = self.recent.get(&key) {
            return Ok(Some(*place));
        }
        if let Some(place) = self.folding.as_ref().and_then(|folding| folding.get(&key)) {
            return Ok(Some(*place));
        }
        self.find_in_runs(key)
    }

    fn find_in_runs(&self, key: IndexKey) -> Result<Option<u64>, StorageError> {
        #[cfg(feature = "controls")]
        if self.control == Some(Control::SkipIdIndex) {
            return Ok(None);
        }
        if self.store.maybe_contains(key) { self.store.find(key) } else { Ok(None) }
    }

    fn remember_chain(&mut self, slot: u64) {
        if self.chains.len() >= CHAIN_HISTORY {
            self.chains.pop_front();
        }
        self.chains.push_back((slot, self.journal.chain()));
    }
}

impl<S: std::fmt::Debug, D: Disk> std::fmt::Debug for Applier<S, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applier")
            .field("machine", &self.machine)
            .field("applied", &self.applied)
            .finish_non_exhaustive()
    }
}

fn hasher(settings: ApplierSettings) -> foldhash::fast::FixedState {
    foldhash::fast::FixedState::with_seed(settings.hash_seed)
}

/// With room for all ids between two folds, and for those that come while one runs, as far as that is bounded.
fn roomy_id_map(settings: ApplierSettings) -> KeyMap<u64> {
    const ROOM_MAX: u64 = 1 << 21;
    let room = usize::try_from(settings.fold_records.saturating_mul(3).min(ROOM_MAX)).unwrap_or(0);
    HashMap::with_capacity_and_hasher(room, hasher(settings))
}

fn id_map<V>(settings: ApplierSettings) -> KeyMap<V> {
    HashMap::with_hasher(hasher(settings))
}
