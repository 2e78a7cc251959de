//! `rialto payments`: those that are undecided or undelivered, whom they wait for, and the decision by hand.

use api::client::gateway::{OpenPayment, PaymentsWanted};
use clap::{Args, Subcommand};
use clearing::{PaymentId, Risk};
use ledger::TransferId;
use serde::Serialize;

use super::{OperatorArgs, print_json, shown, tell, way};
use crate::failure::{Code, Failure};
use crate::follow_up;
use crate::out;
use crate::supervise::columns::broken;

const EXAMPLES: &str = "\
Examples:
  rialto payments --in-doubt                      what is undecided, or decided and not yet in both banks' books: the
                                                  oldest first, its age, whom it waits for, and why
  rialto payments --undecided                     only what is undecided
  rialto payments show 018f2f6c-…                 one payment's whole way, also long after
  rialto payments void 018f2f6c-… --by anna       decides void, if it is not decided otherwise; anna goes on record
  rialto payments void 018f2f6c-… --by anna --although-it-may-be-paid
                                                  also where a restored gateway cannot know whether it was paid, because
                                                  a bank is gone; without it, who would lose what is told (may_be_paid)
  rialto payments --listed                        what an operator should look at: paid by a restored gateway though its
                                                  payer may have been told void, or void though a bank says it booked it,
                                                  or decided though a bank says that it is otherwise
  rialto payments acknowledge 018f2f6c-…          somebody has looked at one of these

A payment needs nobody: it is decided within its time, and delivered when its banks are back. What hangs, hangs on a bank.
Exit codes: 0 listed, or void; 1 it is decided otherwise, or not on record; 2 wrong flags; 8 the gateway cannot be reached;
10 it may have been done; all: rialto help exit-codes";

/// List payments that are on their way; void one by hand
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PaymentsArgs {
    #[command(subcommand)]
    command: Option<PaymentsCommand>,
    /// All that are on their way: undecided, or not yet in both banks' books (also what is shown without it)
    #[arg(long, conflicts_with_all = ["undecided", "listed"])]
    in_doubt: bool,
    /// Only those that are not decided
    #[arg(long, conflicts_with = "listed")]
    undecided: bool,
    /// Those to look at: a restored gateway decided them without knowing what had been told, or a bank contradicted
    #[arg(long)]
    listed: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    at: OperatorArgs,
    /// One JSON object instead of lines
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum PaymentsCommand {
    /// Void an undecided payment, through the decision itself
    Void {
        /// The payment's id
        #[arg(value_name = "ID", value_parser = payment_id)]
        id: PaymentId,
        /// Who does this; it goes on record
        #[arg(long, value_name = "NAME")]
        by: String,
        /// Take the risk that a bank that is silent since the gateway was restored has posted it; that goes on record too
        #[arg(long)]
        although_it_may_be_paid: bool,
    },
    /// Show one payment's whole way: who ordered it when, what its banks said, what was decided, whose books have it
    Show {
        /// The payment's id
        #[arg(value_name = "ID", value_parser = payment_id)]
        id: PaymentId,
    },
    /// Take a payment off the list of --listed
    Acknowledge {
        /// The payment's id
        #[arg(value_name = "ID", value_parser = payment_id)]
        id: PaymentId,
    },
}

#[derive(Serialize)]
struct All {
    payments: Vec<Row>,
    /// Of that kind, in all.
    count: u64,
}

#[derive(Serialize)]
struct Row {
    id: String,
    payer: String,
    payee: String,
    amount: String,
    decided: bool,
    paid: bool,
    age_ms: u64,
    waits_for: String,
    /// What a bank says that contradicts the decision; empty where none does.
    contradiction: String,
}

pub(crate) async fn run(args: PaymentsArgs) -> Result<Code, Failure> {
    let gateway = args.at.open()?;
    match args.command {
        Some(PaymentsCommand::Void { id, by, although_it_may_be_paid }) => {
            let risk = if although_it_may_be_paid { Risk::Taken } else { Risk::NotTaken };
            let answer = args.at.asking(gateway.void(id, &by, risk)).await?;
            return Ok(tell(&answer, "refused", args.json));
        }
        Some(PaymentsCommand::Show { id }) => {
            let found = args.at.asking(gateway.show(id)).await?;
            return way::show(id, found, if args.json { way::As::Json } else { way::As::Text });
        }
        Some(PaymentsCommand::Acknowledge { id }) => {
            args.at.asking(gateway.acknowledge(id)).await?;
            match args.json {
                true => print_json(&serde_json::json!({ "id": id.to_string(), "acknowledged": true })),
                false => println!("payment {id} is off the list"),
            }
            return Ok(Code::Done);
        }
        None => {}
    }
    let (wanted, none) = match (args.undecided, args.listed) {
        (true, _) => (PaymentsWanted::Undecided, "undecided"),
        (_, true) => (PaymentsWanted::Listed, "listed"),
        (false, false) => (PaymentsWanted::Open, "on its way"),
    };
    let (open, count) = args.at.asking(gateway.payments(wanted, args.limit)).await?;
    let rows: Vec<Row> = open.iter().map(row).collect();
    match (args.json, rows.is_empty()) {
        (true, _) => print_json(&All { payments: rows, count }),
        (false, true) => println!("no payment is {none}"),
        (false, false) => {
            let of_row = |row| lines(row, args.listed, out::columns());
            rows.iter().flat_map(of_row).for_each(|line| println!("{line}"));
            let more = count.saturating_sub(rows.len() as u64);
            if more > 0 {
                println!("… and {more} more (--limit N)");
            }
        }
    }
    if wanted == PaymentsWanted::Open && !args.json {
        let (_, listed) = args.at.asking(gateway.payments(PaymentsWanted::Listed, 1)).await?;
        to_look_at(listed).iter().for_each(|line| println!("{line}"));
    }
    Ok(Code::Done)
}

/// What is over and yet not settled has a list of its own.
fn to_look_at(listed: u64) -> Option<String> {
    match listed {
        0 => None,
        1 => Some(format!("1 payment is listed for you to look at: {}", follow_up::command("payments --listed"))),
        more => {
            let command = follow_up::command("payments --listed");
            Some(format!("{more} payments are listed for you to look at: {command}"))
        }
    }
}

fn row(open: &OpenPayment) -> Row {
    let terms = &open.terms;
    Row {
        id: terms.id.to_string(),
        payer: terms.payer.to_string(),
        payee: terms.payee.to_string(),
        amount: shown(i128::try_from(terms.amount.minor()).unwrap_or(i128::MAX), terms.currency),
        decided: open.decided,
        paid: open.paid,
        age_ms: open.age_ms,
        waits_for: open.waits_for.clone(),
        contradiction: open.contradiction.clone(),
    }
}

/// What it is, and below that how it stands: whom it waits for is a sentence, which has no room beside an id.
fn lines(row: &Row, is_listed: bool, columns: usize) -> Vec<String> {
    let what = format!("{}  {}  {} -> {}", row.id, row.amount, row.payer, row.payee);
    let standing = if is_listed { format!("waits for {}", row.waits_for) } else { standing(row) };
    let mut lines = broken(&what, columns, (4, ""));
    lines.extend(broken(&format!("    {standing}"), columns, (4, "")));
    lines
}

fn standing(row: &Row) -> String {
    let state = match (row.decided, row.paid) {
        (false, _) => "undecided",
        (true, true) => "paid, undelivered",
        (true, false) => "void, undelivered",
    };
    let age = match row.age_ms {
        ms @ 0..10_000 => format!("{ms} ms"),
        ms => format!("{} s", ms / 1_000),
    };
    let waits = if row.waits_for.is_empty() { "for its decision to be written" } else { row.waits_for.as_str() };
    format!("{state} for {age}; waits for {waits}")
}

pub(super) fn payment_id(text: &str) -> Result<PaymentId, String> {
    let id = uuid::Uuid::parse_str(text).ok().and_then(|id| TransferId::new(id.as_u128()));
    id.ok_or_else(|| format!("`{text}` is no payment's id: it is a UUID"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_list_that_is_empty_is_not_spoken_of() {
        assert_eq!(to_look_at(0), None);
        for listed in [1, 12] {
            let said = to_look_at(listed).expect("there are some");
            assert!(said.starts_with(&listed.to_string()) && said.ends_with("rialto payments --listed"), "{said}");
        }
    }

    #[test]
    fn a_payment_that_hangs_says_how_long_and_on_whom() {
        let mut row = Row {
            id: "018f2f6c-0000-7000-8000-000000000001".to_owned(),
            payer: "alice@alpha".to_owned(),
            payee: "bob@beta".to_owned(),
            amount: "12.50 EUR".to_owned(),
            decided: false,
            paid: false,
            age_ms: 830,
            waits_for: "beta to set the payee's side aside".to_owned(),
            contradiction: String::new(),
        };
        let undecided = lines(&row, false, 80);
        (row.decided, row.paid, row.age_ms, row.waits_for) =
            (true, true, 61_500, "beta to acknowledge that it is paid".to_owned());
        let shown = [undecided, lines(&row, false, 80)].concat();
        assert!(shown.iter().all(|line| line.len() <= 80), "{shown:#?}");
        expect![[r#"
            018f2f6c-0000-7000-8000-000000000001  12.50 EUR  alice@alpha -> bob@beta
                undecided for 830 ms; waits for beta to set the payee's side aside
            018f2f6c-0000-7000-8000-000000000001  12.50 EUR  alice@alpha -> bob@beta
                paid, undelivered for 61 s; waits for beta to acknowledge that it is paid"#]]
        .assert_eq(&shown.join("\n"));
    }
}
