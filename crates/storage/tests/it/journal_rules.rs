//! The journal's rules one by one.

use std::io::ErrorKind;
use std::path::Path;

use storage::{Disk, DiskFile, FaultyDisk, Journal, JournalMark, RECORD, StorageError};

use crate::node::{DIR, OWNER, batch, full_of};

fn open(disk: &FaultyDisk, from: JournalMark) -> Journal<FaultyDisk> {
    Journal::open(disk.clone(), Path::new(DIR), OWNER, from).expect("the journal opens")
}

fn write(journal: &mut Journal<FaultyDisk>, slot: u64, contents_of: u64) -> Result<(), StorageError> {
    journal.begin(slot);
    for record in batch(contents_of) {
        journal.push(&record);
    }
    journal.finish()
}

/// A slot whose batch is not empty.
fn filled(from: u64) -> u64 {
    (from..).find(|slot| batch(*slot).len() > 2).expect("most are")
}

#[test]
fn places_count_headers_and_records_alike() {
    let mut journal = open(&FaultyDisk::new(1), JournalMark::START);
    journal.begin(4);
    assert_eq!(journal.next_place(), 1, "the header has place 0");
    assert_eq!(journal.push(&full_of(7)), 1);
    assert_eq!(journal.read(1).expect("pushed"), full_of(7));
    assert!(journal.read(0).is_err(), "the header is made when the batch is finished");
    journal.finish().expect("the disk is well");
    journal.begin(5);
    assert_eq!(journal.push(&full_of(8)), 3);
    journal.finish().expect("the disk is well");
    assert_eq!(journal.mark().places, 4);
    assert_eq!(journal.read(0).expect("written")[..2], storage::HEADER_KIND.to_le_bytes());
    let mut seen = Vec::new();
    journal.scan(1, 4, |place, record| seen.push((place, record[0]))).expect("written");
    assert_eq!(seen, [(1, 7), (2, 0xFF), (3, 8)]);
}

#[test]
fn a_reader_sees_only_what_was_written() {
    let mut journal = open(&FaultyDisk::new(1), JournalMark::START);
    let reader = journal.reader();
    journal.begin(1);
    let place = journal.push(&full_of(1));
    let error = reader.read(place).expect_err("the batch is open");
    assert_eq!(error.to_string(), "alpha/2/journal holds nothing at 1: it ends at 0");
    journal.finish().expect("the disk is well");
    assert_eq!(reader.read(place).expect("written"), full_of(1));
}

#[test]
fn the_same_batches_make_the_same_chain_on_every_node() {
    let (mut one, mut other) =
        (open(&FaultyDisk::new(1), JournalMark::START), open(&FaultyDisk::new(2), JournalMark::START));
    for slot in 1..20 {
        write(&mut one, slot, slot).expect("the disk is well");
        write(&mut other, slot, slot).expect("the disk is well");
        assert_eq!(one.chain(), other.chain());
    }
    write(&mut one, 20, filled(20)).expect("the disk is well");
    write(&mut other, 20, filled(40)).expect("the disk is well");
    assert_ne!(one.chain(), other.chain());
}

#[test]
fn another_outcome_for_a_slot_that_is_on_the_disk_is_divergence() {
    let disk = FaultyDisk::new(1);
    let mut journal = open(&disk, JournalMark::START);
    write(&mut journal, 1, filled(1)).expect("the disk is well");
    drop(journal);
    let mut again = open(&disk, JournalMark::START);
    let error = write(&mut again, 1, filled(90)).expect_err("the batch there is whole and another one");
    assert!(matches!(error, StorageError::Diverged { slot: 1, place: 0, .. }), "{error}");
    assert!(error.to_string().starts_with("alpha/2/journal/000000 at 0 holds another outcome of slot 1"), "{error}");
}

#[test]
fn a_torn_batch_is_written_anew() {
    let disk = FaultyDisk::new(1);
    let mut journal = open(&disk, JournalMark::START);
    write(&mut journal, 1, filled(1)).expect("the disk is well");
    let whole = journal.mark();
    drop(journal);
    disk.flip(Path::new("alpha/2/journal/000000"), 300);
    let mut again = open(&disk, JournalMark::START);
    write(&mut again, 1, filled(1)).expect("a torn batch is no divergence");
    assert_eq!(again.mark(), whole);
    again.reader().check(JournalMark::START, whole, |_, _| ()).expect("it is whole again");
}

#[test]
fn a_batch_found_whole_is_brought_to_the_disk_although_a_sync_of_it_failed() {
    let disk = FaultyDisk::new(3);
    let mut journal = open(&disk, JournalMark::START);
    write(&mut journal, 1, filled(1)).expect("the disk is well");
    disk.fail_once_after(0, ErrorKind::Other);
    journal.reader().sync(journal.mark().places).expect_err("this sync fails");
    let closed = journal.reader().sync(0).expect_err("a failed sync is never retried");
    assert!(closed.to_string().contains("is closed to this process"), "{closed}");
    drop(journal);
    // Another process on the same page cache.
    let mut again = open(&disk, JournalMark::START);
    write(&mut again, 1, filled(1)).expect("the same");
    let mark = again.mark();
    again.reader().sync(mark.places).expect("the disk is well again");
    disk.crash(3);
    open(&disk, mark);
}

/// Once a simulation lost a whole synced file: a process made it and died before it wrote to it, the next one found the
/// name in the page cache, wrote and synced the contents, and never the name.
#[test]
fn the_name_of_a_file_that_an_earlier_process_made_is_synced_with_its_contents() {
    for operations in 0..8 {
        for seed in 0..8 {
            let disk = FaultyDisk::new(seed);
            let mut journal = open(&disk, JournalMark::START);
            disk.fail_once_after(operations, ErrorKind::StorageFull);
            let _ = write(&mut journal, 1, filled(1));
            drop(journal);
            disk.heal();
            let mut again = open(&disk, JournalMark::START);
            write(&mut again, 1, filled(1)).expect("there is room again");
            let mark = again.mark();
            again.reader().sync(mark.places).expect("the disk is well");
            drop(again);
            disk.crash(seed);
            open(&disk, mark);
        }
    }
}

#[test]
fn a_batch_taken_over_is_brought_to_the_disk_although_a_sync_of_it_failed() {
    for seed in 0..20 {
        let disk = FaultyDisk::new(seed);
        let mut journal = open(&disk, JournalMark::START);
        write(&mut journal, 1, filled(1)).expect("the disk is well");
        disk.fail_once_after(0, ErrorKind::Other);
        journal.reader().sync(journal.mark().places).expect_err("this sync fails");
        let mark = journal.mark();
        drop(journal);
        // Another process on the same page cache, which makes its checkpoint of what it finds.
        let again = Journal::salvage(disk.clone(), Path::new(DIR), OWNER, 1).expect("it opens");
        assert_eq!(again.mark(), mark);
        again.reader().sync(mark.places).expect("the disk is well again");
        disk.crash(seed);
        open(&disk, mark);
    }
}

#[test]
fn a_journal_that_ends_before_its_checkpoint_is_damage() {
    let disk = FaultyDisk::new(1);
    let mut journal = open(&disk, JournalMark::START);
    for slot in 1..10 {
        write(&mut journal, slot, filled(slot)).expect("the disk is well");
    }
    let mark = journal.mark();
    drop(journal);
    let path = Path::new("alpha/2/journal/000000");
    let last = (mark.places - 1) * RECORD as u64;
    disk.open(path).expect("it is there").truncate(last).expect("the disk is well");
    let error = Journal::open(disk, Path::new(DIR), OWNER, mark).expect_err("it is too short");
    assert!(error.is_rot());
    assert!(error.to_string().starts_with(&format!("alpha/2/journal/000000 at {last} is damaged")), "{error}");
}

#[test]
fn a_record_that_rotted_is_not_given_to_who_reads_it_alone() {
    let disk = FaultyDisk::new(1);
    let mut journal = open(&disk, JournalMark::START);
    write(&mut journal, 1, filled(1)).expect("the disk is well");
    let [first, second] = [1, 2].map(|place| journal.read(place).expect("it is whole"));
    disk.flip(Path::new("alpha/2/journal/000000"), 300);
    let error = journal.read(1).expect_err("its bytes are others");
    assert!(error.is_rot(), "{error}");
    assert_eq!(journal.read(2).expect("its neighbour is whole"), second);
    disk.flip(Path::new("alpha/2/journal/000000"), 300);
    assert_eq!(journal.read(1).expect("it is what it was"), first);
    disk.flip(Path::new("alpha/2/journal/000000"), 40);
    assert!(journal.read(0).expect_err("a header too").is_rot());
}

#[test]
fn a_record_that_rotted_is_found_by_the_fold() {
    let disk = FaultyDisk::new(1);
    let mut journal = open(&disk, JournalMark::START);
    write(&mut journal, 1, filled(1)).expect("the disk is well");
    disk.flip(Path::new("alpha/2/journal/000000"), 300);
    let error = journal.reader().check(JournalMark::START, journal.mark(), |_, _| ()).expect_err("a record changed");
    assert!(error.is_rot(), "{error}");
}
