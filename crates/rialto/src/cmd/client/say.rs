//! A payment of the outbox in words, as a row, and as JSON.

use api::code::Code;
use api::json::rfc3339;
use clearing::Terms;
use clearing::outbox::{ItemState, Paused};
use ledger::money;
use serde::Serialize;
use wallet::{Entry, Word};

use super::Colours;
use crate::follow_up;
use crate::plain;
use crate::supervise::columns::broken;

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
    let senders = format!("`{}` or `{}`", follow_up::command("shell"), follow_up::command("outbox run"));
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
            let (payer, bank) = (entry.terms.payer.to_string(), entry.terms.payer.bank);
            let user = payer.trim_end_matches(&format!("@{bank}"));
            let login = follow_up::command(&format!("login {bank} {}", plain::quoted(user)));
            format!(
                "{} {what} waits until {payer} signs in again{because}\n  {login}; it goes on with the same id {id}",
                colours.paint("33", "waiting"),
            )
        }
        ItemState::Queued(_) => format!(
            "{} {what}{because}\n  payment {id} is kept; it goes out by itself from {senders}",
            colours.paint("33", "queued"),
        ),
        ItemState::Trying(_) | ItemState::Sent(_) if waits_for_a_bank(&entry.word.code) => format!(
            "{} {what}{because}\n  payment {id} is kept; it is sent again by itself from {senders}",
            colours.paint("33", "waiting"),
        ),
        ItemState::Trying(_) | ItemState::Sent(_) => format!(
            "{} {what}, and its outcome is not known yet{because}\n  payment {id} is kept, and asked about by itself from {senders}",
            colours.paint("33", "sent"),
        ),
        ItemState::Cancelling(_) => format!(
            "{} {what}: it may have arrived, so the gateway is asked to decide{because}\n  `{}` shows what it decided",
            colours.paint("33", "cancelling"),
            follow_up::command("outbox list"),
        ),
    }
}

/// The gateway answered, and did not take it for now.
fn waits_for_a_bank(code: &str) -> bool {
    [Code::BankUnavailable, Code::BankBusy].iter().any(|away| away.text() == code)
}

/// A payment in `rialto outbox list`: what it is, and below that when it was ordered and the last word about it. No line is
/// wider than so many columns.
pub(super) fn lines(entry: &Entry, columns: usize) -> Vec<String> {
    let (id, state) = (entry.terms.id, state(&entry.item.state));
    let note = match entry.item.state {
        ItemState::Done => "",
        ItemState::WaitingForSignIn(Paused::Cancelling) => "to be cancelled",
        ItemState::Queued(_)
        | ItemState::Trying(_)
        | ItemState::Sent(_)
        | ItemState::Cancelling(_)
        | ItemState::WaitingForSignIn(Paused::Queued | Paused::Sent)
        | ItemState::Refused(_)
        | ItemState::Dropped => entry.word.detail.as_str(),
    };
    let created = rfc3339(entry.created_ms);
    let ordered = format!("ordered {} UTC", created.get(..19).unwrap_or(&created));
    let standing = if note.is_empty() { ordered } else { format!("{ordered}; {}", plain::cell(note)) };
    let mut lines = broken(&format!("{id}  {state}  {}", plain::cell(&what(entry))), columns, (4, ""));
    lines.extend(broken(&format!("    {standing}"), columns, (4, "")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use wallet::Outbox;

    /// A payment of one minor unit, as it was ordered.
    fn ordered(outbox: &mut Outbox, number: u128, payee: &str) -> Entry {
        let terms = Terms {
            id: clearing::PaymentId::new(number).expect("not nil"),
            payer: "alice@alpha".parse().expect("well formed"),
            payee: payee.parse().expect("well formed"),
            amount: ledger::Amount::new(1).expect("not zero"),
            currency: ledger::Currency::EUR,
            reference: ledger::Reference::EMPTY,
        };
        outbox.add(&terms, 1, 10).expect("there is room")
    }

    fn file(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("rialto-say-{}-{name}.db", std::process::id()))
    }

    #[test]
    fn a_payment_of_the_list_fits_80_columns_whatever_is_said_of_it() {
        let file = file("lines");
        let mut outbox = Outbox::open(&file).expect("there is room");
        let short = ordered(&mut outbox, 1, "bob@beta");
        expect![[r#"
            00000000-0000-0000-0000-000000000001  queued  0.01 EUR to bob@beta
                ordered 1970-01-01T00:00:00 UTC"#]]
        .assert_eq(&lines(&short, 80).join("\n"));
        let detail = "the gateway cannot be reached: 10.0.0.4:7311: connection refused, nothing listens there";
        let wide = ordered(&mut outbox, 2, &format!("{}@beta", "\u{5bb6}".repeat(16)));
        let wide = Entry { word: Word { code: String::new(), detail: detail.to_owned() }, ..wide };
        expect![[r#"
            00000000-0000-0000-0000-000000000002  queued  0.01 EUR to
                家家家家家家家家家家家家家家家家@beta
                ordered 1970-01-01T00:00:00 UTC; the gateway cannot be reached:
                10.0.0.4:7311: connection refused, nothing listens there"#]]
        .assert_eq(&lines(&wide, 80).join("\n"));
        assert!(lines(&wide, 80).iter().all(|line| plain::width(line) <= 80));
        let _ = std::fs::remove_file(file);
    }

    #[test]
    fn what_waits_behind_another_payment_says_so_where_the_reason_is_that_ones_bank() {
        let file = file("behind");
        let mut outbox = Outbox::open(&file).expect("there is room");
        let mut add = |number, payee| ordered(&mut outbox, number, payee);
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
