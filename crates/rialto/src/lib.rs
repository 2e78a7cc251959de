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
//!   rialto exit-codes                                   the table that all of them keep to: `exit_codes`
//!   rialto login, logout, balance, pay, history, payment, outbox, shell     what customers do: `cmd::client`
//! ```
//!
//! In reading order: `cmd`, `network` (what a directory holds), `supervise` (processes and what is shown of them),
//! `balance`, `lookout` (who leads), `members`
//! (nodes that come and go), `settings`, `logging`, `failure`. The node itself is the crate `server`.

// First: its macros take the place of the standard library's in all modules below.
#[macro_use]
mod out;

mod balance;
mod cmd;
mod consul;
mod environment;
mod exit_codes;
mod failure;
mod file_handles;
mod follow_up;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod help;
mod http;
mod logging;
mod lookout;
mod members;
mod network;
mod plain;
mod settings;
mod supervise;
#[cfg(test)]
mod test_dir;
mod token;
mod waiting;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::failure::{Code, Failure};

const EXAMPLES: &str = "\
Examples:
  rialto up                    two banks and the gateway, data in ./rialto-data
  rialto status                how its nodes are
  rialto audit                 whether its books are in order
  rialto members --help        nodes that come, go, and take a lost one's place
  rialto bank --help           to run nodes on machines of their own
  rialto shell alpha alice     a customer's prompt: pay, balance, history
  rialto pay bob@beta 12.50    the same as one command
  rialto help exit-codes       what exit codes mean; --json has errors as JSON";

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
    ExitCodes(exit_codes::ExitCodesArgs),
    Completions(cmd::manual::CompletionsArgs),
    Man(cmd::manual::ManArgs),
}

/// The command line: what its help, completions, manual pages and tests are made of.
pub fn command_line() -> clap::Command {
    help::narrow(cmd::gateway::worded(help::grouped(Cli::command())))
}

/// The program.
pub fn main() -> ExitCode {
    // Whatever this program and what it calls write is its owner's alone, unless they say otherwise.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let cli = match command_line().try_get_matches() {
        Ok(matches) => {
            if wants_json(&matches) {
                failure::print_as_json();
            } else {
                warn_of_unknown_variables();
            }
            Cli::from_arg_matches(&matches)
        }
        Err(error) => Err(error),
    };
    match cli {
        Ok(cli) => match environment::check().and_then(|()| run(cli.command)) {
            Ok(code) => code.into(),
            Err(failure) => {
                failure.print();
                failure.code().into()
            }
        },
        Err(error) => not_understood(&error),
    }
}

fn run(command: Command) -> Result<Code, Failure> {
    match command {
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
        Command::ExitCodes(args) => exit_codes::run(&args),
        Command::Completions(args) => cmd::manual::completions(&args),
        Command::Man(args) => cmd::manual::man(&args),
    }
}

/// Whether the command that was called has the flag `--json`, and was given it.
fn wants_json(matches: &ArgMatches) -> bool {
    let given = matches.try_get_one::<bool>("json").ok().flatten().copied().unwrap_or(false);
    given || matches.subcommand().is_some_and(|(_, below)| wants_json(below))
}

/// Help and version as they are; a command line that makes no sense is an error like all others.
fn not_understood(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        println!("{}", error.to_string().trim_end());
        return Code::Done.into();
    }
    let text = error.to_string();
    if std::env::args_os().take_while(|argument| argument != "--").any(|argument| argument == "--json") {
        failure::print_as_json();
        let mut lines = text.trim_start_matches("error: ").lines().map(str::trim).filter(|line| !line.is_empty());
        let failure = Failure::usage(lines.next().unwrap_or("the command line makes no sense"));
        lines.fold(failure, Failure::line).print();
    } else {
        eprintln!("{}", text.trim_end());
    }
    Code::Usage.into()
}

/// A misspelt variable would otherwise be a setting that silently has no effect.
fn warn_of_unknown_variables() {
    for (name, meant) in settings::unknown_variables(environment::names()) {
        let meant = meant.map_or_else(String::new, |meant| format!(": is {meant} meant?"));
        let name = plain::cell(&name);
        eprintln!("warning: {name} in the environment is no setting of Rialto's and has no effect{meant}");
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
