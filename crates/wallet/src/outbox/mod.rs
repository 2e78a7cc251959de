//! The outbox on disk: one SQLite file per profile, one row per payment, kept after its end as the record of it.
//!
//! Whoever orders a payment has its row synced before [`Outbox::add`] returns. A change goes from the version that was
//! read to the next: it is refused when another process changed the row in between, so two clients on one outbox never
//! undo each other's steps. Each part of a client opens the file for itself; SQLite's WAL lets them read while one writes.
//!
//! What a row's state means, and what may follow it, is not here but in [`clearing::outbox`].

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod row;
mod schema;

pub use row::{Entry, Word};

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clearing::outbox::{DropAnswer, Item, ItemState};
use clearing::{NamedParty, PaymentId, Terms};
use rusqlite::{Connection, Row, named_params};

use crate::sign_in::sync_parent;
use row::{Columns, number};

/// Why the outbox cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error("the outbox {}: {source}", path.display())]
    Store { path: PathBuf, source: rusqlite::Error },
    #[error("the outbox {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the outbox {} was made by a newer rialto (version {found}, this one knows {}); use that one", path.display(), schema::VERSION)]
    Newer { path: PathBuf, found: i64 },
    /// No row of ours looks like that.
    #[error("the outbox {} is damaged: {field} of row {sequence} makes no sense; keep the file and report it", path.display())]
    Damaged { path: PathBuf, sequence: i64, field: &'static str },
    #[error("payment {id} is not in the outbox")]
    Unknown { id: PaymentId },
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Written {
    Yes,
    /// Somebody else changed the row first: read it again.
    Lost,
}

/// What became of a wish to drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DropResult {
    /// It was never sent, and never will be.
    Dropped(Entry),
    /// It may have arrived: the gateway is asked to decide void, and its answer counts.
    Asking(Entry),
    /// It has its outcome.
    TooLate(Entry),
}

/// The payments of one profile.
#[derive(Debug)]
pub struct Outbox {
    connection: Connection,
    path: PathBuf,
}

impl Outbox {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When it is no outbox, made by a newer version, or on a disk that fails.
    pub fn open(path: &Path) -> Result<Outbox, OutboxError> {
        let store = |source| OutboxError::Store { path: path.to_owned(), source };
        // Made here for its owner alone; SQLite gives its other files the same mode.
        let made = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        made.map_err(|source| OutboxError::File { path: path.to_owned(), source })?;
        let mut connection = Connection::open(path).map_err(store)?;
        let found = schema::prepare(&mut connection).map_err(store)?;
        if found > schema::VERSION {
            return Err(OutboxError::Newer { path: path.to_owned(), found });
        }
        sync_parent(path).map_err(|source| OutboxError::File { path: path.to_owned(), source })?;
        Ok(Outbox { connection, path: path.to_owned() })
    }

    /// Takes a payment in. It is on disk when this returns, and may only then be sent. Taking the same in again changes
    /// nothing.
    pub fn add(&mut self, terms: &Terms, created_ms: u64, deadline_ms: u64) -> Result<Entry, OutboxError> {
        let done = self.connection.execute(
            "INSERT INTO payment (id, payer, payee, amount_minor, currency, reference, created_ms, deadline_ms,
                state, attempts, next_try_ms, word_code, word_detail, seen, lease_until_ms, version)
             VALUES (:id, :payer, :payee, :amount, :currency, :reference, :created, :deadline,
                :state, 0, 0, '', '', 0, 0, 0) ON CONFLICT (id) DO NOTHING",
            named_params! {
                ":id": terms.id.get().to_be_bytes(),
                ":payer": terms.payer.to_string(),
                ":payee": terms.payee.to_string(),
                ":amount": terms.amount.minor().to_string(),
                ":currency": terms.currency.number(),
                ":reference": terms.reference.as_str(),
                ":created": number(created_ms),
                ":deadline": number(deadline_ms),
                ":state": row::QUEUED,
            },
        );
        done.map_err(|source| self.failed(source))?;
        self.entry(terms.id)
    }

    /// # Errors
    /// Among others when there is no such payment, or its row is damaged.
    pub fn entry(&self, id: PaymentId) -> Result<Entry, OutboxError> {
        let found = self.select("WHERE id = :key", &id.get().to_be_bytes())?.into_iter().next();
        found.ok_or(OutboxError::Unknown { id })?.map_err(|bad| self.damaged_row(&bad))
    }

    /// What is the matter with rows of payments without an end that cannot be read. They are left alone, and keep no other
    /// payment waiting: nothing below tells of them.
    pub fn damaged(&self) -> Result<Vec<OutboxError>, OutboxError> {
        let rows = self.select("WHERE (state <= 7 OR state > 10) AND :key ORDER BY sequence", &true)?;
        Ok(rows.into_iter().filter_map(Result::err).map(|bad| self.damaged_row(&bad)).collect())
    }

    /// The newest `limit` payments, oldest of them first.
    pub fn newest(&self, limit: u32) -> Result<Vec<Entry>, OutboxError> {
        let mut newest = self.good("ORDER BY sequence DESC LIMIT :key", &limit)?;
        newest.reverse();
        Ok(newest)
    }

    /// Payments without an end, oldest first.
    pub fn open_entries(&self) -> Result<Vec<Entry>, OutboxError> {
        self.good("WHERE state <= 7 AND :key ORDER BY sequence", &true)
    }

    /// What the customer was not shown yet: ends, and payments that wait for a sign-in.
    pub fn news(&self) -> Result<Vec<Entry>, OutboxError> {
        self.good("WHERE state >= 5 AND seen = :key ORDER BY sequence", &false)
    }

    /// The customer was shown this. What has happened since then stays news.
    pub fn mark_seen(&mut self, entry: &Entry) -> Result<(), OutboxError> {
        let done = self.connection.execute(
            "UPDATE payment SET seen = 1 WHERE id = :id AND version = :version",
            named_params! {
                ":id": entry.terms.id.get().to_be_bytes(),
                ":version": number(entry.item.lease.version),
            },
        );
        done.map(drop).map_err(|source| self.failed(source))
    }

    /// Writes what became of an entry, synced, unless somebody else changed it meanwhile.
    pub fn write(
        &mut self,
        before: &Entry,
        item: &Item,
        word: Option<&Word>,
        now_ms: u64,
    ) -> Result<Written, OutboxError> {
        let columns = Columns::of(before, item, word, now_ms);
        let done = self.connection.execute(
            "UPDATE payment SET state = :state, attempts = :attempts, next_try_ms = :next_try,
                first_sent_ms = :first_sent, word_code = :code, word_detail = :detail, seen = :seen,
                lease_holder = :holder, lease_until_ms = :until, version = :version
             WHERE id = :id AND version = :read",
            named_params! {
                ":state": columns.state,
                ":attempts": columns.attempts,
                ":next_try": columns.next_try_ms,
                ":first_sent": columns.first_sent_ms,
                ":code": columns.word.code,
                ":detail": columns.word.detail,
                ":seen": columns.seen,
                ":holder": columns.lease_holder,
                ":until": columns.lease_until_ms,
                ":version": number(item.lease.version),
                ":id": item.id.get().to_be_bytes(),
                ":read": number(before.item.lease.version),
            },
        );
        let changed = done.map_err(|source| self.failed(source))?;
        Ok(if changed == 1 { Written::Yes } else { Written::Lost })
    }

    /// Applies a step of the rules to whatever the item is by now, as often as somebody else gets in between.
    pub fn change(
        &mut self,
        id: PaymentId,
        word: Option<&Word>,
        now_ms: u64,
        step: impl Fn(Item) -> Item,
    ) -> Result<Entry, OutboxError> {
        loop {
            let before = self.entry(id)?;
            let item = step(before.item);
            if item == before.item {
                return Ok(before);
            }
            if self.write(&before, &item, word, now_ms)? == Written::Yes {
                return self.entry(id);
            }
        }
    }

    /// The customer does not want it any more. What was never sent is dropped; of what may have arrived the gateway is to
    /// be asked, which is the worker's errand.
    pub fn drop_asked(&mut self, id: PaymentId, now_ms: u64) -> Result<DropResult, OutboxError> {
        loop {
            let before = self.entry(id)?;
            let answer = before.item.drop_asked(now_ms);
            let item = match answer {
                DropAnswer::Dropped(item) | DropAnswer::Asking(item) | DropAnswer::TooLate(item) => item,
            };
            if item != before.item && self.write(&before, &item, None, now_ms)? == Written::Lost {
                continue;
            }
            let entry = self.entry(id)?;
            return Ok(match answer {
                DropAnswer::Dropped(_) => DropResult::Dropped(entry),
                DropAnswer::Asking(_) => DropResult::Asking(entry),
                DropAnswer::TooLate(_) => DropResult::TooLate(entry),
            });
        }
    }

    /// The customer wants it tried at once.
    pub fn hurry(&mut self, id: PaymentId, now_ms: u64) -> Result<Entry, OutboxError> {
        self.change(id, None, now_ms, |item| item.hurried(now_ms))
    }

    /// That payer has signed in: what waited for it goes on, with the same ids, and that it waited is no word on it any
    /// more. Says how many did.
    pub fn signed_in(&mut self, payer: &NamedParty, now_ms: u64) -> Result<usize, OutboxError> {
        let open = self.open_entries()?;
        let waiting = open.iter().filter(|entry| entry.waits_for_sign_in() && entry.terms.payer == *payer);
        let mut resumed = 0;
        for entry in waiting {
            // One that went on by itself meanwhile keeps what was said of it since.
            let resume = |item: Item| match matches!(item.state, ItemState::WaitingForSignIn(_)) {
                true => item.signed_in(now_ms),
                false => item,
            };
            self.change(entry.terms.id, Some(&Word::default()), now_ms, resume)?;
            resumed += 1;
        }
        Ok(resumed)
    }

    /// Rows by the rest of a query with one parameter, `:key`, save those that are damaged.
    fn good(&self, rest: &str, key: &dyn rusqlite::ToSql) -> Result<Vec<Entry>, OutboxError> {
        Ok(self.select(rest, key)?.into_iter().filter_map(Result::ok).collect())
    }

    fn damaged_row(&self, bad: &row::Bad) -> OutboxError {
        OutboxError::Damaged { path: self.path.clone(), sequence: bad.sequence, field: bad.field }
    }

    fn select(&self, rest: &str, key: &dyn rusqlite::ToSql) -> Result<Vec<Result<Entry, row::Bad>>, OutboxError> {
        let sql = format!("SELECT {} FROM payment {rest}", row::COLUMNS);
        let read = || {
            let mut statement = self.connection.prepare(&sql)?;
            let rows = statement.query_map(named_params! { ":key": key }, |row: &Row<'_>| row::read(row))?;
            rows.collect::<Result<Vec<_>, rusqlite::Error>>()
        };
        read().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: rusqlite::Error) -> OutboxError {
        OutboxError::Store { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests;
