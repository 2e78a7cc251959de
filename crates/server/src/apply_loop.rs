//! The thread that owns the state machine: it applies what is chosen, answers who waits, and answers questions.
//!
//! A question sees the books between two batches, never within one. Checkpoints are written by a thread of their own,
//! from the journal: here they only begin and are taken over.
//!
//! While the node receives its state from another, nothing is applied: pieces of the journal are written here, and when
//! all of them are, checkpoint, ids and books are made from them.

use crate::callers::Callers;
use crate::chores::Chores;
use crate::config::{self, FailureKind, NodeError};
use crate::gauges::{Books, Gauges};
use crate::library;
use crate::mending::Mending;
use crate::replica_loop::Inbox;
use crate::service::Service;
use crate::writeback::Writeback;
use bytes::Bytes;
use paxos::{Batch, Slot};
use replica::{Applier, ApplyError, Input, Reply};
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use storage::{Disk, FoldJob, Folded, OpenError, StorageError};
use tracing::{info, warn};

/// Jobs that wait, at most: beyond it the replica's thread waits, and with it the peers and the callers.
const JOBS_MAX: usize = 16_384;

/// A question to the books; told nothing when it cannot be answered in time.
pub(crate) type Question<S, D> = Box<dyn FnOnce(Option<&Applier<S, D>>) + Send>;

/// What a background job ended with.
type FoldResult<D> = Result<Folded<D>, StorageError>;

/// What the thread may be told, by threads that know nothing of the disk's type.
pub(crate) enum ApplyJob {
    Apply(Slot, Batch),
    /// The read of that number may be answered once the slot is applied.
    Read {
        seq: u64,
        after: Slot,
    },
    /// The read of that number cannot be answered.
    ReadRefused {
        seq: u64,
    },
    /// A question to the present state is waiting.
    Peek {
        seq: u64,
    },
    /// The log is synced through all that was applied when a fold was last wanted: it may run.
    FoldMay,
    /// A background job has ended.
    FoldEnded,
    /// The journal is to be received: say where it stands.
    BeginReceiving,
    /// A piece of another node's journal.
    Receive {
        from_place: u64,
        records: Bytes,
    },
    /// What was received is whole: make the books of it.
    InstallReceived,
    Stop,
}

/// The way to the apply thread.
#[derive(Clone, Debug)]
pub(crate) struct ApplyQueue(SyncSender<ApplyJob>);

impl ApplyQueue {
    pub(crate) fn put(&self, job: ApplyJob) {
        // An error means that the thread has ended, with the node: nobody waits any more.
        let _ = self.0.send(job);
    }

    /// Adds a job if there is room.
    pub(crate) fn try_put(&self, job: ApplyJob) -> bool {
        self.0.try_send(job).is_ok()
    }
}

/// Makes the queue and its end for the thread.
pub(crate) fn queue() -> (ApplyQueue, Receiver<ApplyJob>) {
    let (sender, receiver) = sync_channel(JOBS_MAX);
    (ApplyQueue(sender), receiver)
}

/// Questions by number, until their turn.
pub(crate) struct Questions<S, D: Disk>(Mutex<HashMap<u64, Question<S, D>>>);

impl<S, D: Disk> Default for Questions<S, D> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S, D: Disk> Questions<S, D> {
    pub(crate) fn add(&self, seq: u64, question: Question<S, D>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(seq, question);
    }

    pub(crate) fn take(&self, seq: u64) -> Option<Question<S, D>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&seq)
    }

    /// None of them is answered.
    pub(crate) fn give_up(&self) {
        let questions = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        questions.into_values().for_each(|question| question(None));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Why the thread ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyStopped {
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What was received cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl From<ApplyStopped> for NodeError {
    fn from(stopped: ApplyStopped) -> Self {
        match &stopped {
            ApplyStopped::Apply(ApplyError::Storage(error)) | ApplyStopped::Storage(error) => Self::of_storage(error),
            ApplyStopped::Apply(error) => Self::Failed { kind: config::of_apply(error), what: error.to_string() },
            ApplyStopped::Open(OpenError::Failed(error)) => Self::of_storage(error),
            // What was made of what was received: it is made again.
            ApplyStopped::Open(error @ OpenError::Rot { part, .. }) => {
                Self::Rotten { part: *part, what: error.to_string() }
            }
            ApplyStopped::Open(error @ OpenError::Foreign { .. }) => {
                Self::Failed { kind: FailureKind::Damaged, what: error.to_string() }
            }
        }
    }
}

/// Everything that the thread owns.
pub(crate) struct ApplyLoop<S: Service, D: Disk> {
    pub(crate) applier: Applier<S, D>,
    pub(crate) me: u16,
    pub(crate) boot: u64,
    pub(crate) callers: Arc<Callers<S::Answer>>,
    pub(crate) questions: Arc<Questions<S, D>>,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) queue: ApplyQueue,
    pub(crate) writeback: Writeback,
    pub(crate) chores: Chores,
    /// Where a question's rot is told.
    pub(crate) mending: Mending,
    /// Reads that wait for their slot.
    pub(crate) reads: BTreeMap<Slot, Vec<u64>>,
    /// A fold that waits for the log's sync: a checkpoint must never be ahead of the log's mark of what is chosen, or
    /// after a power cut nobody could serve those slots to a node that lacks them.
    pub(crate) waiting_fold: Option<FoldJob<D>>,
    /// Where the background job leaves its result.
    pub(crate) folded: Arc<Mutex<Option<FoldResult<D>>>>,
    /// Where the replica's thread finds what it asked.
    pub(crate) inbox: Inbox,
    pub(crate) phase: Phase,
    /// For a fresh machine, when the state was received.
    pub(crate) hash_seed: u64,
}

/// Does the state come out of the log, or from another node?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Applying,
    /// The journal is to be received as soon as the checkpoint under way is done.
    WantsToReceive,
    Receiving,
}

impl<S: Service, D: Disk> ApplyLoop<S, D> {
    /// Runs until told to stop, or until the disk fails.
    pub(crate) fn run(mut self, jobs: &Receiver<ApplyJob>) -> Result<(), ApplyStopped> {
        // What the start applied anew may already be more than a checkpoint should leave out.
        self.fold_if_due();
        while let Ok(job) = jobs.recv() {
            match job {
                ApplyJob::Apply(slot, batch) => self.apply(slot, &batch)?,
                ApplyJob::Read { seq, after } if after <= self.applier.applied() => self.ask(seq),
                ApplyJob::Read { seq, after } => self.reads.entry(after).or_default().push(seq),
                ApplyJob::ReadRefused { seq } => {
                    if let Some(question) = self.questions.take(seq) {
                        question(None);
                    }
                }
                ApplyJob::Peek { seq } => self.ask(seq),
                ApplyJob::FoldMay => {
                    if let Some(job) = self.waiting_fold.take() {
                        self.fold(job);
                    }
                }
                ApplyJob::FoldEnded => self.install()?,
                ApplyJob::BeginReceiving => self.begin_receiving()?,
                ApplyJob::Receive { from_place, records } => self.receive(from_place, &records)?,
                ApplyJob::InstallReceived => self.install_received()?,
                ApplyJob::Stop => break,
            }
        }
        Ok(())
    }

    fn apply(&mut self, slot: Slot, batch: &Batch) -> Result<(), ApplyStopped> {
        // Only once all that was received is in place does anything come to be applied.
        self.phase = Phase::Applying;
        let answers = self.applier.apply(slot, batch)?;
        self.writeback.written(self.applier.places());
        self.gauges.set_books(Books::of(&self.applier, self.applier.mark()));
        let posted_of = |reply: &Reply<S::Answer>| match reply {
            Reply::Answer(answer) => S::posted(answer),
            Reply::Group(_) => 0,
        };
        let posted: u64 = answers.iter().map(|applied| posted_of(&applied.reply)).sum();
        self.gauges.posted.fetch_add(posted, Ordering::Relaxed);
        let (me, boot) = (self.me, self.boot);
        let own = answers.into_iter().filter(|applied| applied.tag.origin == me && applied.tag.boot == boot);
        self.callers.tell(own.map(|applied| (applied.tag.seq, Ok(applied.reply))));
        if let Some((slot, digest)) = self.applier.take_check() {
            // One that finds no room is not missed: the next check is a second away.
            self.inbox.try_put(Input::Digest { slot, digest });
        }
        while let Some(entry) = self.reads.first_entry().filter(|entry| *entry.key() <= slot) {
            for seq in entry.remove() {
                self.ask(seq);
            }
        }
        self.fold_if_due();
        Ok(())
    }

    fn fold_if_due(&mut self) {
        if let Some(job) = self.applier.fold_if_due() {
            self.waiting_fold = Some(job);
            self.gauges.fold_waits.store(true, Ordering::Release);
        }
    }

    fn ask(&self, seq: u64) {
        if let Some(question) = self.questions.take(seq) {
            question(Some(&self.applier));
            if let Some(met) = self.applier.take_met() {
                self.mending.begin(met);
            }
        }
    }

    fn fold(&self, job: FoldJob<D>) {
        let (folded, queue) = (Arc::clone(&self.folded), self.queue.clone());
        // With no less right to the processor than payments have: what no checkpoint covers yet is in memory and is applied
        // again at the next start, and on a machine that is busy all the time a checkpoint that gives way never ends.
        let run = move || {
            // Whatever becomes of the job, the apply thread is told: a panic there must stop the node, too.
            let result = catch_unwind(AssertUnwindSafe(|| job.run())).ok();
            *folded.lock().unwrap_or_else(PoisonError::into_inner) = result;
            queue.put(ApplyJob::FoldEnded);
        };
        if let Err(error) = self.chores.start("checkpoint", run) {
            warn!(event = "no_thread", what = "writing a checkpoint", why = %error, todo = "tried again at the next start");
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "without a result the checkpoint's thread has panicked over a broken invariant, and the node must stop"
    )]
    fn install(&mut self) -> Result<(), ApplyStopped> {
        let done = self.folded.lock().unwrap_or_else(PoisonError::into_inner).take();
        let done = done.expect("the checkpoint thread leaves a result unless it found a broken invariant");
        let slot = self.applier.install(done?);
        self.gauges.checkpoint.store(slot.get(), Ordering::Release);
        info!(event = "checkpoint", slot = slot.get());
        if self.phase == Phase::WantsToReceive {
            return self.begin_receiving();
        }
        self.fold_if_due();
        Ok(())
    }

    fn begin_receiving(&mut self) -> Result<(), ApplyStopped> {
        // A checkpoint that only waits for the log's sync is given up: what is received makes another one.
        if let Some(job) = self.waiting_fold.take() {
            self.fold(job);
        }
        self.phase = match self.applier.begin_receiving()? {
            None => Phase::WantsToReceive,
            Some(mark) => {
                info!(event = "receiving", from_record = mark.places, why = "the others' logs begin later");
                self.inbox.answer(Input::Receiving(mark));
                Phase::Receiving
            }
        };
        Ok(())
    }

    fn receive(&mut self, from_place: u64, records: &[u8]) -> Result<(), ApplyStopped> {
        match self.applier.receive(from_place, records) {
            Ok(mark) => {
                self.writeback.written(mark.places);
                self.inbox.answer(Input::Receiving(mark));
            }
            Err(StorageError::Refused { what, .. }) => {
                warn!(event = "piece_refused", from_record = from_place, why = %what, todo = "asked of another node");
                self.inbox.answer(Input::JournalRefused(self.applier.mark()));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Makes checkpoint, ids and books of what was received. Long, and nothing else is to be done here meanwhile; so the
    /// work is a thread's that leaves the processor to the nodes that serve.
    fn install_received(&mut self) -> Result<(), ApplyStopped> {
        let (applier, hash_seed) = (&mut self.applier, self.hash_seed);
        let work = thread::scope(|scope| {
            let run = || {
                library::give_way();
                applier.install_received(S::fresh(hash_seed))
            };
            let started = thread::Builder::new().name("install".to_owned()).spawn_scoped(scope, run);
            started.map(std::thread::ScopedJoinHandle::join)
        });
        let mark = match work {
            Ok(Ok(installed)) => installed?,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            // No thread to be had: then here.
            Err(_) => self.applier.install_received(S::fresh(hash_seed))?,
        };
        self.gauges.set_books(Books::of(&self.applier, mark));
        self.gauges.checkpoint.store(mark.slot, Ordering::Release);
        info!(event = "received", slot = mark.slot, records = mark.places);
        self.inbox.answer(Input::Installed { mark, group: self.applier.group().clone() });
        Ok(())
    }
}
