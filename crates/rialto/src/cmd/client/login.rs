//! `rialto login`: signs a customer in, and lets go on what waited for that.

use api::client::Secret;
use api::client::gateway::{GatewayClient, GatewayError};
use api::json::rfc3339;
use clap::Args;
use clearing::NamedParty;
use serde::Serialize;
use wallet::{SignIn, now_ms};

use super::networks::NewAuthority;
use super::password::{PasswordArgs, password};
use super::{ClientArgs, Desk, GATEWAY, customer_of, of_gateway, of_outbox, of_profile, print_json};
use crate::failure::{Code, Failure};
use crate::follow_up;
use crate::waiting::waiting_for;

const EXAMPLES: &str = "\
Examples:
  rialto login alpha alice                                 asks for the password, without showing it
  rialto login alpha alice --password-file ~/.alice
  RIALTO_PASSWORD=… rialto login alpha alice --profile alice
  rialto login beta bob --profile bob                      a second person on the same machine

The token is kept in the profile, in a file that only its owner can read. A second customer may sign in beside the first;
commands then act for the second, and what the first has ordered still goes out. A profile that is missing is made by `login`
and by `shell`, and by no other command; so is a directory of --dir, where --gateway or --consul says where the gateway is.
Exit codes: 0 signed in; 1 refused; 2 wrong flags, or no password; 8 the gateway or the bank cannot be reached; 9 name or
password is wrong; 130 Ctrl-C at the prompt; all: rialto help exit-codes";

/// Sign in at a bank
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LoginArgs {
    /// The bank
    #[arg(value_name = "BANK")]
    bank: String,
    /// The customer's name there
    #[arg(value_name = "USER")]
    user: String,
    /// Better in --password-file or RIALTO_PASSWORD: others on this machine see a command line
    #[arg(value_name = "PASSWORD")]
    password: Option<String>,
    #[command(flatten)]
    from: PasswordArgs,
    /// The network's CA was replaced: trust the one that is found now, and no other
    #[arg(long)]
    new_ca: bool,
    #[command(flatten)]
    client: ClientArgs,
    /// One JSON object instead of a sentence
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Done {
    customer: String,
    expires: String,
    live_sessions: u32,
    resumed: usize,
}

pub(crate) async fn run(args: LoginArgs) -> Result<Code, Failure> {
    let customer = customer_of(&args.bank, &args.user)?;
    let new = if args.new_ca { NewAuthority::Accepted } else { NewAuthority::Refused };
    let desk = args.client.open_to_sign_in(new)?;
    let gateway = desk.gateway()?;
    let secret = password(&args.from, args.password.as_deref(), &customer.to_string()).await?;
    let earlier = desk.earlier(&customer);
    let waiting = waiting_for(GATEWAY);
    let signed_in = sign_in(&gateway, &customer, &secret, earlier.as_ref()).await;
    drop(waiting);
    let (sign_in, live_sessions) = signed_in.map_err(of_gateway)?;
    let resumed = keep(&desk, &gateway, &sign_in)?;
    let expires = rfc3339(sign_in.expires_ms);
    if args.json {
        print_json(&Done { customer: customer.to_string(), expires, live_sessions, resumed });
    } else {
        println!("signed in as {customer} until {expires}");
        if live_sessions > 1 {
            let sessions = follow_up::command("sessions");
            println!("sign-ins of {customer} that are good now: {live_sessions}; {sessions} lists them");
        }
        if resumed > 0 {
            let (run, shell) = (follow_up::command("outbox run"), follow_up::command("shell"));
            println!("payments that waited for it: {resumed}; they go out by `{run}` or `{shell}`");
        }
    }
    Ok(Code::Done)
}

/// Asks the gateway, and shows it the token of an earlier sign-in, if there is one. The number says how many sign-ins of the customer are good now.
pub(super) async fn sign_in(
    gateway: &GatewayClient,
    customer: &NamedParty,
    secret: &Secret,
    earlier: Option<&Secret>,
) -> Result<(SignIn, u32), GatewayError> {
    let signed_in = gateway.login_again(customer, secret, earlier).await?;
    let sign_in = SignIn { customer: *customer, expires_ms: signed_in.expires_ms, token: signed_in.token };
    Ok((sign_in, signed_in.live_sessions))
}

/// Keeps the token, and says how many payments that waited for it go on.
pub(super) fn keep(desk: &Desk, gateway: &GatewayClient, sign_in: &SignIn) -> Result<usize, Failure> {
    desk.profile.keep(sign_in, &desk.network(gateway)?).map_err(of_profile)?;
    desk.outbox()?.signed_in(&sign_in.customer, now_ms()).map_err(of_outbox)
}
