//! A bank without a group: the ledger in memory, behind the same port as a real node, with faults to order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use api::status::{NodeStatus, PeerStatus, Role};
use ledger::record::RecordBytes;
use ledger::{Answer, Command, Context, JournalPort, Ledger, RecordKey, Request};
use paxos::{NodeId, Slot};
use replica::group::{Address, Change, Group, Member, Mode, Op, Role as MemberRole, Rules};
use server::edge::port::{BankPort, ChangeError, Life, NodePort, ReadError, SubmitError, Unreadable, View};

/// What the bank does with the next requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    NoMajority,
    Overloaded,
    /// Does the work and does not say so.
    SilentlyDone,
    /// Says what a key stands for, and then as above.
    SilentlyDoneAfterTheKey,
    ShuttingDown,
    Panicking,
    /// Answers after a while, as over a slow disk.
    Slow,
    /// Answers when it is let go.
    Hanging,
}

/// How long a slow one takes.
const SLOW: std::time::Duration = std::time::Duration::from_millis(150);

#[derive(Debug, Clone)]
pub(super) struct MemoryBank(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    ledger: Ledger,
    journal: Journal,
    slot: u64,
    mood: Mood,
    let_go: tokio::sync::watch::Sender<bool>,
    elections: usize,
    shut_down: bool,
    batches: Vec<usize>,
    asked: usize,
    looks: usize,
    group: Group,
    /// Nodes that this one does not hear.
    silent: Vec<u16>,
}

/// Three founders, founded.
fn group() -> Group {
    let member = |number: u16| {
        let address = |port: u16| Address::new(&format!("127.0.0.1:{}", port + number)).expect("short");
        let node = NodeId::new(number).expect("not zero");
        (node, Member { role: MemberRole::Voter, peer: address(7120), http: address(7100), disk: 0 })
    };
    let members: std::collections::BTreeMap<_, _> = (1..=3).map(member).collect();
    let mut group = Group::founders(members.clone(), Mode::Leader, 8);
    let found = Change { expected_version: 0, op: Op::Found { members, mode: Mode::Leader, alpha: 8 } };
    group.apply(Slot::new(1), &found, Rules::default()).expect("nothing was founded before");
    group
}

#[derive(Debug, Default)]
struct Journal {
    records: Vec<RecordBytes>,
    places: HashMap<RecordKey, u64>,
}

impl JournalPort for Journal {
    fn find(&self, key: RecordKey) -> Option<RecordBytes> {
        self.places.get(&key).map(|place| self.records[usize::try_from(*place).expect("small")])
    }

    fn push(&mut self, key: Option<RecordKey>, record: &RecordBytes) -> u64 {
        let place = self.next_place();
        self.records.push(*record);
        if let Some(key) = key {
            self.places.entry(key).or_insert(place);
        }
        place
    }

    fn next_place(&self) -> u64 {
        self.records.len() as u64
    }
}

impl MemoryBank {
    pub(super) fn new() -> MemoryBank {
        MemoryBank(Arc::new(Mutex::new(State {
            ledger: Ledger::new(7),
            journal: Journal::default(),
            slot: 0,
            mood: Mood::Well,
            let_go: tokio::sync::watch::Sender::new(false),
            elections: 0,
            shut_down: false,
            batches: Vec::new(),
            asked: 0,
            looks: 0,
            group: group(),
            silent: Vec::new(),
        })))
    }

    pub(super) fn set_mood(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    /// Those that hang go on.
    pub(super) fn let_go(&self) {
        self.lock().let_go.send_replace(true);
    }

    /// These nodes answer this one no more.
    pub(super) fn silence(&self, nodes: &[u16]) {
        self.lock().silent = nodes.to_vec();
    }

    pub(super) fn elections(&self) -> usize {
        self.lock().elections
    }

    pub(super) fn was_shut_down(&self) -> bool {
        self.lock().shut_down
    }

    /// Number of commands of each request so far.
    pub(super) fn batches(&self) -> Vec<usize> {
        self.lock().batches.clone()
    }

    /// Requests so far, those that failed included.
    pub(super) fn asked(&self) -> usize {
        self.lock().asked
    }

    /// How often the node's status was asked for.
    pub(super) fn looks(&self) -> usize {
        self.lock().looks
    }

    /// Records of the journal: what burned an id, and more.
    pub(super) fn records(&self) -> usize {
        self.lock().journal.records.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl BankPort for MemoryBank {
    fn life(&self) -> Life {
        let state = self.lock();
        Life::of_bank(&state.ledger, state.group.incarnation)
    }

    async fn submit(&self, request: Request) -> Result<Vec<Answer>, SubmitError> {
        // Time for others to come, as on the way through a log.
        tokio::task::yield_now().await;
        let (mood, mut let_go) = {
            let mut state = self.lock();
            state.asked += 1;
            (state.mood, state.let_go.subscribe())
        };
        if mood == Mood::Slow {
            tokio::time::sleep(SLOW).await;
        }
        if mood == Mood::Hanging {
            let _ = let_go.wait_for(|let_go| *let_go).await;
        }
        let mut state = self.lock();
        match state.mood {
            Mood::NoMajority => {
                return Err(SubmitError::NotProposed { reason: "no majority".into(), retry_after_ms: 20 });
            }
            Mood::Overloaded => return Err(SubmitError::Overloaded { retry_after_ms: 1500 }),
            Mood::ShuttingDown => return Err(SubmitError::ShuttingDown),
            Mood::Panicking => panic!("a bug, made by the test"),
            Mood::Well | Mood::SilentlyDone | Mood::SilentlyDoneAfterTheKey | Mood::Slow | Mood::Hanging => {}
        }
        let is_key = matches!(request.commands[..], [Command::ClaimKey { .. }]);
        state.slot += 1;
        state.batches.push(request.commands.len());
        let context = Context { slot: state.slot, time_ms: 1_795_217_070_042 + state.slot };
        let State { ledger, journal, .. } = &mut *state;
        let answers = ledger.apply(context, &request.encode(), journal).expect("a request that the edge made");
        match state.mood {
            Mood::SilentlyDone => Err(SubmitError::OutcomeUnknown),
            Mood::SilentlyDoneAfterTheKey if !is_key => Err(SubmitError::OutcomeUnknown),
            _ => Ok(answers),
        }
    }

    async fn read<T, F>(&self, look: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn View) -> T + Send + 'static,
    {
        let state = self.lock();
        match state.mood {
            Mood::NoMajority => Err(ReadError::NotReady { reason: "no majority".into(), retry_after_ms: 20 }),
            Mood::Overloaded => Err(ReadError::Overloaded { retry_after_ms: 20 }),
            Mood::ShuttingDown => Err(ReadError::ShuttingDown),
            Mood::Panicking => panic!("a bug, made by the test"),
            Mood::Well | Mood::SilentlyDone | Mood::SilentlyDoneAfterTheKey | Mood::Slow | Mood::Hanging => {
                Ok(look(&*state))
            }
        }
    }

    async fn peek<T, F>(&self, look: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn View) -> T + Send + 'static,
    {
        Ok(look(&*self.lock()))
    }
}

impl NodePort for MemoryBank {
    async fn group(&self) -> Result<Group, ReadError> {
        let state = self.lock();
        match state.mood {
            Mood::NoMajority => Err(ReadError::NotReady { reason: "no majority".into(), retry_after_ms: 20 }),
            Mood::Well
            | Mood::Overloaded
            | Mood::SilentlyDone
            | Mood::SilentlyDoneAfterTheKey
            | Mood::ShuttingDown
            | Mood::Panicking
            | Mood::Slow
            | Mood::Hanging => Ok(state.group.clone()),
        }
    }

    async fn change(&self, change: Change) -> Result<Group, ChangeError> {
        let mut state = self.lock();
        if state.mood == Mood::NoMajority {
            return Err(SubmitError::NotProposed { reason: "no majority".into(), retry_after_ms: 20 }.into());
        }
        // A change of members is in force eight slots later; ten pass between two.
        state.slot += 10;
        let slot = Slot::new(state.slot);
        state.group.apply(slot, &change, Rules::default()).map_err(ChangeError::Refused)?;
        if state.mood == Mood::SilentlyDone {
            return Err(SubmitError::OutcomeUnknown.into());
        }
        Ok(state.group.clone())
    }

    fn status(&self) -> NodeStatus {
        let mut state = self.lock();
        state.looks += 1;
        let well = matches!(state.mood, Mood::Well | Mood::Slow | Mood::Hanging);
        let others = state.group.members.keys().map(|node| node.get()).filter(|node| *node != 1);
        let peer = |node| {
            let answers = !state.silent.contains(&node);
            PeerStatus { node, connected: answers, heard_ms_ago: answers.then_some(0), ..PeerStatus::default() }
        };
        NodeStatus {
            peers: others.map(peer).collect(),
            group: "alpha".into(),
            node: 1,
            role: Role::Leader,
            leader: Some(1),
            proposer: Some(1),
            quorum: well,
            ready: well,
            accounts: state.ledger.account_count(),
            ..NodeStatus::default()
        }
    }

    async fn elect(&self) {
        self.lock().elections += 1;
    }

    async fn shut_down(&self) {
        self.lock().shut_down = true;
    }
}

impl View for State {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn outcome_of(&self, key: RecordKey) -> Result<Option<RecordBytes>, Unreadable> {
        Ok(self.journal.find(key))
    }

    fn places(&self) -> u64 {
        self.journal.next_place()
    }

    fn record(&self, place: u64) -> Result<RecordBytes, Unreadable> {
        let found = usize::try_from(place).ok().and_then(|place| self.journal.records.get(place));
        found.copied().ok_or(Unreadable::Failed)
    }
}
