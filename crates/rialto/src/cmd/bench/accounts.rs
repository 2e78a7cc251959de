//! The accounts of a load: opened and funded before, counted after.

use super::report::Screen;
use api::client::{Batch, Client, ClientError, Outcome, Transfer, new_account_id, new_transfer_id};
use api::json::BENCH_OWNER;
use ledger::{AccountId, Amount, Currency};
use std::sync::Arc;
use tokio::task::JoinSet;

/// What every account is given, in minor units: more than a load can take from it.
const FUNDS: u128 = 1_000_000_000_000;
/// Calls under way at once while accounts are made.
const AT_ONCE: usize = 64;

/// Accounts with money on them.
#[derive(Debug)]
pub(crate) struct Accounts {
    ids: Arc<[AccountId]>,
}

/// What the bank's books say after the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Books {
    /// Accounts of the bank, its own included.
    pub(crate) accounts: u64,
    /// Sum of all balances: zero, or money was made or lost.
    pub(crate) sum: i128,
    /// What the load's accounts have together, and what they were given.
    pub(crate) held: i128,
    pub(crate) given: i128,
}

impl Books {
    pub(crate) fn balance(&self) -> bool {
        self.sum == 0 && self.held == self.given
    }
}

impl Accounts {
    pub(crate) async fn open(client: &Client, count: u32, screen: &Screen) -> Result<Self, ClientError> {
        let ids: Arc<[AccountId]> = (0..count).map(|_| new_account_id()).collect();
        let mut calls = JoinSet::new();
        for (index, chunk) in ids.chunks(Client::BATCH_MAX).enumerate() {
            let (client, chunk) = (client.clone(), chunk.to_vec());
            calls.spawn(async move { client.open_accounts(&chunk, BENCH_OWNER, Currency::EUR).await });
            if calls.len() >= AT_ONCE {
                finished(calls.join_next().await)?;
            }
            screen.progress("opening accounts", index * Client::BATCH_MAX, ids.len());
        }
        while let Some(call) = calls.join_next().await {
            finished(Some(call))?;
        }
        let accounts = Self { ids };
        accounts.fund(client, screen).await?;
        Ok(accounts)
    }

    async fn fund(&self, client: &Client, screen: &Screen) -> Result<(), ClientError> {
        let amount = Amount::new(FUNDS).expect("in range");
        let vault = AccountId::vault(Currency::EUR);
        for (index, chunk) in self.ids.chunks(Client::BATCH_MAX).enumerate() {
            let fund =
                |account: &AccountId| Transfer { id: new_transfer_id(), ..Transfer::new(vault, *account, amount) };
            let transfers: Vec<Transfer> = chunk.iter().map(fund).collect();
            let answers = client.transfer_batch(&transfers, Batch::Independent).await?;
            let all_posted = answers.iter().all(|answer| matches!(answer.outcome, Outcome::Posted { .. }));
            assert!(all_posted, "a vault pays whatever is asked");
            screen.progress("funding them", index * Client::BATCH_MAX, self.ids.len());
        }
        Ok(())
    }

    /// The accounts that a load moves money among.
    pub(crate) fn among(&self, hot: Option<u32>) -> Arc<[AccountId]> {
        match hot {
            Some(hot) => self.ids.iter().take(hot as usize).copied().collect(),
            None => Arc::clone(&self.ids),
        }
    }

    /// Reads every account of the bank.
    pub(crate) async fn check(&self, client: &Client, screen: &Screen) -> Result<Books, ClientError> {
        let mut own: Vec<AccountId> = self.ids.to_vec();
        own.sort_unstable();
        let given = i128::try_from(FUNDS * own.len() as u128).expect("far below the largest");
        let mut books = Books { accounts: 0, sum: 0, held: 0, given };
        let mut cursor = String::new();
        loop {
            let page = client.accounts(&cursor, 1_000).await?;
            for account in &page.accounts {
                books.accounts += 1;
                books.sum += account.balance;
                if own.binary_search(&account.id).is_ok() {
                    books.held += account.balance;
                }
            }
            screen.progress("checking the books", usize::try_from(books.accounts).unwrap_or(0), own.len());
            if page.next_cursor.is_empty() {
                return Ok(books);
            }
            cursor = page.next_cursor;
        }
    }
}

fn finished<T>(call: Option<Result<Result<T, ClientError>, tokio::task::JoinError>>) -> Result<(), ClientError> {
    match call {
        Some(done) => done.expect("calls do not panic").map(drop),
        None => Ok(()),
    }
}
