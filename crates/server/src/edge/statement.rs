//! An account's statement: its records in the journal, newest first, each leading to the one before it.

use api::code::Code;
use api::problem::Problem;
use ledger::{AccountId, Currency, Direction, Record, StatementLine};

use super::port::{Unreadable, View};

/// One page of a statement.
#[derive(Debug)]
pub struct Lines {
    pub currency: Currency,
    pub lines: Vec<StatementLine>,
    /// Place of the next older line, if there is one.
    pub next: Option<u64>,
}

/// At most `limit` lines from the newest, or from the one that a cursor names; `None` for an unknown account.
///
/// A cursor that names a record of another account shows nothing: no statement leads there.
pub fn lines(
    view: &dyn View,
    account: AccountId,
    from: Option<u64>,
    limit: usize,
) -> Result<Option<Lines>, Unreadable> {
    let Some(found) = view.ledger().account(account) else { return Ok(None) };
    let newest = found.last_place;
    // Only places up to the newest of this account can be on its statement; others may not even exist.
    let mut next = match (from, newest) {
        (Some(from), Some(newest)) if from <= newest => Some(from),
        (Some(_), _) => None,
        (None, newest) => newest,
    };
    let mut lines = Vec::new();
    while let Some(place) = next.filter(|_| lines.len() < limit) {
        let bytes = view.record(place)?;
        let line = Record::decode(&bytes).ok().and_then(|record| record.statement_line(account));
        next = line.as_ref().and_then(|line| line.previous);
        lines.extend(line);
    }
    Ok(Some(Lines { currency: found.currency, lines, next }))
}

/// What a line did to the balance: nothing, for a hold that is placed or let go.
pub fn change(line: &StatementLine) -> i128 {
    if !line.kind.moved_money() {
        return 0;
    }
    let amount = i128::try_from(line.movement.amount.minor()).expect("an amount is below 2^96");
    match line.direction {
        Direction::Debit => -amount,
        Direction::Credit => amount,
    }
}

/// A place as the text that callers hand back.
pub fn cursor(place: u64) -> String {
    format!("p{place}")
}

pub fn parse_cursor(text: &str) -> Result<u64, Problem> {
    text.strip_prefix('p').and_then(|digits| digits.parse().ok()).ok_or_else(|| invalid_cursor(text))
}

pub fn invalid_cursor(text: &str) -> Problem {
    let shown: String = text.chars().take(60).collect();
    let detail = format!("cursor: {shown:?} is none; send next_cursor of the page before, unchanged");
    Problem::new(Code::InvalidCursor, detail).with("field", "cursor")
}
