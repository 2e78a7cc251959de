//! Bytes of an input as what a bank answers: see [`crate::fuzzing`].

use super::answer::{Outcome, account, answered, statement_entry};
use super::error::ClientError;
use super::retry::{Verdict, verdict};
use crate::code::Code;
use crate::problem::Problem;
use crate::proto;
use prost::Message;
use tonic::{Code as Grpc, Status};

/// What an answer means is clear, or it makes no sense, and that is said.
pub(crate) fn answer(choice: u8, message: &[u8]) {
    let problem = match choice % 3 {
        0 => {
            let Ok(said) = proto::TransferOutcome::decode(message) else { return };
            let read = answered(Some(&said));
            if let Ok(answered) = &read {
                let is_rejected = matches!(answered.outcome, Outcome::Rejected { .. });
                assert_eq!(is_rejected, said.kind() == proto::OutcomeKind::Rejected);
            }
            read.err()
        }
        1 => proto::Account::decode(message).ok().and_then(|said| account(&said).err()),
        _ => proto::StatementEntry::decode(message).ok().and_then(|said| statement_entry(&said).err()),
    };
    assert!(problem.is_none_or(|problem| matches!(problem, ClientError::Nonsense { .. })));
}

/// A call whose end is open is never told to have ended.
pub(crate) fn status(status: &Status) {
    let may_be_done = match Problem::code_of(status) {
        Some(code) => matches!(code, Code::OutcomeUnknown | Code::Internal),
        // What a connection that breaks, or an answer that cannot be read, ends as.
        None => [1, 2, 4, 8, 11, 13, 14, 15].map(Grpc::from_i32).contains(&status.code()),
    };
    assert_eq!(matches!(verdict(status), Verdict::Open), may_be_done, "{status:?}");
}
