//! Bytes of an input as what the gateway answers: see [`crate::fuzzing`].

use super::answer::{balance, history, payment, payments, signed_in};
use super::error::{GatewayError, NotSignedIn};
use super::walk::{Verdict, verdict};
use crate::code::Code;
use crate::grpc::id_bits;
use crate::problem::Problem;
use crate::proto;
use clearing::PaymentId;
use prost::Message;
use tonic::{Code as Grpc, Status};

/// What an answer means is clear, or it makes no sense, and that is said.
pub(crate) fn answer(choice: u8, message: &[u8]) {
    let problem = match choice % 4 {
        0 => proto::LoginResponse::decode(message).ok().and_then(|said| signed_in(said).err()),
        1 => proto::ViewBalanceResponse::decode(message).ok().and_then(|said| balance(&said).err()),
        2 => proto::TransactionHistoryResponse::decode(message).ok().and_then(|said| history(said).err()),
        _ => proto::PaymentStatus::decode(message).ok().and_then(of_payment),
    };
    assert!(problem.is_none_or(|problem| matches!(problem, GatewayError::Nonsense { .. })));
}

/// An answer about one payment never passes for one about another.
fn of_payment(said: proto::PaymentStatus) -> Option<GatewayError> {
    let other = PaymentId::new(7).expect("not nil");
    let about = said.id.as_ref().and_then(|id| PaymentId::new(id_bits(id)));
    if about != Some(other) {
        assert!(payment(said.clone(), other).is_err());
    }
    assert!(payments(vec![said.clone()], &[]).is_err() && payments(vec![said.clone()], &[other, other]).is_err());
    let about = about?;
    match payment(said, about) {
        Ok(answer) => {
            assert_eq!(answer.id, about);
            None
        }
        Err(error) => Some(error),
    }
}

/// A call whose end is open is never told to have ended.
pub(crate) fn status(status: &Status) {
    let verdict = verdict(status);
    let may_be_done = match Problem::code_of(status) {
        Some(code) => matches!(code, Code::OutcomeUnknown | Code::Internal),
        // What a connection that breaks, or an answer that cannot be read, ends as.
        None => [1, 2, 4, 8, 11, 13, 14, 15].map(Grpc::from_i32).contains(&status.code()),
    };
    assert_eq!(matches!(verdict, Verdict::Open), may_be_done, "{status:?}");
    if let Verdict::Final(GatewayError::NotSignedIn(why)) = verdict {
        assert!(why == NotSignedIn::Invalid || Problem::code_of(status) == Some(why.code()), "{status:?}");
    }
}
