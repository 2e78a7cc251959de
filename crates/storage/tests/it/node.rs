//! Journal and store of one node, fed with batches that follow from their slot: what a replica does with them, without
//! the log. A slot's batch is always the same, as if a log held it.

use std::collections::BTreeMap;
use std::path::Path;

use storage::{
    Disk, FoldRules, Folded, IndexKey, Journal, JournalMark, JournalRecord, OpenError, Owner, RECORD, StorageError,
    Store,
};

use crate::chance::Chance;

pub(crate) const OWNER: Owner = Owner { cluster: 0xC1, node: 2 };
pub(crate) const DIR: &str = "alpha/2";
/// Small, so that batches lie across files.
const RECORDS_PER_FILE: u64 = 16;

/// Records of this kind set a key (or remove it) and take an id.
const KIND: u16 = 1;

pub(crate) struct Rules;

impl FoldRules for Rules {
    fn effects(record: &JournalRecord, put: &mut dyn FnMut(&[u8], Option<&[u8]>)) -> Result<(), String> {
        let value = &record[48..48 + record[46] as usize];
        put(&record[32..40], if record[47] == 1 { Some(value) } else { None });
        Ok(())
    }

    fn key(record: &JournalRecord) -> Option<IndexKey> {
        let id = u128::from_le_bytes(record[8..24].try_into().expect("16 bytes"));
        (id != 0).then_some(IndexKey::new(0, id))
    }
}

/// The batch that the log holds for a slot.
pub(crate) fn batch(slot: u64) -> Vec<JournalRecord> {
    let mut chance = Chance::new(slot.wrapping_mul(7919));
    (0..chance.below(12)).map(|_| record(&mut chance)).collect()
}

fn record(chance: &mut Chance) -> JournalRecord {
    let mut record = [0; RECORD];
    record[..2].copy_from_slice(&KIND.to_le_bytes());
    if chance.below(8) > 0 {
        let id = u128::from(chance.below(u64::MAX)) << 64 | u128::from(chance.below(u64::MAX));
        record[8..24].copy_from_slice(&id.to_le_bytes());
    }
    record[32..40].copy_from_slice(&chance.below(40).to_be_bytes());
    record[46] = chance.below(100) as u8;
    record[47] = u8::from(chance.below(4) > 0);
    record[48..storage::RECORD_BODY].fill(chance.below(256) as u8);
    record
}

/// A record full of one byte.
pub(crate) fn full_of(byte: u8) -> JournalRecord {
    let mut record = [byte; RECORD];
    record[storage::RECORD_BODY..].fill(0);
    record
}

/// What table and runs must hold when they reach through a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) mark: JournalMark,
    pub(crate) entries: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) ids: BTreeMap<IndexKey, u64>,
}

impl Model {
    pub(crate) fn empty() -> Model {
        Model { mark: JournalMark::START, entries: BTreeMap::new(), ids: BTreeMap::new() }
    }

    pub(crate) fn take(&mut self, records: &[JournalRecord], mark: JournalMark) {
        for (place, record) in (self.mark.places + 1..).zip(records) {
            let folded = Rules::effects(record, &mut |key, value| match value {
                Some(value) => drop(self.entries.insert(key.to_vec(), value.to_vec())),
                None => drop(self.entries.remove(key)),
            });
            folded.expect("the rules know every record of theirs");
            if let Some(id) = Rules::key(record) {
                self.ids.entry(id).or_insert(place);
            }
        }
        self.mark = mark;
    }
}

pub(crate) struct Node<D: Disk> {
    pub(crate) journal: Journal<D>,
    pub(crate) store: Store<D>,
}

impl<D: Disk> Node<D> {
    pub(crate) fn open(disk: &D, dir: &Path) -> Result<Node<D>, OpenError> {
        let store = Store::open(disk.clone(), dir, OWNER)?;
        let journal = Journal::open_with(disk.clone(), dir, OWNER, store.mark(), RECORDS_PER_FILE)?;
        Ok(Node { journal, store })
    }

    pub(crate) fn apply(&mut self, slot: u64) -> Result<(), StorageError> {
        self.journal.begin(slot);
        for record in batch(slot) {
            let place = self.journal.push(&record);
            assert_eq!(self.journal.read(place)?, record, "what was pushed can be read");
        }
        self.journal.finish()
    }

    pub(crate) fn fold(&mut self) -> Result<(), StorageError> {
        let folded = self.fold_to(self.journal.mark())?;
        self.store.install(folded);
        Ok(())
    }

    pub(crate) fn fold_to(&self, to: JournalMark) -> Result<Folded<D>, StorageError> {
        self.store.fold(self.journal.reader(), to, Rules).run()
    }

    pub(crate) fn entries(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, StorageError> {
        self.store.entries().collect()
    }
}

/// The model through every slot up to `slots`, the empty one first. The chain comes from a disk without faults.
pub(crate) fn models(slots: u64) -> Vec<Model> {
    let disk = storage::FaultyDisk::new(0);
    let mut node = Node::open(&disk, Path::new(DIR)).expect("the disk is well");
    let mut models = vec![Model::empty()];
    for slot in 1..=slots {
        node.apply(slot).expect("the disk is well");
        let mut model = models.last().expect("there is the empty one").clone();
        model.take(&batch(slot), node.journal.mark());
        models.push(model);
    }
    models
}
