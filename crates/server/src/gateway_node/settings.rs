//! The gateway's settings, shown and changed: each change is an entry in its log.

use super::desk::Desk;
use api::code::Code;
use api::grpc::{currency, int128, int128_value};
use api::payment::bank_name;
use api::problem::Problem;
use api::proto;
use api::proto::change_setting_request::Change;
use clearing::{BankNumber, Clearing, Command, SettingChange};
use ledger::Amount;
use std::time::Duration;
use tracing::info;

/// Between two attempts while the group elects.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn show(desk: &Desk) -> Result<proto::GatewaySettings, Problem> {
    desk.read(|view| shown(view.clearing())).await
}

pub(super) async fn change(
    desk: &Desk,
    request: proto::ChangeSettingRequest,
) -> Result<proto::GatewaySettings, Problem> {
    let wanted = request.change.ok_or_else(|| Problem::new(Code::MissingField, "change: say what is to change"))?;
    let change = match wanted {
        Change::Timeout2pcMs(ms) => SettingChange::VoteTimeout { ms },
        Change::OpenPerBank(payments) => SettingChange::OpenPerBank { payments },
        Change::OpenPerCustomer(payments) => SettingChange::OpenPerCustomer { payments },
        Change::RefusedPerCustomer(it) => {
            SettingChange::RefusedPerCustomer { per_minute: it.per_minute, burst: it.burst }
        }
        Change::TakenPerCustomer(it) => SettingChange::TakenPerCustomer { per_second: it.per_second, burst: it.burst },
        Change::AskedPerBank(it) => SettingChange::AskedPerBank { per_second: it.per_second, burst: it.burst },
        Change::SessionsPerCustomer(sessions) => SettingChange::SessionsPerCustomer { sessions },
        Change::TakeOverAfterMs(after_ms) => SettingChange::TakeOver { after_ms },
        Change::PaymentLimit(it) => {
            SettingChange::PaymentLimit { currency: currency(it.currency)?, limit: amount("limit", it.limit)? }
        }
        Change::PairCap(it) => SettingChange::PairCap {
            debtor: number(desk, "debtor", &it.debtor).await?,
            creditor: number(desk, "creditor", &it.creditor).await?,
            currency: currency(it.currency)?,
            cap: amount("cap", it.cap)?,
        },
    };
    desk.order(Command::ChangeSetting { expected_version: request.expected_version, change }).await?;
    show(desk).await
}

/// What the node's configuration says of a setting becomes an entry in the log, once.
pub(super) async fn put_in_force(desk: Desk, ms: u64) {
    loop {
        if let Ok(settings) =
            desk.read(|view| (view.clearing().settings().version(), view.clearing().settings().vote_timeout_ms)).await
        {
            let (expected_version, present) = settings;
            if present == ms {
                return;
            }
            let change = SettingChange::VoteTimeout { ms };
            if desk.order(Command::ChangeSetting { expected_version, change }).await.is_ok() {
                info!(
                    event = "setting_changed",
                    timeout_2pc_ms = ms,
                    before = present,
                    by = "the node's configuration"
                );
                return;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn shown(clearing: &Clearing) -> proto::GatewaySettings {
    let settings = clearing.settings();
    let name = |bank| clearing.bank(bank).map(|bank| bank.name.as_str().to_owned()).unwrap_or_default();
    let minor = |amount: Amount| Some(int128(i128::try_from(amount.minor()).unwrap_or(i128::MAX)));
    let limit = |(currency, limit): (ledger::Currency, Amount)| proto::PaymentLimit {
        currency: u32::from(currency.number()),
        limit: minor(limit),
    };
    let cap = |(debtor, creditor, currency, cap): (BankNumber, BankNumber, ledger::Currency, Amount)| proto::PairCap {
        debtor: name(debtor),
        creditor: name(creditor),
        currency: u32::from(currency.number()),
        cap: minor(cap),
    };
    proto::GatewaySettings {
        version: settings.version(),
        timeout_2pc_ms: settings.vote_timeout_ms,
        open_per_bank: settings.open_per_bank,
        open_per_customer: settings.open_per_customer,
        refused_per_minute: settings.refused_per_minute,
        refused_burst: settings.refused_burst,
        taken_per_second: settings.taken_per_second,
        taken_burst: settings.taken_burst,
        asked_per_second: settings.asked_per_second,
        asked_burst: settings.asked_burst,
        sessions_per_customer: settings.sessions_per_customer,
        take_over_after_ms: settings.take_over_after_ms,
        payment_limits: settings.payment_limits().map(limit).collect(),
        pair_caps: settings.pair_caps().map(cap).collect(),
    }
}

async fn number(desk: &Desk, field: &'static str, name: &str) -> Result<BankNumber, Problem> {
    let name = bank_name(field, name)?;
    let found = desk.read(move |view| view.clearing().bank_named(&name).map(|bank| bank.number)).await?;
    found.ok_or_else(|| desk.banks.unknown(&name))
}

/// None lifts the bound.
fn amount(field: &'static str, value: Option<proto::Int128>) -> Result<Option<Amount>, Problem> {
    let Some(value) = value else { return Ok(None) };
    let minor = u128::try_from(int128_value(&value)).ok().and_then(Amount::new);
    let bad = || {
        let detail = format!("{field}: give 1 to 2^96 - 1 minor units, or leave it out to lift it");
        Problem::new(Code::AmountTooLarge, detail).with("field", field)
    };
    minor.map(Some).ok_or_else(bad)
}
