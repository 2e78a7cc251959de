//! A node without threads: whatever a step of its replica wants done is done at once, syncs included, on a simulated disk.
//! Of every state machine: the gateway's tests run their groups with it too.

use paxos::{Batch, NodeId, Slot};
use replica::recover::Opened;
use replica::{
    Applied, Applier, Divergence, Input, Message, Output, Refusal, Replica, Reply, StateMachine, journal_piece,
};
use std::collections::{BTreeMap, BTreeSet};
use storage::{FaultyDisk, Log, StorageError};

pub(crate) struct Node<M: StateMachine> {
    pub(crate) replica: Replica,
    pub(crate) log: Log<FaultyDisk>,
    pub(crate) applier: Applier<M, FaultyDisk>,
    /// Answers and refusals by number.
    pub(crate) told: BTreeMap<u64, Result<Reply<M::Answer>, Refusal>>,
    pub(crate) reads: BTreeMap<u64, Slot>,
    pub(crate) reads_refused: BTreeSet<u64>,
    pub(crate) diverged: Option<Divergence>,
    /// Which start of the node this is.
    pub(crate) boot: u64,
    fresh: fn() -> M,
}

/// What follows from an output that was carried out.
pub(crate) struct Follows {
    pub(crate) send: Vec<(NodeId, Message)>,
    pub(crate) inputs: Vec<Input>,
}

impl<M: StateMachine> Node<M> {
    /// What its disk held, and what the first step on it wants done.
    pub(crate) fn new(opened: Opened<M, FaultyDisk>, boot: u64, fresh: fn() -> M) -> (Node<M>, Output) {
        let Opened { replica, log, applier, output, .. } = opened;
        let node = Node {
            replica,
            log,
            applier,
            told: BTreeMap::new(),
            reads: BTreeMap::new(),
            reads_refused: BTreeSet::new(),
            diverged: None,
            boot,
            fresh,
        };
        (node, output)
    }

    pub(crate) fn carry(&mut self, mut out: Output) -> Follows {
        let (mut send, mut inputs) = (std::mem::take(&mut out.send), Vec::new());
        if let Some(group) = out.take_unsynced() {
            let pending = self.log.append(group).expect("the disk is sound");
            let proof = self.log.sync().expect("the disk is sound");
            inputs.push(Input::Released(pending.release(&proof).expect("it was synced")));
        }
        for (slot, batch) in out.apply {
            inputs.extend(self.apply(slot, &batch));
        }
        self.told.extend(out.refuse.into_iter().map(|(seq, refusal)| (seq, Err(refusal))));
        self.reads.extend(out.reads);
        self.reads_refused.extend(out.reads_refused);
        self.diverged = self.diverged.take().or(out.diverged);
        if out.begin_transfer {
            let mark = self.applier.begin_receiving().expect("the disk is sound").expect("no fold is under way");
            inputs.push(Input::Receiving(mark));
        }
        for (place, records) in out.journal_write {
            inputs.push(match self.applier.receive(place, &records) {
                Ok(mark) => Input::Receiving(mark),
                Err(StorageError::Refused { .. }) => Input::JournalRefused(self.applier.mark()),
                Err(error) => panic!("{error}"),
            });
        }
        if let Some(mark) = out.finish_transfer {
            self.log.install(mark.slot).expect("the disk is sound");
            let mark = self.applier.install_received((self.fresh)()).expect("a good state");
            inputs.push(Input::Installed { mark, group: self.applier.group().clone() });
        }
        if let Some(below) = out.trim {
            self.log.trim(below.get()).expect("the disk is sound");
        }
        send.extend(out.serve.iter().map(|serve| (serve.to, self.learned(serve.from))));
        for (to, from_place) in out.journal_read {
            let (reader, mark) = (self.applier.reader(), self.applier.mark());
            send.push((to, journal_piece(&reader, mark, from_place).expect("the disk is sound")));
        }
        Follows { send, inputs }
    }

    /// A checkpoint, if one can be made now.
    pub(crate) fn checkpoint(&mut self) -> Option<Input> {
        let job = self.applier.fold_now()?;
        self.log.sync().expect("the disk is sound");
        let slot = self.applier.install(job.run().expect("the disk is sound"));
        Some(Input::Checkpointed(slot))
    }

    fn apply(&mut self, slot: Slot, batch: &Batch) -> Vec<Input> {
        let applied = self.applier.apply(slot, batch).expect("a good batch");
        for Applied { tag, reply } in applied {
            if tag.boot == self.boot {
                self.told.insert(tag.seq, Ok(reply));
            }
        }
        let check = self.applier.take_check().map(|(slot, digest)| Input::Digest { slot, digest });
        [Input::Applied(slot)].into_iter().chain(check).collect()
    }

    fn learned(&self, from: Slot) -> Message {
        Message::Paxos(match self.log.read_chosen(from.get(), 1 << 20) {
            Ok(batches) => paxos::Message::Learned { from, batches: batches.into_iter().map(Batch::new).collect() },
            Err(StorageError::Absent { .. }) => {
                paxos::Message::Behind { from, first: Slot::new(self.log.first_slot()) }
            }
            Err(error) => panic!("{error}"),
        })
    }
}
