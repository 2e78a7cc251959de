//! `rialto`: the one binary. Each subcommand has its file under `cmd`.
//!
//! ```text
//!   rialto up       a network on this machine: node processes, a balancer per bank, a live table
//!   rialto bank     one node by itself; `bank init` makes its identity
//!   rialto gateway  the same of the gateway
//!   rialto user     customers of a bank: add, import, passwd, lock
//!   rialto status   what every node says of itself
//!   rialto audit    every node counts its books again; what they found is compared
//!   rialto members  who belongs to a bank: list, add, remove, replace
//!   rialto mode     how a bank finds who proposes
//!   rialto payments, positions, settle, settings        the gateway, for who runs it: `cmd::operator`
//!   rialto certs    a private CA and certificates: make, replace, show
//!   rialto bench    how fast a running bank is, and whether it kept its money
//!
//!   rialto login, logout, balance, pay, history, payment, outbox, shell     what customers do: `cmd::client`
//! ```
//!
//! In reading order: `cmd`, `network` (what a directory holds), `supervise` (processes and what is shown of them),
//! `balance`, `lookout` (who leads), `members`
//! (nodes that come and go), `settings`, `logging`, `failure`. The node itself is the crate `server`.

mod balance;
mod cmd;
mod consul;
mod failure;
mod file_handles;
mod http;
mod logging;
mod lookout;
mod members;
mod network;
mod settings;
mod supervise;
#[cfg(test)]
mod test_dir;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::{Code, Failure};

const EXAMPLES: &str = "\
Examples:
  rialto up                    two banks and the gateway on this machine, data in ./rialto-data
  rialto status                how its nodes are
  rialto audit                 whether its books are in order
  rialto members replace 2     a new node for one whose disk is gone
  rialto bank --help           to run nodes on machines of their own
  rialto shell alpha alice     a customer's prompt: pay, balance, history
  rialto pay bob@beta 12.50    the same as one command";

/// A payment network that you run yourself
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(cmd::up::UpArgs),
    Bank(Box<cmd::bank::BankArgs>),
    Gateway(Box<cmd::gateway::GatewayArgs>),
    User(cmd::user::UserArgs),
    Limits(cmd::limits::LimitsArgs),
    Status(cmd::status::StatusArgs),
    Audit(cmd::audit::AuditArgs),
    Members(Box<cmd::members::MembersArgs>),
    Mode(cmd::mode::ModeArgs),
    Payments(cmd::operator::payments::PaymentsArgs),
    Positions(cmd::operator::positions::PositionsArgs),
    Settle(cmd::operator::settle::SettleArgs),
    Settings(cmd::operator::settings::SettingsArgs),
    Keys(cmd::operator::keys::KeysArgs),
    Restore(cmd::restore::RestoreArgs),
    Certs(cmd::certs::CertsArgs),
    Bench(cmd::bench::BenchArgs),
    Login(cmd::client::login::LoginArgs),
    Logout(cmd::client::logout::LogoutArgs),
    Sessions(cmd::client::sessions::SessionsArgs),
    Balance(cmd::client::balance::BalanceArgs),
    Pay(cmd::client::pay::PayArgs),
    History(cmd::client::history::HistoryArgs),
    Payment(cmd::client::payment::PaymentArgs),
    Outbox(cmd::client::outbox::OutboxArgs),
    Shell(cmd::client::shell::ShellArgs),
}

/// The program.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Up(args) => with_runtime(cmd::up::run(args)),
        Command::Bank(args) => cmd::bank::run(*args),
        Command::Gateway(args) => cmd::gateway::run(*args),
        Command::User(args) => with_runtime(cmd::user::run(args)),
        Command::Limits(args) => with_runtime(cmd::limits::run(args)),
        Command::Status(args) => with_runtime(cmd::status::run(args)),
        Command::Audit(args) => with_runtime(cmd::audit::run(args)),
        Command::Members(args) => with_runtime(cmd::members::run(*args)),
        Command::Mode(args) => with_runtime(cmd::mode::run(args)),
        Command::Payments(args) => with_runtime(cmd::operator::payments::run(args)),
        Command::Positions(args) => with_runtime(cmd::operator::positions::run(args)),
        Command::Settle(args) => with_runtime(cmd::operator::settle::run(args)),
        Command::Settings(args) => with_runtime(cmd::operator::settings::run(args)),
        Command::Keys(args) => with_runtime(cmd::operator::keys::run(args)),
        Command::Restore(args) => cmd::restore::run(&args),
        Command::Certs(args) => cmd::certs::run(args),
        Command::Bench(args) => with_runtime(cmd::bench::run(args)),
        Command::Login(args) => with_runtime(cmd::client::login::run(args)),
        Command::Logout(args) => with_runtime(cmd::client::logout::run(args)),
        Command::Sessions(args) => with_runtime(cmd::client::sessions::run(args)),
        Command::Balance(args) => with_runtime(cmd::client::balance::run(args)),
        Command::Pay(args) => with_runtime(cmd::client::pay::run(args)),
        Command::History(args) => with_runtime(cmd::client::history::run(args)),
        Command::Payment(args) => with_runtime(cmd::client::payment::run(args)),
        Command::Outbox(args) => with_runtime(cmd::client::outbox::run(args)),
        Command::Shell(args) => with_runtime(cmd::client::shell::run(args)),
    };
    match done {
        Ok(code) => code.into(),
        Err(failure) => {
            failure.print();
            failure.code().into()
        }
    }
}

fn with_runtime(command: impl Future<Output = Result<Code, Failure>>) -> Result<Code, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("starting the runtime: {error}")))?
        .block_on(command)
}
