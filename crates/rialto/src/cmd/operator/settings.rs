//! `rialto settings`: the gateway's timeouts, limits and caps. Each change is an entry in its log.

use api::client::gateway::SettingChange;
use api::grpc::{int128, int128_value};
use api::proto;
use clap::{Args, Subcommand};
use clearing::BankName;
use ledger::Currency;
use serde_json::{Value, json};

use super::{OperatorArgs, amount, bank, currency, print_json, shown};
use crate::failure::{Code, Failure};

const EXAMPLES: &str = "\
Examples:
  rialto settings                                  what is in force
  rialto settings timeout-2pc-ms 5000              a payment waits five seconds for the votes of its banks
  rialto settings pair-cap beta alpha 10000.00     beta may owe alpha at most so much
  rialto settings pair-cap beta alpha none         lifts that
  rialto settings payment-limit 5000.00 --currency EUR

Exit codes: 0 as asked; 1 refused; 2 wrong flags; 8 the gateway cannot be reached; 10 it may have been done;
all: rialto help exit-codes";

/// Show or change the gateway's timeouts, limits and caps
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SettingsArgs {
    #[command(subcommand)]
    change: Option<Change>,
    #[command(flatten)]
    at: OperatorArgs,
    /// One JSON object instead of lines
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Change {
    /// How long a payment waits for the votes of its banks
    #[command(name = "timeout-2pc-ms")]
    Timeout {
        #[arg(value_name = "MS", value_parser = clap::value_parser!(u64).range(50..=60_000))]
        ms: u64,
    },
    /// Payments of one bank that may be undecided, or undelivered to it, at once
    OpenPerBank {
        #[arg(value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        payments: u64,
    },
    /// Payments of one payer that may be undecided, or undelivered to the payer's bank, at once
    OpenPerCustomer {
        #[arg(value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        payments: u64,
    },
    /// Payments of one payer that may be refused: N a minute for ever, and so many at once
    RefusedPerCustomer {
        #[arg(value_name = "PER_MINUTE", value_parser = clap::value_parser!(u64).range(1..=600_000))]
        per_minute: u64,
        #[arg(value_name = "AT_ONCE", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        burst: u64,
    },
    /// Payments that one payer may send to one node: N a second for ever, and so many at once
    TakenPerCustomer {
        #[arg(value_name = "PER_SECOND", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        per_second: u64,
        #[arg(value_name = "AT_ONCE", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
        burst: u64,
    },
    /// What one bank may have one node look into, its calls and payments that it tells of: N a second, and so many at once
    AskedPerBank {
        #[arg(value_name = "PER_SECOND", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        per_second: u64,
        #[arg(value_name = "AT_ONCE", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
        burst: u64,
    },
    /// Sign-ins of one customer that are good at once; one more ends the oldest
    SessionsPerCustomer {
        #[arg(value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
        sessions: u64,
    },
    /// How long the node that took a payment is left alone with it
    TakeOverAfterMs {
        #[arg(value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=600_000))]
        ms: u64,
    },
    /// The most that one payment may move; none lifts it
    PaymentLimit {
        #[arg(value_name = "AMOUNT")]
        limit: String,
        #[arg(long, value_name = "CODE", default_value = "EUR", value_parser = currency)]
        currency: Currency,
    },
    /// The most that one bank may owe another; none lifts it
    PairCap {
        #[arg(value_name = "DEBTOR", value_parser = bank)]
        debtor: BankName,
        #[arg(value_name = "CREDITOR", value_parser = bank)]
        creditor: BankName,
        #[arg(value_name = "AMOUNT")]
        cap: String,
        #[arg(long, value_name = "CODE", default_value = "EUR", value_parser = currency)]
        currency: Currency,
    },
}

pub(crate) async fn run(args: SettingsArgs) -> Result<Code, Failure> {
    let gateway = args.at.open()?;
    let mut settings = args.at.asking(gateway.settings()).await?;
    if let Some(change) = &args.change {
        settings = args.at.asking(gateway.change_setting(settings.version, message(change)?)).await?;
    }
    match args.json {
        true => print_json(&as_json(&settings)),
        false => lines(&settings).iter().for_each(|line| println!("{line}")),
    }
    Ok(Code::Done)
}

fn message(change: &Change) -> Result<SettingChange, Failure> {
    let bound = |text: &str, currency: Currency| match text {
        "none" => Ok(None),
        text => amount(text, currency).map(|it| Some(int128(i128::try_from(it.minor()).unwrap_or(i128::MAX)))),
    };
    Ok(match change {
        Change::Timeout { ms } => SettingChange::Timeout2pcMs(*ms),
        Change::OpenPerBank { payments } => SettingChange::OpenPerBank(*payments),
        Change::OpenPerCustomer { payments } => SettingChange::OpenPerCustomer(*payments),
        Change::RefusedPerCustomer { per_minute, burst } => {
            SettingChange::RefusedPerCustomer(proto::RefusedPerCustomer { per_minute: *per_minute, burst: *burst })
        }
        Change::TakenPerCustomer { per_second, burst } => {
            SettingChange::TakenPerCustomer(proto::TakenPerCustomer { per_second: *per_second, burst: *burst })
        }
        Change::AskedPerBank { per_second, burst } => {
            SettingChange::AskedPerBank(proto::AskedPerBank { per_second: *per_second, burst: *burst })
        }
        Change::SessionsPerCustomer { sessions } => SettingChange::SessionsPerCustomer(*sessions),
        Change::TakeOverAfterMs { ms } => SettingChange::TakeOverAfterMs(*ms),
        Change::PaymentLimit { limit, currency } => SettingChange::PaymentLimit(proto::PaymentLimit {
            currency: u32::from(currency.number()),
            limit: bound(limit, *currency)?,
        }),
        Change::PairCap { debtor, creditor, cap, currency } => SettingChange::PairCap(proto::PairCap {
            debtor: debtor.as_str().to_owned(),
            creditor: creditor.as_str().to_owned(),
            currency: u32::from(currency.number()),
            cap: bound(cap, *currency)?,
        }),
    })
}

/// A bound as people write it.
fn bound(value: Option<&proto::Int128>, number: u32) -> String {
    let currency = u16::try_from(number).ok().and_then(Currency::from_number).unwrap_or(Currency::EUR);
    value.map_or_else(|| "none".to_owned(), |value| shown(int128_value(value), currency))
}

fn lines(settings: &proto::GatewaySettings) -> Vec<String> {
    let mut lines = vec![
        format!("timeout-2pc-ms         {}", settings.timeout_2pc_ms),
        format!("open-per-bank          {}", settings.open_per_bank),
        format!("open-per-customer      {}", settings.open_per_customer),
        format!("refused-per-customer   {} a minute, {} at once", settings.refused_per_minute, settings.refused_burst),
        format!("taken-per-customer     {} a second, {} at once", settings.taken_per_second, settings.taken_burst),
        format!("asked-per-bank         {} a second, {} at once", settings.asked_per_second, settings.asked_burst),
        format!("sessions-per-customer  {}", settings.sessions_per_customer),
        format!("take-over-after-ms     {}", settings.take_over_after_ms),
    ];
    let limits = settings.payment_limits.iter();
    lines.extend(limits.map(|it| format!("payment-limit          {}", bound(it.limit.as_ref(), it.currency))));
    let caps = settings.pair_caps.iter();
    lines.extend(caps.map(|it| {
        format!("pair-cap               {} {} {}", it.debtor, it.creditor, bound(it.cap.as_ref(), it.currency))
    }));
    lines
}

fn as_json(settings: &proto::GatewaySettings) -> Value {
    let limits = settings.payment_limits.iter().map(|it| bound(it.limit.as_ref(), it.currency));
    let cap = |it: &proto::PairCap| json!({ "debtor": it.debtor, "creditor": it.creditor, "cap": bound(it.cap.as_ref(), it.currency) });
    json!({
        "version": settings.version,
        "timeout_2pc_ms": settings.timeout_2pc_ms,
        "open_per_bank": settings.open_per_bank,
        "open_per_customer": settings.open_per_customer,
        "refused_per_minute": settings.refused_per_minute,
        "refused_burst": settings.refused_burst,
        "taken_per_second": settings.taken_per_second,
        "taken_burst": settings.taken_burst,
        "asked_per_second": settings.asked_per_second,
        "asked_burst": settings.asked_burst,
        "sessions_per_customer": settings.sessions_per_customer,
        "take_over_after_ms": settings.take_over_after_ms,
        "payment_limits": limits.collect::<Vec<_>>(),
        "pair_caps": settings.pair_caps.iter().map(cap).collect::<Vec<_>>(),
    })
}
