//! `/v1/limits`: what one transfer may move and one customer can be debited on a day. Each change is an entry in the log, so
//! that every node decides alike.

use api::field;
use api::json::{ChangeLimit, LimitInForce, LimitKind, LimitsInForce};
use api::problem::Problem;
use api::rejection;
use axum::extract::State;
use axum::response::Response;
use ledger::{Amount, Command, Currency, Outcome, Rejected, Request, SettingChange, Settings, money};

use super::answer::{self, Freshness, Refusal};
use super::body::Call;
use super::desk::Desk;
use super::identity::not_done;
use super::port::BankPort;

/// A change that names no version is made again when another came first.
const ATTEMPTS: usize = 4;

/// `GET /v1/limits`.
pub(super) async fn list<B: BankPort>(State(desk): State<Desk<B>>) -> Result<Response, Refusal> {
    Ok(answer::ok(&in_force(&desk).await?, Freshness::First))
}

/// `POST /v1/limits`.
pub(super) async fn change<B: BankPort>(State(desk): State<Desk<B>>, call: Call) -> Result<Response, Refusal> {
    let ChangeLimit { limit, amount, currency, expected_version } = call.json()?;
    let currency = currency.as_deref().map_or(Ok(Currency::EUR), |code| field::currency("currency", code))?;
    let amount = amount.as_ref().map(|digits| field::amount("amount", digits, currency)).transpose()?;
    let change = match limit {
        LimitKind::DailyDebit => SettingChange::DailyDebitLimit { currency, limit: amount },
        LimitKind::Transfer => SettingChange::TransferLimit { currency, limit: amount },
    };
    let mut attempts = 0;
    let replay = loop {
        attempts += 1;
        let version = match expected_version {
            Some(version) => version,
            None => in_force(&desk).await?.version,
        };
        let request = Request::single(Command::ChangeSetting { expected_version: version, change });
        let answers = desk.bank.submit(request).await.map_err(|error| not_done(&error))?;
        let done = answers
            .first()
            .copied()
            .ok_or_else(|| Problem::new(api::code::Code::Internal, "the node gave no answer to a command"))?;
        match done.outcome {
            Outcome::Rejected { rejection: Rejected::VersionMismatch { .. }, .. }
                if expected_version.is_none() && attempts < ATTEMPTS => {}
            Outcome::Rejected { rejection, .. } => return Err(rejection::of_other(&rejection).into()),
            _ => break done.replay,
        }
    };
    Ok(answer::ok(&in_force(&desk).await?, Freshness::of(replay)))
}

async fn in_force<B: BankPort>(desk: &Desk<B>) -> Result<LimitsInForce, Problem> {
    desk.read(|view| shown(view.ledger().settings())).await
}

fn shown(settings: &Settings) -> LimitsInForce {
    let row = |limit: LimitKind| {
        move |(currency, amount): (Currency, Amount)| LimitInForce {
            limit,
            currency: currency.code(),
            amount: money::format(amount.minor(), currency),
        }
    };
    let daily = settings.daily_debit_limits().map(row(LimitKind::DailyDebit));
    let limits = daily.chain(settings.transfer_limits().map(row(LimitKind::Transfer))).collect();
    LimitsInForce { version: settings.version(), limits }
}
