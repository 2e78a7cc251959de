//! What is on disk is for its owner alone, whatever the umask was, and a directory that is wider is refused.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::by_hand::{Node, Place, init};
use crate::network::{Network, TestDir, free_base, rialto, run, stderr};

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// Everything in a directory that others may read, write or enter.
fn open_to_others(dir: &Path) -> Vec<String> {
    let mut open = Vec::new();
    for entry in std::fs::read_dir(dir).expect("it is there").flatten() {
        let found = entry.metadata().expect("it is there");
        let mode = found.permissions().mode() & 0o777;
        if mode & 0o077 != 0 && !found.file_type().is_socket() {
            open.push(format!("{} has mode {mode:04o}", entry.path().display()));
        }
        if found.is_dir() {
            open.extend(open_to_others(&entry.path()));
        }
    }
    open
}

#[test]
fn a_networks_files_are_its_owners_alone() {
    let dir = TestDir::new("closed");
    let base = free_base().to_string();
    let flags = ["--nodes", "1", "--base-port", &base];
    let network = Network::up(dir.path(), &flags);
    let account = network.open_account();
    network.deposit(&account, "1");
    assert_eq!(open_to_others(dir.path()), Vec::<String>::new());
    network.stop();
    // What an older version left open is closed, and told.
    set_mode(&dir.path().join("alpha"), 0o755);
    set_mode(&dir.path().join("alpha/1"), 0o755);
    let network = Network::run(dir.path(), &flags);
    network.event(&["was open to other users of this machine, and is closed now"]);
    assert_eq!(open_to_others(dir.path()), Vec::<String>::new());
}

#[test]
fn made_under_an_open_umask_files_are_closed_and_a_wider_directory_is_refused() {
    let dir = TestDir::new("umask");
    let data = dir.path().join("node");
    let program = rialto();
    let make = ["bank", "init", "--name", "alpha", "--node", "1", "--nodes", "1", "--data"];
    let made = Command::new("sh")
        .args(["-c", "umask 000; exec \"$@\"", "sh"])
        .arg(program.get_program())
        .args(make)
        .arg(&data)
        .status()
        .expect("there is a sh");
    assert!(made.success());
    assert_eq!(open_to_others(dir.path()), Vec::<String>::new());

    set_mode(&data, 0o750);
    let close = format!("chmod 700 {}", data.display());
    let place = Place::of_alpha(free_base(), 1, 1);
    let (code, said) = Node::start(&place, &data, &dir.path().join("said")).end();
    assert!(code != Some(0) && said.contains(&close), "{code:?}: {said}");
    set_mode(&data, 0o700);
    let mut node = Node::start(&place, &data, &dir.path().join("said"));
    node.ready();
    node.stop();

    let wide = dir.path().join("wide");
    std::fs::create_dir(&wide).expect("there is room");
    set_mode(&wide, 0o755);
    let refused = run(&[
        "bank",
        "init",
        "--name",
        "alpha",
        "--node",
        "1",
        "--nodes",
        "1",
        "--data",
        wide.to_str().expect("UTF-8"),
    ]);
    assert!(!refused.status.success());
    assert!(stderr(&refused).contains(&format!("chmod 700 {}", wide.display())), "{}", stderr(&refused));
    set_mode(&wide, 0o700);
    init(&place, &wide, 1, None);
}
