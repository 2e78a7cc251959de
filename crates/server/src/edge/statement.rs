//! An account's statement: its records in the journal, newest first, each leading to the one before it.

use api::problem::Problem;
use ledger::{AccountId, Currency, Direction, Record, StatementLine};

use super::cursor::{Tag, invalid};
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
#[expect(clippy::expect_used, reason = "an amount is below 2^96 by its type")]
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

/// What is listed of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Every line.
    All,
    /// What moved money.
    Moved,
}

/// A place as the text that callers hand back.
pub fn cursor(listed: Listed, account: AccountId, place: u64) -> String {
    tag(listed, account).cursor(&format!("p{place}"))
}

/// The place that a caller hands back, for the same list of the same account.
pub fn parse_cursor(listed: Listed, account: AccountId, text: &str) -> Result<u64, Problem> {
    let place = tag(listed, account).place(text)?;
    place.strip_prefix('p').and_then(|digits| digits.parse().ok()).ok_or_else(|| invalid(text))
}

fn tag(listed: Listed, account: AccountId) -> Tag {
    let listed = match listed {
        Listed::All => "statement",
        Listed::Moved => "history",
    };
    Tag::of(&[listed, &account.to_string()])
}
