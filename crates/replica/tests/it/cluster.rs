//! A group in one thread: every step's output is carried out at once, syncs included, and messages go through the wire's
//! own encoding. No faults save those that a test asks for; the simulator has the rest.

use crate::machine::{Sums, add};
use crate::node::{Follows, Node};
use bytes::Bytes;
use paxos::{NodeId, Now, Slot};
use replica::group::{Address, Change, Group, Member, Mode, Op, Role};
use replica::recover::{self, Opened, Start};
use replica::{ApplierSettings, Input, Message, Output, Refusal, Reply, Settings, wire};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use storage::{FaultyDisk, LogOptions, Owner};

pub(crate) const DIR: &str = "node";
pub(crate) const ALPHA: u64 = 8;
const TICK_US: u64 = 5_000;

pub(crate) struct Cluster {
    pub(crate) nodes: BTreeMap<u16, Node<Sums>>,
    /// What was found rotten, and mended, when each node started last.
    pub(crate) mended: BTreeMap<u16, usize>,
    pub(crate) disks: BTreeMap<u16, FaultyDisk>,
    /// Links that carry nothing, by sender and receiver.
    pub(crate) cut: BTreeSet<(u16, u16)>,
    wires: VecDeque<(u16, u16, Bytes)>,
    pub(crate) now_us: u64,
    /// By how much each node's wall clock is ahead of the true time; not at all where nothing is said.
    pub(crate) wall_ahead_ms: BTreeMap<u16, i64>,
    /// How long a node's wall clock that has jumped is wrong before the node believes it, for nodes that start from now on.
    pub(crate) jump_trusted_us: u64,
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
            mended: BTreeMap::new(),
            disks: (1..=founders).map(|number| (number, FaultyDisk::new(u64::from(number)))).collect(),
            cut: BTreeSet::new(),
            wires: VecDeque::new(),
            now_us: 1_000_000,
            wall_ahead_ms: BTreeMap::new(),
            jump_trusted_us: 300_000_000,
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

    /// The true time, in Unix milliseconds.
    pub(crate) fn true_ms(&self) -> u64 {
        1_700_000_000_000 + self.now_us / 1_000
    }

    pub(crate) fn now(&self, number: u16) -> Now {
        let ahead_ms = self.wall_ahead_ms.get(&number).copied().unwrap_or(0);
        Now { mono_us: self.now_us, wall_ms: self.true_ms().saturating_add_signed(ahead_ms) }
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
            paxos: paxos::Config {
                jump_trusted_us: self.jump_trusted_us,
                ..paxos::Config::new(id(number), voters, ALPHA, 20_000, 1_000)
            },
            founders,
            distrust: self.distrust,
            applier: ApplierSettings { fold_records: self.fold_records, hash_seed: 1 },
            log: LogOptions { segment_bytes: 64 << 10 },
            controls: recover::Controls::default(),
            owner: Owner { cluster: 1, node: number },
            now: self.now(number),
        };
        let disk = self.disks.entry(number).or_insert_with(|| FaultyDisk::new(u64::from(number))).clone();
        recover::open(&disk, Path::new(DIR), Sums::default, start, |_, _| {})
    }

    pub(crate) fn start(&mut self, number: u16, founders: Group) {
        let opened = self.open(number, founders).expect("it starts");
        self.mended.insert(number, opened.rot.len());
        let (node, output) = Node::new(opened, self.boots, Sums::default);
        self.nodes.insert(number, node);
        self.carry(number, output);
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
        let now = self.now(number);
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let mut out = Output::default();
        node.replica.step(now, input, &mut out);
        self.carry(number, out);
    }

    fn carry(&mut self, number: u16, out: Output) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let Follows { send, inputs } = node.carry(out);
        for (to, message) in send {
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
        self.nodes.iter().find(|(_, node)| node.replica.paxos().is_proposer()).map(|(number, _)| *number)
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
        if let Some(made) = node.checkpoint() {
            self.step(number, made);
        }
    }

    pub(crate) fn applied(&self, number: u16) -> u64 {
        self.nodes[&number].applier.applied().get()
    }

    pub(crate) fn sums(&self, number: u16) -> BTreeMap<u8, u64> {
        self.nodes[&number].applier.machine().sums.clone()
    }
}
