//! A checkpoint made by hand, as a node makes one after a million records.

use std::fs;
use std::marker::PhantomData;
use std::path::Path;

use replica::JournalRules;
use storage::{HEADER_KIND, Journal, JournalMark, JournalRecord, RECORD, RECORD_BODY, RealDisk, Store, identity};

/// The checkpoint that a node makes after a million records, made now: of everything in the journal.
pub(crate) fn make(data: &Path) {
    let owner = identity::load(&RealDisk, data).expect("it has run").owner();
    let bytes = fs::read(data.join("journal/000000")).expect("it is there");
    let mut records = bytes.as_chunks::<RECORD>().0.iter().peekable();
    // Written again as a start does it, which comes to the same bytes and knows the mark at their end.
    let mut journal = Journal::open(RealDisk, data, owner, JournalMark::START).expect("it is whole");
    let is_header = |record: &JournalRecord| record[..2] == HEADER_KIND.to_le_bytes();
    while let Some(header) = records.next() {
        assert!(is_header(header), "a batch begins with its header");
        journal.begin(u64::from_le_bytes(header[32..40].try_into().expect("eight bytes")));
        while let Some(record) = records.next_if(|record| !is_header(record)) {
            let mut record = *record;
            record[RECORD_BODY..].fill(0);
            journal.push(&record);
        }
        journal.finish().expect("the same bytes as before");
    }
    let store = Store::open(RealDisk, data, owner).expect("it is good, or there is none yet");
    if store.mark() == journal.mark() {
        return;
    }
    store
        .fold(journal.reader(), journal.mark(), JournalRules::<bank::Machine>(PhantomData))
        .run()
        .expect("there is room");
}
