//! Rot in the log: every byte of a small one flipped, one at a time and both places of a record at once, and what
//! opening it then says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use storage::{Disk, DiskFile, FaultyDisk, Log, LogFound, LogOptions, LogRecord, LogRecovered, Owner, Unsynced};

const OWNER: Owner = Owner { cluster: 0xC1, node: 2 };
const OPTIONS: LogOptions = LogOptions { segment_bytes: 20 << 10 };
const DIR: &str = "alpha/2";

fn find(disk: &FaultyDisk) -> LogFound<FaultyDisk> {
    Log::find(disk.clone(), Path::new(DIR), OWNER, OPTIONS).expect("the log is read")
}

fn open(disk: &FaultyDisk, checkpoint: u64) -> (Log<FaultyDisk>, LogRecovered) {
    find(disk).open(checkpoint).expect("the disk is well")
}

fn batch(slot: u64, round: u64) -> Bytes {
    vec![(slot * 16 + round) as u8; 70 + 10 * slot as usize].into()
}

fn accepted(slot: u64, round: u64) -> LogRecord {
    LogRecord::Accepted { slot, round, node: 1, batch: batch(slot, round) }
}

/// What lies in the log: chosen through 4, where slot 3 was learned to be another batch than was accepted; 5 to 8 above.
const CHOSEN: u64 = 4;
const ROUND: u64 = 7;

fn script() -> Vec<Vec<LogRecord>> {
    vec![
        vec![LogRecord::Promised { round: 1, node: 1 }],
        vec![accepted(1, 1), accepted(2, 1)],
        vec![accepted(3, 1), LogRecord::Chosen { through: 2 }],
        vec![LogRecord::Learned { slot: 3, batch: batch(3, 2) }],
        vec![accepted(4, 2), LogRecord::Chosen { through: 3 }],
        vec![accepted(5, 2), accepted(6, 2)],
        vec![accepted(5, 3), LogRecord::Chosen { through: CHOSEN }, accepted(7, 3)],
        vec![LogRecord::Promised { round: ROUND, node: 3 }],
        vec![accepted(8, ROUND), accepted(6, ROUND)],
        vec![LogRecord::Promised { round: ROUND + 1, node: 1 }],
    ]
}

/// The last vote in each slot above 0.
fn votes() -> BTreeMap<u64, u64> {
    BTreeMap::from([(1, 1), (2, 1), (3, 1), (4, 2), (5, 3), (6, ROUND), (7, 3), (8, ROUND)])
}

fn chosen_batch(slot: u64) -> Bytes {
    if slot == 3 { batch(3, 2) } else { batch(slot, votes()[&slot]) }
}

fn written() -> FaultyDisk {
    let disk = FaultyDisk::new(1);
    let (mut log, _) = open(&disk, 0);
    for group in script() {
        let _ = log.append(Unsynced::new(group, ())).expect("the disk is well");
        log.sync().expect("the disk is well");
    }
    disk
}

fn segments(disk: &FaultyDisk) -> Vec<(PathBuf, u64)> {
    let dir = Path::new(DIR).join("log");
    let names = disk.list(&dir).expect("the disk is well").into_iter().filter(|name| name.parse::<u64>().is_ok());
    names
        .map(|name| {
            let path = dir.join(name);
            let len = disk.open(&path).expect("it is there").len().expect("the disk is well");
            (path, len)
        })
        .collect()
}

/// Bytes that matter: all but zeros between records.
fn bytes_of(disk: &FaultyDisk, path: &Path, len: u64) -> Vec<u64> {
    let mut bytes = vec![0; len as usize];
    disk.open(path).expect("it is there").read_at(0, &mut bytes).expect("the disk is well");
    let near = |at: usize| bytes[at.saturating_sub(64)..(at + 64).min(bytes.len())].iter().any(|byte| *byte != 0);
    (0..bytes.len()).filter(|at| near(*at)).map(|at| at as u64).collect()
}

/// Nothing that binds the node is gone, nothing false is said, and what is served is what was chosen.
fn check(disk: &FaultyDisk, checkpoint: u64, context: &str) -> LogRecovered {
    let (log, recovered) = open(disk, checkpoint);
    assert!(recovered.votes, "{context}: one place is left");
    assert_eq!(recovered.promised, (ROUND + 1, 1), "{context}");
    assert!((checkpoint..=CHOSEN).contains(&recovered.chosen), "{context}: chosen {}", recovered.chosen);
    let expected: Vec<(u64, u64)> =
        votes().range(recovered.chosen + 1..).map(|(slot, round)| (*slot, *round)).collect();
    let found: Vec<(u64, u64)> = recovered.accepted.iter().map(|(slot, (round, _), ..)| (*slot, *round)).collect();
    assert_eq!(found, expected, "{context}");
    for (slot, (round, _), digest, found) in &recovered.accepted {
        let batch = batch(*slot, *round);
        assert_eq!(digest, blake3::hash(&batch).as_bytes(), "{context}: slot {slot}");
        assert!(found.as_ref().is_none_or(|found| *found == batch), "{context}: slot {slot}");
    }
    assert_eq!(recovered.held, 8, "{context}");
    assert!(recovered.first_slot <= recovered.chosen + 1, "{context}");
    for slot in 1..=recovered.chosen {
        match log.read_chosen(slot, 1) {
            Ok(batches) => assert_eq!(batches, [chosen_batch(slot)], "{context}: slot {slot}"),
            Err(error) => assert!(slot < recovered.first_slot, "{context}: slot {slot}: {error}"),
        }
    }
    recovered
}

#[test]
fn any_byte_flipped_loses_no_promise_no_vote_and_serves_nothing_false() {
    let clean = check(&written(), 0, "clean");
    assert_eq!((clean.chosen, clean.rotten.len(), clean.first_slot), (CHOSEN, 0, 1));
    let (mut rotten, mut lowered, mut without_batch) = (0, 0, 0);
    for (path, len) in segments(&written()) {
        for offset in bytes_of(&written(), &path, len) {
            for (checkpoint, more) in [(0, 0), (2, 0), (0, 12), (2, 12), (CHOSEN, 12)] {
                let disk = written();
                disk.flip(&path, offset);
                let context = format!("byte {offset} of {}, {more}, checkpoint {checkpoint}", path.display());
                // One word of a batch is mended, two are not.
                if more > 0 && offset + more < len {
                    disk.flip(&path, offset + more);
                }
                let found = check(&disk, checkpoint, &context);
                assert!(found.rotten.len() <= 1 + usize::from(more > 0), "{context}: {:?}", found.rotten);
                if more == 0 {
                    assert_eq!(found.chosen, CHOSEN, "{context}: nothing need be learned again");
                    assert!(found.accepted.iter().all(|vote| vote.3.is_some()), "{context}");
                }
                rotten += found.rotten.len();
                lowered += usize::from(found.chosen < CHOSEN);
                without_batch += found.accepted.iter().filter(|vote| vote.3.is_none()).count();
                // What was written anew is on the disk, and says the same without complaint.
                disk.crash(offset);
                let again = check(&disk, checkpoint, &context);
                assert!(again.rotten.is_empty(), "{context}: {:?}", again.rotten);
                let same = LogRecovered { rotten: Vec::new(), torn_bytes: again.torn_bytes, ..found };
                assert_eq!(again, same, "{context}");
                if checkpoint == 0 {
                    continue;
                }
                // The checkpoint moves on, and what was repaired is chosen again.
                check_repaired(&disk, checkpoint, &again, &context);
            }
        }
    }
    assert!(rotten > 1000 && lowered > 100 && without_batch > 100, "{rotten}, {lowered}, {without_batch}");
}

/// The node learns what it lacks, and then all is as if nothing had been.
fn check_repaired(disk: &FaultyDisk, checkpoint: u64, found: &LogRecovered, context: &str) {
    let (mut log, _) = open(disk, checkpoint);
    for slot in found.chosen + 1..=CHOSEN {
        let vote = found.accepted.iter().find(|vote| vote.0 == slot);
        // A vote for the very batch is not written again, as in Paxos.
        let held = vote.and_then(|vote| vote.3.clone()).is_some_and(|batch| batch == chosen_batch(slot));
        let learned = LogRecord::Learned { slot, batch: chosen_batch(slot) };
        let records = if held { vec![] } else { vec![learned] };
        let _ = log.append(Unsynced::new(records, ())).expect("the disk is well");
        let chosen = vec![LogRecord::Chosen { through: slot }];
        let _ = log.append(Unsynced::new(chosen, ())).expect("the disk is well");
        log.sync().expect("the disk is well");
    }
    drop(log);
    let repaired = check(disk, checkpoint, context);
    assert_eq!(repaired.chosen, CHOSEN, "{context}");
    assert!(repaired.rotten.is_empty(), "{context}");
}

#[test]
fn a_record_lost_in_both_places_takes_the_vote_for_good_and_nothing_else() {
    let disk = written();
    let mut lost = 0;
    let targets = disk.targets(Path::new(DIR), OWNER);
    let firsts: Vec<_> = targets.iter().filter(|target| target.place == Some(storage::LogPlace::First)).collect();
    assert!(firsts.len() > 20, "{}", firsts.len());
    for first in firsts {
        let second = targets
            .iter()
            .find(|other| {
                other.place == Some(storage::LogPlace::Second)
                    && other.path == first.path
                    && other.record_at == first.record_at
            })
            .expect("each record has two places");
        let disk = written();
        disk.flip(&first.path, first.bytes.start);
        disk.flip(&second.path, second.bytes.start);
        let (log, recovered) = open(&disk, CHOSEN);
        // The very last one may be a torn tail: then it was never proven.
        let last = recovered.votes;
        lost += u64::from(!last);
        assert!(recovered.chosen >= CHOSEN, "the checkpoint knows: {recovered:?}");
        for slot in recovered.first_slot..=recovered.chosen {
            assert_eq!(log.read_chosen(slot, 1).expect("held"), [chosen_batch(slot)]);
        }
        drop(log);
        for _ in 0..2 {
            let (_, again) = open(&disk, CHOSEN);
            assert_eq!(again.votes, last, "{first:?}");
            assert!(again.rotten.is_empty());
        }
    }
    assert!(lost > 15, "{lost}");
}

#[test]
fn a_crash_while_damage_is_written_anew_loses_nothing() {
    let places: Vec<(PathBuf, u64)> = {
        let disk = written();
        let targets = disk.targets(Path::new(DIR), OWNER);
        let deep = targets.iter().map(|target| (target.path.clone(), target.bytes.end - 13));
        let shallow = targets.iter().map(|target| (target.path.clone(), target.bytes.start + 3));
        shallow.chain(deep).collect()
    };
    for (path, offset) in places {
        for crash in 0..14 {
            let disk = written();
            disk.flip(&path, offset);
            disk.flip(&path, offset + 12);
            disk.fail_after(crash, std::io::ErrorKind::Other);
            let _ = Log::find(disk.clone(), Path::new(DIR), OWNER, OPTIONS).and_then(|found| found.open(2));
            disk.heal();
            disk.crash(crash * 7 + offset);
            let context = format!("byte {offset} of {}, crash after {crash}", path.display());
            check(&disk, 2, &context);
            let again = check(&disk, 2, &context);
            assert!(again.rotten.is_empty(), "{context}: {:?}", again.rotten);
        }
    }
}

#[test]
fn a_checkpoint_made_before_the_log_is_opened_stays_below_what_is_surely_marked() {
    let disk = written();
    assert_eq!(find(&disk).chosen(), CHOSEN);
    let (mut log, _) = open(&disk, 0);
    let _ = log.append(Unsynced::new(vec![LogRecord::Chosen { through: 6 }], ())).expect("the disk is well");
    drop(log);
    assert_eq!(find(&disk).chosen(), CHOSEN, "the last mark may be in the page cache only");
}

#[test]
fn a_log_of_before_the_second_place_opens_and_goes_on_with_two() {
    let disk = FaultyDisk::new(1);
    old_format::write(&disk);
    let (mut log, recovered) = open(&disk, 0);
    assert!(recovered.votes && recovered.rotten.is_empty(), "{recovered:?}");
    assert_eq!((recovered.promised, recovered.chosen), ((4, 2), 1));
    assert_eq!(recovered.accepted, [(2, (4, 2), *blake3::hash(b"two").as_bytes(), Some(Bytes::from_static(b"two")))]);
    let _ = log.append(Unsynced::new(vec![accepted(3, ROUND)], ())).expect("the disk is well");
    log.sync().expect("the disk is well");
    drop(log);
    let (_, recovered) = open(&disk, 0);
    assert_eq!(recovered.accepted.len(), 2);
    assert!(recovered.votes && recovered.rotten.is_empty(), "{recovered:?}");
    // In the old part there is no second place: what is lost there is lost.
    let disk = FaultyDisk::new(1);
    old_format::write(&disk);
    let (mut log, _) = open(&disk, 0);
    let _ = log.append(Unsynced::new(vec![accepted(3, ROUND)], ())).expect("the disk is well");
    log.sync().expect("the disk is well");
    drop(log);
    disk.flip(Path::new("alpha/2/log/000001"), 64 * 5 + 40);
    assert!(!open(&disk, 0).1.votes);
}

/// The first segment of a log as it was written before there was a second place.
mod old_format {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64_with_seed;

    pub(super) fn write(disk: &FaultyDisk) {
        let seed = {
            let mut whose = [0; 27];
            whose[..16].copy_from_slice(&OWNER.cluster.to_le_bytes());
            whose[16..18].copy_from_slice(&OWNER.node.to_le_bytes());
            whose[18] = 1;
            whose[19..].copy_from_slice(&1u64.to_le_bytes());
            xxh3_64_with_seed(&whose, 0)
        };
        let sum =
            |offset: u64, bytes: &[u8]| xxh3_64_with_seed(bytes, seed ^ offset.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        // Kind, slot, (round, node), batch, as they were numbered.
        type Record = (u8, u64, (u64, u16), &'static [u8]);
        let records: [Record; 9] = [
            (1, 0, (0, 0), b""),
            (3, 0, (0, 0), b""),
            (6, 0, (0, 0), b""),
            (7, 0, (0, 0), b""),
            (2, 0, (0, 0), b""),
            (3, 0, (4, 2), b""),
            (4, 1, (4, 2), b"one"),
            (4, 2, (4, 2), b"two"),
            (6, 1, (0, 0), b""),
        ];
        let mut bytes = Vec::new();
        for (kind, slot, (round, node), batch) in records {
            let offset = bytes.len();
            let mut record = vec![0; 64];
            record.extend_from_slice(batch);
            record.resize(record.len().next_multiple_of(64), 0);
            record[8..16].copy_from_slice(&sum(offset as u64 + 64, batch).to_le_bytes());
            record[16..20].copy_from_slice(b"RLog");
            (record[20], record[21]) = (kind, 1);
            record[22..24].copy_from_slice(&node.to_le_bytes());
            record[24..28].copy_from_slice(&(batch.len() as u32).to_le_bytes());
            record[28..32].copy_from_slice(&1u32.to_le_bytes());
            record[32..40].copy_from_slice(&slot.to_le_bytes());
            record[40..48].copy_from_slice(&round.to_le_bytes());
            record[60..64].copy_from_slice(&(offset as u32).to_le_bytes());
            let head = sum(offset as u64, &record[8..64]);
            record[..8].copy_from_slice(&head.to_le_bytes());
            bytes.extend_from_slice(&record);
        }
        let dir = Path::new(DIR).join("log");
        disk.create_dir_all(&dir).expect("the disk is well");
        let file = disk.create(&dir.join("000001")).expect("the disk is well");
        file.preallocate(OPTIONS.segment_bytes).expect("the disk is well");
        file.write_at(0, &bytes).expect("the disk is well");
        file.sync().expect("the disk is well");
        disk.sync_dir(&dir).expect("the disk is well");
    }
}

#[cfg(feature = "controls")]
#[test]
fn the_control_forgets_a_vote_that_rotted() {
    let disk = FaultyDisk::new(1);
    let open = || {
        let mut found = find(&disk);
        found.set_control(Some(storage::Control::VotesInOnePlace));
        found.open(0).expect("the disk is well")
    };
    let (mut log, _) = open();
    for slot in 1..=3 {
        let _ = log.append(Unsynced::new(vec![accepted(slot, 1)], ())).expect("the disk is well");
        log.sync().expect("the disk is well");
    }
    drop(log);
    let targets = disk.targets(Path::new(DIR), OWNER);
    assert!(targets.iter().all(|target| target.place == Some(storage::LogPlace::First)), "there is no second place");
    let vote = targets.iter().find(|target| target.slot == Some(2)).expect("it is there");
    disk.flip(&vote.path, vote.bytes.start);
    let (_, recovered) = open();
    assert!(recovered.votes, "the rule is broken");
    assert_eq!(recovered.accepted.iter().map(|vote| vote.0).collect::<Vec<u64>>(), [1, 3]);
}

#[test]
fn in_the_last_group_rot_is_mended_and_a_vote_whose_batch_is_torn_never_left() {
    let vote = |disk: &FaultyDisk, first: bool| {
        let place = if first { storage::LogPlace::First } else { storage::LogPlace::Second };
        let of_nine = |target: &storage::Target| target.slot == Some(9) && target.place == Some(place);
        disk.targets(Path::new(DIR), OWNER).into_iter().find(of_nine).expect("it is there")
    };
    // Bytes from the record's beginning, or from its entry's, and whether the vote stands.
    for (firsts, seconds, stands) in [
        (&[][..], &[][..], true),
        (&[3], &[], true),
        (&[70], &[], true),
        (&[3, 70], &[], true),
        (&[], &[20], true),
        (&[70, 90], &[], false),
        (&[70], &[20], false),
    ] {
        let disk = written();
        let (mut log, _) = open(&disk, 0);
        let _ = log.append(Unsynced::new(vec![accepted(9, ROUND + 1)], ())).expect("the disk is well");
        log.sync().expect("the disk is well");
        drop(log);
        let (first, second) = (vote(&disk, true), vote(&disk, false));
        firsts.iter().for_each(|at| disk.flip(&first.path, first.bytes.start + at));
        seconds.iter().for_each(|at| disk.flip(&second.path, second.bytes.start + at));
        for _ in 0..2 {
            let (_, recovered) = open(&disk, 0);
            let found = recovered.accepted.iter().find(|vote| vote.0 == 9);
            assert_eq!(found.is_some(), stands, "{firsts:?}, {seconds:?}");
            assert!(found.is_none_or(|vote| vote.3 == Some(batch(9, ROUND + 1))), "{firsts:?}, {seconds:?}");
            assert!(recovered.votes && recovered.rotten.is_empty(), "nothing says that it was synced: {recovered:?}");
        }
    }
}

/// The record that says so lies in what is damaged: nothing that becomes of it brings the vote back.
#[test]
fn a_log_that_has_lost_a_vote_votes_no_more_even_if_all_of_it_is_gone() {
    let disk = written();
    let targets = disk.targets(Path::new(DIR), OWNER);
    let of_third = targets.iter().filter(|target| target.path == targets[0].path).skip(4).take(12);
    of_third.for_each(|target| disk.flip(&target.path, target.bytes.start));
    let (log, recovered) = open(&disk, CHOSEN);
    assert!(!recovered.votes, "{recovered:?}");
    drop(log);
    for (path, _) in segments(&disk) {
        disk.remove(&path).expect("it is there");
    }
    let (log, recovered) = open(&disk, CHOSEN);
    assert!(!recovered.votes, "{recovered:?}");
    drop(log);
    assert!(!open(&disk, CHOSEN).1.votes);
}
