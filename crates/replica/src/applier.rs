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

use crate::group::{self, ChangeRefused, Group, Op};
use crate::request::{self, Content, Control as ControlBatch, Requests, Tag, UnknownBatch};
use crate::state_machine::{At, JournalPort, StateMachine};
use hashbrown::HashMap;
use paxos::{Batch, Slot};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use storage::{
    Disk, FoldJob, FoldRules, Folded, Journal, JournalMark, JournalReader, JournalRecord, OpenError, Owner, RECORD,
    StorageError, Store,
};

type IdMap<V> = HashMap<u128, V, foldhash::fast::FixedState>;

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
    recent: IdMap<u64>,
    /// Ids that the fold under way covers.
    folding: Option<IdMap<u64>>,
    /// An empty map that has the room of a full one: growing one in the middle of a batch would stop payments.
    spare: IdMap<u64>,
    /// Ids of the batch that is being applied; empty between two.
    of_batch: IdMap<u64>,
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
    #[cfg(feature = "controls")]
    control: Option<Control>,
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
            machine,
            journal,
            applied: mark.slot,
            chains: VecDeque::from([(mark.slot, mark.chain)]),
            store,
            settings,
            recent: roomy_id_map(settings),
            folding: None,
            spare: roomy_id_map(settings),
            of_batch: id_map(settings),
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
    #[cfg(any(debug_assertions, feature = "controls"))]
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
        let mut ids = Vec::new();
        for tagged in &requests.requests {
            S::ids(&tagged.request, &mut ids);
        }
        let known = self.look_up(&ids)?;
        self.journal.begin(slot);
        let mut port = Port { journal: &mut self.journal, known, of_batch: &mut self.of_batch };
        let at = At { slot, clock_ms: requests.clock_ms };
        let mut answers = Vec::with_capacity(requests.requests.len());
        for tagged in requests.requests {
            let reply = Reply::Answer(self.machine.apply(at, &tagged.request, &mut port));
            answers.push(Applied { tag: tagged.tag, reply });
        }
        self.recent.extend(self.of_batch.drain());
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

    /// The record pushed under `id`, ever.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn find(&self, id: u128) -> Result<Option<JournalRecord>, StorageError> {
        match self.find_place(id)? {
            Some(place) => self.journal.read(place).map(Some),
            None => Ok(None),
        }
    }

    /// The record at a place of the journal.
    ///
    /// # Errors
    /// When the disk fails, or there is no such place.
    pub fn record(&self, place: u64) -> Result<JournalRecord, StorageError> {
        self.journal.read(place)
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

    /// The records of those ids that were used before.
    fn look_up(&self, ids: &[u128]) -> Result<IdMap<JournalRecord>, StorageError> {
        let mut known = id_map(self.settings);
        for id in ids {
            if let Some(place) = self.find_place(*id)? {
                known.insert(*id, self.journal.read(place)?);
            }
        }
        Ok(known)
    }

    fn find_place(&self, id: u128) -> Result<Option<u64>, StorageError> {
        if let Some(place) = self.recent.get(&id) {
            return Ok(Some(*place));
        }
        if let Some(place) = self.folding.as_ref().and_then(|folding| folding.get(&id)) {
            return Ok(Some(*place));
        }
        #[cfg(feature = "controls")]
        if self.control == Some(Control::SkipIdIndex) {
            return Ok(None);
        }
        if self.store.maybe_contains(id) { self.store.find(id) } else { Ok(None) }
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

/// Gives a checkpoint's entries to a fresh machine, and returns the group, if it is in there.
fn restore<S: StateMachine, D: Disk>(
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
    fn effects(record: &JournalRecord, put: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        if group::is_control(record) {
            group::effects(record, put);
        } else {
            S::effects(record, put);
        }
    }

    fn id(record: &JournalRecord) -> Option<u128> {
        if group::is_control(record) { None } else { S::id(record) }
    }
}

fn hasher(settings: ApplierSettings) -> foldhash::fast::FixedState {
    foldhash::fast::FixedState::with_seed(settings.hash_seed)
}

/// With room for all ids between two folds, and for those that come while one runs, as far as that is bounded.
fn roomy_id_map(settings: ApplierSettings) -> IdMap<u64> {
    const ROOM_MAX: u64 = 1 << 21;
    let room = usize::try_from(settings.fold_records.saturating_mul(3).min(ROOM_MAX)).unwrap_or(0);
    HashMap::with_capacity_and_hasher(room, hasher(settings))
}

fn id_map<V>(settings: ApplierSettings) -> IdMap<V> {
    HashMap::with_hasher(hasher(settings))
}

/// The machine's door to the journal during one batch.
struct Port<'a, D: Disk> {
    journal: &'a mut Journal<D>,
    /// Records of earlier batches.
    known: IdMap<JournalRecord>,
    /// Places of records of this batch.
    of_batch: &'a mut IdMap<u64>,
}

impl<D: Disk> JournalPort for Port<'_, D> {
    fn find(&self, id: u128) -> Option<JournalRecord> {
        match self.of_batch.get(&id) {
            Some(place) => Some(self.journal.read(*place).expect("records of the open batch are in memory")),
            None if self.known.is_empty() => None,
            None => self.known.get(&id).copied(),
        }
    }

    fn push(&mut self, id: Option<u128>, record: &JournalRecord) -> u64 {
        let place = self.journal.push(record);
        if let Some(id) = id {
            // The first record of an id is its outcome; later ones (a hold's end) are found by way of it or of the
            // state, so the id keeps leading to the first.
            if !self.known.contains_key(&id) {
                self.of_batch.entry(id).or_insert(place);
            }
        }
        place
    }

    fn next_place(&self) -> u64 {
        self.journal.next_place()
    }
}
