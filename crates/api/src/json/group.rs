//! The shapes of `/v1/members` and `/v1/mode`: who belongs to a bank, and how it finds who proposes.
//!
//! They are read by nodes and by `rialto members` alike. A change names the version that it replaces: sending it twice is
//! safe, and a change made meanwhile by somebody else is never undone unseen.

use serde::{Deserialize, Serialize};

use crate::status::{MemberState, Mode};

/// `GET /v1/members`, and the answer to every change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    pub bank: String,
    /// Counts the changes taken; the next one must name it.
    pub version: u64,
    pub mode: Mode,
    /// The current proposer: the leader, or in leaderless mode the node that proposes at this moment; as far as the node that
    /// answers knows.
    pub proposer: Option<u16>,
    /// The lowest number that a new member may have: numbers are never used twice.
    pub next_number: u32,
    /// The slot from which on the last change of members is in force, while that is to come.
    pub in_force_from: Option<u64>,
    /// By number.
    pub members: Vec<MemberState>,
    /// The change that was asked for had been made before this call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub already: bool,
}

/// `POST /v1/members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object, such as {\"expected_version\": 3, \"change\": {\"promote\": 4}}")]
pub struct ChangeMembers {
    /// The version that whoever asks has seen.
    pub expected_version: u64,
    pub change: MemberChange,
}

/// One step: votes change one at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields, expecting = "one of \"admit\", \"promote\" and \"remove\"")]
pub enum MemberChange {
    /// A node that never was a member becomes one, as a learner.
    Admit {
        node: u16,
        peer: String,
        #[serde(default)]
        http: String,
        /// As its identity says; without it the first disk that the others meet is pinned.
        #[serde(default)]
        disk: Option<u64>,
    },
    /// A learner gets a vote.
    Promote(u16),
    /// A member is one no longer, and its number is used up.
    Remove(u16),
}

/// `POST /v1/mode`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object, such as {\"mode\": \"leaderless\"}")]
pub struct ChangeMode {
    pub mode: Mode,
    /// The present one, if absent: the mode is then what the last caller said.
    #[serde(default)]
    pub expected_version: Option<u64>,
}

/// `GET /v1/mode`, and the answer to its change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModeState {
    pub mode: Mode,
    /// The current proposer: the leader, or in leaderless mode the node that proposes at this moment; as far as the node that
    /// answers knows.
    pub proposer: Option<u16>,
    /// The group's version.
    pub version: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub already: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;

    #[test]
    fn a_change_reads_back_as_it_is_written_and_as_the_documents_show_it() {
        let rows = [
            (
                r#"{"expected_version":3,"change":{"admit":{"node":4,"peer":"10.0.0.4:7124","http":"10.0.0.4:7104","disk":9}}}"#,
                MemberChange::Admit {
                    node: 4,
                    peer: "10.0.0.4:7124".to_owned(),
                    http: "10.0.0.4:7104".to_owned(),
                    disk: Some(9),
                },
            ),
            (r#"{"expected_version":3,"change":{"promote":4}}"#, MemberChange::Promote(4)),
            (r#"{"expected_version":3,"change":{"remove":2}}"#, MemberChange::Remove(2)),
        ];
        for (text, change) in rows {
            let read: ChangeMembers = crate::json::read(text.as_bytes()).expect(text);
            assert_eq!(read, ChangeMembers { expected_version: 3, change });
            assert_eq!(serde_json::to_string(&read).expect("plain data"), text);
        }
    }

    #[test]
    fn what_is_wrong_with_a_change_is_said() {
        let rows = [
            (r#"{"change":{"promote":4}}"#, Code::MissingField, "expected_version"),
            (r#"{"expected_version":3}"#, Code::MissingField, "change"),
            (r#"{"expected_version":3,"change":{"swap":4}}"#, Code::WrongType, "promote"),
            (r#"{"expected_version":3,"change":{"promote":"four"}}"#, Code::WrongType, "change"),
            (r#"{"expected_version":3,"change":{"admit":{"node":4}}}"#, Code::MissingField, "peer"),
            (r#"{"expected_version":3,"change":{"admit":{"node":4,"peer":"x","port":1}}}"#, Code::UnknownField, "port"),
        ];
        for (text, code, part) in rows {
            let problem = crate::json::read::<ChangeMembers>(text.as_bytes()).expect_err(text);
            assert_eq!(problem.code, code, "{text}: {}", problem.detail);
            assert!(problem.detail.contains(part), "{text}: {}", problem.detail);
        }
        let problem = crate::json::read::<ChangeMode>(br#"{"mode":"king"}"#).expect_err("no mode");
        assert!(problem.detail.contains("leaderless"), "{}", problem.detail);
    }
}
