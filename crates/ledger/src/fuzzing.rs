//! What must hold of any bytes that this crate is given to read: for cargo-fuzz, and for the inputs that are kept.

#![allow(clippy::expect_used, reason = "it is run by tests and fuzz targets, which find what is wrong by a panic")]

use crate::currency::Currency;
use crate::customer_name::CustomerName;
use crate::ids::{AccountId, TransferId};
use crate::ledger::Ledger;
use crate::money::{self, parse_decimal};
use crate::record::{RECORD_BYTES, Record};
use crate::request::Malformed;
use crate::text::Line;
use crate::{Command, Request, Secret};

/// A request that is read is written as the same bytes, but for the form in which older logs have a replay; one that is not
/// is refused for a place in it.
pub fn request(bytes: &[u8]) {
    match Request::decode(bytes) {
        Ok(request) => {
            let may_be_older = |command: &Command| matches!(command, Command::Replay { number: None, .. });
            let written = request.encode();
            if request.commands.iter().any(may_be_older) {
                assert_eq!(Request::decode(&written), Ok(request));
            } else {
                assert_eq!(written, bytes, "one request, two ways to write it");
            }
        }
        Err(Malformed::CutOff { at } | Malformed::Trailing { at } | Malformed::Kind { at, .. }) => {
            assert!(at <= bytes.len(), "the place that is named is outside the bytes");
        }
        Err(other) => assert!(!other.to_string().is_empty()),
    }
}

/// A record that is read is written so that it is read as the same again, and is folded without a panic.
pub fn record(bytes: &[u8]) {
    let mut record = [0; RECORD_BYTES];
    let len = bytes.len().min(RECORD_BYTES);
    record[..len].copy_from_slice(&bytes[..len]);
    let _ = crate::record_key(&record);
    let folded = crate::fold_effects(&record, &mut |key, _| assert!(!key.is_empty()));
    match Record::decode(&record) {
        Ok(read) => {
            assert!(folded.is_ok());
            assert_eq!(Record::decode(&read.encode()), Ok(read));
        }
        Err(error) => assert!(folded.is_err() && !error.to_string().is_empty()),
    }
}

/// Entries of a checkpoint, keys and values, make sound books, or are refused.
pub fn checkpoint<'a>(entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
    let mut ledger = Ledger::new(1);
    for (key, value) in entries {
        if ledger.restore_entry(key, value).is_err() {
            return;
        }
    }
    if ledger.finish_restore().is_ok() {
        crate::invariant::check(&ledger).expect("books that were taken are sound");
        let _ = ledger.digest();
    }
}

/// Amounts, ids, names and references: what is taken is shown so that it is taken as the same again.
pub fn text(bytes: &[u8]) {
    let Some((choice, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let currencies = Currency::all().count();
    let currency = Currency::all().nth(usize::from(*choice) % currencies).expect("there are so many");
    if let Ok(amount) = parse_decimal(text, currency) {
        assert_eq!(parse_decimal(&money::format(amount.minor(), currency), currency), Ok(amount), "{text:?}");
    }
    if let Ok(id) = text.parse::<AccountId>() {
        assert_eq!(id.to_string().parse(), Ok(id), "{text:?}");
    }
    if let Ok(id) = text.parse::<TransferId>() {
        assert_eq!(id.to_string().parse(), Ok(id), "{text:?}");
    }
    if let Ok(name) = CustomerName::new(text) {
        assert_eq!(CustomerName::new(name.as_str()), Ok(name), "{text:?}");
        assert_eq!(AccountId::of_customer(&name).to_string().len(), 36);
    }
    if let Ok(reference) = crate::Reference::new(text) {
        assert_eq!(crate::Reference::new(reference.as_str()), Ok(reference), "{text:?}");
    }
    enforced(text);
    let _ = Currency::from_code(text);
    if let Some(secret) = text.as_bytes().first_chunk() {
        assert_eq!(Secret::from_bytes(secret).to_bytes(), *secret);
    }
}

/// What a person types under RFC 8265: once enforced it stays as it is, is read back from where it was stored, and hides
/// nothing.
fn enforced(text: &str) {
    if let Ok(name) = CustomerName::enforce(text) {
        let shown = name.as_str();
        assert_eq!((CustomerName::new(shown), CustomerName::stored(shown)), (Ok(name), Ok(name)), "{text:?}");
        assert!(!shown.contains(|it: char| crate::characters::hides(it) || it.is_whitespace()), "{text:?}");
    }
    line::<35>(text);
    line::<64>(text);
}

fn line<const MAX: usize>(text: &str) {
    if let Ok(line) = Line::<MAX>::enforce(text) {
        let shown = line.as_str();
        assert_eq!((Line::enforce(shown), Line::new(shown), Line::stored(shown)), (Ok(line), Ok(line), Ok(line)));
        assert!(!shown.contains(crate::characters::hides), "{text:?}");
    }
}

#[cfg(test)]
mod tests {
    use corpora::{DECODER, STATE};

    #[test]
    fn fuzz_corpora_of_the_ledger() {
        corpora::run("ledger_request", DECODER, super::request);
        corpora::run("ledger_record", DECODER, super::record);
        corpora::run("ledger_checkpoint", STATE, |bytes| super::checkpoint(corpora::entries(bytes)));
        corpora::run("ledger_text", DECODER, super::text);
    }
}
