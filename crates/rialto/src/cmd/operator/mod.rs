//! What the operator of a gateway does: look after payments that hang, see what banks owe each other, settle, change limits.
//! One file per command; here is the way to the gateway that they share.

pub(crate) mod keys;
pub(crate) mod payments;
pub(crate) mod positions;
pub(crate) mod settings;
pub(crate) mod settle;

use std::path::PathBuf;
use std::time::Duration;

use api::client::Secret;
use api::client::gateway::{GatewayClient, GatewayError, GatewayOptions, Operator, PaymentAnswer, Standing};
use clap::Args;
use clearing::BankName;
use ledger::{Amount, Currency, money};
use serde::Serialize;

use super::gateway_file;
use super::tls::TlsArgs;
use crate::failure::{Code, Failure};
use crate::token;

/// A decision by hand waits for the votes of banks that may be away.
const PATIENCE: GatewayOptions = GatewayOptions {
    deadline: Duration::from_secs(10),
    attempt_timeout: Duration::from_millis(5_000),
    connect_patience: Duration::from_secs(2),
};

/// Which gateway, and as whom.
#[derive(Debug, Args)]
pub(crate) struct OperatorArgs {
    /// Directory of the network that `rialto up` runs
    #[arg(long, global = true, value_name = "DIR", default_value = "./rialto-data")]
    dir: PathBuf,
    /// A node of the gateway, more than once for several, instead of --dir
    #[arg(long = "gateway", global = true, value_name = "ADDR", conflicts_with = "dir")]
    gateways: Vec<String>,
    #[command(flatten)]
    tls: TlsArgs,
    /// File with the operator's token, for a gateway that demands one
    #[arg(long, global = true, value_name = "FILE")]
    operator_token_file: Option<PathBuf>,
}

impl OperatorArgs {
    fn open(&self) -> Result<Operator, Failure> {
        let (addresses, dir) = match self.gateways.as_slice() {
            [] => (gateway_file::read(&self.dir)?.addresses, Some(self.dir.as_path())),
            given => (given.to_vec(), None),
        };
        let gateway = GatewayClient::connect_with(addresses, self.tls.of_gateway(dir)?).map_err(failed)?;
        let token = self.operator_token_file.as_deref().map(token::read).transpose()?;
        let token = token.map(|read| Secret::new(read.token));
        gateway.with_options(PATIENCE).operator(token.as_ref()).map_err(failed)
    }
}

fn failed(error: GatewayError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        GatewayError::Unreachable { .. } => {
            failure.line("where it is: --gateway ADDR, or the network.json of --dir DIR")
        }
        GatewayError::OutcomeUnknown { .. } => {
            failure.line("repeat the command: it is safe, and tells what was decided")
        }
        GatewayError::Refused { code: api::code::Code::NotPermitted, .. } => {
            failure.line("show an operator's certificate (--tls-dir, --tls-as) or token (--operator-token-file)")
        }
        GatewayError::NotSignedIn(_)
        | GatewayError::Overloaded { .. }
        | GatewayError::Refused { .. }
        | GatewayError::BadAddress { .. }
        | GatewayError::Nonsense { .. } => failure,
    }
}

fn bank(text: &str) -> Result<BankName, String> {
    BankName::new(text).map_err(|error| error.to_string())
}

fn currency(code: &str) -> Result<Currency, String> {
    Currency::from_code(code).ok_or_else(|| format!("`{code}` is no currency; give an ISO 4217 code, like EUR"))
}

fn amount(text: &str, currency: Currency) -> Result<Amount, Failure> {
    money::parse_decimal(text, currency).map_err(|error| Failure::usage(format!("{text:?} is no amount: {error}")))
}

/// `12.50 EUR`, of minor units.
fn shown(minor: i128, currency: Currency) -> String {
    format!("{} {}", money::format_signed(minor, currency), currency.code())
}

/// What was decided about one payment.
#[derive(Debug, Serialize)]
struct Decided {
    id: String,
    state: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    code: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

/// Prints what was decided; whether it is `wanted`, the exit code says.
fn tell(answer: &PaymentAnswer, wanted: &'static str, json: bool) -> Code {
    let (state, code, detail) = match answer.standing.clone() {
        Standing::Paid { .. } => ("paid", String::new(), String::new()),
        Standing::Refused { code, detail, .. } => ("refused", code, detail),
        Standing::NotTaken { code, detail } => ("not_taken", code, detail),
        Standing::Undecided { detail } => ("undecided", "outcome_unknown".to_owned(), detail),
    };
    let id = answer.id.to_string();
    if json {
        print_json(&Decided { id, state, code, detail });
    } else {
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        println!("payment {id} is {}{detail}", state.replace('_', " "));
    }
    if state == wanted { Code::Done } else { Code::Failed }
}

fn print_json(value: &impl Serialize) {
    println!("{}", serde_json::to_string(value).expect("texts, numbers and lists of them"));
}
