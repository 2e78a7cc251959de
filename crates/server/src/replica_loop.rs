//! The thread that owns the replica and its log.
//!
//! ```text
//!   inbox ──► step, step, step … ──► send · apply · refuse      (at once)
//!                                └─► append ─► sync ─► released vows ─► step
//! ```
//!
//! One sync serves all that came in while the one before it ran: group commit needs no timer. Whatever need not wait
//! for the disk has left before the sync begins. A failed write or sync ends the node: it is never retried.
//!
//! The thread sleeps until somebody has work for it or something is due: a turn of leaderless mode may come between two
//! ticks, so the replica says when.

use crate::apply_loop::{ApplyJob, ApplyQueue};
use crate::callers::Callers;
use crate::chores::Chores;
use crate::clock::Clock;
use crate::config::NodeError;
use crate::gauges::Gauges;
use crate::housekeeping::Housekeeping;
use crate::lending::{Lent, lend};
use crate::library::Library;
use crate::log_alert::LogAlert;
use crate::peers::Peers;
use crate::start;
use api::span::offset;
use paxos::{Event, Serve, Slot};
use replica::{Divergence, Input, Message, Output, Replica};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use storage::{Disk, Log, LogError, Part, Spare, SpareJob};
use tracing::{error, info, warn};

/// Between two ticks at most.
const TICK: Duration = Duration::from_millis(5);
/// Between two ticks at least: what is due at once, again and again, leaves time for other work.
const TICK_MIN: Duration = Duration::from_micros(250);
/// Inputs taken before what they caused is written: bounds how long the first of them waits.
const INPUTS_PER_FLUSH: usize = 256;
/// Marks of what is chosen ride with a later sync, but not much later.
const LAZY_SYNC: Duration = Duration::from_millis(100);
/// Inputs that wait, at most; readers of peers wait beyond it, callers are refused.
const INBOX_MAX: usize = 16_384;

/// What the thread may be told.
enum Task {
    Step(Input),
    /// The apply thread has left an answer.
    Answers,
    Spare(Box<Result<Spare, LogError>>),
    Stop,
}

/// The way to the replica's thread.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    tasks: SyncSender<Task>,
    /// What the apply thread answers while the journal is received. It must neither be lost nor wait for room: the
    /// replica's thread may be waiting for room in the apply thread's queue. A few at most.
    answers: Arc<Mutex<Vec<Input>>>,
    closed: Arc<AtomicBool>,
}

impl Inbox {
    /// Adds an input, waiting for room. False when the node has stopped.
    pub(crate) fn put(&self, input: Input) -> bool {
        !self.is_closed() && self.tasks.send(Task::Step(input)).is_ok()
    }

    /// Adds an input if there is room. False when there is none, or the node has stopped.
    pub(crate) fn try_put(&self, input: Input) -> bool {
        !self.is_closed() && self.tasks.try_send(Task::Step(input)).is_ok()
    }

    /// Leaves an answer that neither waits nor gets lost.
    pub(crate) fn answer(&self, input: Input) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push(input);
        // With no room there is work, and with every tick the thread looks by itself.
        let _ = self.tasks.try_send(Task::Answers);
    }

    /// Ends the thread after what it has at hand.
    pub(crate) fn stop(&self) {
        self.closed.store(true, Ordering::SeqCst);
        match self.tasks.try_send(Task::Stop) {
            // A full inbox is drained in a moment, and a closed one is looked at between flushes.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

/// Makes an inbox and its end for the thread.
pub(crate) fn inbox() -> (Inbox, Tasks) {
    let (tasks, receiver) = sync_channel(INBOX_MAX);
    (Inbox { tasks, answers: Arc::default(), closed: Arc::default() }, Tasks(receiver))
}

/// The thread's end of the inbox.
#[derive(Debug)]
pub(crate) struct Tasks(Receiver<Task>);

#[cfg(test)]
impl Tasks {
    /// What the thread would be told next, if it is an input and comes in time.
    pub(crate) fn next_input(&self, patience: Duration) -> Option<Input> {
        match self.0.recv_timeout(patience) {
            Ok(Task::Step(input)) => Some(input),
            Ok(Task::Answers | Task::Spare(_) | Task::Stop) | Err(_) => None,
        }
    }
}

/// Everything that the thread owns.
pub(crate) struct ReplicaLoop<A, D: Disk> {
    pub(crate) replica: Replica,
    pub(crate) log: Log<D>,
    pub(crate) peers: Peers,
    pub(crate) apply: ApplyQueue,
    pub(crate) callers: Arc<Callers<A>>,
    pub(crate) clock: Clock,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) inbox: Inbox,
    pub(crate) library: Library,
    pub(crate) chores: Chores,
    pub(crate) housekeeping: Housekeeping<A>,
    pub(crate) log_alert: LogAlert,
    /// The node's directory, for evidence.
    pub(crate) dir: PathBuf,
}

impl<A, D: Disk> ReplicaLoop<A, D> {
    /// Runs until told to stop, or until the node cannot go on. `out` is what the opening left to be done.
    pub(crate) fn run(mut self, tasks: &Tasks, mut out: Output) -> Result<(), NodeError> {
        let mut flow = Flow { next_tick: Instant::now(), synced_at: Instant::now(), unsynced: false };
        let mut rest = Rest::Yes;
        loop {
            if rest == Rest::Yes && self.wait(tasks, &flow, &mut out)?
                || self.drain(tasks, &mut out)?
                || self.inbox.is_closed()
            {
                break;
            }
            if Instant::now() >= flow.next_tick {
                self.tick(&mut flow, &mut out)?;
            }
            self.replica.move_on(self.clock.now(), &mut out);
            rest = self.flush(&mut flow, &mut out)?;
            self.hurry(&mut flow);
        }
        while self.flush(&mut flow, &mut out)? == Rest::No {}
        self.log.sync().map(drop).map_err(|error| NodeError::of_storage(&error))
    }

    /// Waits for the next thing to do, or the next tick. True when told to stop.
    fn wait(&mut self, tasks: &Tasks, flow: &Flow, out: &mut Output) -> Result<bool, NodeError> {
        let patience = flow.next_tick.saturating_duration_since(Instant::now());
        match tasks.0.recv_timeout(patience) {
            Ok(Task::Stop) | Err(RecvTimeoutError::Disconnected) => Ok(true),
            Ok(task) => self.take(task, out).map(|()| false),
            Err(RecvTimeoutError::Timeout) => Ok(false),
        }
    }

    /// Something may be due before the next tick.
    fn hurry(&self, flow: &mut Flow) {
        if let Some(due_us) = self.replica.paxos().turn_due_at_us() {
            let wait = Duration::from_micros(due_us.saturating_sub(self.clock.mono_us())).max(TICK_MIN);
            flow.next_tick = flow.next_tick.min(Instant::now() + wait);
        }
    }

    /// Takes what else is at hand. True when told to stop.
    fn drain(&mut self, tasks: &Tasks, out: &mut Output) -> Result<bool, NodeError> {
        for _ in 0..INPUTS_PER_FLUSH {
            match tasks.0.try_recv() {
                Ok(Task::Stop) | Err(TryRecvError::Disconnected) => return Ok(true),
                Ok(task) => self.take(task, out)?,
                Err(TryRecvError::Empty) => break,
            }
        }
        Ok(false)
    }

    fn take(&mut self, task: Task, out: &mut Output) -> Result<(), NodeError> {
        match task {
            Task::Step(input) => self.replica.take(self.clock.now(), input, out),
            Task::Answers => self.take_answers(out),
            Task::Spare(spare) => self.log.put_spare((*spare).map_err(of_log)?),
            Task::Stop => {}
        }
        Ok(())
    }

    fn take_answers(&mut self, out: &mut Output) {
        let answers = std::mem::take(&mut *self.inbox.answers.lock().unwrap_or_else(PoisonError::into_inner));
        for answer in answers {
            self.replica.step(self.clock.now(), answer, out);
        }
    }

    fn tick(&mut self, flow: &mut Flow, out: &mut Output) -> Result<(), NodeError> {
        let now = self.clock.now();
        self.take_answers(out);
        let applied = self.gauges.applied.load(Ordering::Acquire);
        self.replica.step(now, Input::Applied(Slot::new(applied)), out);
        let checkpoint = self.gauges.checkpoint.load(Ordering::Acquire);
        self.replica.step(now, Input::Checkpointed(Slot::new(checkpoint)), out);
        self.replica.step(now, Input::Tick, out);
        flow.next_tick = Instant::now() + TICK;
        if flow.unsynced && flow.synced_at.elapsed() > LAZY_SYNC {
            self.sync(flow)?;
        }
        // Everything applied by now was appended before this tick: one sync covers it.
        if self.gauges.fold_waits.swap(false, Ordering::AcqRel) {
            while self.flush(flow, out)? == Rest::No {}
            self.sync(flow)?;
            self.apply.put(ApplyJob::FoldMay);
        }
        self.prepare_segment();
        self.publish_log_time();
        self.housekeeping.look(&mut self.replica, now, &self.peers, out)?;
        self.gauges.publish(&self.replica, self.log.size_bytes(), self.clock.mono_us());
        Ok(())
    }

    fn publish_log_time(&mut self) {
        let now = self.clock.now();
        let ahead_ms = self.replica.log_ahead_ms(now);
        self.gauges.log_time_ms.store(self.replica.log_time_ms(now), Ordering::Relaxed);
        self.gauges.log_ahead_ms.store(ahead_ms, Ordering::Relaxed);
        self.log_alert.look(ahead_ms, now.mono_us);
    }

    /// Carries out what the steps asked for, with one sync if something waits for that. What came meanwhile is taken
    /// before what follows is written: so one sync serves all of it.
    #[expect(clippy::expect_used, reason = "the log was synced after the group was written")]
    fn flush(&mut self, flow: &mut Flow, out: &mut Output) -> Result<Rest, NodeError> {
        self.let_go(out)?;
        let must_sync = out.has_vows();
        let Some(group) = out.take_unsynced() else { return Ok(Rest::Yes) };
        let pending = self.log.append(group).map_err(of_log)?;
        flow.unsynced = true;
        if !must_sync {
            return Ok(Rest::Yes);
        }
        let proof = self.sync(flow)?;
        let vows = pending.release(&proof).expect("this very log was synced after the group was written");
        let applied = self.gauges.applied.load(Ordering::Acquire);
        let now = self.clock.now();
        self.replica.take(now, Input::Applied(Slot::new(applied)), out);
        self.replica.take(now, Input::Released(vows), out);
        self.let_go(out)?;
        Ok(Rest::No)
    }

    fn sync(&mut self, flow: &mut Flow) -> Result<storage::Synced, NodeError> {
        let began = Instant::now();
        let proof = self.log.sync().map_err(of_log)?;
        flow.unsynced = false;
        flow.synced_at = Instant::now();
        self.gauges.observe_sync(flow.synced_at - began);
        Ok(proof)
    }

    /// What need not wait for the disk.
    fn let_go(&mut self, out: &mut Output) -> Result<(), NodeError> {
        for (to, message) in out.send.drain(..) {
            self.peers.send(to, &message);
        }
        for (slot, batch) in out.apply.drain(..) {
            self.apply.put(ApplyJob::Apply(slot, batch));
        }
        for (seq, after) in out.reads.drain(..) {
            self.apply.put(ApplyJob::Read { seq, after });
        }
        for seq in out.reads_refused.drain(..) {
            self.apply.put(ApplyJob::ReadRefused { seq });
        }
        self.callers.tell(out.refuse.drain(..).map(|(seq, refusal)| (seq, Err(refusal))));
        for serve in out.serve.drain(..) {
            self.serve(serve)?;
        }
        if let Some(below) = out.trim.take() {
            self.log.trim(below.get()).map_err(of_log)?;
        }
        self.move_state(out)?;
        for event in out.events.drain(..) {
            tell(event, &self.housekeeping)?;
        }
        out.diverged.take().map_or(Ok(()), |divergence| Err(self.diverged(&divergence)))
    }

    /// A member asks for chosen batches.
    fn serve(&self, Serve { to, from }: Serve) -> Result<(), NodeError> {
        match lend(&self.log, from).map_err(of_log)? {
            Lent::Answer(message) => {
                self.peers.send(to, &Message::Paxos(message));
            }
            Lent::Rotten(what) => self.gauges.rot.note_unreadable(Part::Log.name(), &what.to_string()),
        }
        Ok(())
    }

    /// The state on its way: to members that lack it, or from one of them.
    fn move_state(&mut self, out: &mut Output) -> Result<(), NodeError> {
        for (to, from_place) in out.journal_read.drain(..) {
            self.library.ask(to, from_place);
        }
        if std::mem::take(&mut out.begin_transfer) {
            self.apply.put(ApplyJob::BeginReceiving);
        }
        for (from_place, records) in out.journal_write.drain(..) {
            self.apply.put(ApplyJob::Receive { from_place, records });
        }
        if let Some(mark) = out.finish_transfer.take() {
            // Before a checkpoint of it may count, the log must know that all through it is chosen.
            self.log.install(mark.slot).map_err(of_log)?;
            self.apply.put(ApplyJob::InstallReceived);
        }
        Ok(())
    }

    /// Keeps the evidence. The node stops, and stays down.
    fn diverged(&self, divergence: &Divergence) -> NodeError {
        let node = self.housekeeping.me().get();
        let at = format!("{} ms after 1970", self.clock.now().wall_ms);
        let others = start::contradicted_by(divergence);
        error!(event = "diverged", slot = divergence.slot.get(), contradicted_by = %others);
        match start::keep_evidence(&self.dir, &at, divergence) {
            Ok(()) => NodeError::Diverged { evidence: self.dir.join("diverged"), node },
            Err(source) => NodeError::System { doing: "keeping the evidence of a divergence", source },
        }
    }

    /// The next segment is made by a thread of its own, long before it is needed.
    fn prepare_segment(&mut self) {
        let Some(job) = self.log.spare_job() else { return };
        let tasks = self.inbox.tasks.clone();
        let made = move || {
            let _ = tasks.send(Task::Spare(Box::new(SpareJob::run(job))));
        };
        if let Err(error) = self.chores.start("segment", made) {
            warn!(event = "no_thread", what = "preparing a log segment", why = %error);
        }
    }
}

/// May the thread rest until something comes, or has it left something to go on with?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Yes,
    No,
}

/// Where the loop stands with its clockwork.
struct Flow {
    next_tick: Instant,
    synced_at: Instant,
    unsynced: bool,
}

fn of_log(error: LogError) -> NodeError {
    NodeError::of_storage(&error)
}

fn tell<A>(event: Event, housekeeping: &Housekeeping<A>) -> Result<(), NodeError> {
    match event {
        Event::BecameProposer(ballot) => info!(event = "leads", ballot = %ballot),
        Event::NoLongerProposer { to } => info!(event = "leads_no_longer", ballot = %to),
        Event::Leader(Some(leader)) => info!(event = "follows", leader = leader.get()),
        Event::Leader(None) if !housekeeping.elects() => info!(event = "no_holder"),
        Event::Leader(None) => warn!(event = "no_leader", todo = "an election is under way"),
        Event::ClockOff { skew_ms } => {
            let by = offset(skew_ms);
            let effect = "this node is not ready, and does not lead";
            warn!(event = "clock_off", skew_ms, by = %by, effect, todo = "set its clock");
        }
        Event::ClockFine => info!(event = "clock_fine"),
        Event::ClockJumped { by_ms } => {
            let by = offset(by_ms);
            let effect = "it is not believed: time goes on without it until it is back, or a majority says the same, or five minutes have passed";
            warn!(event = "clock_jumped", by_ms, by = %by, effect, todo = "see that the clock is right");
        }
        Event::ClockSteady => info!(event = "clock_steady"),
        Event::Quorum(true) => info!(event = "quorum"),
        Event::Quorum(false) => {
            warn!(
                event = "no_quorum",
                effect = "requests wait, then fail with 503 or 504",
                todo = "start the other nodes"
            );
        }
        Event::Forgetful { by, ballot, slot } => {
            let (by, ballot, slot) = (by.get(), ballot.to_string(), slot.get());
            return Err(NodeError::Forgetful { by, ballot, slot, node: housekeeping.me().get() });
        }
        Event::NotMember { by, version } => {
            warn!(event = "no_member", says = by.get(), version, effect = "this node learns why, and then stops");
        }
    }
    Ok(())
}
