//! Watches the nodes of one bank: asks each for its status, again and again, and keeps what they said.
//!
//! ```text
//!   node 1 ◄─ poller ─┐
//!   node 2 ◄─ poller ─┼─► View (a watch channel) ──► balancers, table, network.json
//!   node 3 ◄─ poller ─┘          ▲
//!                        hurry: ask now  (a connect failed, a process ended)
//! ```
//!
//! Every 100 ms while there is a leader, every 10 ms while none is known: how soon the balancer follows a new leader is
//! how long a caller waits. What a node says of others is not used; a leader is who says so itself, under the highest ballot.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::status::{NodeStatus, Role};
use hyper::StatusCode;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::http::{Client, HttpError};

const PAUSE_CALM: Duration = Duration::from_millis(100);
const PAUSE_LEADERLESS: Duration = Duration::from_millis(10);
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
    /// Its last answer was none.
    Silent {
        why: String,
    },
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

    pub(crate) fn ready(&self) -> impl Iterator<Item = u16> + '_ {
        self.sights.keys().copied().filter(|node| self.status(*node).is_some_and(|status| status.ready))
    }

    /// All nodes, the best one to send a caller to first: leader, ready, answering, unknown, silent.
    pub(crate) fn best_first(&self) -> Vec<u16> {
        let leader = self.leader();
        let mut nodes: Vec<(u8, u16)> =
            self.sights.iter().map(|(node, sight)| (rank(*node, sight, leader), *node)).collect();
        nodes.sort_unstable();
        nodes.into_iter().map(|(_, node)| node).collect()
    }
}

fn rank(node: u16, sight: &Sight, leader: Option<u16>) -> u8 {
    match sight {
        Sight::Said { .. } if leader == Some(node) => 0,
        Sight::Said { status, .. } if status.role == Role::Stopping => 4,
        Sight::Said { status, .. } if status.ready => 1,
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
    _pollers: JoinSet<()>,
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
        let view = watch::Sender::new(View::of(nodes.keys().map(|node| (*node, Sight::Unseen))));
        let hurry = Arc::new(Notify::new());
        let mut pollers = JoinSet::new();
        for (node, address) in nodes {
            pollers.spawn(poll(*node, Client::new((*address).into()), view.clone(), Arc::clone(&hurry)));
        }
        Lookout { view, hurry, _pollers: pollers }
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
            let before = view.sights.insert(node, sight);
            debug_assert!(before.is_some(), "the view holds every node from the start");
        });
        let pause = if view.borrow().leader().is_some() { PAUSE_CALM } else { PAUSE_LEADERLESS };
        // Whoever hurries while a question is under way is served by its answer, or by the next one a pause later.
        let _ = tokio::time::timeout(pause, hurry.notified()).await;
    }
}

async fn look(client: &mut Client) -> Sight {
    match status_of(client, PATIENCE).await {
        Ok(status) => Sight::Said { status: Box::new(status), at: Instant::now() },
        Err(why) => Sight::Silent { why: why.to_string() },
    }
}

/// Why a node's status is not known, in words that end a sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoStatus {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("it wants the operator's token: give --operator-token-file FILE")]
    WantsToken,
    #[error("it answered with HTTP status {0}")]
    Answered(StatusCode),
    #[error("what listens there is no Rialto node: {0}")]
    Foreign(serde_json::Error),
}

/// Asks one node for its status.
pub(crate) async fn status_of(client: &mut Client, patience: Duration) -> Result<NodeStatus, NoStatus> {
    let answer = client.get("/v1/status", patience).await?;
    match answer.status {
        StatusCode::OK => serde_json::from_slice(&answer.body).map_err(NoStatus::Foreign),
        StatusCode::UNAUTHORIZED => Err(NoStatus::WantsToken),
        other => Err(NoStatus::Answered(other)),
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
        assert_eq!(view.best_first(), [2, 1, 3]);
    }

    #[test]
    fn a_silent_leader_leads_nobody_and_comes_last() {
        let silent = Sight::Silent { why: "gone".to_owned() };
        let view = View::of([
            (1, silent),
            (2, said(Role::Starting, 0, 2)),
            (3, said(Role::Follower, 0, 3)),
            (4, Sight::Unseen),
        ]);
        assert_eq!(view.leader(), None);
        assert_eq!(view.best_first(), [3, 2, 4, 1]);
    }

    #[test]
    fn a_node_that_stops_is_passed_over_for_any_that_stays() {
        let view = View::of([(1, said(Role::Stopping, 3, 1)), (2, Sight::Unseen)]);
        assert_eq!(view.best_first(), [2, 1]);
    }
}
