//! The address under which a bank is always found: a TCP load balancer that follows the leader, or, in leaderless mode,
//! deals connections out to all nodes that are ready.
//!
//! ```text
//!   caller ──► accept ──► connect to the best node of the view ──► copy both ways until both sides have ended
//!                             │ refused: ask the lookout to look, try the next; for up to two seconds
//! ```
//!
//! It knows nothing of HTTP, save how to say that nobody is there: streams that live for hours pass, and each direction may end on its own. Any node takes any
//! request, so a connection to a node that leads no more may stay. When all places are taken, the connection that has
//! been silent longest gives up its own.

mod activity;
mod nobody;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use self::activity::{Activity, Watched};
use crate::lookout::{Hurry, View};

const CONNECT_PATIENCE: Duration = Duration::from_millis(250);
/// How long a caller waits for some node to take the connection.
const SEARCH_PATIENCE: Duration = Duration::from_secs(2);
const SEARCH_PAUSE: Duration = Duration::from_millis(10);

/// What passes through: decides the size of buffers, and what a caller hears when no node is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traffic {
    Http,
    Grpc,
}

impl Traffic {
    /// A batch is about a megabyte, a page a few kilobytes: big buffers where few connections carry much.
    fn buffer_bytes(self) -> usize {
        match self {
            Traffic::Http => 8 << 10,
            Traffic::Grpc => 64 << 10,
        }
    }

    /// Each connection needs two file handles; of those that this process may have, half go here.
    pub(crate) fn connections_max(self, file_handles: u64) -> usize {
        let (wanted, share) = match self {
            Traffic::Http => (4_096, file_handles / 6),
            Traffic::Grpc => (512, file_handles / 12),
        };
        usize::try_from(share).unwrap_or(wanted).clamp(16, wanted)
    }
}

/// One address of one bank.
#[derive(Debug)]
pub(crate) struct Balancer {
    pub(crate) bank: String,
    pub(crate) traffic: Traffic,
    /// Changes when nodes come and go.
    pub(crate) backends: watch::Receiver<BTreeMap<u16, SocketAddr>>,
    pub(crate) view: watch::Receiver<View>,
    pub(crate) hurry: Hurry,
    pub(crate) connections_max: usize,
}

impl Balancer {
    /// Serves until dropped.
    pub(crate) async fn run(self, listener: TcpListener) {
        let balancer = Arc::new(self);
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        let mut open: BTreeMap<u64, Arc<Activity>> = BTreeMap::new();
        let mut next = 0_u64;
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((caller, _)) => {
                        if open.len() >= balancer.connections_max {
                            evict_most_idle(&mut open);
                        }
                        let activity = Arc::new(Activity::new(started));
                        open.insert(next, Arc::clone(&activity));
                        let balancer = Arc::clone(&balancer);
                        tasks.spawn(async move {
                            balancer.serve(caller, activity, next).await;
                            next
                        });
                        next += 1;
                    }
                    // No file handle is left, for example: callers wait in the backlog meanwhile.
                    Err(_) => sleep(SEARCH_PAUSE).await,
                },
                Some(ended) = tasks.join_next() => {
                    if let Ok(connection) = ended {
                        open.remove(&connection);
                    }
                }
            }
        }
    }

    async fn serve(&self, caller: TcpStream, activity: Arc<Activity>, number: u64) {
        let evicted = activity.evicted();
        let served = async {
            // Small requests and answers must not wait for each other's acknowledgement.
            let _ = caller.set_nodelay(true);
            match self.find_node(number).await {
                Some(mut node) => {
                    let mut caller = Watched::new(caller, Arc::clone(&activity));
                    let size = self.traffic.buffer_bytes();
                    // How it ended does not matter to the balancer: both sides see their own end of it.
                    let _ = tokio::io::copy_bidirectional_with_sizes(&mut caller, &mut node, size, size).await;
                }
                None => nobody::answer(caller, self.traffic, &self.bank).await,
            }
        };
        tokio::select! {
            () = served => {}
            () = evicted => {}
        }
    }

    /// A connection to the best node that takes one. Where several are as good, connections take turns.
    async fn find_node(&self, number: u64) -> Option<TcpStream> {
        let turn = usize::try_from(number).unwrap_or(0);
        let give_up = Instant::now() + SEARCH_PATIENCE;
        loop {
            let nodes = self.view.borrow().best_first(turn);
            for node in nodes {
                let Some(address) = self.backends.borrow().get(&node).copied() else { continue };
                if let Ok(Ok(stream)) = timeout(CONNECT_PATIENCE, TcpStream::connect(address)).await {
                    let _ = stream.set_nodelay(true);
                    return Some(stream);
                }
                self.hurry.now();
            }
            if Instant::now() >= give_up {
                return None;
            }
            sleep(SEARCH_PAUSE).await;
        }
    }
}

/// Frees the place of the connection on which nothing has moved for the longest time.
fn evict_most_idle(open: &mut BTreeMap<u64, Arc<Activity>>) {
    let most_idle = open.iter().min_by_key(|(_, activity)| activity.last_ms()).map(|(connection, _)| *connection);
    if let Some(activity) = most_idle.and_then(|connection| open.remove(&connection)) {
        activity.evict();
    }
}

#[cfg(test)]
mod tests;
