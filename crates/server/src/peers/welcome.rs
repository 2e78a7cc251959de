//! What a member tells whoever it welcomes: its own disk, and the group as it knows it.
//!
//! ```text
//! welcome = disk u64 | version u64 | mode u8 | next number u32 | alpha u64 | turn | count u8, members
//! turn    = 0 | 1 | since u64 | version u64 | version before u64 | node u16 | was u8 (0 none, 1 voter, 2 learner)
//! then    = incarnation u32, if it is not 1
//! member  = node u16 | role u8 | disk u64 | length u8, peer address | length u8, http address      (little-endian)
//! ```
//!
//! Only a newcomer needs the group: it knows from it whose slots are, before it has learned a single one.

use bytes::{Buf, BufMut, Bytes};
use paxos::{NodeId, Slot};
use replica::group::{Address, Group, Member, Mode, Role, Turn};
use std::collections::BTreeMap;

/// Writes a group.
#[expect(clippy::expect_used, reason = "a group has few members, and an address at most 64 bytes")]
pub(crate) fn encode(group: &Group) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 64 * group.members.len());
    out.put_u64_le(group.version);
    out.put_u8(match group.mode {
        Mode::Leader => 1,
        Mode::Leaderless => 2,
    });
    out.put_u32_le(group.next_number);
    out.put_u64_le(group.alpha);
    out.put_u8(u8::from(group.turn.is_some()));
    if let Some(turn) = group.turn {
        for number in [turn.since.get(), turn.version, turn.version_before] {
            out.put_u64_le(number);
        }
        out.put_u16_le(turn.node.get());
        out.put_u8(turn.was.map_or(0, role_number));
    }
    out.put_u8(u8::try_from(group.members.len()).expect("a group has few members"));
    for (node, member) in &group.members {
        out.put_u16_le(node.get());
        out.put_u8(role_number(member.role));
        out.put_u64_le(member.disk);
        for address in [&member.peer, &member.http] {
            out.put_u8(u8::try_from(address.as_str().len()).expect("an address has at most 64 bytes"));
            out.put_slice(address.as_str().as_bytes());
        }
    }
    if group.incarnation != 1 {
        out.put_u32_le(group.incarnation);
    }
    out
}

/// Reads a group; none when the bytes are not exactly one.
pub(crate) fn decode(mut bytes: Bytes) -> Option<Group> {
    let from = &mut bytes;
    let version = from.try_get_u64_le().ok()?;
    let mode = match from.try_get_u8().ok()? {
        1 => Mode::Leader,
        2 => Mode::Leaderless,
        _ => return None,
    };
    let next_number = from.try_get_u32_le().ok()?;
    let alpha = from.try_get_u64_le().ok()?;
    let turn = match from.try_get_u8().ok()? {
        0 => None,
        1 => Some(take_turn(from)?),
        _ => return None,
    };
    let count = from.try_get_u8().ok()?;
    let mut members = BTreeMap::new();
    for _ in 0..count {
        let node = NodeId::new(from.try_get_u16_le().ok()?)?;
        let role = role_of(from.try_get_u8().ok()?)??;
        let disk = from.try_get_u64_le().ok()?;
        members.insert(node, Member { role, disk, peer: take_address(from)?, http: take_address(from)? });
    }
    let incarnation = match from.len() {
        0 => 1,
        _ => from.try_get_u32_le().ok().filter(|incarnation| *incarnation > 1)?,
    };
    let is_whole = bytes.is_empty() && members.len() == usize::from(count) && alpha > 0;
    is_whole.then_some(Group { version, mode, members, next_number, alpha, turn, incarnation })
}

fn take_turn(from: &mut Bytes) -> Option<Turn> {
    let since = Slot::new(from.try_get_u64_le().ok()?);
    let version = from.try_get_u64_le().ok()?;
    let version_before = from.try_get_u64_le().ok()?;
    let node = NodeId::new(from.try_get_u16_le().ok()?)?;
    Some(Turn { since, version, version_before, node, was: role_of(from.try_get_u8().ok()?)? })
}

fn take_address(from: &mut Bytes) -> Option<Address> {
    let length = usize::from(from.try_get_u8().ok()?);
    if length > from.len() {
        return None;
    }
    Address::new(std::str::from_utf8(&from.split_to(length)).ok()?)
}

fn role_number(role: Role) -> u8 {
    match role {
        Role::Voter => 1,
        Role::Learner => 2,
    }
}

/// Of 0, no role.
fn role_of(number: u8) -> Option<Option<Role>> {
    match number {
        0 => Some(None),
        1 => Some(Some(Role::Voter)),
        2 => Some(Some(Role::Learner)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Group {
        let node = |number| NodeId::new(number).expect("not zero");
        let address = |text| Address::new(text).expect("short");
        let member = |role, disk| Member { role, disk, peer: address("10.0.0.1:7121"), http: address("") };
        let turn =
            Turn { since: Slot::new(90), version: 5, version_before: 1, node: node(4), was: Some(Role::Learner) };
        Group {
            version: 6,
            mode: Mode::Leaderless,
            members: [(node(1), member(Role::Voter, 7)), (node(4), member(Role::Learner, 0))].into(),
            next_number: 5,
            alpha: 64,
            turn: Some(turn),
            incarnation: 1,
        }
    }

    #[test]
    fn a_group_reads_back_as_it_was_written_and_nothing_less() {
        for group in [group(), Group { turn: None, ..group() }, Group { incarnation: 7, ..group() }] {
            let whole = Bytes::from(encode(&group));
            assert_eq!(decode(whole.clone()), Some(group.clone()));
            // Without its last field it is the group of before there were restores.
            let shortest = Bytes::from(encode(&Group { incarnation: 1, ..group })).len();
            for cut in (0..whole.len()).filter(|cut| *cut != shortest) {
                assert_eq!(decode(whole.slice(..cut)), None, "cut at {cut}");
            }
            assert_eq!(decode([&whole[..], b"x"].concat().into()), None);
        }
    }
}
