//! A small group in one thread: queues of messages per pair of nodes, links that can be cut in either direction, logs
//! that lose what was not synced when their node crashes. After every step it checks agreement and each node's invariants.

use crate::group::Group;
use paxos::{
    Batch, Config, Effects, Event, Message, Mode, NodeId, NotProposed, Now, Paxos, Record, Recovered, Slot, Vow,
    invariant,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(crate) const HEARTBEAT_US: u64 = 20_000;
pub(crate) const TICK_US: u64 = 5_000;
pub(crate) const ALPHA: u64 = 8;

pub(crate) fn node(number: u16) -> NodeId {
    NodeId::new(number).expect("tests number their nodes from 1")
}

pub(crate) fn slot(number: u64) -> Slot {
    Slot::new(number)
}

pub(crate) fn batch(text: &str) -> Batch {
    Batch::new(bytes::Bytes::copy_from_slice(text.as_bytes()))
}

pub(crate) fn config(me: u16, members: u16) -> Config {
    Config::new(node(me), (1..=members).map(node).collect(), ALPHA, HEARTBEAT_US, 1_000)
}

/// Whether a crash keeps what was appended and never synced: a disk may do either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsynced {
    Lost,
    Kept,
}

pub(crate) struct Node {
    /// `None` while it is down.
    pub(crate) paxos: Option<Paxos>,
    log: Vec<Record>,
    synced: usize,
    /// With how long a log each vow came out.
    held: VecDeque<(NodeId, Vow)>,
    pub(crate) chosen: BTreeMap<Slot, Batch>,
    pub(crate) reads: Vec<(u64, Slot)>,
    pub(crate) events: Vec<Event>,
    pub(crate) wall_ahead_ms: i64,
    /// A disk that never finishes a sync, until it is set to false again.
    pub(crate) disk_hangs: bool,
    /// What its callers asked for and is not chosen yet: since when, what, and under which of its ballots it proposed it.
    wants: Vec<(u64, Batch, Option<paxos::Ballot>)>,
    pub(crate) group: Group,
    boot: u64,
}

pub(crate) struct Cluster {
    size: u16,
    pub(crate) founders: u16,
    pub(crate) tick_us: u64,
    /// What nodes start with.
    pub(crate) mode: Mode,
    /// Whether a change may be chosen while another is not in force yet. The rule is the state machine's.
    pub(crate) two_changes: bool,
    pub(crate) mono_us: u64,
    pub(crate) nodes: BTreeMap<u16, Node>,
    pub(crate) queues: BTreeMap<(u16, u16), VecDeque<Message>>,
    /// Directions that lose everything.
    pub(crate) cut: BTreeSet<(u16, u16)>,
    /// What was chosen, by whoever said so first.
    pub(crate) truth: BTreeMap<Slot, Batch>,
    #[cfg(feature = "controls")]
    pub(crate) control: Option<paxos::Control>,
}

impl Cluster {
    pub(crate) fn new(size: u16) -> Cluster {
        Cluster::of(size, size, Mode::Leader)
    }

    /// Nodes 1 to `founders` are the first members; the others, through `size`, may become some.
    pub(crate) fn of(founders: u16, size: u16, mode: Mode) -> Cluster {
        let mut cluster = Cluster {
            size,
            founders,
            tick_us: TICK_US,
            mode,
            two_changes: false,
            mono_us: 1_000_000,
            nodes: BTreeMap::new(),
            queues: BTreeMap::new(),
            cut: BTreeSet::new(),
            truth: BTreeMap::new(),
            #[cfg(feature = "controls")]
            control: None,
        };
        for number in 1..=size {
            let fresh = Node {
                paxos: None,
                log: Vec::new(),
                synced: 0,
                held: VecDeque::new(),
                chosen: BTreeMap::new(),
                reads: Vec::new(),
                events: Vec::new(),
                wall_ahead_ms: 0,
                disk_hangs: false,
                wants: Vec::new(),
                group: Group::of(founders),
                boot: 0,
            };
            cluster.nodes.insert(number, fresh);
        }
        for number in 1..=size {
            cluster.start(number);
        }
        cluster
    }

    /// The same with one of the crate's rules switched off: everybody starts again.
    #[cfg(feature = "controls")]
    pub(crate) fn without(mut self, control: paxos::Control) -> Cluster {
        self.control = Some(control);
        for number in 1..=self.size {
            self.crash(number, Unsynced::Lost);
            self.start(number);
        }
        self
    }

    pub(crate) fn now(&self, number: u16) -> Now {
        let wall_ms = 1_700_000_000_000 + (self.mono_us / 1_000) as i64 + self.nodes[&number].wall_ahead_ms;
        Now { mono_us: self.mono_us, wall_ms: wall_ms as u64 }
    }

    pub(crate) fn paxos(&self, number: u16) -> &Paxos {
        self.nodes[&number].paxos.as_ref().expect("the test asks a node that is up")
    }

    pub(crate) fn is_up(&self, number: u16) -> bool {
        self.nodes[&number].paxos.is_some()
    }

    /// Runs one call of a node and carries out its effects.
    pub(crate) fn call<T>(&mut self, number: u16, call: impl FnOnce(&mut Paxos, Now, &mut Effects) -> T) -> Option<T> {
        let now = self.now(number);
        let mut fx = Effects::default();
        let node = self.nodes.get_mut(&number).expect("a node of this cluster");
        let answer = call(node.paxos.as_mut()?, now, &mut fx);
        self.carry_out(number, fx);
        Some(answer)
    }

    fn carry_out(&mut self, number: u16, fx: Effects) {
        let (now, mut more) = (self.now(number), Effects::default());
        let node = self.nodes.get_mut(&number).expect("a node of this cluster");
        node.log.extend(fx.persist);
        node.held.extend(fx.vows);
        for (at, batch) in fx.chosen {
            let last = node.chosen.last_key_value().map_or(Slot::ZERO, |(last, _)| *last);
            assert_eq!(at, last.next(), "node {number} hands out chosen slots in order");
            let truth = self.truth.entry(at).or_insert_with(|| batch.clone());
            assert_eq!(*truth, batch, "agreement: {at:?} on node {number}");
            node.wants.retain(|(_, wanted, _)| *wanted != batch);
            let change = node.group.apply(at, &batch, self.two_changes);
            node.chosen.insert(at, batch);
            let paxos = node.paxos.as_mut().expect("it was just called");
            if let Some(membership) = change {
                paxos.on_change(now, at, membership, &mut more);
            }
            paxos.on_applied(at);
        }
        node.reads.extend(fx.reads);
        node.events.extend(fx.events);
        invariant::check(node.paxos.as_ref().expect("it was just called"));
        for serve in fx.serve {
            let known = self.nodes[&number].chosen.range(serve.from..);
            let batches: Vec<Batch> = known.take(4).map(|(_, batch)| batch.clone()).collect();
            self.send(number, serve.to.get(), Message::Learned { from: serve.from, batches });
        }
        for (to, message) in fx.send {
            self.send(number, to.get(), message);
        }
        for (leader, through) in fx.nudges {
            if !self.cut.contains(&(number, leader.get())) {
                self.call(leader.get(), |paxos, _, fx| paxos.nudge(through, fx));
            }
        }
        if !more.is_empty() {
            self.carry_out(number, more);
        }
        self.propose_wants(number);
    }

    /// The proposer proposes all that its callers wait for; whoever is not says how long they have, and in
    /// leaderless mode tells the holder what they want, once under each ballot, and keeps it.
    fn propose_wants(&mut self, number: u16) {
        let node = self.nodes.get_mut(&number).expect("a node of this cluster");
        let Some(paxos) = node.paxos.as_mut() else { return };
        paxos.waits(node.wants.iter().map(|(since_us, ..)| *since_us).min());
        let ballot = paxos.status().ballot;
        let holder = paxos.leader().map(NodeId::get).filter(|holder| *holder != number);
        let passes_on = holder.is_some();
        let open = node.wants.iter_mut().find(|(_, _, under)| *under != Some(ballot));
        if let Some((_, wanted, under)) = open.filter(|_| passes_on || paxos.can_propose()) {
            *under = Some(ballot);
            let wanted = wanted.clone();
            match holder {
                None => {
                    self.call(number, |paxos, _, fx| {
                        paxos.propose(wanted, fx).map_err(NotProposed::into_batch).is_ok()
                    });
                }
                Some(holder) => {
                    let since_us = self.mono_us;
                    if !self.cut.contains(&(number, holder)) && self.is_up(holder) {
                        self.want(holder, (since_us, wanted, None));
                    }
                    self.propose_wants(number);
                }
            }
        } else if self.mode == Mode::Leaderless {
            let mut fx = Effects::default();
            paxos.announce(&mut fx);
            for (to, message) in fx.send {
                self.send(number, to.get(), message);
            }
        }
    }

    fn want(&mut self, number: u16, want: (u64, Batch, Option<paxos::Ballot>)) {
        let node = self.nodes.get_mut(&number).expect("a node of this cluster");
        let is_known = node.wants.iter().any(|(_, known, _)| *known == want.1);
        if !is_known && !node.chosen.values().any(|chosen| *chosen == want.1) {
            node.wants.push(want);
            self.propose_wants(number);
        }
    }

    /// A caller of this node asks for it.
    pub(crate) fn ask(&mut self, number: u16, text: &str) {
        if self.is_up(number) {
            self.want(number, (self.mono_us, batch(text), None));
        }
    }

    pub(crate) fn send(&mut self, from: u16, to: u16, message: Message) {
        if !self.cut.contains(&(from, to)) {
            self.queues.entry((from, to)).or_default().push_back(message);
        }
    }

    /// Everything appended so far is on disk: vows leave.
    pub(crate) fn sync(&mut self, number: u16) {
        let node = self.nodes.get_mut(&number).expect("a node of this cluster");
        if node.disk_hangs || node.paxos.is_none() {
            return;
        }
        node.synced = node.log.len();
        for (to, vow) in std::mem::take(&mut node.held) {
            self.call(number, |paxos, _, _| paxos.on_synced(&vow));
            let message = vow.into_message();
            if to.get() == number {
                self.call(number, |paxos, now, fx| paxos.on_message(now, to, message, fx));
            } else {
                self.send(number, to.get(), message);
            }
        }
    }

    /// Delivers the first message of that direction, if there is one.
    pub(crate) fn deliver(&mut self, from: u16, to: u16) -> bool {
        let Some(message) = self.queues.get_mut(&(from, to)).and_then(VecDeque::pop_front) else { return false };
        self.call(to, |paxos, now, fx| paxos.on_message(now, node(from), message, fx));
        true
    }

    /// Syncs and delivers until nothing is under way. Time stands still.
    pub(crate) fn drain(&mut self) {
        for _ in 0..10_000 {
            for number in 1..=self.size {
                self.sync(number);
            }
            let busy: Vec<(u16, u16)> =
                self.queues.iter().filter(|(_, queue)| !queue.is_empty()).map(|(pair, _)| *pair).collect();
            if busy.is_empty() && self.nodes.values().all(|node| node.held.is_empty() || node.disk_hangs) {
                return;
            }
            for (from, to) in busy {
                self.deliver(from, to);
            }
        }
        panic!("the nodes never stop talking although no time passes");
    }

    pub(crate) fn tick(&mut self) {
        self.mono_us += self.tick_us;
        for number in 1..=self.size {
            self.call(number, |paxos, now, fx| paxos.on_tick(now, fx));
        }
    }

    /// Lets time pass until the condition holds; answers how long it took, or panics after ten seconds.
    pub(crate) fn run_until(&mut self, what: &str, condition: impl Fn(&Cluster) -> bool) -> u64 {
        let began_us = self.mono_us;
        self.drain();
        while !condition(self) {
            assert!(self.mono_us < began_us + 10_000_000, "waited in vain: {what}");
            self.tick();
            self.drain();
        }
        self.mono_us - began_us
    }

    pub(crate) fn run_for(&mut self, span_us: u64) {
        let end_us = self.mono_us + span_us;
        self.drain();
        while self.mono_us < end_us {
            self.tick();
            self.drain();
        }
    }

    /// The proposer with the highest ballot, once one does.
    pub(crate) fn holder(&self) -> Option<u16> {
        let holders = self.nodes.iter().filter(|(_, node)| node.paxos.as_ref().is_some_and(Paxos::is_proposer));
        holders
            .max_by_key(|(_, node)| node.paxos.as_ref().map(|paxos| paxos.status().ballot))
            .map(|(number, _)| *number)
    }

    /// Makes the given node the holder.
    pub(crate) fn elect(&mut self, number: u16) {
        self.run_for(3 * HEARTBEAT_US);
        self.call(number, |paxos, now, fx| paxos.elect(now, fx));
        self.run_until("an elected node becomes the proposer", |cluster| cluster.paxos(number).is_proposer());
        self.run_for(3 * HEARTBEAT_US);
        assert_eq!(self.holder(), Some(number));
    }

    pub(crate) fn propose(&mut self, number: u16, text: &str) -> Option<Slot> {
        self.call(number, |paxos, _, fx| paxos.propose(batch(text), fx)).and_then(Result::ok)
    }

    /// Proposes at the proposer and waits until the nodes given know that it is chosen.
    pub(crate) fn choose(&mut self, text: &str, known_by: &[u16]) {
        if self.mode == Mode::Leader {
            self.run_until("somebody is the proposer", |cluster| cluster.holder().is_some());
        }
        let wanted = batch(text);
        let began_us = self.mono_us;
        // The holder may turn out to be cut off: what is proposed there waits, so it is proposed again elsewhere.
        while !known_by.iter().all(|number| self.nodes[number].chosen.values().any(|known| *known == wanted)) {
            assert!(self.mono_us < began_us + 10_000_000, "{text} is not chosen: {:?}", self.statuses());
            let is_open = !self.truth.values().any(|known| *known == wanted);
            if self.mode == Mode::Leader {
                if let Some(holder) = self.holder().filter(|_| is_open) {
                    self.propose(holder, text);
                }
            } else if is_open && !self.is_wanted(&wanted) {
                let votes = |number: &&u16| self.nodes[number].group.membership.is_voter(node(**number));
                let asked = known_by.iter().filter(votes).find(|number| self.is_up(**number));
                self.ask(*asked.expect("a voter is up"), text);
            }
            self.run_for(2 * HEARTBEAT_US);
        }
    }

    /// Whether a voter will see to it.
    fn is_wanted(&self, wanted: &Batch) -> bool {
        let wants = |node: &Node| node.wants.iter().any(|(_, batch, _)| batch == wanted);
        let mut voters = self.nodes.iter().filter(|(number, at)| at.group.membership.is_voter(node(**number)));
        voters.any(|(_, node)| wants(node))
    }

    pub(crate) fn statuses(&self) -> Vec<(u16, paxos::Status)> {
        self.nodes.iter().filter_map(|(number, node)| Some((*number, node.paxos.as_ref()?.status()))).collect()
    }

    pub(crate) fn crash(&mut self, number: u16, unsynced: Unsynced) {
        let node = self.nodes.get_mut(&number).expect("a node of this cluster");
        if unsynced == Unsynced::Lost {
            node.log.truncate(node.synced);
        }
        node.paxos = None;
        node.wants.clear();
        node.held.clear();
        self.queues.retain(|(from, to), _| *from != number && *to != number);
        for other in (1..=self.size).filter(|other| *other != number) {
            let peer = self::node(number);
            self.call(other, |paxos, now, fx| paxos.on_disconnected(now, peer, fx));
        }
    }

    pub(crate) fn start(&mut self, number: u16) {
        let (now, founders, two_changes) = (self.now(number), self.founders, self.two_changes);
        let node = self.nodes.get_mut(&number).expect("a node of this cluster");
        let (recovered, chosen) = recover(&node.log);
        let replayed = recovered.chosen;
        node.group = Group::of(founders);
        let mut epochs = vec![(Slot::ZERO, node.group.membership.clone())];
        for (at, batch) in &chosen {
            let change = node.group.apply(*at, batch, two_changes);
            epochs.extend(change.map(|membership| (slot(at.get() + ALPHA), membership)));
        }
        node.boot += 1;
        let config = Config {
            epochs,
            mode: self.mode,
            seed: node.boot,
            #[cfg(feature = "controls")]
            control: self.control,
            ..config(number, founders)
        };
        let mut paxos = Paxos::new(config, recovered, now);
        paxos.on_applied(replayed);
        node.chosen = chosen;
        node.synced = node.log.len();
        node.paxos = Some(paxos);
        for other in (1..=self.size).filter(|other| *other != number) {
            if self.is_up(other) {
                let peer = self::node(number);
                self.call(other, |paxos, now, fx| paxos.on_connected(now, peer, fx));
                let peer = self::node(other);
                self.call(number, |paxos, now, fx| paxos.on_connected(now, peer, fx));
            }
        }
    }

    /// The disk as it was when its log had so many records; 0 is an empty disk.
    pub(crate) fn put_back(&mut self, number: u16, records: usize) {
        let node = self.nodes.get_mut(&number).expect("a node of this cluster");
        assert!(node.paxos.is_none(), "a disk is changed while its node is down");
        node.log.truncate(records);
    }

    pub(crate) fn log_len(&self, number: u16) -> usize {
        self.nodes[&number].synced
    }

    /// Proposes a change at the holder and fills the slots until it is in force.
    pub(crate) fn change(&mut self, voters: &[u16], learners: &[u16]) {
        let holder = self.holder().expect("somebody is the proposer");
        let text = self.nodes[&holder].group.change(voters, learners);
        let at = self.propose(holder, &text).expect("the holder proposes");
        self.run_until("the change is chosen", |cluster| cluster.truth.contains_key(&at));
        self.fill_through(slot(at.get() + ALPHA));
    }

    /// No-ops through the slot, by the proposer.
    pub(crate) fn fill_through(&mut self, last: Slot) {
        let began_us = self.mono_us;
        while !self.truth.contains_key(&last) {
            assert!(self.mono_us < began_us + 10_000_000, "{last:?} is not chosen: {:?}", self.statuses());
            if let Some(holder) = self.holder() {
                self.call(holder, |paxos, _, fx| paxos.nudge(last, fx));
            } else if self.mode == Mode::Leaderless {
                let votes = |number: &u16| self.nodes[number].group.membership.is_voter(node(*number));
                let up = (1..=self.size).find(|number| self.is_up(*number) && votes(number)).expect("somebody is up");
                self.ask(up, &format!("fill {}", self.mono_us));
            }
            self.tick();
            self.drain();
        }
    }

    pub(crate) fn cut_both(&mut self, one: u16, other: u16) {
        self.cut.insert((one, other));
        self.cut.insert((other, one));
        self.queues.remove(&(one, other));
        self.queues.remove(&(other, one));
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    pub(crate) fn knows(&self, number: u16, text: &str) -> bool {
        self.nodes[&number].chosen.values().any(|known| *known == batch(text))
    }
}

/// What a log says after a crash: the last record of each slot counts, and `Learned` is a mark by itself.
fn recover(log: &[Record]) -> (Recovered, BTreeMap<Slot, Batch>) {
    let mut promised = paxos::Ballot::ZERO;
    let mut last = BTreeMap::new();
    let mut chosen = Slot::ZERO;
    for record in log {
        match record {
            Record::Promised(ballot) => promised = promised.max(*ballot),
            Record::Accepted { slot, ballot, batch } => {
                last.insert(*slot, (*ballot, batch.clone()));
            }
            Record::Learned { slot, batch } => {
                last.insert(*slot, (paxos::Ballot::ZERO, batch.clone()));
                chosen = chosen.max(*slot);
            }
            Record::Chosen { through } => chosen = chosen.max(*through),
        }
    }
    let above = last.split_off(&chosen.next());
    let vote = |(slot, (ballot, batch)): (Slot, (paxos::Ballot, Batch))| (slot, ballot, batch.digest(), Some(batch));
    let accepted = above.into_iter().map(vote).collect();
    let known = last.into_iter().map(|(slot, (_, batch))| (slot, batch)).collect();
    (Recovered { promised, accepted, chosen, ..Recovered::default() }, known)
}
