//! Bytes of an input as a row of the outbox: see [`crate::fuzzing`]. The file around it is read by SQLite.

use super::row::{self, Columns};
use clearing::outbox::{Attempt, DropAnswer};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// A time of this century, beside which those of the row may be anything.
const NOW_MS: u64 = 1_790_000_000_000;

/// A row whose fields have whatever type and value is a payment, or says which field is wrong. Whatever may happen to the
/// payment next can be written again.
pub(crate) fn row(bytes: &[u8]) {
    let mut rest = bytes;
    let (mut values, mut texts) = (Vec::new(), Vec::new());
    for column in row::COLUMNS.split(", ") {
        let (value, text) = field(&mut rest);
        values.push(value);
        texts.push(format!("{text} AS {column}"));
    }
    let connection = Connection::open_in_memory().expect("there is memory");
    let mut statement = connection.prepare(&format!("SELECT {}", texts.join(", "))).expect("well formed");
    let read = statement.query_row(params_from_iter(values), row::read);
    let entry = match read {
        Ok(Ok(entry)) => entry,
        Ok(Err(bad)) => return assert!(row::COLUMNS.contains(bad.field), "{bad:?}"),
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let item = entry.item;
    let dropped = match item.drop_asked(NOW_MS) {
        DropAnswer::Dropped(item) | DropAnswer::Asking(item) | DropAnswer::TooLate(item) => item,
    };
    let leased = item.lease(1, NOW_MS, 1_000).unwrap_or(item);
    let sent = leased.sending(NOW_MS);
    let heard = [Attempt::NotConnected, Attempt::NoAnswer].map(|attempt| sent.heard(attempt));
    let others = [item, dropped, leased, sent, item.signed_in(NOW_MS), item.hurried(NOW_MS), item.released(1)];
    for item in others.iter().chain(&heard) {
        let columns = Columns::of(&entry, item, None, NOW_MS);
        assert!((1..=10).contains(&columns.state), "{item:?}");
    }
    let (_, _) = (entry.attempts(), entry.next_try_ms());
}

/// One field of any of SQLite's types, and how it stands in the query.
fn field(rest: &mut &[u8]) -> (Value, &'static str) {
    let mut take = |length: usize| {
        let (field, behind) = rest.split_at(length.min(rest.len()));
        *rest = behind;
        field
    };
    let kind = take(1).first().copied().unwrap_or(0);
    let length = usize::from(kind >> 3);
    match kind % 8 {
        0 => (Value::Null, "?"),
        1 => (Value::Real(f64::from(kind)), "?"),
        2 => (Value::Integer(i64::from(kind >> 3)), "?"),
        3 => {
            let mut number = [0; 8];
            let given = take(8);
            number[..given.len()].copy_from_slice(given);
            (Value::Integer(i64::from_le_bytes(number)), "?")
        }
        4 => (Value::Blob(take(16).to_vec()), "?"),
        5 => (Value::Blob(take(length).to_vec()), "?"),
        // Also what is not UTF-8: SQLite does not look.
        6 => (Value::Blob(take(length).to_vec()), "CAST(? AS TEXT)"),
        _ => (Value::Text(String::from_utf8_lossy(take(length)).into_owned()), "?"),
    }
}
