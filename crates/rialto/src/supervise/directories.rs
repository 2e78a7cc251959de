//! The directories of a network: closed to others, free of an earlier run, deleted when that is asked for, made when new.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clearing::Terms;
use ledger::money;
use storage::{DirLock, LockError};
use wallet::{Entry, Outbox};

use super::prepare::Fresh;
use crate::cmd::init::{NewNode, identity_path, make_identity};
use crate::failure::{Failure, prints_json};
use crate::network::certificates;
use crate::network::layout::{Layout, Seat, node_dir};
use crate::network::name::BankName;
use crate::network::network_file::NetworkFile;
use crate::plain::counted_of;
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
    let unsent = unsent(&clients(dir));
    if fresh == Fresh::DeleteAfterAsking && !std::io::stdin().is_terminal() {
        let failure = Failure::usage("--fresh deletes all money in the directory, and there is no terminal to ask on");
        let may_go = format!("if {} may go, say so: rialto up --fresh --yes --dir {}", dir.display(), dir.display());
        return Err(unsent.into_iter().fold(failure, Failure::line).line(may_go));
    }
    for line in &unsent {
        match prints_json() {
            true => eprintln!("{line}"),
            false => println!("{line}"),
        }
    }
    if fresh == Fresh::DeleteAfterAsking {
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
    let of_network = [clients(dir), certificates::dir(dir)];
    for path in names.iter().map(|name| dir.join(name)).chain(of_network).filter(|path| path.exists()) {
        std::fs::remove_dir_all(&path).map_err(failed(&path))?;
    }
    for path in [NetworkFile::path(dir), Layout::path(dir)].into_iter().filter(|path| path.exists()) {
        std::fs::remove_file(&path).map_err(failed(&path))?;
    }
    Ok(())
}

/// Where customers' commands keep profiles of the network in the directory.
fn clients(dir: &Path) -> PathBuf {
    dir.join("clients")
}

/// A sentence for each outbox that holds payments without an end: they are deleted with it, and never sent.
fn unsent(clients: &Path) -> Vec<String> {
    /// So many are named; the rest is counted.
    const NAMED_MAX: usize = 5;
    let profiles = std::fs::read_dir(clients).into_iter().flatten().flatten();
    let mut outboxes: Vec<PathBuf> = profiles.map(|profile| profile.path().join("outbox.db")).collect();
    outboxes.sort_unstable();
    let sentence = |outbox: PathBuf| {
        let open = match Outbox::open(&outbox).and_then(|outbox| outbox.open_entries()) {
            Ok(open) => open,
            Err(error) => return Some(format!("deletes an outbox that cannot be read: {error}")),
        };
        let payment = |entry: &Entry| {
            let Terms { id, payer, payee, amount, currency, .. } = &entry.terms;
            let amount = money::format(amount.minor(), *currency);
            format!("{id} ({amount} {} from {payer} to {payee})", currency.code())
        };
        let mut named: Vec<String> = open.iter().take(NAMED_MAX).map(payment).collect();
        if open.len() > NAMED_MAX {
            named.push(format!("and {} more", open.len() - NAMED_MAX));
        }
        let payments = counted_of(open.len(), "payment that waits", "payments that wait");
        let text = format!("deletes {payments} in the outbox {}: {}", outbox.display(), named.join(", "));
        (!open.is_empty()).then_some(text)
    };
    outboxes.into_iter().filter(|outbox| outbox.exists()).filter_map(sentence).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    #[test]
    fn payments_that_would_be_deleted_are_named() {
        let dir = TestDir::new();
        let clients = clients(dir.path());
        assert!(unsent(&clients).is_empty(), "nobody has signed in");
        let profile = wallet::Profile::make(clients.join("alice")).expect("there is room");
        let mut outbox = profile.outbox().expect("there is room");
        assert!(unsent(&clients).is_empty(), "nothing waits");
        for number in 1..=6 {
            let terms = Terms {
                id: clearing::PaymentId::new(number).expect("not nil"),
                payer: "alice@alpha".parse().expect("well formed"),
                payee: "bob@beta".parse().expect("well formed"),
                amount: ledger::Amount::new(12_50).expect("not zero"),
                currency: ledger::Currency::EUR,
                reference: ledger::Reference::EMPTY,
            };
            outbox.add(&terms, 1, 10).expect("there is room");
        }
        let said = unsent(&clients).join("\n");
        let begins =
            format!("deletes 6 payments that wait in the outbox {}: ", profile.dir().join("outbox.db").display());
        let first = "00000000-0000-0000-0000-000000000001 (12.50 EUR from alice@alpha to bob@beta), ";
        assert!(said.starts_with(&(begins + first)) && said.ends_with("), and 1 more"), "{said}");
        std::fs::create_dir(clients.join("bob")).expect("there is room");
        std::fs::write(clients.join("bob/outbox.db"), "no database, and longer than the head of one").expect("room");
        let said = unsent(&clients);
        assert!(said.len() == 2 && said[1].starts_with("deletes an outbox that cannot be read"), "{said:?}");
    }
}
