//! A checkpoint that has rotted is made again: table and runs are functions of the journal.

use std::path::Path;

use super::manifest::{Manifest, manifest_path};
use super::{FoldRules, Place, Store};
use crate::{Disk, JournalMark, JournalReader, StorageError};

/// Records of the journal that one step covers: bounds memory.
const STEP: u64 = 1 << 20;

impl<D: Disk> Store<D> {
    /// Throws away checkpoint and runs of the node whose directory is `dir`; nothing of them need be readable. The next
    /// [`Store::open`] begins with an empty one.
    pub fn discard(disk: &D, dir: &Path) -> Result<(), StorageError> {
        let place = Place::of(disk.clone(), dir, crate::Owner { cluster: 0, node: 0 });
        let manifest = manifest_path(&place.store_dir);
        // First the manifest: without it nothing counts, and what a crash leaves of the rest is removed at the next start.
        if disk.exists(&manifest).map_err(StorageError::io("looking for", &manifest, None))? {
            disk.remove(&manifest).map_err(StorageError::io("removing", &manifest, None))?;
            place.sync_names()?;
        }
        for path in [&place.store_dir, &place.ids_dir] {
            if !disk.exists(path).map_err(StorageError::io("looking for", path, None))? {
                return Ok(());
            }
        }
        place.remove_unlisted(&Manifest::FIRST)?;
        place.sync_names()
    }

    /// Goes on from the present checkpoint through `to`, step by step, telling `progress` the places done. As one
    /// [`crate::FoldJob`] would, but with bounded memory however long the way is.
    pub fn rebuild<F: FoldRules>(
        &mut self,
        journal: &JournalReader<D>,
        to: JournalMark,
        mut progress: impl FnMut(u64),
    ) -> Result<(), StorageError> {
        self.rebuild_in_steps::<F>(journal, to, STEP, &mut progress)
    }

    pub(super) fn rebuild_in_steps<F: FoldRules>(
        &mut self,
        journal: &JournalReader<D>,
        to: JournalMark,
        step: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StorageError> {
        while self.mark().places < to.places {
            let next = journal.check_some(self.mark(), to, step)?;
            let folded = self.job::<F>(journal.clone(), next).run()?;
            self.install(folded);
            progress(next.places);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FaultyDisk, IndexKey, Journal, JournalRecord, Owner, Put, RECORD, RECORD_BODY};
    use std::collections::BTreeMap;

    const OWNER: Owner = Owner { cluster: 5, node: 1 };

    struct Rules;

    impl FoldRules for Rules {
        fn effects(record: &JournalRecord, put: Put<'_>) -> Result<(), String> {
            put(&record[8..10], Some(&record[10..30]));
            Ok(())
        }

        fn key(record: &JournalRecord) -> Option<IndexKey> {
            Some(IndexKey::new(0, u128::from(record[9]) + 1000))
        }
    }

    /// A node with a journal of some batches, and what its checkpoint holds in the end.
    fn node(disk: &FaultyDisk) -> (Journal<FaultyDisk>, BTreeMap<Vec<u8>, Vec<u8>>) {
        let dir = Path::new("alpha/1");
        let mut journal = Journal::open(disk.clone(), dir, OWNER, JournalMark::START).expect("it opens");
        let mut store = Store::open(disk.clone(), dir, OWNER).expect("it opens");
        for slot in 1..60u8 {
            journal.begin(u64::from(slot));
            for n in 0..slot % 5 {
                let mut record = [0; RECORD];
                record[..RECORD_BODY].fill(slot);
                record[9] = slot % 7 + n;
                journal.push(&record);
            }
            journal.finish().expect("the disk is well");
            if slot % 20 == 0 {
                let folded = store.job::<Rules>(journal.reader(), journal.mark()).run().expect("the disk is well");
                store.install(folded);
            }
        }
        store.rebuild::<Rules>(&journal.reader(), journal.mark(), |_| ()).expect("the disk is well");
        let entries = store.entries().collect::<Result<_, _>>().expect("the disk is well");
        (journal, entries)
    }

    #[test]
    fn what_was_thrown_away_is_made_again_whatever_was_damaged_and_whenever_it_crashes() {
        let dir = Path::new("alpha/1");
        for crash in 0..60 {
            let disk = FaultyDisk::new(crash);
            let (journal, entries) = node(&disk);
            let mark = journal.mark();
            for name in disk.list(&dir.join("store")).expect("the disk is well") {
                disk.flip(&dir.join("store").join(name), 9);
            }
            assert!(Store::open(disk.clone(), dir, OWNER).is_err_and(|error| error.is_rot()));
            drop(journal);
            disk.fail_after(crash, std::io::ErrorKind::Other);
            let mend = || -> Result<Store<FaultyDisk>, Box<dyn std::error::Error>> {
                Store::discard(&disk, dir)?;
                let mut store = Store::open(disk.clone(), dir, OWNER)?;
                let journal = Journal::salvage(disk.clone(), dir, OWNER, u64::MAX)?;
                store.rebuild_in_steps::<Rules>(&journal.reader(), journal.mark(), 7, &mut |_| ())?;
                Ok(store)
            };
            let first = mend();
            disk.heal();
            disk.crash(crash);
            drop(first);
            let store = mend().expect("the disk is well");
            assert_eq!(store.mark(), mark, "crash after {crash}");
            let found: BTreeMap<_, _> = store.entries().collect::<Result<_, _>>().expect("the disk is well");
            assert_eq!(found, entries, "crash after {crash}");
            let find = |id| store.find(IndexKey::new(0, id)).expect("the disk is well");
            assert!((1000..1010).any(|id| find(id).is_some()));
        }
    }
}
