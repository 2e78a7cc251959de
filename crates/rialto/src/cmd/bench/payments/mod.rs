//! `rialto bench --payments`: payments of customers through the gateway, as customers make them.
//!
//! ```text
//!   customers made at each bank ─► each caller signs in ─► warm-up ─► measured ─► delivered ─► balances, positions, books
//! ```
//!
//! There is no back door: every caller is a customer with a token and a connection of their own, and what the gateway checks
//! of a customer it checks of them. A payment whose outcome was not known is repeated under its id until it is; so at the end
//! every balance is known to the cent, and a benchmark after which one differs has failed.

mod callers;
mod report;
mod town;

use super::BenchArgs;
use super::disk::Disk;
use super::kill::{Killer, Victim};
use super::report::Screen;
use crate::cmd::audit::between_banks;
use crate::failure::{Code, Failure};
use crate::network::name::GATEWAY_NAME;
use crate::network::network_file::NetworkFile;
use report::Report;
use std::time::Duration;
use town::Town;

/// What is to be paid, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) callers: usize,
    /// Payments in one call.
    pub(super) many: usize,
    /// Of a hundred payments, how many go to another bank.
    pub(super) across: u32,
    /// Only so many payees, if that is bounded.
    pub(super) hot: Option<usize>,
}

pub(super) async fn run(args: &BenchArgs) -> Result<Code, Failure> {
    let shape = Shape {
        callers: args.callers() as usize,
        many: args.many as usize,
        across: args.across,
        hot: args.hot.map(|hot| hot as usize),
    };
    let network = NetworkFile::load(&args.dir)?;
    let screen = Screen::new(args.json);
    let town = Town::settle(&args.dir, &network, &shape, &args.tls, &screen).await?;
    let before = town.balances().await?;
    let warm_up = Duration::from_secs(args.warm_up_seconds.into());
    let usual = callers::run(&town, shape, (warm_up, Duration::ZERO), None, &screen, "warming up").await;
    let interval = usual.tally.interval(usual.took, shape.callers);
    let disk = Disk::watch(&args.dir);
    let killer = args.kill_leader_every.map(|every| Killer::new(&args.dir, GATEWAY_NAME, every, Victim::Leader));
    let killer = killer.map(|killer| killer.beside(Some(disk.longest())));
    let time = Duration::from_secs(args.seconds.into());
    let measured = callers::run(&town, shape, (time, interval), killer, &screen, "measuring").await;
    let syncs = disk.end();
    screen.progress("waiting for deliveries", 0, 1);
    let between = between_banks::judged(&args.dir, &args.tls).await;
    let moved = usual.moved.iter().zip(&measured.moved).map(|(a, b)| a + b);
    let expected: Vec<i128> = before.iter().zip(moved).map(|(before, moved)| before + moved).collect();
    let wrong = town.balances().await?.iter().zip(&expected).filter(|(found, expected)| found != expected).count();
    let report = Report::new(&town, shape, &measured, (wrong, between), syncs.as_ref());
    screen.close();
    report.show(args.json);
    Ok(if report.holds() { Code::Done } else { Code::Failed })
}
