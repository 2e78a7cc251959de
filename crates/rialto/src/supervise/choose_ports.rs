//! Which block of ports each bank of a network gets: the one asked for, the one it had, or a free one.

use std::time::{Duration, Instant};

use super::prepare::{Wishes, new_bank};
use crate::failure::Failure;
use crate::follow_up;
use crate::network::layout::{BankLayout, Layout, PortChoice, Seat, founders};
use crate::network::name::BankName;
use crate::network::ports::{BASE_DEFAULT, BLOCK, Ports, Taken, in_use, of_connections};

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
    let by_flag = wishes.base_port.map(|base| bases_by_flag(base, layout, names));
    for (index, name) in names.iter().enumerate() {
        let known = layout.bank(name).cloned();
        let seats = known.as_ref().map_or_else(|| founders(wishes.nodes.unwrap_or(NODES_DEFAULT)), BankLayout::seats);
        let offset = BLOCK * u16::try_from(index).expect("there are fewer banks than ports");
        let (base, choice) = match (&by_flag, &known) {
            (Some(bases), _) => (bases[index], PortChoice::ByFlag),
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
            notes.push(format!("{}; bank {name} moves to {} and up", in_use(taken.port), ports.base()));
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
    notes.extend(wishes.base_port.and_then(|base| among_connections(base, &spoken_for)));
    Ok(())
}

/// Who asked for such ports may find one in use at the next start, and no program that has it.
fn among_connections(base: u16, given: &[Ports]) -> Option<String> {
    let range = of_connections()?;
    given.iter().any(|ports| ports.meets(&range)).then(|| {
        format!(
            "--base-port {base}: the system gives ports {} to {} to connections, so one may be in use when a node starts; \
             better are others",
            range.start(),
            range.end()
        )
    })
}

/// Where the blocks of these groups begin with `--base-port`, one for each name.
///
/// Where the first group has its block there already, the flag asks for nothing new: all keep their blocks, since callers
/// know these addresses, and who is new gets the next block that nobody of the directory has. Otherwise all move.
fn bases_by_flag(base: u16, layout: &Layout, names: &[BankName]) -> Vec<u16> {
    let base_of = |name: &BankName| layout.bank(name).map(|bank| bank.base_port);
    let stays = names.first().and_then(base_of) == Some(base);
    let others = layout.banks.iter().filter(|bank| stays && !names.contains(&bank.name));
    let mut had: Vec<u16> = others.map(|bank| bank.base_port).collect();
    let mut kept: Vec<Option<u16>> = Vec::new();
    for name in names {
        // The first one has what the flag says, also where a bank that does not run had that block once.
        let own = base_of(name).filter(|own| stays && (kept.is_empty() || is_apart(*own, &had)));
        had.extend(own);
        kept.push(own);
    }
    let mut give = || {
        let free = (base..=u16::MAX).step_by(usize::from(BLOCK)).find(|free| is_apart(*free, &had));
        // Where no block is left the last port stands for it, which no block can begin at.
        let free = free.unwrap_or(u16::MAX);
        had.push(free);
        free
    };
    kept.into_iter().map(|kept| kept.unwrap_or_else(&mut give)).collect()
}

fn is_apart(base: u16, others: &[u16]) -> bool {
    others.iter().all(|other| base.abs_diff(*other) >= BLOCK)
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
        Some(taken) => Err(Failure::cannot_start(in_use(taken.port))
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
        Failure::new("no block of free ports is left on this machine")
            .line(format!("give one: {}", follow_up::command("up --base-port PORT")))
    })
}

fn port_taken(taken: Taken, name: &BankName, wanted: Ports, seats: &[Seat], wishes: &Wishes) -> Failure {
    let dir = wishes.dir.display();
    let why = match wishes.base_port {
        Some(base) => format!("--base-port {base} puts {} of bank {name} there", taken.wanted_by),
        None => format!("rialto up --dir {dir} remembers {} of bank {name} there", taken.wanted_by),
    };
    let free = Ports::free_from(wanted.base().saturating_add(BLOCK), seats, &[]).map_or(7200, Ports::base);
    Failure::cannot_start(in_use(taken.port))
        .line(why)
        .line(format!("free the port, or choose others: rialto up --dir {dir} --base-port {free}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::prepare::Gateway;

    fn names(names: &[&str]) -> Vec<BankName> {
        names.iter().map(|name| name.parse().expect("a name")).collect()
    }

    fn layout(blocks: &[(&str, u16)]) -> Layout {
        let bank = |(name, base): &(&str, u16)| {
            let name = name.parse().expect("a name");
            new_bank(&name, 1, api::status::Mode::default(), Gateway::Runs, (*base, PortChoice::ByFlag))
        };
        Layout { banks: blocks.iter().map(bank).collect() }
    }

    #[test]
    fn the_same_base_again_leaves_every_group_where_it_is() {
        // Bank gamma came while the others ran, so its block is behind the gateway's; the gateway's name comes last.
        let grown = layout(&[("alpha", 47_000), ("beta", 47_100), ("gateway", 47_200), ("gamma", 47_300)]);
        let all = names(&["alpha", "beta", "gamma", "gateway"]);
        assert_eq!(bases_by_flag(47_000, &grown, &all), [47_000, 47_100, 47_300, 47_200]);
        let one_more = names(&["alpha", "beta", "delta", "gateway"]);
        assert_eq!(bases_by_flag(47_000, &grown, &one_more), [47_000, 47_100, 47_400, 47_200], "gamma may run again");
    }

    #[test]
    fn another_base_moves_all_groups_in_their_order() {
        let grown = layout(&[("alpha", 47_000), ("gateway", 47_200), ("gamma", 47_300)]);
        let all = names(&["alpha", "gamma", "gateway"]);
        assert_eq!(bases_by_flag(48_000, &grown, &all), [48_000, 48_100, 48_200]);
        assert_eq!(bases_by_flag(48_000, &Layout::default(), &all), [48_000, 48_100, 48_200]);
        assert_eq!(bases_by_flag(65_400, &Layout::default(), &all), [65_400, 65_500, u16::MAX]);
    }

    #[test]
    fn of_two_groups_that_had_one_block_the_second_moves() {
        let overlapping = layout(&[("alpha", 47_000), ("beta", 47_050), ("gamma", 47_100)]);
        let all = names(&["alpha", "beta", "gamma"]);
        let bases = bases_by_flag(47_000, &overlapping, &all);
        assert_eq!((bases[0], bases.len()), (47_000, 3));
        assert!((0..3).all(|one| is_apart(bases[one], &bases[one + 1..])), "{bases:?}");
    }
}
