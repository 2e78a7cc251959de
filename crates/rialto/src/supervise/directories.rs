//! The directories of a network: closed to others, free of an earlier run, deleted when that is asked for, made when new.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use storage::{DirLock, LockError};

use super::prepare::Fresh;
use crate::cmd::init::{NewNode, identity_path, make_identity};
use crate::failure::Failure;
use crate::network::certificates;
use crate::network::layout::{Layout, Seat, node_dir};
use crate::network::name::BankName;
use crate::network::network_file::NetworkFile;
use crate::waiting::waiting_for;

/// Nodes of an `up` that was killed stop in order by themselves; that takes a moment.
const LEFTOVERS_PATIENCE: Duration = Duration::from_secs(10);

/// Closes the network's own directories to the other users of the machine, as they are made now. What an older version left
/// open is closed as well, and told; only what is not ours to close is refused.
pub(super) fn close_to_others(dir: &Path, layout: &Layout) -> Result<Option<String>, Failure> {
    let shared =
        |_| Failure::cannot_start(open_to_others(dir)).line("or choose another directory: rialto up --dir DIR");
    let mode = std::fs::metadata(dir).map_or(0, |found| std::os::unix::fs::PermissionsExt::mode(&found.permissions()));
    // Such as /tmp: it is everybody's by intent.
    if mode & 0o1002 == 0o1002 {
        return Err(shared(std::io::Error::other("everybody's")));
    }
    let mut closed = storage::private::close_dir(dir).map_err(shared)?;
    let groups = layout.banks.iter().map(|bank| dir.join(bank.name.as_str()));
    let groups: Vec<PathBuf> = groups.filter(|path| path.is_dir()).collect();
    let nodes = groups.iter().filter_map(|group| std::fs::read_dir(group).ok()).flatten().flatten();
    let nodes: Vec<PathBuf> = nodes.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    let others = ["tls", "clients", "demo"].map(|name| dir.join(name)).into_iter().filter(|path| path.is_dir());
    for path in groups.into_iter().chain(nodes).chain(others) {
        let failed = |_| Failure::cannot_start(open_to_others(&path));
        closed |= storage::private::close_dir(&path).map_err(failed)?;
    }
    let is_old = closed && !layout.banks.is_empty();
    Ok(is_old.then(|| format!("{} was open to other users of this machine, and is closed now", dir.display())))
}

fn open_to_others(dir: &Path) -> String {
    storage::private::check_dir(dir)
        .err()
        .map_or_else(|| format!("{} cannot be closed", dir.display()), |open| open.to_string())
}

/// The nodes of an earlier `up` that was killed may still be stopping: they hold their directories until they are done.
pub(super) fn wait_for_leftovers(dir: &Path, layout: &Layout) -> Result<(), Failure> {
    let give_up = Instant::now() + LEFTOVERS_PATIENCE;
    for bank in &layout.banks {
        for Seat { node, .. } in bank.seats() {
            let node_dir = node_dir(dir, &bank.name, node);
            let _waiting = waiting_for(format!("node {node} of bank {}, which an earlier run left, to end", bank.name));
            while node_dir.exists() {
                match DirLock::take(&node_dir) {
                    Ok(_) => break,
                    Err(LockError::Held { .. }) if Instant::now() < give_up => {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    Err(LockError::Held { pid, .. }) => {
                        let who = pid.map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
                        return Err(Failure::new(format!("node {node} of bank {} runs already, as {who}", bank.name))
                            .line(format!("it holds {}; stop it first", node_dir.display())));
                    }
                    Err(error @ LockError::Io { .. }) => return Err(Failure::new(error.to_string())),
                }
            }
        }
    }
    Ok(())
}

pub(super) fn delete(dir: &Path, layout: &Layout, fresh: Fresh) -> Result<(), Failure> {
    let names: Vec<&str> = layout.banks.iter().map(|bank| bank.name.as_str()).collect();
    if fresh == Fresh::DeleteAfterAsking {
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage(
                "--fresh deletes all money in the directory, and there is no terminal to ask on",
            )
            .line(format!(
                "if {} may go, say so: rialto up --fresh --yes --dir {}",
                dir.display(),
                dir.display()
            )));
        }
        print!("Delete all accounts and money of bank {} in {}? Type yes: ", names.join(", "), dir.display());
        let _ = std::io::stdout().flush();
        let mut answer = String::new();
        let _ = std::io::stdin().lock().read_line(&mut answer);
        if answer.trim() != "yes" {
            return Err(Failure::new("nothing was deleted")
                .line("without --fresh, rialto up goes on with the money that is there"));
        }
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| Failure::new(format!("deleting {}: {error}", path.display()))
    };
    // The layout goes last: if this is interrupted, the next run knows what is left to delete.
    // What clients kept of the old network would be paid in the new one; its certificates go with their CA.
    let of_network = [dir.join("clients"), certificates::dir(dir)];
    for path in names.iter().map(|name| dir.join(name)).chain(of_network).filter(|path| path.exists()) {
        std::fs::remove_dir_all(&path).map_err(failed(&path))?;
    }
    for path in [NetworkFile::path(dir), Layout::path(dir)].into_iter().filter(|path| path.exists()) {
        std::fs::remove_file(&path).map_err(failed(&path))?;
    }
    Ok(())
}

/// Makes the identities of banks that are new. A bank that is made lacks none, so a missing one was lost and stays so.
pub(super) fn make(dir: &Path, layout: &mut Layout, names: &[BankName]) -> Result<(), Failure> {
    let mut anything = false;
    for bank in layout.banks.iter_mut().filter(|bank| !bank.made && names.contains(&bank.name)) {
        for node in 1..=bank.nodes {
            let node_dir = node_dir(dir, &bank.name, node);
            if !identity_path(&node_dir).exists() {
                let made =
                    NewNode { name: &bank.name, node, nodes: bank.nodes, cluster: bank.cluster, mode: bank.mode };
                make_identity(&node_dir, &made)?;
            }
        }
        bank.made = true;
        anything = true;
    }
    if anything { layout.save(dir) } else { Ok(()) }
}
