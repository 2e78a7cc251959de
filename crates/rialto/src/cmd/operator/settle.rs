//! `rialto settle`: a bank pays back what it owes another, by a payment between the banks themselves.

use api::client::gateway::new_payment_id;
use clap::Args;
use clearing::{BankName, PaymentId};
use ledger::Currency;

use super::payments::payment_id;
use super::{OperatorArgs, amount, bank, currency, tell};
use crate::failure::{Code, Failure};

const EXAMPLES: &str = "\
Examples:
  rialto settle beta alpha 120.00                  beta pays back 120.00 EUR of what it owes alpha
  rialto settle beta alpha 9000 --currency JPY
  rialto settle beta alpha 120.00 --id 018f2f6c-…  again, after an answer that was lost: it is paid once

The money itself goes another way, as the banks agree. In their books it is a payment from the creditor's vault to the
debtor's, decided like any other.
Exit codes: 0 paid; 1 refused; 2 wrong flags; 8 the gateway cannot be reached; 10 it may have been paid;
all: rialto help exit-codes";

/// Have a bank pay back what it owes another
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SettleArgs {
    /// The bank that owes
    #[arg(value_name = "DEBTOR", value_parser = bank)]
    debtor: BankName,
    /// The bank that is owed
    #[arg(value_name = "CREDITOR", value_parser = bank)]
    creditor: BankName,
    /// How much, such as 120.00
    #[arg(value_name = "AMOUNT")]
    amount: String,
    /// ISO 4217 code
    #[arg(long, value_name = "CODE", default_value = "EUR", value_parser = currency)]
    currency: Currency,
    /// The payment's id; a new one if not given
    #[arg(long, value_name = "UUID", value_parser = payment_id)]
    id: Option<PaymentId>,
    #[command(flatten)]
    at: OperatorArgs,
    /// One JSON object instead of a sentence
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: SettleArgs) -> Result<Code, Failure> {
    let amount = amount(&args.amount, args.currency)?;
    let id = args.id.unwrap_or_else(new_payment_id);
    let gateway = args.at.open()?;
    let settled = args.at.asking(gateway.settle(id, (args.debtor, args.creditor), (amount, args.currency))).await;
    // Only where it may have been paid is there something to repeat under the same id.
    let answer = settled.map_err(|failure| {
        let is_unknown = failure.code() == Code::OutcomeUnknown;
        if is_unknown { failure.line(format!("its id: {id}; give it with --id")) } else { failure }
    })?;
    Ok(tell(&answer, "paid", args.json))
}
