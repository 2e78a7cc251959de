//! `rialto logout`: ends a sign-in, at the gateway and on this machine.

use api::client::gateway::GatewayError;
use clap::Args;
use serde::Serialize;
use wallet::SignIn;

use super::{ClientArgs, Desk, GATEWAY, of_profile, print_json};
use crate::failure::{Code, Failure};
use crate::waiting::waiting_for;

const EXAMPLES: &str = "\
Examples:
  rialto logout
  rialto logout --all          everybody who is signed in in this profile

The sign-in ends at once on every node of the gateway. Where that cannot be reached the token is deleted here all the same.
What is in the outbox stays there, and goes on after the next sign-in.
Exit codes: 0 signed out; 1 it is not known of which network; 9 nobody was signed in; all: rialto help exit-codes";

/// Sign out
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LogoutArgs {
    /// Everybody who is signed in in this profile
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    client: ClientArgs,
    /// One JSON object a customer instead of a sentence
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Done {
    customer: String,
    ended_at_gateway: bool,
}

/// What is left of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SignedOut {
    Everywhere,
    /// The gateway was not told; the token is gone from here.
    HereOnly {
        why: String,
    },
}

pub(crate) async fn run(args: LogoutArgs) -> Result<Code, Failure> {
    let desk = args.client.open()?;
    let who = if args.all { desk.profile.sign_ins().map_err(of_profile)? } else { vec![desk.signed_in()?] };
    for sign_in in who {
        let waiting = waiting_for(GATEWAY);
        let done = sign_out(&desk, &sign_in).await?;
        drop(waiting);
        if args.json {
            let ended_at_gateway = done == SignedOut::Everywhere;
            print_json(&Done { customer: sign_in.customer.to_string(), ended_at_gateway });
        } else {
            println!("{}", sentence(&sign_in, &done));
        }
    }
    Ok(Code::Done)
}

pub(super) fn sentence(sign_in: &SignIn, done: &SignedOut) -> String {
    let customer = sign_in.customer;
    match done {
        SignedOut::Everywhere => format!("signed out: {customer}"),
        SignedOut::HereOnly { why } => format!(
            "signed out here: {customer}; the gateway was not told ({why}), so the sign-in is good for as long as it was given for"
        ),
    }
}

/// The token is deleted whatever the gateway says.
pub(super) async fn sign_out(desk: &Desk, sign_in: &SignIn) -> Result<SignedOut, Failure> {
    let told = match desk.gateway() {
        Ok(gateway) => match gateway.customer(&sign_in.token) {
            Ok(customer) => customer.logout().await,
            Err(error) => Err(error),
        },
        Err(failure) => Err(GatewayError::Unreachable { last: failure.to_string() }),
    };
    desk.profile.forget(&sign_in.customer).map_err(of_profile)?;
    Ok(match told {
        // A sign-in that had ended already is as good.
        Ok(()) | Err(GatewayError::NotSignedIn(_)) => SignedOut::Everywhere,
        Err(error) => SignedOut::HereOnly { why: error.to_string() },
    })
}
