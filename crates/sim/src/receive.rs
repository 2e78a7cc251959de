//! State on its way from one node to another: the journal is read here, written there piece by piece, and made into
//! a checkpoint in the end. Each part is an event of its own, so that crashes and cuts come in between.

use crate::node::{Stop, fresh_machine};
use crate::trace::Who;
use crate::world::{Event, Life, Step, World};
use bytes::Bytes;
use paxos::{NodeId, Slot};
use replica::{Input, Message, Output, StateMachine};
use std::collections::VecDeque;
use storage::{JournalMark, StorageError};

/// Records in one message: few, so that a transfer takes many rounds.
const PIECE_BYTES: usize = 24 * storage::RECORD;

/// What the node's process has still to do for a transfer.
#[derive(Debug, Default)]
pub(crate) struct Receiving {
    /// To be begun once all that was handed over is applied.
    begin: bool,
    /// Pieces to be written.
    pieces: VecDeque<(u64, Bytes)>,
    finish: Option<JournalMark>,
    /// An event for it is on its way.
    scheduled: bool,
}

impl Receiving {
    fn has_work(&self) -> bool {
        self.begin || self.finish.is_some() || !self.pieces.is_empty()
    }
}

impl World {
    /// What a step wants done for transfers.
    pub(crate) fn carry_transfers(&mut self, node: usize, out: &mut Output) -> Result<(), Stop> {
        for (to, from_place) in std::mem::take(&mut out.journal_read) {
            self.send_journal(node, to, from_place)?;
        }
        let Some(process) = self.nodes[node].process.as_mut() else { return Ok(()) };
        if out.begin_transfer {
            self.tally.state_transfers += 1;
            process.receiving.begin = true;
            self.trace.event(self.schedule.now_us(), Who::Node(node), "receives", &[], || "state: begins".to_owned());
        }
        process.receiving.pieces.extend(std::mem::take(&mut out.journal_write));
        process.receiving.finish = process.receiving.finish.or(out.finish_transfer);
        self.receive_soon(node);
        Ok(())
    }

    fn send_journal(&mut self, node: usize, to: NodeId, from_place: u64) -> Result<(), Stop> {
        let Some(process) = self.nodes[node].process.as_ref() else { return Ok(()) };
        let mark = process.applier.mark();
        let end = mark.places.saturating_sub(from_place).saturating_mul(storage::RECORD as u64);
        let bytes = PIECE_BYTES.min(usize::try_from(end).unwrap_or(usize::MAX));
        let records = if bytes == 0 { Vec::new() } else { process.applier.reader().read_bytes(from_place, bytes)? };
        let message = Message::Journal { from_place, mark, records: Bytes::from(records) };
        self.send(node, usize::from(to.get()) - 1, &message);
        Ok(())
    }

    fn receive_soon(&mut self, node: usize) {
        let life = self.life(node);
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        if process.receiving.has_work() && !std::mem::replace(&mut process.receiving.scheduled, true) {
            let delay = self.random.between(1, self.plan.apply_us);
            self.schedule.after(delay, Event::Receive(life));
        }
    }

    pub(crate) fn on_receive(&mut self, life: Life) -> Step {
        if !self.is_alive(life) {
            return Ok(());
        }
        let node = life.node;
        let process = self.nodes[node].process.as_mut().expect("a live node has a process");
        process.receiving.scheduled = false;
        let done = if process.receiving.begin {
            self.begin_receiving(node)
        } else if let Some((from_place, records)) = process.receiving.pieces.pop_front() {
            self.write_piece(node, from_place, &records)
        } else if process.receiving.finish.take().is_some() {
            self.finish_receiving(node)
        } else {
            Ok(Ok(()))
        };
        match done {
            Ok(step) => step?,
            Err(stop) => return self.stopped(node, stop),
        }
        self.receive_soon(node);
        Ok(())
    }

    fn begin_receiving(&mut self, node: usize) -> Result<Step, Stop> {
        let process = self.nodes[node].process.as_mut().expect("it runs");
        if !process.to_apply.is_empty() {
            return Ok(Ok(()));
        }
        // While a fold is under way it is asked again later.
        let Some(mark) = process.applier.begin_receiving()? else { return Ok(Ok(())) };
        process.receiving.begin = false;
        Ok(self.step(node, Input::Receiving(mark)))
    }

    fn write_piece(&mut self, node: usize, from_place: u64, records: &[u8]) -> Result<Step, Stop> {
        let process = self.nodes[node].process.as_mut().expect("it runs");
        match process.applier.receive(from_place, records) {
            Ok(mark) => Ok(self.step(node, Input::Receiving(mark))),
            Err(StorageError::Refused { .. }) => {
                let mark = process.applier.mark();
                Ok(self.step(node, Input::JournalRefused(mark)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The log is told first, and synced; then checkpoint and books are made of what was received.
    fn finish_receiving(&mut self, node: usize) -> Result<Step, Stop> {
        let machine = fresh_machine(self.nodes[node].id, self.control);
        let process = self.nodes[node].process.as_mut().expect("it runs");
        process.log.install(process.applier.mark().slot)?;
        let mark = process.applier.install_received(machine)?;
        // The books are made anew, so what was done to them in memory is gone.
        process.flipped_at_us = None;
        let slot = Slot::new(mark.slot);
        let marks = &mut process.marks;
        for mark in [&mut marks.handed, &mut marks.appended, &mut marks.synced] {
            *mark = (*mark).max(slot);
        }
        let group = process.applier.group().clone();
        let state = process.applier.machine().digest();
        self.nodes[node].checkpoint = self.nodes[node].checkpoint.max(mark.slot);
        self.trace.event(self.schedule.now_us(), Who::Node(node), "receives", &[mark.slot], || {
            format!("state: in place through slot {slot}")
        });
        let sound = self.checks.agreement.check_state(node, mark.slot, state);
        let sound = sound.and_then(|()| self.checks.agreement.check_chain(node, mark.slot, mark.chain));
        let sound = sound.and_then(|()| self.checks.members.check(node, mark.slot, &group));
        if sound.is_err() {
            return Ok(sound);
        }
        let stepped = self.step(node, Input::Installed { mark, group });
        Ok(stepped.and_then(|()| self.step(node, Input::Checkpointed(slot))))
    }
}
