//! Keeps the page's picture of the bank fresh: looks at the node a few times a second, as long as somebody watches.

use crate::edge::port::NodePort;
use crate::handle::Bank;
use crate::page::{Changed, Health, LatestTransfer, Money, NodeCard, Party, Publisher, Role, Snapshot};
use api::span::offset;
use api::status::{self, MemberRole, MemberState, Mode, NodeStatus};
use bank::BankView;
use ledger::record::{Body, Record};
use ledger::{AccountId, Ledger, money};
use replica::group::Address;
use std::collections::{BTreeMap, BTreeSet};
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
pub(crate) async fn run(bank: Bank, mut publisher: Publisher, addresses: BTreeMap<u16, Address>) {
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
        let books = match bank.look(move |books| Books::look(&BankView::new(books), since)).await {
            Some(books) => books,
            // While the books are made of what was received nobody can look at them; the page shows how far that is.
            None if status.role == status::Role::Receiving => Books::default(),
            None => continue,
        };
        seen_places = status.journal_records;
        publisher.publish(now_ms, snapshot(&bank, &status, books, &addresses));
    }
}

/// Outcomes so far: the journal's records without the one that heads each slot's.
fn outcomes(status: &NodeStatus) -> u64 {
    status.journal_records.saturating_sub(status.slots.applied)
}

/// What is looked up in the books themselves.
#[derive(Default)]
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

fn snapshot(bank: &Bank, status: &NodeStatus, books: Books, addresses: &BTreeMap<u16, Address>) -> Snapshot {
    let nodes: Vec<NodeCard> = status.members.iter().map(|member| card(bank, status, member, addresses)).collect();
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
        mode: status.mode.text(),
        rot_repaired: status.rot_repaired,
        rot_unmended: status.rot_unmended,
        nodes,
        latest: books.latest,
        changed: books.changed,
    }
}

/// A member as this node sees it.
fn card(bank: &Bank, status: &NodeStatus, member: &MemberState, addresses: &BTreeMap<u16, Address>) -> NodeCard {
    let MemberState { node, role, http, .. } = member;
    let known = || addresses.get(node).map(Address::to_string).unwrap_or_default();
    let voter = *role == MemberRole::Voter;
    let proposer = status.proposer == Some(*node);
    let card = NodeCard {
        node: *node,
        role: Role::Away,
        address: if http.is_empty() { known() } else { http.clone() },
        slot: None,
        lag: None,
        last_fsync_us: None,
        voter,
        proposer,
        received_percent: None,
    };
    let leads = if status.mode == Mode::Leaderless { proposer } else { status.leader == Some(*node) };
    let role = match (voter, leads) {
        (false, _) => Role::Learner,
        (true, true) => Role::Leader,
        (true, false) => Role::Follower,
    };
    if *node == status.node {
        let role = match status.role {
            status::Role::Starting => Role::Starting,
            status::Role::Receiving => Role::Receiving,
            status::Role::Follower
            | status::Role::Candidate
            | status::Role::Leader
            | status::Role::Stopping
            | status::Role::Learner
            | status::Role::Removed => role,
        };
        let sync_us = bank.last_sync_us();
        return NodeCard {
            role,
            slot: Some(status.slots.applied),
            lag: Some(status.lag),
            last_fsync_us: (sync_us > 0).then_some(sync_us),
            received_percent: status.transfer.map(status::TransferState::percent),
            ..card
        };
    }
    let Some(heard) = status.peers.iter().find(|peer| peer.node == *node && peer.connected) else { return card };
    let newest = status.slots.chosen.max(status.peers.iter().map(|peer| peer.chosen).max().unwrap_or(0));
    NodeCard { role, slot: Some(heard.chosen), lag: Some(newest.saturating_sub(heard.chosen)), ..card }
}

fn health(status: &NodeStatus, nodes: &[NodeCard]) -> (Health, String) {
    let here = nodes.iter().filter(|card| card.role != Role::Away).count();
    let all = nodes.len();
    let far_behind = nodes.iter().find(|card| card.lag.is_some_and(|lag| lag > CLOSE_LAG_MAX));
    let counted = format!("{here} of {all} nodes");
    let led = match (status.mode, status.leader) {
        (Mode::Leaderless, _) => Some("no leader needed".to_owned()),
        (Mode::Leader, leader) => leader.map(|leader| format!("node {leader} leads")),
    };
    let Some(led) = led.filter(|_| status.quorum) else {
        let why = if status.quorum { "an election is under way" } else { "no majority" };
        return (Health::Stalled, format!("{counted}: {why}"));
    };
    match (status.transfer, far_behind) {
        _ if status.role == status::Role::Removed => {
            (Health::Starting, "this node was removed from the bank".to_owned())
        }
        (Some(transfer), _) => {
            (Health::Starting, format!("this node receives the books: {} % are here", transfer.percent()))
        }
        _ if status.clock_off => (Health::Degraded, format!("this node's clock is {}", offset(status.clock_skew_ms))),
        _ if !status.ready => (Health::Starting, "this node is catching up".to_owned()),
        _ if status.votes_lost => {
            (Health::Degraded, format!("node {} lost a vote to its disk: replace it", status.node))
        }
        _ if here < all => (Health::Degraded, format!("{counted}, {led}")),
        (None, Some(card)) => (Health::Degraded, format!("node {} is catching up, {led}", card.node)),
        (None, None) => (Health::Healthy, format!("{counted}, {led}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::status::TransferState;

    fn cards(roles: &[Role]) -> Vec<NodeCard> {
        let card = |(node, role): (usize, &Role)| NodeCard {
            node: u16::try_from(node + 1).expect("few"),
            role: *role,
            address: String::new(),
            slot: Some(1),
            lag: Some(0),
            last_fsync_us: None,
            voter: true,
            proposer: false,
            received_percent: None,
        };
        roles.iter().enumerate().map(card).collect()
    }

    #[test]
    fn health_says_in_one_clause_how_things_are() {
        let well = NodeStatus { node: 1, quorum: true, ready: true, leader: Some(1), ..NodeStatus::default() };
        let three = cards(&[Role::Leader, Role::Follower, Role::Follower]);
        let two = cards(&[Role::Leader, Role::Follower, Role::Away]);
        let receiving = Some(TransferState { done: 3, total: 4 });
        for (status, cards, health_, words) in [
            (well.clone(), &three, Health::Healthy, "3 of 3 nodes, node 1 leads"),
            (well.clone(), &two, Health::Degraded, "2 of 3 nodes, node 1 leads"),
            (
                NodeStatus { leader: None, ..well.clone() },
                &three,
                Health::Stalled,
                "3 of 3 nodes: an election is under way",
            ),
            (NodeStatus { quorum: false, ..well.clone() }, &two, Health::Stalled, "2 of 3 nodes: no majority"),
            (
                NodeStatus { leader: None, mode: Mode::Leaderless, ..well.clone() },
                &three,
                Health::Healthy,
                "3 of 3 nodes, no leader needed",
            ),
            (
                NodeStatus { transfer: receiving, ready: false, ..well.clone() },
                &three,
                Health::Starting,
                "this node receives the books: 75 % are here",
            ),
            (
                NodeStatus { votes_lost: true, ..well },
                &three,
                Health::Degraded,
                "node 1 lost a vote to its disk: replace it",
            ),
        ] {
            assert_eq!(health(&status, cards), (health_, words.to_owned()));
        }
    }
}
