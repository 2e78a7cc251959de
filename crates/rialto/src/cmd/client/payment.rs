//! `rialto payment ID`: what the outbox and the gateway know of one payment.

use api::client::gateway::{PaymentAnswer, Standing};
use clap::Args;
use clearing::PaymentId;
use serde::Serialize;
use wallet::{Entry, OutboxError};

use super::{ClientArgs, Colours, Desk, GATEWAY, of_gateway, of_outbox, print_json, say};
use crate::failure::{Code, Failure};
use crate::follow_up;
use crate::waiting::waiting_for;

const EXAMPLES: &str = "\
Examples:
  rialto payment 018f3a2c-1b2d-7c3e-9f40-112233445566
  rialto payment 018f3a2c-1b2d-7c3e-9f40-112233445566 --json

The payer sees a payment from the moment it is sent, the payee once it is paid; `rialto history` has the ids.
That the gateway does not know an id is no outcome: the payment may still be on its way.
Exit codes: 0 shown; 1 neither the outbox nor the gateway knows it; 2 no id; 8 or 9 the outbox does not know it, and the
gateway cannot be asked; all: rialto help exit-codes";

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
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<say::TermsJson>,
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
    let waiting = waiting_for(GATEWAY);
    let (entry, asked) = known(&args.client.open()?, args.id).await?;
    drop(waiting);
    if args.json {
        let gateway = match &asked {
            Ok(answer) => at_gateway(answer.as_ref()),
            Err(failure) => AtGateway {
                state: "not_asked",
                code: String::new(),
                detail: failure.what().to_owned(),
                delivered: None,
            },
        };
        let terms = asked.as_ref().ok().and_then(Option::as_ref).and_then(|answer| answer.terms);
        let (outbox, payment) = (entry.as_ref().map(say::json), terms.as_ref().map(say::terms_json));
        print_json(&Shown { id: args.id.to_string(), outbox, payment, gateway });
    } else {
        println!("{}", text_of(entry.as_ref(), &asked));
    }
    Ok(Code::Done)
}

/// For the shell too.
pub(super) async fn text(desk: &Desk, id: PaymentId) -> Result<String, Failure> {
    let (entry, asked) = known(desk, id).await?;
    Ok(text_of(entry.as_ref(), &asked))
}

type Asked = Result<Option<PaymentAnswer>, Failure>;

/// What is known of it, somewhere.
async fn known(desk: &Desk, id: PaymentId) -> Result<(Option<Entry>, Asked), Failure> {
    let (entry, asked) = look(desk, id).await?;
    match (entry.is_some(), asked) {
        (false, Err(failure)) => Err(failure.line(format!("the outbox here does not know payment {id}"))),
        (false, Ok(None)) => Err(Failure::new(format!("neither the outbox here nor the gateway knows a payment {id}"))
            .with_problem(api::code::Code::UnknownPayment)
            .line("that is no outcome: sent from elsewhere it may still be on its way")
            .line(format!(
                "what a bank books by itself, like an opening balance, is no payment: {} shows it",
                follow_up::command("history")
            ))),
        (_, asked) => Ok((entry, asked)),
    }
}

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
    // Whoever is paid has no such payment in an outbox of theirs: the gateway says what it is.
    let terms = asked.as_ref().ok().and_then(Option::as_ref).and_then(|answer| answer.terms);
    let outbox = match (entry, terms) {
        (Some(entry), _) => say::sentence(entry, Colours::of_stdout()),
        (None, Some(terms)) => say::terms(&terms),
        (None, None) => "the outbox here does not know it".to_owned(),
    };
    let gateway = match asked {
        Ok(None) if entry.is_some_and(|entry| entry.first_sent_ms.is_none()) => "it was never sent there".to_owned(),
        Ok(None) => "does not know it, which is no outcome: it may still be on its way".to_owned(),
        Ok(Some(answer)) => match &answer.standing {
            Standing::Paid { delivered: true } => "paid, and both banks have it in their books".to_owned(),
            Standing::Paid { delivered: false } => "paid; a bank has still to be told".to_owned(),
            Standing::Undecided { .. } => "on its way, and not decided yet".to_owned(),
            Standing::Refused { detail, .. } => format!("refused, for good: {detail}"),
            Standing::NotTaken { detail, .. } => format!("not taken: {detail}"),
        },
        // That is a sentence by itself.
        Err(failure) => return format!("{outbox}\n{failure}"),
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
