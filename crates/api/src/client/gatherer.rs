//! Transfers that are asked for at the same time travel together.
//!
//! One task owns the batch that forms. While a call is on its way the next batch gathers; when the call is answered what
//! has gathered leaves. So one caller alone waits for nobody, and under load batches grow by themselves to what the bank
//! can take: no timer, no tuning.

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::answer::Answered;
use super::error::ClientError;
use super::{Batch, Client, Transfer, check};
use crate::code::Code;

/// Transfers that wait to be gathered, at most; further callers wait for room.
const WAITING_MAX: usize = 2 * Client::BATCH_MAX;
/// How often the task steps aside before a batch leaves, so that callers who were answered together gather again
/// instead of the first of them leaving alone.
const STEPS_ASIDE: usize = 2;

/// Gathers concurrent transfers into batches. A clone gathers into the same ones.
#[derive(Debug, Clone)]
pub struct Gatherer {
    queue: mpsc::Sender<Waiting>,
}

/// A transfer and its caller.
#[derive(Debug)]
struct Waiting {
    transfer: Transfer,
    caller: oneshot::Sender<Result<Answered, ClientError>>,
}

impl Gatherer {
    /// At most `lanes` batches are on their way at once (at least one). Must be called within a tokio runtime.
    pub fn new(client: Client, lanes: usize) -> Gatherer {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(gather(client, lanes.max(1), waiting));
        Gatherer { queue }
    }

    /// Makes one transfer, together with whatever else is asked for meanwhile. Its outcome is its own.
    pub async fn transfer(&self, transfer: &Transfer) -> Result<Answered, ClientError> {
        check(transfer)?;
        let (caller, answer) = oneshot::channel();
        let waiting = Waiting { transfer: *transfer, caller };
        let gone = || ClientError::refused(Code::ShuttingDown, "the gatherer's runtime has ended".to_owned());
        self.queue.send(waiting).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn gather(client: Client, lanes: usize, mut queue: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::new();
    let mut on_their_way = JoinSet::new();
    let mut open = true;
    while open || !batch.is_empty() {
        let room = Client::BATCH_MAX - batch.len();
        tokio::select! {
            received = queue.recv_many(&mut batch, room), if open && room > 0 => open = received > 0,
            Some(_) = on_their_way.join_next() => {}
        }
        if batch.is_empty() || on_their_way.len() >= lanes {
            continue;
        }
        for _ in 0..STEPS_ASIDE {
            tokio::task::yield_now().await;
            while batch.len() < Client::BATCH_MAX
                && let Ok(waiting) = queue.try_recv()
            {
                batch.push(waiting);
            }
        }
        on_their_way.spawn(send(client.clone(), std::mem::take(&mut batch)));
    }
    while on_their_way.join_next().await.is_some() {}
}

async fn send(client: Client, batch: Vec<Waiting>) {
    let (transfers, callers): (Vec<Transfer>, Vec<_>) =
        batch.into_iter().map(|waiting| (waiting.transfer, waiting.caller)).unzip();
    let answers = client.transfer_batch(&transfers, Batch::Independent).await;
    // A caller that is gone has given up waiting; its transfer was made all the same.
    match answers {
        Ok(answers) => {
            for (caller, answer) in callers.into_iter().zip(answers) {
                let _ = caller.send(Ok(answer));
            }
        }
        Err(error) => {
            for (caller, transfer) in callers.into_iter().zip(transfers) {
                let _ = caller.send(Err(error.about(transfer.id)));
            }
        }
    }
}
