//! What must hold of any bytes that this crate is given to read: for cargo-fuzz, and for the inputs that are kept.

#![allow(clippy::expect_used, reason = "it is run by tests and fuzz targets, which find what is wrong by a panic")]

use crate::clearing::Clearing;
use crate::names::{BankName, CustomerName};
use crate::order::NamedParty;
use crate::record::Record;
use crate::request::Request;
use ledger::RECORD_BYTES;

/// A request that is read is written as the same bytes.
pub fn request(bytes: &[u8]) {
    match Request::decode(bytes) {
        Ok(request) => assert_eq!(request.encode(), bytes, "one request, two ways to write it"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A record that is read is written as the same bytes, and is folded without a panic.
pub fn record(bytes: &[u8]) {
    let mut record = [0; RECORD_BYTES];
    let len = bytes.len().min(RECORD_BYTES - 4);
    record[..len].copy_from_slice(&bytes[..len]);
    let _ = crate::record_key(&record);
    let folded = crate::fold_effects(&record, &mut |key, _| assert!(!key.is_empty()));
    match Record::decode(&record) {
        Ok(read) => {
            assert!(folded.is_ok());
            assert!(read.encode() == record, "one record, two ways to write it: {read:?}");
        }
        Err(error) => assert!(folded.is_err() && !error.to_string().is_empty()),
    }
}

/// Entries of a checkpoint, keys and values, make a sound state, or are refused.
pub fn checkpoint<'a>(entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
    let mut clearing = Clearing::new();
    for (key, value) in entries {
        if clearing.restore_entry(key, value).is_err() {
            return;
        }
    }
    if clearing.finish_restore().is_ok() {
        crate::invariant::check(&clearing).expect("a state that was taken is sound");
        let _ = clearing.digest();
    }
}

/// Names of parties: what is taken is shown so that it is taken as the same again.
pub fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(party) = text.parse::<NamedParty>() {
        assert_eq!(party.to_string().parse(), Ok(party), "{text:?}");
    }
    if let Ok(bank) = BankName::new(text) {
        assert_eq!(bank.as_str(), text);
    }
    if let Ok(customer) = CustomerName::new(text) {
        assert_eq!(CustomerName::new(customer.as_str()), Ok(customer), "{text:?}");
    }
}

#[cfg(test)]
mod tests {
    use corpora::{DECODER, STATE};

    #[test]
    fn fuzz_corpora_of_the_clearing() {
        corpora::run("clearing_request", DECODER, super::request);
        corpora::run("clearing_record", DECODER, super::record);
        corpora::run("clearing_checkpoint", STATE, |bytes| super::checkpoint(corpora::entries(bytes)));
        corpora::run("clearing_text", DECODER, super::text);
    }
}
