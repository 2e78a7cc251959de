//! Watches the nodes of one bank: asks each for its status, again and again, and keeps what they said.
//!
//! ```text
//!   node 1 ◄─ poller ─┐
//!   node 2 ◄─ poller ─┼─► View (a watch channel) ──► balancers, table, network.json
//!   node 3 ◄─ poller ─┘          ▲
//!                        hurry: ask now  (a connect failed, a process ended)
//! ```
//!
//! Every 100 ms while all is as it should be, every 10 ms while a leader is wanted and none is known: how soon the balancer
//! follows a new leader is how long a caller waits. What a node says of others is not used; a leader, or the current proposer, is who says
//! so itself, under the highest ballot. The mode is what the node says that has applied most.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::status::{Mode, NodeStatus, Role};
use hyper::StatusCode;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::http::{BadAddress, Client, HttpError, Reach};

const PAUSE_CALM: Duration = Duration::from_millis(100);
const PAUSE_UNSETTLED: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_millis(500);

/// What is known of one node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sight {
    /// Not asked yet, or not answered since its process started.
    Unseen,
    Said {
        status: Box<NodeStatus>,
        at: Instant,
    },
    /// Its last answer was none, and all since then.
    Silent {
        why: String,
        since: Instant,
    },
}

impl Sight {
    /// Somebody is silent from the first answer on that did not come.
    fn after(self, before: &Sight) -> Sight {
        match (self, before) {
            (Sight::Silent { why, .. }, Sight::Silent { since, .. }) => Sight::Silent { why, since: *since },
            (now, _) => now,
        }
    }

    pub(crate) fn silent(why: impl Into<String>) -> Sight {
        Sight::Silent { why: why.into(), since: Instant::now() }
    }
}

/// What is known of a bank's nodes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct View {
    sights: BTreeMap<u16, Sight>,
}

impl View {
    pub(crate) fn of(sights: impl IntoIterator<Item = (u16, Sight)>) -> View {
        View { sights: sights.into_iter().collect() }
    }

    /// Why a node does not answer, and for how long.
    pub(crate) fn silence(&self, node: u16) -> Option<(&str, Duration)> {
        match self.sights.get(&node) {
            Some(Sight::Silent { why, since }) => Some((why, since.elapsed())),
            Some(Sight::Said { .. } | Sight::Unseen) | None => None,
        }
    }

    pub(crate) fn status(&self, node: u16) -> Option<&NodeStatus> {
        match self.sights.get(&node) {
            Some(Sight::Said { status, .. }) => Some(status),
            Some(Sight::Unseen | Sight::Silent { .. }) | None => None,
        }
    }

    /// The node that says it leads, under the highest ballot if two say so.
    pub(crate) fn leader(&self) -> Option<u16> {
        self.sights
            .keys()
            .filter_map(|node| self.status(*node).map(|status| (*node, status)))
            .filter(|(_, status)| status.role == Role::Leader)
            .max_by_key(|(_, status)| (status.ballot.round, status.ballot.node))
            .map(|(node, _)| node)
    }

    /// The mode that the bank is in, as the best informed of its ready nodes says; none while no node is ready.
    pub(crate) fn mode(&self) -> Option<Mode> {
        let said = self.ready().filter_map(|node| self.status(node));
        said.max_by_key(|status| status.slots.applied).map(|status| status.mode)
    }

    /// Nobody is needed whom nobody knows: in leaderless mode there is always somebody to send to.
    fn is_settled(&self) -> bool {
        self.leader().is_some() || self.mode() == Some(Mode::Leaderless)
    }

    pub(crate) fn ready(&self) -> impl Iterator<Item = u16> + '_ {
        self.sights.keys().copied().filter(|node| self.status(*node).is_some_and(|status| status.ready))
    }

    /// All nodes, the best one to send a caller to first: leader, ready, answering, unknown, silent.
    ///
    /// In leaderless mode nobody is better than another that is ready: `turn` says with whom of them to begin.
    pub(crate) fn best_first(&self, turn: usize) -> Vec<u16> {
        let leader = self.leader().filter(|_| self.mode() != Some(Mode::Leaderless));
        let mut nodes: Vec<(u8, u16)> =
            self.sights.iter().map(|(node, sight)| (rank(*node, sight, leader), *node)).collect();
        nodes.sort_unstable();
        let mut nodes: Vec<u16> = nodes.into_iter().map(|(_, node)| node).collect();
        if leader.is_none() {
            let ready = self.sights.iter().filter(|(node, sight)| rank(**node, sight, None) == READY).count();
            nodes[..ready].rotate_left(turn.checked_rem(ready).unwrap_or(0));
        }
        nodes
    }
}

/// The rank of a node that takes callers.
const READY: u8 = 1;

fn rank(node: u16, sight: &Sight, leader: Option<u16>) -> u8 {
    match sight {
        Sight::Said { .. } if leader == Some(node) => 0,
        Sight::Said { status, .. } if status.role == Role::Stopping => 4,
        Sight::Said { status, .. } if status.ready => READY,
        Sight::Said { .. } => 2,
        Sight::Unseen => 3,
        Sight::Silent { .. } => 5,
    }
}

/// The pollers of one bank; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Lookout {
    view: watch::Sender<View>,
    hurry: Arc<Notify>,
    pollers: BTreeMap<u16, AbortOnDrop>,
}

/// A task that ends with its handle.
#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks the pollers to look now.
#[derive(Debug, Clone)]
pub(crate) struct Hurry(Arc<Notify>);

impl Hurry {
    pub(crate) fn now(&self) {
        self.0.notify_waiters();
    }
}

impl Lookout {
    pub(crate) fn start(nodes: &BTreeMap<u16, SocketAddr>) -> Lookout {
        let mut lookout = Lookout {
            view: watch::Sender::new(View::of([])),
            hurry: Arc::new(Notify::new()),
            pollers: BTreeMap::new(),
        };
        for (node, address) in nodes {
            lookout.add(*node, *address);
        }
        lookout
    }

    /// Asks this node too from now on.
    pub(crate) fn add(&mut self, node: u16, address: SocketAddr) {
        self.forget(node, Sight::Unseen);
        let polling = poll(node, Client::new(address.into()), self.view.clone(), Arc::clone(&self.hurry));
        self.pollers.insert(node, AbortOnDrop(tokio::spawn(polling)));
    }

    /// Asks it no more: it belongs to the bank no longer.
    pub(crate) fn remove(&mut self, node: u16) {
        self.pollers.remove(&node);
        self.view.send_modify(|view| {
            view.sights.remove(&node);
        });
    }

    pub(crate) fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    pub(crate) fn hurry(&self) -> Hurry {
        Hurry(Arc::clone(&self.hurry))
    }

    /// Its process has ended, or has just been started: what it said before holds no more.
    pub(crate) fn forget(&self, node: u16, sight: Sight) {
        self.view.send_modify(|view| {
            view.sights.insert(node, sight);
        });
        self.hurry.notify_waiters();
    }
}

async fn poll(node: u16, mut client: Client, view: watch::Sender<View>, hurry: Arc<Notify>) {
    loop {
        let sight = look(&mut client).await;
        view.send_modify(|view| {
            // One that was removed while it was asked stays so.
            if let Some(before) = view.sights.get_mut(&node) {
                *before = sight.after(before);
            }
        });
        let pause = if view.borrow().is_settled() { PAUSE_CALM } else { PAUSE_UNSETTLED };
        // Whoever hurries while a question is under way is served by its answer, or by the next one a pause later.
        let _ = tokio::time::timeout(pause, hurry.notified()).await;
    }
}

/// Asks each of these nodes once, all at the same time.
pub(crate) async fn look_once(nodes: BTreeMap<u16, SocketAddr>) -> View {
    let mut asked = JoinSet::new();
    for (node, address) in nodes {
        asked.spawn(async move { (node, look(&mut Client::new(address.into())).await) });
    }
    View::of(asked.join_all().await)
}

async fn look(client: &mut Client) -> Sight {
    match status_of(client, PATIENCE).await {
        Ok(status) => Sight::Said { status: Box::new(status), at: Instant::now() },
        Err(why) => Sight::silent(why.to_string()),
    }
}

/// Why a node's status is not known, in words that end a sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoStatus {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Address(BadAddress),
    #[error("it wants the operator's token: give --operator-token-file FILE")]
    WantsToken,
    #[error("at its address is a node of another cluster now")]
    OtherCluster,
    #[error("{0}")]
    Busy(String),
    #[error("{0}")]
    Refused(String),
    #[error("what listens there is no Rialto node: {0}")]
    Foreign(serde_json::Error),
}

impl NoStatus {
    pub(crate) fn reach(&self) -> Reach {
        match self {
            NoStatus::Http(_) | NoStatus::Busy(_) => Reach::Nobody,
            NoStatus::Address(_)
            | NoStatus::WantsToken
            | NoStatus::OtherCluster
            | NoStatus::Refused(_)
            | NoStatus::Foreign(_) => Reach::Answered,
        }
    }
}

/// Asks one node for its status.
pub(crate) async fn status_of(client: &mut Client, patience: Duration) -> Result<NodeStatus, NoStatus> {
    let answer = client.get("/v1/status", patience).await?;
    match answer.status {
        StatusCode::OK => serde_json::from_slice(&answer.body).map_err(NoStatus::Foreign),
        StatusCode::UNAUTHORIZED => Err(NoStatus::WantsToken),
        StatusCode::CONFLICT => Err(NoStatus::OtherCluster),
        _ if answer.is_later() => Err(NoStatus::Busy(answer.refusal())),
        _ => Err(NoStatus::Refused(answer.refusal())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::status::BallotStatus;

    fn said(role: Role, round: u64, node: u16) -> Sight {
        let ballot = BallotStatus { round, node };
        let status = NodeStatus { node, role, ballot, ready: role != Role::Starting, ..NodeStatus::default() };
        Sight::Said { status: Box::new(status), at: Instant::now() }
    }

    #[test]
    fn of_two_that_say_they_lead_the_higher_ballot_does() {
        let view =
            View::of([(1, said(Role::Leader, 4, 1)), (2, said(Role::Leader, 5, 2)), (3, said(Role::Follower, 9, 3))]);
        assert_eq!(view.leader(), Some(2));
        assert_eq!(view.best_first(0), [2, 1, 3]);
    }

    #[test]
    fn a_silent_leader_leads_nobody_and_comes_last() {
        let silent = Sight::silent("gone");
        let view = View::of([
            (1, silent),
            (2, said(Role::Starting, 0, 2)),
            (3, said(Role::Follower, 0, 3)),
            (4, Sight::Unseen),
        ]);
        assert_eq!(view.leader(), None);
        assert_eq!(view.best_first(0), [3, 2, 4, 1]);
    }

    #[test]
    fn without_a_leader_callers_are_dealt_out_to_all_that_are_ready() {
        let member = |role, node| match said(role, 5, node) {
            Sight::Said { status, at } => {
                let status = NodeStatus { mode: Mode::Leaderless, ..*status };
                Sight::Said { status: Box::new(status), at }
            }
            other => other,
        };
        let view = View::of([
            (1, member(Role::Follower, 1)),
            (2, member(Role::Leader, 2)),
            (3, Sight::silent("gone")),
            (4, member(Role::Follower, 4)),
        ]);
        assert_eq!(view.mode(), Some(Mode::Leaderless));
        let first: Vec<u16> = (0..6).map(|turn| view.best_first(turn)[0]).collect();
        assert_eq!(first, [1, 2, 4, 1, 2, 4], "the proposer is no better than the others");
        assert_eq!(view.best_first(1), [2, 4, 1, 3]);
    }

    #[test]
    fn the_mode_is_what_the_node_says_that_has_applied_most() {
        let at = |mode, applied, node| {
            let slots = api::status::SlotStatus { applied, ..Default::default() };
            let status = NodeStatus { mode, slots, node, ready: true, ..NodeStatus::default() };
            (node, Sight::Said { status: Box::new(status), at: Instant::now() })
        };
        assert_eq!(View::of([at(Mode::Leader, 9, 1), at(Mode::Leaderless, 10, 2)]).mode(), Some(Mode::Leaderless));
        assert_eq!(View::of([at(Mode::Leader, 11, 1), at(Mode::Leaderless, 10, 2)]).mode(), Some(Mode::Leader));
    }

    #[test]
    fn a_node_that_stops_is_passed_over_for_any_that_stays() {
        let view = View::of([(1, said(Role::Stopping, 3, 1)), (2, Sight::Unseen)]);
        assert_eq!(view.best_first(0), [2, 1]);
    }
}
