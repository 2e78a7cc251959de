//! `rialto keys`: what the gateway signs tokens with, and taking a key that leaked out of use.

use std::time::{Duration, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{OperatorArgs, print_json};
use crate::failure::{Code, Failure};
use crate::logging::rfc3339;

const EXAMPLES: &str = "\
Examples:
  rialto keys                             every key that tokens are checked with, by the node that signs with it
  rialto keys retire 8f0c2f6c11223344     no token of that key is good any more, on any node

Each node of the gateway signs with a key of its own, which never leaves its memory, and makes another every day. Whoever was
signed in with a key that is retired signs in again; its node makes another within a second.
Exit codes: 0 as asked; 1 refused; 2 wrong flags; 8 the gateway cannot be reached; 10 it may have been done;
all: rialto help exit-codes";

/// List the keys of tokens; retire one
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: Option<KeysCommand>,
    #[command(flatten)]
    at: OperatorArgs,
    /// One JSON object instead of lines
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Take a key out of use, for good
    Retire {
        /// As a token names it (the header kid)
        #[arg(value_name = "KID")]
        kid: String,
    },
}

pub(crate) async fn run(args: KeysArgs) -> Result<Code, Failure> {
    let gateway = args.at.open()?;
    if let Some(KeysCommand::Retire { kid }) = &args.command {
        args.at.asking(gateway.retire_key(kid)).await?;
        match args.json {
            true => print_json(&json!({ "kid": kid, "retired": true })),
            false => println!("no token of key {kid} is good any more"),
        }
        return Ok(Code::Done);
    }
    let keys = args.at.asking(gateway.keys()).await?;
    let expires = |ms: u64| rfc3339(UNIX_EPOCH + Duration::from_millis(ms));
    if args.json {
        let rows =
            keys.iter().map(|key| json!({ "kid": key.kid, "node": key.node, "expires": expires(key.expires_ms) }));
        print_json(&json!({ "keys": rows.collect::<Vec<_>>() }));
    } else {
        keys.iter().for_each(|key| println!("{}  node {}  good until {}", key.kid, key.node, expires(key.expires_ms)));
    }
    Ok(Code::Done)
}
