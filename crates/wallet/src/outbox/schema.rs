//! The table, and how it comes to be. Its version is SQLite's `user_version`; a later one is made from this by steps.

use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

/// What this program reads and writes.
pub(super) const VERSION: i64 = 1;

/// Another process holds the file for one sync at a time; this is many.
const PATIENCE: Duration = Duration::from_secs(10);

/// States are numbered in `row.rs`: up to 7 without an end, from 5 on worth telling.
const FIRST: &str = "
    CREATE TABLE payment (
        sequence       INTEGER PRIMARY KEY AUTOINCREMENT,
        id             BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
        payer          TEXT    NOT NULL,
        payee          TEXT    NOT NULL,
        amount_minor   TEXT    NOT NULL,
        currency       INTEGER NOT NULL,
        reference      TEXT    NOT NULL,
        created_ms     INTEGER NOT NULL,
        deadline_ms    INTEGER NOT NULL,
        state          INTEGER NOT NULL,
        attempts       INTEGER NOT NULL,
        next_try_ms    INTEGER NOT NULL,
        first_sent_ms  INTEGER,
        word_code      TEXT    NOT NULL,
        word_detail    TEXT    NOT NULL,
        seen           INTEGER NOT NULL,
        lease_holder   INTEGER,
        lease_until_ms INTEGER NOT NULL,
        version        INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX payment_open ON payment (sequence) WHERE state <= 7;
    CREATE INDEX payment_news ON payment (sequence) WHERE state >= 5 AND seen = 0;
    PRAGMA user_version = 1;
";

/// Sets the connection up and makes the table where it is missing. Returns the version that is there.
pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<i64> {
    connection.busy_timeout(PATIENCE)?;
    to_wal(connection)?;
    // FULL: a commit is on disk when it returns, and not only at the next checkpoint.
    connection.pragma_update(None, "synchronous", "FULL")?;
    let version = |connection: &Connection| connection.query_row("PRAGMA user_version", (), |row| row.get::<_, i64>(0));
    if version(connection)? == 0 {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have made it while this one waited for its turn.
        if version(&transaction)? == 0 {
            transaction.execute_batch(FIRST)?;
        }
        transaction.commit()?;
    }
    version(connection)
}

/// Two processes that make a new file at the same time are in each other's way here, and SQLite does not wait for this lock.
fn to_wal(connection: &Connection) -> rusqlite::Result<()> {
    let begun = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            done => return done,
        }
    }
}
