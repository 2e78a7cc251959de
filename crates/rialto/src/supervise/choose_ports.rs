//! Which block of ports each bank of a network gets: the one asked for, the one it had, or a free one.

use std::time::{Duration, Instant};

use super::prepare::{Wishes, new_bank};
use crate::failure::Failure;
use crate::network::layout::{BankLayout, Layout, PortChoice, Seat, founders};
use crate::network::name::BankName;
use crate::network::ports::{BASE_DEFAULT, BLOCK, Ports, Taken};

const NODES_DEFAULT: u16 = 3;
/// The ports that a bank had may be its ending nodes' for a moment longer than their directories.
const PORTS_PATIENCE: Duration = Duration::from_secs(2);

/// Gives every bank that is to run a block of ports: the one asked for, the one it had, or a free one.
pub(super) fn choose_ports(
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
        let wanted = Ports::at(base).ok_or_else(|| no_room(base))?;
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

/// The block that somebody asks for.
pub(super) fn wanted_ports(base: u16, name: &BankName, seats: &[Seat], spoken_for: &[Ports]) -> Result<Ports, Failure> {
    let wanted = Ports::at(base).ok_or_else(|| no_room(base))?;
    if spoken_for.iter().any(|other| wanted.overlaps(*other)) {
        return Err(Failure::usage(format!("--base-port {base} is within the ports of a bank that runs here"))
            .line(format!("a bank uses {BLOCK} ports; leave --base-port out for the next free ones")));
    }
    match wanted.first_taken(seats) {
        None => Ok(wanted),
        Some(taken) => Err(Failure::cannot_start(format!("port {} is taken by another program", taken.port))
            .line(format!("--base-port {base} puts {} of bank {name} there", taken.wanted_by))),
    }
}

fn no_room(base: u16) -> Failure {
    Failure::usage(format!("--base-port {base} leaves no room: a bank uses {BLOCK} ports, from 1024 to 65535"))
}

/// The next free block after those of the network: who chose its ports is not surprised by others elsewhere.
pub(super) fn next_block(seats: &[Seat], spoken_for: &[Ports]) -> Result<Ports, Failure> {
    let after = spoken_for.iter().map(|ports| ports.base()).max().and_then(|base| base.checked_add(BLOCK));
    let free = after.and_then(|after| Ports::free_from(after, seats, spoken_for));
    free.map_or_else(|| another_block(seats, spoken_for), Ok)
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
    Failure::cannot_start(format!("port {} is taken by another program", taken.port))
        .line(why)
        .line(format!("free the port, or choose others: rialto up --dir {dir} --base-port {free}"))
}
