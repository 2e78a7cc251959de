//! `rialto sessions`: the sign-ins of a customer that are good now, on whatever machine.

use api::json::rfc3339;
use clap::Args;
use serde_json::json;

use super::{ClientArgs, GATEWAY, of_gateway, print_json};
use crate::failure::{Code, Failure};
use crate::out;
use crate::supervise::columns::broken;
use crate::waiting::waiting_for;

const EXAMPLES: &str = "\
Examples:
  rialto sessions
  rialto sessions --end-others       ends all but this one, at once, on every node

Exit codes: 0 shown, or ended; 1 refused; 8 the gateway cannot be reached; 9 nobody is signed in; all: rialto help exit-codes";

/// List your sign-ins; end the others
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SessionsArgs {
    /// End all but this one
    #[arg(long)]
    end_others: bool,
    #[command(flatten)]
    client: ClientArgs,
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: SessionsArgs) -> Result<Code, Failure> {
    let waiting = waiting_for(GATEWAY);
    let (sign_in, customer) = args.client.open()?.customer()?;
    if args.end_others {
        let ended = customer.logout_others().await.map_err(of_gateway)?;
        drop(waiting);
        match args.json {
            true => print_json(&json!({ "customer": sign_in.customer.to_string(), "ended": ended })),
            false => println!("other sign-ins of {} that were ended: {ended}", sign_in.customer),
        }
        return Ok(Code::Done);
    }
    let sessions = customer.sessions().await.map_err(of_gateway)?;
    drop(waiting);
    if args.json {
        let row = |it: &api::proto::Session| json!({ "opened": rfc3339(it.opened_ms), "expires": rfc3339(it.expires_ms), "current": it.current });
        let rows: Vec<_> = sessions.iter().map(row).collect();
        print_json(&json!({ "customer": sign_in.customer.to_string(), "sessions": rows }));
        return Ok(Code::Done);
    }
    for it in &sessions {
        let this = if it.current { "   this one" } else { "" };
        let line = format!("signed in {}, good until {}{this}", rfc3339(it.opened_ms), rfc3339(it.expires_ms));
        broken(&line, out::columns(), (4, "")).iter().for_each(|line| println!("{line}"));
    }
    Ok(Code::Done)
}
