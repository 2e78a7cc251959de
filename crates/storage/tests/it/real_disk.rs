//! The same code on the disk of this machine.

use std::path::PathBuf;

use storage::{Disk, DiskFile, Log, LogOptions, LogRecord, Owner, RealDisk, Unsynced};

use crate::node::{Node, OWNER, models};

/// A directory that is removed when the test ends.
struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> TempDir {
        let dir = std::env::temp_dir().join(format!("storage-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary directory can be made");
        TempDir(dir)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // What remains is in the temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn log_journal_and_store_live_on_a_real_disk() {
    let dir = TempDir::new("smoke");
    let slots = 40;
    let options = LogOptions { segment_bytes: 1 << 20 };
    for life in 0..3 {
        let (mut log, recovered) = Log::open(RealDisk, &dir.0, OWNER, options.clone()).expect("the disk is well");
        assert_eq!(recovered.chosen, life * 10);
        assert_eq!(recovered.torn_bytes, 0);
        for slot in life * 10 + 1..=life * 10 + 10 {
            let batch = vec![slot as u8; 200_000].into();
            let records =
                vec![LogRecord::Accepted { slot, round: 1, node: 1, batch }, LogRecord::Chosen { through: slot }];
            let pending = log.append(Unsynced::new(records, slot)).expect("the disk is well");
            let proof = log.sync().expect("the disk is well");
            assert_eq!(pending.release(&proof).expect("it is proven"), slot);
        }
        log.trim(life * 10).expect("the disk is well");
        assert_eq!(log.read_chosen(life * 10 + 1, usize::MAX).expect("held").len(), 10);

        let mut node = Node::open(&RealDisk, &dir.0).expect("the disk is well");
        for slot in node.journal.mark().slot + 1..=slots / 3 * (life + 1) {
            node.apply(slot).expect("the disk is well");
        }
        node.fold().expect("the disk is well");
    }
    let node = Node::open(&RealDisk, &dir.0).expect("the disk is well");
    let models = models(slots);
    let model = &models[node.store.mark().slot as usize];
    assert_eq!(node.store.mark(), model.mark);
    assert_eq!(node.entries().expect("the disk is well"), model.entries);
    assert!(model.ids.iter().all(|(id, place)| node.store.find(*id).expect("the disk is well") == Some(*place)));
}

#[test]
fn another_nodes_store_is_refused_by_name() {
    let dir = TempDir::new("foreign");
    let mut node = Node::open(&RealDisk, &dir.0).expect("the disk is well");
    node.apply(1).expect("the disk is well");
    node.fold().expect("the disk is well");
    let other = Owner { node: 3, ..OWNER };
    let error = storage::Store::open(RealDisk, &dir.0, other).expect_err("it is node 2's");
    assert!(error.to_string().ends_with("cannot be used here: it belongs to node 2 or to another cluster"), "{error}");
}

#[test]
fn room_that_was_made_is_really_occupied() {
    use std::os::unix::fs::MetadataExt;
    let dir = TempDir::new("room");
    let path = dir.0.join("file");
    let file = RealDisk.create(&path).expect("the disk is well");
    file.preallocate(3 << 20).expect("the disk is well");
    file.sync().expect("the disk is well");
    let metadata = std::fs::metadata(&path).expect("it is there");
    assert_eq!(metadata.len(), 3 << 20);
    assert!(metadata.blocks() * 512 >= 3 << 20, "{} blocks", metadata.blocks());
    assert!(RealDisk.create(&path).is_err(), "a file is created once");
    assert_eq!(RealDisk.list(&dir.0).expect("the disk is well"), ["file"]);
}

#[test]
fn what_memory_may_forget_is_read_from_the_disk_again() {
    let dir = TempDir::new("forget");
    let path = dir.0.join("file");
    let file = RealDisk.create(&path).expect("the disk is well");
    let synced = vec![7; 1 << 20];
    file.write_at(0, &synced).expect("the disk is well");
    file.sync().expect("the disk is well");
    // Not synced, and in the middle of what may be forgotten: it must be there all the same.
    file.write_at(10_000, &[9; 10_000]).expect("the disk is well");
    file.forget(0, 1 << 21);
    let mut expected = synced;
    expected[10_000..20_000].fill(9);
    let mut read = vec![0; 1 << 21];
    assert_eq!(file.read_at(0, &mut read).expect("the disk is well"), 1 << 20, "no more and no less than was written");
    assert!(read[..1 << 20] == expected, "the bytes are those that were written");
}
