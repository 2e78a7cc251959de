//! One payment as a row: encode, decode, and the numbers of its states, which are stable.

use clearing::outbox::{Item, ItemState, Lease, Paused, Retry};
use clearing::{NamedParty, PaymentId, Terms};
use ledger::{Amount, Currency, Reference};
use rusqlite::Row;

use crate::heard::REFUSED;

/// A payment of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub terms: Terms,
    /// What the rules know of it.
    pub item: Item,
    pub created_ms: u64,
    /// When the first attempt began that may have arrived.
    pub first_sent_ms: Option<u64>,
    /// The last word on it: why it was refused, or why it is not through yet.
    pub word: Word,
    /// The customer was shown this.
    pub seen: bool,
}

/// What was said of a payment: a stable code of `docs/errors.md`, and a sentence. Both empty when there was nothing to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word {
    pub code: String,
    pub detail: String,
}

impl Entry {
    pub fn waits_for_sign_in(&self) -> bool {
        matches!(self.item.state, ItemState::WaitingForSignIn(_))
    }

    /// How often it was tried since it was last given a fresh start.
    pub fn attempts(&self) -> u32 {
        attempts_of(&self.item.state).0
    }

    /// When it is tried next, if it waits for that.
    pub fn next_try_ms(&self) -> Option<u64> {
        let (_, next_ms) = attempts_of(&self.item.state);
        (next_ms > 0).then_some(next_ms)
    }
}

// The numbers on disk. Up to 7 there is something to do, from 5 on something to tell: the table's indices say so, too.
pub(super) const QUEUED: i64 = 1;
const TRYING: i64 = 2;
const SENT: i64 = 3;
const CANCELLING: i64 = 4;
const WAITING_QUEUED: i64 = 5;
const WAITING_SENT: i64 = 6;
const WAITING_CANCELLING: i64 = 7;
const DONE: i64 = 8;
const REFUSED_STATE: i64 = 9;
const DROPPED: i64 = 10;

pub(super) const COLUMNS: &str = "sequence, id, payer, payee, amount_minor, currency, reference, created_ms, deadline_ms, \
    state, attempts, next_try_ms, first_sent_ms, word_code, word_detail, seen, lease_holder, lease_until_ms, version";

/// What no row of ours holds.
#[derive(Debug)]
pub(super) struct Bad {
    pub(super) sequence: i64,
    pub(super) field: &'static str,
}

/// SQLite's integers are signed; times and versions of ours stay far below the half that they lack.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The columns that change.
pub(super) struct Columns<'a> {
    pub(super) state: i64,
    pub(super) attempts: i64,
    pub(super) next_try_ms: i64,
    pub(super) first_sent_ms: Option<i64>,
    pub(super) word: &'a Word,
    pub(super) seen: bool,
    pub(super) lease_holder: Option<i64>,
    pub(super) lease_until_ms: i64,
}

impl<'a> Columns<'a> {
    /// Without a new word the last one stays.
    pub(super) fn of(before: &'a Entry, item: &Item, word: Option<&'a Word>, now_ms: u64) -> Columns<'a> {
        let (attempts, next_ms) = attempts_of(&item.state);
        let (state, state_before) = (state_number(&item.state), state_number(&before.item.state));
        // Nothing left after all: it is as if it had never been tried.
        let first_sent_ms = match item.state {
            ItemState::Queued(_) | ItemState::WaitingForSignIn(Paused::Queued) | ItemState::Dropped => None,
            ItemState::Trying(_)
            | ItemState::Sent(_)
            | ItemState::Cancelling(_)
            | ItemState::WaitingForSignIn(Paused::Sent | Paused::Cancelling)
            | ItemState::Done
            | ItemState::Refused(_) => before.first_sent_ms.or(Some(now_ms)),
        };
        Columns {
            state,
            attempts: i64::from(attempts),
            next_try_ms: number(next_ms),
            first_sent_ms: first_sent_ms.map(number),
            word: word.unwrap_or(&before.word),
            seen: before.seen && state == state_before,
            lease_holder: item.lease.holder.map(number),
            lease_until_ms: number(item.lease.until_ms),
        }
    }
}

fn attempts_of(state: &ItemState) -> (u32, u64) {
    match state {
        ItemState::Queued(retry) | ItemState::Trying(retry) | ItemState::Sent(retry) | ItemState::Cancelling(retry) => {
            (retry.attempts, retry.next_ms)
        }
        ItemState::WaitingForSignIn(_) | ItemState::Done | ItemState::Refused(_) | ItemState::Dropped => (0, 0),
    }
}

fn state_number(state: &ItemState) -> i64 {
    match state {
        ItemState::Queued(_) => QUEUED,
        ItemState::Trying(_) => TRYING,
        ItemState::Sent(_) => SENT,
        ItemState::Cancelling(_) => CANCELLING,
        ItemState::WaitingForSignIn(Paused::Queued) => WAITING_QUEUED,
        ItemState::WaitingForSignIn(Paused::Sent) => WAITING_SENT,
        ItemState::WaitingForSignIn(Paused::Cancelling) => WAITING_CANCELLING,
        ItemState::Done => DONE,
        ItemState::Refused(_) => REFUSED_STATE,
        ItemState::Dropped => DROPPED,
    }
}

fn state_of(number: i64, retry: Retry) -> Option<ItemState> {
    Some(match number {
        QUEUED => ItemState::Queued(retry),
        TRYING => ItemState::Trying(retry),
        SENT => ItemState::Sent(retry),
        CANCELLING => ItemState::Cancelling(retry),
        WAITING_QUEUED => ItemState::WaitingForSignIn(Paused::Queued),
        WAITING_SENT => ItemState::WaitingForSignIn(Paused::Sent),
        WAITING_CANCELLING => ItemState::WaitingForSignIn(Paused::Cancelling),
        DONE => ItemState::Done,
        REFUSED_STATE => ItemState::Refused(REFUSED),
        DROPPED => ItemState::Dropped,
        _ => return None,
    })
}

/// The columns of [`COLUMNS`] as an entry, or the field that makes no sense.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Result<Entry, Bad>> {
    let text = |name: &str| row.get::<_, String>(name);
    let integer = |name: &str| row.get::<_, i64>(name);
    let optional = |name: &str| row.get::<_, Option<i64>>(name);
    let sequence = integer("sequence")?;
    let id: Vec<u8> = row.get("id")?;
    let (payer, payee, amount, reference) = (text("payer")?, text("payee")?, text("amount_minor")?, text("reference")?);
    let (currency, created, deadline) = (integer("currency")?, integer("created_ms")?, integer("deadline_ms")?);
    let (state, attempts, next_try) = (integer("state")?, integer("attempts")?, integer("next_try_ms")?);
    let (first_sent, holder) = (optional("first_sent_ms")?, optional("lease_holder")?);
    let (until, version) = (integer("lease_until_ms")?, integer("version")?);
    let word = Word { code: text("word_code")?, detail: text("word_detail")? };
    let seen = row.get("seen")?;

    let entry = || -> Result<Entry, &'static str> {
        let id = <[u8; 16]>::try_from(id).ok().and_then(|bytes| PaymentId::new(u128::from_be_bytes(bytes)));
        let number = |field, value: i64| u64::try_from(value).map_err(|_| field);
        let terms = Terms {
            id: id.ok_or("id")?,
            payer: NamedParty::stored(&payer).map_err(|_| "payer")?,
            payee: NamedParty::stored(&payee).map_err(|_| "payee")?,
            amount: amount.parse().ok().and_then(Amount::new).ok_or("amount_minor")?,
            currency: u16::try_from(currency).ok().and_then(Currency::from_number).ok_or("currency")?,
            reference: Reference::stored(&reference).map_err(|_| "reference")?,
        };
        let retry = Retry {
            attempts: u32::try_from(attempts).map_err(|_| "attempts")?,
            next_ms: number("next_try_ms", next_try)?,
        };
        let item = Item {
            id: terms.id,
            payer: terms.payer,
            sequence: number("sequence", sequence)?,
            deadline_ms: number("deadline_ms", deadline)?,
            state: state_of(state, retry).ok_or("state")?,
            lease: Lease {
                holder: holder.map(|holder| number("lease_holder", holder)).transpose()?,
                until_ms: number("lease_until_ms", until)?,
                version: number("version", version)?,
            },
        };
        let first_sent_ms = first_sent.map(|ms| number("first_sent_ms", ms)).transpose()?;
        Ok(Entry { terms, item, created_ms: number("created_ms", created)?, first_sent_ms, word, seen })
    };
    Ok(entry().map_err(|field| Bad { sequence, field }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_states_are_stable_and_name_one_state_each() {
        let retry = Retry { attempts: 3, next_ms: 7 };
        let rows = [
            (1, ItemState::Queued(retry)),
            (2, ItemState::Trying(retry)),
            (3, ItemState::Sent(retry)),
            (4, ItemState::Cancelling(retry)),
            (5, ItemState::WaitingForSignIn(Paused::Queued)),
            (6, ItemState::WaitingForSignIn(Paused::Sent)),
            (7, ItemState::WaitingForSignIn(Paused::Cancelling)),
            (8, ItemState::Done),
            (9, ItemState::Refused(REFUSED)),
            (10, ItemState::Dropped),
        ];
        for (number, state) in rows {
            assert_eq!((state_number(&state), state_of(number, retry)), (number, Some(state)));
            // The indices of the table count on this.
            assert_eq!(state.is_final(), number > 7, "{state:?}");
        }
        assert_eq!((state_of(0, retry), state_of(11, retry)), (None, None));
    }
}
