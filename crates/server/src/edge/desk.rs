//! What every handler has at hand: the bank, the guard, the figures; and the few steps that all of them take.

use std::collections::BTreeMap;
use std::time::Instant;

use api::code::Code;
use api::idempotency::request_digest;
use api::problem::Problem;
use axum::http::HeaderMap;
use ledger::{AccountId, Answer, Command, Currency, Outcome, Rejected, Request};

use super::guard::Guard;
use super::identity::{self, IdField, Identity};
use super::metrics::Metrics;
use super::outcome;
use super::port::{BankPort, SubmitError, View};

/// The state behind the routes.
#[derive(Debug, Clone)]
pub struct Desk<B> {
    pub bank: B,
    pub guard: Guard,
    pub metrics: Metrics,
}

impl<B: BankPort> Desk<B> {
    /// The id under which a call of that route and meaning works: the caller's own, what its Idempotency-Key stands for, or a
    /// new one. A key is claimed in the group before anything of the call is proposed.
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        (field, given): (IdField, Option<u128>),
        (route, meaning): (&str, &[u8]),
    ) -> Result<Identity, Problem> {
        match (identity::key_of(headers)?, given) {
            (Some(_), Some(_)) => Err(identity::key_and_id(field.name)),
            (Some(key), None) => {
                let id = self.claim(key.number(self.guard.scope()), request_digest(route, meaning)).await?;
                Ok(Identity::keyed(field, key, id))
            }
            (None, given) => Ok(Identity::unkeyed(field, given)),
        }
    }

    /// What a key stands for: the base of its request's ids. The first request that comes with it settles that.
    pub async fn claim(&self, key: u128, digest: u128) -> Result<u128, Problem> {
        let command = Command::ClaimKey { key, digest, base: api::new_id() };
        let answers = self.submit(Request::single(command)).await.map_err(|error| identity::not_claimed(&error))?;
        match answers.first().map(|answer| answer.outcome) {
            Some(Outcome::KeyClaimed { base, .. }) => Ok(base),
            Some(Outcome::Rejected { rejection: Rejected::KeyReused, .. }) => Err(outcome::key_reused()),
            Some(Outcome::Rejected { rejection, .. }) => Err(api::rejection::of_other(&rejection)),
            Some(_) | None => Err(Problem::new(Code::Internal, "the node gave no answer to a key")),
        }
    }

    /// Submits one command and gives its answer.
    pub async fn submit_one(&self, command: Command, identity: &Identity) -> Result<Answer, Problem> {
        let answers = self.submit(Request::single(command)).await.map_err(|error| identity.unanswered(&error))?;
        answers.into_iter().next().ok_or_else(|| Problem::new(Code::Internal, "the node gave no answer to a command"))
    }

    /// Submits a request and counts its outcomes.
    pub async fn submit(&self, request: Request) -> Result<Vec<Answer>, SubmitError> {
        if self.bank.life().restoring {
            return Err(SubmitError::NotProposed { reason: RESTORING.to_owned(), retry_after_ms: RESTORING_RETRY_MS });
        }
        let budget = self.guard.rejections();
        budget.admit(Instant::now()).map_err(|retry_after_ms| SubmitError::Overloaded { retry_after_ms })?;
        let answers = self.bank.submit(request).await?;
        let rejected = |answer: &&Answer| !answer.replay && answer.outcome.rejection().is_some();
        let fresh = answers.iter().filter(rejected).count() as u64;
        if fresh > 0 {
            budget.spend(Instant::now(), fresh);
        }
        let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
        for answer in &answers {
            *counts.entry(outcome::label(&answer.outcome)).or_default() += 1;
        }
        for (label, number) in counts {
            self.metrics.count_outcomes(label, number);
        }
        Ok(answers)
    }

    /// A linearizable look, with the problem of a look that failed.
    pub async fn read<T, F>(&self, look: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&dyn View) -> T + Send + 'static,
    {
        if self.bank.life().restoring {
            return Err(restoring());
        }
        self.bank.read(look).await.map_err(|error| error.problem())
    }

    /// The currencies of accounts. A currency never changes, so this node's own books are asked first, however old, and
    /// the group only for accounts that they lack.
    pub async fn currencies(&self, accounts: Vec<AccountId>) -> Result<BTreeMap<AccountId, Currency>, Problem> {
        let asked = accounts.clone();
        let mut known =
            self.bank.peek(move |view| currencies_in(view, &asked)).await.map_err(|error| error.problem())?;
        let missing: Vec<AccountId> = accounts.into_iter().filter(|account| !known.contains_key(account)).collect();
        if !missing.is_empty() {
            known.extend(self.read(move |view| currencies_in(view, &missing)).await?);
        }
        Ok(known)
    }

    /// The currency of one account, or `unknown_account`.
    pub async fn currency(&self, account: AccountId) -> Result<Currency, Problem> {
        self.currencies(vec![account]).await?.remove(&account).ok_or_else(|| unknown_account(account))
    }
}

fn currencies_in(view: &dyn View, accounts: &[AccountId]) -> BTreeMap<AccountId, Currency> {
    let currency = |account: &AccountId| match account.internal() {
        // The bank's own accounts come to be on first use; their ids say what they are.
        Some((_, currency)) => Some(currency),
        None => view.ledger().account(*account).map(|account| account.currency),
    };
    accounts.iter().filter_map(|account| Some((*account, currency(account)?))).collect()
}

const RESTORING: &str =
    "nothing was proposed: the bank was restored from a backup and waits for its payments from the gateway";
const RESTORING_RETRY_MS: u64 = 1_000;

/// Nobody but the gateway is served before the books are whole again.
pub(super) fn restoring() -> Problem {
    Problem::new(Code::BankRestoring, RESTORING).retry_after_ms(RESTORING_RETRY_MS)
}

pub fn unknown_account(account: AccountId) -> Problem {
    Problem::new(
        Code::UnknownAccount,
        format!("there is no account {account} in this bank; open it first or check the id"),
    )
    .with("account_id", account.to_string())
}
