//! From a directory and what was asked for to the processes to run: locks it, says which groups there are and what they
//! are to be. Ports are chosen in `choose_ports`, directories are kept in `directories`.

use std::path::{Path, PathBuf};

use api::status::Mode;
use storage::{DirLock, LockError};

use super::choose_ports::{choose_ports, next_block, wanted_ports};
use super::directories::{close_to_others, delete, make, wait_for_leftovers};
use super::plan::BankPlan;
use crate::failure::Failure;
use crate::network::certificates;
use crate::network::cluster::Cluster;
use crate::network::layout::{BankLayout, ConsulLayout, Layout, PortChoice, founders};
use crate::network::name::{BankName, GATEWAY_NAME};
use crate::network::network_file::Kind;
use crate::network::ports::Ports;

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
    if !dir.exists() {
        check_new(wishes)?;
    }
    storage::private::make_dir(dir).map_err(|error| Failure::new(format!("making {}: {error}", dir.display())))?;
    let lock = DirLock::take(dir).map_err(|error| match error {
        LockError::Held { pid, .. } => {
            let who = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
            Failure::cannot_start(format!("another rialto up{who} runs in {}", dir.display()))
                .line("stop it first, or choose another directory: rialto up --dir DIR")
        }
        LockError::Io { .. } => Failure::new(error.to_string()),
    })?;
    let mut layout = Layout::load(dir)?.unwrap_or_default();
    wait_for_leftovers(dir, &layout)?;
    let mut notes: Vec<String> = close_to_others(dir, &layout)?.into_iter().collect();
    if wishes.fresh != Fresh::Keep && !layout.banks.is_empty() {
        delete(dir, &layout, wishes.fresh)?;
        layout = Layout::default();
        notes.push("everything that was there is deleted".to_owned());
    }
    let names = which_groups(wishes, &layout)?;
    notes.extend(take_over(&mut layout, &names, wishes.gateway));
    notes.extend(left_out(&layout, &names));
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

/// What a new network would be refused for is found before its directory is made, so that none is left behind.
fn check_new(wishes: &Wishes) -> Result<(), Failure> {
    let mut layout = Layout::default();
    let names = which_groups(wishes, &layout)?;
    choose_ports(&mut layout, &names, wishes, &mut Vec::new())
}

/// A bank that is to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewBank<'a> {
    pub(super) name: &'a BankName,
    pub(super) nodes: u16,
    /// Where somebody wants it.
    pub(super) base_port: Option<u16>,
}

/// What it comes to.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) gateway: Gateway,
    pub(super) spoken_for: Vec<Ports>,
    /// Where the others say that they are there.
    pub(super) consul: Option<ConsulLayout>,
}

/// A bank beside those that run: its ports, identities and certificates.
pub(super) fn one_more(
    dir: &Path,
    layout: &mut Layout,
    (new, beside): (NewBank<'_>, Beside),
    program: &Path,
) -> Result<BankPlan, Failure> {
    let (NewBank { name, nodes, .. }, gateway) = (new, beside.gateway);
    if name.as_str() == GATEWAY_NAME {
        return Err(Failure::usage(format!("no bank may be called {GATEWAY_NAME}")).line("choose another name"));
    }
    let seats = layout.bank(name).map_or_else(|| founders(nodes), BankLayout::seats);
    let wanted = new.base_port.map(|base| wanted_ports(base, name, &seats, &beside.spoken_for)).transpose()?;
    match (layout.bank_mut(name), wanted) {
        (None, Some(ports)) => {
            layout.banks.push(new_bank(name, nodes, Mode::default(), gateway, (ports.base(), PortChoice::ByFlag)));
        }
        (None, None) => {
            let ports = next_block(&seats, &beside.spoken_for)?;
            layout.banks.push(new_bank(name, nodes, Mode::default(), gateway, (ports.base(), PortChoice::ByDefault)));
        }
        // It was there before, and did not run.
        (Some(bank), Some(ports)) => (bank.base_port, bank.port_choice) = (ports.base(), PortChoice::ByFlag),
        (Some(_), None) => {}
    }
    layout.bank_mut(name).expect("it was just put there").consul = beside.consul;
    let names = [name.clone()];
    secure(dir, layout, &names, gateway, &mut Vec::new())?;
    layout.save(dir)?;
    make(dir, layout, &names)?;
    let bank = layout.bank(name).expect("it was just put there");
    let ports = Ports::at(bank.base_port).expect("only bases with a whole block are put into a layout");
    Ok(BankPlan::new(dir, bank, ports, program))
}

pub(super) fn new_bank(
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

/// Banks of the directory that are not started, as others were named: their customers cannot pay or be paid.
fn left_out(layout: &Layout, names: &[BankName]) -> Option<String> {
    let left_out: Vec<&str> = layout
        .banks
        .iter()
        .filter(|bank| bank.kind == Kind::Bank && !names.contains(&bank.name))
        .map(|bank| bank.name.as_str())
        .collect();
    let flags: String = left_out.iter().map(|bank| format!(" --bank {bank}")).collect();
    let (banks, are) = match left_out.as_slice() {
        [] => return None,
        [bank] => (format!("bank {bank}"), "is"),
        more => (format!("banks {}", more.join(", ")), "are"),
    };
    Some(format!("{banks} of this directory {are} not started: give{flags} too, or no --bank at all"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::init::identity_path;
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
                "port {port} is in use: by another program, or by a connection that has just ended\n  --base-port {} puts node 1",
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
        assert!(moved.notes[0].contains(&format!("port {port} is in use")), "{:?}", moved.notes);
        drop(squatter);
    }

    #[test]
    fn what_is_refused_leaves_no_directory_behind() {
        let parent = TestDir::new();
        let wishes = Wishes { dir: parent.path().join("below/new"), nodes: Some(1), ..wishes(&parent) };
        let free = Ports::free_from(26_000, &founders(1), &[]).expect("some block is free");
        let squatter = std::net::TcpListener::bind(free.http(1)).expect("it was free a moment ago");
        let taken = complaint(&Wishes { base_port: Some(free.base()), ..wishes.clone() });
        assert!(taken.contains("is in use: by another program"), "{taken}");
        let named = complaint(&Wishes { banks: vec![GATEWAY_NAME.parse().expect("a name")], ..wishes.clone() });
        assert!(named.contains("no bank may be called"), "{named}");
        assert!(!parent.path().join("below").exists());
        drop(squatter);
        drop(prepared(&Wishes { base_port: Some(free.base()), ..wishes.clone() }).expect("it is free now"));
        assert!(Layout::path(&wishes.dir).exists());
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
    fn a_bank_that_comes_later_is_beside_the_others_and_in_their_consul() {
        let dir = TestDir::new();
        let base = Ports::free_from(24_000, &founders(1), &[]).expect("some block is free").base();
        let mut first =
            prepared(&Wishes { nodes: Some(1), base_port: Some(base), ..wishes(&dir) }).expect("a new directory");
        let consul = ConsulLayout { url: "http://127.0.0.1:8500".to_owned(), token_file: None, ca: None };
        let mut add = |name: &str, base_port| {
            let name = name.parse().expect("a name");
            let spoken_for = vec![first.banks[0].ports];
            let beside = Beside { gateway: Gateway::Not, spoken_for, consul: Some(consul.clone()) };
            let new = NewBank { name: &name, nodes: 1, base_port };
            one_more(dir.path(), &mut first.layout, (new, beside), Path::new("/bin/false"))
        };
        let beside = add("gamma", None).expect("there is room");
        assert!(beside.ports.base() > base, "{:?} is not behind {base}", beside.ports);
        let elsewhere = Ports::free_from(25_000, &founders(1), &[]).expect("some block is free").base();
        assert_eq!(add("delta", Some(elsewhere)).expect("there is room").ports.base(), elsewhere);
        let inside = add("epsilon", Some(base + 10)).expect_err("alpha is there").to_string();
        assert!(inside.contains("within the ports of a bank that runs here"), "{inside}");
        let layout = Layout::load(dir.path()).expect("it is there").expect("it was made");
        for name in ["gamma", "delta"] {
            let bank = layout.bank(&name.parse().expect("a name")).expect("it was made");
            assert_eq!(bank.consul, Some(consul.clone()), "{name}");
        }
    }

    #[test]
    fn banks_of_the_directory_that_are_not_started_are_told() {
        let dir = TestDir::new();
        let banks = |names: &[&str]| names.iter().map(|name| name.parse().expect("a name")).collect::<Vec<BankName>>();
        let up = |names: &[&str]| {
            let wishes = Wishes { banks: banks(names), nodes: Some(1), ..wishes(&dir) };
            prepared(&wishes).expect("there is room").notes
        };
        let told = |notes: Vec<String>| notes.into_iter().find(|note| note.contains("not started"));
        assert_eq!(told(up(&["alpha", "beta"])), None);
        let one = "bank beta of this directory is not started: give --bank beta too, or no --bank at all";
        assert_eq!(told(up(&["alpha"])).as_deref(), Some(one));
        let two = "banks alpha, beta of this directory are not started: give --bank alpha --bank beta too, or no --bank at all";
        assert_eq!(told(up(&["gamma"])).as_deref(), Some(two));
        assert_eq!(told(up(&[])), None, "all of them run");
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
