//! Journal and store under crashes: a checkpoint that was installed is there, table and runs reach exactly its mark,
//! and all that lies beyond is made again from the slots, the same bytes.

use std::io::ErrorKind;
use std::path::Path;

use storage::{FaultyDisk, OpenError, StorageError};

use crate::chance::Chance;
use crate::node::{DIR, Model, Node, models};

const SLOTS: u64 = 60;

/// Applies what is missing and folds now and then; returns the last slot whose checkpoint was installed.
fn work(node: &mut Node<FaultyDisk>, chance: &mut Chance, installed: &mut u64) -> Result<(), StorageError> {
    while node.journal.mark().slot < SLOTS {
        let slot = node.journal.mark().slot + 1;
        node.apply(slot)?;
        if chance.below(6) == 0 {
            node.fold()?;
            *installed = slot;
        }
    }
    Ok(())
}

fn open(disk: &FaultyDisk) -> Result<Node<FaultyDisk>, OpenError> {
    Node::open(disk, Path::new(DIR))
}

/// Table and runs are those of their mark: no more, no less.
fn check(node: &Node<FaultyDisk>, models: &[Model], installed: u64, context: &str) {
    let mark = node.store.mark();
    assert!(mark.slot >= installed, "{context}: the checkpoint of slot {installed} was lost");
    let model = &models[mark.slot as usize];
    assert_eq!(mark, model.mark, "{context}");
    assert_eq!(node.entries().expect("the disk is well"), model.entries, "{context}");
    let all = models.last().expect("there are models");
    for (id, place) in &all.ids {
        let expected = (*place < mark.places).then_some(*place);
        assert_eq!(node.store.find(*id).expect("the disk is well"), expected, "{context}: id at place {place}");
    }
}

fn one_life(disk: &FaultyDisk, chance: &mut Chance, installed: &mut u64) -> Result<(), StorageError> {
    match open(disk) {
        Ok(mut node) => work(&mut node, chance, installed),
        Err(OpenError::Failed(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn checkpoint_and_runs_are_switched_together_at_every_crash() {
    let models = models(SLOTS);
    let disk = FaultyDisk::new(0);
    one_life(&disk, &mut Chance::new(5), &mut 0).expect("the disk is well");
    let operations = disk.operations();
    assert!(operations > 300, "the script does something: {operations}");
    for crash in 0..operations {
        let disk = FaultyDisk::new(crash);
        let mut installed = 0;
        disk.fail_after(crash, ErrorKind::Other);
        let _ = one_life(&disk, &mut Chance::new(5), &mut installed);
        disk.heal();
        disk.crash(crash);
        let context = format!("crash after {crash}");
        let mut node = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
        check(&node, &models, installed, &context);
        // What lies beyond is made again and is the same, to the end.
        work(&mut node, &mut Chance::new(crash + 1), &mut installed)
            .unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(node.journal.mark(), models[SLOTS as usize].mark, "{context}");
        node.fold().expect("the disk is well");
        check(&node, &models, SLOTS, &context);
    }
}

#[test]
fn many_lives_lose_no_installed_checkpoint() {
    let models = models(SLOTS);
    for seed in 0..150 {
        let disk = FaultyDisk::new(seed);
        let mut chance = Chance::new(seed);
        let mut installed = 0;
        for life in 0..8 {
            let kind = if chance.below(3) == 0 { ErrorKind::StorageFull } else { ErrorKind::Other };
            disk.fail_after(chance.below(200), kind);
            let _ = one_life(&disk, &mut chance, &mut installed);
            disk.heal();
            // Sometimes only the process dies.
            if chance.below(3) > 0 {
                disk.crash(seed * 64 + life);
            }
            let context = format!("seed {seed}, life {life}");
            let node = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
            check(&node, &models, installed, &context);
        }
    }
}

#[test]
fn a_full_disk_at_any_write_loses_nothing() {
    let models = models(SLOTS);
    let disk = FaultyDisk::new(0);
    one_life(&disk, &mut Chance::new(5), &mut 0).expect("the disk is well");
    for operation in 0..disk.operations() {
        let disk = FaultyDisk::new(operation);
        let mut installed = 0;
        disk.fail_after(operation, ErrorKind::StorageFull);
        if let Err(error) = one_life(&disk, &mut Chance::new(5), &mut installed) {
            assert!(error.is_full(), "{error}");
        }
        disk.heal();
        let context = format!("full at {operation}");
        let mut node = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
        check(&node, &models, installed, &context);
        work(&mut node, &mut Chance::new(9), &mut installed).unwrap_or_else(|error| panic!("{context}: {error}"));
    }
}
