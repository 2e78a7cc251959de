//! A journal of another version's records: the node says so and stops, and does not panic.

use clearing::record::kind;
use clearing::{Command, PaymentId, Request};
use gateway::Machine;
use paxos::Slot;
use replica::group::Group;
use replica::{Applier, ApplierSettings, ApplyError, JournalRules, Tag, Tagged, request};
use std::path::Path;
use storage::{
    FaultyDisk, FoldRules, IndexKey, Journal, JournalMark, JournalRecord, Owner, Put, RECORD, StorageError, Store,
};

const DIR: &str = "/gateway";
const OWNER: Owner = Owner { cluster: 1, node: 1 };
const ID: u128 = 7;

/// The rules of the version that wrote the record.
struct Newer;

impl FoldRules for Newer {
    fn effects(_record: &JournalRecord, _put: Put<'_>) -> Result<(), String> {
        Ok(())
    }

    fn key(record: &JournalRecord) -> Option<IndexKey> {
        Machine::key(record)
    }
}

/// Says of itself that it is a payment of that id, and is none that this build can read: it has no parties.
fn strange() -> JournalRecord {
    let mut record = [0; RECORD];
    record[..2].copy_from_slice(&kind::PAYMENT_TAKEN.to_le_bytes());
    record[20..36].copy_from_slice(&ID.to_le_bytes());
    record
}

fn journal_with(record: &JournalRecord, disk: &FaultyDisk) -> Journal<FaultyDisk> {
    let mut journal = Journal::open(disk.clone(), Path::new(DIR), OWNER, JournalMark::START).expect("it opens");
    journal.begin(1);
    journal.push(record);
    journal.finish().expect("the disk is well");
    journal
}

#[test]
fn no_checkpoint_is_made_of_a_record_that_this_build_cannot_read() {
    let disk = FaultyDisk::new(1);
    let unknown = {
        let mut record = strange();
        record[..2].copy_from_slice(&9_999u16.to_le_bytes());
        record
    };
    for record in [strange(), unknown] {
        let (disk, journal) = (disk.clone(), journal_with(&record, &FaultyDisk::new(2)));
        let mut store = Store::open(disk, Path::new(DIR), OWNER).expect("it opens");
        let made = store.rebuild::<JournalRules<Machine>>(&journal.reader(), journal.mark(), |_| ());
        let error = made.expect_err("it would lack what the record says");
        assert!(matches!(error, StorageError::Unreadable { place: 1, .. }), "{error}");
        assert!(error.to_string().contains("this version of the program cannot read"), "{error}");
        assert_eq!(store.mark(), JournalMark::START, "nothing of it counts");
    }
}

#[test]
fn a_request_that_leads_to_such_a_record_stops_the_node_with_a_sentence() {
    let disk = FaultyDisk::new(1);
    let journal = journal_with(&strange(), &disk);
    let mut store = Store::open(disk.clone(), Path::new(DIR), OWNER).expect("it opens");
    store.rebuild::<Newer>(&journal.reader(), journal.mark(), |_| ()).expect("its own version reads it");
    drop((journal, store));
    let settings = ApplierSettings { fold_records: u64::MAX, hash_seed: 1 };
    let opened = Applier::open(&disk, Path::new(DIR), OWNER, Machine::new(), Group::unknown(), settings);
    let mut applier = opened.expect("the checkpoint is empty");
    let asked = Command::TimeOut { id: PaymentId::new(ID).expect("not nil") };
    let request = Request { commands: vec![asked] }.encode().into();
    let batch = request::encode(1_000, &[Tagged { tag: Tag { origin: 1, boot: 1, seq: 1 }, request }]);
    let error = applier.apply(Slot::new(2), &batch).expect_err("what the id stands for is not known");
    assert!(matches!(error, ApplyError::Storage(StorageError::Unreadable { place: 1, .. })), "{error}");
}
