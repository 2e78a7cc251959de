//! The group over gRPC: messages to and from the shapes that HTTP has, so that both wires say the same.

use crate::code::Code;
use crate::json::{GroupState, MemberChange};
use crate::problem::Problem;
use crate::proto;
use crate::proto::change_members_request::Change;
use crate::status::{MemberRole, MemberState, Mode};

/// The group as a message.
pub fn group(state: &GroupState) -> proto::Group {
    proto::Group {
        bank: state.bank.clone(),
        version: state.version,
        mode: mode_number(state.mode),
        proposer: state.proposer.map_or(0, u32::from),
        next_number: state.next_number,
        in_force_from: state.in_force_from.unwrap_or(0),
        members: state.members.iter().map(member).collect(),
        already: state.already,
    }
}

fn member(member: &MemberState) -> proto::Member {
    let role = match member.role {
        MemberRole::Voter => proto::MemberRole::Voter,
        MemberRole::Learner => proto::MemberRole::Learner,
    };
    proto::Member {
        node: u32::from(member.node),
        role: role.into(),
        peer: member.peer.clone(),
        http: member.http.clone(),
        disk: member.disk.unwrap_or(0),
    }
}

/// The number of a mode.
pub fn mode_number(mode: Mode) -> i32 {
    match mode {
        Mode::Leader => proto::Mode::Leader.into(),
        Mode::Leaderless => proto::Mode::Leaderless.into(),
    }
}

/// The mode of a message.
pub fn mode(number: i32) -> Result<Mode, Problem> {
    match proto::Mode::try_from(number) {
        Ok(proto::Mode::Leader) => Ok(Mode::Leader),
        Ok(proto::Mode::Leaderless) => Ok(Mode::Leaderless),
        Ok(proto::Mode::Unspecified) | Err(_) => {
            let detail = "mode: send MODE_LEADER or MODE_LEADERLESS";
            Err(Problem::new(Code::MissingField, detail).with("field", "mode"))
        }
    }
}

/// The step of a message.
pub fn member_change(change: Option<Change>) -> Result<MemberChange, Problem> {
    let missing = || Problem::new(Code::MissingField, "change: send admit, promote or remove").with("field", "change");
    Ok(match change.ok_or_else(missing)? {
        Change::Admit(proto::AdmitMember { node, peer, http, disk }) => {
            MemberChange::Admit { node: number(node)?, peer, http, disk: Some(disk).filter(|disk| *disk != 0) }
        }
        Change::Promote(node) => MemberChange::Promote(number(node)?),
        Change::Remove(node) => MemberChange::Remove(number(node)?),
    })
}

fn number(node: u32) -> Result<u16, Problem> {
    u16::try_from(node).map_err(|_| {
        Problem::new(Code::InvalidMember, format!("{node} is no node number: nodes are numbered from 1 to 99"))
            .with("field", "node")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_steps_that_say_nothing_are_refused() {
        for wanted in [Mode::Leader, Mode::Leaderless] {
            assert_eq!(mode(mode_number(wanted)), Ok(wanted));
        }
        assert_eq!(mode(0).expect_err("no mode").code, Code::MissingField);
        assert_eq!(mode(77).expect_err("no mode").code, Code::MissingField);
        assert_eq!(member_change(None).expect_err("nothing").code, Code::MissingField);
        assert_eq!(member_change(Some(Change::Promote(70_000))).expect_err("no node").code, Code::InvalidMember);
        let admit = proto::AdmitMember { node: 4, peer: "host:7124".to_owned(), ..proto::AdmitMember::default() };
        let wanted = MemberChange::Admit { node: 4, peer: "host:7124".to_owned(), http: String::new(), disk: None };
        assert_eq!(member_change(Some(Change::Admit(admit))), Ok(wanted));
    }
}
