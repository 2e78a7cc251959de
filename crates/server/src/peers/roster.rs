//! Who may speak to this node, and where the others are: made anew whenever the group changes.
//!
//! A member that was removed is still spoken to until the others have all that it had: only then it may go. After that
//! its number is remembered, and whoever comes under it is told that it was removed.

use super::link::Papers;
use paxos::{NodeId, Slot, Status};
use replica::group::{Address, Group};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who this node is to its peers.
#[derive(Clone, Debug)]
pub(crate) struct Me {
    pub(crate) cluster: u128,
    pub(crate) group: String,
    pub(crate) node: NodeId,
    /// Tells this node's disk from any other that was made for the same node.
    pub(crate) disk: u64,
    /// Its certificate; without one peers are spoken to in plain text.
    pub(crate) papers: Option<Arc<Papers>>,
}

/// One of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contact {
    /// `host:port`, looked up whenever it is dialled.
    pub(crate) address: String,
    /// The only disk that may speak for it, if the log says so.
    pub(crate) pin: Option<u64>,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roster {
    /// The group as this node knows it.
    pub(crate) group: Arc<Group>,
    /// Everybody but this node.
    pub(crate) others: BTreeMap<NodeId, Contact>,
    /// A majority of the present members has everything that was chosen with those who were removed.
    pub(crate) settled: bool,
}

/// What a node is here by its number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing<'a> {
    Known(&'a Contact),
    Removed,
    Stranger,
}

impl Default for Roster {
    fn default() -> Self {
        Self { group: Arc::new(Group::unknown()), others: BTreeMap::new(), settled: false }
    }
}

impl Roster {
    /// Everybody of the group, where the configuration or else the log says that they are. Who was removed last is kept, as
    /// it was known, until that is settled.
    pub(crate) fn of(
        group: &Group,
        me: NodeId,
        configured: &BTreeMap<NodeId, Address>,
        (before, settled): (&Roster, bool),
    ) -> Self {
        let configured = |node: &NodeId| configured.get(node).map(Address::to_string);
        let contact = |(node, member): (&NodeId, &replica::group::Member)| {
            let address = configured(node).unwrap_or_else(|| member.peer.as_str().to_owned());
            (*node, Contact { address, pin: Some(member.disk).filter(|disk| *disk != 0) })
        };
        let mut others: BTreeMap<NodeId, Contact> = group.members.iter().map(contact).collect();
        if let Some(node) = removed_last(group).filter(|_| !settled) {
            let known = before.others.get(&node).cloned();
            let unknown = || Contact { address: configured(&node).unwrap_or_default(), pin: None };
            others.insert(node, known.unwrap_or_else(unknown));
        }
        others.remove(&me);
        Self { group: Arc::new(group.clone()), others, settled }
    }

    pub(crate) fn standing(&self, node: NodeId) -> Standing<'_> {
        match self.others.get(&node) {
            Some(contact) => Standing::Known(contact),
            None if self.group.is_founded() && u32::from(node.get()) < self.group.next_number => Standing::Removed,
            None => Standing::Stranger,
        }
    }
}

/// Has a majority of those that vote now everything that was chosen before the last change of members was in force?
pub(crate) fn is_settled(group: &Group, status: &Status, me: NodeId) -> bool {
    let Some(turn) = group.turn else { return true };
    let has = |node: NodeId| {
        let chosen = |node| status.peers.iter().find(|peer| peer.node == node).map_or(Slot::ZERO, |peer| peer.chosen);
        let through = if node == me { status.chosen } else { chosen(node) };
        through.next() >= turn.since
    };
    let voters: Vec<NodeId> = group.voters().collect();
    voters.iter().filter(|node| has(**node)).count() > voters.len() / 2
}

/// Whom the last change of members made a stranger.
fn removed_last(group: &Group) -> Option<NodeId> {
    let turn = group.turn?;
    (turn.was.is_some() && group.role(turn.node).is_none()).then_some(turn.node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use replica::group::{Address, Change, Member, Mode, Op, Role, Rules};

    fn node(number: u16) -> NodeId {
        NodeId::new(number).expect("not zero")
    }

    fn group(removed: Option<u16>) -> Group {
        let member = |number: u16| {
            let address = Address::new(&format!("host-{number}:7121")).expect("short");
            (node(number), Member { role: Role::Voter, peer: address.clone(), http: address, disk: u64::from(number) })
        };
        let members: BTreeMap<_, _> = (1..=3).map(member).collect();
        let mut group = Group::founders(members.clone(), Mode::Leader, 8);
        let mut change = |slot, expected_version, op| {
            group.apply(Slot::new(slot), &Change { expected_version, op }, Rules::default()).expect("a good change");
        };
        change(1, 0, Op::Found { members, mode: Mode::Leader, alpha: 8 });
        if let Some(removed) = removed {
            change(10, 1, Op::Remove { node: node(removed) });
        }
        group
    }

    #[test]
    fn the_configuration_says_where_a_member_is_and_else_the_log() {
        let configured = [(node(2), Address::new("127.0.0.1:7").expect("short"))].into();
        let roster = Roster::of(&group(None), node(1), &configured, (&Roster::default(), true));
        let addresses: Vec<&str> = roster.others.values().map(|contact| contact.address.as_str()).collect();
        assert_eq!(addresses, ["127.0.0.1:7", "host-3:7121"]);
        assert_eq!(roster.others[&node(3)].pin, Some(3));
        assert_eq!(roster.standing(node(4)), Standing::Stranger);
    }

    #[test]
    fn who_was_removed_is_spoken_to_until_the_others_have_all_that_it_had() {
        let configured = BTreeMap::new();
        let before = Roster::of(&group(None), node(1), &configured, (&Roster::default(), true));
        let leaving = Roster::of(&group(Some(3)), node(1), &configured, (&before, false));
        assert_eq!(leaving.standing(node(3)), Standing::Known(&before.others[&node(3)]));
        let settled = Roster::of(&group(Some(3)), node(1), &configured, (&leaving, true));
        assert_eq!(settled.standing(node(3)), Standing::Removed);
        assert!(settled.others.contains_key(&node(2)));
    }

    #[test]
    fn before_the_founding_everybody_else_is_a_stranger() {
        let founders = Group::founders(group(None).members, Mode::Leader, 8);
        let roster = Roster::of(&founders, node(1), &BTreeMap::new(), (&Roster::default(), true));
        assert_eq!((roster.others.len(), roster.standing(node(9))), (2, Standing::Stranger));
    }
}
