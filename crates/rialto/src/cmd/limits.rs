//! `rialto limits`: what one transfer of a bank may move, and what one customer can be debited on a day.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::targets::{TargetArgs, WhichBank};
use crate::failure::{Code, Failure};

const EXAMPLES: &str = "\
Examples:
  rialto limits --bank alpha                           what is in force
  rialto limits daily-debit 500.00 --bank alpha        what one customer can be debited on one UTC day
  rialto limits daily-debit none --bank alpha          lifts that
  rialto limits transfer 10000.00 --currency EUR       what one transfer can move

A change is an entry in the bank's log, so all its nodes decide alike. Money that is set aside counts for the day on which it
was; if it is let go, it is given back to that day. Limits of the gateway: rialto settings.
Exit codes: 0 as asked; 1 refused; 2 wrong flags; 8 the bank cannot be reached; 10 it may have been done;
all: rialto help exit-codes";

/// Show or change a bank's limits
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LimitsArgs {
    #[command(subcommand)]
    change: Option<Change>,
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    which: WhichBank,
    /// The currency of the limit
    #[arg(long, global = true, value_name = "CODE", default_value = "EUR")]
    currency: String,
    /// One JSON object instead of lines
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Change {
    /// What one customer can be debited on one UTC day; none lifts it
    DailyDebit {
        #[arg(value_name = "AMOUNT")]
        amount: String,
    },
    /// What one transfer can move; none lifts it
    Transfer {
        #[arg(value_name = "AMOUNT")]
        amount: String,
    },
}

pub(crate) async fn run(args: LimitsArgs) -> Result<Code, Failure> {
    let bank = args.targets.bank(&args.which)?;
    let limits = match &args.change {
        None => bank.get("/v1/limits").await?,
        Some(change) => bank.post("/v1/limits", &body(change, &args.currency)).await?,
    };
    match args.json {
        true => println!("{limits}"),
        false => lines(&bank.name().await?, &limits).iter().for_each(|line| println!("{line}")),
    }
    Ok(Code::Done)
}

fn body(change: &Change, currency: &str) -> Value {
    let (limit, amount) = match change {
        Change::DailyDebit { amount } => ("daily_debit", amount),
        Change::Transfer { amount } => ("transfer", amount),
    };
    let amount = if amount == "none" { Value::Null } else { Value::from(amount.as_str()) };
    json!({ "limit": limit, "amount": amount, "currency": currency })
}

fn lines(bank: &str, limits: &Value) -> Vec<String> {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let line = |row: &Value| {
        let what = match row["limit"].as_str() {
            Some("daily_debit") => "a customer's debits of one UTC day",
            _ => "one transfer",
        };
        format!("bank {bank}: at most {} {} for {what}", text(row, "amount"), text(row, "currency"))
    };
    match limits["limits"].as_array().map(Vec::as_slice) {
        Some([]) | None => vec![format!("bank {bank} has no limits")],
        Some(rows) => rows.iter().map(line).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_in_words_and_none_lifts_one() {
        let bank = "alpha";
        assert_eq!(lines(bank, &json!({ "version": 0, "limits": [] })), ["bank alpha has no limits"]);
        let one = json!({ "limits": [{ "limit": "daily_debit", "currency": "EUR", "amount": "500.00" }] });
        assert_eq!(lines(bank, &one), ["bank alpha: at most 500.00 EUR for a customer's debits of one UTC day"]);
        let lifted = body(&Change::Transfer { amount: "none".to_owned() }, "EUR");
        assert_eq!(lifted, json!({ "limit": "transfer", "amount": null, "currency": "EUR" }));
    }
}
