//! The handle of a running node: what HTTP, gRPC and the page talk to.
//!
//! A request is answered by the node's own books when its slot is applied here, whoever proposed it. A read is answered
//! after this node has applied whatever was chosen before the read began.

use crate::apply_loop::{ApplyJob, ApplyQueue, Questions};
use crate::callers::Callers;
use crate::clock::Clock;
use crate::edge::port::{BankPort, ChangeError, Life, NodePort, ReadError, SubmitError, Unreadable, View};
use crate::gauges::Gauges;
use crate::memory;
use crate::mending::Mending;
use crate::replica_loop::Inbox;
use crate::service::Service;
use crate::stop::Stop;
use api::status::{BallotStatus, MemberRole, MemberState, Mode, NodeStatus, PeerStatus, Role, SlotStatus};
use bank::BankView;
use bytes::Bytes;
use ledger::record::RecordBytes;
use ledger::{Answer, Ledger, RecordKey, Request};
use replica::group::{self, Change, Group};
use replica::{Applier, Input, Refusal, Reply};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use storage::{RealDisk, StorageError};
use tokio::sync::oneshot;

/// How long a request or a read waits for its slot; callers have their answer within two seconds.
const PATIENCE: Duration = Duration::from_millis(1_700);
/// Beyond the replica's own deadline, only a node that hangs keeps a caller waiting.
const PATIENCE_WITH_HANGING: Duration = Duration::from_millis(1_950);
/// Questions that wait, at most.
const QUESTIONS_MAX: usize = 50_000;
/// A node is ready only while it lags behind its peers by no more than this.
const READY_LAG_MAX: u64 = 1_000;

/// What an orderly stop is asked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// `POST /shutdown`: the node stays down until somebody starts it.
    Asked,
    /// A signal.
    Signal,
    /// The process that supervises it has ended.
    ParentGone,
    /// It is a member no more, and may go.
    Removed,
}

/// Facts of the node that never change.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) group: String,
    pub(crate) cluster: u128,
    pub(crate) node: u16,
    /// The number of its own disk.
    pub(crate) disk: u64,
}

/// See the module.
pub(crate) struct Handle<S: Service> {
    shared: Arc<Shared<S>>,
}

/// The handle of a bank's node.
pub(crate) type Bank = Handle<bank::Machine>;

impl<S: Service> Clone for Handle<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S: Service> std::fmt::Debug for Handle<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("facts", &self.shared.facts).finish_non_exhaustive()
    }
}

pub(crate) struct Shared<S: Service> {
    pub(crate) facts: Facts,
    pub(crate) clock: Clock,
    pub(crate) inbox: Inbox,
    pub(crate) apply: ApplyQueue,
    pub(crate) callers: Arc<Callers<S::Answer>>,
    pub(crate) questions: Arc<Questions<S, RealDisk>>,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) mending: Mending,
    /// It stops: whoever chooses nodes is to choose others.
    pub(crate) leaving: AtomicBool,
    /// It takes nothing new.
    pub(crate) stopping: AtomicBool,
    pub(crate) stop: Stop,
}

impl<S: Service> Handle<S> {
    pub(crate) fn new(shared: Shared<S>) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// The number that the group was founded with.
    pub(crate) fn cluster(&self) -> u128 {
        self.shared.facts.cluster
    }

    /// Has the group carry out an encoded request, and waits for its answer.
    pub(crate) async fn submit_encoded(&self, request: Bytes) -> Result<S::Answer, SubmitError> {
        let reply = self.told(|seq, deadline_us| Input::Submit { seq, request, deadline_us }).await?;
        match reply {
            Reply::Answer(answer) => Ok(answer),
            Reply::Group(_) => Err(SubmitError::OutcomeUnknown),
        }
    }

    /// Gives the replica something with a number of its own, and waits for what becomes of it.
    async fn told(&self, input: impl FnOnce(u64, u64) -> Input) -> Result<Reply<S::Answer>, SubmitError> {
        let shared = &self.shared;
        if shared.stopping.load(Ordering::Relaxed) {
            return Err(SubmitError::ShuttingDown);
        }
        let (seq, answer) = shared.callers.add();
        let deadline_us = shared.clock.mono_us() + micros(PATIENCE);
        if !shared.inbox.try_put(input(seq, deadline_us)) {
            shared.callers.tell([(seq, Err(Refusal::Overloaded))]);
        }
        match tokio::time::timeout(PATIENCE_WITH_HANGING, answer).await {
            Ok(Ok(Ok(reply))) => Ok(reply),
            Ok(Ok(Err(refusal))) => Err(self.refused(refusal)),
            // The node hangs or stops: what became of it is not known here.
            Ok(Err(_)) | Err(_) => Err(SubmitError::OutcomeUnknown),
        }
    }

    fn refused(&self, refusal: Refusal) -> SubmitError {
        match refusal {
            Refusal::NotProposed => SubmitError::NotProposed {
                reason: format!("nothing was proposed: no majority of the {}'s nodes could be reached", S::KIND),
                retry_after_ms: 500,
            },
            Refusal::Receiving => SubmitError::NotProposed {
                reason: format!("nothing was proposed: {}; send it to another node", self.receives()),
                retry_after_ms: 1_000,
            },
            Refusal::Overloaded => SubmitError::Overloaded { retry_after_ms: 100 },
            Refusal::Leaving => SubmitError::ShuttingDown,
            Refusal::OutcomeUnknown => SubmitError::OutcomeUnknown,
        }
    }

    /// Why this node cannot answer from its books.
    fn receives(&self) -> String {
        match self.shared.gauges.transfer() {
            Some(transfer) => format!(
                "this node receives the books ({} of {} records, {} %)",
                transfer.done,
                transfer.total,
                transfer.percent()
            ),
            None => "this node has received the books and waits for another to confirm them".to_owned(),
        }
    }

    /// Puts a question where the apply thread finds it, has `send` say when its turn is, and waits for the answer.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Applier<S, RealDisk>) -> T + Send + 'static,
        send: impl FnOnce(u64) -> bool + Send,
    ) -> Result<T, ReadError> {
        let shared = &self.shared;
        if shared.stopping.load(Ordering::Relaxed) {
            return Err(ReadError::ShuttingDown);
        }
        if !shared.gauges.serves() {
            let reason = format!("{}; ask another node", self.receives());
            return Err(ReadError::NotReady { reason, retry_after_ms: 1_000 });
        }
        if shared.questions.len() >= QUESTIONS_MAX {
            return Err(ReadError::Overloaded { retry_after_ms: 100 });
        }
        let seq = shared.callers.number();
        let (sender, receiver) = oneshot::channel();
        let answer = move |books: Option<&Applier<S, RealDisk>>| {
            let _ = sender.send(books.map(question));
        };
        shared.questions.add(seq, Box::new(answer));
        if !send(seq) {
            shared.questions.take(seq);
            return Err(ReadError::Overloaded { retry_after_ms: 100 });
        }
        let answered = tokio::time::timeout(PATIENCE_WITH_HANGING, receiver).await;
        shared.questions.take(seq);
        match answered {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None) | Err(_)) | Err(_) => {
                let reason = "no majority of its nodes answers this one".to_owned();
                Err(ReadError::NotReady { reason, retry_after_ms: 500 })
            }
        }
    }

    /// Where the group stands with its restores, as of the last slot applied here.
    pub(crate) fn life(&self) -> Life {
        self.shared.gauges.books().life
    }

    /// As [`Handle::ask`], after this node has applied whatever was chosen before.
    pub(crate) async fn ask_group<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Applier<S, RealDisk>) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let deadline_us = self.shared.clock.mono_us() + micros(PATIENCE);
        self.ask(question, |seq| self.shared.inbox.try_put(Input::Read { seq, deadline_us })).await
    }

    /// As [`Handle::ask`], of this node's own books, which may be a moment behind.
    pub(crate) async fn ask_own<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Applier<S, RealDisk>) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        self.ask(question, |seq| self.shared.apply.try_put(ApplyJob::Peek { seq })).await
    }

    /// Asks this node's own books whatever its state: for the page and the audit.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Applier<S, RealDisk>) -> T + Send + 'static,
    ) -> Option<T> {
        let seq = self.shared.callers.number();
        let (sender, receiver) = oneshot::channel();
        let answer = move |books: Option<&Applier<S, RealDisk>>| {
            let _ = sender.send(books.map(question));
        };
        self.shared.questions.add(seq, Box::new(answer));
        self.shared.apply.try_put(ApplyJob::Peek { seq });
        let answered = tokio::time::timeout(PATIENCE_WITH_HANGING, receiver).await;
        self.shared.questions.take(seq);
        answered.ok()?.ok()?
    }

    /// Stops the node in order: it hands its part as proposer over, finishes what it has, and ends.
    pub(crate) fn stop(&self, reason: StopReason) {
        self.shared.stop.ask(reason);
    }

    /// Something was read beside the books, and is rotten.
    pub(crate) fn mend(&self, found: &StorageError) {
        self.shared.mending.tell(found);
    }

    /// Says in its status that it stops, and serves on.
    pub(crate) fn announce_stop(&self) {
        self.shared.leaving.store(true, Ordering::Relaxed);
    }

    /// Does the node still apply what is chosen? Without that it answers nobody.
    pub(crate) fn applies(&self) -> bool {
        self.shared.gauges.applies.load(Ordering::Acquire)
    }

    /// How many members the group has.
    pub(crate) fn members(&self) -> usize {
        self.shared.gauges.group().members.len()
    }

    /// Is there anybody else to send callers to?
    pub(crate) fn has_others(&self) -> bool {
        self.shared.gauges.group().members.len() > 1 && self.shared.gauges.status().quorum
    }

    /// Takes nothing new, and hands its part as proposer over.
    pub(crate) fn leave(&self) {
        self.announce_stop();
        self.shared.stopping.store(true, Ordering::Relaxed);
        // With no room for it the others elect when this node falls silent.
        self.shared.inbox.try_put(Input::Leave);
    }

    /// Nobody will hear here what becomes of requests that are under way: whoever waits is told so at once, and asks
    /// another node.
    pub(crate) fn give_up_waiting(&self) {
        self.shared.callers.give_up();
        self.shared.questions.give_up();
    }

    /// Requests and questions whose callers wait.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.callers.len() + self.shared.questions.len()
    }

    /// Transfers posted since the node's start.
    pub(crate) fn posted(&self) -> u64 {
        self.shared.gauges.posted.load(Ordering::Relaxed)
    }

    /// The log's time, as this node knows it, in Unix milliseconds; 0 in the first moment after the start.
    pub(crate) fn log_time_ms(&self) -> u64 {
        self.shared.gauges.log_time_ms.load(Ordering::Relaxed)
    }

    /// By how much the log's time is ahead of the group's clocks, in milliseconds.
    pub(crate) fn log_ahead_ms(&self) -> u64 {
        self.shared.gauges.log_ahead_ms.load(Ordering::Relaxed)
    }

    /// How long the last sync took, in microseconds; 0 before the first.
    pub(crate) fn last_sync_us(&self) -> u64 {
        self.shared.gauges.last_sync_us.load(Ordering::Relaxed)
    }

    /// Requests that wait for the proposer, and requests of this node's callers on their way.
    pub(crate) fn queues(&self) -> (usize, usize) {
        let gauges = &self.shared.gauges;
        (gauges.queue_len.load(Ordering::Relaxed), gauges.requests_waiting.load(Ordering::Relaxed))
    }

    pub(crate) fn node_status(&self) -> NodeStatus {
        let shared = &self.shared;
        let gauges = &shared.gauges;
        let status = gauges.status();
        let books = gauges.books();
        let group = gauges.group();
        let applied = books.mark.slot;
        let known = status.peers.iter().map(|peer| peer.chosen.get()).max().unwrap_or(0).max(status.chosen.get());
        let lag = known.saturating_sub(applied);
        let role = self.role(&status, &group);
        let peers = status.peers.iter().map(|peer| PeerStatus {
            node: peer.node.get(),
            connected: peer.connected && peer.answers,
            chosen: peer.chosen.get(),
            checkpoint: peer.checkpoint.get(),
            heard_ms_ago: peer.heard_us_ago.map(|us| us / 1_000),
        });
        // Without a leader to wait for, a majority is all that a node needs.
        let is_led = status.leader.is_some() || group.mode == group::Mode::Leaderless;
        let can_serve = !matches!(role, Role::Starting | Role::Stopping | Role::Receiving | Role::Removed);
        NodeStatus {
            group: shared.facts.group.clone(),
            cluster: uuid::Uuid::from_u128(shared.facts.cluster).hyphenated().to_string(),
            node: shared.facts.node,
            role,
            leader: status.leader.map(paxos::NodeId::get),
            mode: mode(group.mode),
            proposer: status.proposer.map(paxos::NodeId::get),
            ballot: BallotStatus { round: status.ballot.round, node: status.ballot.node },
            slots: SlotStatus {
                accepted: status.accepted.get().max(applied),
                chosen: status.chosen.get().max(applied),
                applied,
            },
            checkpoint: gauges.checkpoint.load(Ordering::Acquire),
            lag,
            quorum: status.quorum,
            ready: status.quorum
                && is_led
                && lag <= READY_LAG_MAX
                && can_serve
                && !books.life.restoring
                && !status.clock_off,
            clock_skew_ms: status.clock_skew_ms,
            clock_off: status.clock_off,
            clock_jumped: status.clock_jumped,
            log_time_ms: gauges.log_time_ms.load(Ordering::Relaxed),
            log_ahead_ms: gauges.log_ahead_ms.load(Ordering::Relaxed),
            peers: peers.collect(),
            held_back_by: None,
            group_version: group.version,
            members: members(&group),
            disk: shared.facts.disk,
            votes_lost: gauges.votes_lost,
            may_leave: status.may_leave,
            transfer: gauges.transfer(),
            rot_repaired: gauges.rot.count(),
            rot_unmended: gauges.rot.unmended(),
            rot: gauges.rot.sentences(),
            incarnation: books.life.incarnation,
            restoring: books.life.restoring,
            complete_through: books.life.complete_through,
            digest: hex(&books.mark.chain),
            accounts: books.accounts,
            journal_records: books.mark.places,
            log_bytes: gauges.log_bytes.load(Ordering::Relaxed),
            memory_bytes: memory::resident_bytes(),
            uptime_ms: shared.clock.mono_us() / 1_000,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn role(&self, status: &paxos::Status, group: &Group) -> Role {
        let shared = &self.shared;
        let own = paxos::NodeId::new(shared.facts.node).and_then(|node| group.role(node));
        match (own, status.role) {
            _ if shared.leaving.load(Ordering::Relaxed) => Role::Stopping,
            (None, _) => Role::Removed,
            _ if !shared.gauges.serves() => Role::Receiving,
            // A newcomer knows of its admission from others before it has learned the log that far.
            (Some(group::Role::Learner), _) if shared.gauges.books().group_version < group.version => Role::Starting,
            (Some(group::Role::Learner), _) => Role::Learner,
            (Some(group::Role::Voter), paxos::Role::Follower) => Role::Follower,
            (Some(group::Role::Voter), paxos::Role::Standing) => Role::Candidate,
            (Some(group::Role::Voter), paxos::Role::Leader) => Role::Leader,
        }
    }
}

/// The mode as everyone outside reads it.
pub(crate) fn mode(mode: group::Mode) -> Mode {
    match mode {
        group::Mode::Leader => Mode::Leader,
        group::Mode::Leaderless => Mode::Leaderless,
    }
}

/// The members as everyone outside reads them.
pub(crate) fn members(group: &Group) -> Vec<MemberState> {
    let member = |(node, member): (&paxos::NodeId, &group::Member)| MemberState {
        node: node.get(),
        role: match member.role {
            group::Role::Voter => MemberRole::Voter,
            group::Role::Learner => MemberRole::Learner,
        },
        peer: member.peer.as_str().to_owned(),
        http: member.http.as_str().to_owned(),
        disk: Some(member.disk).filter(|disk| *disk != 0),
    };
    group.members.iter().map(member).collect()
}

impl<S: Service> NodePort for Handle<S> {
    async fn group(&self) -> Result<Group, ReadError> {
        self.ask_group(|books| books.group().clone()).await
    }

    async fn change(&self, change: Change) -> Result<Group, ChangeError> {
        match self.told(|seq, deadline_us| Input::Change { seq, change, deadline_us }).await? {
            Reply::Group(outcome) => outcome.map_err(ChangeError::Refused),
            Reply::Answer(_) => Err(SubmitError::OutcomeUnknown.into()),
        }
    }

    fn status(&self) -> NodeStatus {
        self.node_status()
    }

    async fn elect(&self) {
        self.shared.inbox.try_put(Input::Elect);
    }

    async fn shut_down(&self) {
        self.stop(StopReason::Asked);
    }
}

impl BankPort for Bank {
    fn life(&self) -> Life {
        Handle::life(self)
    }

    async fn submit(&self, request: Request) -> Result<Vec<Answer>, SubmitError> {
        // Requests are encoded here, so they can be read; unless members of other versions disagree about it.
        self.submit_encoded(request.encode().into()).await?.map_err(|_| SubmitError::OutcomeUnknown)
    }

    async fn read<T, F>(&self, look: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn View) -> T + Send + 'static,
    {
        self.ask_group(|books| look(&Books::new(books))).await
    }

    async fn peek<T, F>(&self, look: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn View) -> T + Send + 'static,
    {
        self.ask_own(|books| look(&Books::new(books))).await
    }
}

/// The books, and how many members could have a good copy of them.
struct Books<'a> {
    view: BankView<'a, RealDisk>,
    members: usize,
}

impl<'a> Books<'a> {
    fn new(applier: &'a Applier<bank::Machine, RealDisk>) -> Books<'a> {
        Books { view: BankView::new(applier), members: applier.group().members.len() }
    }
}

impl View for Books<'_> {
    fn ledger(&self) -> &Ledger {
        self.view.ledger()
    }

    fn outcome_of(&self, key: RecordKey) -> Result<Option<RecordBytes>, Unreadable> {
        self.view.find(key).map_err(|error| Unreadable::of(&error, self.members))
    }

    fn places(&self) -> u64 {
        self.view.mark().places
    }

    fn record(&self, place: u64) -> Result<RecordBytes, Unreadable> {
        self.view.record_bytes(place).map_err(|error| Unreadable::of(&error, self.members))
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[expect(clippy::expect_used, reason = "its callers measure seconds")]
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("a few seconds")
}
