//! A change of a group as it stands in the log, and why one is not taken.
//!
//! ```text
//! change = expected version u64 | op u8 | fields                          (all numbers little-endian)
//! member = role u8 | disk u64 | length u8, peer address | length u8, http address
//! ```
//!
//! The numbers of operations, roles, modes and refusals are stored: they are never changed, only added to.

use super::{Address, MEMBERS_MAX, Member, Mode, Role};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use paxos::{NodeId, Slot};
use std::collections::{BTreeMap, BTreeSet};

/// What is to change, and the version that this replaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    /// The version that whoever asks has seen. A founding and a check name none: zero.
    pub expected_version: u64,
    /// What to do.
    pub op: Op,
}

/// The kinds of changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The first change of every group: its founders, its first mode, and how far proposals may run ahead.
    Found { members: BTreeMap<NodeId, Member>, mode: Mode, alpha: u64 },
    /// A node that never was a member becomes one, as a learner.
    Admit { node: NodeId, member: Member },
    /// A learner gets a vote.
    Promote { node: NodeId },
    /// A member is one no longer, and its number is used up.
    Remove { node: NodeId },
    /// Another way of finding who proposes.
    SetMode { mode: Mode },
    /// No change at all: at this slot everybody compares digests.
    Check { number: u64 },
    /// One voter out and a learner in, in one step. Always refused: votes counted across it could disagree.
    Replace { remove: NodeId, promote: NodeId },
    /// The number of a member's disk, which from then on is the only one that may speak for it.
    Pin { node: NodeId, disk: u64 },
    /// The group begins another life from the copy of one node's files: that node alone is a member from the next slot
    /// on, with a disk that is not pinned yet, the others are removed. Nobody proposes it: a restore writes it into the
    /// copy, of which no other member has ever heard (see [`crate::refound`]).
    Refound { node: NodeId, others: BTreeSet<NodeId>, incarnation: u32 },
}

impl Op {
    /// A stable number.
    pub fn number(&self) -> u8 {
        match self {
            Self::Found { .. } => 1,
            Self::Admit { .. } => 2,
            Self::Promote { .. } => 3,
            Self::Remove { .. } => 4,
            Self::SetMode { .. } => 5,
            Self::Check { .. } => 6,
            Self::Replace { .. } => 7,
            Self::Pin { .. } => 8,
            Self::Refound { .. } => 9,
        }
    }

    /// The member that it is about, if it is about one.
    pub fn node(&self) -> Option<NodeId> {
        match self {
            Self::Admit { node, .. }
            | Self::Promote { node }
            | Self::Remove { node }
            | Self::Pin { node, .. }
            | Self::Refound { node, .. } => Some(*node),
            Self::Replace { remove, .. } => Some(*remove),
            Self::Found { .. } | Self::SetMode { .. } | Self::Check { .. } => None,
        }
    }
}

/// Why a change is not taken. The group is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ChangeRefused {
    /// It names another version than the present one: somebody else changed the group meanwhile.
    #[error("the group is at version {present} by now: look again, then ask again")]
    WrongVersion { present: u64 },
    /// The founding is not in the log yet.
    #[error("the group is not founded yet: ask again in a moment")]
    NotFounded,
    /// No member has this number.
    #[error("node {0} is no member")]
    UnknownNode(NodeId),
    /// The number was used before.
    #[error("numbers are never used twice: the next free one is {next}")]
    NumberUsed { next: u32 },
    /// Nobody would have a vote.
    #[error("nobody would be left to vote")]
    LeavesNone,
    /// Only a learner can be given a vote.
    #[error("node {0} is no learner: admit it first")]
    NotLearner(NodeId),
    /// All that it asks for is so already: nothing to do.
    #[error("that is so already, at version {version}")]
    Already { version: u64 },
    /// The change before is not in force yet.
    #[error("the change before is in force from slot {until} on: ask again in a moment")]
    InFlight { until: Slot },
    /// It would change two votes in one step.
    #[error("one vote changes at a time: add, then remove")]
    TwoAtOnce,
    /// The member's disk is pinned to another number.
    #[error("node {0} is pinned to another disk")]
    OtherDisk(NodeId),
    /// The group has as many members as it may.
    #[error("a group has at most {MEMBERS_MAX} members")]
    TooMany,
    /// It is not what a restore of this group writes.
    #[error("this is no restore of the group as it is")]
    NotARestore,
}

impl ChangeRefused {
    /// A stable number, from 1.
    pub fn number(self) -> u8 {
        match self {
            Self::WrongVersion { .. } => 1,
            Self::NotFounded => 2,
            Self::UnknownNode(_) => 3,
            Self::NumberUsed { .. } => 4,
            Self::LeavesNone => 5,
            Self::NotLearner(_) => 6,
            Self::Already { .. } => 7,
            Self::InFlight { .. } => 8,
            Self::TwoAtOnce => 9,
            Self::OtherDisk(_) => 10,
            Self::TooMany => 11,
            Self::NotARestore => 12,
        }
    }
}

/// Writes a change.
#[expect(clippy::expect_used, reason = "a group has at most as many members as its rules admit")]
pub(crate) fn encode(change: &Change) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    out.put_u64_le(change.expected_version);
    out.put_u8(change.op.number());
    match &change.op {
        Op::Found { members, mode, alpha } => {
            out.put_u64_le(*alpha);
            out.put_u8(mode_number(*mode));
            out.put_u8(u8::try_from(members.len()).expect("a group has few members"));
            for (node, member) in members {
                out.put_u16_le(node.get());
                put_member(&mut out, member);
            }
        }
        Op::Admit { node, member } => {
            out.put_u16_le(node.get());
            put_member(&mut out, member);
        }
        Op::Promote { node } | Op::Remove { node } => out.put_u16_le(node.get()),
        Op::SetMode { mode } => out.put_u8(mode_number(*mode)),
        Op::Check { number } => out.put_u64_le(*number),
        Op::Replace { remove, promote } => {
            out.put_u16_le(remove.get());
            out.put_u16_le(promote.get());
        }
        Op::Pin { node, disk } => {
            out.put_u16_le(node.get());
            out.put_u64_le(*disk);
        }
        Op::Refound { node, others, incarnation } => {
            out.put_u32_le(*incarnation);
            out.put_u16_le(node.get());
            out.put_u8(u8::try_from(others.len()).expect("a group has few members"));
            for other in others {
                out.put_u16_le(other.get());
            }
        }
    }
    out.freeze()
}

/// Reads a change; none when the bytes are not exactly one of a known kind.
pub(crate) fn decode(mut bytes: Bytes) -> Option<Change> {
    let from = &mut bytes;
    let expected_version = from.try_get_u64_le().ok()?;
    let op = match from.try_get_u8().ok()? {
        1 => {
            let alpha = from.try_get_u64_le().ok()?;
            let mode = mode_of(from.try_get_u8().ok()?)?;
            let count = usize::from(from.try_get_u8().ok()?);
            let mut members = BTreeMap::new();
            for _ in 0..count {
                let node = in_order(members.last_key_value().map(|(node, _)| *node), take_node(from)?)?;
                members.insert(node, take_member(from)?);
            }
            if count > MEMBERS_MAX {
                return None;
            }
            Op::Found { members, mode, alpha }
        }
        2 => Op::Admit { node: take_node(from)?, member: take_member(from)? },
        3 => Op::Promote { node: take_node(from)? },
        4 => Op::Remove { node: take_node(from)? },
        5 => Op::SetMode { mode: mode_of(from.try_get_u8().ok()?)? },
        6 => Op::Check { number: from.try_get_u64_le().ok()? },
        7 => Op::Replace { remove: take_node(from)?, promote: take_node(from)? },
        8 => Op::Pin { node: take_node(from)?, disk: from.try_get_u64_le().ok()? },
        9 => {
            let (incarnation, node) = (from.try_get_u32_le().ok()?, take_node(from)?);
            let count = usize::from(from.try_get_u8().ok()?);
            let mut others = BTreeSet::new();
            for _ in 0..count {
                others.insert(in_order(others.last().copied(), take_node(from)?)?);
            }
            Op::Refound { node, others, incarnation }
        }
        _ => return None,
    };
    bytes.is_empty().then_some(Change { expected_version, op })
}

/// Nodes are listed in order and each once, so that one change is written in one way only.
fn in_order(before: Option<NodeId>, node: NodeId) -> Option<NodeId> {
    (before < Some(node)).then_some(node)
}

#[expect(clippy::expect_used, reason = "an address has at most 64 bytes by its type")]
pub(super) fn put_member(out: &mut impl BufMut, member: &Member) {
    out.put_u8(role_number(member.role));
    out.put_u64_le(member.disk);
    for address in [&member.peer, &member.http] {
        out.put_u8(u8::try_from(address.as_str().len()).expect("an address has at most 64 bytes"));
        out.put_slice(address.as_str().as_bytes());
    }
}

pub(super) fn take_member(from: &mut Bytes) -> Option<Member> {
    let role = role_of(from.try_get_u8().ok()?)?;
    let disk = from.try_get_u64_le().ok()?;
    Some(Member { role, disk, peer: take_address(from)?, http: take_address(from)? })
}

fn take_address(from: &mut Bytes) -> Option<Address> {
    let length = usize::from(from.try_get_u8().ok()?);
    if length > from.len() {
        return None;
    }
    Address::new(std::str::from_utf8(&from.split_to(length)).ok()?)
}

fn take_node(from: &mut Bytes) -> Option<NodeId> {
    NodeId::new(from.try_get_u16_le().ok()?)
}

pub(super) fn mode_number(mode: Mode) -> u8 {
    match mode {
        Mode::Leader => 1,
        Mode::Leaderless => 2,
    }
}

pub(super) fn mode_of(number: u8) -> Option<Mode> {
    match number {
        1 => Some(Mode::Leader),
        2 => Some(Mode::Leaderless),
        _ => None,
    }
}

pub(super) fn role_number(role: Role) -> u8 {
    match role {
        Role::Voter => 1,
        Role::Learner => 2,
    }
}

pub(super) fn role_of(number: u8) -> Option<Role> {
    match number {
        1 => Some(Role::Voter),
        2 => Some(Role::Learner),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{member, node};
    use super::*;
    use proptest::prelude::*;

    fn any_node() -> impl Strategy<Value = NodeId> {
        (1..=u16::MAX).prop_map(node)
    }

    fn any_mode() -> impl Strategy<Value = Mode> {
        prop_oneof![Just(Mode::Leader), Just(Mode::Leaderless)]
    }

    fn any_member() -> impl Strategy<Value = Member> {
        let address = || "[!-~]{0,64}".prop_map(|text| Address::new(&text).expect("printable and short"));
        let role = prop_oneof![Just(Role::Voter), Just(Role::Learner)];
        (role, address(), address(), any::<u64>()).prop_map(|(role, peer, http, disk)| Member {
            role,
            peer,
            http,
            disk,
        })
    }

    fn any_op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (proptest::collection::btree_map(any_node(), any_member(), 0..=MEMBERS_MAX), any_mode(), any::<u64>())
                .prop_map(|(members, mode, alpha)| Op::Found { members, mode, alpha }),
            (any_node(), any_member()).prop_map(|(node, member)| Op::Admit { node, member }),
            any_node().prop_map(|node| Op::Promote { node }),
            any_node().prop_map(|node| Op::Remove { node }),
            any_mode().prop_map(|mode| Op::SetMode { mode }),
            any::<u64>().prop_map(|number| Op::Check { number }),
            (any_node(), any_node()).prop_map(|(remove, promote)| Op::Replace { remove, promote }),
            (any_node(), any::<u64>()).prop_map(|(node, disk)| Op::Pin { node, disk }),
            (any_node(), proptest::collection::btree_set(any_node(), 0..MEMBERS_MAX), any::<u32>())
                .prop_map(|(node, others, incarnation)| Op::Refound { node, others, incarnation }),
        ]
    }

    pub(crate) fn any_change() -> impl Strategy<Value = Change> {
        (any::<u64>(), any_op()).prop_map(|(expected_version, op)| Change { expected_version, op })
    }

    proptest! {
        #[test]
        fn a_change_reads_back_as_it_was_written(change in any_change()) {
            prop_assert_eq!(decode(encode(&change)), Some(change));
        }

        #[test]
        fn any_bytes_are_a_change_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(bytes.into());
        }

        #[test]
        fn a_change_cut_anywhere_is_none(change in any_change(), cut in any::<prop::sample::Index>()) {
            let whole = encode(&change);
            prop_assert_eq!(decode(whole.slice(..cut.index(whole.len()))), None);
        }
    }

    #[test]
    fn the_stored_form_is_stable() {
        let op = Op::Admit { node: node(4), member: Member { disk: 0x0102, ..member(Role::Learner, 4) } };
        let bytes = encode(&Change { expected_version: 7, op });
        let text = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        expect_test::expect![[
            "07000000000000000204000202010000000000000e3132372e302e302e313a373030340e3132372e302e302e313a38303034"
        ]]
        .assert_eq(&text);
    }
}
