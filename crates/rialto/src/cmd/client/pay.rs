//! `rialto pay`: on disk first, then sent; and what is known within a few seconds.

use std::time::Duration;

use api::client::gateway::{GatewayClient, new_payment_id};
use api::field;
use api::json::Digits;
use clap::Args;
use clearing::outbox::ItemState;
use clearing::{NamedParty, PaymentId, Terms};
use ledger::{Currency, Reference};
use serde::Serialize;
use wallet::{Entry, Outbox, now_ms};

use super::waiting::{Until, wait_for};
use super::{ClientArgs, Colours, Desk, of_outbox, party, print_json, say};
use crate::failure::{Code, Failure};

const EXAMPLES: &str = "\
Examples:
  rialto pay bob@beta 12.50
  rialto pay bob@beta 12.50 --reference 'rent, March' --json
  rialto pay bob@beta 12.50 --offline          only into the outbox
  rialto pay bob@beta 12.50 --wait             until it is paid or refused, however long that takes

The payment gets its id and is on disk before it is sent, so it is made once whatever dies. If the gateway cannot be reached
it stays queued and goes out by itself from `rialto shell`, `rialto outbox run` or the next `rialto pay`, which says so.
Exit codes: 0 paid, or kept in the outbox and on its way; 1 refused; 2 no payee or amount, or an address that is not
the gateway's; 9 nobody is signed in, or it waits for a new sign-in; all: rialto help exit-codes";

/// How long a command waits for an outcome: an attempt has its end within four seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pay somebody, at any bank
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PayArgs {
    /// Who is paid, like bob@beta
    #[arg(value_name = "PAYEE")]
    payee: String,
    /// How much, like 12.50
    #[arg(value_name = "AMOUNT", allow_negative_numbers = true)]
    amount: String,
    /// What it is for, at most 35 bytes
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reference: String,
    /// The currency of both accounts
    #[arg(long, value_name = "CODE", default_value = "EUR")]
    currency: String,
    /// After so many hours it is not wanted any more: then it is dropped, or the gateway is asked to cancel it
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    within_hours: u32,
    /// Only write it to the outbox
    #[arg(long, conflicts_with = "wait")]
    offline: bool,
    /// Wait until it is paid or refused, however long that takes
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    client: ClientArgs,
    /// One JSON object instead of a sentence
    #[arg(long)]
    json: bool,
}

/// What is ordered, as it was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) payee: &'a str,
    pub(super) amount: &'a str,
    pub(super) currency: &'a str,
    pub(super) reference: &'a str,
    pub(super) within_hours: u32,
}

pub(crate) async fn run(args: PayArgs) -> Result<Code, Failure> {
    let wish = Wish {
        payee: &args.payee,
        amount: &args.amount,
        currency: &args.currency,
        reference: &args.reference,
        within_hours: args.within_hours,
    };
    let desk = args.client.open()?;
    let payer = desk.signed_in()?.customer;
    let gateway = if args.offline { None } else { gateway(&desk)? };
    let entry = order(&desk, payer, wish)?;
    let until = if args.wait { Until::Over } else { Until::KnownWithin(PATIENCE) };
    let sent = match &gateway {
        Some(gateway) => send(&desk, entry, gateway, until).await?,
        None => Sent::alone(entry),
    };
    let Sent { entry, others } = &sent;
    if args.json {
        print_json(&Ordered { payment: say::json(entry), others: others.iter().map(say::json).collect() });
    } else {
        println!("{}", say::sentence(entry, Colours::of_stdout()));
        print_others(others);
    }
    Ok(code(entry))
}

/// What became of the payment that was ordered, and of others that waited in the outbox and went out with it.
struct Sent {
    entry: Entry,
    others: Vec<Entry>,
}

impl Sent {
    fn alone(entry: Entry) -> Sent {
        Sent { entry, others: Vec::new() }
    }
}

/// The public shape in `--json`.
#[derive(Serialize)]
struct Ordered {
    #[serde(flatten)]
    payment: say::PaymentJson,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<say::PaymentJson>,
}

/// Says what else went out when a command had the outbox emptied.
pub(super) fn print_others(others: &[Entry]) {
    for other in others {
        println!("from the outbox: {}", say::sentence(other, Colours::of_stdout()));
    }
}

/// Understands what was written, and writes it to the outbox.
pub(super) fn order(desk: &Desk, payer: NamedParty, wish: Wish<'_>) -> Result<Entry, Failure> {
    let terms = terms(payer, wish)?;
    let now = now_ms();
    let deadline_ms = now.saturating_add(u64::from(wish.within_hours) * 3_600_000);
    desk.outbox()?.add(&terms, now, deadline_ms).map_err(of_outbox)
}

fn terms(payer: NamedParty, wish: Wish<'_>) -> Result<Terms, Failure> {
    let malformed = |problem: api::problem::Problem| Failure::usage(problem.detail);
    let currency: Currency = field::currency("currency", wish.currency).map_err(malformed)?;
    let reference = match wish.reference {
        "" => Reference::EMPTY,
        text => field::reference("reference", text).map_err(malformed)?,
    };
    let payee = party(wish.payee)?;
    if payee == payer {
        return Err(Failure::usage(format!("{payer} would pay themselves")));
    }
    Ok(Terms {
        id: new_payment_id(),
        payer,
        payee,
        amount: field::amount("amount", &Digits(wish.amount.into()), currency).map_err(malformed)?,
        currency,
        reference,
    })
}

/// The gateway, as far as it can be known. A flag that can never be right is refused before anything is kept: the commands that
/// are to send it later would be told with it.
fn gateway(desk: &Desk) -> Result<Option<GatewayClient>, Failure> {
    match desk.gateway() {
        Ok(gateway) => Ok(Some(gateway)),
        Err(failure) if failure.code() == Code::Usage => Err(failure.line("nothing was ordered")),
        // That it is ordered is what was asked for: where the gateway is may be known later.
        Err(failure) => {
            eprintln!("warning: {failure}");
            Ok(None)
        }
    }
}

async fn send(desk: &Desk, entry: Entry, gateway: &GatewayClient, until: Until) -> Result<Sent, Failure> {
    let mut outbox = desk.outbox()?;
    // Somebody waits for the answer: what was ordered before, and goes first, is tried now and not when its pause is over.
    let before = open_besides(&outbox, entry.terms.id)?;
    for earlier in before.iter().filter(|earlier| earlier.terms.payer == entry.terms.payer) {
        outbox.hurry(earlier.terms.id, now_ms()).map_err(of_outbox)?;
    }
    let before = open_besides(&outbox, entry.terms.id)?;
    let running = desk.worker(gateway)?;
    wait_for(&running, &outbox, entry.terms.id, until).await?;
    running.stop().await;
    // What was on its way when the patience ended has its answer now.
    let entry = outbox.entry(entry.terms.id).map_err(of_outbox)?;
    outbox.mark_seen(&entry).map_err(of_outbox)?;
    let others = changed_since(&mut outbox, &before)?;
    let entry = say::with_reason(entry, &outbox.open_entries().map_err(of_outbox)?);
    Ok(Sent { entry, others })
}

/// Payments without an end, but for one.
pub(super) fn open_besides(outbox: &Outbox, id: PaymentId) -> Result<Vec<Entry>, Failure> {
    let open = outbox.open_entries().map_err(of_outbox)?;
    Ok(open.into_iter().filter(|entry| entry.terms.id != id).collect())
}

/// Those that have come further since: sent, ended, or stopped by a sign-in that is missing. They are shown now.
pub(super) fn changed_since(outbox: &mut Outbox, before: &[Entry]) -> Result<Vec<Entry>, Failure> {
    let mut changed = Vec::new();
    for earlier in before {
        let now = outbox.entry(earlier.terms.id).map_err(of_outbox)?;
        let is_same = say::state(&now.item.state) == say::state(&earlier.item.state);
        if !is_same && (now.item.state.is_final() || now.first_sent_ms.is_some() || now.waits_for_sign_in()) {
            outbox.mark_seen(&now).map_err(of_outbox)?;
            changed.push(now);
        }
    }
    Ok(changed)
}

/// What a script needs to know.
pub(super) fn code(entry: &Entry) -> Code {
    match entry.item.state {
        ItemState::Done
        | ItemState::Queued(_)
        | ItemState::Trying(_)
        | ItemState::Sent(_)
        | ItemState::Cancelling(_) => Code::Done,
        ItemState::Refused(_) | ItemState::Dropped => Code::Failed,
        ItemState::WaitingForSignIn(_) => Code::NotSignedIn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_paid_is_said_before_anything_is_kept() {
        let payer: NamedParty = "alice@alpha".parse().expect("well formed");
        let good = Wish { payee: "bob@beta", amount: "12.50", currency: "EUR", reference: "rent", within_hours: 1 };
        assert_eq!(terms(payer, good).map(|terms| terms.amount.minor()), Ok(12_50));
        let bad = [
            (Wish { amount: "12,50", ..good }, "comma"),
            (Wish { amount: "-1", ..good }, "negative"),
            (Wish { amount: "0.001", ..good }, "at most 2"),
            (Wish { currency: "eur", ..good }, "ISO 4217"),
            (Wish { payee: "bob", ..good }, "names no bank"),
            (Wish { payee: "alice@alpha", ..good }, "themselves"),
            (Wish { reference: "a reference that is longer than 35 bytes", ..good }, "at most 35"),
        ];
        for (wish, part) in bad {
            let failure = terms(payer, wish).expect_err(part);
            assert!(failure.to_string().contains(part), "{failure}");
            assert_eq!(failure.code(), Code::Usage);
        }
    }
}
