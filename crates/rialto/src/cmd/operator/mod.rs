//! What the operator of a gateway does: look after payments that hang, see what banks owe each other, settle, change limits.
//! One file per command; here is the way to the gateway that they share.

pub(crate) mod keys;
pub(crate) mod payments;
pub(crate) mod positions;
pub(crate) mod settings;
pub(crate) mod settle;
mod way;

use std::path::PathBuf;
use std::time::Duration;

use api::client::Secret;
use api::client::gateway::{GatewayClient, GatewayError, GatewayOptions, Operator, PaymentAnswer, Standing};
use api::network::NetworkId;
use clap::Args;
use clearing::BankName;
use ledger::{Amount, Currency, money};
use serde::Serialize;

use super::gateway_file;
use super::gateway_port::misdirected;
use super::tls::TlsArgs;
use crate::failure::{Code, Failure};
use crate::follow_up::{self, Options};
use crate::settings::default_dir;
use crate::token;
use crate::waiting::waiting_for;

/// A decision by hand waits for the votes of banks that may be away.
const PATIENCE: GatewayOptions = GatewayOptions {
    deadline: Duration::from_secs(10),
    attempt_timeout: Duration::from_millis(5_000),
    connect_patience: Duration::from_secs(2),
};

/// Which gateway, and as whom.
#[derive(Debug, Args)]
pub(crate) struct OperatorArgs {
    /// Directory of the network that `rialto up` runs [default: RIALTO_DIR, or ./rialto-data]
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A node of the gateway, more than once for several, instead of --dir [default: RIALTO_GATEWAY]
    #[arg(long = "gateway", global = true, value_name = "ADDR", conflicts_with = "dir")]
    gateways: Vec<String>,
    #[command(flatten)]
    tls: TlsArgs,
    /// File with the operator's token, for a gateway that demands one
    #[arg(long, global = true, value_name = "FILE")]
    operator_token_file: Option<PathBuf>,
    /// The gateway's cluster that is meant; whoever else answers is left alone [default: with --dir the directory's own,
    /// otherwise that of the first node that answers]
    #[arg(long, global = true, value_name = "UUID", value_parser = |text: &str| text.parse::<NetworkId>())]
    cluster: Option<NetworkId>,
    /// Give up after so many seconds without an answer [default: 10; where nobody can be reached 2]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    timeout: Option<u64>,
}

impl OperatorArgs {
    fn open(&self) -> Result<Operator, Failure> {
        follow_up::keep(self.options());
        let named = self.named();
        let (addresses, dir, here) = if named.is_empty() {
            let dir = self.dir.clone().unwrap_or_else(default_dir);
            let known = gateway_file::read(&dir)?;
            (known.addresses, Some(dir), known.network)
        } else {
            (named, None, None)
        };
        let gateway = GatewayClient::connect_with(addresses, self.tls.of_gateway(dir.as_deref())?).map_err(failed)?;
        // Whoever is founded at these addresses while the command waits is not who was meant.
        let gateway = self.cluster.or(here).map_or(gateway.clone(), |meant| gateway.pinned_to(meant));
        let token = self.operator_token_file.as_deref().map(token::read).transpose()?;
        let token = token.map(|read| Secret::new(read.token));
        gateway.with_options(self.patience()).operator(token.as_ref()).map_err(failed)
    }

    /// What a command that is typed next needs as well.
    fn options(&self) -> Options {
        let file = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let gateways = self.gateways.iter().fold(Options::default(), |options, it| options.flag("gateway", Some(it)));
        let options = gateways.flag("dir", file(&self.dir));
        self.tls.added_to(options).flag("operator-token-file", file(&self.operator_token_file))
    }

    /// Addresses that were given, in the environment only where no flag says where the gateway is.
    fn named(&self) -> Vec<String> {
        if !self.gateways.is_empty() || self.dir.is_some() {
            return self.gateways.clone();
        }
        let text = std::env::var_os("RIALTO_GATEWAY").unwrap_or_default().to_string_lossy().into_owned();
        text.split(',').map(|address| address.trim().to_owned()).filter(|address| !address.is_empty()).collect()
    }

    /// Waits for an answer of the gateway, and says so when it takes long.
    async fn asking<T>(&self, answer: impl Future<Output = Result<T, GatewayError>>) -> Result<T, Failure> {
        let _waiting = waiting_for(GATEWAY);
        match answer.await {
            Ok(answer) => Ok(answer),
            Err(error @ (GatewayError::Unreachable { .. } | GatewayError::Overloaded { .. })) => {
                Err(misdirected(&self.named()).await.unwrap_or_else(|| failed(error)))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Who says how long to wait also waits so long for somebody who listens.
    fn patience(&self) -> GatewayOptions {
        let Some(seconds) = self.timeout else { return PATIENCE };
        let given = Duration::from_secs(seconds);
        GatewayOptions { deadline: given, connect_patience: given, ..PATIENCE }
    }
}

/// Whom these commands wait for.
const GATEWAY: &str = "the gateway";

fn failed(error: GatewayError) -> Failure {
    let failure = Failure::new(error.to_string());
    let failure = match error.code() {
        Some(code) => failure.with_problem(code),
        None => failure,
    };
    match error {
        GatewayError::Unreachable { .. } => {
            failure.with_code(Code::Unreachable).line("where it is: --gateway ADDR, or the network.json of --dir DIR")
        }
        GatewayError::OutcomeUnknown { .. } => {
            failure.with_code(Code::OutcomeUnknown).line("repeat the command: it is safe, and tells what was decided")
        }
        GatewayError::Refused { code: api::code::Code::UnknownPayment, .. } => {
            let (list, show) = (follow_up::command("payments"), follow_up::command("payments show ID"));
            failure.line(format!("{list} lists those that are on their way, {show} any that is on record"))
        }
        GatewayError::Refused { code: api::code::Code::MoreThanOwed | api::code::Code::UnknownBank, .. } => {
            failure.line(format!("what banks owe each other: {}", follow_up::command("positions")))
        }
        GatewayError::Refused { code: api::code::Code::NotPermitted, .. } => {
            failure.line("show an operator's certificate (--tls-dir, --tls-as) or token (--operator-token-file)")
        }
        GatewayError::Overloaded { .. } => failure.with_code(Code::Unreachable),
        GatewayError::OtherNetwork { .. } => failure
            .line("nothing was changed there; look who is there now")
            .line(format!("code: {}", api::code::Code::OtherCluster.text())),
        GatewayError::Refused { code, .. } => failure.with_code(Code::of_problem(code)),
        GatewayError::NotSignedIn(_) | GatewayError::BadAddress { .. } | GatewayError::Nonsense { .. } => failure,
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
