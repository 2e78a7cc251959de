//! What a caller is told of a payment: never "failed" where it may yet be paid.

use crate::outcome::{Answer, Delivery, Reason, Refusal, Status};

/// The answer to a customer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// The decision is chosen: it is paid, and both banks know it, or will.
    Paid { delivery: Delivery },
    /// It moves no money, ever.
    Refused(Reason),
    /// It was not taken and its id is not burnt: it may be sent again as it is.
    NotTaken(Refusal),
    /// It may be paid or not: a retry of the id, or asking for void, tells.
    OutcomeUnknown,
    /// The caller is still waiting.
    NotYet,
}

/// How long a caller waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    Waiting,
    /// The caller's time is over.
    Over,
}

/// What was done about a payment, as far as this node knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Nothing was proposed, or every proposal was refused before it could be chosen.
    NeverProposed(Refusal),
    /// It was proposed and no answer has come: it may be chosen later.
    Proposed,
    Answered(Answer),
}

/// What to say now, if anything.
pub fn told(progress: Progress, patience: Patience) -> Told {
    let unknown = match patience {
        Patience::Waiting => Told::NotYet,
        Patience::Over => Told::OutcomeUnknown,
    };
    match progress {
        Progress::NeverProposed(refusal) | Progress::Answered(Answer::Refused(refusal)) => Told::NotTaken(refusal),
        Progress::Proposed => unknown,
        Progress::Answered(answer @ Answer::Done { .. }) => match answer.status() {
            Some(Status::Paid { delivery }) => Told::Paid { delivery },
            Some(Status::Refused { reason, .. }) => Told::Refused(reason),
            Some(Status::Undecided) | None => unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    #[test]
    fn a_call_that_runs_out_of_time_is_unknown_and_never_failed() {
        let answered = |status| Progress::Answered(Answer::Done { outcome: Outcome::Payment(status), replay: false });
        let (done, pending) = (Delivery::Done, Delivery::Pending);
        let funds = Reason::InsufficientFunds { available: 1 };
        let rows = [
            (Progress::Proposed, Patience::Waiting, Told::NotYet),
            (Progress::Proposed, Patience::Over, Told::OutcomeUnknown),
            (answered(Status::Undecided), Patience::Waiting, Told::NotYet),
            (answered(Status::Undecided), Patience::Over, Told::OutcomeUnknown),
            (answered(Status::Paid { delivery: pending }), Patience::Over, Told::Paid { delivery: pending }),
            (answered(Status::Paid { delivery: done }), Patience::Waiting, Told::Paid { delivery: done }),
            (answered(Status::Refused { reason: funds, delivery: pending }), Patience::Over, Told::Refused(funds)),
            (Progress::Answered(Answer::Refused(Refusal::IdReused)), Patience::Over, Told::NotTaken(Refusal::IdReused)),
            (Progress::NeverProposed(Refusal::Full), Patience::Over, Told::NotTaken(Refusal::Full)),
        ];
        for (progress, patience, expected) in rows {
            assert_eq!(told(progress, patience), expected, "{progress:?} {patience:?}");
        }
    }
}
