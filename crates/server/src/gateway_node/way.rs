//! One payment's whole way, as the gateway has it on record: for operators.

use super::contradicted::sentence;
use super::desk::Desk;
use super::operators::{waits_of, with_contradiction};
use api::code::Code;
use api::payment::{message, payment_id, reason_text, status_message, told_of_status};
use api::problem::Problem;
use api::proto;
use clearing::payment::{Origin, Owed, Payment, Phase};
use clearing::record::Decided;
use clearing::{BankName, Body, Clearing, Finding, Record, Side, Status, Terms, Verdict, agenda};
use gateway::PastError;
use std::collections::BTreeSet;

/// What is known of the payment; an error where nothing is.
pub(super) async fn show(desk: &Desk, request: &proto::GetPaymentRequest) -> Result<proto::PaymentWay, Problem> {
    let id = payment_id(request.id.as_ref())?;
    let away: BTreeSet<BankName> =
        desk.banks.links().iter().filter(|link| !link.is_reachable()).map(|link| link.name).collect();
    let (now, contradicted) = (desk.now(), desk.contradicted.all());
    let found = desk.read(move |view| {
        let clearing = view.clearing();
        let Some(known) = view.payment(id)? else { return Ok(None) };
        let terms = known.order.map(|order| clearing.terms(&order));
        let (first, decision) = view.records(id)?;
        let mut steps: Vec<proto::PaymentStep> = first.iter().flat_map(entered).collect();
        if let (Some(payment), Some(terms)) = (clearing.payment(id), &terms) {
            steps.extend(on_its_way(payment, terms));
        }
        if let Some(record) = &decision
            && let Body::PaymentDecided(decided) = &record.body
        {
            steps.push(step(record.time_ms, decision_of(decided)));
            let owed = clearing.payment(id).and_then(owed);
            let posted: Vec<Side> = clearing.contradicted().filter(|(of, _)| *of == id).map(|(_, side)| side).collect();
            steps.extend(terms.iter().flat_map(|terms| delivery(terms, decided, (owed, &posted))));
        }
        let doubt = agenda::in_doubt(clearing, now.ms_in(clearing)).into_iter().find(|doubt| doubt.id == id);
        let is_paid = matches!(known.status, Status::Paid { .. });
        // What is on its way, and what stays on record until somebody has seen it.
        let is_told = doubt.is_some() || clearing.is_listed(id);
        let contradiction = match &terms {
            Some(terms) if is_told => sentence(&contradicted, terms, is_paid),
            Some(_) | None => String::new(),
        };
        let status = proto::PaymentStatus {
            payment: terms.as_ref().map(message),
            currency: terms.map_or(0, |terms| u32::from(terms.currency.number())),
            ..status_message(id, &told_of_status(known.status), false)
        };
        let waits_for = match doubt {
            Some(doubt) => with_contradiction(waits_of(clearing, &away, &doubt), &contradiction),
            None if contradiction.is_empty() => String::new(),
            None => with_contradiction("an operator".to_owned(), &contradiction),
        };
        Ok(Some(proto::PaymentWay { status: Some(status), steps, waits_for, payer: payer(clearing, &known) }))
    });
    let unknown = || {
        let detail = format!("no payment {id} is on record; that is no outcome: it may be sent yet");
        Problem::new(Code::UnknownPayment, detail)
    };
    found.await?.map_err(|error: PastError| desk.unreadable(&error))?.ok_or_else(unknown)
}

/// Of a payment that was refused at once only the payer and a digest are kept.
fn payer(clearing: &Clearing, known: &gateway::Known) -> Option<proto::Party> {
    let bank = clearing.bank(known.payer.bank)?.name;
    let customer = match known.payer.holder {
        clearing::Holder::Customer(name) => name.as_str().to_owned(),
        clearing::Holder::House => String::new(),
    };
    Some(proto::Party { bank: bank.as_str().to_owned(), customer })
}

fn step(time_ms: u64, what: impl Into<String>) -> proto::PaymentStep {
    proto::PaymentStep { time_ms, what: what.into() }
}

/// How it came on record.
fn entered(record: &Record) -> Option<proto::PaymentStep> {
    if let Body::PaymentRefused { reason, .. } = &record.body {
        return Some(step(
            record.time_ms,
            format!("refused at once, before a bank was asked: {}", reason_text(reason)),
        ));
    }
    let Body::PaymentTaken(taken) = &record.body else { return None };
    let why = match taken.origin {
        Origin::Customer { .. } => "ordered by its payer",
        Origin::Settlement => "ordered by an operator, as a settlement",
        Origin::Asked(_) => "not known here when somebody asked about it, so its banks were asked",
    };
    Some(step(record.time_ms, format!("{why}; taken by node {} of the gateway", taken.taker.get())))
}

/// What its banks have said, while it is not decided.
fn on_its_way(payment: &Payment, terms: &Terms) -> Vec<proto::PaymentStep> {
    let said = |side: Side, finding: Option<Finding>| {
        let bank = terms.party(side).bank;
        let what = match finding {
            None => "has not answered yet".to_owned(),
            Some(Finding::Held) => "has set the money aside".to_owned(),
            Some(Finding::Posted) => "says that it moved".to_owned(),
            Some(Finding::Voided) => "says that it is void".to_owned(),
            Some(Finding::NotFound) => "knows nothing of it".to_owned(),
            Some(Finding::Refused(reason)) => format!("refuses: {}", reason_text(&reason)),
        };
        step(0, format!("bank {bank} {what}"))
    };
    match payment.phase {
        Phase::Voting(votes) | Phase::Asking { found: votes, .. } => {
            let finding = |vote: Option<clearing::Vote>| vote.map(|vote| vote.reported.finding);
            vec![said(Side::Debit, finding(votes.debit)), said(Side::Credit, finding(votes.credit))]
        }
        Phase::AtBank(_) => vec![said(Side::Debit, None)],
        Phase::Delivering { .. } => Vec::new(),
    }
}

fn decision_of(decided: &Decided) -> String {
    let by = decided.operator.map(|operator| format!(", by hand, by {}", operator.as_str())).unwrap_or_default();
    match decided.verdict {
        Verdict::Post => format!("decided: paid{by}"),
        Verdict::Void(reason) => format!("decided: void{by}: {}", reason_text(&reason)),
    }
}

fn owed(payment: &Payment) -> Option<Owed> {
    match payment.phase {
        Phase::Delivering { owed, .. } => Some(owed),
        Phase::Voting(_) | Phase::AtBank(_) | Phase::Asking { .. } => None,
    }
}

/// Which banks have the decision. Only what is paid is in a bank's books; of what is void a bank that set nothing aside need not
/// even be told. `posted` are the sides whose banks have said that they had posted what was voided at that risk.
fn delivery(terms: &Terms, decided: &Decided, (owed, posted): (Option<Owed>, &[Side])) -> Vec<proto::PaymentStep> {
    let sides: &[Side] = if terms.payer.bank == terms.payee.bank { &[Side::Debit] } else { &Side::BOTH };
    let has = |owed: Option<Owed>, side: Side| owed.is_some_and(|owed| owed.has(side));
    let one = |side: &Side| {
        let what = match (&decided.verdict, has(owed, *side)) {
            (Verdict::Post, true) => "has still to acknowledge that it is paid",
            (Verdict::Post, false) => "has it in its books",
            (Verdict::Void(_), _) if posted.contains(side) => "says that it had posted it",
            (Verdict::Void(_), true) => "has still to acknowledge that it is void",
            (Verdict::Void(_), false) if has(decided.owed, *side) => "has acknowledged that it is void",
            (Verdict::Void(_), false) => return None,
        };
        Some(step(0, format!("bank {} {what}", terms.party(*side).bank)))
    };
    sides.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clearing::Reason;

    /// What is void moved no money, and no bank has it in its books.
    #[test]
    fn only_of_a_paid_payment_is_it_said_that_a_bank_has_it_in_its_books() {
        let message = proto::Payment {
            id: Some(api::grpc::uuid(7)),
            payer: Some(proto::Party { bank: "alpha".to_owned(), customer: "alice".to_owned() }),
            payee: Some(proto::Party { bank: "beta".to_owned(), customer: "bob".to_owned() }),
            amount: 100,
            ..proto::Payment::default()
        };
        let terms = api::payment::terms(&message).expect("well formed");
        let told = |verdict: Verdict, to_tell: Option<Owed>, owed: Option<Owed>| {
            let (position, listed, operator) = (None, false, None);
            let decided = Decided { id: terms.id, verdict, owed: to_tell, position, listed, operator };
            delivery(&terms, &decided, (owed, &[])).into_iter().map(|step| step.what).collect::<Vec<String>>()
        };
        let void = || Verdict::Void(Reason::VoidedByPayer);
        let alpha = Owed::Only(Side::Debit);
        assert_eq!(
            told(Verdict::Post, Some(Owed::Both), None),
            ["bank alpha has it in its books", "bank beta has it in its books"]
        );
        assert_eq!(
            told(Verdict::Post, Some(Owed::Both), Some(alpha)),
            ["bank alpha has still to acknowledge that it is paid", "bank beta has it in its books"]
        );
        assert_eq!(told(void(), Some(alpha), Some(alpha)), ["bank alpha has still to acknowledge that it is void"]);
        assert_eq!(told(void(), Some(alpha), None), ["bank alpha has acknowledged that it is void"]);
        assert!(told(void(), None, None).is_empty());
        let (id, verdict, owed) = (terms.id, Verdict::Void(Reason::VoidedAtRisk), Some(Owed::Both));
        let decided = Decided { id, verdict, owed, position: None, listed: false, operator: None };
        let steps = delivery(&terms, &decided, (None, &[Side::Credit])).into_iter().map(|step| step.what);
        let expected = ["bank alpha has acknowledged that it is void", "bank beta says that it had posted it"];
        assert_eq!(steps.collect::<Vec<String>>(), expected);
    }
}
