//! `rialto payments show`: one payment's whole way.

use api::json::rfc3339;
use api::proto;
use clearing::PaymentId;
use ledger::money;
use serde::Serialize;

use super::print_json;
use crate::failure::{Code, Failure};

#[derive(Serialize)]
struct Way {
    id: String,
    state: &'static str,
    payer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<Ordered>,
    #[serde(skip_serializing_if = "String::is_empty")]
    code: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    steps: Vec<Step>,
    #[serde(skip_serializing_if = "String::is_empty")]
    waits_for: String,
}

#[derive(Serialize)]
struct Ordered {
    payee: String,
    amount: String,
    currency: &'static str,
    reference: String,
}

#[derive(Serialize)]
struct Step {
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    what: String,
}

/// Whether the answer is one JSON object or text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    Json,
    Text,
}

/// Says what the gateway has on record.
pub(super) fn show(id: PaymentId, found: Option<proto::PaymentWay>, how: As) -> Result<Code, Failure> {
    let Some(found) = found else {
        return Err(Failure::new(format!("the gateway has nothing on record of payment {id}"))
            .with_problem(api::code::Code::UnknownPayment)
            .line("that is no outcome: it may be sent yet; see the payer's outbox: rialto outbox list"));
    };
    let way = way(id, found);
    match how {
        As::Json => print_json(&way),
        As::Text => println!("{}", text(&way)),
    }
    Ok(Code::Done)
}

fn way(id: PaymentId, found: proto::PaymentWay) -> Way {
    let proto::PaymentWay { status, steps, waits_for, payer } = found;
    let status = status.unwrap_or_default();
    let terms = status.payment.as_ref().and_then(|payment| api::payment::terms(payment).ok());
    let step =
        |step: proto::PaymentStep| Step { time: (step.time_ms > 0).then(|| rfc3339(step.time_ms)), what: step.what };
    let state = match status.state() {
        proto::PaymentState::Paid => "paid",
        proto::PaymentState::Refused => "refused",
        proto::PaymentState::Undecided => "undecided",
        proto::PaymentState::NotTaken | proto::PaymentState::IdReused | proto::PaymentState::Unspecified => "unknown",
    };
    let payer = payer.map(|party| match party.customer.as_str() {
        "" => party.bank,
        customer => format!("{customer}@{}", party.bank),
    });
    Way {
        id: id.to_string(),
        state,
        payer: payer.unwrap_or_default(),
        payment: terms.map(|terms| Ordered {
            payee: terms.payee.to_string(),
            amount: money::format(terms.amount.minor(), terms.currency),
            currency: terms.currency.code(),
            reference: terms.reference.as_str().to_owned(),
        }),
        code: status.code,
        detail: status.detail,
        steps: steps.into_iter().map(step).collect(),
        waits_for,
    }
}

fn text(way: &Way) -> String {
    let what = match &way.payment {
        Some(Ordered { payee, amount, currency, reference }) => {
            let what = if reference.is_empty() { String::new() } else { format!(", for {reference:?}") };
            format!("{amount} {currency} from {} to {payee}{what}", way.payer)
        }
        None => format!("from {}; what was ordered is not kept of a payment that was refused at once", way.payer),
    };
    let mut lines = vec![format!("payment {}: {}", way.id, way.state), format!("  {what}")];
    for step in &way.steps {
        let time = step.time.as_deref().map_or("", |time| time.get(..19).unwrap_or(time));
        lines.push(format!("  {time:<19}  {}", step.what));
    }
    if !way.waits_for.is_empty() {
        lines.push(format!("  waits for {}", way.waits_for));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_way_reads_from_the_order_to_the_books() {
        let step = |time_ms, what: &str| proto::PaymentStep { time_ms, what: what.to_owned() };
        let payer = Some(proto::Party { bank: "alpha".to_owned(), customer: "alice".to_owned() });
        let mut status = proto::PaymentStatus::default();
        status.set_state(proto::PaymentState::Refused);
        let steps = vec![step(1_795_217_070_042, "refused at once, before a bank was asked: no"), step(0, "the end")];
        let id = "018f2f6c-0000-7000-8000-000000000001".parse().expect("an id");
        let found = proto::PaymentWay { status: Some(status), steps, waits_for: "beta".to_owned(), payer };
        expect![[r#"
            payment 018f2f6c-0000-7000-8000-000000000001: refused
              from alice@alpha; what was ordered is not kept of a payment that was refused at once
              2026-11-20T23:24:30  refused at once, before a bank was asked: no
                                   the end
              waits for beta"#]]
        .assert_eq(&text(&way(id, found)));
    }
}
