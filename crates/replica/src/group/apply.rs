//! The rules of changing a group: pure, and the same on every node.
//!
//! In this order: founded or not; already so; the version that it names; the change before still on its way; and then
//! what the operation itself demands.

use super::{Change, ChangeRefused, Group, INCARNATION_MAX, MEMBERS_MAX, Member, Op, Role, Turn, next_number};
use paxos::{NodeId, Slot};
use std::collections::BTreeSet;

/// Which rules hold: all of them, save those that a simulation switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Control: a change that replaces two voters at once, or does not name the version that it replaces, is taken.
    #[cfg(feature = "controls")]
    pub change_two: bool,
}

impl Rules {
    #[cfg(feature = "controls")]
    fn one_at_a_time(self) -> bool {
        !self.change_two
    }

    #[cfg(not(feature = "controls"))]
    #[inline(always)]
    fn one_at_a_time(self) -> bool {
        true
    }
}

impl Group {
    /// Takes the change that stands in `slot`, or says why not; then nothing has changed.
    ///
    /// # Errors
    /// A numbered refusal, the same on every node.
    pub fn apply(&mut self, slot: Slot, change: &Change, rules: Rules) -> Result<(), ChangeRefused> {
        match &change.op {
            Op::Check { .. } => return Ok(()),
            Op::Found { .. } => {}
            _ if !self.is_founded() => return Err(ChangeRefused::NotFounded),
            op if rules.one_at_a_time() => self.look_at_version(slot, change.expected_version, op)?,
            _ => {}
        }
        match &change.op {
            Op::Found { members, mode, alpha } if !self.is_founded() => {
                if !members.values().any(|member| member.role == Role::Voter) {
                    return Err(ChangeRefused::LeavesNone);
                }
                self.members.clone_from(members);
                (self.mode, self.alpha) = (*mode, *alpha);
                self.next_number = next_number(members);
            }
            Op::Found { .. } => return Err(ChangeRefused::Already { version: self.version }),
            Op::Admit { node, member } => self.admit(slot, *node, member)?,
            Op::Promote { node } => self.promote(slot, *node)?,
            Op::Remove { node } => self.remove(slot, *node)?,
            Op::SetMode { mode } => self.mode = *mode,
            Op::Pin { node, disk } => self.pin(*node, *disk)?,
            Op::Replace { .. } if rules.one_at_a_time() => return Err(ChangeRefused::TwoAtOnce),
            Op::Replace { remove, .. } if self.role(*remove).is_none() => {
                return Err(ChangeRefused::UnknownNode(*remove));
            }
            Op::Replace { remove, promote } => {
                self.promote(slot, *promote)?;
                self.remove(slot, *remove)?;
            }
            Op::Refound { node, others, incarnation } => self.refound(slot, (*node, others), *incarnation)?,
            Op::Check { .. } => {}
        }
        self.version += 1;
        Ok(())
    }

    fn look_at_version(&self, slot: Slot, expected: u64, op: &Op) -> Result<(), ChangeRefused> {
        let names_this_or_the_last = expected == self.version || expected.checked_add(1) == Some(self.version);
        if names_this_or_the_last && self.is_so(op) {
            return Err(ChangeRefused::Already { version: self.version });
        }
        if expected != self.version {
            return Err(ChangeRefused::WrongVersion { present: self.version });
        }
        match (op, self.pending_after(slot)) {
            (Op::SetMode { .. } | Op::Pin { .. } | Op::Refound { .. }, _) | (_, None) => Ok(()),
            (_, Some(until)) => Err(ChangeRefused::InFlight { until }),
        }
    }

    /// Is everything as the operation would make it?
    fn is_so(&self, op: &Op) -> bool {
        match op {
            Op::Admit { node, member } => {
                self.members.get(node) == Some(&Member { role: Role::Learner, ..member.clone() })
            }
            Op::Promote { node } => self.role(*node) == Some(Role::Voter),
            Op::Remove { node } => u32::from(node.get()) < self.next_number && self.role(*node).is_none(),
            Op::SetMode { mode } => self.mode == *mode,
            Op::Pin { node, disk } => self.members.get(node).is_some_and(|member| member.disk == *disk),
            Op::Found { .. } | Op::Check { .. } | Op::Replace { .. } | Op::Refound { .. } => false,
        }
    }

    fn admit(&mut self, slot: Slot, node: NodeId, member: &Member) -> Result<(), ChangeRefused> {
        if u32::from(node.get()) < self.next_number {
            return Err(ChangeRefused::NumberUsed { next: self.next_number });
        }
        if self.members.len() >= MEMBERS_MAX {
            return Err(ChangeRefused::TooMany);
        }
        self.members.insert(node, Member { role: Role::Learner, ..member.clone() });
        self.next_number = u32::from(node.get()) + 1;
        self.turn(slot, node, None);
        Ok(())
    }

    fn promote(&mut self, slot: Slot, node: NodeId) -> Result<(), ChangeRefused> {
        let member = self.members.get_mut(&node).ok_or(ChangeRefused::UnknownNode(node))?;
        if member.role != Role::Learner {
            return Err(ChangeRefused::NotLearner(node));
        }
        member.role = Role::Voter;
        self.turn(slot, node, Some(Role::Learner));
        Ok(())
    }

    fn remove(&mut self, slot: Slot, node: NodeId) -> Result<(), ChangeRefused> {
        let role = self.role(node).ok_or(ChangeRefused::UnknownNode(node))?;
        if role == Role::Voter && self.voters().count() == 1 {
            return Err(ChangeRefused::LeavesNone);
        }
        self.members.remove(&node);
        self.turn(slot, node, Some(role));
        Ok(())
    }

    fn pin(&mut self, node: NodeId, disk: u64) -> Result<(), ChangeRefused> {
        let member = self.members.get_mut(&node).ok_or(ChangeRefused::UnknownNode(node))?;
        if member.disk != 0 {
            return Err(ChangeRefused::OtherDisk(node));
        }
        member.disk = disk;
        Ok(())
    }

    /// One member goes on alone, from the next slot on: nobody has ever counted a vote for that slot in this life.
    fn refound(
        &mut self,
        slot: Slot,
        (node, others): (NodeId, &BTreeSet<NodeId>),
        incarnation: u32,
    ) -> Result<(), ChangeRefused> {
        let member = self.members.get(&node).ok_or(ChangeRefused::UnknownNode(node))?;
        let is_all_others = self.members.keys().filter(|member| **member != node).eq(others);
        // Numbers may be left out: of lives that another copy began, and that this one has not heard of.
        if incarnation <= self.incarnation || !is_all_others || incarnation > INCARNATION_MAX {
            return Err(ChangeRefused::NotARestore);
        }
        let alone = Member { role: Role::Voter, disk: 0, ..member.clone() };
        self.members = [(node, alone)].into();
        self.incarnation = incarnation;
        let version_before = self.turn.map_or(0, |turn| turn.version);
        let version = self.version + 1;
        self.turn = Some(Turn { since: slot.next(), version, version_before, node, was: Some(Role::Voter) });
        Ok(())
    }

    /// The members are others from the slot on that lies alpha above.
    fn turn(&mut self, slot: Slot, node: NodeId, was: Option<Role>) {
        let version_before = self.turn.map_or(0, |turn| turn.version);
        let since = Slot::new(slot.get().saturating_add(self.alpha));
        self.turn = Some(Turn { since, version: self.version + 1, version_before, node, was });
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::tests::{member, node, three};
    use super::*;

    const SLOT: Slot = Slot::new(100);

    /// Voters 1, 2, 3 and the learner 4; version 2, in force from slot 18 on.
    fn with_learner() -> Group {
        let mut group = three();
        let admit = Op::Admit { node: node(4), member: member(Role::Learner, 4) };
        group.apply(Slot::new(10), &Change { expected_version: 1, op: admit }, Rules::default()).expect("a newcomer");
        group
    }

    fn ask(group: &mut Group, slot: Slot, expected_version: u64, op: Op) -> Result<(), ChangeRefused> {
        group.apply(slot, &Change { expected_version, op }, Rules::default())
    }

    #[test]
    fn every_change_has_its_outcome() {
        let admit = |number| Op::Admit { node: node(number), member: member(Role::Learner, number) };
        let promote = |number| Op::Promote { node: node(number) };
        let remove = |number| Op::Remove { node: node(number) };
        let mode = |mode| Op::SetMode { mode };
        let pin = |number, disk| Op::Pin { node: node(number), disk };
        let already = Err(ChangeRefused::Already { version: 2 });
        let table = [
            (2, admit(5), Ok(())),
            (2, admit(9), Ok(())),
            (2, admit(3), Err(ChangeRefused::NumberUsed { next: 5 })),
            (2, admit(4), already),
            (1, admit(4), already),
            (0, admit(4), Err(ChangeRefused::WrongVersion { present: 2 })),
            (1, admit(5), Err(ChangeRefused::WrongVersion { present: 2 })),
            (3, admit(5), Err(ChangeRefused::WrongVersion { present: 2 })),
            (u64::MAX, admit(5), Err(ChangeRefused::WrongVersion { present: 2 })),
            (2, promote(4), Ok(())),
            (2, promote(3), already),
            (1, promote(3), already),
            (2, promote(5), Err(ChangeRefused::UnknownNode(node(5)))),
            (2, remove(4), Ok(())),
            (2, remove(3), Ok(())),
            (2, remove(5), Err(ChangeRefused::UnknownNode(node(5)))),
            (2, mode(Mode::Leaderless), Ok(())),
            (2, mode(Mode::Leader), already),
            (2, pin(4, 4 << 40), already),
            (2, pin(4, 5), Err(ChangeRefused::OtherDisk(node(4)))),
            (2, pin(5, 5), Err(ChangeRefused::UnknownNode(node(5)))),
            (2, Op::Replace { remove: node(1), promote: node(4) }, Err(ChangeRefused::TwoAtOnce)),
            (0, Op::Check { number: 3 }, Ok(())),
        ];
        for (expected_version, op, outcome) in table {
            let mut group = with_learner();
            let before = group.clone();
            assert_eq!(ask(&mut group, SLOT, expected_version, op.clone()), outcome, "{op:?} at {expected_version}");
            if outcome.is_err() {
                assert_eq!(group, before, "{op:?} was refused and changed something");
            }
        }
    }

    #[test]
    fn a_founding_is_the_first_change_and_comes_once() {
        let members = three().members;
        let found = Op::Found { members: members.clone(), mode: Mode::Leaderless, alpha: 16 };
        let mut group = Group::unknown();
        assert_eq!(ask(&mut group, SLOT, 0, Op::Remove { node: node(1) }), Err(ChangeRefused::NotFounded));
        let nobody = Op::Found { members: Default::default(), mode: Mode::Leader, alpha: 8 };
        assert_eq!(ask(&mut group, SLOT, 0, nobody), Err(ChangeRefused::LeavesNone));
        assert_eq!(ask(&mut group, SLOT, 0, found.clone()), Ok(()));
        assert_eq!((group.version, group.mode, group.next_number, group.alpha), (1, Mode::Leaderless, 4, 16));
        assert_eq!(group.members, members);
        assert_eq!(ask(&mut group, SLOT, 0, found), Err(ChangeRefused::Already { version: 1 }));
    }

    #[test]
    fn members_change_one_at_a_time() {
        let mut group = with_learner();
        let until = Slot::new(18);
        let promote = Op::Promote { node: node(4) };
        assert_eq!(ask(&mut group, Slot::new(17), 2, promote.clone()), Err(ChangeRefused::InFlight { until }));
        assert_eq!(ask(&mut group, Slot::new(17), 2, Op::SetMode { mode: Mode::Leaderless }), Ok(()));
        assert_eq!(ask(&mut group, until, 3, promote), Ok(()));
        assert_eq!(group.pending_after(until), Some(Slot::new(26)));
        assert_eq!(group.pending_after(Slot::new(26)), None);
    }

    #[test]
    fn the_last_voter_stays_and_numbers_are_used_once() {
        let mut group = three();
        for (slot, number) in [(20, 3), (40, 1)] {
            let version = group.version;
            assert_eq!(ask(&mut group, Slot::new(slot), version, Op::Remove { node: node(number) }), Ok(()));
        }
        let last = Op::Remove { node: node(2) };
        assert_eq!(ask(&mut group, Slot::new(60), 3, last), Err(ChangeRefused::LeavesNone));
        let again = Op::Admit { node: node(3), member: member(Role::Learner, 3) };
        assert_eq!(ask(&mut group, Slot::new(60), 3, again), Err(ChangeRefused::NumberUsed { next: 4 }));
        let removed = Op::Remove { node: node(1) };
        assert_eq!(ask(&mut group, Slot::new(60), 2, removed), Err(ChangeRefused::Already { version: 3 }));
    }

    #[test]
    fn a_restored_group_goes_on_with_one_member_in_another_life() {
        let refound = |of: u16, others: &[u16], incarnation| {
            let others = others.iter().map(|other| node(*other)).collect();
            Op::Refound { node: node(of), others, incarnation }
        };
        let refused = [
            (refound(2, &[1, 3], 2), ChangeRefused::NotARestore),
            (refound(2, &[1, 3, 4], 1), ChangeRefused::NotARestore),
            (refound(2, &[1, 3, 4], INCARNATION_MAX + 1), ChangeRefused::NotARestore),
            (refound(9, &[1, 2, 3, 4], 2), ChangeRefused::UnknownNode(node(9))),
        ];
        for (op, why) in refused {
            assert_eq!(ask(&mut with_learner(), SLOT, 2, op), Err(why));
        }
        // Also while a change is on its way, and from a learner's files as well.
        let mut group = with_learner();
        assert_eq!(ask(&mut group, Slot::new(12), 2, refound(4, &[1, 2, 3], 2)), Ok(()));
        assert_eq!((group.incarnation, group.version, group.next_number), (2, 3, 5));
        assert_eq!(group.members, [(node(4), Member { disk: 0, ..member(Role::Voter, 4) })].into());
        let epochs = group.epochs();
        assert!(epochs.iter().all(|(_, of)| of.voters == [node(4)] && of.learners.is_empty()), "{epochs:?}");
        assert_eq!(epochs[1].0, Slot::new(13));
        assert_eq!(ask(&mut group, Slot::new(13), 3, refound(4, &[], 7)), Ok(()), "and again, from a copy of that");
        assert_eq!(group.incarnation, 7, "others had begun lives of that copy before");
    }

    #[test]
    fn a_group_has_a_bounded_number_of_members() {
        let mut group = three();
        let mut slot = 100;
        for number in 4..=u16::try_from(MEMBERS_MAX + 1).expect("few") {
            slot += 100;
            let version = group.version;
            let admit = Op::Admit { node: node(number), member: member(Role::Learner, number) };
            let outcome = ask(&mut group, Slot::new(slot), version, admit);
            let fits = usize::from(number) <= MEMBERS_MAX;
            assert_eq!(outcome, if fits { Ok(()) } else { Err(ChangeRefused::TooMany) }, "node {number}");
        }
    }

    #[cfg(feature = "controls")]
    #[test]
    fn with_the_rule_switched_off_two_votes_change_at_once() {
        let rules = Rules { change_two: true };
        let mut group = with_learner();
        let replace = Change { expected_version: 0, op: Op::Replace { remove: node(1), promote: node(4) } };
        assert_eq!(group.apply(Slot::new(11), &replace, rules), Ok(()));
        assert_eq!(group.voters().map(|voter| voter.get()).collect::<Vec<_>>(), [2, 3, 4]);
        let remove = Change { expected_version: 0, op: Op::Remove { node: node(2) } };
        assert_eq!(group.apply(Slot::new(12), &remove, rules), Ok(()), "no version named, the one before in flight");
    }
}
