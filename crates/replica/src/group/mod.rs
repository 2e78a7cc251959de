//! Who belongs to a group and how it proposes: a small state beside the state machine's, changed through the log alone.
//!
//! ```text
//! Change { expected_version, op } ─► a batch of its own ─► chosen in slot c ─► Group::apply(c, change)
//!                                                              │  replica: tells Paxos     (epoch from c + alpha on)
//!                                                              └─ applier: journal record  (checkpoint, answer)
//! ```
//!
//! Every node computes the same from the same slots. A change names the version that it replaces, so sending it twice
//! is safe; one member changes at a time, and never while another change is not in force yet. What happens to requests
//! is none of this module's business.

mod apply;
mod change;
mod record;

use paxos::{Membership, NodeId, Slot};
use std::collections::BTreeMap;
use std::fmt;

pub use apply::Rules;
#[cfg(test)]
pub(crate) use change::tests as tests_change;
pub use change::{Change, ChangeRefused, Op};
pub(crate) use change::{decode, encode};
pub use paxos::Mode;
pub use record::{CONTROL_KIND, is_control, records};
pub(crate) use record::{KEY_PREFIX, Restored, effects};

/// Most lives of one group.
pub const INCARNATION_MAX: u32 = 1 << 24;
/// Most members of one group, learners included.
pub const MEMBERS_MAX: usize = 32;

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Its promises and votes count.
    Voter,
    /// It learns and serves; nothing of it counts.
    Learner,
}

/// Where somebody listens: at most 64 printable ASCII characters, `host:port` as a rule.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(Box<str>);

impl Address {
    /// Most bytes of an address.
    pub const MAX: usize = 64;

    /// None when the text is too long or not printable ASCII. The empty text means "not known".
    pub fn new(text: &str) -> Option<Self> {
        let fits = text.len() <= Self::MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One node of a group, as the log knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// What it may do.
    pub role: Role,
    /// Where the other nodes reach it.
    pub peer: Address,
    /// Where callers reach it.
    pub http: Address,
    /// The number of its disk's identity; zero while nobody has pinned one.
    pub disk: u64,
}

/// The last change of members: from which slot on it is in force, and how things were before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Turn {
    /// The first slot that belongs to the present members.
    pub since: Slot,
    /// The version that the change made.
    pub version: u64,
    /// The version of the members before: that of the change before, zero for the founders.
    pub version_before: u64,
    /// Whom it changed.
    pub node: NodeId,
    /// What that node was before; none for one that was no member.
    pub was: Option<Role>,
}

/// The state of a group: mode, members, and what the next change must name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// Counts the changes taken. Zero until the founding is in the log.
    pub version: u64,
    /// How it finds who proposes.
    pub mode: Mode,
    /// All members by number.
    pub members: BTreeMap<NodeId, Member>,
    /// Numbers below this one were used and never will be again.
    pub next_number: u32,
    /// Nobody proposes a slot before having applied the one so many before it; a change of members is in force so many
    /// slots after its own. The same for all members, forever.
    pub alpha: u64,
    /// The last change of members, if there was one.
    pub turn: Option<Turn>,
    /// Counts the lives of the group, from 1: each restore from a backup begins another.
    pub incarnation: u32,
}

impl Group {
    /// A group before its founding is in the log: what every founder knows from its configuration.
    pub fn founders(members: BTreeMap<NodeId, Member>, mode: Mode, alpha: u64) -> Self {
        let next_number = next_number(&members);
        Self { version: 0, mode, members, next_number, alpha, turn: None, incarnation: 1 }
    }

    /// A group of which nothing is known yet: the founding will come out of the log or the journal.
    pub fn unknown() -> Self {
        Self::founders(BTreeMap::new(), Mode::Leader, 1)
    }

    /// Is the founding in the log? Before it there are no other changes.
    pub fn is_founded(&self) -> bool {
        self.version > 0
    }

    /// The members that vote, by the last change, in force or not.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().filter(|(_, member)| member.role == Role::Voter).map(|(node, _)| *node)
    }

    /// A member's role, by the last change.
    pub fn role(&self, node: NodeId) -> Option<Role> {
        self.members.get(&node).map(|member| member.role)
    }

    /// The slot from which on the last change of members is in force, if that lies above `slot`.
    pub fn pending_after(&self, slot: Slot) -> Option<Slot> {
        self.turn.map(|turn| turn.since).filter(|since| *since > slot)
    }

    /// Who votes and who learns, by the last change.
    pub fn membership(&self) -> Membership {
        let of = |role| self.members.iter().filter(move |(_, member)| member.role == role).map(|(node, _)| *node);
        let version = self.turn.map_or(0, |turn| turn.version);
        Membership::new(version, of(Role::Voter).collect(), of(Role::Learner).collect())
    }

    /// Whose slots are, as far as this state knows: since the last change, and before it.
    pub fn epochs(&self) -> Vec<(Slot, Membership)> {
        let present = self.membership();
        let Some(turn) = self.turn else { return vec![(Slot::ZERO, present)] };
        let [mut voters, mut learners] = [&present.voters, &present.learners]
            .map(|nodes| nodes.iter().copied().filter(|node| *node != turn.node).collect::<Vec<_>>());
        match turn.was {
            Some(Role::Voter) => voters.push(turn.node),
            Some(Role::Learner) => learners.push(turn.node),
            None => {}
        }
        vec![(Slot::ZERO, Membership::new(turn.version_before, voters, learners)), (turn.since, present)]
    }
}

fn next_number(members: &BTreeMap<NodeId, Member>) -> u32 {
    members.keys().next_back().map_or(1, |highest| u32::from(highest.get()) + 1)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn node(number: u16) -> NodeId {
        NodeId::new(number).expect("not zero")
    }

    pub(crate) fn member(role: Role, number: u16) -> Member {
        let address = |port: u16| Address::new(&format!("127.0.0.1:{}", port + number)).expect("short");
        Member { role, peer: address(7000), http: address(8000), disk: u64::from(number) << 40 }
    }

    /// A founded group of voters 1, 2 and 3.
    pub(crate) fn three() -> Group {
        let members: BTreeMap<_, _> = (1..=3).map(|number| (node(number), member(Role::Voter, number))).collect();
        let mut group = Group::founders(members.clone(), Mode::Leader, 8);
        let found = Change { expected_version: 0, op: Op::Found { members, mode: Mode::Leader, alpha: 8 } };
        group.apply(Slot::new(1), &found, Rules::default()).expect("nothing was founded before");
        group
    }

    fn numbers(nodes: &[NodeId]) -> Vec<u16> {
        nodes.iter().map(|node| node.get()).collect()
    }

    #[test]
    fn an_address_is_short_and_printable() {
        assert!(Address::new("bank-3.example:7003").is_some());
        assert!(Address::new("").is_some());
        assert!(Address::new(&"x".repeat(64)).is_some());
        assert!(Address::new(&"x".repeat(65)).is_none());
        assert!(Address::new("a b").is_none());
        assert!(Address::new("ä").is_none());
    }

    #[test]
    fn the_members_before_a_change_are_what_they_were() {
        let mut group = three();
        let steps: [(Op, &[u16], &[u16]); 3] = [
            (Op::Admit { node: node(4), member: member(Role::Learner, 4) }, &[1, 2, 3], &[4]),
            (Op::Promote { node: node(4) }, &[1, 2, 3, 4], &[]),
            (Op::Remove { node: node(1) }, &[2, 3, 4], &[]),
        ];
        let (mut before, mut slot) = ((vec![1, 2, 3], Vec::<u16>::new()), 10);
        for (op, voters, learners) in steps {
            let change = Change { expected_version: group.version, op };
            group.apply(Slot::new(slot), &change, Rules::default()).expect("a good change");
            let epochs = group.epochs();
            let [(first, old), (since, new)] = &epochs[..] else { panic!("{epochs:?}") };
            assert_eq!((*first, since.get()), (Slot::ZERO, slot + group.alpha));
            assert_eq!((numbers(&old.voters), numbers(&old.learners)), before);
            assert_eq!((numbers(&new.voters), numbers(&new.learners)), (voters.to_vec(), learners.to_vec()));
            assert!(old.version < new.version);
            before = (voters.to_vec(), learners.to_vec());
            slot += 100;
        }
    }
}
