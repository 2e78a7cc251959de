//! What `rialto restore` says in the end: what is there now, and what is lost.

use std::path::Path;

use ledger::{Movement, money};
use serde_json::{Value, json};
use server::restoring::NewLife;

use super::Source;
use super::lost::{Fate, Lost, Promise, Sum, Sums, amount, time};
use crate::network::name::BankName;

/// A group that begins another life.
pub(super) struct Restored<'a> {
    pub(super) name: &'a BankName,
    pub(super) source: &'a Source,
    pub(super) life: &'a NewLife,
    pub(super) lost: &'a Lost,
    /// Where the old files are now.
    pub(super) before: Option<&'a Path>,
}

/// Prints it.
pub(super) fn tell(restored: &Restored<'_>, json: bool) {
    match json {
        true => println!("{}", as_json(restored)),
        false => lines(restored).iter().for_each(|line| println!("{line}")),
    }
}

fn lines(restored: &Restored<'_>) -> Vec<String> {
    let Restored { name, source, life, lost, before } = restored;
    let is_gateway = matches!(lost, Lost::OfGateway);
    let (from, incarnation, node) = (source.dir.display(), life.incarnation, source.identity.node);
    let mut lines = vec![
        format!("{name} is restored from {from}: incarnation {incarnation}, node {node} alone"),
        format!("  its log ends with slot {}, its last entry is of {}", life.ended_slot, time(life.time_ms)),
    ];
    if life.taken_over > 0 && !is_gateway {
        lines.push(format!("  {} slots that the copy had only voted for count now", life.taken_over));
    }
    match lost {
        Lost::Listed { sums, file } => {
            lines.extend(loss(sums));
            lines.push(format!("  all of it, a line each, what is lost for good first: {}", file.display()));
        }
        Lost::Untold(why) => {
            lines.push(format!("  what it had booked by itself after that is lost, and cannot be told: {why}"));
        }
        Lost::OfGateway => {
            lines.push("  what it had decided after that it asks of the banks; customers sign in again".to_owned());
        }
    }
    if life.restoring && !is_gateway {
        let number = life.complete_through;
        lines.push(format!("  it serves nobody until the gateway has brought it its payments after number {number}"));
    }
    if let Some(before) = before.filter(|before| before.exists()) {
        lines.push(format!("  its old files are in {}", before.display()));
    }
    lines
}

/// What is lost for good, then what comes back.
fn loss(sums: &Sums) -> Vec<String> {
    let mut lines = Vec::new();
    match sums.count(Fate::Lost) {
        0 => lines.push("  lost for good: no money that the bank had moved by itself, by its old files".to_owned()),
        count => {
            lines.push(format!("  LOST FOR GOOD: {count} bookings that only this bank knew of, by its old files"));
            lines.extend(sums.of(Fate::Lost).map(|(currency, kind, sum)| {
                let plural = if sum.count == 1 { "" } else { "s" };
                format!("    {} {}{plural}, {} together", sum.count, kind.text(), amount(sum, currency))
            }));
            lines.extend(sums.shown().iter().map(|(time_ms, movement)| one(*time_ms, movement)));
            let more = count.saturating_sub(sums.shown().len() as u64);
            lines.extend((more > 0).then(|| format!("    and {more} smaller ones, in the file below")));
        }
    }
    let promised = |promise| sums.promises.get(&(Fate::Lost, promise)).copied().unwrap_or(0);
    let (voided, refused) = (promised(Promise::Voided), promised(Promise::Refused));
    if voided + refused > 0 {
        lines.push(format!(
            "  PROMISES LOST: {voided} voided and {refused} refused for good, by id; such an id may be booked now: tell whoever \
             relies on it"
        ));
    }
    if sums.others > 0 {
        let others = sums.others;
        lines.push(format!(
            "  {others} accounts, customers, passwords, locks and settings of that time are lost as well"
        ));
    }
    for (fate, what) in [
        (Fate::ComesBack, "payments come back: the gateway brings them"),
        (Fate::AskedAgain, "payments are not decided: the gateway asks for them again"),
        (Fate::Unknown, "may be payments, which come back: the gateway's files could not be read"),
    ] {
        let all: Vec<String> = sums.by_currency(fate).iter().map(|(currency, sum)| amount(*sum, *currency)).collect();
        if !all.is_empty() {
            lines.push(format!("  {} {what} ({})", sums.count(fate), all.join(", ")));
        }
    }
    lines
}

fn one(time_ms: u64, movement: &Movement) -> String {
    let Movement { id, debit, credit, currency, .. } = movement;
    let amount = money::format(movement.amount.minor(), *currency);
    format!("    {}  {amount} {currency}  {debit} → {credit}  {id}", time(time_ms))
}

fn as_json(restored: &Restored<'_>) -> Value {
    let Restored { name, source, life, lost, before } = restored;
    let lost = match lost {
        Lost::Listed { sums, file } => json!({
            "file": file,
            "sums": Fate::ALL.iter().flat_map(|fate| sums.of(*fate).map(|(currency, kind, sum)| json!({
                "fate": fate.text(),
                "kind": kind.text(),
                "currency": currency.code(),
                "count": sum.count,
                "amount": plain(sum, currency),
            }))).collect::<Vec<_>>(),
            "promises": sums.promises.iter().map(|((fate, promise), count)| json!({
                "fate": fate.text(),
                "kind": promise.text(),
                "count": count,
            })).collect::<Vec<_>>(),
            "others": sums.others,
        }),
        Lost::Untold(_) | Lost::OfGateway => Value::Null,
    };
    json!({
        "group": name.as_str(),
        "from": source.dir,
        "node": source.identity.node,
        "incarnation": life.incarnation,
        "slot": life.ended_slot,
        "time": time(life.time_ms),
        "complete_through": life.complete_through,
        "restoring": life.restoring,
        "lost": lost,
        "old_files": before.filter(|before| before.exists()),
    })
}

fn plain(sum: Sum, currency: ledger::Currency) -> String {
    money::format(sum.minor, currency)
}
