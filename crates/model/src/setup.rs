//! What a search is told: how large the group is and how much may happen to it.
//!
//! Everything that is not bounded here is explored without bound: every order of deliveries, every loss, every delay,
//! every doubled message, every moment for a crash, a sync, a read or an attempt to become the proposer.

use paxos::{Ballot, Batch, Config, Control, Membership, Mode, NodeId, Slot};

/// How a batch begins that changes the members.
const CHANGE: &[u8] = b"change, ";

/// When a disk syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Syncs {
    /// At any moment after the append: a step of its own.
    AnyTime,
    /// Within the step that appends. Fewer interleavings, so more of the rest fits into a search.
    AtOnce,
}

/// Which rules are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Watch {
    All,
    /// Only one, by its name in `wrong`: to see what a control comes to when nothing notices it on its way.
    Only(&'static str),
}

/// What the nodes take for the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Modes {
    Leader,
    Leaderless,
    /// The change of mode has reached all but the first.
    Mixed,
}

/// One change of members, by the numbers of the voters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub before: Vec<u16>,
    pub after: Vec<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    pub nodes: u16,
    pub alpha: u64,
    /// Nobody proposes a batch of its own beyond this slot.
    pub slots: u64,
    /// How often, in all, a node begins to become the proposer.
    pub stands: u8,
    /// Which nodes may.
    pub candidates: u16,
    pub crashes: u8,
    /// Of those crashes so many lose the batch of a vote that they leave standing.
    pub rots: u8,
    pub reads: u8,
    /// A holder may propose it, once.
    pub change: Option<Change>,
    pub modes: Modes,
    pub syncs: Syncs,
    pub watch: Watch,
    pub control: Option<Control>,
    /// Keeps messages that can do nothing any more: only to see that forgetting them hides nothing.
    pub keep_dead: bool,
}

impl Setup {
    /// A group without any faults but those of the network.
    pub fn of(nodes: u16) -> Setup {
        Setup {
            nodes,
            alpha: 1,
            slots: 1,
            stands: 2,
            candidates: nodes,
            crashes: 0,
            rots: 0,
            reads: 0,
            change: None,
            modes: Modes::Leader,
            syncs: Syncs::AnyTime,
            watch: Watch::All,
            control: None,
            keep_dead: false,
        }
    }

    /// All there are, members or not.
    pub(crate) fn members(&self) -> Vec<NodeId> {
        (1..=self.nodes).filter_map(NodeId::new).collect()
    }

    /// Who belongs to the group before any change. Who comes to vote by the change follows as a learner until then.
    fn founders(&self) -> Membership {
        let numbers = |numbers: &[u16]| numbers.iter().copied().filter_map(NodeId::new).collect::<Vec<_>>();
        match &self.change {
            None => Membership::founders(self.members()),
            Some(change) => Membership::new(0, numbers(&change.before), numbers(&change.after)),
        }
    }

    /// What the change of members makes of the group, if this batch is it.
    pub(crate) fn change_in(&self, batch: &Batch) -> Option<Membership> {
        let change = self.change.as_ref().filter(|_| batch.bytes().starts_with(CHANGE))?;
        let voters = change.after.iter().copied().filter_map(NodeId::new).collect();
        Some(Membership::new(1, voters, Vec::new()))
    }

    /// Whose the slot is, given everything chosen below it.
    pub(crate) fn membership(&self, slot: Slot, chosen: &[Batch]) -> Membership {
        let numbered = (1..).map(Slot::new).zip(chosen.iter().cloned());
        let epochs = self.epochs(&numbered.collect::<Vec<_>>());
        let last = epochs.into_iter().rev().find(|(first, _)| *first <= slot);
        last.map_or_else(|| self.founders(), |(_, membership)| membership)
    }

    fn epochs(&self, chosen: &[(Slot, Batch)]) -> Vec<(Slot, Membership)> {
        let changes = chosen
            .iter()
            .filter_map(|(slot, batch)| Some((Slot::new(slot.get() + self.alpha), self.change_in(batch)?)));
        std::iter::once((Slot::ZERO, self.founders())).chain(changes).collect()
    }

    /// Times are all one: the clock of a search stands still, so nothing is ever due.
    pub(crate) fn config(&self, me: NodeId, chosen: &[(Slot, Batch)]) -> Config {
        let mut config = Config::new(me, Vec::new(), self.alpha, 1, 1_000);
        config.epochs = self.epochs(chosen);
        config.mode = match self.modes {
            Modes::Leader => Mode::Leader,
            Modes::Leaderless => Mode::Leaderless,
            Modes::Mixed if me.get() == 1 => Mode::Leader,
            Modes::Mixed => Mode::Leaderless,
        };
        config.control = self.control;
        config
    }

    pub(crate) fn change_batch(&self, slot: Slot, ballot: Ballot, life: u8) -> Batch {
        let plain = self.batch(slot, ballot, life);
        Batch::new([CHANGE, plain.bytes().as_ref()].concat().into())
    }

    /// A batch says under which ballot, and in which life of its node, it was first proposed: no two are the same.
    pub(crate) fn batch(&self, slot: Slot, ballot: Ballot, life: u8) -> Batch {
        let life = if life == 0 { String::new() } else { format!(" life {}", life + 1) };
        Batch::new(format!("{slot:?} of {ballot:?}{life}").into())
    }

    /// Whether dead messages are forgotten: what makes them dead is a rule that this control switches off.
    pub(crate) fn buries(&self) -> bool {
        !self.keep_dead && self.control != Some(Control::ReuseBallot)
    }

    /// The control that takes accepted for chosen at start does so at the first tick.
    pub(crate) fn ticks_at_start(&self) -> bool {
        self.control == Some(Control::ApplyUnchosenAtStart)
    }
}

/// Whether the batch was first proposed with another ballot.
pub(crate) fn is_from_before(batch: &Batch, ballot: Ballot) -> bool {
    let text = String::from_utf8_lossy(batch.bytes()).into_owned();
    let mark = format!(" of {ballot:?}");
    !batch.is_noop() && !text.ends_with(&mark) && !text.contains(&format!("{mark} "))
}
