//! `rialto positions`: what banks owe each other.

use api::client::gateway::BankPosition;
use clap::Args;
use serde::Serialize;

use super::{OperatorArgs, print_json, shown};
use crate::failure::{Code, Failure};

const EXAMPLES: &str = "\
Examples:
  rialto positions
  rialto positions --json
  rialto settle beta alpha 120.00                  beta pays back 120.00 EUR of what it owes alpha
  rialto settings pair-cap beta alpha 10000.00     beta may owe alpha at most so much

Exit codes: 0 shown; 1 refused; 2 wrong flags; 8 the gateway cannot be reached; all: rialto help exit-codes";

/// Show what banks owe each other
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PositionsArgs {
    #[command(flatten)]
    at: OperatorArgs,
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct All {
    positions: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    debtor: String,
    creditor: String,
    owed: String,
    reserved: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cap: Option<String>,
}

pub(crate) async fn run(args: PositionsArgs) -> Result<Code, Failure> {
    let gateway = args.at.open()?;
    let positions = args.at.asking(gateway.positions()).await?;
    let rows: Vec<Row> = positions.iter().filter(|it| is_shown(it)).map(row).collect();
    match (args.json, rows.is_empty()) {
        (true, _) => print_json(&All { positions: rows }),
        (false, true) => println!("no bank owes another anything"),
        (false, false) => rows.iter().map(line).for_each(|line| println!("{line}")),
    }
    Ok(Code::Done)
}

/// Both directions of each pair are told; one of them is nothing, mostly.
fn is_shown(position: &BankPosition) -> bool {
    position.owed > 0 || position.reserved > 0
}

fn row(position: &BankPosition) -> Row {
    let money = |minor| shown(minor, position.currency);
    Row {
        debtor: position.debtor.clone(),
        creditor: position.creditor.clone(),
        owed: money(position.owed),
        reserved: money(position.reserved),
        cap: position.cap.map(money),
    }
}

fn line(row: &Row) -> String {
    let cap = row.cap.as_ref().map_or_else(|| "no cap".to_owned(), |cap| format!("at most {cap}"));
    format!("{} owes {} {}   on its way {}   {cap}", row.debtor, row.creditor, row.owed, row.reserved)
}
