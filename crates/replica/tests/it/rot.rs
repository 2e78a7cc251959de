//! Rot in a node's files, found at its start.

use crate::cluster::{Cluster, DIR};
use replica::group::Mode;
use std::path::{Path, PathBuf};
use storage::{Disk, DiskFile};

fn worked() -> Cluster {
    let mut cluster = Cluster::new(3, Mode::Leader);
    for at in 1..=60_u64 {
        cluster.add(1, u128::from(at), (at % 7) as u8, 1);
        if at == 40 {
            (1..=3).for_each(|number| cluster.checkpoint(number));
        }
    }
    cluster.pass(200_000);
    cluster
}

fn files(cluster: &Cluster, part: &str) -> Vec<PathBuf> {
    let dir = Path::new(DIR).join(part);
    let names = cluster.disks[&3].list(&dir).expect("the disk is sound");
    names.into_iter().map(|name| dir.join(name)).collect()
}

/// Flips a byte in the files of node 3 while it is down, so far before their ends, and starts it again.
fn flip_and_start(part: &str, before_end: u64) -> Cluster {
    let mut cluster = worked();
    cluster.stop(3);
    for file in files(&cluster, part) {
        let len = cluster.disks[&3].open(&file).and_then(|file| file.len()).expect("the disk is sound");
        cluster.disks[&3].flip(&file, len - before_end);
    }
    let founders = cluster.founders(3);
    cluster.start(3, founders);
    cluster
        .until("it serves", |cluster| cluster.nodes[&3].replica.serves() && cluster.applied(3) >= cluster.applied(1));
    cluster
}

fn is_as_others(cluster: &mut Cluster) {
    assert_eq!(cluster.sums(3), cluster.sums(1));
    assert_eq!(cluster.nodes[&3].applier.mark(), cluster.nodes[&1].applier.mark());
    assert_eq!(cluster.add(3, 5, 5, 1), 1, "the first outcome of an old id");
    let before = cluster.sums(1)[&5];
    assert_eq!(cluster.add(3, 1_000, 5, 1), before + 1);
}

#[test]
fn a_rotten_checkpoint_is_made_again_from_the_journal() {
    let mut cluster = flip_and_start("store", 10);
    assert_eq!(cluster.mended[&3], 1);
    is_as_others(&mut cluster);
}

#[test]
fn rotten_ids_are_made_again_from_the_journal() {
    let mut cluster = flip_and_start("ids", 10);
    assert_eq!(cluster.mended[&3], 1);
    is_as_others(&mut cluster);
}

#[test]
fn a_rotten_journal_is_fetched_from_the_first_bad_batch_on() {
    let mut cluster = worked();
    let mark = cluster.nodes[&3].applier.mark();
    cluster.stop(3);
    // The last batch under the checkpoint is looked at when the journal is opened.
    let covered = 41 * 2 * 256 + 300;
    for file in files(&cluster, "journal") {
        cluster.disks[&3].flip(&file, covered);
    }
    let founders = cluster.founders(3);
    cluster.start(3, founders);
    cluster
        .until("it serves", |cluster| cluster.nodes[&3].replica.serves() && cluster.applied(3) >= cluster.applied(1));
    assert!(cluster.nodes[&3].applier.mark().places >= mark.places);
    is_as_others(&mut cluster);
}
