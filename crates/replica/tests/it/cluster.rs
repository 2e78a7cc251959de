//! A group in one thread: every step's output is carried out at once, syncs included, and messages go through the wire's
//! own encoding. No faults save those that a test asks for; the simulator has the rest.

use crate::machine::{Sums, add};
use bytes::Bytes;
use paxos::{Batch, NodeId, Now, Slot};
use replica::group::{Address, Change, Group, Member, Mode, Op, Role};
use replica::recover::{self, Opened, Start};
use replica::{
    Applied, Applier, ApplierSettings, Divergence, Input, Message, Output, Refusal, Replica, Reply, Settings,
    journal_piece, wire,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use storage::{FaultyDisk, Log, LogOptions, Owner, StorageError};

pub(crate) const DIR: &str = "node";
pub(crate) const ALPHA: u64 = 8;
const TICK_US: u64 = 5_000;

pub(crate) struct Node {
    pub(crate) replica: Replica,
    pub(crate) log: Log<FaultyDisk>,
    pub(crate) applier: Applier<Sums, FaultyDisk>,
    /// Answers and refusals by number.
    pub(crate) told: BTreeMap<u64, Result<Reply<u64>, Refusal>>,
    pub(crate) reads: BTreeMap<u64, Slot>,
    pub(crate) reads_refused: BTreeSet<u64>,
    pub(crate) diverged: Option<Divergence>,
    pub(crate) mended: usize,
    boot: u64,
}

pub(crate) struct Cluster {
    pub(crate) nodes: BTreeMap<u16, Node>,
    pub(crate) disks: BTreeMap<u16, FaultyDisk>,
    /// Links that carry nothing, by sender and receiver.
    pub(crate) cut: BTreeSet<(u16, u16)>,
    wires: VecDeque<(u16, u16, Bytes)>,
    pub(crate) now_us: u64,
    pub(crate) settings: Settings,
    /// Journal records after which a checkpoint is due.
    pub(crate) fold_records: u64,
    pub(crate) mode: Mode,
    boots: u64,
    seqs: u64,
    /// Pieces of journal are lost on their way.
    pub(crate) drops_journal: bool,
    /// Nodes start as after rot that was seen while they ran.
    pub(crate) distrust: bool,
    /// Bytes of journal that were sent.
    pub(crate) journal_bytes: usize,
}

pub(crate) fn id(number: u16) -> NodeId {
    NodeId::new(number).expect("not zero")
}

pub(crate) fn member(role: Role) -> Member {
    let nowhere = Address::new("").expect("short");
    Member { role, peer: nowhere.clone(), http: nowhere, disk: 0 }
}

impl Cluster {
    pub(crate) fn new(founders: u16, mode: Mode) -> Self {
        let settings = Settings { check_us: 0, tail_slots: u64::MAX, resend_us: 100_000, ..Settings::new(0) };
        let mut cluster = Self {
            nodes: BTreeMap::new(),
            disks: (1..=founders).map(|number| (number, FaultyDisk::new(u64::from(number)))).collect(),
            cut: BTreeSet::new(),
            wires: VecDeque::new(),
            now_us: 1_000_000,
            settings,
            mode,
            boots: 0,
            seqs: 0,
            drops_journal: false,
            distrust: false,
            fold_records: u64::MAX,
            journal_bytes: 0,
        };
        for number in 1..=founders {
            let group = cluster.founders(founders);
            cluster.start(number, group);
        }
        cluster
    }

    pub(crate) fn founders(&self, founders: u16) -> Group {
        let members = (1..=founders).map(|number| (id(number), member(Role::Voter))).collect();
        Group::founders(members, self.mode, ALPHA)
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono_us: self.now_us, wall_ms: self.now_us / 1_000 }
    }

    pub(crate) fn open(
        &mut self,
        number: u16,
        founders: Group,
    ) -> Result<Opened<Sums, FaultyDisk>, recover::RecoverError> {
        self.boots += 1;
        let voters = founders.voters().collect();
        let start = Start {
            settings: Settings { boot: self.boots, ..self.settings },
            paxos: paxos::Config::new(id(number), voters, ALPHA, 20_000, 1_000),
            founders,
            distrust: self.distrust,
            applier: ApplierSettings { fold_records: self.fold_records, hash_seed: 1 },
            log: LogOptions { segment_bytes: 64 << 10 },
            controls: recover::Controls::default(),
            owner: Owner { cluster: 1, node: number },
            now: self.now(),
        };
        let disk = self.disks.entry(number).or_insert_with(|| FaultyDisk::new(u64::from(number))).clone();
        recover::open(&disk, Path::new(DIR), Sums::default, start, |_, _| {})
    }

    pub(crate) fn start(&mut self, number: u16, founders: Group) {
        let opened = self.open(number, founders).expect("it starts");
        let node = Node {
            replica: opened.replica,
            log: opened.log,
            applier: opened.applier,
            told: BTreeMap::new(),
            reads: BTreeMap::new(),
            reads_refused: BTreeSet::new(),
            diverged: None,
            mended: opened.rot.len(),
            boot: self.boots,
        };
        self.nodes.insert(number, node);
        self.carry(number, opened.output);
        let others: Vec<u16> = self.nodes.keys().copied().filter(|other| *other != number).collect();
        for other in others {
            self.step(number, Input::Connected(id(other)));
            self.step(other, Input::Connected(id(number)));
        }
    }

    /// The process ends; what was not synced is lost.
    pub(crate) fn stop(&mut self, number: u16) {
        self.nodes.remove(&number);
        self.disks[&number].crash(u64::from(number));
        let others: Vec<u16> = self.nodes.keys().copied().collect();
        for other in others {
            self.step(other, Input::Disconnected(id(number)));
        }
    }

    pub(crate) fn step(&mut self, number: u16, input: Input) {
        let now = self.now();
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let mut out = Output::default();
        node.replica.step(now, input, &mut out);
        self.carry(number, out);
    }

    fn carry(&mut self, number: u16, mut out: Output) {
        for (to, message) in std::mem::take(&mut out.send) {
            self.send(number, to, &message);
        }
        let mut inputs = Vec::new();
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if let Some(group) = out.take_unsynced() {
            let pending = node.log.append(group).expect("the disk is sound");
            let proof = node.log.sync().expect("the disk is sound");
            inputs.push(Input::Released(pending.release(&proof).expect("it was synced")));
        }
        for (slot, batch) in out.apply {
            inputs.extend(node.apply(slot, &batch));
        }
        node.told.extend(out.refuse.into_iter().map(|(seq, refusal)| (seq, Err(refusal))));
        node.reads.extend(out.reads);
        node.reads_refused.extend(out.reads_refused);
        node.diverged = node.diverged.take().or(out.diverged);
        if out.begin_transfer {
            let mark = node.applier.begin_receiving().expect("the disk is sound").expect("no fold is under way");
            inputs.push(Input::Receiving(mark));
        }
        for (place, records) in out.journal_write {
            inputs.push(match node.applier.receive(place, &records) {
                Ok(mark) => Input::Receiving(mark),
                Err(StorageError::Refused { .. }) => Input::JournalRefused(node.applier.mark()),
                Err(error) => panic!("{error}"),
            });
        }
        if let Some(mark) = out.finish_transfer {
            node.log.install(mark.slot).expect("the disk is sound");
            let mark = node.applier.install_received(Sums::default()).expect("a good state");
            inputs.push(Input::Installed { mark, group: node.applier.group().clone() });
        }
        if let Some(below) = out.trim {
            node.log.trim(below.get()).expect("the disk is sound");
        }
        let answers: Vec<(NodeId, Message)> =
            out.serve.iter().map(|serve| (serve.to, node.learned(serve.from))).collect();
        let pieces = out.journal_read.into_iter().map(|(to, from_place)| {
            let (reader, mark) = (node.applier.reader(), node.applier.mark());
            (to, journal_piece(&reader, mark, from_place).expect("the disk is sound"))
        });
        for (to, message) in answers.into_iter().chain(pieces.collect::<Vec<_>>()) {
            self.send(number, to, &message);
        }
        for input in inputs {
            self.step(number, input);
        }
    }

    fn send(&mut self, from: u16, to: NodeId, message: &Message) {
        if let Message::Journal { records, .. } = message {
            if self.drops_journal {
                return;
            }
            self.journal_bytes += records.len();
        }
        let (head, tail) = wire::encode(message);
        if !self.cut.contains(&(from, to.get())) {
            self.wires.push_back((from, to.get(), [head, tail.to_vec()].concat().into()));
        }
    }

    /// Time passes; every node ticks, and all that is said is heard.
    pub(crate) fn pass(&mut self, us: u64) {
        let end = self.now_us + us;
        while self.now_us < end {
            self.now_us += TICK_US;
            for number in self.nodes.keys().copied().collect::<Vec<_>>() {
                self.step(number, Input::Tick);
            }
            while let Some((from, to, bytes)) = self.wires.pop_front() {
                let message = wire::decode(bytes).expect("it was encoded here");
                self.step(to, Input::Received { from: id(from), message });
            }
        }
    }

    /// Time passes until something holds.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = self.now_us + 20_000_000;
        while !holds(self) {
            assert!(self.now_us < end, "{what}: not within 20 s");
            self.pass(TICK_US);
        }
    }

    pub(crate) fn leader(&self) -> Option<u16> {
        self.nodes.iter().find(|(_, node)| node.replica.paxos().has_pen()).map(|(number, _)| *number)
    }

    /// Asks a node to add, and does not wait.
    pub(crate) fn ask(&mut self, number: u16, request: Vec<u8>) -> u64 {
        self.seqs += 1;
        let (seq, deadline_us) = (self.seqs, self.now_us + 5_000_000);
        self.step(number, Input::Submit { seq, request: request.into(), deadline_us });
        seq
    }

    pub(crate) fn add(&mut self, number: u16, id: u128, name: u8, amount: u64) -> u64 {
        let seq = self.ask(number, add(id, name, amount));
        match self.answer(number, seq) {
            Ok(Reply::Answer(sum)) => sum,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn answer(&mut self, number: u16, seq: u64) -> Result<Reply<u64>, Refusal> {
        self.until("an answer", |cluster| cluster.nodes[&number].told.contains_key(&seq));
        self.nodes[&number].told[&seq].clone()
    }

    pub(crate) fn read(&mut self, number: u16) -> Option<Slot> {
        self.seqs += 1;
        let (seq, deadline_us) = (self.seqs, self.now_us + 1_000_000);
        self.step(number, Input::Read { seq, deadline_us });
        self.until("a read", |cluster| {
            let node = &cluster.nodes[&number];
            node.reads.contains_key(&seq) || node.reads_refused.contains(&seq)
        });
        self.nodes[&number].reads.get(&seq).copied()
    }

    pub(crate) fn change(&mut self, number: u16, expected_version: u64, op: Op) -> Result<Reply<u64>, Refusal> {
        self.seqs += 1;
        let (seq, deadline_us) = (self.seqs, self.now_us + 5_000_000);
        self.step(number, Input::Change { seq, change: Change { expected_version, op }, deadline_us });
        self.answer(number, seq)
    }

    /// As `change`, with the present version, and again while the change before is not in force.
    pub(crate) fn must_change(&mut self, number: u16, op: Op) -> Group {
        loop {
            let version = self.nodes[&number].replica.group().version;
            match self.change(number, version, op.clone()) {
                Ok(Reply::Group(Ok(group))) => return group,
                Ok(Reply::Group(Err(replica::group::ChangeRefused::InFlight { .. }))) => self.pass(TICK_US),
                other => panic!("{op:?}: {other:?}"),
            }
        }
    }

    /// A checkpoint on one node.
    pub(crate) fn checkpoint(&mut self, number: u16) {
        let node = self.nodes.get_mut(&number).expect("it runs");
        if let Some(job) = node.applier.fold_now() {
            node.log.sync().expect("the disk is sound");
            let slot = node.applier.install(job.run().expect("the disk is sound"));
            self.step(number, Input::Checkpointed(slot));
        }
    }

    pub(crate) fn applied(&self, number: u16) -> u64 {
        self.nodes[&number].applier.applied().get()
    }

    pub(crate) fn sums(&self, number: u16) -> BTreeMap<u8, u64> {
        self.nodes[&number].applier.machine().sums.clone()
    }
}

impl Node {
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
