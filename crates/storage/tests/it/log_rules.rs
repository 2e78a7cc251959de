//! The log's rules one by one.

use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;
use storage::{FaultyDisk, Log, LogOptions, LogRecord, LogRecovered, OpenError, Owner, Unsynced};

const OWNER: Owner = Owner { cluster: 0xC1, node: 2 };
const OPTIONS: LogOptions = LogOptions { segment_bytes: 64 << 10 };

fn open(disk: &FaultyDisk) -> Result<(Log<FaultyDisk>, LogRecovered), OpenError> {
    Log::open(disk.clone(), Path::new("alpha/2"), OWNER, OPTIONS)
}

fn fresh(disk: &FaultyDisk) -> Log<FaultyDisk> {
    open(disk).expect("a new log opens").0
}

fn accepted(slot: u64, len: usize) -> LogRecord {
    LogRecord::Accepted { slot, round: 1, node: 1, batch: vec![slot as u8; len].into() }
}

fn append(log: &mut Log<FaultyDisk>, records: Vec<LogRecord>) {
    let _ = log.append(Unsynced::new(records, ())).expect("the disk is well");
}

fn sync(log: &mut Log<FaultyDisk>) {
    log.sync().expect("the disk is well");
}

/// Where the batch of this slot lies in the first segment.
fn batch_offset(disk: &FaultyDisk, byte: u8, len: usize) -> u64 {
    use storage::{Disk, DiskFile};
    let file = disk.open(Path::new("alpha/2/log/000001")).expect("it is there");
    let mut bytes = vec![0; OPTIONS.segment_bytes as usize];
    let read = file.read_at(0, &mut bytes).expect("the disk is well");
    let at = bytes[..read].windows(len).position(|window| window.iter().all(|b| *b == byte));
    at.expect("the batch is in the first segment") as u64
}

#[test]
fn a_proof_older_than_the_group_releases_nothing() {
    let disk = FaultyDisk::new(1);
    let mut log = fresh(&disk);
    let first = log.append(Unsynced::new(vec![accepted(1, 10)], "first")).expect("the disk is well");
    let proof = log.sync().expect("the disk is well");
    let second = log.append(Unsynced::new(vec![accepted(2, 10)], "second")).expect("the disk is well");
    assert_eq!(first.release(&proof).expect("it was appended before the sync"), "first");
    let second = second.release(&proof).expect_err("it was appended after the sync");
    let proof = log.sync().expect("the disk is well");
    assert_eq!(second.release(&proof).expect("now it was synced"), "second");
}

#[test]
fn a_proof_of_another_log_releases_nothing() {
    let (one, other) = (FaultyDisk::new(1), FaultyDisk::new(1));
    let (mut one, mut other) = (fresh(&one), fresh(&other));
    let pending = one.append(Unsynced::new(vec![accepted(1, 10)], ())).expect("the disk is well");
    append(&mut other, vec![accepted(1, 10)]);
    let foreign = other.sync().expect("the disk is well");
    assert!(pending.release(&foreign).is_err());
}

#[test]
fn after_a_failed_sync_the_log_is_closed_and_says_why() {
    let disk = FaultyDisk::new(1);
    let mut log = fresh(&disk);
    append(&mut log, vec![accepted(1, 10)]);
    disk.fail_once_after(0, ErrorKind::Other);
    let first = log.sync().expect_err("this sync fails");
    assert!(first.is_disk_failure(), "{first}");
    assert!(first.to_string().starts_with("syncing alpha/2/log/000001"), "{first}");
    for error in [
        log.sync().expect_err("a failed sync is never retried"),
        log.append(Unsynced::new(vec![], ())).expect_err("nor is anything appended"),
        log.trim(1).expect_err("nor trimmed"),
    ] {
        assert!(error.to_string().contains("is closed to this process after an earlier failure"), "{error}");
        assert!(error.to_string().contains("syncing alpha/2/log/000001"), "{error}");
    }
}

#[test]
fn what_a_failed_sync_left_in_the_page_cache_is_on_the_disk_before_it_counts() {
    for seed in 0..50 {
        let disk = FaultyDisk::new(seed);
        let mut log = fresh(&disk);
        append(&mut log, vec![accepted(1, 5000)]);
        disk.fail_once_after(0, ErrorKind::Other);
        log.sync().expect_err("this sync fails");
        drop(log);
        // The process starts again; the page cache still shows the record.
        let (_, recovered) = open(&disk).expect("the disk is well again");
        assert_eq!(recovered.accepted.len(), 1, "seed {seed}");
        disk.crash(seed);
        let (_, recovered) = open(&disk).expect("the disk is well again");
        assert_eq!(recovered.accepted.len(), 1, "seed {seed}: it counted, so it must be there for good");
    }
}

#[test]
fn a_torn_tail_is_dropped_and_reported() {
    let mut torn = 0;
    for seed in 0..50 {
        let disk = FaultyDisk::new(seed);
        let mut log = fresh(&disk);
        append(&mut log, vec![LogRecord::Promised { round: 1, node: 1 }, accepted(1, 3000)]);
        sync(&mut log);
        append(&mut log, vec![accepted(2, 3000), accepted(3, 3000)]);
        disk.crash(seed);
        let (_, recovered) = open(&disk).expect("a torn tail is no damage");
        assert_eq!(recovered.accepted[0].0, 1, "seed {seed}");
        torn += u64::from(recovered.torn_bytes > 0);
        let (_, again) = open(&disk).expect("it opens");
        assert_eq!(again.torn_bytes, 0, "seed {seed}: a tail is reported once");
        assert_eq!(again.accepted, recovered.accepted, "seed {seed}");
    }
    assert!(torn > 0, "some of the crashes tear");
}

#[test]
fn a_bad_record_before_a_later_group_is_rot_and_its_vote_stands() {
    // Header and one word of the batch are mended; two words are too much for that.
    for (flips, text) in [
        (&[0][..], "was not whole and is now"),
        (&[1500], "was not whole and is now"),
        (&[1500, 1600], "the batch of the record there"),
        (&[8, 1500, 1600], "known only from its second place"),
    ] {
        let disk = FaultyDisk::new(1);
        let mut log = fresh(&disk);
        append(&mut log, vec![accepted(1, 3000)]);
        sync(&mut log);
        append(&mut log, vec![accepted(2, 3000)]);
        sync(&mut log);
        drop(log);
        let batch = batch_offset(&disk, 1, 3000);
        flips.iter().for_each(|at| disk.flip(Path::new("alpha/2/log/000001"), batch - 64 + at));
        let (_, recovered) = open(&disk).expect("nothing is lost");
        assert!(recovered.votes);
        let [rot] = &recovered.rotten[..] else { panic!("{:?}", recovered.rotten) };
        assert_eq!((rot.file.as_path(), rot.offset), (Path::new("alpha/2/log/000001"), batch - 64));
        assert_eq!(rot.slot, Some(1));
        assert!(rot.what.contains(text), "{}", rot.what);
        let digest = *blake3::hash(&[1; 3000]).as_bytes();
        let whole = (flips.len() == 1).then(|| vec![1; 3000].into());
        assert_eq!(recovered.accepted[0], (1, (1, 1), digest, whole), "a peer has the batch");
        assert!(recovered.accepted[1].3.is_some());
        let (_, again) = open(&disk).expect("it opens");
        assert!(again.rotten.is_empty(), "it was dealt with: {:?}", again.rotten);
        assert_eq!(again.accepted, recovered.accepted);
    }
}

#[test]
fn rot_in_the_last_segment_but_one_is_rot() {
    let disk = FaultyDisk::new(1);
    let mut log = fresh(&disk);
    for slot in 1..=10 {
        append(&mut log, vec![accepted(slot, 16 << 10)]);
        sync(&mut log);
    }
    let batch = batch_offset(&disk, 1, 16 << 10);
    disk.flip(Path::new("alpha/2/log/000001"), batch);
    let (_, recovered) = open(&disk).expect("nothing is lost");
    assert_eq!(recovered.rotten.len(), 1);
    assert_eq!((recovered.votes, recovered.accepted.len()), (true, 10));
}

#[test]
fn a_missing_segment_may_have_held_votes() {
    use storage::Disk;
    let disk = FaultyDisk::new(1);
    let mut log = fresh(&disk);
    for slot in 1..=10 {
        append(&mut log, vec![accepted(slot, 16 << 10)]);
        sync(&mut log);
    }
    disk.remove(Path::new("alpha/2/log/000002")).expect("it is there");
    for _ in 0..2 {
        let (_, recovered) = open(&disk).expect("the node goes on learning");
        assert!(!recovered.votes, "for good");
    }
}

#[test]
fn rot_found_while_reading_is_said() {
    let disk = FaultyDisk::new(1);
    let mut log = fresh(&disk);
    append(&mut log, vec![accepted(1, 3000), LogRecord::Chosen { through: 1 }]);
    sync(&mut log);
    let batch = batch_offset(&disk, 1, 3000);
    disk.flip(Path::new("alpha/2/log/000001"), batch + 5);
    assert!(log.read_chosen(1, 1 << 20).expect_err("the batch is damaged").is_rot());
}

#[test]
fn another_nodes_segment_is_not_read() {
    let disk = FaultyDisk::new(1);
    let mut log = fresh(&disk);
    append(&mut log, vec![accepted(1, 100)]);
    sync(&mut log);
    drop(log);
    let other = Owner { node: 3, ..OWNER };
    let opened = Log::open(disk, Path::new("alpha/2"), other, OPTIONS);
    assert!(opened.is_err() || opened.is_ok_and(|(_, recovered)| recovered.accepted.is_empty()));
}

#[test]
fn a_learned_batch_is_the_chosen_one_whatever_was_accepted() {
    let disk = FaultyDisk::new(1);
    let mut log = fresh(&disk);
    let learned = Bytes::from_static(b"learned");
    append(&mut log, vec![accepted(1, 3), LogRecord::Learned { slot: 1, batch: learned.clone() }]);
    append(&mut log, vec![accepted(1, 4), LogRecord::Chosen { through: 1 }]);
    assert_eq!(log.read_chosen(1, 100).expect("it is held"), std::slice::from_ref(&learned));
    sync(&mut log);
    let (log, _) = open(&disk).expect("it opens");
    assert_eq!(log.read_chosen(1, 100).expect("it is held"), [learned]);
}

#[test]
fn chosen_batches_come_in_bounded_pieces_but_never_none() {
    let disk = FaultyDisk::new(1);
    let mut log = fresh(&disk);
    append(&mut log, (1..=5).map(|slot| accepted(slot, 1000)).collect());
    append(&mut log, vec![LogRecord::Chosen { through: 4 }]);
    assert_eq!(log.read_chosen(1, 2500).expect("held").len(), 2);
    assert_eq!(log.read_chosen(1, 10).expect("held").len(), 1);
    assert_eq!(log.read_chosen(2, 1 << 20).expect("held").len(), 3, "the fifth is not chosen");
    assert!(log.read_chosen(5, 1 << 20).expect("nothing yet").is_empty());
}

#[test]
fn trimming_keeps_promise_mark_and_all_that_is_not_below() {
    let disk = FaultyDisk::new(1);
    let mut log = fresh(&disk);
    append(&mut log, vec![LogRecord::Promised { round: 9, node: 3 }]);
    for slot in 1..=40 {
        append(&mut log, vec![accepted(slot, 8 << 10), LogRecord::Chosen { through: slot - 1 }]);
        sync(&mut log);
    }
    let before = log.size_bytes();
    log.trim(30).expect("the disk is well");
    assert!(log.size_bytes() < before);
    assert!((20..=30).contains(&log.first_slot()), "{}", log.first_slot());
    assert!(log.read_chosen(1, 100).expect_err("it was trimmed").to_string().contains("holds nothing at 1"));
    let (log, recovered) = open(&disk).expect("it opens");
    assert_eq!((recovered.promised, recovered.chosen), ((9, 3), 39));
    assert_eq!(recovered.first_slot, log.first_slot());
    assert_eq!(log.read_chosen(30, usize::MAX).expect("held").len(), 10);
}

#[test]
fn trimming_never_gives_up_what_is_not_chosen() {
    let disk = FaultyDisk::new(1);
    let mut log = fresh(&disk);
    for slot in 1..=20 {
        append(&mut log, vec![accepted(slot, 8 << 10)]);
        sync(&mut log);
    }
    log.trim(u64::MAX).expect("the disk is well");
    let (_, recovered) = open(&disk).expect("it opens");
    assert_eq!(recovered.accepted.len(), 20);
}

#[test]
fn a_batch_that_no_segment_takes_is_refused_and_harms_nothing() {
    let disk = FaultyDisk::new(1);
    let mut log = fresh(&disk);
    let error = log.append(Unsynced::new(vec![accepted(1, 64 << 10)], ())).expect_err("it is too large");
    assert!(error.to_string().starts_with("a log record of 65536 bytes is larger than"), "{error}");
    append(&mut log, vec![accepted(1, 32 << 10)]);
    sync(&mut log);
}

#[test]
fn a_spare_half_prepared_is_made_anew() {
    for operation in 0..6 {
        let disk = FaultyDisk::new(operation);
        let mut log = fresh(&disk);
        let job = log.spare_job().expect("none is ready");
        assert!(log.spare_job().is_none(), "one is under way");
        disk.fail_after(operation, ErrorKind::StorageFull);
        let made = job.run();
        disk.heal();
        drop(log);
        disk.crash(operation);
        let mut log = fresh(&disk);
        if made.is_ok()
            && let Some(job) = log.spare_job()
        {
            log.put_spare(job.run().expect("there is room again"));
        }
        for slot in 1..=10 {
            append(&mut log, vec![accepted(slot, 16 << 10)]);
            sync(&mut log);
        }
    }
}

#[test]
fn a_state_from_elsewhere_takes_the_place_of_the_slots_through_it() {
    let disk = FaultyDisk::new(1);
    let mut log = fresh(&disk);
    append(&mut log, (1..=9).map(|slot| accepted(slot, 100)).collect());
    append(&mut log, vec![LogRecord::Chosen { through: 4 }]);
    // Far beyond, and then right at what is held.
    for (through, held) in [(6, vec![7, 8, 9]), (8, vec![9]), (200, vec![])] {
        log.install(through).expect("the disk is well");
        assert_eq!(log.first_slot(), through + 1);
        assert!(log.read_chosen(through, 100).is_err(), "the log does not hold it");
        disk.crash(through);
        let (opened, recovered) = open(&disk).expect("it opens");
        log = opened;
        assert_eq!((recovered.chosen, recovered.first_slot), (through, through + 1));
        assert_eq!(recovered.accepted.iter().map(|vote| vote.0).collect::<Vec<u64>>(), held);
    }
    append(&mut log, vec![accepted(201, 10), LogRecord::Chosen { through: 201 }]);
    assert_eq!(log.read_chosen(201, 100).expect("it is held").len(), 1);
}

#[test]
fn a_state_that_does_not_reach_what_is_chosen_leaves_the_rest() {
    let disk = FaultyDisk::new(1);
    let mut log = fresh(&disk);
    append(&mut log, (1..=9).map(|slot| accepted(slot, 100)).collect());
    append(&mut log, vec![LogRecord::Chosen { through: 9 }]);
    log.install(5).expect("the disk is well");
    let (log, recovered) = open(&disk).expect("it opens");
    assert_eq!((recovered.chosen, recovered.first_slot), (9, 6));
    assert_eq!(log.read_chosen(6, usize::MAX).expect("held").len(), 4);
}
