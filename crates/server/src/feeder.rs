//! Keeps the page's picture of the bank fresh: looks at the node a few times a second, as long as somebody watches.

use crate::bank::Bank;
use crate::edge::port::BankPort;
use crate::page::{Changed, Health, LatestTransfer, Money, NodeCard, Party, Publisher, Role, Snapshot};
use api::status::{self, NodeStatus};
use bank::BankView;
use ledger::record::{Body, Record};
use ledger::{AccountId, Ledger, money};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use storage::RealDisk;

const PERIOD: Duration = Duration::from_millis(300);
const LATEST: usize = 20;
/// Records looked at for changed accounts: beyond it the page is told that there were more.
const LOOK_BACK: u64 = 400;
const CHANGED_MAX: usize = 64;
/// A node further behind than this is called far behind.
const CLOSE_LAG_MAX: u64 = 1_000;

/// Publishes until the task is dropped.
pub(crate) async fn run(bank: Bank, mut publisher: Publisher, addresses: BTreeMap<u16, SocketAddr>) {
    let start = Instant::now();
    let mut seen_places = 0;
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let status = bank.status();
        if !publisher.watched() {
            publisher.count(now_ms, bank.posted());
            seen_places = status.journal_records;
            continue;
        }
        let since = seen_places;
        let Some(books) = bank.look(move |view| Books::look(view, since)).await else { continue };
        seen_places = status.journal_records;
        publisher.publish(now_ms, snapshot(&bank, &status, books, &addresses));
    }
}

/// Outcomes so far: the journal's records without the one that heads each slot's.
fn outcomes(status: &NodeStatus) -> u64 {
    status.journal_records.saturating_sub(status.slots.applied)
}

/// What is looked up in the books themselves.
struct Books {
    money: Vec<Money>,
    internal_accounts: u64,
    latest: Vec<LatestTransfer>,
    changed: Changed,
}

impl Books {
    fn look(view: &BankView<'_, RealDisk>, since: u64) -> Self {
        let ledger = view.ledger();
        let held = ledger.money_held();
        let money = held.iter().map(|(currency, amount)| Money {
            currency: currency.code().to_owned(),
            amount: money::format_signed(*amount, *currency),
        });
        // A journal that cannot be read stops the node elsewhere; the page then shows what memory holds.
        let latest = view.latest(LATEST, LOOK_BACK).unwrap_or_default();
        Self {
            money: money.collect(),
            internal_accounts: ledger.internal_count(),
            latest: latest.iter().filter_map(|record| latest_transfer(record, ledger)).collect(),
            changed: changed(view, since),
        }
    }
}

fn latest_transfer(record: &Record, ledger: &Ledger) -> Option<LatestTransfer> {
    let (Body::TransferPosted { movement, .. } | Body::HoldPosted { movement, .. }) = &record.body else { return None };
    Some(LatestTransfer {
        id: movement.id.to_string(),
        time_ms: record.time_ms,
        debit: party(movement.debit, ledger),
        credit: party(movement.credit, ledger),
        amount: money::format(movement.amount.minor(), movement.currency),
        currency: movement.currency.code().to_owned(),
        reference: movement.reference.as_str().to_owned(),
    })
}

fn party(id: AccountId, ledger: &Ledger) -> Party {
    let account = ledger.account(id);
    let owner = match id.internal() {
        Some((kind, currency)) => format!("{}:{}", kind.name(), currency.code()),
        None => account.map_or_else(String::new, |account| account.owner.to_owned()),
    };
    Party { id: id.to_string(), owner, internal: id.internal().is_some() }
}

fn changed(view: &BankView<'_, RealDisk>, since: u64) -> Changed {
    let end = view.mark().places;
    let from = since.max(end.saturating_sub(LOOK_BACK));
    let mut accounts = BTreeSet::new();
    for place in from..end {
        let Ok(Some(record)) = view.record(place) else { continue };
        if let Some(movement) = record.movement() {
            accounts.extend([movement.debit, movement.credit]);
        } else if let Body::AccountOpened { account, .. } = record.body {
            accounts.insert(account);
        }
    }
    let more = from > since || accounts.len() > CHANGED_MAX;
    Changed { accounts: accounts.iter().take(CHANGED_MAX).map(AccountId::to_string).collect(), more }
}

fn snapshot(bank: &Bank, status: &NodeStatus, books: Books, addresses: &BTreeMap<u16, SocketAddr>) -> Snapshot {
    let nodes: Vec<NodeCard> = addresses.iter().map(|(node, address)| card(bank, status, *node, *address)).collect();
    let (health, reason) = health(status, &nodes);
    Snapshot {
        bank: status.group.clone(),
        node: status.node,
        health,
        reason,
        money: books.money,
        accounts: status.accounts.saturating_sub(books.internal_accounts),
        internal_accounts: books.internal_accounts,
        outcomes: outcomes(status),
        transfers: bank.posted(),
        nodes,
        latest: books.latest,
        changed: books.changed,
    }
}

fn card(bank: &Bank, status: &NodeStatus, node: u16, address: SocketAddr) -> NodeCard {
    let role = if status.leader == Some(node) { Role::Leader } else { Role::Follower };
    if node == status.node {
        let role = if status.role == status::Role::Starting { Role::Starting } else { role };
        let sync_us = bank.last_sync_us();
        return NodeCard {
            node,
            role,
            address: address.to_string(),
            slot: Some(status.slots.applied),
            lag: Some(status.lag),
            last_fsync_us: (sync_us > 0).then_some(sync_us),
        };
    }
    let heard = status.peers.iter().find(|peer| peer.node == node && peer.connected);
    let newest = status.slots.chosen.max(status.peers.iter().map(|peer| peer.chosen).max().unwrap_or(0));
    NodeCard {
        node,
        role: if heard.is_some() { role } else { Role::Away },
        address: address.to_string(),
        slot: heard.map(|peer| peer.chosen),
        lag: heard.map(|peer| newest.saturating_sub(peer.chosen)),
        last_fsync_us: None,
    }
}

fn health(status: &NodeStatus, nodes: &[NodeCard]) -> (Health, String) {
    let here = nodes.iter().filter(|card| card.role != Role::Away).count();
    let all = nodes.len();
    let far_behind = nodes.iter().find(|card| card.lag.is_some_and(|lag| lag > CLOSE_LAG_MAX));
    let counted = format!("{here} of {all} nodes");
    match (status.quorum, status.leader) {
        (false, _) => (Health::Stalled, format!("{counted}: no majority")),
        (true, None) => (Health::Stalled, format!("{counted}, an election is under way")),
        (true, Some(_)) if !status.ready => (Health::Starting, "this node is catching up".to_owned()),
        (true, Some(leader)) if here < all => (Health::Degraded, format!("{counted}, node {leader} leads")),
        (true, Some(leader)) => match far_behind {
            Some(card) => (Health::Degraded, format!("node {} is catching up, node {leader} leads", card.node)),
            None => (Health::Healthy, format!("{counted}, node {leader} leads")),
        },
    }
}
