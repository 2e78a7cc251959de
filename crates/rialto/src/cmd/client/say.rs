//! A payment of the outbox in words, as a row, and as JSON.

use api::code::Code;
use api::json::rfc3339;
use clearing::Terms;
use clearing::outbox::{ItemState, Paused};
use ledger::money;
use serde::Serialize;
use wallet::{Entry, Word};

use super::Colours;
use crate::plain;

/// The public shape of a payment in `--json`.
#[derive(Debug, Serialize)]
pub(super) struct PaymentJson {
    id: String,
    state: &'static str,
    payer: String,
    payee: String,
    amount: String,
    currency: &'static str,
    reference: String,
    created: String,
    deadline: String,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_sent: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    code: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

pub(super) fn json(entry: &Entry) -> PaymentJson {
    let terms = &entry.terms;
    PaymentJson {
        id: terms.id.to_string(),
        state: state(&entry.item.state),
        payer: terms.payer.to_string(),
        payee: terms.payee.to_string(),
        amount: money::format(terms.amount.minor(), terms.currency),
        currency: terms.currency.code(),
        reference: terms.reference.as_str().to_owned(),
        created: rfc3339(entry.created_ms),
        deadline: rfc3339(entry.item.deadline_ms),
        attempts: entry.attempts(),
        first_sent: entry.first_sent_ms.map(rfc3339),
        code: entry.word.code.clone(),
        detail: entry.word.detail.clone(),
    }
}

/// What was ordered, as the gateway knows it: for the payee too.
#[derive(Debug, Serialize)]
pub(super) struct TermsJson {
    payer: String,
    payee: String,
    amount: String,
    currency: &'static str,
    reference: String,
}

pub(super) fn terms_json(terms: &Terms) -> TermsJson {
    TermsJson {
        payer: terms.payer.to_string(),
        payee: terms.payee.to_string(),
        amount: money::format(terms.amount.minor(), terms.currency),
        currency: terms.currency.code(),
        reference: terms.reference.as_str().to_owned(),
    }
}

/// `12.50 EUR from alice@alpha to bob@beta, for "rent"`.
pub(super) fn terms(terms: &Terms) -> String {
    let TermsJson { payer, payee, amount, currency, reference } = terms_json(terms);
    let what = if reference.is_empty() { String::new() } else { format!(", for {reference:?}") };
    format!("{amount} {currency} from {payer} to {payee}{what}")
}

/// The stable word of a state.
pub(super) fn state(state: &ItemState) -> &'static str {
    match state {
        ItemState::Queued(_) => "queued",
        ItemState::Trying(_) => "sending",
        ItemState::Sent(_) => "sent",
        ItemState::Cancelling(_) => "cancelling",
        ItemState::WaitingForSignIn(_) => "waiting_for_sign_in",
        ItemState::Done => "paid",
        ItemState::Refused(_) => "refused",
        ItemState::Dropped => "dropped",
    }
}

/// `12.50 EUR to bob@beta`.
pub(super) fn what(entry: &Entry) -> String {
    let terms = &entry.terms;
    format!("{} {} to {}", money::format(terms.amount.minor(), terms.currency), terms.currency.code(), terms.payee)
}

/// A payment that was never tried waits behind an earlier one of the same payer: for the reason of that.
pub(super) fn with_reason(entry: Entry, open: &[Entry]) -> Entry {
    let is_untried = matches!(entry.item.state, ItemState::Queued(_)) && entry.word.detail.is_empty();
    let is_before = |earlier: &&Entry| !earlier.item.state.is_final() && earlier.terms.payer == entry.terms.payer;
    let first = open.iter().find(is_before);
    let Some(first) = first.filter(|first| is_untried && first.terms.id != entry.terms.id) else { return entry };
    let (before, detail) = (first.terms.id, &first.word.detail);
    let word = match (detail.is_empty(), waits_for_a_bank(&first.word.code)) {
        (true, _) => Word { code: String::new(), detail: format!("payment {before} goes first") },
        // The reason is about that payment's banks, which need not be those of this one.
        (false, true) => {
            Word { code: first.word.code.clone(), detail: format!("payment {before} goes first, and {detail}") }
        }
        (false, false) => first.word.clone(),
    };
    Entry { word, ..entry }
}

/// How a payment stands, and what to do about it if anything.
pub(super) fn sentence(entry: &Entry, colours: Colours) -> String {
    let (what, detail) = (what(entry), &entry.word.detail);
    let because = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    let id = entry.terms.id;
    match entry.item.state {
        ItemState::Done => format!("{} {what} (payment {id})", colours.paint("32", "paid")),
        ItemState::Refused(_) if entry.word.code == "voided" => {
            format!("{} {what} (payment {id}): it is void and will never be paid", colours.paint("33", "cancelled"))
        }
        ItemState::Refused(_) => format!("{} {what} (payment {id}){because}", colours.paint("31", "refused")),
        ItemState::Dropped => {
            format!("{} {what} (payment {id}){because}; nothing was sent", colours.paint("33", "dropped"))
        }
        ItemState::WaitingForSignIn(_) => {
            let bank = entry.terms.payer.bank;
            format!(
                "{} {what} waits until {} signs in again{because}\n  rialto login {bank} {}; it goes on with the same id {id}",
                colours.paint("33", "waiting"),
                entry.terms.payer,
                entry.terms.payer.to_string().trim_end_matches(&format!("@{bank}")),
            )
        }
        ItemState::Queued(_) => format!(
            "{} {what}{because}\n  payment {id} is kept; it goes out by itself from `rialto shell` or `rialto outbox run`",
            colours.paint("33", "queued"),
        ),
        ItemState::Trying(_) | ItemState::Sent(_) if waits_for_a_bank(&entry.word.code) => format!(
            "{} {what}{because}\n  payment {id} is kept; it is sent again by itself from `rialto shell` or `rialto outbox run`",
            colours.paint("33", "waiting"),
        ),
        ItemState::Trying(_) | ItemState::Sent(_) => format!(
            "{} {what}, and its outcome is not known yet{because}\n  payment {id} is kept, and asked about by itself from `rialto shell` or `rialto outbox run`",
            colours.paint("33", "sent"),
        ),
        ItemState::Cancelling(_) => format!(
            "{} {what}: it may have arrived, so the gateway is asked to decide{because}\n  `rialto outbox list` shows what it decided",
            colours.paint("33", "cancelling"),
        ),
    }
}

/// The gateway answered, and did not take it for now.
fn waits_for_a_bank(code: &str) -> bool {
    [Code::BankUnavailable, Code::BankBusy].iter().any(|away| away.text() == code)
}

/// One line of `rialto outbox list`.
pub(super) fn row(entry: &Entry) -> String {
    let terms = &entry.terms;
    let amount = format!("{} {}", money::format(terms.amount.minor(), terms.currency), terms.currency.code());
    let note = match entry.item.state {
        ItemState::Done => String::new(),
        ItemState::WaitingForSignIn(Paused::Cancelling) => "to be cancelled".to_owned(),
        ItemState::Queued(_)
        | ItemState::Trying(_)
        | ItemState::Sent(_)
        | ItemState::Cancelling(_)
        | ItemState::WaitingForSignIn(Paused::Queued | Paused::Sent)
        | ItemState::Refused(_)
        | ItemState::Dropped => entry.word.detail.clone(),
    };
    let created = rfc3339(entry.created_ms);
    let line = format!(
        "{}  {:<19}  {:>16}  {}  {:<19}  {}",
        terms.id,
        state(&entry.item.state),
        amount,
        plain::left(&plain::cell(&terms.payee.to_string()), 20),
        created.get(..19).unwrap_or(&created),
        plain::cell(&note),
    );
    line.trim_end().to_owned()
}

pub(super) const HEADER: &str = "payment                               state                          amount  to                    ordered (UTC)        last word";

#[cfg(test)]
mod tests {
    use super::*;
    use wallet::Outbox;

    #[test]
    fn what_waits_behind_another_payment_says_so_where_the_reason_is_that_ones_bank() {
        let file = std::env::temp_dir().join(format!("rialto-say-{}.db", std::process::id()));
        let mut outbox = Outbox::open(&file).expect("there is room");
        let mut add = |number: u128, payee: &str| {
            let terms = Terms {
                id: clearing::PaymentId::new(number).expect("not nil"),
                payer: "alice@alpha".parse().expect("well formed"),
                payee: payee.parse().expect("well formed"),
                amount: ledger::Amount::new(1).expect("not zero"),
                currency: ledger::Currency::EUR,
                reference: ledger::Reference::EMPTY,
            };
            outbox.add(&terms, 1, 10).expect("there is room")
        };
        let (first, behind) = (add(1, "bob@beta"), add(2, "bob@alpha"));
        let with = |code: &str, detail: &str| {
            let word = Word { code: code.to_owned(), detail: detail.to_owned() };
            let open = [Entry { word, ..first.clone() }, behind.clone()];
            with_reason(behind.clone(), &open).word.detail
        };
        let before = first.terms.id;
        assert_eq!(with("", ""), format!("payment {before} goes first"));
        assert_eq!(with("bank_unavailable", "no bank"), format!("payment {before} goes first, and no bank"));
        assert_eq!(with("", "no gateway"), "no gateway", "that is the reason of both");
        let _ = std::fs::remove_file(file);
    }
}
