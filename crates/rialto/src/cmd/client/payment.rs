//! `rialto payment ID`: what the outbox and the gateway know of one payment.

use api::client::gateway::{PaymentAnswer, Standing};
use clap::Args;
use clearing::PaymentId;
use serde::Serialize;
use wallet::{Entry, OutboxError};

use super::{ClientArgs, Colours, Desk, of_gateway, of_outbox, print_json, say};
use crate::failure::{Code, Failure};

const EXAMPLES: &str = "\
Examples:
  rialto payment 018f3a2c-1b2d-7c3e-9f40-112233445566
  rialto payment 018f3a2c-1b2d-7c3e-9f40-112233445566 --json

That the gateway does not know an id is no outcome: the payment may still be on its way.
Exit codes: 0 shown; 1 neither the outbox nor the gateway can say anything; 2 wrong flags";

/// Show one payment
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PaymentArgs {
    /// Its id
    #[arg(value_name = "ID", value_parser = id)]
    id: PaymentId,
    #[command(flatten)]
    client: ClientArgs,
    /// One JSON object instead of sentences
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    outbox: Option<say::PaymentJson>,
    gateway: AtGateway,
}

#[derive(Serialize)]
struct AtGateway {
    state: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    code: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered: Option<bool>,
}

/// An id as people give it.
pub(super) fn id(text: &str) -> Result<PaymentId, String> {
    text.parse().map_err(|why| format!("{text:?} is no payment's id: {why}"))
}

pub(crate) async fn run(args: PaymentArgs) -> Result<Code, Failure> {
    let desk = args.client.open()?;
    let (entry, asked) = look(&desk, args.id).await?;
    if args.json {
        let gateway = match &asked {
            Ok(answer) => at_gateway(answer.as_ref()),
            Err(failure) => {
                AtGateway { state: "not_asked", code: String::new(), detail: failure.to_string(), delivered: None }
            }
        };
        print_json(&Shown { id: args.id.to_string(), outbox: entry.as_ref().map(say::json), gateway });
    } else {
        println!("{}", text_of(entry.as_ref(), &asked));
    }
    Ok(if entry.is_none() && asked.is_err() { Code::Failed } else { Code::Done })
}

/// For the shell too.
pub(super) async fn text(desk: &Desk, id: PaymentId) -> Result<String, Failure> {
    let (entry, asked) = look(desk, id).await?;
    Ok(text_of(entry.as_ref(), &asked))
}

type Asked = Result<Option<PaymentAnswer>, Failure>;

/// The gateway may be away; then the outbox alone must do.
async fn look(desk: &Desk, id: PaymentId) -> Result<(Option<Entry>, Asked), Failure> {
    let entry = match desk.outbox()?.entry(id) {
        Ok(entry) => Some(entry),
        Err(OutboxError::Unknown { .. }) => None,
        Err(error) => return Err(of_outbox(error)),
    };
    let asked = match desk.customer() {
        Ok((_, customer)) => customer.payment(id).await.map_err(of_gateway),
        Err(failure) => Err(failure),
    };
    Ok((entry, asked))
}

fn text_of(entry: Option<&Entry>, asked: &Asked) -> String {
    let outbox = entry.map_or_else(
        || "the outbox here does not know it".to_owned(),
        |entry| say::sentence(entry, Colours::of_stdout()),
    );
    let gateway = match asked {
        Ok(None) => "does not know it, which is no outcome: it may still be on its way".to_owned(),
        Ok(Some(answer)) => match &answer.standing {
            Standing::Paid { delivered: true } => "paid, and both banks have it in their books".to_owned(),
            Standing::Paid { delivered: false } => "paid; a bank has still to be told".to_owned(),
            Standing::Undecided { .. } => "on its way, and not decided yet".to_owned(),
            Standing::Refused { detail, .. } => format!("refused, for good: {detail}"),
            Standing::NotTaken { detail, .. } => format!("not taken: {detail}"),
        },
        Err(failure) => failure.to_string(),
    };
    format!("{outbox}\nthe gateway: {gateway}")
}

fn at_gateway(answer: Option<&PaymentAnswer>) -> AtGateway {
    let plain = |state| AtGateway { state, code: String::new(), detail: String::new(), delivered: None };
    match answer.map(|answer| &answer.standing) {
        None => plain("unknown"),
        Some(Standing::Undecided { .. }) => plain("undecided"),
        Some(Standing::Paid { delivered }) => AtGateway { delivered: Some(*delivered), ..plain("paid") },
        Some(Standing::Refused { code, detail, .. }) => {
            AtGateway { code: code.clone(), detail: detail.clone(), ..plain("refused") }
        }
        Some(Standing::NotTaken { code, detail }) => {
            AtGateway { code: code.clone(), detail: detail.clone(), ..plain("not_taken") }
        }
    }
}
