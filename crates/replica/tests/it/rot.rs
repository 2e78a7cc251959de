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

/// As [`worked`], and behind the checkpoint old ids are asked for again: a start that applies those looks into the runs.
fn worked_and_repeated() -> Cluster {
    let mut cluster = worked();
    for id in (1..=40).step_by(3) {
        cluster.add(1, id, 1, 1);
    }
    cluster.pass(200_000);
    cluster
}

/// Every place of a file that holds anything, not each byte but every block.
fn places(cluster: &Cluster, file: &Path) -> Vec<u64> {
    let len = cluster.disks[&3].open(file).and_then(|file| file.len()).expect("the disk is sound");
    (0..len).step_by(199).chain([len.saturating_sub(1)]).collect()
}

/// One byte turned, wherever: the node starts, and comes to be as the others.
#[test]
fn rot_anywhere_in_what_is_made_of_the_log_is_mended_by_a_start() {
    let first = worked_and_repeated();
    let parts = ["ids", "store", "journal"];
    let all: Vec<(PathBuf, u64)> = parts
        .iter()
        .flat_map(|part| files(&first, part))
        .flat_map(|file| places(&first, &file).into_iter().map(move |place| (file.clone(), place)))
        .collect();
    let mut mended = 0;
    for (file, place) in all {
        let mut cluster = worked_and_repeated();
        cluster.stop(3);
        cluster.disks[&3].flip(&file, place);
        let founders = cluster.founders(3);
        let opened = cluster.open(3, founders.clone());
        let error = opened.err().map(|error| error.to_string());
        assert_eq!(error, None, "{} at {place}", file.display());
        cluster.start(3, founders);
        mended += cluster.mended[&3];
        cluster.until("it serves", |cluster| {
            cluster.nodes[&3].replica.serves() && cluster.applied(3) >= cluster.applied(1)
        });
        assert_eq!(cluster.sums(3), cluster.sums(1), "{} at {place}", file.display());
    }
    // The opening before the start mends most of it; what is behind the checkpoint in the journal is written again.
    println!("{mended} of them were mended by the second opening");
}

/// One byte turned while the node runs: a question that meets it gets an error and no wrong answer, the node is told, and
/// an opening that distrusts its files mends it.
#[test]
fn a_question_that_meets_rot_is_told_so_and_the_next_opening_mends_it() {
    let first = worked_and_repeated();
    let mut met = 0;
    for part in ["ids", "journal"] {
        for file in files(&first, part) {
            for place in places(&first, &file) {
                let mut cluster = worked_and_repeated();
                let good: Vec<_> = {
                    let applier = &cluster.nodes[&3].applier;
                    (1..=60).map(|id| applier.find(storage::IndexKey::new(0, id)).expect("the disk is sound")).collect()
                };
                cluster.disks[&3].flip(&file, place);
                let applier = &cluster.nodes[&3].applier;
                for (id, good) in (1..=60).zip(&good) {
                    match applier.find(storage::IndexKey::new(0, id)) {
                        Ok(found) => assert_eq!(&found, good, "id {id}, {} at {place}", file.display()),
                        Err(error) => assert!(error.is_rot(), "{error}"),
                    }
                }
                let Some(found) = applier.take_met() else { continue };
                assert_eq!((found.part.name(), applier.take_met()), (part, None), "{}", found.what);
                met += 1;
                cluster.stop(3);
                cluster.distrust = true;
                let founders = cluster.founders(3);
                cluster.start(3, founders);
                cluster.distrust = false;
                cluster.until("it serves", |cluster| {
                    cluster.nodes[&3].replica.serves() && cluster.applied(3) >= cluster.applied(1)
                });
                let applier = &cluster.nodes[&3].applier;
                let again: Vec<_> =
                    (1..=60).map(|id| applier.find(storage::IndexKey::new(0, id)).expect("it is mended")).collect();
                assert_eq!(again, good);
            }
        }
    }
    assert!(met > 20, "questions met only {met}");
}
