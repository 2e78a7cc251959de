//! The store's rules one by one, and its formats against a model.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use storage::{
    Disk, DiskFile, FaultyDisk, FoldRules, IndexKey, Journal, JournalMark, JournalRecord, OpenError, Part, RECORD,
    RECORD_BODY, StorageError, Store,
};

use crate::node::{DIR, Node, OWNER, models};

fn open(disk: &FaultyDisk) -> Result<Node<FaultyDisk>, OpenError> {
    Node::open(disk, Path::new(DIR))
}

fn node_through(disk: &FaultyDisk, slots: u64) -> Node<FaultyDisk> {
    let mut node = open(disk).expect("the disk is well");
    for slot in 1..=slots {
        node.apply(slot).expect("the disk is well");
        if slot % 7 == 0 {
            node.fold().expect("the disk is well");
        }
    }
    node.fold().expect("the disk is well");
    node
}

fn files(disk: &FaultyDisk, dir: &str) -> Vec<String> {
    disk.list(&Path::new(DIR).join(dir)).expect("the disk is well")
}

#[test]
fn a_run_reaches_exactly_to_the_checkpoint() {
    let disk = FaultyDisk::new(1);
    let mut node = open(&disk).expect("the disk is well");
    for slot in 1..=10 {
        node.apply(slot).expect("the disk is well");
    }
    let to = node.journal.mark();
    for slot in 11..=20 {
        node.apply(slot).expect("the disk is well");
    }
    let folded = node.fold_to(to).expect("the disk is well");
    node.store.install(folded);
    for (id, place) in &models(20)[20].ids {
        let expected = (*place < to.places).then_some(*place);
        assert_eq!(node.store.find(*id).expect("the disk is well"), expected);
    }
}

#[test]
fn the_present_version_is_read_undisturbed_while_the_next_one_is_made() {
    let disk = FaultyDisk::new(1);
    let mut node = node_through(&disk, 20);
    let models = models(30);
    let mut entries = node.store.entries();
    for slot in 21..=30 {
        node.apply(slot).expect("the disk is well");
    }
    let before: BTreeMap<_, _> = node.entries().expect("the disk is well");
    let folded = node.fold_to(node.journal.mark()).expect("the disk is well");
    assert_eq!(before, models[20].entries);
    assert_eq!(node.entries().expect("its file is gone but open"), models[20].entries);
    node.store.install(folded);
    assert_eq!(node.entries().expect("the disk is well"), models[30].entries);
    assert!(entries.next().is_some_and(|entry| entry.is_ok()));
}

#[test]
fn files_that_count_no_more_are_removed_and_only_those() {
    let disk = FaultyDisk::new(1);
    let node = node_through(&disk, 60);
    let foreign = Path::new(DIR).join("ids/notes-of-the-operator");
    disk.create(&foreign).expect("the disk is well");
    disk.create(&Path::new(DIR).join("ids/run-999999")).expect("the disk is well");
    drop(node);
    let node = open(&disk).expect("the disk is well");
    assert_eq!(files(&disk, "store").len(), 2, "manifest and table: {:?}", files(&disk, "store"));
    assert_eq!(files(&disk, "ids").len(), node.store.runs() + 1);
    assert!(disk.exists(&foreign).expect("the disk is well"));
}

#[test]
fn a_damaged_byte_in_any_file_of_the_store_is_found() {
    for (dir, offset_from) in [("store", 0), ("store", 20), ("ids", 0), ("ids", 100), ("ids", 4096)] {
        for name in files(
            &{
                let disk = FaultyDisk::new(1);
                node_through(&disk, 30);
                disk
            },
            dir,
        ) {
            let disk = FaultyDisk::new(1);
            let node = node_through(&disk, 30);
            let path = Path::new(DIR).join(dir).join(&name);
            let len = disk.open(&path).expect("it is there").len().expect("the disk is well");
            drop(node);
            disk.flip(&path, offset_from.min(len - 1));
            let found = match open(&disk) {
                Err(error) => error.is_rot(),
                Ok(node) => {
                    let entries = node.entries();
                    let ids: Result<Vec<_>, _> = models(30)[30].ids.keys().map(|id| node.store.find(*id)).collect();
                    entries.is_err_and(|error| error.is_rot()) || ids.is_err_and(|error| error.is_rot())
                }
            };
            assert!(found, "{dir}/{name} at {offset_from} of {len}");
        }
    }
}

#[test]
fn a_truncated_store_does_not_open() {
    for dir in ["store", "ids"] {
        let disk = FaultyDisk::new(1);
        for name in files(
            &{
                node_through(&disk, 30);
                disk.clone()
            },
            dir,
        ) {
            let disk = FaultyDisk::new(1);
            node_through(&disk, 30);
            let path = Path::new(DIR).join(dir).join(&name);
            let file = disk.open(&path).expect("it is there");
            file.truncate(file.len().expect("the disk is well") / 2).expect("the disk is well");
            let error = open(&disk).map(drop).expect_err(&name);
            assert!(error.is_rot(), "{error}");
            assert!(error.to_string().starts_with(&format!("alpha/2/{dir}/{name} at ")), "{error}");
        }
    }
}

#[test]
fn a_missing_table_does_not_open() {
    let disk = FaultyDisk::new(1);
    node_through(&disk, 30);
    let table = files(&disk, "store").into_iter().find(|name| name.starts_with("table")).expect("there is one");
    disk.remove(&Path::new(DIR).join("store").join(&table)).expect("it is there");
    let error = open(&disk).map(drop).expect_err("the manifest lists it");
    assert_eq!(
        error.to_string(),
        format!("alpha/2/store/{table} at 0 is damaged: it is missing, and the manifest lists it")
    );
    assert_eq!(error.rotten_part(), Some(Part::Store));
}

#[test]
fn after_a_switch_that_failed_no_other_fold_is_tried() {
    let disk = FaultyDisk::new(1);
    let mut node = node_through(&disk, 10);
    // Each operation of the fold fails once; from the switch on the store must close.
    let mut closed = 0;
    for operation in 0..200 {
        node.apply(node.journal.mark().slot + 1).expect("the disk is well");
        disk.fail_once_after(operation, ErrorKind::Other);
        let failed = node.fold();
        disk.heal();
        if failed.is_ok() {
            break;
        }
        if let Err(error) = node.fold() {
            assert!(error.to_string().contains("is closed to this process after an earlier failure"), "{error}");
            closed += 1;
            drop(node);
            node = open(&disk).expect("another process may");
            let next = node.journal.mark().slot + 1;
            (next..next + 1).try_for_each(|slot| node.apply(slot)).expect("the disk is well");
        }
    }
    assert!(closed >= 3, "a failed sync of the journal and of the switch close it: {closed}");
}

#[test]
fn a_fold_that_found_no_room_can_be_tried_again() {
    let disk = FaultyDisk::new(1);
    let mut node = node_through(&disk, 10);
    let slots = 14;
    for slot in 11..=slots {
        node.apply(slot).expect("the disk is well");
    }
    let used = disk.used();
    disk.full(Some(used + 10));
    let error = node.fold().expect_err("there is no room");
    assert!(error.is_full(), "{error}");
    assert!(error.to_string().ends_with("no space left on device"), "{error}");
    assert_eq!(disk.used(), used, "nothing half-made stays");
    disk.heal();
    node.fold().expect("now there is room");
    assert_eq!(node.entries().expect("the disk is well"), models(slots)[slots as usize].entries);
}

#[cfg(feature = "controls")]
#[test]
fn the_control_makes_a_run_reach_past_the_checkpoint() {
    let disk = FaultyDisk::new(1);
    let mut node = open(&disk).expect("the disk is well");
    for slot in 1..=20 {
        node.apply(slot).expect("the disk is well");
    }
    let models = models(20);
    node.store.set_control(Some(storage::Control::RunPastCheckpoint));
    let folded = node.fold_to(models[10].mark).expect("the disk is well");
    node.store.install(folded);
    let past = models[20].ids.iter().filter(|(_, place)| **place > models[10].mark.places);
    assert!(past.clone().count() > 5);
    assert!(past.clone().all(|(id, place)| node.store.find(*id).expect("the disk is well") == Some(*place)));
}

/// Key, value and id as they come, for the proptest: longer than the fixed script's.
struct AnyRules;

impl FoldRules for AnyRules {
    fn effects(record: &JournalRecord, put: &mut dyn FnMut(&[u8], Option<&[u8]>)) -> Result<(), String> {
        let (key_len, value_len) = (record[2] as usize, record[3] as usize);
        let (key, value) = (&record[32..32 + key_len], &record[96..96 + value_len]);
        put(key, if record[4] == 0 { None } else { Some(value) });
        Ok(())
    }

    fn key(record: &JournalRecord) -> Option<IndexKey> {
        let id = u128::from_le_bytes(record[8..24].try_into().expect("16 bytes"));
        (id != 0).then_some(IndexKey::new(record[5], id))
    }
}

fn any_record() -> impl Strategy<Value = JournalRecord> {
    // Few keys and few ids, so that they meet again; ids near each other and far apart; many kinds of one id, so that the
    // keys of one id reach over the end of a block.
    let id = prop_oneof![0..4u128, 0..40u128, any::<u128>(), Just(u128::MAX)];
    let kind = prop_oneof![Just(0), 0..3u8, any::<u8>()];
    (vec(0..3u8, 0..4), vec(any::<u8>(), 0..=RECORD_BODY - 96), 0..3u8, id, kind).prop_map(
        |(key, value, keep, id, kind)| {
            let mut record = [0; RECORD];
            record[0] = 1;
            (record[2], record[3], record[4], record[5]) = (key.len() as u8, value.len() as u8, keep, kind);
            record[8..24].copy_from_slice(&id.to_le_bytes());
            record[32..32 + key.len()].copy_from_slice(&key);
            record[96..96 + value.len()].copy_from_slice(&value);
            record
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn table_and_runs_are_what_two_ordered_maps_are(batches in vec(vec(any_record(), 0..60), 1..24), strangers in vec(any::<u128>(), 20)) {
        let disk = FaultyDisk::new(1);
        let dir = Path::new(DIR);
        let mut journal = Journal::open(disk.clone(), dir, OWNER, JournalMark::START).expect("the disk is well");
        let mut store = Store::open(disk.clone(), dir, OWNER).expect("the disk is well");
        let (mut table, mut ids) = (BTreeMap::new(), BTreeMap::new());
        let mut keys: u64 = 0;
        for (slot, records) in (1..).zip(&batches) {
            journal.begin(slot);
            for record in records {
                let place = journal.push(record);
                let folded = AnyRules::effects(record, &mut |key, value| match value {
                    Some(value) => drop(table.insert(key.to_vec(), value.to_vec())),
                    None => drop(table.remove(key)),
                });
                folded.expect("the rules know every record of theirs");
                if let Some(id) = AnyRules::key(record) {
                    ids.entry(id).or_insert(place);
                    keys += 1;
                }
            }
            journal.finish().expect("the disk is well");
            let folded = store.fold(journal.reader(), journal.mark(), AnyRules).run().expect("the disk is well");
            store.install(folded);
            // Eight runs of a size class become one, so each class has seven at most.
            prop_assert!(store.runs() as u32 <= 7 * (1 + keys.max(1).ilog(8)), "{} runs of {keys} keys", store.runs());
        }
        for store in [&store, &Store::open(disk, dir, OWNER).expect("the disk is well")] {
            let found: Result<BTreeMap<_, _>, StorageError> = store.entries().collect();
            prop_assert_eq!(found.expect("the disk is well"), table.clone());
            for (id, place) in &ids {
                prop_assert!(store.maybe_contains(*id));
                prop_assert_eq!(store.find(*id).expect("the disk is well"), Some(*place));
            }
            for key in strangers.iter().map(|id| IndexKey::new(0, *id)).filter(|key| !ids.contains_key(key)) {
                prop_assert_eq!(store.find(key).expect("the disk is well"), None);
            }
        }
    }
}
