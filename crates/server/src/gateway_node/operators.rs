//! What operators and banks ask: what is in doubt, who owes whom, a settlement, what became of an old hold.

use super::contradicted::{self, ByPayment};
use super::desk::Desk;
use super::payments::{patience, wait_for};
use crate::edge::permits::Role;
use api::code::Code;
use api::grpc::{currency, int128};
use api::payment::{bank_name, message, payment_id, terms};
use api::problem::Problem;
use api::proto;
use clearing::bank::Standing;
use clearing::position::Direction;
use clearing::{
    BankName, CallKind, Clearing, Command, Epoch, GroupId, OperatorName, Outcome, PaymentId, Reason, Risk, Side,
    Status, Terms, agenda,
};
use gateway::PastError;
use ledger::Amount;
use std::collections::BTreeSet;
use tokio::time::Instant;
use tracing::warn;

const PAYMENTS_LISTED: usize = 100;
const PAYMENTS_LISTED_MAX: usize = 10_000;

pub(super) async fn banks(desk: &Desk) -> Result<proto::BanksResponse, Problem> {
    let known = desk.read(|view| view.clearing().banks().to_vec()).await?;
    let shown = known.iter().map(|bank| proto::RegisteredBank {
        name: bank.name.as_str().to_owned(),
        number: u32::from(bank.number.get()),
        epoch: bank.epoch.get(),
        standing: match bank.standing {
            Standing::Live => "live".to_owned(),
            Standing::Restored { .. } => "restoring".to_owned(),
        },
        reachable: desk.banks.link(&bank.name).is_some_and(|link| link.is_reachable()),
        open: bank.open,
    });
    Ok(proto::BanksResponse { banks: shown.collect() })
}

/// Payments that are undecided or undelivered, the oldest first.
pub(super) async fn payments(
    desk: &Desk,
    request: &proto::PaymentsRequest,
) -> Result<proto::PaymentsResponse, Problem> {
    let limit = match usize::try_from(request.limit) {
        Ok(0) => PAYMENTS_LISTED,
        Ok(limit) => limit.min(PAYMENTS_LISTED_MAX),
        Err(_) => PAYMENTS_LISTED_MAX,
    };
    let wanted = request.wanted();
    if wanted == proto::PaymentsWanted::Listed {
        return listed(desk, limit).await;
    }
    let away: BTreeSet<BankName> =
        desk.banks.links().iter().filter(|link| !link.is_reachable()).map(|link| link.name).collect();
    let (now, contradicted) = (desk.now(), desk.contradicted.all());
    desk.read(move |view| {
        let (clearing, contradicted): (_, &ByPayment) = (view.clearing(), &contradicted);
        let mut open = agenda::in_doubt(clearing, now.ms_in(clearing));
        open.retain(|payment| wanted == proto::PaymentsWanted::Open || !payment.is_decided);
        open.sort_by_key(|payment| std::cmp::Reverse(payment.age_ms));
        let count = open.len() as u64;
        let open = open.iter().take(limit);
        let payments = open.filter_map(|it| open_payment(clearing, (&away, contradicted), it)).collect();
        proto::PaymentsResponse { payments, count }
    })
    .await
}

/// Whom a listed payment waits for, and why.
fn why_listed(status: Status) -> &'static str {
    match status {
        Status::Paid { .. } => {
            "an operator: its banks had set it aside or booked it when the gateway was restored, so it is paid, though its \
             payer may have been told that it is void"
        }
        Status::Refused { reason: Reason::VoidedAtRisk, .. } => {
            "an operator: it was voided by hand although it might have been paid, and one of its banks has booked it"
        }
        Status::Refused { .. } => {
            "an operator: one of its banks said that it had booked it before anybody had decided so; it is void, and that \
             bank may have it in its books"
        }
        Status::Undecided => "its banks: it is asked about once more, as the gateway was restored",
    }
}

/// Payments that a restored gateway decided without knowing what had been told before, and those that a bank contradicted:
/// before they were decided, or by not acknowledging the decision. The last ones stay as long as the bank says so.
async fn listed(desk: &Desk, limit: usize) -> Result<proto::PaymentsResponse, Problem> {
    let contradicted = desk.contradicted.all();
    let found = desk.read(move |view| {
        let clearing = view.clearing();
        let is_open = |id: &PaymentId| clearing.payment(*id).is_some();
        // What a bank contradicts goes first: there may be more of the others than fit, with ids that somebody chose.
        let on_record = clearing.contradicted().map(|(id, _)| id);
        let first: BTreeSet<PaymentId> = on_record.chain(contradicted.keys().copied().filter(is_open)).collect();
        let unlisted = first.iter().filter(|id| !clearing.is_listed(**id)).count();
        let count = clearing.listed_count().saturating_add(unlisted) as u64;
        let others = clearing.listed().filter(|id| !first.contains(id));
        let shown = |id| {
            let Some(known) = view.payment(id)? else { return Ok(None) };
            Ok(known.order.map(|order| listed_payment(&clearing.terms(&order), known.status, &contradicted)))
        };
        let payments = first.iter().copied().chain(others).take(limit).filter_map(|id| shown(id).transpose());
        Ok(proto::PaymentsResponse { payments: payments.collect::<Result<_, PastError>>()?, count })
    });
    found.await?.map_err(|error: PastError| desk.unreadable(&error))
}

fn listed_payment(terms: &Terms, status: Status, contradicted: &ByPayment) -> proto::OpenPayment {
    let paid = matches!(status, Status::Paid { .. });
    let contradiction = contradicted::sentence(contradicted, terms, paid);
    let waits_for = match contradiction.is_empty() {
        true => why_listed(status).to_owned(),
        false => format!("an operator: {contradiction}"),
    };
    proto::OpenPayment {
        payment: Some(message(terms)),
        decided: status != Status::Undecided,
        paid,
        age_ms: 0,
        waits_for,
        contradiction,
    }
}

pub(super) async fn acknowledge(
    desk: &Desk,
    request: &proto::AcknowledgePaymentRequest,
) -> Result<proto::AcknowledgePaymentResponse, Problem> {
    let id = payment_id(request.id.as_ref())?;
    let (is_listed, listed) = desk
        .read(move |view| {
            let clearing = view.clearing();
            let some = clearing.listed().take(LISTED_NAMED).map(|id| id.to_string()).collect::<Vec<String>>();
            (clearing.is_listed(id), (some, clearing.listed_count()))
        })
        .await?;
    if !is_listed && desk.contradicted.all().contains_key(&id) {
        let detail =
            format!("payment {id} is on the list as long as one of its banks contradicts the decision: ask that bank");
        return Err(Problem::new(Code::NotListed, detail).with("field", "id"));
    }
    if !is_listed {
        return Err(not_listed(&id.to_string(), listed));
    }
    desk.order(Command::Acknowledge { id }).await?;
    Ok(proto::AcknowledgePaymentResponse {})
}

/// So many listed payments an error names.
const LISTED_NAMED: usize = 5;

fn not_listed(id: &str, (some, count): (Vec<String>, usize)) -> Problem {
    let more = count.saturating_sub(some.len());
    let listed = match (some.as_slice(), more) {
        ([], _) => "the list is empty".to_owned(),
        (some, 0) => format!("on it: {}", some.join(", ")),
        (some, more) => format!("on it: {}, and {more} more", some.join(", ")),
    };
    let detail = format!(
        "payment {id} is not on the list: it never was, or somebody has acknowledged it before; {listed}; see rialto payments --listed"
    );
    Problem::new(Code::NotListed, detail).with("field", "id")
}

fn open_payment(
    clearing: &Clearing,
    (away, contradicted): (&BTreeSet<BankName>, &ByPayment),
    doubt: &agenda::InDoubt,
) -> Option<proto::OpenPayment> {
    let payment = clearing.payment(doubt.id)?;
    let (terms, paid) = (clearing.terms(&payment.order), matches!(payment.status(), Status::Paid { .. }));
    let contradiction = contradicted::sentence(contradicted, &terms, paid);
    Some(proto::OpenPayment {
        payment: Some(message(&terms)),
        decided: doubt.is_decided,
        paid,
        age_ms: doubt.age_ms,
        waits_for: with_contradiction(waits_of(clearing, away, doubt), &contradiction),
        contradiction,
    })
}

/// Whom a payment waits for, and who says that it will not come.
pub(super) fn with_contradiction(waits_for: String, contradiction: &str) -> String {
    if contradiction.is_empty() { waits_for } else { format!("{waits_for}: {contradiction}; ask that bank") }
}

/// Whom a payment waits for, and why.
pub(super) fn waits_of(clearing: &Clearing, away: &BTreeSet<BankName>, doubt: &agenda::InDoubt) -> String {
    let waits = doubt.waits_for.iter().filter_map(|(bank, kind)| {
        let name = clearing.bank(*bank)?.name;
        let why = if away.contains(&name) { ", which cannot be reached now," } else { "" };
        Some(format!("{name}{why} {}", waits_for(*kind)))
    });
    let mut waits = waits.collect::<Vec<String>>().join(", ");
    if doubt.a_bank_is_restoring {
        waits.push_str(" (a bank is being restored)");
    }
    waits
}

fn waits_for(kind: CallKind) -> &'static str {
    match kind {
        CallKind::PrepareDebit => "to set the payer's money aside",
        CallKind::PrepareCredit => "to set the payee's side aside",
        CallKind::CommitDebit | CallKind::CommitCredit => "to acknowledge that it is paid",
        CallKind::AbortDebit | CallKind::AbortCredit => "to acknowledge that it is void",
        CallKind::Transfer => "to move the money",
        CallKind::VoidTransfer => "to say what became of it",
        CallKind::HoldStatus(_) => "to say what it holds",
    }
}

/// By hand, only what is undecided, through the decision itself. What may be paid only if the operator says that this risk is
/// taken.
pub(super) async fn void(desk: &Desk, request: &proto::VoidPaymentRequest) -> Result<proto::PaymentStatus, Problem> {
    let id = payment_id(request.id.as_ref())?;
    let operator = OperatorName::enforce(&request.operator).ok().filter(|name| !name.is_empty()).ok_or_else(|| {
        let detail = "operator: say who does this, in at most 32 bytes: it goes on record";
        Problem::new(Code::InvalidName, detail).with("field", "operator")
    })?;
    let risk = if request.although_it_may_be_paid { Risk::Taken } else { Risk::NotTaken };
    let until = Instant::now() + patience(0)?;
    let status = wait_for(desk, id, Command::VoidByHand { id, operator, risk }, until).await?;
    if status.code == Code::VoidedAtRisk.text() && !status.duplicate {
        warn!(
            event = "voided_at_risk",
            payment = %id,
            operator = operator.as_str(),
            effect = "it is void, although a bank that is silent may have posted it: it is listed if that bank says so"
        );
    }
    Ok(status)
}

pub(super) async fn positions(desk: &Desk) -> Result<proto::PositionsResponse, Problem> {
    let positions = desk.read(|view| {
        let clearing = view.clearing();
        let both = clearing.positions().flat_map(|(key, position)| {
            [(Direction::LowPays, key.low, key.high), (Direction::HighPays, key.high, key.low)].map(
                |(direction, debtor, creditor)| {
                    let name = |bank| clearing.bank(bank).map(|bank| bank.name.as_str().to_owned()).unwrap_or_default();
                    let cap = clearing.settings().pair_cap(debtor, creditor, key.currency);
                    proto::BankPosition {
                        debtor: name(debtor),
                        creditor: name(creditor),
                        currency: u32::from(key.currency.number()),
                        owed: Some(minor(position.owed(direction))),
                        reserved: Some(minor(position.reserved(direction))),
                        cap: cap.map(|cap| minor(cap.minor())),
                    }
                },
            )
        });
        both.collect()
    });
    Ok(proto::PositionsResponse { positions: positions.await? })
}

fn minor(value: u128) -> proto::Int128 {
    int128(i128::try_from(value).unwrap_or(i128::MAX))
}

pub(super) async fn settle(desk: &Desk, request: &proto::SettleRequest) -> Result<proto::PaymentStatus, Problem> {
    let id = payment_id(request.id.as_ref())?;
    let minor = u128::from(request.amount_high) << 64 | u128::from(request.amount);
    let amount = Amount::new(minor).ok_or_else(|| Problem::new(Code::AmountZero, "amount: the amount is zero"))?;
    let command = Command::Settle {
        id,
        debtor: bank_name("debtor", &request.debtor)?,
        creditor: bank_name("creditor", &request.creditor)?,
        amount,
        currency: currency(request.currency)?,
        taker: desk.node,
    };
    let until = Instant::now() + patience(request.timeout_ms)?;
    wait_for(desk, id, command, until).await
}

/// A bank registers itself, as its first or its next incarnation.
pub(super) async fn register(
    desk: &Desk,
    role: &Role,
    request: &proto::RegisterBankRequest,
) -> Result<proto::RegisterBankResponse, Problem> {
    role.speaks_for(&request.name)?;
    let name = bank_name("name", &request.name)?;
    desk.bank_allowance.call(&name, std::time::Instant::now())?;
    let group = request.group.as_ref().and_then(|id| GroupId::new(api::grpc::id_bits(id)));
    let command = Command::RegisterBank {
        name,
        group: group
            .ok_or_else(|| Problem::new(Code::MalformedId, "group: it is missing or nil").with("field", "group"))?,
        epoch: Epoch::new(request.epoch).unwrap_or(Epoch::FIRST),
        last_number: request.last_number,
    };
    let outcome = desk.order(command).await?;
    let gateway_epoch = desk.peek(|clearing| clearing.epoch().get()).await?;
    match outcome {
        Outcome::BankRegistered { number, .. } => {
            Ok(proto::RegisterBankResponse { number: u32::from(number.get()), gateway_epoch })
        }
        other => Err(Problem::new(Code::Internal, format!("the registration was answered with {other:?}"))),
    }
}

/// A bank asks what is to become of an old hold: only one of the payment's two banks may.
pub(super) async fn resolve(
    desk: &Desk,
    role: &Role,
    request: &proto::ResolvePaymentRequest,
) -> Result<proto::PaymentStatus, Problem> {
    role.speaks_for(&request.bank)?;
    let bank = bank_name("bank", &request.bank)?;
    desk.bank_allowance.call(&bank, std::time::Instant::now())?;
    let missing = || Problem::new(Code::MissingField, "payment is missing").with("field", "payment");
    let terms = terms(request.payment.as_ref().ok_or_else(missing)?)?;
    if Side::BOTH.iter().all(|side| terms.party(*side).bank != bank) {
        let detail = format!("a payment from {} to {} is none of bank {bank}'s", terms.payer, terms.payee);
        return Err(Problem::new(Code::NotPermitted, detail));
    }
    let until = Instant::now() + patience(0)?;
    wait_for(desk, terms.id, Command::Resolve { bank, terms, taker: desk.node }, until).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use clearing::Delivery;
    use ledger::{Currency, Reference};

    fn terms() -> Terms {
        let party = |text: &str| text.parse().expect("an address");
        Terms {
            id: PaymentId::new(7).expect("not nil"),
            payer: party("alice@alpha"),
            payee: party("bob@beta"),
            amount: Amount::new(1).expect("not zero"),
            currency: Currency::EUR,
            reference: Reference::EMPTY,
        }
    }

    #[test]
    fn a_listed_payment_says_whether_it_is_paid_and_why_it_is_listed() {
        let delivery = Delivery::Done;
        let reason = Reason::ContradictedByBank { side: Side::Credit };
        let rows = [
            (Status::Paid { delivery }, (true, true), "is paid, though"),
            (Status::Refused { reason, delivery }, (true, false), "it is void"),
            (Status::Undecided, (false, false), "asked about once more"),
            (
                Status::Refused { reason: Reason::VoidedAtRisk, delivery },
                (true, false),
                "although it might have been paid",
            ),
        ];
        for (status, (decided, paid), why) in rows {
            let listed = listed_payment(&terms(), status, &ByPayment::new());
            assert_eq!((listed.decided, listed.paid), (decided, paid), "{status:?}");
            assert!(listed.waits_for.contains(why) && listed.contradiction.is_empty(), "{}", listed.waits_for);
        }
        // What a bank says now is the reason, whatever it was listed for before.
        let says = ByPayment::from([(terms().id, vec![(Side::Credit, clearing::Finding::NotFound)])]);
        let listed = listed_payment(&terms(), Status::Paid { delivery }, &says);
        assert_eq!(listed.contradiction, "bank beta says that it knows nothing of it, though it is paid");
        assert_eq!(listed.waits_for, format!("an operator: {}", listed.contradiction));
    }
}
