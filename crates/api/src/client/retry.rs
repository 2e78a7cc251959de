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
enum Verdict {
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
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => status,
            },
            () = nodes.silence(number) => Status::deadline_exceeded("the node has fallen silent, and another leads"),
            () = tokio::time::sleep_until(attempt_ends) => Status::deadline_exceeded("the node did not answer in time"),
        };
        let mut wait = Duration::ZERO;
        match verdict(&status) {
            Verdict::Final(error) => return Err(error),
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

fn verdict(status: &Status) -> Verdict {
    if let Some(code) = Problem::code_of(status) {
        return match code {
            Code::Overloaded => Verdict::Later(Problem::wait_of(status).unwrap_or(PAUSE_MIN)),
            Code::Unavailable | Code::ShuttingDown | Code::TooManyConnections => Verdict::ElseWhere,
            Code::OutcomeUnknown | Code::Internal => Verdict::Open,
            code => Verdict::Final(ClientError::refused(code, status.message().to_owned())),
        };
    }
    if not_believed(status).is_some() {
        return Verdict::ElseWhere;
    }
    match status.code() {
        // Not from our code but from the connection: refused, reset in the middle, or silent.
        Grpc::Unavailable | Grpc::Cancelled | Grpc::Unknown | Grpc::DeadlineExceeded | Grpc::Internal => Verdict::Open,
        Grpc::ResourceExhausted => Verdict::Later(PAUSE_MIN),
        Grpc::Ok
        | Grpc::InvalidArgument
        | Grpc::NotFound
        | Grpc::AlreadyExists
        | Grpc::PermissionDenied
        | Grpc::FailedPrecondition
        | Grpc::Aborted
        | Grpc::OutOfRange
        | Grpc::Unimplemented
        | Grpc::DataLoss
        | Grpc::Unauthenticated => {
            Verdict::Final(ClientError::refused(Code::Internal, format!("{}: {}", status.code(), status.message())))
        }
    }
}

fn given_up(pursuit: Pursuit, may_be_done: bool, status: &Status) -> ClientError {
    let last = not_believed(status).unwrap_or_else(|| status.message().to_owned());
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
