//! What a step of a node wants done, carried out: records to the log, messages to the network, chosen batches to the
//! applier, answers to callers. It does what the shell does, with the shell's threads made into events.

use crate::check::agreement::Found;
use crate::check::{Violation, must};
use crate::clients::Reply;
use crate::control::Control;
use crate::node::{Fold, SpareWork, Stop};
use crate::trace::Who;
use crate::world::{Event, Life, Parcel, Step, World};
use bank::Machine;
use bytes::{Bytes, BytesMut};
use paxos::{Batch, Serve, Slot};
use replica::group::Op;
use replica::request::{self, Content};
use replica::{Input, JournalRules, Message, Output, StateMachine};
use storage::{FoldRules, Pending, StorageError, Unsynced};

/// How long a node may gather inputs before it moves on.
const GATHER_US: u64 = 400;

impl World {
    /// One input to one node, and all that follows from it at once; or, in every other life, what arrives is only taken,
    /// and the node moves on a moment later with all that it has then, as the shell's thread does.
    pub(crate) fn step(&mut self, node: usize, input: Input) -> Step {
        let (now, life) = (self.nodes[node].now(self.schedule.now_us()), self.life(node));
        let Some(process) = self.nodes[node].process.as_mut() else { return Ok(()) };
        let gathers = (life.boot + node as u64).is_multiple_of(2);
        let may_wait = gathers && matches!(input, Input::Submit { .. } | Input::Received { .. });
        process.replica.take(now, input, &mut process.gathered);
        paxos::invariant::check(process.replica.paxos());
        if !may_wait {
            return self.move_on(node);
        }
        if !std::mem::replace(&mut process.moves_on, true) {
            let delay = self.random.between(1, GATHER_US);
            self.schedule.after(delay, Event::MoveOn(life));
        }
        Ok(())
    }

    pub(crate) fn on_move_on(&mut self, life: Life) -> Step {
        if !self.is_alive(life) {
            return Ok(());
        }
        let process = self.nodes[life.node].process.as_mut().expect("a live node has a process");
        process.moves_on = false;
        self.move_on(life.node)
    }

    fn move_on(&mut self, node: usize) -> Step {
        let now = self.nodes[node].now(self.schedule.now_us());
        let Some(process) = self.nodes[node].process.as_mut() else { return Ok(()) };
        let mut out = std::mem::take(&mut process.gathered);
        process.replica.move_on(now, &mut out);
        paxos::invariant::check(process.replica.paxos());
        self.carry(node, out)
    }

    pub(crate) fn carry(&mut self, node: usize, mut out: Output) -> Step {
        let now = self.schedule.now_us();
        for event in &out.events {
            self.tally.elections += u64::from(matches!(event, paxos::Event::BecameProposer(_)));
            self.trace.event(now, Who::Node(node), "says", &[], || format!("{event:?}"));
        }
        if let Some(step) = self.judge(node, &out) {
            return step;
        }
        let has_vows = out.has_vows();
        let unsynced = out.take_unsynced();
        let Some(process) = self.nodes[node].process.as_mut() else { return Ok(()) };
        process.wants_sync |= has_vows;
        process.to_write.extend(unsynced);
        if let Some((slot, _)) = out.apply.last() {
            process.marks.handed = *slot;
        }
        process.to_apply.extend(std::mem::take(&mut out.apply));
        process.ready_reads.extend(std::mem::take(&mut out.reads));
        for (to, message) in &out.send {
            self.send(node, usize::from(to.get()) - 1, message);
        }
        for (seq, refusal) in std::mem::take(&mut out.refuse) {
            self.forget_change(node, seq);
            self.answer(node, seq, Reply::Refused(refusal));
        }
        for seq in std::mem::take(&mut out.reads_refused) {
            self.answer(node, seq, Reply::ReadRefused);
        }
        if let Err(stop) = self.write(node) {
            return self.stopped(node, stop);
        }
        for serve in std::mem::take(&mut out.serve) {
            if let Err(stop) = self.serve(node, serve) {
                return self.stopped(node, stop);
            }
        }
        if let Some(below) = out.trim
            && let Err(stop) = self.trim(node, below)
        {
            return self.stopped(node, stop);
        }
        if let Err(stop) = self.carry_transfers(node, &mut out) {
            return self.stopped(node, stop);
        }
        self.answer_reads(node)?;
        self.apply_soon(node);
        Ok(())
    }

    /// Whether the step says that this node must not go on, and whether that has a reason.
    fn judge(&mut self, node: usize, out: &Output) -> Option<Step> {
        if out.events.iter().any(|event| matches!(event, paxos::Event::Forgetful { .. })) {
            self.tally.forgetful += 1;
            let sound = must(self.nodes[node].forgot, || {
                format!(
                    "node {} was told that its disk lacks something, though it is whole: {:?}",
                    node + 1,
                    out.events
                )
            });
            self.condemn(node, "its disk lacks what its peers have heard from it");
            return Some(sound);
        }
        if let Some(divergence) = &out.diverged {
            self.tally.diverged += 1;
            let flipped = self.nodes[node].process.as_ref().is_some_and(|process| process.is_flipped());
            let sound = must(flipped, || {
                format!("node {} says that its books differ, though nobody touched them: {divergence:?}", node + 1)
            });
            self.condemn(node, "its books differ from the others'");
            return Some(sound);
        }
        None
    }

    pub(crate) fn send(&mut self, from: usize, to: usize, message: &Message) {
        if self.loses(from, to, message) {
            return;
        }
        let (head, tail) = replica::wire::encode(message);
        let arrivals = self.network.send(self.schedule.now_us(), from, to);
        let mut whole = BytesMut::with_capacity(head.len() + tail.len());
        whole.extend_from_slice(&head);
        whole.extend_from_slice(&tail);
        let bytes: Bytes = whole.freeze();
        for at_us in arrivals.at_us.into_iter().flatten() {
            let generation = arrivals.generation;
            let parcel = Parcel { from, to: self.life(to), generation, bytes: bytes.clone() };
            self.schedule.at(at_us, Event::Deliver(parcel));
        }
    }

    /// What carries a change of the group is lost the first time, if the plan says so.
    fn loses(&mut self, from: usize, to: usize, message: &Message) -> bool {
        let per_mille = if self.is_troubled() { self.plan.lost_changes_per_mille } else { 0 };
        let Message::Paxos(paxos::Message::Accept { ballot, slot, batch, .. }) = message else { return false };
        per_mille > 0
            && holds_change(batch)
            && self.sent_changes.insert((from, to, *ballot, *slot))
            && self.random.chance(per_mille)
    }

    /// Appends what waits, unless a sync is under way: then it waits for the next. A sync is begun when somebody waits
    /// for it.
    fn write(&mut self, node: usize) -> Result<(), Stop> {
        let unproven = self.control == Some(Control::SendBeforeSync);
        let life = self.life(node);
        let Some(process) = self.nodes[node].process.as_mut() else { return Ok(()) };
        if process.syncing {
            return Ok(());
        }
        for group in std::mem::take(&mut process.to_write) {
            process.append(group)?;
        }
        process.marks.appended = process.marks.handed;
        if process.wants_sync {
            process.wants_sync = false;
            process.syncing = true;
            let slowness = self.nodes[node].slowness;
            let delay = self.random.long_tailed(self.plan.sync_us, self.plan.sync_us_max) * slowness;
            self.schedule.after(delay, Event::Sync(life));
        }
        if unproven {
            self.release_unproven(node);
        }
        Ok(())
    }

    /// Control: what waits for the disk leaves at once. It does so as an event, as it would leave after a sync.
    fn release_unproven(&mut self, node: usize) {
        let life = self.life(node);
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        let vows = std::mem::take(&mut process.appended).into_iter().map(Pending::release_without_proof);
        process.unproven.extend(vows);
        if !process.unproven.is_empty() {
            self.schedule.after(0, Event::Unproven(life));
        }
    }

    pub(crate) fn on_unproven(&mut self, life: Life) -> Step {
        if !self.is_alive(life) {
            return Ok(());
        }
        let process = self.nodes[life.node].process.as_mut().expect("a live node has a process");
        for vows in std::mem::take(&mut process.unproven) {
            self.step(life.node, Input::Released(vows))?;
        }
        Ok(())
    }

    pub(crate) fn on_sync(&mut self, life: Life) -> Step {
        if !self.is_alive(life) {
            return Ok(());
        }
        let process = self.nodes[life.node].process.as_mut().expect("a live node has a process");
        process.syncing = false;
        let released = match process.sync() {
            Ok(released) => released,
            Err(stop) => return self.stopped(life.node, stop),
        };
        self.trace.event(self.schedule.now_us(), Who::Node(life.node), "synced", &[released.len() as u64], || {
            format!("{} groups", released.len())
        });
        for vows in released {
            self.step(life.node, Input::Released(vows))?;
        }
        self.prepare_spare(life);
        if self.is_alive(life)
            && let Err(stop) = self.write(life.node)
        {
            return self.stopped(life.node, stop);
        }
        Ok(())
    }

    /// Prepares the log's next segment in later events, so that writes and crashes come in between.
    fn prepare_spare(&mut self, life: Life) {
        let Some(process) = self.nodes[life.node].process.as_mut() else { return };
        if self.plan.spares
            && matches!(process.spare, SpareWork::Idle)
            && let Some(job) = process.log.spare_job()
        {
            process.spare = SpareWork::Begun(job);
            let delay = self.random.between(1, 5_000);
            self.schedule.after(delay, Event::Spare(life));
        }
    }

    pub(crate) fn on_spare(&mut self, life: Life) -> Step {
        if !self.is_alive(life) {
            return Ok(());
        }
        let process = self.nodes[life.node].process.as_mut().expect("a live node has a process");
        match std::mem::replace(&mut process.spare, SpareWork::Idle) {
            SpareWork::Idle => {}
            SpareWork::Begun(job) => match job.run() {
                Ok(spare) => {
                    process.spare = SpareWork::Done(spare);
                    let delay = self.random.between(1, 5_000);
                    self.schedule.after(delay, Event::Spare(life));
                }
                Err(error) => return self.stopped(life.node, error.into()),
            },
            SpareWork::Done(spare) => process.log.put_spare(spare),
        }
        Ok(())
    }

    fn serve(&mut self, node: usize, serve: Serve) -> Result<(), Stop> {
        let Some(process) = self.nodes[node].process.as_ref() else { return Ok(()) };
        let batches = match process.log.read_chosen(serve.from.get(), self.plan.learned_bytes) {
            // Trimmed: whoever needs it must be sent state.
            Err(StorageError::Absent { .. }) => Vec::new(),
            batches => batches?,
        };
        let first = process.log.first_slot();
        let message = if !batches.is_empty() {
            let batches = batches.into_iter().map(Batch::new).collect();
            paxos::Message::Learned { from: serve.from, batches }
        } else if first > serve.from.get() {
            paxos::Message::Behind { from: serve.from, first: Slot::new(first) }
        } else {
            return Ok(());
        };
        self.send(node, usize::from(serve.to.get()) - 1, &Message::Paxos(message));
        Ok(())
    }

    fn trim(&mut self, node: usize, below: Slot) -> Result<(), Stop> {
        let Some(process) = self.nodes[node].process.as_mut() else { return Ok(()) };
        process.log.trim(below.get())?;
        self.tally.trims += 1;
        self.trace.event(self.schedule.now_us(), Who::Node(node), "trims", &[below.get()], || {
            format!("log below slot {below}")
        });
        Ok(())
    }

    fn apply_soon(&mut self, node: usize) {
        let life = self.life(node);
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        if !process.to_apply.is_empty() && !std::mem::replace(&mut process.applying, true) {
            let delay = self.random.between(1, self.plan.apply_us);
            self.schedule.after(delay, Event::Apply(life));
        }
    }

    /// Applies one batch, or all that wait: the applier's thread takes what it finds.
    pub(crate) fn on_apply(&mut self, life: Life) -> Step {
        if !self.is_alive(life) {
            return Ok(());
        }
        let count = if self.random.chance(500) { 1 } else { usize::MAX };
        let process = self.nodes[life.node].process.as_mut().expect("a live node has a process");
        process.applying = false;
        let count = count.min(process.to_apply.len());
        let batches: Vec<(Slot, Batch)> = process.to_apply.drain(..count).collect();
        for (slot, batch) in batches {
            self.apply(life.node, slot, &batch)?;
            if !self.is_alive(life) {
                return Ok(());
            }
        }
        let applied = self.nodes[life.node].process.as_ref().map_or(Slot::ZERO, |process| process.applier.applied());
        self.step(life.node, Input::Applied(applied))?;
        self.begin_fold(life.node)
    }

    fn apply(&mut self, node: usize, slot: Slot, batch: &Batch) -> Step {
        if let Some(op) = self.checks.on_batch(node, slot, batch)? {
            self.note_change(slot.get(), &op);
        }
        let Some(process) = self.nodes[node].process.as_mut() else { return Ok(()) };
        let answers = match process.applier.apply(slot, batch) {
            Ok(answers) => answers,
            Err(error) => return self.stopped(node, error.into()),
        };
        let found = Found {
            batch: batch.digest().0,
            answers: answers.iter().filter_map(|applied| applied.reply.clone().answer()).collect(),
            state: process.applier.machine().digest(),
            chain: process.applier.mark().chain,
        };
        let numbers = [slot.get(), u64::from(found.chain[0]), u64::from(found.state[0])];
        self.trace.event(self.schedule.now_us(), Who::Node(node), "applies", &numbers, || {
            format!("slot {slot}: {} requests, {} bytes", answers.len(), batch.bytes().len())
        });
        if process.is_flipped() {
            // Its state differs by what was done to it; that it notices is `ending`'s to see to.
            self.checks.agreement.check_batch(node, slot.get(), found.batch)?;
        } else {
            self.checks.agreement.check(node, slot.get(), &found)?;
        }
        self.checks.members.check(node, slot.get(), process.applier.group())?;
        let checked = process.applier.take_check();
        let own = (self.nodes[node].id.get(), self.nodes[node].boot);
        for replica::Applied { tag, reply } in answers {
            if (tag.origin, tag.boot) != own {
                continue;
            }
            match reply {
                replica::Reply::Answer(answer) => {
                    let answers = answer
                        .map_err(|error| Violation(format!("slot {slot} answered a good request with {error}")))?;
                    self.answer(node, tag.seq, Reply::Answered { slot: slot.get(), answers });
                }
                replica::Reply::Group(outcome) => self.operator_hears(node, tag.seq, outcome.as_ref()),
            }
        }
        match checked {
            Some((slot, digest)) => self.step(node, Input::Digest { slot, digest }),
            None => Ok(()),
        }
    }

    fn answer_reads(&mut self, node: usize) -> Step {
        let Some(process) = self.nodes[node].process.as_mut() else { return Ok(()) };
        let applied = process.applier.applied();
        let (due, waiting) =
            std::mem::take(&mut process.ready_reads).into_iter().partition(|(_, slot)| *slot <= applied);
        process.ready_reads = waiting;
        let due: Vec<(u64, Slot)> = due;
        for (seq, _) in due {
            self.answer_read(node, seq);
            self.look_at_a_record(node, seq)?;
        }
        Ok(())
    }

    /// A caller asks for a record and for what its id leads to: that is where rot is met which nothing else reads.
    fn look_at_a_record(&mut self, node: usize, seq: u64) -> Step {
        let Some(process) = self.nodes[node].process.as_ref().filter(|process| process.replica.serves()) else {
            return Ok(());
        };
        let applier = &process.applier;
        // Spread over the journal by the question's number: the seed's own dice are for what happens to the network.
        let Some(place) = seq.wrapping_mul(0x9E37_79B9_7F4A_7C15).checked_rem(applier.places()) else { return Ok(()) };
        let found = applier.record(place).and_then(|record| match JournalRules::<Machine>::key(&record) {
            Some(key) => applier.find(key).map(drop),
            None => Ok(()),
        });
        match found {
            Ok(()) => Ok(()),
            Err(error) => self.stopped(node, error.into()),
        }
    }

    /// Begins a fold if one is due; it runs and ends as later events, so that anything can happen in between.
    pub(crate) fn begin_fold(&mut self, node: usize) -> Step {
        let life = self.life(node);
        let Some(process) = self.nodes[node].process.as_mut() else { return Ok(()) };
        if !matches!(process.fold, Fold::Idle) {
            return Ok(());
        }
        let through = process.applier.applied();
        if let Some(job) = process.applier.fold_if_due() {
            process.fold = Fold::Begun(job, through);
            let delay = self.random.between(1, self.plan.fold_us);
            self.schedule.after(delay, Event::Fold(life));
        }
        Ok(())
    }

    /// Whether the fold that was begun must wait for the log, which is then asked to sync.
    fn fold_must_wait(&mut self, life: Life) -> Result<bool, Stop> {
        let Some(process) = self.nodes[life.node].process.as_mut() else { return Ok(false) };
        let Fold::Begun(_, through) = &process.fold else { return Ok(false) };
        if process.marks.synced >= *through || self.control == Some(Control::CheckpointBeforeMark) {
            return Ok(false);
        }
        process.wants_sync = true;
        self.write(life.node)?;
        self.schedule.after(500, Event::Fold(life));
        Ok(true)
    }

    /// The next part of a fold: the job runs, or what it made is taken over.
    pub(crate) fn on_fold(&mut self, life: Life) -> Step {
        if !self.is_alive(life) {
            return Ok(());
        }
        match self.fold_must_wait(life) {
            Ok(false) => {}
            Ok(true) => return Ok(()),
            Err(stop) => return self.stopped(life.node, stop),
        }
        self.arm_fold(life.node);
        let process = self.nodes[life.node].process.as_mut().expect("a live node has a process");
        match std::mem::replace(&mut process.fold, Fold::Idle) {
            Fold::Idle => Ok(()),
            Fold::Begun(job, _) => match job.run() {
                Ok(folded) => {
                    process.fold = Fold::Done(folded);
                    let delay = self.random.between(1, self.plan.fold_us);
                    self.schedule.after(delay, Event::Fold(life));
                    Ok(())
                }
                Err(error) => {
                    self.tally.crashes_in_fold += 1;
                    self.stopped(life.node, error.into())
                }
            },
            Fold::Done(folded) => {
                let slot = process.applier.install(folded);
                self.nodes[life.node].checkpoint = slot.get();
                self.tally.folds += 1;
                self.trace.event(self.schedule.now_us(), Who::Node(life.node), "checkpoint", &[slot.get()], || {
                    format!("through slot {slot}")
                });
                self.step(life.node, Input::Checkpointed(slot))?;
                self.begin_fold(life.node)
            }
        }
    }
}

/// Whether the batch changes the members or the mode.
fn holds_change(batch: &Batch) -> bool {
    match request::decode(batch) {
        Ok(Content::Control(control)) => !matches!(control.change.op, Op::Check { .. }),
        Ok(Content::Requests(_)) | Err(_) => false,
    }
}

impl crate::node::Process {
    fn append(&mut self, group: Unsynced<replica::Vows>) -> Result<(), Stop> {
        let pending = self.log.append(group)?;
        self.appended.push(pending);
        Ok(())
    }

    /// Syncs the log and releases all that was appended before.
    fn sync(&mut self) -> Result<Vec<replica::Vows>, Stop> {
        let proof = self.log.sync()?;
        self.marks.synced = self.marks.appended;
        let groups = std::mem::take(&mut self.appended);
        let release = |pending: Pending<replica::Vows>| {
            pending
                .release(&proof)
                .map_err(|_| Stop::Bug("a proof of sync does not cover what was appended before".into()))
        };
        groups.into_iter().map(release).collect()
    }
}
