//! From a directory and what was asked for to the processes to run: locks, makes what is new, chooses ports.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use api::status::Mode;
use storage::{DirLock, LockError};

use super::plan::BankPlan;
use crate::cmd::init::{NewNode, identity_path, make_identity};
use crate::failure::Failure;
use crate::network::certificates;
use crate::network::cluster::Cluster;
use crate::network::layout::{BankLayout, ConsulLayout, Layout, PortChoice, Seat, founders, node_dir};
use crate::network::name::{BankName, GATEWAY_NAME};
use crate::network::network_file::{Kind, NetworkFile};
use crate::network::ports::{BASE_DEFAULT, BLOCK, Ports, Taken};

const NODES_DEFAULT: u16 = 3;
/// Nodes of an `up` that was killed stop in order by themselves; that takes a moment.
const LEFTOVERS_PATIENCE: Duration = Duration::from_secs(10);
/// The ports that a bank had may be its ending nodes' for a moment longer than their directories.
const PORTS_PATIENCE: Duration = Duration::from_secs(2);

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wishes {
    pub(crate) dir: PathBuf,
    pub(crate) banks: Vec<BankName>,
    pub(crate) gateway: Gateway,
    pub(crate) nodes: Option<u16>,
    /// The first mode of a new bank; an error for one that is in another.
    pub(crate) mode: Option<Mode>,
    pub(crate) base_port: Option<u16>,
    pub(crate) fresh: Fresh,
    pub(crate) consul: Option<ConsulLayout>,
}

/// Whether the network has a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gateway {
    Runs,
    /// Banks by themselves, each with its own API.
    Not,
}

/// Whether what is there is to be deleted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fresh {
    Keep,
    DeleteAfterAsking,
    Delete,
}

/// Ready to start.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) banks: Vec<BankPlan>,
    pub(crate) layout: Layout,
    /// Banks that are to have another number of members, once they run.
    pub(crate) resize: Vec<(BankName, u16)>,
    /// The mode that all banks are to be in, by flag. What was known of them agrees with it; their logs have the last word.
    pub(crate) mode: Option<Mode>,
    /// What is worth telling about it.
    pub(crate) notes: Vec<String>,
    /// Held as long as the network runs.
    pub(crate) lock: DirLock,
}

pub(crate) fn prepare(wishes: &Wishes, program: &Path) -> Result<Prepared, Failure> {
    let dir = &wishes.dir;
    std::fs::create_dir_all(dir).map_err(|error| Failure::new(format!("making {}: {error}", dir.display())))?;
    let lock = DirLock::take(dir).map_err(|error| match error {
        LockError::Held { pid, .. } => {
            let who = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
            Failure::new(format!("another rialto up{who} runs in {}", dir.display()))
                .line("stop it first, or choose another directory: rialto up --dir DIR")
        }
        LockError::Io { .. } => Failure::new(error.to_string()),
    })?;
    let mut layout = Layout::load(dir)?.unwrap_or_default();
    wait_for_leftovers(dir, &layout)?;
    let mut notes = Vec::new();
    if wishes.fresh != Fresh::Keep && !layout.banks.is_empty() {
        delete(dir, &layout, wishes.fresh)?;
        layout = Layout::default();
        notes.push("everything that was there is deleted".to_owned());
    }
    let names = which_groups(wishes, &layout)?;
    notes.extend(take_over(&mut layout, &names, wishes.gateway));
    for name in &names {
        check_mode(&layout, name, wishes)?;
    }
    let resize = names.iter().filter_map(|name| to_resize(&layout, name, wishes)).collect();
    choose_ports(&mut layout, &names, wishes, &mut notes)?;
    secure(dir, &mut layout, &names, wishes.gateway, &mut notes)?;
    for bank in layout.banks.iter_mut().filter(|bank| names.contains(&bank.name)) {
        bank.consul.clone_from(&wishes.consul);
    }
    layout.save(dir)?;
    make(dir, &mut layout, &names)?;
    let running = layout.banks.iter().filter(|bank| names.contains(&bank.name));
    let plan = |bank: &BankLayout| {
        let ports = Ports::at(bank.base_port).expect("only bases with a whole block are put into a layout");
        BankPlan::new(dir, bank, ports, program)
    };
    let banks = running.map(plan).collect();
    Ok(Prepared { banks, layout, resize, mode: wishes.mode, notes, lock })
}

/// A bank beside those that run: its ports, identities and certificates.
pub(super) fn one_more(
    dir: &Path,
    layout: &mut Layout,
    (name, nodes): (&BankName, u16),
    gateway: Gateway,
    (spoken_for, program): (&[Ports], &Path),
) -> Result<BankPlan, Failure> {
    if name.as_str() == GATEWAY_NAME {
        return Err(Failure::usage(format!("no bank may be called {GATEWAY_NAME}")).line("choose another name"));
    }
    if layout.bank(name).is_none() {
        let ports = another_block(&founders(nodes), spoken_for)?;
        layout.banks.push(new_bank(name, nodes, Mode::default(), gateway, (ports.base(), PortChoice::ByDefault)));
    }
    let names = [name.clone()];
    secure(dir, layout, &names, gateway, &mut Vec::new())?;
    layout.save(dir)?;
    make(dir, layout, &names)?;
    let bank = layout.bank(name).expect("it was just put there");
    let ports = Ports::at(bank.base_port).expect("only bases with a whole block are put into a layout");
    Ok(BankPlan::new(dir, bank, ports, program))
}

fn new_bank(
    name: &BankName,
    nodes: u16,
    mode: Mode,
    gateway: Gateway,
    (base_port, port_choice): (u16, PortChoice),
) -> BankLayout {
    BankLayout {
        name: name.clone(),
        kind: if name.as_str() == GATEWAY_NAME { Kind::Gateway } else { Kind::Bank },
        nodes,
        cluster: Cluster::make(),
        base_port,
        port_choice,
        made: false,
        tls: false,
        consul: None,
        wants_demo: gateway == Gateway::Runs && name.as_str() != GATEWAY_NAME,
        no_demo: gateway == Gateway::Not,
        incarnation: crate::network::layout::first_life(),
        mode,
        joined: Vec::new(),
        left: Vec::new(),
    }
}

/// The banks that were named, or all that are there, or the first two (without a gateway the first one); and the gateway.
fn which_groups(wishes: &Wishes, layout: &Layout) -> Result<Vec<BankName>, Failure> {
    let named = |text: &str| text.parse::<BankName>().expect("it is a name");
    let gateway = named(GATEWAY_NAME);
    if wishes.banks.contains(&gateway) {
        return Err(Failure::usage(format!("no bank may be called {GATEWAY_NAME}")).line("choose another name"));
    }
    let mut names: Vec<BankName> = if wishes.banks.is_empty() {
        layout.banks.iter().filter(|bank| bank.kind == Kind::Bank).map(|bank| bank.name.clone()).collect()
    } else {
        wishes.banks.clone()
    };
    if names.is_empty() {
        names.push(named("alpha"));
        if wishes.gateway == Gateway::Runs {
            names.push(named("beta"));
        }
    }
    // A bank that was alone so far gets another one to pay to.
    let has_gateway = layout.banks.iter().any(|bank| bank.kind == Kind::Gateway);
    if wishes.banks.is_empty() && wishes.gateway == Gateway::Runs && !has_gateway && names.len() == 1 {
        let other = if names[0].as_str() == "beta" { "alpha" } else { "beta" };
        names.push(named(other));
    }
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(name.clone());
            true
        }
    });
    if wishes.gateway == Gateway::Runs {
        names.push(gateway);
    }
    Ok(names)
}

/// A bank that was there before there was a gateway joins the network as it is: its accounts and money stay, and demo
/// customers are made in no bank but new ones.
fn take_over(layout: &mut Layout, names: &[BankName], gateway: Gateway) -> Option<String> {
    let has_gateway = layout.banks.iter().any(|bank| bank.kind == Kind::Gateway);
    if gateway != Gateway::Runs || has_gateway || layout.banks.is_empty() {
        return None;
    }
    let mut joins = Vec::new();
    for bank in layout.banks.iter_mut().filter(|bank| names.contains(&bank.name) && !bank.wants_demo) {
        bank.no_demo = true;
        joins.push(bank.name.as_str());
    }
    let who = (!joins.is_empty()).then(|| joins.join(" and bank "))?;
    Some(format!("bank {who} joins a network with a gateway, with the money that it has"))
}

/// The mode of a bank that is there is an entry in its log: no flag changes it.
fn check_mode(layout: &Layout, name: &BankName, wishes: &Wishes) -> Result<(), Failure> {
    match (layout.bank(name), wishes.mode) {
        (Some(bank), Some(mode)) if bank.mode != mode => Err(wrong_mode(&wishes.dir, name, bank.mode, mode)),
        (Some(_) | None, _) => Ok(()),
    }
}

/// `--mode` asks for a mode that the bank is not in.
pub(super) fn wrong_mode(dir: &Path, name: &BankName, is: Mode, wanted: Mode) -> Failure {
    let (dir, is, wanted) = (dir.display(), is.text(), wanted.text());
    Failure::new(format!("bank {name} in {dir} is in {is} mode, not in {wanted} mode"))
        .line("--mode is for new banks; the mode of one that is there is an entry in its log")
        .line(format!("run it as it is: rialto up --dir {dir}"))
        .line(format!("and change it while it runs: rialto mode {wanted} --bank {name} --dir {dir}"))
}

/// A bank that is there and has another number of nodes than was asked for grows or shrinks once it runs.
fn to_resize(layout: &Layout, name: &BankName, wishes: &Wishes) -> Option<(BankName, u16)> {
    let (bank, nodes) = (layout.bank(name)?, wishes.nodes?);
    (bank.made && bank.seats().len() != usize::from(nodes)).then(|| (name.clone(), nodes))
}

/// The nodes of an earlier `up` that was killed may still be stopping: they hold their directories until they are done.
fn wait_for_leftovers(dir: &Path, layout: &Layout) -> Result<(), Failure> {
    let give_up = Instant::now() + LEFTOVERS_PATIENCE;
    for bank in &layout.banks {
        for Seat { node, .. } in bank.seats() {
            let node_dir = node_dir(dir, &bank.name, node);
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

fn delete(dir: &Path, layout: &Layout, fresh: Fresh) -> Result<(), Failure> {
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

/// Gives every bank that is to run a block of ports: the one asked for, the one it had, or a free one.
fn choose_ports(
    layout: &mut Layout,
    names: &[BankName],
    wishes: &Wishes,
    notes: &mut Vec<String>,
) -> Result<(), Failure> {
    let mut spoken_for: Vec<Ports> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let known = layout.bank(name).cloned();
        let seats = known.as_ref().map_or_else(|| founders(wishes.nodes.unwrap_or(NODES_DEFAULT)), BankLayout::seats);
        let offset = BLOCK * u16::try_from(index).expect("there are fewer banks than ports");
        let (base, choice) = match (wishes.base_port, &known) {
            (Some(base), _) => (base.saturating_add(offset), PortChoice::ByFlag),
            (None, Some(bank)) => (bank.base_port, bank.port_choice),
            (None, None) => (BASE_DEFAULT + offset, PortChoice::ByDefault),
        };
        let wanted = Ports::at(base).ok_or_else(|| {
            Failure::usage(format!("--base-port {base} leaves no room: a bank uses {BLOCK} ports, from 1024 to 65535"))
        })?;
        // A node that is ending gives its directory up a moment before its sockets.
        let patience = if known.is_some() { PORTS_PATIENCE } else { Duration::ZERO };
        let taken = still_taken(wanted, &seats, patience);
        let clashes = spoken_for.iter().any(|other| wanted.overlaps(*other));
        let ports = match (choice, taken) {
            (PortChoice::ByFlag, Some(taken)) => return Err(port_taken(taken, name, wanted, &seats, wishes)),
            (PortChoice::ByDefault, Some(_)) => another_block(&seats, &spoken_for)?,
            (PortChoice::ByFlag | PortChoice::ByDefault, None) if clashes => another_block(&seats, &spoken_for)?,
            (PortChoice::ByFlag | PortChoice::ByDefault, None) => wanted,
        };
        if let (Some(taken), true) = (taken, ports != wanted) {
            notes.push(format!(
                "port {} is taken by another program: bank {name} moves to {} and up",
                taken.port,
                ports.base()
            ));
        }
        spoken_for.push(ports);
        let bank = match known {
            Some(bank) => BankLayout { base_port: ports.base(), port_choice: choice, ..bank },
            None => {
                let (nodes, mode) = (wishes.nodes.unwrap_or(NODES_DEFAULT), wishes.mode.unwrap_or_default());
                new_bank(name, nodes, mode, wishes.gateway, (ports.base(), choice))
            }
        };
        match layout.banks.iter_mut().find(|bank| bank.name == *name) {
            Some(place) => *place = bank,
            None => layout.banks.push(bank),
        }
    }
    Ok(())
}

/// A network with a gateway speaks TLS: its nodes get certificates, those of banks that were there before too. Banks that
/// speak it once go on so.
fn secure(
    dir: &Path,
    layout: &mut Layout,
    names: &[BankName],
    gateway: Gateway,
    notes: &mut Vec<String>,
) -> Result<(), Failure> {
    let wants = gateway == Gateway::Runs;
    for bank in layout.banks.iter_mut().filter(|bank| names.contains(&bank.name)) {
        bank.tls |= wants;
    }
    let secured = layout.banks.iter().filter(|bank| bank.tls);
    if secured.clone().next().is_some() {
        let replaced = certificates::ensure(dir, secured)?;
        notes.extend((!replaced.is_empty()).then(|| format!("certificates renewed: {}", replaced.join(", "))));
    }
    Ok(())
}

/// The first port that is still taken after so long.
fn still_taken(wanted: Ports, seats: &[Seat], patience: Duration) -> Option<Taken> {
    let give_up = Instant::now() + patience;
    loop {
        let taken = wanted.first_taken(seats)?;
        if Instant::now() >= give_up {
            return Some(taken);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn another_block(seats: &[Seat], spoken_for: &[Ports]) -> Result<Ports, Failure> {
    Ports::free_from(BASE_DEFAULT, seats, spoken_for).ok_or_else(|| {
        Failure::new("no block of free ports is left on this machine").line("give one: rialto up --base-port PORT")
    })
}

fn port_taken(taken: Taken, name: &BankName, wanted: Ports, seats: &[Seat], wishes: &Wishes) -> Failure {
    let dir = wishes.dir.display();
    let why = match wishes.base_port {
        Some(base) => format!("--base-port {base} puts {} of bank {name} there", taken.wanted_by),
        None => format!("rialto up --dir {dir} remembers {} of bank {name} there", taken.wanted_by),
    };
    let free = Ports::free_from(wanted.base().saturating_add(BLOCK), seats, &[]).map_or(7200, Ports::base);
    Failure::new(format!("port {} is taken by another program", taken.port))
        .line(why)
        .line(format!("free the port, or choose others: rialto up --dir {dir} --base-port {free}"))
}

/// Makes the identities of banks that are new. A bank that is made lacks none, so a missing one was lost and stays so.
fn make(dir: &Path, layout: &mut Layout, names: &[BankName]) -> Result<(), Failure> {
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

    fn wishes(dir: &TestDir) -> Wishes {
        Wishes {
            dir: dir.path().to_owned(),
            banks: Vec::new(),
            gateway: Gateway::Not,
            nodes: None,
            mode: None,
            base_port: None,
            consul: None,
            fresh: Fresh::Keep,
        }
    }

    fn prepared(wishes: &Wishes) -> Result<Prepared, Failure> {
        prepare(wishes, Path::new("/bin/false"))
    }

    fn complaint(wishes: &Wishes) -> String {
        prepared(wishes).map(|_| ()).expect_err("it is refused").to_string()
    }

    #[test]
    fn a_second_run_finds_the_same_banks_clusters_and_ports() {
        let dir = TestDir::new();
        drop(prepared(&Wishes { nodes: Some(1), ..wishes(&dir) }).expect("a new directory"));
        let first = Layout::load(dir.path()).expect("it is there");
        let again = prepared(&wishes(&dir)).expect("the same directory");
        assert_eq!(again.banks[0].nodes.len(), 1);
        assert_eq!(Layout::load(dir.path()).expect("it is there"), first);
    }

    #[test]
    fn a_directory_in_use_is_refused_and_another_number_of_nodes_is_for_later() {
        let dir = TestDir::new();
        let held = prepared(&Wishes { nodes: Some(1), ..wishes(&dir) }).expect("a new directory");
        assert!(complaint(&wishes(&dir)).starts_with("another rialto up (process "));
        drop(held);
        let other = prepared(&Wishes { nodes: Some(3), ..wishes(&dir) }).expect("the bank runs as it is first");
        assert_eq!(other.banks[0].nodes.len(), 1);
        assert_eq!(other.resize, [("alpha".parse().expect("a name"), 3)]);
    }

    #[test]
    fn a_bank_in_another_mode_is_refused_with_what_to_do() {
        let dir = TestDir::new();
        let leaderless = Wishes { nodes: Some(1), mode: Some(Mode::Leaderless), ..wishes(&dir) };
        drop(prepared(&leaderless).expect("a new directory"));
        drop(prepared(&wishes(&dir)).expect("without a word about its mode"));
        drop(prepared(&leaderless).expect("in the same mode"));
        let other = complaint(&Wishes { mode: Some(Mode::Leader), ..wishes(&dir) });
        assert!(other.contains("is in leaderless mode, not in leader mode"), "{other}");
        assert!(other.contains("rialto mode leader --bank alpha"), "{other}");
    }

    #[test]
    fn an_identity_that_was_lost_is_not_made_again() {
        let dir = TestDir::new();
        drop(prepared(&Wishes { nodes: Some(3), ..wishes(&dir) }).expect("a new directory"));
        let lost = identity_path(&dir.path().join("alpha/2"));
        std::fs::remove_file(&lost).expect("it was made");
        drop(prepared(&wishes(&dir)).expect("the others go on"));
        assert!(!lost.exists());
    }

    #[test]
    fn ports_given_by_flag_are_refused_when_taken_and_defaults_move() {
        let dir = TestDir::new();
        let free = Ports::free_from(23_000, &founders(1), &[]).expect("some block is free");
        let squatter = std::net::TcpListener::bind(free.http(1)).expect("it was free a moment ago");
        let by_flag = complaint(&Wishes { nodes: Some(1), base_port: Some(free.base()), ..wishes(&dir) });
        let port = free.http(1).port();
        assert!(
            by_flag.starts_with(&format!(
                "port {port} is taken by another program\n  --base-port {} puts node 1",
                free.base()
            )),
            "{by_flag}"
        );
        drop(squatter);

        drop(
            prepared(&Wishes { nodes: Some(1), base_port: Some(free.base()), ..wishes(&dir) }).expect("it is free now"),
        );
        let squatter = std::net::TcpListener::bind(free.http(1)).expect("nobody was started");
        let remembered = complaint(&wishes(&dir));
        assert!(remembered.contains("remembers node 1 of bank alpha there"), "{remembered}");

        let mut layout = Layout::load(dir.path()).expect("it is there").expect("it was made");
        layout.banks[0].port_choice = PortChoice::ByDefault;
        layout.save(dir.path()).expect("there is room");
        let moved = prepared(&wishes(&dir)).expect("defaults move");
        assert_ne!(moved.banks[0].ports, free);
        assert!(moved.notes[0].contains(&format!("port {port} is taken")), "{:?}", moved.notes);
        drop(squatter);
    }

    #[test]
    fn fresh_deletes_only_when_told_and_only_its_own() {
        let dir = TestDir::new();
        drop(prepared(&Wishes { nodes: Some(1), ..wishes(&dir) }).expect("a new directory"));
        let bystander = dir.path().join("notes.txt");
        std::fs::write(&bystander, "mine").expect("there is room");
        let before = Layout::load(dir.path()).expect("it is there").expect("it was made").banks[0].cluster;
        drop(prepared(&Wishes { fresh: Fresh::Delete, ..wishes(&dir) }).expect("told to"));
        let after = Layout::load(dir.path()).expect("it is there").expect("it was made").banks[0].clone();
        assert_ne!(after.cluster, before);
        assert_eq!(after.nodes, 3, "nothing is remembered");
        assert!(bystander.exists());
    }

    #[test]
    fn two_banks_get_two_blocks() {
        let dir = TestDir::new();
        let banks = ["alpha", "beta", "alpha"].map(|name| name.parse().expect("a name")).to_vec();
        let both = prepared(&Wishes { banks, nodes: Some(1), ..wishes(&dir) }).expect("a new directory");
        assert_eq!(both.banks.len(), 2);
        assert!(!both.banks[0].ports.overlaps(both.banks[1].ports));
        drop(both);
        assert_eq!(prepared(&wishes(&dir)).expect("both are remembered").banks.len(), 2);
    }
}
