//! A journal that comes from a peer, and one that is saved from damage.

use std::path::Path;

use storage::{FaultyDisk, Journal, JournalMark, Owner, RECORD, StorageError};

use crate::node::{DIR, OWNER, batch, full_of};

const PER_FILE: u64 = 16;
const SLOTS: u64 = 25;

fn open(disk: &FaultyDisk, from: JournalMark) -> Journal<FaultyDisk> {
    Journal::open_with(disk.clone(), Path::new(DIR), OWNER, from, PER_FILE).expect("the journal opens")
}

fn salvage(disk: &FaultyDisk, through: u64) -> Journal<FaultyDisk> {
    Journal::salvage_with(disk.clone(), Path::new(DIR), OWNER, through, PER_FILE).expect("the disk is well")
}

fn write(journal: &mut Journal<FaultyDisk>, slot: u64) {
    journal.begin(slot);
    for record in batch(slot) {
        journal.push(&record);
    }
    journal.finish().expect("the disk is well");
}

/// A journal of some batches, and the mark behind each, the one before the first among them.
fn written(disk: &FaultyDisk) -> (Journal<FaultyDisk>, Vec<JournalMark>) {
    let mut journal = open(disk, JournalMark::START);
    let mut marks = vec![JournalMark::START];
    for slot in 1..=SLOTS {
        write(&mut journal, slot);
        marks.push(journal.mark());
    }
    (journal, marks)
}

fn all_bytes(journal: &Journal<FaultyDisk>) -> Vec<u8> {
    journal.reader().read_bytes(0, usize::MAX).expect("the disk is well")
}

/// What lies at a place of the first disk's journal.
fn flip(disk: &FaultyDisk, place: u64, byte: u64) {
    let file = format!("{DIR}/journal/{:06}", place / PER_FILE);
    disk.flip(Path::new(&file), place % PER_FILE * RECORD as u64 + byte);
}

#[test]
fn chunks_that_end_anywhere_make_the_same_journal() {
    let (sender, marks) = written(&FaultyDisk::new(1));
    let bytes = all_bytes(&sender);
    for records in [1, 2, 3, 7, 16, 1000] {
        let disk = FaultyDisk::new(2);
        let mut journal = open(&disk, JournalMark::START);
        for (n, chunk) in bytes.chunks(records * RECORD).enumerate() {
            let at = (n * records) as u64;
            let received = journal.receive(at, chunk).expect("it goes on");
            assert_eq!(received.next_place, at + (chunk.len() / RECORD) as u64);
            let whole = marks.iter().rfind(|mark| mark.places <= received.next_place).expect("there is the first");
            assert_eq!(received.mark, *whole, "only whole batches count");
            assert_eq!(journal.reader().written(), whole.places);
        }
        assert_eq!(journal.mark(), sender.mark());
        assert_eq!(all_bytes(&journal), bytes);
        journal.reader().sync(journal.mark().places).expect("the disk is well");
        disk.crash(7);
        assert_eq!(open(&disk, sender.mark()).mark(), sender.mark());
    }
}

#[test]
fn a_node_that_has_the_beginning_takes_only_the_rest_and_writes_on() {
    let (sender, marks) = written(&FaultyDisk::new(1));
    let mut journal = open(&FaultyDisk::new(2), JournalMark::START);
    (1..=10).for_each(|slot| write(&mut journal, slot));
    let from = journal.received().next_place;
    assert_eq!(from, marks[10].places);
    let rest = sender.reader().read_bytes(from, usize::MAX).expect("the disk is well");
    // A chunk that begins before is taken from where it is new.
    journal.receive(0, &all_bytes(&sender)).expect("it overlaps");
    journal.receive(from, &rest).expect("all of it is known");
    assert_eq!(journal.mark(), marks[SLOTS as usize]);
    write(&mut journal, SLOTS + 1);
    assert_eq!(journal.mark().slot, SLOTS + 1);
}

#[test]
fn any_damaged_byte_of_what_is_sent_is_refused_and_nothing_behind_it_taken() {
    let (sender, marks) = written(&FaultyDisk::new(1));
    let bytes = all_bytes(&sender);
    for at in (0..bytes.len()).step_by(37) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        let mut journal = open(&FaultyDisk::new(2), JournalMark::START);
        let error = journal.receive(0, &damaged).expect_err("one byte is wrong");
        assert!(matches!(error, StorageError::Refused { .. }), "byte {at}: {error}");
        let good = marks.iter().rfind(|mark| mark.places <= (at / RECORD) as u64).expect("there is the first");
        assert_eq!(journal.received().mark, *good, "byte {at}");
        let next = journal.received().next_place;
        assert_eq!(next, good.places, "the open batch is asked for again");
        journal.receive(next, &bytes[next as usize * RECORD..]).expect("another peer's are good");
        assert_eq!(journal.mark(), sender.mark(), "byte {at}");
    }
}

#[test]
fn a_sender_finds_its_own_rot_before_a_peer_does() {
    let disk = FaultyDisk::new(1);
    let (sender, _) = written(&disk);
    let bytes = all_bytes(&sender);
    for at in (0..bytes.len()).step_by(37) {
        let (place, byte) = ((at / RECORD) as u64, (at % RECORD) as u64);
        flip(&disk, place, byte);
        let error = sender.reader().read_bytes(0, usize::MAX).expect_err("one byte has rotted");
        assert!(error.is_rot(), "byte {at}: {error}");
        let sound = at / RECORD * RECORD;
        assert_eq!(sender.reader().read_bytes(0, sound).expect("it is sound so far"), bytes[..sound]);
        flip(&disk, place, byte);
    }
}

#[test]
fn what_does_not_go_on_is_refused() {
    let (sender, marks) = written(&FaultyDisk::new(1));
    let bytes = all_bytes(&sender);
    let mut journal = open(&FaultyDisk::new(2), JournalMark::START);
    let gap = journal.receive(1, &bytes[RECORD..]).expect_err("place 0 is missing");
    assert_eq!(gap.to_string(), "alpha/2/journal does not take the records that were sent for 1: the next place is 0");
    journal.receive(0, &bytes[..RECORD + 1]).expect_err("half a record");
    let later = marks[3].places as usize * RECORD;
    journal.receive(0, &bytes[later..]).expect_err("another place's batch");
    let mut other =
        Journal::open(FaultyDisk::new(3), Path::new(DIR), Owner { cluster: 7, ..OWNER }, JournalMark::START)
            .expect("the journal opens");
    other.receive(0, &bytes).expect_err("another cluster's");
    // A diverged peer's batch has the right place and another chain before it.
    let mut diverged = open(&FaultyDisk::new(4), JournalMark::START);
    diverged.begin(1);
    diverged.push(&full_of(9));
    diverged.finish().expect("the disk is well");
    let mut here = open(&FaultyDisk::new(5), JournalMark::START);
    here.begin(1);
    here.push(&full_of(8));
    here.finish().expect("the disk is well");
    diverged.begin(2);
    diverged.finish().expect("the disk is well");
    let second = diverged.reader().read_bytes(2, usize::MAX).expect("the disk is well");
    let error = here.receive(2, &second).expect_err("the chains differ");
    assert!(error.to_string().ends_with("one of the two nodes has diverged"), "{error}");
}

#[test]
fn a_rotten_batch_alone_travels_and_the_good_ones_behind_it_are_taken_over() {
    let (peer, marks) = written(&FaultyDisk::new(1));
    let bytes = all_bytes(&peer);
    for place in 0..marks[SLOTS as usize].places {
        let disk = FaultyDisk::new(2);
        let (journal, _) = written(&disk);
        let checkpoint = journal.mark();
        journal.reader().sync(checkpoint.places).expect("the disk is well");
        drop(journal);
        flip(&disk, place, 100);
        let mut journal = salvage(&disk, SLOTS);
        let good = *marks.iter().rfind(|mark| mark.places <= place).expect("there is the first");
        assert_eq!(journal.mark(), good, "place {place}");
        let batch = &bytes[good.places as usize * RECORD..marks[good.slot as usize + 1].places as usize * RECORD];
        journal.receive(good.places, batch).expect("the peer's is good");
        assert_eq!(journal.take_over(checkpoint).expect("the disk is well"), checkpoint, "place {place}");
        journal.reader().sync(checkpoint.places).expect("the disk is well");
        disk.crash(place);
        let again = open(&disk, checkpoint);
        again.reader().check(JournalMark::START, checkpoint, |_, _| ()).expect("it is whole again");
    }
}

#[test]
fn no_batch_above_what_the_log_knows_is_saved() {
    let disk = FaultyDisk::new(1);
    let (_, marks) = written(&disk);
    for through in 0..=SLOTS {
        assert_eq!(salvage(&disk, through).mark(), marks[through as usize]);
    }
}

#[test]
fn a_check_in_pieces_finds_rot_and_says_which_part() {
    let disk = FaultyDisk::new(1);
    let (journal, marks) = written(&disk);
    let end = journal.mark();
    let go = |journal: &Journal<FaultyDisk>| {
        let (mut at, mut pieces) = (JournalMark::START, 0);
        while at.places < end.places {
            at = journal.reader().check_some(at, end, 10)?;
            pieces += 1;
        }
        Ok::<u64, StorageError>(pieces)
    };
    assert!(go(&journal).expect("it is whole") > 5);
    flip(&disk, marks[20].places, 0);
    let error = go(&journal).expect_err("a header has rotted");
    assert_eq!(error.rotten_part(), Some(storage::Part::Journal));
}
