//! Whose a directory is, and who uses it now.

use std::io::ErrorKind;
use std::path::Path;

use storage::{DirLock, FaultyDisk, FirstMode, Identity, identity};

fn sample() -> Identity {
    Identity {
        cluster: 0xABCD,
        group: "alpha".to_string(),
        node: 2,
        incarnation: 1,
        nodes: 3,
        made_ms: 1_700_000_000_000,
        first_mode: FirstMode::Leader,
    }
}

#[test]
fn a_first_mode_is_kept() {
    let disk = FaultyDisk::new(1);
    let without_leader = Identity { first_mode: FirstMode::Leaderless, ..sample() };
    identity::create(&disk, Path::new("alpha/2"), &without_leader).expect("the disk is well");
    identity::create(&disk, Path::new("alpha/3"), &sample()).expect("the disk is well");
    assert_eq!(identity::load(&disk, Path::new("alpha/2")).expect("just made"), without_leader);
    assert_eq!(identity::load(&disk, Path::new("alpha/3")).expect("just made"), sample());
}

#[test]
fn an_identity_is_there_whole_or_not_at_all_after_a_crash_at_every_operation() {
    for crash in 0..20 {
        let disk = FaultyDisk::new(crash);
        disk.fail_after(crash, ErrorKind::Other);
        let made = identity::create(&disk, Path::new("alpha/2"), &sample());
        disk.heal();
        disk.crash(crash);
        match identity::load(&disk, Path::new("alpha/2")) {
            Ok(found) => assert_eq!(found, sample()),
            Err(error) => {
                assert!(made.is_err(), "after {crash}: {error}");
                assert!(!error.is_rot(), "after {crash}: {error}");
                identity::create(&disk, Path::new("alpha/2"), &sample()).expect("it can be made again");
            }
        }
    }
}

#[test]
fn an_identity_is_made_once() {
    let disk = FaultyDisk::new(1);
    identity::create(&disk, Path::new("alpha/2"), &sample()).expect("the disk is well");
    assert!(identity::create(&disk, Path::new("alpha/2"), &sample()).is_err());
}

#[test]
fn an_edited_identity_is_not_believed() {
    let disk = FaultyDisk::new(1);
    identity::create(&disk, Path::new("alpha/2"), &sample()).expect("the disk is well");
    disk.flip(Path::new("alpha/2/identity"), 30);
    let error = identity::load(&disk, Path::new("alpha/2")).expect_err("it was changed");
    assert_eq!(error.to_string(), "alpha/2/identity at 0 is damaged: its checksum does not match");
}

#[test]
fn a_second_holder_of_a_directory_is_refused_by_the_pid_of_the_first() {
    let dir = std::env::temp_dir().join(format!("storage-lock-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary directory can be made");
    let first = DirLock::take(&dir).expect("nobody has it");
    let refused = DirLock::take(&dir).expect_err("it is taken");
    assert_eq!(refused.to_string(), format!("{} is in use by process {}", dir.display(), std::process::id()));
    drop(first);
    DirLock::take(&dir).expect("it is free again, although the file is still there");
    std::fs::remove_dir_all(&dir).expect("it is ours");
}
