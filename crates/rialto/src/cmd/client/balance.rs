//! `rialto balance`: what the customer has, and what waits in the outbox.

use api::client::gateway::Balance;
use clap::Args;
use ledger::money;
use serde::Serialize;

use super::{ClientArgs, Desk, GATEWAY, of_gateway, of_outbox, print_json};
use crate::failure::{Code, Failure};
use crate::waiting::waiting_for;

const EXAMPLES: &str = "\
Examples:
  rialto balance
  rialto balance --profile bob --json

Exit codes: 0 shown; 1 refused; 8 the gateway cannot be reached; 9 nobody is signed in; all: rialto help exit-codes";

/// Show your balance
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BalanceArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// One JSON object instead of a sentence
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown {
    customer: String,
    balance: String,
    available: String,
    currency: &'static str,
    /// Decided, and not in the bank's books yet.
    undelivered: u32,
    /// In the outbox, without an end.
    waiting: usize,
}

pub(crate) async fn run(args: BalanceArgs) -> Result<Code, Failure> {
    let waiting = waiting_for(GATEWAY);
    let shown = look(&args.client.open()?).await?;
    drop(waiting);
    if args.json {
        print_json(&shown);
    } else {
        println!("{}", sentence(shown));
    }
    Ok(Code::Done)
}

/// A sentence, for the shell too.
pub(super) async fn text(desk: &Desk) -> Result<String, Failure> {
    Ok(sentence(look(desk).await?))
}

fn sentence(shown: Shown) -> String {
    let Shown { customer, balance, available, currency, undelivered, waiting } = shown;
    let mut text = format!("{customer} has {balance} {currency}");
    if available != balance {
        text += &format!(", of which {available} can be spent");
    }
    if undelivered > 0 {
        text += &format!("; decided and not in the bank's books yet: {undelivered}");
    }
    if waiting > 0 {
        text += &format!("; waiting in the outbox: {waiting}");
    }
    text
}

async fn look(desk: &Desk) -> Result<Shown, Failure> {
    let (sign_in, customer) = desk.customer()?;
    let Balance { balance, available, currency, undelivered } = customer.balance().await.map_err(of_gateway)?;
    let open = desk.outbox()?.open_entries().map_err(of_outbox)?;
    Ok(Shown {
        customer: sign_in.customer.to_string(),
        balance: money::format_signed(balance, currency),
        available: money::format_signed(available, currency),
        currency: currency.code(),
        undelivered,
        waiting: open.iter().filter(|entry| entry.terms.payer == sign_in.customer).count(),
    })
}
