//! `rialto mode`: how a bank finds who proposes, shown or changed while it runs.

use std::time::Duration;

use api::json::ModeState;
use api::status::{Mode, NodeStatus};
use clap::Args;
use tokio::time::{Instant, sleep};

use super::init::mode;
use super::targets::{TargetArgs, WhichBank};
use crate::failure::{Code, Failure};
use crate::members::bank::Bank;
use crate::waiting::waiting_for;

/// Nodes that run apply the change within milliseconds; one that does not is told of and not waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

const EXAMPLES: &str = "\
Examples:
  rialto mode                              which mode the bank is in, and which node proposes
  rialto mode leaderless --bank alpha      from now on every node proposes what it is asked
  rialto mode leader --url http://10.0.0.1:7101 --operator-token-file token

  leader       an elected node proposes for all
  leaderless   every node proposes what it is asked; nobody is elected, nobody is waited for

The mode is an entry in the bank's log. Changing it is safe at any time, and no request is lost.
Exit codes: 0 it is so; 1 it was refused; 2 wrong flags; 8 nobody can be reached; 10 it may have been changed;
all: rialto help exit-codes";

/// Show or change how a bank finds who proposes
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ModeArgs {
    /// The mode to change to; without it the present one is shown
    #[arg(value_name = "MODE", value_parser = mode)]
    mode: Option<Mode>,
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    which: WhichBank,
    /// One JSON object instead of a sentence
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: ModeArgs) -> Result<Code, Failure> {
    let bank = args.targets.bank(&args.which)?;
    let began = Instant::now();
    let state = match args.mode {
        None => bank.mode().await?,
        Some(mode) => {
            let changed = bank.set_mode(mode).await?;
            let late = in_force(&bank, &changed).await?;
            for node in late {
                eprintln!("node {node} has not applied it yet; it will when it catches up");
            }
            // The proposer may be another by now.
            ModeState { already: changed.already, ..bank.mode().await? }
        }
    };
    if args.json {
        println!("{}", serde_json::to_string(&state).expect("a mode holds only a string and numbers"));
    } else {
        println!("{}", sentence(&bank.name().await?, &state, args.mode.map(|_| began.elapsed())));
    }
    Ok(Code::Done)
}

/// Until all nodes that answer have applied it; those that have not when patience ends.
async fn in_force(bank: &Bank, changed: &ModeState) -> Result<Vec<u16>, Failure> {
    let give_up = Instant::now() + PATIENCE;
    let _waiting = waiting_for("every node that answers to apply the change");
    loop {
        let late: Vec<u16> =
            bank.statuses().await?.iter().filter(|status| is_late(status, changed)).map(|s| s.node).collect();
        if late.is_empty() || Instant::now() >= give_up {
            return Ok(late);
        }
        sleep(PAUSE).await;
    }
}

fn is_late(status: &NodeStatus, changed: &ModeState) -> bool {
    status.group_version < changed.version && status.mode != changed.mode
}

fn sentence(bank: &str, state: &ModeState, took: Option<Duration>) -> String {
    let what = match (took, state.already) {
        (None, _) => format!("bank {bank} is in {} mode", state.mode.text()),
        (Some(_), true) => format!("bank {bank} was in {} mode already", state.mode.text()),
        (Some(took), false) => format!("bank {bank} is in {} mode, after {} ms", state.mode.text(), took.as_millis()),
    };
    match (state.mode, state.proposer) {
        (Mode::Leader, Some(node)) => format!("{what}; node {node} leads"),
        (Mode::Leaderless, Some(node)) => format!("{what}; node {node} is the proposer at this moment"),
        (Mode::Leader | Mode::Leaderless, None) => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_one_sentence() {
        let bank = "alpha";
        let state = |mode, proposer, already| ModeState { mode, proposer, version: 2, already };
        let took = Some(Duration::from_millis(31));
        assert_eq!(
            sentence(bank, &state(Mode::Leaderless, Some(3), false), took),
            "bank alpha is in leaderless mode, after 31 ms; node 3 is the proposer at this moment"
        );
        assert_eq!(sentence(bank, &state(Mode::Leader, None, true), took), "bank alpha was in leader mode already");
        assert_eq!(
            sentence(bank, &state(Mode::Leader, Some(1), false), None),
            "bank alpha is in leader mode; node 1 leads"
        );
    }
}
