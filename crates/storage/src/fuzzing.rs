//! What must hold of any bytes that this crate finds on a disk, or is sent as another node's journal: for cargo-fuzz, and
//! for the inputs that are kept.
//!
//! Everything on the disk has checksums, which a fuzzer would need ages to guess: so the bytes of the input become records,
//! headers and blocks whose sums are right, and behind them bytes that are as they came.

use crate::checksum::{FileKind, Seal};
use crate::identity::{self, Identity};
use crate::{Disk, DiskFile, FaultyDisk, IndexKey, Journal, JournalMark, Log, LogOptions, Owner, RECORD, Store};
use std::path::Path;

const OWNER: Owner = Owner { cluster: 5, node: 1 };
const DIR: &str = "alpha/1";
const OPTIONS: LogOptions = LogOptions { segment_bytes: 16 << 10 };

/// A log that opens has lost nothing when it is opened again; one that does not says why.
pub fn log(bytes: &[u8]) {
    let disk = FaultyDisk::new(1);
    let mut segment = crate::log::fuzzing::segment(bytes, OWNER);
    segment.resize(OPTIONS.segment_bytes as usize, 0);
    put(&disk, "log", "000001", &segment);
    let open = || Log::open(disk.clone(), Path::new(DIR), OWNER, OPTIONS);
    let Ok((log, first)) = open() else { return };
    let _ = log.read_chosen(1, 1 << 20);
    drop(log);
    let (_, second) = open().expect("a log that was opened opens again");
    assert_eq!(second.votes, first.votes, "{first:?} and then {second:?}");
    if !second.votes {
        // It has lost what was synced and is to be replaced. What an input says of such a log may contradict itself.
        return;
    }
    assert_eq!(second.chosen, first.chosen);
    assert!(second.promised >= first.promised, "{first:?} and then {second:?}");
    // A mark of what is not there any more is not written anew.
    assert!(second.held <= first.held, "{first:?} and then {second:?}");
    assert_eq!(second.accepted, first.accepted);
    // What is made good stays good.
    assert!(second.rotten.is_empty() || first.rotten == second.rotten, "{first:?} and then {second:?}");
}

/// What another node sends as its journal is taken whole and in its place, or refused; what was taken can be read.
pub fn journal(bytes: &[u8]) {
    let disk = FaultyDisk::new(1);
    let open = |from| Journal::open_with(disk.clone(), Path::new(DIR), OWNER, from, 64);
    let mut journal = open(JournalMark::START).expect("an empty directory");
    let sent = crate::journal::fuzzing::batches(bytes, OWNER);
    let mut place = 0;
    // In pieces as they come.
    for piece in sent.chunks(RECORD * (1 + usize::from(bytes.first().copied().unwrap_or(0)) % 5)) {
        match journal.receive(place, piece) {
            Ok(received) => {
                assert!(received.next_place >= received.mark.places);
                place = received.next_place;
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                place = journal.received().next_place;
                assert!(place >= journal.received().mark.places);
            }
        }
    }
    let mark = journal.received().mark;
    let reader = journal.reader();
    let mut count = 0;
    journal.scan(0, mark.places, |_, _| count += 1).expect("what was taken can be read");
    assert!(count <= mark.places);
    drop((journal, reader));
    if let Ok(journal) = open(JournalMark::START) {
        assert_eq!(journal.mark(), JournalMark::START);
    }
}

/// A checkpoint and its runs open and are read to their end, or say what is wrong.
pub fn store(bytes: &[u8]) {
    let disk = FaultyDisk::new(1);
    let (manifest, table, run) = crate::store::fuzzing::files(bytes, OWNER);
    put(&disk, "store", "manifest", &manifest);
    put(&disk, "store", "table-000001", &table);
    put(&disk, "ids", "run-000002", &run);
    let Ok(store) = Store::open(disk, Path::new(DIR), OWNER) else { return };
    let mut before: Option<Vec<u8>> = None;
    let _ = store.for_each_entry(|key, value| {
        assert!(key.len() <= 255 && value.len() <= usize::from(u16::MAX));
        before = Some(key.to_vec());
    });
    for id in [0, 1, 7, u128::from(u64::MAX), u128::MAX] {
        for key in [0, 1, u8::MAX].map(|kind| IndexKey::new(kind, id)) {
            if store.maybe_contains(key) {
                let _ = store.find(key);
            }
        }
    }
}

/// An identity that is read is the one that was written.
pub fn identity(bytes: &[u8]) {
    let disk = FaultyDisk::new(1);
    // The last line is the text's sum.
    let mut text = bytes.to_vec();
    if bytes.first().is_some_and(|byte| *byte != b' ') {
        let sum = Seal::new(Owner { cluster: 0, node: 0 }, FileKind::Identity, 0).sum(0, bytes);
        text.extend_from_slice(format!("sum {sum:016x}\n").as_bytes());
    }
    put(&disk, "", "identity", &text);
    let Ok(read) = identity::load(&disk, Path::new(DIR)) else { return };
    let other = FaultyDisk::new(1);
    identity::create(&other, Path::new(DIR), &read).expect("an empty directory");
    let again: Identity = identity::load(&other, Path::new(DIR)).expect("it was just written");
    assert_eq!(again, read);
}

fn put(disk: &FaultyDisk, dir: &str, name: &str, bytes: &[u8]) {
    let dir = Path::new(DIR).join(dir);
    disk.create_dir_all(&dir).expect("the disk is well");
    let file = disk.create(&dir.join(name)).expect("the disk is well");
    file.write_at(0, bytes).expect("the disk is well");
    file.sync().expect("the disk is well");
    disk.sync_dir(&dir).expect("the disk is well");
}

#[cfg(test)]
mod tests {
    use corpora::STATE;

    #[test]
    fn fuzz_corpora_of_the_storage() {
        corpora::run("storage_log", STATE, super::log);
        corpora::run("storage_journal", STATE, super::journal);
        corpora::run("storage_store", STATE, super::store);
        corpora::run("storage_identity", STATE, super::identity);
    }
}
