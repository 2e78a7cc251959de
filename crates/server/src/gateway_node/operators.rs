//! What operators and banks ask: what is in doubt, who owes whom, a settlement, what became of an old hold.

use super::desk::{Desk, now_ms, unreadable};
use super::payments::{patience, wait_for};
use crate::edge::permits::Role;
use api::code::Code;
use api::grpc::{currency, int128};
use api::payment::{bank_name, message, payment_id, terms};
use api::problem::Problem;
use api::proto;
use clearing::bank::Standing;
use clearing::position::Direction;
use clearing::{BankName, CallKind, Clearing, Command, Epoch, GroupId, OperatorName, Outcome, Side, Status, agenda};
use gateway::PastError;
use ledger::Amount;
use std::collections::BTreeSet;
use tokio::time::Instant;

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
    desk.read(move |view| {
        let clearing = view.clearing();
        let mut open = agenda::in_doubt(clearing, now_ms(clearing));
        open.retain(|payment| wanted == proto::PaymentsWanted::Open || !payment.is_decided);
        open.sort_by_key(|payment| std::cmp::Reverse(payment.age_ms));
        let count = open.len() as u64;
        let payments = open.iter().take(limit).filter_map(|it| open_payment(clearing, &away, it)).collect();
        proto::PaymentsResponse { payments, count }
    })
    .await
}

/// Whom a listed payment waits for, and why.
const LISTED: &str = "an operator: both banks held it when the gateway was restored, so it is paid, though its payer may \
                      have been told that it is void";

/// Payments that a restored gateway decided without knowing what had been told before.
async fn listed(desk: &Desk, limit: usize) -> Result<proto::PaymentsResponse, Problem> {
    let found = desk.read(move |view| {
        let clearing = view.clearing();
        let count = clearing.listed().count() as u64;
        let shown = |id| {
            let known = view.payment(id)?;
            let order = known.as_ref().and_then(|known| known.order);
            Ok(order.map(|order| proto::OpenPayment {
                payment: Some(message(&clearing.terms(&order))),
                decided: true,
                paid: true,
                age_ms: 0,
                waits_for: LISTED.to_owned(),
            }))
        };
        let payments = clearing.listed().take(limit).filter_map(|id| shown(id).transpose());
        Ok(proto::PaymentsResponse { payments: payments.collect::<Result<_, PastError>>()?, count })
    });
    found.await?.map_err(|error: PastError| unreadable(&error))
}

pub(super) async fn acknowledge(
    desk: &Desk,
    request: &proto::AcknowledgePaymentRequest,
) -> Result<proto::AcknowledgePaymentResponse, Problem> {
    desk.order(Command::Acknowledge { id: payment_id(request.id.as_ref())? }).await?;
    Ok(proto::AcknowledgePaymentResponse {})
}

fn open_payment(clearing: &Clearing, away: &BTreeSet<BankName>, doubt: &agenda::InDoubt) -> Option<proto::OpenPayment> {
    let payment = clearing.payment(doubt.id)?;
    let waits = doubt.waits_for.iter().filter_map(|(bank, kind)| {
        let name = clearing.bank(*bank)?.name;
        let why = if away.contains(&name) { ", which cannot be reached now," } else { "" };
        Some(format!("{name}{why} {}", waits_for(*kind)))
    });
    let mut waits = waits.collect::<Vec<String>>().join(", ");
    if doubt.a_bank_is_restoring {
        waits.push_str(" (a bank is being restored)");
    }
    Some(proto::OpenPayment {
        payment: Some(message(&clearing.terms(&payment.order))),
        decided: doubt.is_decided,
        paid: matches!(payment.status(), Status::Paid { .. }),
        age_ms: doubt.age_ms,
        waits_for: waits,
    })
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

/// By hand, only what is undecided, through the decision itself.
pub(super) async fn void(desk: &Desk, request: &proto::VoidPaymentRequest) -> Result<proto::PaymentStatus, Problem> {
    let id = payment_id(request.id.as_ref())?;
    let operator = OperatorName::new(&request.operator).ok().filter(|name| !name.is_empty()).ok_or_else(|| {
        let detail = "operator: say who does this, in at most 32 bytes: it goes on record";
        Problem::new(Code::InvalidName, detail).with("field", "operator")
    })?;
    let until = Instant::now() + patience(0)?;
    wait_for(desk, id, Command::VoidByHand { id, operator }, until).await
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
    let group = request.group.as_ref().and_then(|id| GroupId::new(api::grpc::id_bits(id)));
    let command = Command::RegisterBank {
        name: bank_name("name", &request.name)?,
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
    let missing = || Problem::new(Code::MissingField, "payment is missing").with("field", "payment");
    let terms = terms(request.payment.as_ref().ok_or_else(missing)?)?;
    let bank = bank_name("bank", &request.bank)?;
    if Side::BOTH.iter().all(|side| terms.party(*side).bank != bank) {
        let detail = format!("a payment from {} to {} is none of bank {bank}'s", terms.payer, terms.payee);
        return Err(Problem::new(Code::NotPermitted, detail));
    }
    let until = Instant::now() + patience(0)?;
    wait_for(desk, terms.id, Command::Resolve { bank, terms, taker: desk.node }, until).await
}
