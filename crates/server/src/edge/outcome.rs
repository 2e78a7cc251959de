//! What the ledger answered, as HTTP shows it.

use api::code::Code;
use api::json::{self, rfc3339};
use api::problem::Problem;
use api::rejection;
use ledger::{Answer, BalancesAfter, HoldState, Movement, Outcome, TransferId, money};

/// A transfer that went through.
#[derive(Debug)]
pub struct Posted {
    pub debit: BalancesAfter,
    pub credit: BalancesAfter,
}

/// The money moved, or a problem that says why not. For calls whose only good end is a posted transfer.
pub fn posted(answer: &Answer, movement: &Movement) -> Result<Posted, Problem> {
    match &answer.outcome {
        Outcome::Posted { debit, credit, .. } => Ok(Posted { debit: *debit, credit: *credit }),
        Outcome::Rejected { rejection, time_ms } => {
            let problem = rejection::of_movement(rejection, movement);
            Err(told_once(problem, answer).with("time", rfc3339(*time_ms)))
        }
        Outcome::Voided { .. } => Err(told_once(rejection::of_movement(&ledger::Rejected::Voided, movement), answer)),
        // Under the id of a transfer the ledger answers with one of the above or with a rejection.
        Outcome::Opened { .. }
        | Outcome::Closed { .. }
        | Outcome::Held { .. }
        | Outcome::HoldPosted { .. }
        | Outcome::HoldVoided { .. }
        | Outcome::SettingChanged { .. }
        | Outcome::SecretChanged { .. }
        | Outcome::LockChanged { .. }
        | Outcome::Noted { .. }
        | Outcome::Fenced { .. }
        | Outcome::KeyClaimed { .. } => {
            Err(Problem::new(Code::IdReused, format!("the id {} stands for something else", movement.id)))
        }
    }
}

pub fn key_reused() -> Problem {
    Problem::new(
        Code::IdempotencyKeyReused,
        "this Idempotency-Key already stands for another request; nothing of this one was done, use a new key for it",
    )
}

/// Marks the problem of a repeated request.
pub fn told_once(problem: Problem, answer: &Answer) -> Problem {
    // A reused id is no repetition: it was another request that was answered before.
    if answer.replay && !matches!(problem.code, Code::IdReused | Code::IdempotencyKeyReused) {
        problem.with("replayed", true)
    } else {
        problem
    }
}

/// What an id stands for and what became of it, in the shape of `/v1`. Without a movement nothing was ordered.
pub fn transfer(id: TransferId, movement: Option<&Movement>, outcome: &Outcome) -> json::Transfer {
    let mut shape = movement.map_or_else(|| bare(id), ordered);
    shape.time = Some(rfc3339(outcome.time_ms()));
    match outcome {
        Outcome::Posted { debit, credit, .. } | Outcome::HoldPosted { debit, credit, .. } => {
            moved(&mut shape, movement, [debit, credit]);
        }
        Outcome::Held { debit, credit, now, .. } => {
            moved(&mut shape, movement, [debit, credit]);
            shape.outcome = of_hold(*now);
        }
        Outcome::Voided { .. } | Outcome::HoldVoided { .. } => shape.outcome = "voided",
        Outcome::Rejected { rejection, .. } => {
            let problem = match movement {
                Some(movement) => rejection::of_movement(rejection, movement),
                None => rejection::of_other(rejection),
            };
            shape.code = Some(problem.code.text());
            shape.detail = Some(problem.detail);
        }
        // These end nothing that the id of a transfer can name.
        Outcome::Opened { .. }
        | Outcome::Closed { .. }
        | Outcome::SettingChanged { .. }
        | Outcome::SecretChanged { .. }
        | Outcome::LockChanged { .. }
        | Outcome::Noted { .. }
        | Outcome::Fenced { .. }
        | Outcome::KeyClaimed { .. } => {
            shape.code = Some(Code::IdReused.text());
        }
    }
    shape
}

/// The label of an outcome in the metrics.
pub fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Opened { .. } => "opened",
        Outcome::Closed { .. } => "closed",
        Outcome::Posted { .. } => "posted",
        Outcome::Held { .. } => "held",
        Outcome::HoldPosted { .. } => "hold_posted",
        Outcome::HoldVoided { .. } => "hold_voided",
        Outcome::Voided { .. } => "voided",
        Outcome::SettingChanged { .. } => "setting_changed",
        Outcome::SecretChanged { .. } => "secret_changed",
        Outcome::LockChanged { .. } => "lock_changed",
        Outcome::Noted { .. } => "noted",
        Outcome::Fenced { .. } => "fenced",
        Outcome::KeyClaimed { .. } => "key_claimed",
        Outcome::Rejected { rejection, .. } => rejection::code(rejection).text(),
    }
}

/// An id and nothing else.
fn bare(id: TransferId) -> json::Transfer {
    json::Transfer {
        id: id.to_string(),
        outcome: "rejected",
        code: None,
        detail: None,
        debit_account: None,
        credit_account: None,
        amount: None,
        currency: None,
        reference: None,
        time: None,
        debit_balance: None,
        credit_balance: None,
        replayed: None,
    }
}

/// What was asked for, with the outcome still to be filled in.
fn ordered(movement: &Movement) -> json::Transfer {
    let Movement { id, debit, credit, amount, currency, reference } = *movement;
    json::Transfer {
        debit_account: Some(debit.to_string()),
        credit_account: Some(credit.to_string()),
        amount: Some(money::format(amount.minor(), currency)),
        currency: Some(currency.code()),
        reference: Some(reference.as_str().to_owned()),
        ..bare(id)
    }
}

fn moved(shape: &mut json::Transfer, movement: Option<&Movement>, [debit, credit]: [&BalancesAfter; 2]) {
    shape.outcome = "posted";
    let written = |after: &BalancesAfter| movement.map(|it| money::format_signed(after.balance(), it.currency));
    shape.debit_balance = written(debit);
    shape.credit_balance = written(credit);
}

fn of_hold(state: HoldState) -> &'static str {
    match state {
        HoldState::Held => "held",
        HoldState::Posted => "posted",
        HoldState::Voided => "voided",
    }
}
