//! One group of three nodes: replica, log and applier each, on disks that lose what was not synced, with messages that come
//! late, twice, or not at all, and links that are cut. What a step wants done is done at once, but for messages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use paxos::{NodeId, Now};
use replica::group::{Address, Group as Members, Member, Mode, Role};
use replica::recover::{self, Start};
use replica::{ApplierSettings, Input, Message, Output, Refusal, Reply, Settings, StateMachine, wire};
use storage::{FaultyDisk, LogOptions, Owner};

use crate::dice::Dice;
use crate::node::{Follows, Node};

const DIR: &str = "node";
const ALPHA: u64 = 8;
pub(crate) const NODES: u16 = 3;

/// What became of a request, by its number.
pub(crate) type Told<M> = (u64, Result<Reply<<M as StateMachine>::Answer>, Refusal>);

struct Letter {
    from: u16,
    to: u16,
    /// The receiver's start that the connection was made with.
    boot: u64,
    bytes: Bytes,
}

pub(crate) struct Group<M: StateMachine> {
    cluster: u128,
    mode: Mode,
    #[cfg(feature = "controls")]
    control: Option<paxos::Control>,
    fresh: fn() -> M,
    pub(crate) nodes: BTreeMap<u16, Node<M>>,
    disks: BTreeMap<u16, FaultyDisk>,
    /// Links that carry nothing, by sender and receiver.
    cut: BTreeSet<(u16, u16)>,
    /// By how much wall clocks are wrong.
    wrong_ms: BTreeMap<u16, i64>,
    /// A process began while its clock was wrong: it had nothing to compare it with.
    pub(crate) began_wrong: bool,
    letters: BTreeMap<(u64, u64), Letter>,
    sent: u64,
    boots: u64,
    seqs: u64,
}

pub(crate) fn id(number: u16) -> NodeId {
    NodeId::new(number).expect("not zero")
}

/// What a group begins with.
pub(crate) struct Beginning {
    pub(crate) cluster: u128,
    pub(crate) mode: Mode,
    pub(crate) at_us: u64,
    /// The rule of agreement that is off: none, or the one about clocks.
    #[cfg(feature = "controls")]
    pub(crate) control: Option<paxos::Control>,
}

impl<M: StateMachine> Group<M> {
    pub(crate) fn new(beginning: Beginning, fresh: fn() -> M) -> Group<M> {
        let Beginning { cluster, mode, at_us, .. } = beginning;
        let disks =
            (1..=NODES).map(|number| (number, FaultyDisk::new(cluster as u64 * 16 + u64::from(number)))).collect();
        let mut group = Group {
            cluster,
            mode,
            #[cfg(feature = "controls")]
            control: beginning.control,
            fresh,
            nodes: BTreeMap::new(),
            disks,
            cut: BTreeSet::new(),
            wrong_ms: BTreeMap::new(),
            began_wrong: false,
            letters: BTreeMap::new(),
            sent: 0,
            boots: 0,
            seqs: 0,
        };
        for number in 1..=NODES {
            group.start(number, at_us, &mut Dice(1));
        }
        group
    }

    fn founders(&self) -> Members {
        let nowhere = || Address::new("").expect("short");
        let member = || Member { role: Role::Voter, peer: nowhere(), http: nowhere(), disk: 0 };
        Members::founders((1..=NODES).map(|number| (id(number), member())).collect(), self.mode, ALPHA)
    }

    /// The process starts on what its disk holds.
    pub(crate) fn start(&mut self, number: u16, at_us: u64, dice: &mut Dice) {
        self.boots += 1;
        self.began_wrong |= self.wrong_ms.contains_key(&number);
        let founders = self.founders();
        let start = Start {
            settings: Settings { check_us: 200_000, resend_us: 100_000, ..Settings::new(self.boots) },
            paxos: paxos::Config {
                seed: self.boots << 16 | u64::from(number),
                #[cfg(feature = "controls")]
                control: self.control,
                ..paxos::Config::new(id(number), founders.voters().collect(), ALPHA, 20_000, 1_000)
            },
            founders,
            distrust: false,
            applier: ApplierSettings { fold_records: u64::MAX, hash_seed: u64::from(number) },
            log: LogOptions { segment_bytes: 64 << 10 },
            controls: recover::Controls::default(),
            owner: Owner { cluster: self.cluster, node: number },
            now: self.now(number, at_us),
        };
        let disk = self.disks[&number].clone();
        let opened = recover::open(&disk, Path::new(DIR), self.fresh, start, |_, _| {}).expect("its disk is sound");
        let (node, output) = Node::new(opened, self.boots, self.fresh);
        self.nodes.insert(number, node);
        self.carry(number, output, at_us, dice);
        for other in self.others(number) {
            if !self.is_cut(number, other) {
                self.step(number, Input::Connected(id(other)), at_us, dice);
                self.step(other, Input::Connected(id(number)), at_us, dice);
            }
        }
    }

    fn now(&self, number: u16, at_us: u64) -> Now {
        let wrong_ms = self.wrong_ms.get(&number).copied().unwrap_or(0);
        Now { mono_us: at_us, wall_ms: (at_us / 1_000).saturating_add_signed(wrong_ms) }
    }

    /// The node's wall clock is wrong by so much from now on; by nothing: right.
    pub(crate) fn set_clock(&mut self, number: u16, wrong_ms: i64) {
        self.wrong_ms.remove(&number);
        if wrong_ms != 0 {
            self.wrong_ms.insert(number, wrong_ms);
        }
    }

    /// The log's time as a node knows it.
    pub(crate) fn log_time_ms(&mut self, number: u16, at_us: u64) -> Option<u64> {
        let now = self.now(number, at_us);
        self.nodes.get_mut(&number).map(|node| node.replica.log_time_ms(now))
    }

    fn others(&self, number: u16) -> Vec<u16> {
        self.nodes.keys().copied().filter(|other| *other != number).collect()
    }

    fn is_cut(&self, a: u16, b: u16) -> bool {
        self.cut.contains(&(a, b)) || self.cut.contains(&(b, a))
    }

    /// The power fails: what was not synced is kept, torn or lost.
    pub(crate) fn kill(&mut self, number: u16, at_us: u64, dice: &mut Dice) {
        if self.nodes.remove(&number).is_none() {
            return;
        }
        self.disks[&number].crash(dice.next());
        for other in self.others(number) {
            self.step(other, Input::Disconnected(id(number)), at_us, dice);
        }
    }

    /// A link carries nothing, in one direction or in both; its connection is found out to be gone.
    pub(crate) fn cut_link(&mut self, from: u16, to: u16, both: bool, at_us: u64, dice: &mut Dice) {
        self.cut.insert((from, to));
        if both {
            self.cut.insert((to, from));
            self.step(from, Input::Disconnected(id(to)), at_us, dice);
            self.step(to, Input::Disconnected(id(from)), at_us, dice);
        }
    }

    pub(crate) fn mend(&mut self, at_us: u64, dice: &mut Dice) {
        for (from, to) in std::mem::take(&mut self.cut) {
            if self.nodes.contains_key(&from) && self.nodes.contains_key(&to) {
                self.step(from, Input::Connected(id(to)), at_us, dice);
                self.step(to, Input::Connected(id(from)), at_us, dice);
            }
        }
    }

    pub(crate) fn down(&self) -> Vec<u16> {
        (1..=NODES).filter(|number| !self.nodes.contains_key(number)).collect()
    }

    /// A moment passes: what has arrived is read, and every node looks at its clock.
    pub(crate) fn tick(&mut self, at_us: u64, dice: &mut Dice) {
        while let Some(entry) = self.letters.first_entry().filter(|entry| entry.key().0 <= at_us) {
            let Letter { from, to, boot, bytes } = entry.remove();
            if self.nodes.get(&to).is_some_and(|node| node.boot == boot) {
                let message = wire::decode(bytes).expect("it was encoded here");
                self.step(to, Input::Received { from: id(from), message }, at_us, dice);
            }
        }
        for number in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.step(number, Input::Tick, at_us, dice);
        }
    }

    /// Asks a node, if it runs; the number under which it will be told.
    pub(crate) fn submit(&mut self, number: u16, request: Vec<u8>, at_us: u64, dice: &mut Dice) -> Option<u64> {
        self.nodes.get(&number)?;
        self.seqs += 1;
        let (seq, deadline_us) = (self.seqs, at_us + 1_800_000);
        self.step(number, Input::Submit { seq, request: request.into(), deadline_us }, at_us, dice);
        Some(seq)
    }

    pub(crate) fn take_told(&mut self) -> Vec<(u16, Told<M>)> {
        let of = |(number, node): (&u16, &mut Node<M>)| {
            std::mem::take(&mut node.told).into_iter().map(|told| (*number, told)).collect::<Vec<_>>()
        };
        self.nodes.iter_mut().flat_map(of).collect()
    }

    /// The state as a node knows it, which may be a moment behind.
    pub(crate) fn machine(&self, number: u16) -> Option<&M> {
        self.nodes.get(&number).map(|node| node.applier.machine())
    }

    pub(crate) fn agrees(&self) -> bool {
        let mut marks = self.nodes.values().map(|node| (node.applier.applied(), node.applier.machine().digest()));
        let Some(first) = marks.next() else { return false };
        self.nodes.len() == usize::from(NODES) && marks.all(|mark| mark == first)
    }

    /// A checkpoint on one node, so that the next start begins from there.
    pub(crate) fn checkpoint(&mut self, number: u16, at_us: u64, dice: &mut Dice) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if let Some(made) = node.checkpoint() {
            self.step(number, made, at_us, dice);
        }
    }

    fn step(&mut self, number: u16, input: Input, at_us: u64, dice: &mut Dice) {
        let now = self.now(number, at_us);
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let mut out = Output::default();
        node.replica.step(now, input, &mut out);
        self.carry(number, out, at_us, dice);
    }

    fn carry(&mut self, number: u16, out: Output, at_us: u64, dice: &mut Dice) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let Follows { send, inputs } = node.carry(out);
        assert!(node.diverged.is_none(), "group {}: {:?}", self.cluster, node.diverged);
        for (to, message) in send {
            self.send(number, to, &message, at_us, dice);
        }
        for input in inputs {
            self.step(number, input, at_us, dice);
        }
    }

    fn send(&mut self, from: u16, to: NodeId, message: &Message, at_us: u64, dice: &mut Dice) {
        let to = to.get();
        let Some(boot) = self.nodes.get(&to).map(|node| node.boot) else { return };
        if self.cut.contains(&(from, to)) {
            return;
        }
        let (head, tail) = wire::encode(message);
        let bytes: Bytes = [head, tail.to_vec()].concat().into();
        let delay_us = if dice.one_in(40) { dice.below(80_000) } else { 100 + dice.below(2_000) };
        self.sent += 1;
        self.letters.insert((at_us + delay_us, self.sent), Letter { from, to, boot, bytes });
    }
}
