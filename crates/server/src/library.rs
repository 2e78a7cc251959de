//! Reads the journal for members that lack some of it, beside payments: a thread of its own that gives way to every other.
//!
//! Who asks has only a few pieces under way at a time, and what is asked beyond a small queue is dropped: it asks again.

use crate::config::NodeError;
use crate::gauges::Gauges;
use crate::mending::Mending;
use crate::peers::Peers;
use paxos::NodeId;
use replica::Message;
use replica::message::JOURNAL_BYTES_MAX;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use storage::{Disk, JournalReader, RECORD};
use tracing::warn;

const ASKED_MAX: usize = 64;
/// The least that a thread can ask of the processor beside others.
const NICENESS: i32 = 10;

/// Lets payments go first: the thread that calls this gets the processor only as far as they leave it. Where the kernel
/// does not let a thread give way it merely disturbs more.
pub(crate) fn give_way() {
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// The way to the thread.
#[derive(Clone, Debug)]
pub(crate) struct Library(SyncSender<(NodeId, u64)>);

impl Library {
    /// Starts the thread, which ends when all handles are gone.
    pub(crate) fn start<D: Disk>(
        journal: JournalReader<D>,
        peers: Peers,
        gauges: Arc<Gauges>,
        mending: Mending,
    ) -> Result<Self, NodeError> {
        let (asked, places) = sync_channel(ASKED_MAX);
        let run = move || {
            give_way();
            serve(&journal, (&peers, &gauges, &mending), &places);
        };
        let started = thread::Builder::new().name("library".to_owned()).spawn(run);
        started.map_err(NodeError::system("starting a thread"))?;
        Ok(Self(asked))
    }

    /// A member lacks the journal from that place on.
    pub(crate) fn ask(&self, to: NodeId, from_place: u64) {
        // Full or ended: it asks again, or another one.
        let _ = self.0.try_send((to, from_place));
    }
}

fn serve<D: Disk>(
    journal: &JournalReader<D>,
    (peers, gauges, mending): (&Peers, &Gauges, &Mending),
    places: &Receiver<(NodeId, u64)>,
) {
    while let Ok((to, from_place)) = places.recv() {
        let mark = gauges.books().mark;
        let left = mark.places.saturating_sub(from_place).saturating_mul(RECORD as u64);
        let bytes = usize::try_from(left).unwrap_or(usize::MAX).min(JOURNAL_BYTES_MAX);
        match journal.read_bytes(from_place, bytes) {
            Ok(records) => {
                peers.send(to, &Message::Journal { from_place, mark, records: records.into() });
            }
            Err(error) => {
                warn!(event = "journal_unreadable", why = %error, effect = "another node is asked");
                mending.tell(&error);
            }
        }
    }
}
