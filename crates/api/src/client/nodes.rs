//! The nodes of one bank: which to ask now, and who leads.
//!
//! Every node takes every request and passes it on, so the choice is never about right or wrong, only about time. A
//! client stays with one node until that fails, turns to the next at once, and looks now and then, and after every
//! failure, who leads, because the leader's answer has one hop less. Or it stays with the node that was named first, and comes
//! back to it when that serves again: so clients can be spread over all nodes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status};

use super::connect;
use super::error::ClientError;
use super::road::Road;
use super::{Options, Prefer};
use crate::cluster::{CLUSTER_HEADER, ClusterPin};
use crate::proto;
use crate::proto::bank_client::BankClient;

/// How often the leader is looked for while nothing fails.
const LOOK_PERIOD: Duration = Duration::from_millis(500);
/// How long a node may take to say whether it leads.
const LOOK_TIMEOUT: Duration = Duration::from_millis(300);
/// Pauses between two looks while nobody leads.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// One node's services.
pub(super) type Bank = BankClient<InterceptedService<Road, Credentials>>;

/// Puts on every call the operator token, which cluster is meant, and how long its answer is waited for.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    bearer: Option<MetadataValue<Ascii>>,
    /// How long the caller waits: no node needs to work for longer.
    patience: Duration,
    cluster: Option<ClusterPin>,
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        if let Some(meant) = self.cluster.as_ref().and_then(ClusterPin::header) {
            request.metadata_mut().insert(CLUSTER_HEADER, meant);
        }
        // A call that gives its own time keeps it.
        if !request.metadata().contains_key("grpc-timeout") {
            request.set_timeout(self.patience);
        }
        Ok(request)
    }
}

/// What a node says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Leads,
    Answers,
    Silent,
}

/// All nodes, and the one that is asked now.
#[derive(Debug)]
pub(super) struct Nodes {
    banks: Vec<Bank>,
    /// For each node, whoever waits for its answer: told when it has fallen silent and another leads.
    silent: Vec<Notify>,
    current: AtomicUsize,
    /// Somebody met a failure: look for the leader now.
    doubt: Notify,
}

impl Nodes {
    pub(super) fn new<A: AsRef<str>>(
        addresses: impl IntoIterator<Item = A>,
        options: &Options,
    ) -> Result<Arc<Nodes>, ClientError> {
        let bearer = options.token.as_deref().map(bearer).transpose()?;
        let credentials = Credentials { bearer, patience: options.attempt_timeout, cluster: options.cluster.clone() };
        let banks = addresses
            .into_iter()
            .map(|address| bank(address.as_ref(), credentials.clone(), options.tls.as_ref()))
            .collect::<Result<Vec<Bank>, ClientError>>()?;
        if banks.is_empty() {
            return Err(ClientError::BadAddress { address: String::new(), reason: "none was given".to_owned() });
        }
        let silent = banks.iter().map(|_| Notify::new()).collect();
        let nodes = Arc::new(Nodes { banks, silent, current: AtomicUsize::new(0), doubt: Notify::new() });
        if nodes.banks.len() > 1 {
            match options.prefer {
                Prefer::Leader => tokio::spawn(follow(Arc::downgrade(&nodes))),
                Prefer::First => tokio::spawn(come_home(Arc::downgrade(&nodes))),
            };
        }
        Ok(nodes)
    }

    pub(super) fn len(&self) -> usize {
        self.banks.len()
    }

    /// The node to ask now, with its number.
    pub(super) fn current(&self) -> (usize, Bank) {
        let number = self.current.load(Ordering::Relaxed);
        (number, self.banks[number].clone())
    }

    /// Ends when that node answers nobody any more while another leads: its calls are then better asked elsewhere than
    /// waited for. A process that was stopped or a machine that was cut off breaks no connection.
    pub(super) fn silence(&self, number: usize) -> Notified<'_> {
        self.silent[number].notified()
    }

    /// That node did not answer: turns to the next one, unless somebody has turned already.
    pub(super) fn turn_from(&self, failed: usize) {
        let next = (failed + 1) % self.banks.len();
        // Losing the race means that another call turned first, which is as good.
        let _ = self.current.compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
        self.doubt.notify_one();
    }

    /// Asks every node whether it leads; the first that does is asked from now on.
    async fn find_leader(&self) -> bool {
        let mut looks = tokio::task::JoinSet::new();
        for (number, bank) in self.banks.iter().enumerate() {
            let mut bank = bank.clone();
            looks.spawn(async move {
                let status = tokio::time::timeout(LOOK_TIMEOUT, bank.status(proto::StatusRequest {})).await;
                matches!(status, Ok(Ok(status)) if leads(status.get_ref())).then_some(number)
            });
        }
        while let Some(look) = looks.join_next().await {
            if let Ok(Some(leader)) = look {
                self.current.store(leader, Ordering::Relaxed);
                return true;
            }
        }
        false
    }

    async fn look(&self, number: usize) -> Look {
        let mut bank = self.banks[number].clone();
        match tokio::time::timeout(LOOK_TIMEOUT, bank.status(proto::StatusRequest {})).await {
            Ok(Ok(status)) if leads(status.get_ref()) => Look::Leads,
            Ok(_) => Look::Answers,
            Err(_) => Look::Silent,
        }
    }

    /// Back to the first node, if it serves again. True when the client is there.
    async fn find_first(&self) -> bool {
        if self.current.load(Ordering::Relaxed) == 0 {
            return true;
        }
        let mut first = self.banks[0].clone();
        let status = tokio::time::timeout(LOOK_TIMEOUT, first.status(proto::StatusRequest {})).await;
        let serves = matches!(status, Ok(Ok(status)) if status.get_ref().quorum && status.get_ref().role != "stopping");
        if serves {
            self.current.store(0, Ordering::Relaxed);
        }
        serves
    }
}

/// Brings the client back to its first node after that was away, as long as there is a client.
async fn come_home(nodes: Weak<Nodes>) {
    while let Some(held) = nodes.upgrade() {
        held.find_first().await;
        let _ = tokio::time::timeout(LOOK_PERIOD, held.doubt.notified()).await;
        // A node that was just turned away from is not asked at once whether it is well.
        tokio::time::sleep(LOOK_PERIOD / 2).await;
    }
}

/// The current proposer of a leaderless group has as short a way as a leader.
fn leads(status: &proto::StatusResponse) -> bool {
    let proposes = status.mode() == proto::Mode::Leaderless && status.proposer == status.node && status.quorum;
    status.role == "leader" || proposes
}

/// Keeps the client at the leader, as long as there is a client.
async fn follow(nodes: Weak<Nodes>) {
    let mut pause = LOOK_PAUSE;
    while let Some(held) = nodes.upgrade() {
        let (asked, _) = held.current();
        let look = held.look(asked).await;
        let is_settled = look == Look::Leads || held.find_leader().await;
        if look == Look::Silent && is_settled && held.current().0 != asked {
            held.silent[asked].notify_waiters();
        }
        // Nobody leads for a moment after a failure, and never where there are no leaders.
        pause = if is_settled { LOOK_PERIOD } else { (pause * 2).min(LOOK_PERIOD) };
        // The task holds the nodes for one pause at most after their last client is gone.
        if tokio::time::timeout(pause, held.doubt.notified()).await.is_ok() {
            pause = LOOK_PAUSE;
        }
    }
}

fn bearer(token: &str) -> Result<MetadataValue<Ascii>, ClientError> {
    format!("Bearer {}", token.trim()).parse().map_err(|_| ClientError::BadAddress {
        address: "the operator token".to_owned(),
        reason: "it has characters that no header takes".to_owned(),
    })
}

fn bank(address: &str, credentials: Credentials, tls: Option<&Arc<certs::Client>>) -> Result<Bank, ClientError> {
    let channel = connect::channel(address, tls)
        .map_err(|reason| ClientError::BadAddress { address: address.to_owned(), reason })?;
    Ok(BankClient::with_interceptor(channel, credentials).max_decoding_message_size(MESSAGE_BYTES_MAX))
}
