//! A group's changes as records of the journal, and its state as entries of the checkpoint.
//!
//! ```text
//! record   0 kind 0xFFF0     5 operation   16 clock ms    36 mode          40 alpha          72 whom it changed
//!          2 version         6 node        24 version     37 changed yet   48 in force from  74 member: role, lengths,
//!          3 head or member  8 slot        32 next number 38 was           56 two versions      disk, two addresses
//!          4 refusal                                      39 put, removed
//!                                                         77 lives before this one, u24
//! key      0xFF 'G'                value  version u8 = 1 | bytes 24..74 of the record | bytes 77..80, if not zero
//!          0xFF 'M' node u16 BE           version u8 = 1 | the member
//! ```
//!
//! A founding writes a record for each founder, and then its own. Whatever a record changes stands in it whole, so that
//! the checkpoint is folded without a look at the past. A refused change is recorded and changes nothing; a check leaves
//! no record. The state machine never sees these records, nor keys that begin with 0xFF.

use super::change::{mode_number, mode_of, put_member, role_number, role_of, take_member};
use super::{Change, ChangeRefused, Group, Member, Op, Turn};
use bytes::{Buf, Bytes};
use paxos::{NodeId, Slot};
use std::collections::BTreeMap;
use storage::JournalRecord;

/// The kind of these records, which no state machine may use.
pub const CONTROL_KIND: u16 = 0xFFF0;
/// How all keys of the replica's own begin.
pub(crate) const KEY_PREFIX: u8 = 0xFF;

const VERSION: u8 = 1;
const HEAD: u8 = 1;
const MEMBER: u8 = 2;
const PUT: u8 = 1;
const REMOVED: u8 = 2;
const HEAD_KEY: [u8; 2] = [KEY_PREFIX, b'G'];
const HEAD_FIELDS: std::ops::Range<usize> = 24..74;
const LIVES: std::ops::Range<usize> = 77..80;
const MEMBER_AT: usize = 80;

/// Is this the record of a change of the group, not one of the state machine's?
pub fn is_control(record: &JournalRecord) -> bool {
    record[..2] == CONTROL_KIND.to_le_bytes()
}

/// The records of a change that was taken or refused; `group` is the state after it. None for a check.
pub fn records(
    slot: Slot,
    clock_ms: u64,
    change: &Change,
    outcome: Result<(), ChangeRefused>,
    group: &Group,
) -> Vec<JournalRecord> {
    let mut head = blank(slot, clock_ms, &change.op);
    put_head(&mut head, group);
    head[3] = HEAD;
    head[4] = outcome.err().map_or(0, ChangeRefused::number);
    match &change.op {
        Op::Check { .. } => Vec::new(),
        Op::Found { .. } if outcome.is_ok() => {
            let founder = |(node, member): (&NodeId, &Member)| {
                let mut record = blank(slot, clock_ms, &change.op);
                record[3] = MEMBER;
                put_changed(&mut record, *node, Some(member));
                record
            };
            group.members.iter().map(founder).chain([head]).collect()
        }
        Op::Refound { others, .. } if outcome.is_ok() => {
            let removed = |node: &NodeId| {
                let mut record = blank(slot, clock_ms, &change.op);
                record[3] = MEMBER;
                put_changed(&mut record, *node, None);
                record
            };
            put_changed_by(&mut head, &change.op, group);
            others.iter().map(removed).chain([head]).collect()
        }
        Op::Replace { promote, .. } if outcome.is_ok() => {
            let mut promoted = head;
            put_changed(&mut promoted, *promote, group.members.get(promote));
            put_changed_by(&mut head, &change.op, group);
            vec![promoted, head]
        }
        _ => {
            if outcome.is_ok() {
                put_changed_by(&mut head, &change.op, group);
            }
            vec![head]
        }
    }
}

/// What a record of this kind changes in the checkpoint.
pub(crate) fn effects(record: &JournalRecord, put: storage::Put<'_>) {
    if record[4] != 0 {
        return;
    }
    if record[3] == HEAD {
        let mut value = vec![VERSION];
        value.extend_from_slice(&record[HEAD_FIELDS]);
        if record[LIVES] != [0; 3] {
            value.extend_from_slice(&record[LIVES]);
        }
        put(&HEAD_KEY, Some(&value));
    }
    let key = [KEY_PREFIX, b'M', record[7], record[6]];
    match record[39] {
        PUT => {
            let (peer, http) = (usize::from(record[75]), usize::from(record[76]));
            let length = 1 + 8 + 1 + peer + 1 + http;
            let mut value = vec![VERSION];
            // A record of another node's journal may say anything. What it has too little of is a member that no restore takes.
            value.extend_from_slice(&record[MEMBER_AT..storage::RECORD.min(MEMBER_AT + length)]);
            put(&key, Some(&value));
        }
        REMOVED => put(&key, None),
        _ => {}
    }
}

fn blank(slot: Slot, clock_ms: u64, op: &Op) -> JournalRecord {
    let mut record = [0; storage::RECORD];
    record[..2].copy_from_slice(&CONTROL_KIND.to_le_bytes());
    record[2] = VERSION;
    record[5] = op.number();
    record[6..8].copy_from_slice(&op.node().map_or(0, NodeId::get).to_le_bytes());
    record[8..16].copy_from_slice(&slot.get().to_le_bytes());
    record[16..24].copy_from_slice(&clock_ms.to_le_bytes());
    record
}

fn put_head(record: &mut JournalRecord, group: &Group) {
    record[24..32].copy_from_slice(&group.version.to_le_bytes());
    record[32..36].copy_from_slice(&group.next_number.to_le_bytes());
    record[36] = mode_number(group.mode);
    record[40..48].copy_from_slice(&group.alpha.to_le_bytes());
    record[LIVES].copy_from_slice(&(group.incarnation - 1).to_le_bytes()[..3]);
    if let Some(turn) = group.turn {
        record[37] = 1;
        record[38] = turn.was.map_or(0, role_number);
        record[48..56].copy_from_slice(&turn.since.get().to_le_bytes());
        record[56..64].copy_from_slice(&turn.version.to_le_bytes());
        record[64..72].copy_from_slice(&turn.version_before.to_le_bytes());
        record[72..74].copy_from_slice(&turn.node.get().to_le_bytes());
    }
}

fn put_changed_by(record: &mut JournalRecord, op: &Op, group: &Group) {
    if let Some(node) = op.node() {
        put_changed(record, node, group.members.get(&node));
    }
}

fn put_changed(record: &mut JournalRecord, node: NodeId, member: Option<&Member>) {
    record[6..8].copy_from_slice(&node.get().to_le_bytes());
    let Some(member) = member else {
        record[39] = REMOVED;
        return;
    };
    record[39] = PUT;
    record[74] = role_number(member.role);
    record[75] = length_byte(&member.peer);
    record[76] = length_byte(&member.http);
    let mut bytes = Vec::with_capacity(storage::RECORD);
    put_member(&mut bytes, member);
    record[MEMBER_AT..MEMBER_AT + bytes.len()].copy_from_slice(&bytes);
}

#[expect(clippy::expect_used, reason = "an address has at most 64 bytes by its type")]
fn length_byte(address: &super::Address) -> u8 {
    u8::try_from(address.as_str().len()).expect("an address has at most 64 bytes")
}

/// Collects the entries of a checkpoint that are the group's.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    head: Option<Group>,
    members: BTreeMap<NodeId, Member>,
}

impl Restored {
    /// Takes one entry whose key begins with [`KEY_PREFIX`].
    pub(crate) fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let bad = || format!("the checkpoint's entry {key:02x?} is not of a known format");
        let mut from = Bytes::copy_from_slice(value);
        if from.try_get_u8().ok() != Some(VERSION) {
            return Err(bad());
        }
        match *key {
            [_, b'G'] => self.head = Some(take_head(&mut from).ok_or_else(bad)?),
            [_, b'M', high, low] => {
                let node = NodeId::new(u16::from_be_bytes([high, low])).ok_or_else(bad)?;
                self.members.insert(node, take_member(&mut from).ok_or_else(bad)?);
            }
            _ => return Err(bad()),
        }
        if from.is_empty() { Ok(()) } else { Err(bad()) }
    }

    /// The group, if the checkpoint has one: a directory of before groups changed has none.
    pub(crate) fn finish(self) -> Result<Option<Group>, String> {
        match self.head {
            Some(group) => Ok(Some(Group { members: self.members, ..group })),
            None if self.members.is_empty() => Ok(None),
            None => Err("the checkpoint has members and no group".to_owned()),
        }
    }
}

fn take_head(from: &mut Bytes) -> Option<Group> {
    let version = from.try_get_u64_le().ok()?;
    let next_number = from.try_get_u32_le().ok()?;
    let mode = mode_of(from.try_get_u8().ok()?)?;
    let (changed, was, _put) = (from.try_get_u8().ok()?, from.try_get_u8().ok()?, from.try_get_u8().ok()?);
    let alpha = from.try_get_u64_le().ok()?;
    let since = Slot::new(from.try_get_u64_le().ok()?);
    let (at, version_before) = (from.try_get_u64_le().ok()?, from.try_get_u64_le().ok()?);
    let node = from.try_get_u16_le().ok()?;
    let was = if was == 0 { None } else { Some(role_of(was)?) };
    let turn = match changed {
        0 => None,
        _ => Some(Turn { since, version: at, version_before, node: NodeId::new(node)?, was }),
    };
    let lives_before = match from.len() {
        0 => 0,
        _ => u32::from_le_bytes([from.try_get_u8().ok()?, from.try_get_u8().ok()?, from.try_get_u8().ok()?, 0]),
    };
    Some(Group { version, mode, members: BTreeMap::new(), next_number, alpha, turn, incarnation: lives_before + 1 })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{member, node};
    use super::super::{Mode, Role, Rules};
    use super::*;
    use proptest::prelude::*;

    /// Folds records as a checkpoint does, and restores from it.
    #[derive(Default)]
    struct Table(BTreeMap<Vec<u8>, Vec<u8>>);

    impl Table {
        fn fold(&mut self, record: &JournalRecord) {
            assert!(is_control(record));
            effects(record, &mut |key, value| match value {
                Some(value) => drop(self.0.insert(key.to_vec(), value.to_vec())),
                None => drop(self.0.remove(key)),
            });
        }

        fn restore(&self) -> Option<Group> {
            let mut restored = Restored::default();
            for (key, value) in &self.0 {
                restored.entry(key, value).expect("a good entry");
            }
            restored.finish().expect("a whole group")
        }
    }

    fn op(number: u8, of: u16) -> Op {
        match number {
            0 => Op::Admit { node: node(of), member: member(Role::Learner, of) },
            1 => Op::Promote { node: node(of) },
            2 => Op::Remove { node: node(of) },
            3 => Op::SetMode { mode: if of.is_multiple_of(2) { Mode::Leader } else { Mode::Leaderless } },
            4 => Op::Pin { node: node(of), disk: 7 },
            6 => Op::Refound {
                node: node(of),
                others: [1, 2, 3].map(node).into_iter().filter(|other| *other != node(of)).collect(),
                incarnation: 2,
            },
            _ => Op::Check { number: u64::from(of) },
        }
    }

    proptest! {
        #[test]
        fn a_checkpoint_of_the_records_is_the_group(
            ops in proptest::collection::vec((0..7_u8, 1..9_u16, any::<bool>()), 0..40)
        ) {
            let members: BTreeMap<_, _> = (1..=3).map(|of| (node(of), member(Role::Voter, of))).collect();
            let found = Op::Found { members: members.clone(), mode: Mode::Leaderless, alpha: 2 };
            let mut group = Group::founders(members, Mode::Leader, 2);
            let mut table = Table::default();
            prop_assert_eq!(table.restore(), None);
            let ops = ops.into_iter().map(|(number, of, stale)| (op(number, of), stale));
            for (slot, (op, stale)) in (1_u64..).zip([(found, true)].into_iter().chain(ops)) {
                let change = Change { expected_version: if stale { 0 } else { group.version }, op };
                let outcome = group.apply(Slot::new(slot * 3), &change, Rules::default());
                for record in records(Slot::new(slot * 3), 9, &change, outcome, &group) {
                    table.fold(&record);
                }
                let restored = table.restore();
                prop_assert_eq!(restored.as_ref(), Some(&group));
            }
        }
    }

    #[test]
    fn the_stored_forms_are_stable() {
        let members: BTreeMap<_, _> = [(node(258), member(Role::Voter, 258))].into();
        let mut group = Group::founders(members.clone(), Mode::Leader, 8);
        let change = Change { expected_version: 0, op: Op::Found { members, mode: Mode::Leaderless, alpha: 8 } };
        let outcome = group.apply(Slot::new(1), &change, Rules::default());
        let mut table = Table::default();
        let mut text = String::new();
        for record in records(Slot::new(1), 5, &change, outcome, &group) {
            table.fold(&record);
            let last = record.iter().rposition(|byte| *byte != 0).expect("a kind");
            text += &record[..=last].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            text.push('\n');
        }
        for (key, value) in &table.0 {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            text += &format!("{} {}\n", hex(key), hex(value));
        }
        expect_test::expect![[r#"
            f0ff010200010201010000000000000005000000000000000000000000000000000000000000000100000000000000000000000000000000000000000000000000000000000000000000010e0e0000000100000000000201000e3132372e302e302e313a373235380e3132372e302e302e313a38323538
            f0ff010100010000010000000000000005000000000000000100000000000000030100000200000008
            ff47 010100000000000000030100000200000008000000000000000000000000000000000000000000000000000000000000000000
            ff4d0102 010100000000000201000e3132372e302e302e313a373235380e3132372e302e302e313a38323538
        "#]].assert_eq(&text);
    }

    #[test]
    fn a_record_whose_lengths_reach_past_its_end_makes_an_entry_that_is_refused() {
        let mut record = [0; storage::RECORD];
        record[..2].copy_from_slice(&CONTROL_KIND.to_le_bytes());
        (record[6], record[39], record[75], record[76]) = (1, PUT, 255, 255);
        let mut entries = 0;
        effects(&record, &mut |key, value| {
            entries += 1;
            assert!(Restored::default().entry(key, value.expect("it is put")).is_err());
        });
        assert_eq!(entries, 1);
    }

    #[test]
    fn an_entry_of_another_format_is_named() {
        let mut restored = Restored::default();
        assert!(restored.entry(&[KEY_PREFIX, b'X'], &[1]).is_err());
        assert!(restored.entry(&HEAD_KEY, &[2]).is_err());
        assert!(restored.entry(&HEAD_KEY, &[1, 0]).is_err());
        assert!(restored.entry(&[KEY_PREFIX, b'M', 0, 0], &[1]).is_err());
    }
}
