//! What every handler has at hand: the bank, the guard, the figures; and the few steps that all of them take.

use std::collections::BTreeMap;
use std::time::Instant;

use api::code::Code;
use api::problem::Problem;
use ledger::{AccountId, Answer, Command, Currency, Request};

use super::guard::Guard;
use super::identity::{Identity, Place};
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
    /// Whose idempotency keys, of which route.
    pub fn place<'a>(&self, route: &'a str) -> Place<'a> {
        Place { scope: self.guard.scope(), route }
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
