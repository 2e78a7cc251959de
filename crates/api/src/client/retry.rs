//! A call is repeated until it has an outcome or its deadline has passed.
//!
//! Repeating is safe because every call carries its ids. After a failure the next node is asked at once; only when all
//! have failed in a row does the client wait, a little longer each time. A node that is overloaded is given the time
//! that it asks for, one that has fallen silent only until it is seen that another leads.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code as Grpc, Response, Status};

use super::Options;
use super::error::{ClientError, Work};
use super::nodes::{Bank, Nodes};
use super::secured::not_believed;
use super::words::{self, was_not_connected};
use crate::code::Code;
use crate::problem::Problem;
use ledger::{AccountId, TransferId};

const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// What a call works on, and so what is open when it ends without an answer.
#[derive(Debug)]
pub(super) struct Pursuit {
    work: Option<Work>,
}

impl Pursuit {
    /// Changes what these ids stand for.
    pub(super) fn moving(ids: impl IntoIterator<Item = TransferId>) -> Pursuit {
        Pursuit { work: Some(Work::Transfers(ids.into_iter().collect())) }
    }

    pub(super) fn opening(id: AccountId) -> Pursuit {
        Pursuit { work: Some(Work::Account(id)) }
    }

    /// Changes nothing.
    pub(super) fn reading() -> Pursuit {
        Pursuit { work: None }
    }
}

/// What a failed attempt means.
pub(super) enum Verdict {
    /// The bank's last word.
    Final(ClientError),
    /// This node cannot; another may. Nothing was proposed.
    ElseWhere,
    /// This node can, later. Nothing was proposed.
    Later(Duration),
    /// It may have been proposed.
    Open,
}

pub(super) async fn pursue<T, F>(
    nodes: &Nodes,
    options: &Options,
    pursuit: Pursuit,
    call: impl Fn(Bank) -> F,
) -> Result<T, ClientError>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let deadline = Instant::now() + options.deadline;
    let mut may_be_done = false;
    let mut failures = 0;
    let mut pause = PAUSE_MIN;
    loop {
        let (number, bank) = nodes.current();
        let attempt_ends = deadline.min(Instant::now() + options.attempt_timeout);
        let status = tokio::select! {
            answer = call(bank) => match answer {
                Ok(response) => {
                    options.cluster.iter().for_each(|pin| pin.learn(response.metadata()));
                    return Ok(response.into_inner());
                }
                Err(status) => status,
            },
            () = nodes.silence(number) => Status::deadline_exceeded("the node has fallen silent, and another leads"),
            () = tokio::time::sleep_until(attempt_ends) => Status::deadline_exceeded(words::SILENT),
        };
        let mut wait = Duration::ZERO;
        match verdict(&status) {
            Verdict::Final(error) => return Err(last_word(error, pursuit, may_be_done)),
            Verdict::Later(asked) => wait = asked.min(PAUSE_MAX),
            Verdict::ElseWhere => nodes.turn_from(number),
            Verdict::Open => {
                may_be_done = true;
                nodes.turn_from(number);
            }
        }
        failures += 1;
        if failures % nodes.len() == 0 {
            wait = wait.max(jittered(pause));
            pause = (pause * 2).min(PAUSE_MAX);
        }
        if Instant::now() + wait >= deadline {
            return Err(given_up(pursuit, may_be_done, &status));
        }
        tokio::time::sleep(wait).await;
    }
}

pub(super) fn verdict(status: &Status) -> Verdict {
    if let Some(code) = Problem::code_of(status) {
        return match code {
            Code::Overloaded => Verdict::Later(Problem::wait_of(status).unwrap_or(PAUSE_MIN)),
            Code::Unavailable | Code::Mending | Code::ShuttingDown | Code::TooManyConnections => Verdict::ElseWhere,
            Code::OutcomeUnknown | Code::Internal => Verdict::Open,
            code => Verdict::Final(ClientError::Refused {
                code,
                detail: status.message().to_owned(),
                retry_after_ms: Problem::wait_of(status).and_then(|wait| u64::try_from(wait.as_millis()).ok()),
            }),
        };
    }
    if was_not_connected(status) || not_believed(status).is_some() {
        return Verdict::ElseWhere;
    }
    match status.code() {
        // Not from our code but from the connection: reset in the middle, or silent; or an answer came and could not
        // be read, which says nothing of what it was the answer to.
        Grpc::Unavailable
        | Grpc::Cancelled
        | Grpc::Unknown
        | Grpc::DeadlineExceeded
        | Grpc::Internal
        | Grpc::ResourceExhausted
        | Grpc::OutOfRange
        | Grpc::DataLoss => Verdict::Open,
        Grpc::Ok
        | Grpc::InvalidArgument
        | Grpc::NotFound
        | Grpc::AlreadyExists
        | Grpc::PermissionDenied
        | Grpc::FailedPrecondition
        | Grpc::Aborted
        | Grpc::Unimplemented
        | Grpc::Unauthenticated => {
            Verdict::Final(ClientError::refused(Code::Internal, format!("{}: {}", status.code(), status.message())))
        }
    }
}

/// Whether a refusal is the word on the id itself, an outcome that stays with it, and so holds for every attempt. Any other is
/// of this attempt (its token, its time, the node or the balancer that it met, how many there were): it says nothing of one
/// before it, which may have been done.
pub(super) fn is_of_id(code: Code) -> bool {
    // Both are of what is in force at the moment, which an attempt before may itself have changed.
    let is_of_moment = matches!(code, Code::MoreThanOwed | Code::VersionMismatch);
    code.row().http == 422 && !is_of_moment
}

fn last_word(error: ClientError, pursuit: Pursuit, may_be_done: bool) -> ClientError {
    match (error, pursuit.work) {
        (ClientError::Refused { code, detail, .. }, Some(work)) if may_be_done && !is_of_id(code) => {
            ClientError::OutcomeUnknown { work, last: detail }
        }
        (error, Some(_) | None) => error,
    }
}

fn given_up(pursuit: Pursuit, may_be_done: bool, status: &Status) -> ClientError {
    let last = words::of_status(status);
    match pursuit.work {
        Some(work) if may_be_done => ClientError::OutcomeUnknown { work, last },
        Some(_) | None => ClientError::Unavailable { last },
    }
}

/// Between half of a pause and all of it, so that callers who failed together do not come back together.
pub(super) fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 1024;
    pause / 2 + pause / 2 * u32::try_from(random).expect("below 1024") / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What tonic makes of an answer that is too large, and of a stream that HTTP/2 cuts off (ENHANCE_YOUR_CALM).
    #[test]
    fn an_answer_that_cannot_be_read_leaves_open_what_was_done() {
        for code in [Grpc::ResourceExhausted, Grpc::OutOfRange, Grpc::DataLoss, Grpc::Internal, Grpc::Unavailable] {
            let status = Status::new(code, "decoded message length too large");
            assert!(matches!(verdict(&status), Verdict::Open), "{code:?}");
        }
        let busy = Problem::new(Code::Overloaded, "too much").retry_after_ms(50).to_status();
        assert!(matches!(verdict(&busy), Verdict::Later(_)), "a node of ours says so itself");
    }

    #[test]
    fn a_refusal_of_this_attempt_does_not_deny_one_before_it() {
        let moving = || Pursuit::moving([TransferId::new(7).expect("not nil")]);
        let refused = |code| ClientError::refused(code, "no".to_owned());
        let is_unknown = |error: ClientError| matches!(error, ClientError::OutcomeUnknown { .. });
        let of_attempt = [
            Code::OtherCluster,
            Code::Unauthorized,
            Code::TooManyPayments,
            Code::BeyondRepair,
            Code::NotPermitted,
            Code::NoSuchPath,
            Code::RequestTimeout,
            Code::BrokenRequest,
            Code::DeadlinePassed,
            Code::MoreThanOwed,
            // What a balancer answers, without a code of ours.
            Code::Internal,
        ];
        for code in of_attempt {
            assert!(is_unknown(last_word(refused(code), moving(), true)), "{code:?}");
            assert!(!is_unknown(last_word(refused(code), moving(), false)), "{code:?}: nothing was sent before");
            assert!(!is_unknown(last_word(refused(code), Pursuit::reading(), true)), "{code:?}: nothing can be done");
        }
        // What stays with the id: whoever was asked before would have said the same.
        for code in [Code::IdReused, Code::InsufficientFunds, Code::Voided] {
            assert!(!is_unknown(last_word(refused(code), moving(), true)), "{code:?}");
        }
    }
}
